"""Whether others could have written what will run with the agent's privileges."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from collector.errors import ManifestError

REMEDY = "chown it to root (or the agent's user) and chmod go-w it, its files and the folders above."


def check_trusted(path: Path) -> None:
    """ManifestError when the file or folder, something in it or a folder above belongs to others or is theirs to write."""
    real = Path(os.path.realpath(path))
    inside = list(real.iterdir()) if real.is_dir() else []
    for place in (real, *inside, *real.parents):
        why = distrust(place.stat(), above=place in real.parents)
        if why:
            raise ManifestError(f"{place} {why}: what lies there would run with the agent's privileges.", REMEDY)


def distrust(found: os.stat_result, *, above: bool) -> str:
    """'' or why not. A folder above may be everybody's where nobody can take away what is another's (/tmp)."""
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to user {found.st_uid}"
    if found.st_mode & 0o022 and not (above and found.st_mode & stat.S_ISVTX):
        return "can be written by others"
    return ""
