"""DNS messages (RFC 1035): bytes in, a message out. Nothing that arrives raises an exception."""

from __future__ import annotations

from dataclasses import dataclass, field

from collector.decode.protocols.dns_names import TypeNumber, read_name, skip_name

HEADER_BYTES = 12
RECORDS_MAX = 128  # of one message that are looked at
OPCODES = frozenset((0, 1, 2, 4, 5, 6))  # assigned by IANA; other first bytes are no DNS
MAPPED_IPV4 = bytes(10) + b"\xff\xff"
IPV4_HINT, IPV6_HINT = 4, 6  # SvcParamKeys, RFC 9460, 14.3.2


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """One resource record of the answer section.

    addresses: 16 bytes each (A, AAAA, hints of HTTPS and SVCB); target: where CNAME, DNAME, NS, PTR, MX, SRV, SVCB and
    HTTPS point; both empty for other types. ttl in seconds.
    """

    name: str
    type: int
    ttl: int
    addresses: tuple[bytes, ...] = ()
    target: str = ""


@dataclass(frozen=True, slots=True)
class DnsMessage:
    """What one message says, its identifier left out (so that equal questions are equal messages).

    question: lower case, '.' for the root, '' when the message has no question. response_code: with the EDNS extension.
    truncated: the sender cut it (TC). complete: nothing is missing or malformed behind the question; else `answers`
    holds what could be read before.
    """

    is_response: bool
    opcode: int
    response_code: int
    truncated: bool
    question: str = ""
    question_type: int = 0
    question_class: int = 0
    answer_count: int = 0
    answers: tuple[DnsRecord, ...] = field(default_factory=tuple)
    complete: bool = True

    def addresses(self) -> tuple[tuple[bytes, int], ...]:
        """(16-byte address, ttl) of all answers, whatever name they carry: the end of a CNAME chain answers its start."""
        return tuple((address, record.ttl) for record in self.answers for address in record.addresses)


def parse(payload: bytes) -> DnsMessage | None:
    """The message in `payload`, which may have lost its end; None when header or first question cannot be read."""
    if len(payload) < HEADER_BYTES:
        return None
    flags = _u16(payload, 2)
    opcode = flags >> 11 & 15
    if opcode not in OPCODES:
        return None
    counts = [_u16(payload, place) for place in (4, 6, 8, 10)]
    name, kind, of_class, position = "", 0, 0, HEADER_BYTES
    if counts[0]:
        found = read_name(payload, position)
        if found is None or found[1] + 4 > len(payload):
            return None
        name, position = found
        kind, of_class = _u16(payload, position), _u16(payload, position + 2)
        position += 4
    answers, extended_code, complete = _read_records(payload, position, counts)
    return DnsMessage(
        bool(flags >> 15), opcode, flags & 15 | extended_code, bool(flags >> 9 & 1),
        name, kind, of_class, counts[1], answers, complete,
    )  # fmt: skip


def _read_records(payload: bytes, position: int, counts: list[int]) -> tuple[tuple[DnsRecord, ...], int, bool]:
    """(answers, high bits of the response code, whether all was there), from `position`, behind the first question."""
    questions, in_answer, in_authority, in_additional = counts
    after_questions = _skip_questions(payload, position, questions - 1)
    answers: list[DnsRecord] = []
    extended_code = 0
    place = after_questions
    for index in range(in_answer + in_authority + in_additional):
        record = _read_record_head(payload, place) if place is not None and index < RECORDS_MAX else None
        if record is None:
            return tuple(answers), extended_code, False
        start, kind, ttl, data, size = record
        if index < in_answer:
            answer = _read_answer(payload, place or 0, kind, ttl, data, size)
            if answer is None:
                return tuple(answers), extended_code, False
            answers.append(answer)
        elif kind == TypeNumber.OPT:
            extended_code = ttl >> 24 << 4  # RFC 6891, 6.1.3
        place = start
    return tuple(answers), extended_code, place is not None


def _skip_questions(payload: bytes, position: int, more: int) -> int | None:
    """Position behind `more` further questions (there is never more than one in practice)."""
    if more > RECORDS_MAX:
        return None
    place: int | None = position
    for _ in range(more):
        place = skip_name(payload, place) if place is not None else None
        place = place + 4 if place is not None and place + 4 <= len(payload) else None
    return place


def _read_record_head(payload: bytes, position: int) -> tuple[int, int, int, int, int] | None:
    """(position of the next record, type, ttl, position of the data, its size); None when the end is missing."""
    after_name = skip_name(payload, position)
    if after_name is None or after_name + 10 > len(payload):
        return None
    kind = _u16(payload, after_name)
    ttl = int.from_bytes(payload[after_name + 4 : after_name + 8], "big")
    size = _u16(payload, after_name + 8)
    data = after_name + 10
    return (data + size, kind, ttl, data, size) if data + size <= len(payload) else None


def _read_answer(payload: bytes, position: int, kind: int, ttl: int, data: int, size: int) -> DnsRecord | None:
    """None when the record's data is not what its type demands. A TTL with the top bit set counts as 0 (RFC 2181, 8)."""
    owner = read_name(payload, position)
    if owner is None:
        return None
    ttl = ttl if ttl < 1 << 31 else 0
    content = payload[data : data + size]
    if kind == TypeNumber.A:
        return DnsRecord(owner[0], kind, ttl, (MAPPED_IPV4 + content,)) if size == 4 else None
    if kind == TypeNumber.AAAA:
        return DnsRecord(owner[0], kind, ttl, (content,)) if size == 16 else None
    before_target = TypeNumber.BYTES_BEFORE_TARGET.get(kind)
    if before_target is None:
        return DnsRecord(owner[0], kind, ttl)
    target = read_name(payload, data + before_target)
    if target is None or target[1] > data + size:
        return None
    hints = _read_hints(payload[target[1] : data + size]) if kind in (TypeNumber.SVCB, TypeNumber.HTTPS) else ()
    return DnsRecord(owner[0], kind, ttl, hints, target[0])


def _read_hints(parameters: bytes) -> tuple[bytes, ...]:
    """Addresses in the parameters of an SVCB or HTTPS record (RFC 9460, 7.3), as far as they are well formed."""
    found: list[bytes] = []
    place = 0
    while place + 4 <= len(parameters):
        key, size = _u16(parameters, place), _u16(parameters, place + 2)
        value = parameters[place + 4 : place + 4 + size]
        place += 4 + size
        if len(value) < size:
            break
        if key == IPV4_HINT:
            found += [MAPPED_IPV4 + value[at : at + 4] for at in range(0, size - 3, 4)]
        elif key == IPV6_HINT:
            found += [value[at : at + 16] for at in range(0, size - 15, 16)]
    return tuple(found)


def _u16(payload: bytes, position: int) -> int:
    return payload[position] << 8 | payload[position + 1]
