"""Domain names on the wire, and the names of numbers in DNS messages."""

from __future__ import annotations

from types import MappingProxyType

NAME_OCTETS_MAX = 255  # RFC 1035, 2.3.4
POINTERS_MAX = 127  # no name of 255 octets needs more

_SHOWN = {
    octet: chr(octet).lower() if 0x21 <= octet <= 0x7E and octet not in b".\\" else f"\\{octet:03d}" for octet in range(256)
} | {ord("."): "\\.", ord("\\"): "\\\\"}


class TypeNumber:
    """Types of resource records that carry more than text (IANA, DNS Parameters)."""

    A, NS, CNAME, PTR, MX, AAAA, SRV, DNAME, OPT, SVCB, HTTPS = 1, 2, 5, 12, 15, 28, 33, 39, 41, 64, 65
    BYTES_BEFORE_TARGET = MappingProxyType({NS: 0, CNAME: 0, PTR: 0, MX: 2, SRV: 6, DNAME: 0, SVCB: 2, HTTPS: 2})


QUESTION_TYPES = MappingProxyType({
    0: "none", 1: "a", 2: "ns", 5: "cname", 6: "soa", 12: "ptr", 13: "hinfo", 15: "mx", 16: "txt", 17: "rp", 18: "afsdb",
    24: "sig", 25: "key", 28: "aaaa", 29: "loc", 33: "srv", 35: "naptr", 36: "kx", 37: "cert", 39: "dname", 41: "opt",
    42: "apl", 43: "ds", 44: "sshfp", 45: "ipseckey", 46: "rrsig", 47: "nsec", 48: "dnskey", 49: "dhcid", 50: "nsec3",
    51: "nsec3param", 52: "tlsa", 53: "smimea", 55: "hip", 59: "cds", 60: "cdnskey", 61: "openpgpkey", 62: "csync",
    63: "zonemd", 64: "svcb", 65: "https", 99: "spf", 108: "eui48", 109: "eui64", 249: "tkey", 250: "tsig", 251: "ixfr",
    252: "axfr", 255: "any", 256: "uri", 257: "caa", 32768: "ta", 32769: "dlv",
})  # fmt: skip

RESPONSE_CODES = MappingProxyType({
    0: "noerror", 1: "formerr", 2: "servfail", 3: "nxdomain", 4: "notimp", 5: "refused", 6: "yxdomain", 7: "yxrrset",
    8: "nxrrset", 9: "notauth", 10: "notzone", 11: "dsotypeni", 16: "badvers", 17: "badkey", 18: "badtime", 19: "badmode",
    20: "badname", 21: "badalg", 22: "badtrunc", 23: "badcookie",
})  # fmt: skip


def read_name(payload: bytes, position: int) -> tuple[str, int] | None:
    """(name, position behind it) with compression followed; None when it is malformed, too long, a loop or cut off.

    Lower case; octets that are no printable ASCII, and dots and backslashes inside a label, are written as RFC 1035, 5.1
    says, so that the text is safe to show and says the same as the wire.
    """
    labels: list[str] = []
    octets, pointers, behind = 0, 0, 0
    while position < len(payload):
        length = payload[position]
        if length >= 0xC0:
            if position + 1 >= len(payload) or pointers == POINTERS_MAX:
                return None
            target = (length & 0x3F) << 8 | payload[position + 1]
            if target >= position:
                return None  # only to what came before (RFC 1035, 4.1.4), so there is no loop
            behind = behind or position + 2
            position = target
            pointers += 1
            continue
        octets += length + 1
        end = position + 1 + length
        if length > 63 or octets > NAME_OCTETS_MAX or end > len(payload):
            return None
        if length == 0:
            return ".".join(labels) or ".", behind or end
        labels.append("".join(map(_SHOWN.__getitem__, payload[position + 1 : end])))
        position = end
    return None


def skip_name(payload: bytes, position: int) -> int | None:
    """Position behind the name at `position`, pointers not followed; None when it is malformed or cut off."""
    while position < len(payload):
        length = payload[position]
        if length >= 0xC0:
            return position + 2 if position + 2 <= len(payload) else None
        if length > 63:
            return None
        position += 1 + length
        if length == 0:
            return position
    return None
