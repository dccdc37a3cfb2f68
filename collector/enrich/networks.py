"""What kind of network an address is in: the last thing that can be said about a peer. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA special-purpose address registries (RFC 6890 and its updates), IPv4 and IPv6.
SPECIAL_NETWORKS = {
    "loopback": "127.0.0.0/8 ::1/128",
    "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
    "unique-local": "fc00::/7",
    "link-local": "169.254.0.0/16 fe80::/10",
    "multicast": "224.0.0.0/4 ff00::/8",
    "broadcast": "255.255.255.255/32",
    "documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
    "carrier-nat": "100.64.0.0/10",
    "benchmark": "198.18.0.0/15",
    "this-network": "0.0.0.0/8",
    "reserved": "240.0.0.0/4",
}
INTERNET = "internet"
MAPPED = 0xFFFF << 32  # ::ffff:0:0, where IPv4 lies within IPv6 (RFC 4291, 2.5.5.2)
KEPT = 65536

Prefix = tuple[int, int, str]  # network, mask, name; both as IPv6


class NetworkTable:
    """The user's networks first, then the special ones; among each the longest prefix wins. Everything else is the internet.

    networks: (name, network) pairs.
    """

    def __init__(self, networks: Sequence[tuple[str, Network]] = ()) -> None:
        special = [(name, ipaddress.ip_network(text)) for name, texts in SPECIAL_NETWORKS.items() for text in texts.split()]
        self._prefixes = (*by_length(networks), *by_length(special))
        self._memo: dict[bytes, str] = {}

    def name_of(self, address: bytes) -> str:
        """address: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d."""
        name = self._memo.get(address)
        if name is None:
            number = int.from_bytes(address, "big")
            name = next((label for network, mask, label in self._prefixes if number & mask == network), INTERNET)
            if len(self._memo) >= KEPT:
                self._memo.clear()
            self._memo[address] = name
        return name


def by_length(networks: Sequence[tuple[str, Network]]) -> list[Prefix]:
    return sorted((as_prefix(name, network) for name, network in networks), key=lambda prefix: -prefix[1])


def as_prefix(name: str, network: Network) -> Prefix:
    host_bits = network.max_prefixlen - network.prefixlen
    base = MAPPED if network.version == 4 else 0
    return int(network.network_address) | base, (1 << 128) - (1 << host_bits), name
