"""Compares rows of a real kernel with what a workload says it did."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collector.aggregate.condition import accepted_values
from collector.batch import Batch, Column


def matching(batch: Batch, where: Mapping[str, Any]) -> Column:
    """Mask of the rows in which every field has the value asked for (enum name, number, text, beginning of bytes, or address)."""
    wanted = np.ones(len(batch), bool)
    for name, value in where.items():
        column = batch[name]
        if column.ndim == 2:  # bytes: what they begin with
            wanted &= (column[:, : len(value)] == np.frombuffer(value.encode(), np.uint8)).all(axis=1)
        elif column.dtype.kind == "V":
            address = ipaddress.ip_address(value)
            octets = address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed
            wanted &= column == np.void(octets)
        elif column.dtype.kind == "S":
            wanted &= column == value.encode()
        else:
            wanted &= np.isin(column, accepted_values(batch.schema, name, [value]))
    return wanted


def count_rows(batches: Sequence[Batch], expectation: Mapping[str, Any]) -> tuple[int, dict[str, int]]:
    """(rows, sums) over all batches of the record that fit the expectation."""
    count, sums = 0, dict.fromkeys(expectation.get("sum", {}), 0)
    for batch in batches:
        if batch.schema.record == expectation["record"]:
            wanted = matching(batch, expectation["where"])
            count += int(wanted.sum())
            for name in sums:
                sums[name] += int(batch[name][wanted].sum())
    return count, sums
