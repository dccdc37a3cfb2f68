"""Questions about columns of addresses (V16, IPv4 as ::ffff:a.b.c.d), answered for all rows at once."""

from __future__ import annotations

import numpy as np

from collector.batch import Column

MAPPED_PREFIX = np.frombuffer(bytes(10) + b"\xff\xff", np.uint8)
LOOPBACK_IPV6 = np.frombuffer(bytes(15) + b"\x01", np.uint8)


def octets_of(addresses: Column) -> Column:
    """uint8, shape (n, 16)."""
    return np.ascontiguousarray(addresses).view(np.uint8).reshape(len(addresses), 16)


def are_ipv4(octets: Column) -> Column:
    return np.asarray((octets[:, :12] == MAPPED_PREFIX).all(axis=1))


def are_loopback(octets: Column) -> Column:
    """127.0.0.0/8 and ::1."""
    return np.asarray((are_ipv4(octets) & (octets[:, 12] == 127)) | (octets == LOOPBACK_IPV6).all(axis=1))


def are_unspecified(octets: Column) -> Column:
    """0.0.0.0 and ::."""
    return np.asarray((are_ipv4(octets) & ~octets[:, 12:].any(axis=1)) | ~octets.any(axis=1))
