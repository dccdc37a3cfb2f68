"""What container runtimes make outside of the folders that a test gives them: found before, removed afterwards."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from patience import PATIENCE_SECONDS

CGROUPS = Path("/sys/fs/cgroup")
PLACES = ("/var/lib/containers", "/run/containers", "/run/libpod", "/run/runc", "/run/crun", "/run/containerd", "/etc/cni/net.d")
PARENTS = ("libpod_parent", "kubepods", "honeyguide-tests")  # of the containers' cgroups, in each hierarchy


def leftovers() -> set[Path]:
    cgroups = {place for name in PARENTS for place in CGROUPS.glob(f"**/{name}")}
    return cgroups | {Path(place) for place in PLACES if Path(place).exists()}


def remove_leftovers(before: set[Path]) -> None:
    """All that was not there before."""
    for place in sorted(leftovers() - before, reverse=True):
        if not place.is_relative_to(CGROUPS):
            remove_folder(place)
            continue
        deadline = time.monotonic() + PATIENCE_SECONDS
        while place.exists() and time.monotonic() < deadline:
            for folder in (*sorted((entry for entry in place.glob("**/") if entry != place), reverse=True), place):
                with suppress(OSError):
                    folder.rmdir()
            time.sleep(0.05)  # the last process may still be leaving


def remove_folder(folder: Path) -> None:
    """A runtime's last process may still write while we remove; what is mounted there stays mounted."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for place in sorted((one for one in mounts if Path(one).is_relative_to(folder)), reverse=True):
            subprocess.run(["umount", place], check=False)
        shutil.rmtree(folder, ignore_errors=True)
    assert not folder.exists()
