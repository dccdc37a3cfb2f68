"""Packet captures: pcap and pcapng files, plain or under gzip, as packets one after the other.

A reader of our own: both formats together are 200 lines, every length in them has to be checked before memory is taken
for it, and a library would be one more dependency of every node for a command that few of them run.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from collector.errors import RecordingError
from collector.source.capture_stream import CaptureStream, CutFileError, Packet
from collector.source.pcap import MAGICS, read_pcap
from collector.source.pcapng import SECTION, PcapngReader

log = logging.getLogger(__name__)
MAGIC_BYTES = 4
GZIP = b"\x1f\x8b"
REMEDY = "Make one: tcpdump -i any -w FILE.pcap"


def is_capture(path: Path) -> bool:
    """Whether the file begins as a packet capture does; False when it cannot be read."""
    try:
        with open_plain(path) as file:
            magic = file.read(MAGIC_BYTES)
    except (OSError, EOFError, zlib.error):
        return False
    return magic in MAGICS or magic == SECTION


def read_packets(path: Path) -> Iterator[Packet]:
    """Ends where a file was cut, and says so in the log; RecordingError when it is no capture, or damaged from here on."""
    try:
        with open_plain(path) as file:
            stream = CaptureStream(file, path)
            yield from choose_format(stream)
    except (CutFileError, EOFError):
        log.warning("%s was cut short: this is what there is of it", path)
    except (OSError, zlib.error) as error:
        raise RecordingError(f"{path} cannot be read: {error}.", REMEDY) from None


def choose_format(stream: CaptureStream) -> Iterator[Packet]:
    try:
        magic = stream.take(MAGIC_BYTES)
    except CutFileError:
        magic = b""
    if magic == SECTION:
        return PcapngReader(stream).read()
    if magic in MAGICS:
        return read_pcap(stream, magic)
    raise RecordingError(f"{stream.path} is no packet capture (pcap or pcapng).", REMEDY)


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """The file's content, also of one under gzip. OSError when there is none."""
    with path.open("rb") as file:
        is_packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        if not is_packed:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield cast(BinaryIO, unpacked)
