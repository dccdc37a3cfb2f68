"""Names learnt from DNS answers, and the time at which they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrich.names import HISTORY, NameTable
from enrich.batches import SECOND, address, lookups, tcp

A, B = address("198.51.100.7"), address("2001:db8::7")


def test_name_holds_from_the_answer_on() -> None:
    table = NameTable(grace_seconds=0)
    table.learn(A, "api.example", 10 * SECOND, 60)
    assert table.name_of(A, 9 * SECOND) is None
    assert table.name_of(A, 10 * SECOND) == "api.example"
    assert table.name_of(A, 70 * SECOND) == "api.example"
    assert table.name_of(A, 71 * SECOND) is None


def test_grace_keeps_a_name_beyond_its_time_to_live() -> None:
    table = NameTable(grace_seconds=100)
    table.learn(A, "api.example", 0, 60)
    assert table.name_of(A, 160 * SECOND) == "api.example"
    assert table.name_of(A, 161 * SECOND) is None


def test_most_recent_name_wins_and_earlier_connections_keep_theirs() -> None:
    table = NameTable()
    table.learn(A, "old.example", 10, 60)
    table.learn(A, "new.example", 20, 60)
    assert [table.name_of(A, moment) for moment in (15, 25)] == ["old.example", "new.example"]


def test_answer_that_comes_late_does_not_displace_a_newer_one() -> None:
    table = NameTable()
    table.learn(A, "new.example", 20, 60)
    table.learn(A, "old.example", 10, 60)
    assert [table.name_of(A, moment) for moment in (15, 25)] == ["old.example", "new.example"]


def test_name_asked_for_again_lives_longer_and_takes_no_room() -> None:
    table = NameTable(grace_seconds=0)
    for moment in range(0, 600, 30):
        table.learn(A, "api.example", moment * SECOND, 60)
    assert len(table.history(A)) == 1
    assert table.name_of(A, 620 * SECOND) == "api.example"


def test_names_of_one_address_are_bounded() -> None:
    table = NameTable()
    for moment in range(3 * HISTORY):
        table.learn(A, f"{moment}.example", moment, 60)
    assert len(table.history(A)) == HISTORY
    assert table.name_of(A, 1000) == f"{3 * HISTORY - 1}.example"


def test_addresses_are_bounded_and_the_one_used_longest_ago_goes() -> None:
    table = NameTable(maximum=2)
    table.learn(A, "a.example", 0, 60)
    table.learn(B, "b.example", 0, 60)
    table.name_of(A, 1)
    table.learn(address("10.0.0.1"), "c.example", 0, 60)
    assert (table.name_of(A, 1), table.name_of(B, 1)) == ("a.example", None)
    assert (len(table), table.evicted) == (2, 1)


def test_lookups_are_learnt_with_every_address_of_the_answer() -> None:
    table = NameTable()
    table.observe(lookups((5, "API.example.", [("198.51.100.7", 60), ("2001:db8::7", 30)]), (6, "", [("10.0.0.1", 1)])))
    assert (table.name_of(A, 5), table.name_of(B, 5)) == ("api.example", "api.example")
    assert len(table) == 2


@pytest.mark.parametrize("batch", [tcp({}), lookups()])
def test_other_records_and_empty_batches_teach_nothing(batch: object) -> None:
    table = NameTable()
    table.observe(batch)  # type: ignore[arg-type]
    assert len(table) == 0


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from("abc"), st.integers(0, 20)), max_size=40), st.integers(0, 80))
def test_name_given_was_learnt_before_and_is_not_over(answers: list[tuple[int, str, int]], asked: int) -> None:
    table = NameTable(grace_seconds=0)
    for moment, name, ttl in answers:
        table.learn(A, name, moment * SECOND, ttl)
    found = table.name_of(A, asked * SECOND)
    assert found is None or any(
        name == found and moment <= asked and max(m + t for m, n, t in answers if n == found) >= asked
        for moment, name, _ in answers
    )


def test_names_of_all_addresses_together_are_bounded() -> None:
    table = NameTable(maximum=100)
    for number in range(4000):
        table.learn(bytes([10, number % 50] * 8), f"name-{number}.test", number, 60)
    addresses = [bytes([10, number] * 8) for number in range(50)]
    assert 90 < sum(len(table.history(one)) for one in addresses) <= 100
    assert table.evicted > 0
