"""The bytes of a capture file: whole fields or nothing, and no memory for what a length only claims."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

from collector.errors import RecordingError

LONGEST_PACKET = 1 << 18  # libpcap's largest snapshot length
PIECE = 1 << 16


class Packet(NamedTuple):
    """data: what was captured of it. length: what it had on the wire. time_ns: unix time, as the file says."""

    time_ns: int
    link_type: int
    data: bytes
    length: int


class CutFileError(Exception):
    """The file ends in the middle of something; what was read before is whole. Never leaves this room."""


class CaptureStream:
    """Reads `file` from where it stands; `path` is for messages."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self.path = path

    def take(self, size: int, longest: int = LONGEST_PACKET) -> bytes:
        """Exactly `size` bytes. CutFileError when the file ends before, RecordingError when nothing is so long."""
        if not 0 <= size <= longest:
            raise self.damage(f"something claims {size} bytes")
        content = self._file.read(size)
        while len(content) < size:
            piece = self._file.read(size - len(content))
            if not piece:
                raise CutFileError
            content += piece
        return content

    def take_or_end(self, size: int) -> bytes:
        """`size` bytes, or b'' at the proper end of the file."""
        first = self._file.read(1)
        return first + self.take(size - 1) if first else b""

    def pass_over(self, size: int) -> None:
        """Reads and forgets; in pieces, as it may be anything and the file may be compressed."""
        while size > 0:
            size -= len(self.take(min(size, PIECE)))

    def damage(self, what: str) -> RecordingError:
        return RecordingError(f"{self.path} is damaged: {what}.", "Capture again, or mend it: pcapfix, editcap.")
