"""What was compiled on this node, kept by the hash of all that it was made from, in a folder that only the agent can write."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from collector.errors import ProbeError

KEPT_MAX = 64  # objects; the longest unused go first
SETTING = "Set HONEYGUIDE_CACHE_FOLDER to a folder that belongs to the agent's user alone (mode 0700)."


class PrivateCache:
    """Entries by name. ProbeError when the folder cannot be ours alone: what lies in it is loaded into the kernel."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> Path:
        """The folder, made if need be; behind a link (systemd makes one) it is the real one that counts."""
        self._folder = self._folder.resolve()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._folder.lstat()
        except OSError as error:
            raise ProbeError(f"{self._folder} cannot be made for compiled probes: {error.strerror}.", SETTING) from None
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise ProbeError(f"{self._folder} is not private: others could put programs into it.", SETTING)
        return self._folder

    def find(self, name: str) -> bytes | None:
        """The entry's content, which counts as used now."""
        path = self.open() / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ProbeError(f"{path} cannot be read: {error.strerror}.", SETTING) from None
        os.utime(path)
        return content

    def keep(self, name: str, content: bytes) -> Path:
        """Written whole or not at all; afterwards the longest unused entries over the limit go."""
        folder = self.open()
        try:
            descriptor, new = tempfile.mkstemp(dir=folder, prefix=".new-")
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(new).rename(folder / name)
        except OSError as error:
            raise ProbeError(f"{folder} cannot be written: {error.strerror}.", SETTING) from None
        self._forget_oldest(folder)
        return folder / name

    def _forget_oldest(self, folder: Path) -> None:
        entries = sorted(folder.glob("*.o"), key=lambda path: path.stat().st_mtime)
        for path in entries[:-KEPT_MAX]:
            with suppress(OSError):
                path.unlink()


def content_hash(parts: Iterable[bytes]) -> str:
    """64 hexadecimal digits; where one part ends and the next begins counts too."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
