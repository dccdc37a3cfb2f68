"""From a captured packet to a TCP segment or UDP datagram: link, network and transport headers. Pure, raises nothing.

Checksums are not looked at: with offload, what is captured where it is sent has none yet. Tunnels are not followed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

TCP, UDP = 6, 17
IPV4, IPV6 = 0x0800, 0x86DD  # EtherTypes
VLAN_TYPES = frozenset((0x8100, 0x88A8, 0x9100))
VLANS_MAX = 4
MAPPED = b"\0" * 10 + b"\xff\xff"
FRAGMENT = 44
EXTENSIONS = frozenset((0, 43, FRAGMENT, 51, 60, 135, 139, 140))
AUTHENTICATION = 51  # counts its length in words of four bytes, the others in eight
EXTENSIONS_MAX = 8

# Why a packet is left out.
OTHER_LINK, OTHER_NETWORK, OTHER_TRANSPORT = "other_link_type", "other_network_protocol", "other_transport_protocol"
FRAGMENTED, CUT, CONTRADICTORY = "fragments", "cut_headers", "contradictory_lengths"
NOT_OURS = frozenset((OTHER_NETWORK, OTHER_TRANSPORT))  # of protocols that carry no requests we read: nothing is lost


class Segment(NamedTuple):
    """Of TCP or UDP. Addresses: 16 bytes, IPv4 as ::ffff:a.b.c.d. payload: what was captured of `size` bytes.

    sequence, acknowledgement, flags: of TCP, else 0.
    """

    transport: int
    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: int
    payload: bytes
    size: int


class Network(NamedTuple):
    """What is behind the link header: an EtherType and where it begins."""

    protocol: int
    at: int


class Transport(NamedTuple):
    """protocol: IP's number. at, end: of the transport header and of what it carries, as on the wire."""

    protocol: int
    source: bytes
    destination: bytes
    at: int
    end: int


def read_headers(link_type: int, data: bytes, length: int) -> Segment | str:
    """length: of the packet on the wire, `data` may be less. A reason when it is no segment that can be read."""
    link = LINKS.get(link_type)
    if link is None:
        return OTHER_LINK
    try:
        network = link(data)
        if isinstance(network, str):
            return network
        transport = read_network(network, data, length)
        return transport if isinstance(transport, str) else read_transport(transport, data)
    except (struct.error, IndexError):
        return CUT


def read_ethernet(data: bytes, at: int = 12) -> Network | str:
    (protocol,) = struct.unpack_from("!H", data, at)
    at += 2
    for _ in range(VLANS_MAX):
        if protocol not in VLAN_TYPES:
            break
        (protocol,) = struct.unpack_from("!H", data, at + 2)
        at += 4
    return Network(protocol, at)


def read_cooked(data: bytes) -> Network | str:
    """Linux "any" device; a VLAN tag may follow as on Ethernet."""
    return read_ethernet(data, 14)


def read_cooked_2(data: bytes) -> Network | str:
    (protocol,) = struct.unpack_from("!H", data)
    if protocol not in VLAN_TYPES:
        return Network(protocol, 20)
    (protocol,) = struct.unpack_from("!H", data, 22)
    return Network(protocol, 24)


def read_raw(data: bytes) -> Network | str:
    return read_version(data, 0)


def read_loopback(data: bytes) -> Network | str:
    """The address family of whichever system, in whichever byte order; the packet itself says its version."""
    return read_version(data, 4)


def read_version(data: bytes, at: int) -> Network | str:
    protocol = {4: IPV4, 6: IPV6}.get(data[at] >> 4)
    return OTHER_NETWORK if protocol is None else Network(protocol, at)


# LINKTYPE_ values: https://www.tcpdump.org/linktypes.html; 12 and 14 are DLT_RAW where systems wrote it as it was.
LINKS: dict[int, Callable[[bytes], Network | str]] = {
    0: read_loopback, 108: read_loopback, 1: read_ethernet, 113: read_cooked, 276: read_cooked_2,
    12: read_raw, 14: read_raw, 101: read_raw, 228: read_raw, 229: read_raw,
}  # fmt: skip


def read_network(network: Network, data: bytes, length: int) -> Transport | str:
    if network.protocol == IPV4:
        found = read_ipv4(data, network.at, length)
    elif network.protocol == IPV6:
        found = read_ipv6(data, network.at, length)
    else:
        return OTHER_NETWORK
    if isinstance(found, Transport) and not found.at <= found.end <= length:
        return CONTRADICTORY
    return found


def read_ipv4(data: bytes, at: int, length: int) -> Transport | str:
    first, _, total, _, fragment, _, protocol = struct.unpack_from("!BBHHHBB", data, at)
    header = (first & 15) * 4
    if first >> 4 != 4 or header < 20:
        return CONTRADICTORY
    if fragment & 0x3FFF:  # more to come, or not the first
        return FRAGMENTED
    if len(data) < at + 20:
        return CUT
    # 0: segmentation offload, the packet is longer than the field can say
    end = at + total if total else length
    return Transport(protocol, MAPPED + data[at + 12 : at + 16], MAPPED + data[at + 16 : at + 20], at + header, end)


def read_ipv6(data: bytes, at: int, length: int) -> Transport | str:
    """The transport header behind the fixed header and its extensions (RFC 8200), or the reason why there is none."""
    first, size, protocol = struct.unpack_from("!IHB", data, at)
    if first >> 28 != 6:
        return CONTRADICTORY
    if len(data) < at + 40:
        return CUT
    source, destination, place = data[at + 8 : at + 24], data[at + 24 : at + 40], at + 40
    end = place + size if size else length  # 0: a jumbogram, or offload
    for _ in range(EXTENSIONS_MAX):
        if protocol not in EXTENSIONS:
            return Transport(protocol, source, destination, place, end)
        following, words = data[place], data[place + 1]
        if protocol == FRAGMENT:
            (fragment,) = struct.unpack_from("!H", data, place + 2)
            if fragment & 0xFFF9:  # RFC 6946: a fragment that is the whole packet is as good as none
                return FRAGMENTED
            words = 0
        place += (words + 2) * 4 if protocol == AUTHENTICATION else (words + 1) * 8
        protocol = following
    return OTHER_TRANSPORT


def read_transport(found: Transport, data: bytes) -> Segment | str:
    """Ports, sequence and payload of a TCP segment or UDP datagram, or the reason why it is left out."""
    at, sequence, acknowledgement, flags = found.at, 0, 0, 0
    if found.protocol == TCP:
        source, destination, sequence, acknowledgement, offset, flags = struct.unpack_from("!HHIIBB", data, at)
        header, least = (offset >> 4) * 4, 20
    elif found.protocol == UDP:
        source, destination = struct.unpack_from("!HH", data, at)
        header = least = 8
    else:
        return OTHER_TRANSPORT
    size = found.end - at - header
    if header < least or size < 0:
        return CONTRADICTORY
    if len(data) < at + least:
        return CUT
    payload = data[at + header : found.end]
    ends = (found.source, found.destination, source, destination)
    return Segment(found.protocol, *ends, sequence, acknowledgement, flags, payload, size)
