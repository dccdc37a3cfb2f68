"""Drains a BPF ring buffer without a copy per record: one NumPy view over all that is ready.

Layout (kernel/bpf/ringbuf.c): page 0 consumer position (writable), page 1 producer position, then the data area
mapped twice in a row so that a record that wraps is contiguous. A record is an 8-byte header {u32 length, u32 page
offset} and its payload rounded up to 8 bytes; bit 31 of length: still being written, bit 30: discarded.
"""

from __future__ import annotations

import mmap

import numpy as np

from collector.batch import Rows

BUSY = np.uint32(1 << 31)
DISCARDED = np.uint32(1 << 30)
LENGTH = np.uint32(~(1 << 31 | 1 << 30) & 0xFFFFFFFF)
HEADER_BYTES = 8
LONGEST_RUN = 8192  # records looked at in one go: not the whole ring anew for each record of a wrong size


class RingBuffer:
    """One ring that carries records of one dtype. `file_descriptor` is the map's; it stays the caller's.

    wakes: the program wakes whoever waits for `descriptors` when the ring fills.
    """

    def __init__(self, file_descriptor: int, size: int, dtype: np.dtype[np.void], *, wakes: bool = False) -> None:
        page = mmap.PAGESIZE
        self._dtype = dtype
        self._size = size
        self._stride = HEADER_BYTES + (dtype.itemsize + 7) // 8 * 8
        self._consumer_page = mmap.mmap(file_descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        # Of the second mapping of the data only what one record can reach: every mapped page counts as ours, in use or not.
        reach = (self._stride + page - 1) // page * page
        self._producer_pages = mmap.mmap(file_descriptor, page + size + reach, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = np.frombuffer(self._consumer_page, dtype=np.uint64, count=1)
        self._producer = np.frombuffer(self._producer_pages, dtype=np.uint64, count=1)
        self._record = np.dtype(
            {
                "names": ["length", "payload"],
                "formats": [np.uint32, dtype],
                "offsets": [0, HEADER_BYTES],
                "itemsize": self._stride,
            }
        )
        self.undecodable = 0
        self.decoded = 0
        self.fill = 0.0
        self._left = 0.0
        self._wakes = wakes
        self.descriptors = [file_descriptor] if wakes else []

    @property
    def pressure(self) -> float:
        """How full, 0..1, without a wake-up to expect: a record still being written keeps the reader where it was woken."""
        return self._left if self._wakes else self.fill

    def drain(self) -> Rows:
        """A copy of all records that are complete, oldest first; the ring is free for new ones when this returns.

        A record still being written ends the drain; it and what follows come with the next. A record of another size
        (a program that does not keep to its manifest) is counted undecodable and stepped over. fill: the share of the
        ring that was in use.
        """
        consumed, produced = int(self._consumer[0]), int(self._producer[0])
        self.fill = (produced - consumed) / self._size
        runs = []
        while produced - consumed >= HEADER_BYTES:
            rows, taken = self._take_run(consumed, produced)
            if len(rows):
                runs.append(rows)
            if taken == 0:
                break
            consumed += taken
            self._consumer[0] = consumed
        self._left = (produced - consumed) / self._size
        kept = runs[0] if len(runs) == 1 else np.concatenate(runs) if runs else np.empty(0, self._dtype)
        self.decoded += len(kept)
        return kept

    def _take_run(self, consumed: int, produced: int) -> tuple[Rows, int]:
        """(rows, bytes used up) of the longest run of complete records of the right size."""
        start = mmap.PAGESIZE + consumed % self._size
        to_end = -(-(self._size - consumed % self._size) // self._stride)
        count = max(1, min((produced - consumed) // self._stride, to_end, LONGEST_RUN))
        ready = np.frombuffer(self._producer_pages, dtype=self._record, count=count, offset=start)
        length = ready["length"].copy()
        usable = ((length & BUSY) == 0) & ((length & LENGTH) == self._dtype.itemsize)
        run = count if usable.all() else int(np.argmin(usable))
        if run == 0:
            return np.empty(0, self._dtype), self._step_over(length[0])
        octets = np.frombuffer(self._producer_pages, np.uint8, count=run * self._stride, offset=start).reshape(run, self._stride)
        payload = octets[:, HEADER_BYTES : HEADER_BYTES + self._dtype.itemsize]
        kept = (length[:run] & DISCARDED) == 0
        rows: Rows = (payload.copy() if kept.all() else payload[kept]).view(self._dtype).reshape(-1)
        return rows, run * self._stride

    def _step_over(self, length: np.uint32) -> int:
        """Bytes to skip for a finished record of the wrong size; 0 while it is being written.

        length: as read before. Read again, it might be that of a record of the right size, finished in between.
        """
        if length & BUSY:
            return 0
        if not length & DISCARDED:
            self.undecodable += 1
        return HEADER_BYTES + (int(length & LENGTH) + 7) // 8 * 8

    def close(self) -> None:
        del self._consumer, self._producer
        self._consumer_page.close()
        self._producer_pages.close()
