"""A ring buffer as the kernel lays it out, in a memory file instead of a map: written here, drained by RingBuffer."""

from __future__ import annotations

import mmap
import os
import struct

BUSY, DISCARDED = 1 << 31, 1 << 30


class RingMemory:
    """Writes what kernel/bpf/ringbuf.c writes. size: of the data area; a multiple of the page."""

    def __init__(self, size: int = mmap.PAGESIZE) -> None:
        self.size = size
        self.descriptor = os.memfd_create("ring")
        os.ftruncate(self.descriptor, 2 * mmap.PAGESIZE + 2 * size)
        self._memory = mmap.mmap(self.descriptor, 2 * mmap.PAGESIZE + 2 * size)

    @property
    def consumed(self) -> int:
        return int(struct.unpack_from("<Q", self._memory, 0)[0])

    @property
    def produced(self) -> int:
        return int(struct.unpack_from("<Q", self._memory, mmap.PAGESIZE)[0])

    def start_at(self, position: int) -> None:
        """As if so many bytes had gone through already."""
        struct.pack_into("<Q", self._memory, 0, position)
        struct.pack_into("<Q", self._memory, mmap.PAGESIZE, position)

    def reserve(self, length: int) -> int | None:
        """bpf_ringbuf_reserve: the record's position, or None when it is full; the record is busy."""
        position = self.produced
        after = position + 8 + (length + 7) // 8 * 8
        if after - self.consumed > self.size - 1:
            return None
        self._write(position, struct.pack("<II", length | BUSY, 0))
        struct.pack_into("<Q", self._memory, mmap.PAGESIZE, after)
        return position

    def submit(self, position: int, payload: bytes, *, discard: bool = False) -> None:
        self._write(position + 8, payload)
        self._write(position, struct.pack("<I", len(payload) | (DISCARDED if discard else 0)))

    def put(self, payload: bytes, *, discard: bool = False) -> bool:
        position = self.reserve(len(payload))
        if position is not None:
            self.submit(position, payload, discard=discard)
        return position is not None

    def _write(self, position: int, content: bytes) -> None:
        """The data area is there twice in a row."""
        for index, byte in enumerate(content):
            place = 2 * mmap.PAGESIZE + (position + index) % self.size
            self._memory[place] = self._memory[place + self.size] = byte

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)
