"""What the kernel answers about a hash map, so that the reader's loop can be followed step by step without one."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from collector.source.libbpf import Libbpf


@dataclass
class HashMap:
    """buckets: each a list of (key, value); the walk gives whole buckets, as BPF_MAP_LOOKUP_BATCH does.

    processors: per-CPU values are so many. one_step: whether the kernel can look up and delete at once. error: what every
    call fails with.
    """

    buckets: Sequence[list[tuple[bytes, bytes]]]
    processors: int = 1
    one_step: bool = True
    error: int = 0
    asked: list[int] = field(default_factory=list)

    def libbpf(self) -> Libbpf:
        return Libbpf(
            {
                "libbpf_num_possible_cpus": lambda: self.processors,
                "bpf_map_lookup_batch": self.lookup_batch,
                "bpf_map_lookup_and_delete_elem": self.lookup_and_delete,
                "bpf_map_lookup_elem": self.lookup,
                "bpf_map_delete_elem": self.delete,
            }
        )

    def lookup_batch(self, _: int, token: Any, after: Any, keys: int, values: int, count: Any, options: Any) -> int:
        """The token is the number of the next bucket."""
        if self.error:
            return refuse(self.error)
        bucket = 0 if token is None else int.from_bytes(token.raw[:4], "little")
        room, taken = count._obj.value, list[tuple[bytes, bytes]]()
        self.asked.append(room)
        while bucket < len(self.buckets) and len(taken) + len(self.buckets[bucket]) <= room:
            taken += self.buckets[bucket]
            bucket += 1
        count._obj.value = len(taken)
        if not taken and bucket < len(self.buckets):
            return refuse(errno.ENOSPC)
        ctypes.memmove(keys, b"".join(key for key, _ in taken), sum(len(key) for key, _ in taken))
        ctypes.memmove(values, b"".join(value for _, value in taken), sum(len(value) for _, value in taken))
        after.raw = bucket.to_bytes(4, "little").ljust(len(after.raw), b"\0")
        return refuse(errno.ENOENT) if bucket == len(self.buckets) else 0

    def lookup(self, _: int, key: bytes, value: Any) -> int:
        found = [content for bucket in self.buckets for known, content in bucket if known == key]
        if not found:
            return refuse(errno.ENOENT)
        ctypes.memmove(value, found[0], len(found[0]))
        return 0

    def delete(self, _: int, key: bytes) -> int:
        for bucket in self.buckets:
            bucket[:] = [entry for entry in bucket if entry[0] != key]
        return 0

    def lookup_and_delete(self, _: int, key: bytes, value: Any) -> int:
        if self.error or not self.one_step:
            return refuse(self.error or 524)
        return self.lookup(0, key, value) or self.delete(0, key)


def refuse(number: int) -> int:
    ctypes.set_errno(number)
    return -number
