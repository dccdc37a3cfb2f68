"""A connection inside the node is seen at both of its ends: which two rows are one connection?"""

from __future__ import annotations

import numpy as np

from collector.batch import Column, Rows

LOOPBACK_IPV6 = 1  # ::1
LOOPBACK_IPV4 = 0xFFFF7F  # the low half of ::ffff:127.x.x.x without its last three octets
CLOSE_ENOUGH_NS = 1_000_000_000  # the second end opens a round trip after the first, and may close before the first is seen
ODD = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2**64 / golden ratio, Knuth's multiplicative hashing


def find_other_ends(rows: Rows) -> Column:
    """Index of the row that is the other end of the same connection, shape (n,); -1 where it is not among FLOW `rows`.

    Two rows are one connection when each names the other's address and port and they existed at one time. Connections
    over loopback must be in one network namespace: every namespace has its own 127.0.0.1.
    """
    other = np.full(len(rows), -1, np.intp)
    if len(rows) < 2:
        return other
    local, remote = _end(rows, "local"), _end(rows, "remote")
    key = _mix(_mix(np.minimum(local, remote), np.maximum(local, remote)), rows["protocol"])
    key = np.where(_is_loopback(rows["local_address"]), _mix(key, rows["netns"]), key)
    order = np.lexsort((rows["time"], key))
    first, second = order[:-1], order[1:]
    together = (key[first] == key[second]) & (local[first] == remote[second]) & (local[first] != remote[first])
    ended = rows["ended_at"][first]
    together &= (ended == 0) | (rows["time"][second] <= ended + CLOSE_ENOUGH_NS)
    together = _every_second(together)
    other[first[together]] = second[together]
    other[second[together]] = first[together]
    return other


def _end(rows: Rows, side: str) -> Column:
    address = rows[f"{side}_address"]
    return _mix(_mix(address[:, 0], address[:, 1]), rows[f"{side}_port"])


def _mix(left: Column, right: Column) -> Column:
    """A 64-bit hash of two columns of integers (the finaliser of SplitMix64); a collision is less likely than a bit flip."""
    mixed = (left.astype(np.uint64) * ODD) ^ right.astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    hashed: Column = mixed ^ (mixed >> np.uint64(27))
    return hashed


def _is_loopback(address: Column) -> Column:
    high, low = address[:, 0], address[:, 1]
    mask: Column = (high == 0) & ((low == LOOPBACK_IPV6) | (low >> np.uint64(24) == LOOPBACK_IPV4))
    return mask


def _every_second(chain: Column) -> Column:
    """Of each run of True keeps the first, third, ...: a row that is one half of a pair is not half of the next."""
    index = np.arange(len(chain))
    run_start = np.maximum.accumulate(np.where(chain, 0, index + 1))
    kept: Column = chain & ((index - run_start) % 2 == 0)
    return kept
