"""Classic captures (libpcap's savefile format, draft-ietf-opsawg-pcap): both byte orders, microseconds and nanoseconds."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from collector.source.capture_stream import CaptureStream, Packet

# magic as it lies in the file -> (byte order, ns per tick of the fraction)
MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
VERSION = 2
LINK_TYPE_BITS = 0x03FFFFFF  # above: how long the frame check sequence is
NANOSECONDS = 1_000_000_000


def read_pcap(stream: CaptureStream, magic: bytes) -> Iterator[Packet]:
    """The packets behind `magic`, which is read already. RecordingError for damage, CutFileError where the file was cut."""
    order, tick = MAGICS[magic]
    major, _, _, _, _, link_type = struct.unpack(order + "HHIIII", stream.take(20))
    if major != VERSION:
        raise stream.damage(f"version {major} of the format was never made")
    head = struct.Struct(order + "IIII")
    while record := stream.take_or_end(head.size):
        seconds, fraction, captured, length = head.unpack(record)
        data = stream.take(captured)
        yield Packet(seconds * NANOSECONDS + fraction * tick, link_type & LINK_TYPE_BITS, data, max(length, captured))
