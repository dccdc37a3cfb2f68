"""Captures in blocks (pcapng, draft-ietf-opsawg-pcapng): several sections and interfaces, each with its own clock.

Blocks that hold no packets (names, statistics, comments, secrets for decryption) are passed over unread.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from collector.source.capture_stream import LONGEST_PACKET, CaptureStream, Packet

SECTION = b"\x0a\x0d\x0d\x0a"  # the same in both byte orders
BYTE_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET = 1, 2, 3, 6
TIME_RESOLUTION, TIME_OFFSET = 9, 14  # options of an interface
HEAD_BYTES, TAIL_BYTES = 8, 4  # type and length before a block's body, the length again behind it
LONGEST_BLOCK = 2 * LONGEST_PACKET  # of those that are read: packet, head and options
INTERFACES_MAX = 4096
VERSION = 1
NANOSECONDS = 1_000_000_000


class Interface(NamedTuple):
    """snapshot: longest capture, 0 no limit. ticks: of its clock in a second. offset: seconds to add."""

    link_type: int
    snapshot: int
    ticks: int
    offset: int


class PcapngReader:
    """All sections of one file. RecordingError for damage, CutFileError where the file was cut."""

    def __init__(self, stream: CaptureStream) -> None:
        self._stream = stream
        self._order = "<"
        self._interfaces: list[Interface] = []
        self._latest = 0

    def read(self) -> Iterator[Packet]:
        """The packets of the file, of which the type of the first block is read already."""
        self._begin_section()
        while kind := self._stream.take_or_end(4):
            if kind == SECTION:
                self._begin_section()
                continue
            packet = self._read_block(*self._unpack("I", kind))
            if packet is not None:
                self._latest = packet.time_ns
                yield packet

    def _unpack(self, layout: str, data: bytes, at: int = 0) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self._order + layout, data, at)
        except struct.error:
            raise self._stream.damage("a block is shorter than its content") from None

    def _begin_section(self) -> None:
        length, magic = self._stream.take(4), self._stream.take(4)
        if magic not in BYTE_ORDERS:
            raise self._stream.damage("a section has no byte order")
        self._order, self._interfaces = BYTE_ORDERS[magic], []
        (size,) = self._unpack("I", length)
        self._check_size(size, 28)
        (major,) = self._unpack("H", self._stream.take(2))
        if major != VERSION:
            raise self._stream.damage(f"version {major} of the format is not known")
        self._stream.pass_over(size - HEAD_BYTES - 6 - TAIL_BYTES)
        self._check_tail(size)

    def _read_block(self, kind: int) -> Packet | None:
        (size,) = self._unpack("I", self._stream.take(4))
        self._check_size(size, HEAD_BYTES + TAIL_BYTES)
        body_size = size - HEAD_BYTES - TAIL_BYTES
        if kind not in (INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET):
            self._stream.pass_over(body_size)
            self._check_tail(size)
            return None
        body = self._stream.take(body_size, LONGEST_BLOCK)
        self._check_tail(size)
        if kind == INTERFACE:
            self._add_interface(body)
            return None
        return self._read_simple(body) if kind == SIMPLE_PACKET else self._read_stamped(kind, body)

    def _check_size(self, size: int, least: int) -> None:
        if size < least or size % 4:
            raise self._stream.damage(f"no block is {size} bytes long")

    def _check_tail(self, size: int) -> None:
        if self._unpack("I", self._stream.take(TAIL_BYTES)) != (size,):
            raise self._stream.damage("a block does not end where it says")

    def _add_interface(self, body: bytes) -> None:
        if len(self._interfaces) >= INTERFACES_MAX:
            raise self._stream.damage(f"more than {INTERFACES_MAX} interfaces")
        link_type, _, snapshot = self._unpack("HHI", body)
        ticks, offset, at = 1_000_000, 0, 8
        while at + 4 <= len(body):
            code, length = self._unpack("HH", body, at)
            if code == 0:
                break
            if code == TIME_RESOLUTION and length == 1:
                (resolution,) = self._unpack("B", body, at + 4)
                ticks = 1 << (resolution & 0x7F) if resolution & 0x80 else 10**resolution
            elif code == TIME_OFFSET and length == 8:
                (offset,) = self._unpack("q", body, at + 4)
            at += 4 + length + -length % 4
        self._interfaces.append(Interface(link_type, snapshot, ticks, offset))

    def _interface(self, number: int) -> Interface:
        if number >= len(self._interfaces):
            raise self._stream.damage(f"a packet of interface {number}, which was not described")
        return self._interfaces[number]

    def _read_stamped(self, kind: int, body: bytes) -> Packet:
        layout = "IIIII" if kind == ENHANCED_PACKET else "HHIIII"
        fields = self._unpack(layout, body)
        interface = self._interface(fields[0])
        high, low, captured, length = fields[-4:]
        time_ns = (high << 32 | low) * NANOSECONDS // interface.ticks + interface.offset * NANOSECONDS
        return self._packet(time_ns, interface, body[20:], captured, length)

    def _read_simple(self, body: bytes) -> Packet:
        """It has no time of its own: that of the packet before is the nearest."""
        (length,) = self._unpack("I", body)
        interface = self._interface(0)
        captured = min(length, interface.snapshot or length, len(body) - 4)
        return self._packet(self._latest, interface, body[4:], captured, length)

    def _packet(self, time_ns: int, interface: Interface, content: bytes, captured: int, length: int) -> Packet:
        if captured > min(len(content), LONGEST_PACKET):
            raise self._stream.damage(f"{captured} bytes of a packet in a block of {len(content)}")
        return Packet(time_ns, interface.link_type, content[:captured], max(length, captured))
