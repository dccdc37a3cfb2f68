"""Netlink messages of nf_conntrack to rows of `address_translation`, and back the other way for requests. Bytes only, no I/O.

Layout: include/uapi/linux/netlink.h, nfnetlink.h, nfnetlink_conntrack.h; the kernel writes both tuples first
(ctnetlink_fill_info and ctnetlink_conntrack_event in nf_conntrack_netlink.c), so that those of all messages of a family
stand at the same places and are read as columns. What looks otherwise (ICMP, zones of one direction) is left out.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from collector.address_translation import CREATED, DESTROYED, SCHEMA, TRANSPORTS
from collector.batch import Rows

SUBSYSTEM = 1  # NFNL_SUBSYS_CTNETLINK, the high byte of a message's type
NEW, GET, DELETE = 0, 1, 2  # IPCTNL_MSG_CT_*
ERROR, DONE = 2, 3
REQUEST, DUMP = 0x1, 0x300
INTERRUPTED = 0x10  # NLM_F_DUMP_INTR: the table changed in a way that may have made the dump incomplete
HEADER = struct.Struct("=IHHII")
HEAD_BYTES = HEADER.size + 4  # nfgenmsg: family, version, resource
IPV4, IPV6 = 2, 10
ADDRESS_BYTES = {IPV4: 4, IPV6: 16}
NESTED = np.uint16(0x8000)
ATTRIBUTES = ("tuple", "ip", "source", "destination", "proto", "number", "source_port", "destination_port")
STATUS, STATUS_MASK = 3, 26  # CTA_STATUS, CTA_STATUS_MASK
STATUS_SOURCE, STATUS_DESTINATION = 0x10, 0x20  # IPS_SRC_NAT, IPS_DST_NAT
STATUS_NAT = STATUS_SOURCE | STATUS_DESTINATION
FIND_ATTRIBUTE = 0xFFFFF000 + 12  # SKF_AD_OFF + SKF_AD_NLATTR


@dataclass(slots=True)
class Messages:
    """rows: connections with rewritten addresses; observed_at, since and netns are not filled. plain: connections as they are.

    other: messages that are no connection with ports, or damaged. done: a dump ended; interrupted: not with everything.
    error: the number in an error message (0: success, or none).
    """

    rows: Rows = field(default_factory=lambda: np.zeros(0, SCHEMA.dtype))
    plain: int = 0
    other: int = 0
    done: bool = False
    interrupted: bool = False
    error: int = 0


def read_messages(datagrams: Sequence[bytes]) -> Messages:
    """Everything in these datagrams. Never raises, for any bytes."""
    found = Messages()
    heads: dict[int, list[bytes]] = {IPV4: [], IPV6: []}
    events: dict[int, list[int]] = {IPV4: [], IPV6: []}
    for datagram in datagrams:
        position = 0
        while position + HEADER.size <= len(datagram):
            length, kind, flags, _, _ = HEADER.unpack_from(datagram, position)
            if length < HEADER.size or position + length > len(datagram):
                found.other += 1
                break
            found.interrupted |= bool(flags & INTERRUPTED)
            family = datagram[position + HEADER.size] if length >= HEAD_BYTES else 0
            if kind >> 8 == SUBSYSTEM and kind & 0xFF in (NEW, DELETE) and length >= LENGTHS.get(family, 1 << 32):
                heads[family].append(datagram[position : position + LENGTHS[family]])
                events[family].append(CREATED if kind & 0xFF == NEW else DESTROYED)
            else:
                read_control(datagram[position : position + length], kind, found)
            position += (length + 3) & ~3
    parts = [read_family(family, heads[family], events[family], found) for family in heads if heads[family]]
    if parts:
        found.rows = np.concatenate(parts)
    return found


def read_control(message: bytes, kind: int, found: Messages) -> None:
    if kind == DONE:
        found.done = True
    elif kind == ERROR and len(message) >= HEADER.size + 4:
        found.error = -int(struct.unpack_from("=i", message, HEADER.size)[0])
    else:
        found.other += 1


def tuple_layout(family: int) -> np.dtype[np.void]:
    """One tuple as the kernel writes it: nested attributes with the addresses, then with protocol and ports."""
    address = f"V{ADDRESS_BYTES[family]}"
    contents = {"source": address, "destination": address, "number": "u1", "source_port": ">u2", "destination_port": ">u2"}
    pads = {"number": "V3", "source_port": "V2", "destination_port": "V2"}
    fields: list[tuple[str, str]] = []
    for name in ATTRIBUTES:
        fields += [(f"{name}_length", "u2"), (f"{name}_type", "u2")]
        fields += [(name, contents[name])] if name in contents else []
        fields += [(f"{name}_pad", pads[name])] if name in pads else []
    return np.dtype(fields)


def expected_headers(family: int, direction: int) -> dict[str, int]:
    """What stands in the lengths and types. CTA_TUPLE_ORIG 1 or REPLY 2; in it CTA_TUPLE_IP 1 with CTA_IP_V4_SRC 1 and _DST 2
    (IPv6: 3 and 4), then CTA_TUPLE_PROTO 2 with CTA_PROTO_NUM 1, SRC_PORT 2, DST_PORT 3."""
    width = ADDRESS_BYTES[family]
    first = 1 if family == IPV4 else 3
    addresses = 4 + 2 * (4 + width)
    lengths = (4 + addresses + 28, addresses, 4 + width, 4 + width, 28, 5, 6, 6)
    types = (direction, 1, first, first + 1, 2, 1, 2, 3)
    return {
        **{f"{name}_length": length for name, length in zip(ATTRIBUTES, lengths, strict=True)},
        **{f"{name}_type": kind for name, kind in zip(ATTRIBUTES, types, strict=True)},
    }


LAYOUTS = {
    family: np.dtype([("head", f"V{HEAD_BYTES}"), ("original", tuple_layout(family)), ("reply", tuple_layout(family))])
    for family in ADDRESS_BYTES
}
LENGTHS = {family: layout.itemsize for family, layout in LAYOUTS.items()}


def read_family(family: int, heads: list[bytes], events: list[int], found: Messages) -> Rows:
    messages = np.frombuffer(b"".join(heads), LAYOUTS[family])
    regular = np.isin(messages["original"]["number"], list(TRANSPORTS))
    for direction, name in enumerate(("original", "reply"), start=1):
        for header, value in expected_headers(family, direction).items():
            regular &= (messages[name][header] & ~NESTED) == value
    found.other += int(np.count_nonzero(~regular))
    original, reply = messages["original"], messages["reply"]
    changed = (original["source"] != reply["destination"]) | (original["destination"] != reply["source"])
    changed |= original["source_port"] != reply["destination_port"]
    changed |= original["destination_port"] != reply["source_port"]
    found.plain += int(np.count_nonzero(regular & ~changed))
    wanted = regular & changed
    return fill_rows(family, messages[wanted], np.array(events, np.uint8)[wanted])


def fill_rows(family: int, messages: Rows, events: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Rows:
    rows = np.zeros(len(messages), SCHEMA.dtype)
    rows["event"] = events
    rows["transport"] = messages["original"]["number"]
    for direction in ("original", "reply"):
        for end in ("source", "destination"):
            rows[f"{direction}_{end}"] = widen(messages[direction][end], family)
            rows[f"{direction}_{end}_port"] = messages[direction][f"{end}_port"]
    return rows


def widen(addresses: Rows, family: int) -> Rows:
    """V16, IPv4 as ::ffff:a.b.c.d."""
    if family == IPV6:
        return addresses
    wide = np.zeros((len(addresses), 16), np.uint8)
    wide[:, 10:12] = 0xFF
    wide[:, 12:] = np.ascontiguousarray(addresses).view(np.uint8).reshape(-1, 4)
    return wide.view("V16").reshape(-1)


def ask_for_table(sequence: int, status: int) -> bytes:
    """A request for all connections of both families that have these bits of `status`. A kernel that does not know
    this filter (CTA_STATUS_MASK) tells all.
    """
    bits = status.to_bytes(4, "big")
    filters = struct.pack("=HH4s", 8, STATUS, bits) + struct.pack("=HH4s", 8, STATUS_MASK, bits)
    header = HEADER.pack(HEAD_BYTES + len(filters), SUBSYSTEM << 8 | GET, REQUEST | DUMP, sequence, 0)
    return header + bytes(4) + filters


def rewritten_only() -> bytes:
    """A socket filter (classic BPF, struct sock_filter) that lets pass messages of connections with rewritten addresses: most
    connections have none, and then nobody wakes up. For events, which come one to a datagram.

    NAT sets bits of the status; IPVS only puts another address into the reply.
    """
    load, load_word, load_at_x, load_octet, to_x = 0x00, 0x20, 0x40, 0x30, 0x07  # BPF_LD: BPF_IMM, BPF_ABS, BPF_IND; BPF_TAX
    equal, any_bit, end = 0x15, 0x45, 0x06  # BPF_JEQ, BPF_JSET, BPF_RET; jumps are counted from the next instruction
    by_family = {family: compare_ends(family) for family in (IPV4, IPV6)}
    program = [
        (load, 0, 0, HEAD_BYTES),  # A = where the attributes begin
        (0x01, 0, 0, STATUS),  # X = BPF_LDX: the attribute to find
        (load_word, 0, 0, FIND_ATTRIBUTE),  # A = where it is, 0 for nowhere
        (equal, 3, 0, 0),  # without a status it is not ours to judge
        (to_x, 0, 0, 0),
        (load_at_x, 0, 0, 4),  # A = the status, in network order as BPF reads it
        (any_bit, 0, 1, STATUS_NAT),
        (end, 0, 0, 0xFFFFFFFF),  # all of it
        (load_octet, 0, 0, HEADER.size),
        (equal, 0, len(by_family[IPV4]), IPV4),
        *by_family[IPV4],
        *by_family[IPV6],
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def compare_ends(family: int) -> list[tuple[int, int, int, int]]:
    """Instructions that pass the message when its original destination is not the reply's source, and else ignore it; also what
    has no ports, for there the tuples lie otherwise."""
    load_word, load_octet, to_x, equal, equal_x, end = 0x20, 0x30, 0x07, 0x15, 0x1D, 0x06
    pass_all, ignore = (end, 0, 0, 0xFFFFFFFF), (end, 0, 0, 0)
    destination, number = (place_of(family, "original", name) for name in ("destination", "number"))
    source = place_of(family, "reply", "source")
    known = [(equal, len(TRANSPORTS) - index, 0, transport) for index, transport in enumerate(TRANSPORTS)]
    program = [(load_octet, 0, 0, number), *known, ignore]
    for word in range(0, ADDRESS_BYTES[family], 4):
        program += [(load_word, 0, 0, destination + word), (to_x, 0, 0, 0), (load_word, 0, 0, source + word)]
        program += [(equal_x, 1, 0, 0), pass_all]
    return [*program, ignore]


def place_of(family: int, direction: str, name: str) -> int:
    """Where that stands in a message."""
    outer, inner = LAYOUTS[family].fields, tuple_layout(family).fields
    assert outer is not None
    assert inner is not None
    return int(outer[direction][1]) + int(inner[name][1])
