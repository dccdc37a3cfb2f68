"""Reads small files below the host's root, whatever they turn out to be.

Symbolic links are followed as the host would follow them and never lead out of the root (openat2(2), RESOLVE_IN_ROOT).
Nothing but a regular file is ever opened for reading: a FIFO would block, a device may do something.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OPENAT2 = 437  # the same number on every architecture
NO_MAGICLINKS, IN_ROOT = 0x02, 0x10
LARGEST = 4 << 20  # podman lists all containers of a node in one file, half a KiB each
MOST_ENTRIES = 64
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})


class OpenHow(ctypes.Structure):
    """struct open_how (include/uapi/linux/openat2.h)."""

    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


class HostFiles:
    """root: the host's file system as this process sees it: /, a mount such as /host, or /proc/1/root.

    refused counts, by reason, what was there and could not be used: unreadable, special (no regular file), too_large, malformed.
    """

    def __init__(self, root: Path, largest: int = LARGEST) -> None:
        self.root = root
        self._largest = largest
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.refused: Counter[str] = Counter()

    def read(self, path: str) -> bytes | None:
        """The content; None when it is not there or is refused."""
        try:
            place = self._open(path)
        except OSError as error:
            if error.errno not in ABSENT:
                self.refused["unreadable"] += 1
            return None
        try:
            return self._read_regular(place)
        except OSError:
            self.refused["unreadable"] += 1
            return None
        finally:
            os.close(place)

    def read_json(self, path: str) -> Mapping[str, Any] | list[Any] | None:
        """The object or list in that file; None when there is none that can be used."""
        content = self.read(path)
        if content is None:
            return None
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict | list):
            self.refused["malformed"] += 1
            return None
        return document

    def folders(self, path: str) -> list[str]:
        """Names of the folders in there, at most MOST_ENTRIES, in no order."""
        try:
            place = self._open(path, os.O_DIRECTORY)
        except OSError:
            return []
        try:
            with os.scandir(f"/proc/self/fd/{place}") as entries:
                found = (entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
                return [name for name, _ in zip(found, range(MOST_ENTRIES), strict=False)]
        except OSError:
            self.refused["unreadable"] += 1
            return []
        finally:
            os.close(place)

    def _open(self, path: str, more: int = 0) -> int:
        """A descriptor that only stands for the place (O_PATH)."""
        how = OpenHow(os.O_PATH | os.O_CLOEXEC | more, 0, NO_MAGICLINKS | IN_ROOT)
        root = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            name = path.encode("utf-8", "surrogateescape")
            place = int(self._libc.syscall(OPENAT2, root, name, ctypes.byref(how), ctypes.sizeof(how)))
            if place < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            return place
        finally:
            os.close(root)

    def _read_regular(self, place: int) -> bytes | None:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            self.refused["special"] += 1
            return None
        with Path(f"/proc/self/fd/{place}").open("rb", buffering=0) as file:
            content = file.read(self._largest + 1)
            while len(content) <= self._largest and (more := file.read(self._largest + 1 - len(content))):
                content += more
        if len(content) > self._largest:
            self.refused["too_large"] += 1
            return None
        return content
