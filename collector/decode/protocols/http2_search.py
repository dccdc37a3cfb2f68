"""Where HTTP/2 frames begin in the middle of a connection: evidence from the frames themselves, never from a port or a name.

A frame header is believed when it obeys RFC 9113 in every field and what it leads to are others, or when its payload
proves it. By chance bytes do the first about once in 10^9 places, more often beside real frames, which are full of zeros.
"""

from __future__ import annotations

import re
from struct import Struct, iter_unpack
from typing import NamedTuple

from collector.decode.protocols.hpack import HpackDecoder, Reading
from collector.decode.request import Evidence

FRAME_HEADER = Struct(">IBI")
FRAME_HEADER_BYTES = 9
FRAME_BYTES_MAX = 16_384  # before a SETTINGS allows more; larger ones are not searched for
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, HAS_PRIORITY, ACK = 0x1, 0x4, 0x8, 0x20, 0x1
CANDIDATE = re.compile(rb"\x00[\x00-\x40].[\x00-\x08]", re.DOTALL)
CONTINUATION_BYTE = bytes((CONTINUATION,))
# Frames of fixed size; the others weigh 1, and a frame of the same stream as the one before weighs 1 more.
WEIGHTS = {PRIORITY: 2, RST_STREAM: 2, PING: 2, GOAWAY: 2, WINDOW_UPDATE: 2}
WEIGHT_OF_CERTAINTY = 3
KNOWN_SETTINGS = frozenset((1, 2, 3, 4, 5, 6, 8, 9))
PSEUDO_HEADERS = (b":method", b":scheme", b":path", b":status", b":authority")
PROOF = Reading(dict.fromkeys(PSEUDO_HEADERS, bool))


class Rule(NamedTuple):
    """flags: those that exist. stream: whether one is named, None: either. sizes: least and greatest payload."""

    flags: int
    stream: bool | None
    sizes: tuple[int, int]


RULES = {
    DATA: Rule(END_STREAM | PADDED, True, (0, FRAME_BYTES_MAX)),
    HEADERS: Rule(END_STREAM | END_HEADERS | PADDED | HAS_PRIORITY, True, (1, FRAME_BYTES_MAX)),
    PRIORITY: Rule(0, True, (5, 5)),
    RST_STREAM: Rule(0, True, (4, 4)),
    SETTINGS: Rule(ACK, False, (0, 60)),
    PUSH_PROMISE: Rule(END_HEADERS | PADDED, True, (5, FRAME_BYTES_MAX)),
    PING: Rule(ACK, False, (8, 8)),
    GOAWAY: Rule(0, False, (8, 1024)),
    WINDOW_UPDATE: Rule(0, None, (4, 4)),
    CONTINUATION: Rule(END_HEADERS, True, (1, FRAME_BYTES_MAX)),
}


def find_frames(data: bytes, start: int, from_client: bool) -> tuple[int, bool]:
    """(position, whether frames certainly begin there); if not certain, nothing before the position has to be kept.

    Of several places the one wins whose evidence is whole first, so that it does not matter in which pieces `data` came.
    """
    certain = first_possible = -1
    evidence_end = len(data) + 1
    while (found := CANDIDATE.search(data, start)) and found.start() < evidence_end:
        evidence, end = weigh_frames(data, found.start(), from_client)
        if evidence is Evidence.YES and end < evidence_end:
            certain, evidence_end = found.start(), end
        elif evidence is Evidence.MAYBE and first_possible < 0:
            first_possible = found.start()
        start = found.start() + 1
    if certain >= 0:
        return certain, True
    return first_possible if first_possible >= 0 else max(start, len(data) - FRAME_HEADER_BYTES + 1), False


def weigh_frames(data: bytes, position: int, from_client: bool) -> tuple[Evidence, int]:
    """(whether frames begin at `position`, where the evidence for YES ends)."""
    weight = last_stream = 0
    if data[position + 3 : position + 4] == CONTINUATION_BYTE:
        return Evidence.NO, 0
    while len(data) - position >= FRAME_HEADER_BYTES:
        if not _is_plausible(data, position, from_client):
            return Evidence.NO, 0
        word, flags, stream = FRAME_HEADER.unpack_from(data, position)
        kind = word & 0xFF
        weight += WEIGHTS.get(kind, 1) + (last_stream == stream != 0)
        position += FRAME_HEADER_BYTES
        if weight >= WEIGHT_OF_CERTAINTY:
            return Evidence.YES, position
        end = position + (word >> 8)
        proves = PROOFS.get(kind)
        if proves and len(data) >= end and proves(data[position:end], flags):
            return Evidence.YES, end
        position, last_stream = end, stream
    return Evidence.MAYBE, 0


def _is_plausible(data: bytes, position: int, from_client: bool) -> bool:
    word, flags, stream = FRAME_HEADER.unpack_from(data, position)
    kind, size = word & 0xFF, word >> 8
    rule = RULES.get(kind)
    if rule is None or flags & ~rule.flags or stream >> 31 or not rule.sizes[0] <= size <= rule.sizes[1]:
        return False
    if rule.stream is not None and rule.stream != (stream != 0):
        return False
    if kind in (DATA, HEADERS) and from_client:
        return bool(stream & 1 and (size or flags & END_STREAM))
    if kind == SETTINGS:
        return size % 6 == 0 and not (size and flags)
    return bool(kind != DATA or size or flags & END_STREAM) and not (kind == PUSH_PROMISE and from_client)


def remove_padding(payload: bytes, flags: int) -> bytes | None:
    """Payload of HEADERS or PUSH_PROMISE without padding; None when there is more padding than payload."""
    if not flags & PADDED:
        return payload
    padding = payload[0] if payload else 0
    return payload[1 : len(payload) - padding] if padding < len(payload) else None


def remove_priority(payload: bytes, flags: int) -> bytes:
    """Payload of HEADERS without the priority fields that its flag announces."""
    return payload[5:] if flags & HAS_PRIORITY else payload


def _proves_headers(payload: bytes, flags: int) -> bool:
    content = remove_padding(payload, flags)
    if not content or not flags & END_HEADERS:
        return False
    decoder = HpackDecoder(PROOF)
    decoder.forget()
    block = decoder.decode(remove_priority(content, flags))
    return block is not None and any(is_known for _, is_known in block.fields)


def _proves_settings(payload: bytes, _flags: int) -> bool:
    return payload != b"" and all(number in KNOWN_SETTINGS and value < 1 << 31 for number, value in iter_unpack(">HI", payload))


PROOFS = {HEADERS: _proves_headers, SETTINGS: _proves_settings}
