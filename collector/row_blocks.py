"""Copies fields that two kinds of rows have alike: neighbours in both go as one block of bytes, not field by field."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from collector.batch import Rows


class Block(NamedTuple):
    """Offsets in a row of either kind, and the size of what lies there, in bytes."""

    source: int
    target: int
    size: int


def copy_fields(source: Rows, target: Rows, names: tuple[str, ...]) -> None:
    """Sets the fields `names` of `target` (n,), which have the same form in both, to those of `source` (n,)."""
    for block in plan_copy(source.dtype, target.dtype, names):
        view_block(target, block.target, block.size)[:] = view_block(source, block.source, block.size)


@lru_cache(maxsize=64)
def plan_copy(source: np.dtype[np.void], target: np.dtype[np.void], names: tuple[str, ...]) -> Sequence[Block]:
    """TypeError where a field has another form in the two."""
    blocks: list[Block] = []
    for name in sorted(names, key=lambda name: offset_of(source, name)):
        if source[name] != target[name]:
            raise TypeError(f"field {name} is {source[name]} in one and {target[name]} in the other kind of rows")
        here = Block(offset_of(source, name), offset_of(target, name), source[name].itemsize)
        last = blocks[-1] if blocks else None
        if last and (here.source, here.target) == (last.source + last.size, last.target + last.size):
            blocks[-1] = last._replace(size=last.size + here.size)
        else:
            blocks.append(here)
    return blocks


def offset_of(dtype: np.dtype[np.void], name: str) -> int:
    assert dtype.fields is not None
    return int(dtype.fields[name][1])


def view_block(rows: Rows, offset: int, size: int) -> Rows:
    """`size` bytes of each row as one value, shape (n,); writes go to `rows`."""
    form = np.dtype({"names": ["block"], "formats": [f"V{size}"], "offsets": [offset], "itemsize": rows.dtype.itemsize})
    return rows.view(form)["block"]
