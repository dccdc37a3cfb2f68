"""Resource versions: opaque to clients, but for which of two comes first.

They are decimal numbers that grow (KEP-5504 promises it from Kubernetes 1.35 on; before, every server that keeps its objects
in etcd had it so). Of any other form nothing is said.
"""

from __future__ import annotations

LONGEST_DIGITS = 20  # of 64 bits


def is_before(version: str, other: str) -> bool:
    """False where it cannot be told."""
    return _is_number(version) and _is_number(other) and int(version) < int(other)


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit() and len(version) <= LONGEST_DIGITS
