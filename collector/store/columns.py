"""Columns of records as the stores keep them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from collector.batch import Batch, Column, Rows


def address_halves(addresses: Column) -> Column:
    """V16, shape (n,), network byte order -> u8, shape (n, 2): numbers that compare as addresses do."""
    return np.ascontiguousarray(addresses).view(">u8").reshape(-1, 2)


def wall_times(batch: Batch, name: str, wall_offset_ns: int) -> Column:
    """Unix ns of a boot_ns column, shape (n,); 0 stays 0, and stands for a column that is not there."""
    if name not in batch:
        return np.zeros(len(batch), np.int64)
    boot = batch[name].astype(np.int64)
    return np.where(boot > 0, boot + wall_offset_ns, 0)


def command_text(command: bytes) -> str:
    """The kernel's command name up to its first zero byte; what cannot be printed is escaped, for it may steer a terminal."""
    text = bytes(command).split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def gather(parts: Iterable[Rows], matching: Callable[[Rows], Column], columns: Sequence[str], dtype: np.dtype[np.void]) -> Rows:
    """The matching rows of all parts (each of `dtype`), with these columns only: what is not needed is not copied."""
    masked = [(part, matching(part)) for part in parts]
    kept = np.dtype([(name, dtype[name]) for name in columns])
    rows = np.zeros(sum(int(np.count_nonzero(mask)) for _, mask in masked), kept)
    start = 0
    for part, mask in masked:
        end = start + int(np.count_nonzero(mask))
        for name in columns:
            rows[name][start:end] = part[name][mask]
        start = end
    return rows
