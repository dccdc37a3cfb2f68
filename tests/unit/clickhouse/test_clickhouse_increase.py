"""However long a flow lives and however often it is told, its rows add up to what it sent."""

from __future__ import annotations

import numpy as np
from clickhouse_rows import ended_flows, open_flows
from hypothesis import given
from hypothesis import strategies as st

from collector.export.clickhouse_increase import FlowIncrease


def test_rows_of_a_flow_add_up_to_its_counters() -> None:
    increase = FlowIncrease()
    told = [increase.of_open(open_flows(3, 100)), increase.of_open(open_flows(3, 250)), increase.of_ended(ended_flows(3))]
    # an end below what was told before counts from zero, as a counter that began anew
    assert [one["bytes_sent"].tolist() for one in told] == [[100] * 3, [150] * 3, [1, 2, 3]]


def test_an_idle_flow_is_told_once() -> None:
    increase = FlowIncrease()
    assert len(increase.of_open(open_flows(5, 0))) == 5
    assert len(increase.of_open(open_flows(5, 0))) == 0
    moved = open_flows(5, 0)
    moved["packets_received"][3] = 1
    assert increase.of_open(moved)["sequence"].tolist() == [4]


def test_nothing_is_kept_of_flows_that_ended_or_vanished() -> None:
    increase = FlowIncrease()
    increase.of_open(open_flows(10, 5))
    increase.of_ended(ended_flows(4))
    assert len(increase._told) == 6
    increase.of_open(open_flows(2, 5, first=5))
    assert len(increase._told) == 2


def test_rows_given_are_not_changed() -> None:
    increase, rows = FlowIncrease(), open_flows(2, 100)
    increase.of_open(open_flows(2, 40))
    assert increase.of_open(rows)["bytes_sent"].tolist() == [60, 60]
    assert rows["bytes_sent"].tolist() == [100, 100]


@given(st.lists(st.lists(st.integers(0, 1 << 40), min_size=4, max_size=4), min_size=1, max_size=8))
def test_sums_are_right_for_any_growth(steps: list[list[int]]) -> None:
    increase, sent, told = FlowIncrease(), np.zeros(4, np.uint64), np.zeros(5, np.uint64)
    for step in steps:
        sent += np.array(step, np.uint64)
        rows = open_flows(4, 0)
        rows["bytes_sent"] = sent
        for row in increase.of_open(rows):
            told[int(row["sequence"])] += row["bytes_sent"]
    rows = ended_flows(4)
    rows["bytes_sent"] = sent
    for row in increase.of_ended(rows):
        told[int(row["sequence"])] += row["bytes_sent"]
    assert told[1:].tolist() == sent.tolist()
