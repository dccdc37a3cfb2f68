"""Tests of whole columns, which filters are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from collector.batch import Column, Rows
from collector.store.columns import command_text
from collector.store.workload_names import matcher

Test = Callable[[Rows], Column]
SideTest = Callable[[Rows, str], Column]
COMMAND_LETTERS = 15  # TASK_COMM_LEN less the closing zero
PROCESS_ID_DIGITS = 10


def all_of(tests: list[Test]) -> Test:
    """A function from rows, shape (n,), to the mask of those that pass every test."""

    def matching(rows: Rows) -> Column:
        mask = np.ones(len(rows), bool)
        for test in tests:
            mask &= test(rows)
        return mask

    return matching


def end_column(side: str, what: str) -> str:
    """The column with `what` of this side, local or peer: the records say remote for peer."""
    return f"{'remote' if side == 'peer' else 'local'}_{what}"


def workload_test(numbers: set[int]) -> SideTest:
    """Whether a side belongs to one of these workloads."""
    wanted = np.array(sorted(numbers), np.int32)
    return lambda rows, side: np.isin(rows[side], wanted)


def code_test(column: str, codes: Iterable[int]) -> Test:
    """Whether a u1 column holds one of these codes."""
    wanted = np.zeros(256, bool)
    wanted[list(codes)] = True
    return lambda rows: wanted[rows[column]]


def process_test(processes: tuple[str, ...]) -> Test:
    """Whether `command` fits one of these patterns, or `process` is one of these numbers."""
    ids = [int(text) for text in processes if text.isascii() and text.isdigit() and len(text) < PROCESS_ID_DIGITS]
    fits = matcher(tuple(text[:COMMAND_LETTERS] for text in processes))

    def test(rows: Rows) -> Column:
        commands, which = np.unique(rows["command"], return_inverse=True)
        fitting = np.array([fits(command_text(command)) for command in commands], bool)
        by_number: Column = np.isin(rows["process"], np.array(ids, np.uint32))
        return fitting[which] | by_number

    return test
