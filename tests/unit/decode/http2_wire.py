"""Frames and header blocks of HTTP/2, written by hand so that the parser is not checked against itself."""

from __future__ import annotations

from collections.abc import Sequence

from collector.decode.protocols.hpack_static import STATIC_TABLE

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, HAS_PRIORITY, ACK = 0x1, 0x4, 0x8, 0x20, 0x1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Fields = Sequence[tuple[bytes, bytes]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


SETTINGS_FRAME = frame(SETTINGS, 0, 0, b"\0\3\0\0\0\x64")
SETTINGS_ACK = frame(SETTINGS, ACK, 0)
WINDOW = frame(WINDOW_UPDATE, 0, 0, b"\0\0\1\0")
PING_FRAME = frame(PING, 0, 0, b"12345678")
CLIENT_START = PREFACE + SETTINGS_FRAME


def write_integer(value: int, bits: int, pattern: int) -> bytes:
    full = (1 << bits) - 1
    if value < full:
        return bytes((pattern | value,))
    value -= full
    rest = bytearray()
    while value >= 0x80:
        rest.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((pattern | full, *rest, value))


def write_string(text: bytes) -> bytes:
    return write_integer(len(text), 7, 0) + text


class HeaderWriter:
    """One direction of a connection. Adds every new field to its table, as most senders do."""

    def __init__(self) -> None:
        self._table: list[tuple[bytes, bytes]] = []

    def block(self, fields: Fields) -> bytes:
        return b"".join(map(self._field, fields))

    def _field(self, field: tuple[bytes, bytes]) -> bytes:
        known = [*STATIC_TABLE, *self._table]
        if field in known:
            return write_integer(known.index(field) + 1, 7, 0x80)
        names = [name for name, _ in known]
        name, value = field
        self._table.insert(0, field)
        if name in names:
            return write_integer(names.index(name) + 1, 6, 0x40) + write_string(value)
        return b"\x40" + write_string(name) + write_string(value)

    def headers(self, stream: int, fields: Fields, flags: int = 0) -> bytes:
        return frame(HEADERS, flags | END_HEADERS, stream, self.block(fields))

    def headers_in_pieces(self, stream: int, fields: Fields, size: int, flags: int = 0) -> bytes:
        """HEADERS with padding and priority, and CONTINUATIONs of `size` bytes."""
        block = self.block(fields)
        pieces = [block[at : at + size] for at in range(0, len(block), size)]
        first = b"\3" + b"\0\0\0\0\x10" + pieces[0] + bytes(3)
        frames = [frame(HEADERS, flags | PADDED | HAS_PRIORITY, stream, first)]
        frames += [frame(CONTINUATION, 0, stream, piece) for piece in pieces[1:]]
        return b"".join(frames) + frame(CONTINUATION, END_HEADERS, stream, b"")


def ask(path: bytes, *more: tuple[bytes, bytes], method: bytes = b"GET") -> Fields:
    return [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"svc:8080"), *more]


def answer(status: bytes, *more: tuple[bytes, bytes]) -> Fields:
    return [(b":status", status), (b"server", b"test"), *more]
