from __future__ import annotations

from dataclasses import replace

import pytest

from collector.accounts import Book

BOOK = Book("tcp", "state_changes", 100, 60, 25, 5, {"ring_full": 7, "map_full": 3}, True, 58, 2, 4)


def test_book_balances_when_every_event_has_its_column() -> None:
    assert BOOK.balanced


@pytest.mark.parametrize(
    "change", [{"seen": 101}, {"emitted": 59}, {"filtered": 0}, {"sampled": 6}, {"dropped": {"ring_full": 7}}]
)
def test_book_does_not_balance_when_one_event_is_missing(change: dict[str, object]) -> None:
    assert not replace(BOOK, **change).balanced  # type: ignore[arg-type]


def test_lost_is_all_that_never_reached_the_pipeline() -> None:
    assert BOOK.lost == 7 + 3 + 2 + 4
    assert Book("udp", "sent", 10, 10, 0, 0).lost == 0
