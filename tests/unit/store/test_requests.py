"""The store of requests: words of several probes under one numbering, bounded, with what it left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from collector.store.requests import REQUEST, RequestStore
from collector.store.word_table import PassingWords, WordTable, WordTranslation
from store.request_batches import MILLISECOND, OFFSET_NS, SECOND, RequestBatches, request


def told(store: RequestStore, column: str) -> list[Any]:
    """The column's values over all rows, codes as words."""
    view = store.view()
    values = [value for part in view.history for value in part[column].tolist()]
    return [view.words[column][value] for value in values] if column in view.words else values


def test_rows_hold_what_the_batch_says_on_the_wall_clock() -> None:
    store = RequestStore()
    store.add(RequestBatches().batch(request(7, error_type="500", sampled=1)), OFFSET_NS)
    for column, value in {
        "operation": "GET", "resource": "/users/17", "route": "/users/:id", "status": "200", "error_type": "500",
        "protocol": "http", "role": "server", "outcome": "ok", "transport": "tcp",
        "time": OFFSET_NS + 7 * SECOND, "ended_at": OFFSET_NS + 7 * SECOND + MILLISECOND, "duration": MILLISECOND,
        "request_bytes": 100, "response_bytes": 1000, "request_body_bytes": -1, "local": 1, "peer": 5,
        "process": 42, "thread": 43, "command": b"nginx", "server_port": 80, "sequence": 1, "sampled": True,
    }.items():  # fmt: skip
        assert told(store, column) == [value], column


def test_a_request_without_an_answer_ends_where_it_began() -> None:
    store = RequestStore()
    store.add(RequestBatches().batch(request(3, duration=0, outcome="unanswered", status="")), OFFSET_NS)
    assert told(store, "ended_at") == told(store, "time") == [OFFSET_NS + 3 * SECOND]
    assert told(store, "outcome") == ["unanswered"]


def test_probes_that_number_words_differently_are_told_apart_and_together() -> None:
    store, plain, tls = RequestStore(), RequestBatches(), RequestBatches("tls_data")
    store.add(plain.batch(request(resource="/a"), request(resource="/b")), OFFSET_NS)
    store.add(tls.batch(request(resource="/b"), request(resource="/c")), OFFSET_NS)
    store.add(plain.batch(request(resource="/c")), OFFSET_NS)
    assert told(store, "resource") == ["/a", "/b", "/b", "/c", "/c"]
    assert store.view().probes == ("socket_data", "tls_data")
    codes = np.concatenate([part["resource"] for part in store.view().history])
    assert codes[1] == codes[2] and codes[3] == codes[4]


def test_a_batch_that_no_enricher_saw_is_kept_too() -> None:
    store = RequestStore()
    batch = RequestBatches().batch(request())
    batch.columns = {}
    store.add(batch, OFFSET_NS)
    assert (told(store, "route"), told(store, "local")) == ([""], [0])


def test_the_newest_rows_are_kept_and_the_rest_counted() -> None:
    store, batches = RequestStore(capacity=10), RequestBatches()
    assert store.view().complete_from == 0
    for second in range(1, 9):
        store.add(batches.batch(*(request(second) for _ in range(4))), OFFSET_NS)
    counts = store.counts()
    assert (counts.rows, counts.capacity, counts.overwritten) == (10, 10, 22)
    assert told(store, "sequence") == list(range(23, 33))
    assert store.view().complete_from == OFFSET_NS + 6 * SECOND + MILLISECOND


def test_a_view_stays_true_while_more_rows_come() -> None:
    store, batches = RequestStore(capacity=4), RequestBatches()
    store.add(batches.batch(*(request(resource=f"/{n}") for n in range(4))), OFFSET_NS)
    view = store.view()
    store.add(batches.batch(*(request(resource=f"/{n}") for n in range(4, 8))), OFFSET_NS)
    assert [view.words["resource"][code] for part in view.history for code in part["resource"]] == ["/0", "/1", "/2", "/3"]


def test_followers_get_the_rows() -> None:
    store = RequestStore()
    subscription = store.followers.subscribe()
    store.add(RequestBatches().batch(request(), request()), OFFSET_NS)
    rows, lost = subscription.take()
    assert (rows.dtype, rows["sequence"].tolist(), lost) == (REQUEST, [1, 2], 0)


def test_an_empty_batch_changes_nothing() -> None:
    store = RequestStore()
    store.add(RequestBatches().batch(), OFFSET_NS)
    assert store.counts().rows == 0


def test_words_without_room_are_other_and_counted() -> None:
    table = WordTable(4, ("a",))
    assert [table.code(word) for word in ("", "a", "b", "c", "d", "a")] == [0, 2, 3, 1, 1, 2]
    assert (list(table.words), table.overflowed) == (["", "_OTHER", "a", "b"], 2)


def test_a_translation_follows_names_as_they_grow_and_knows_no_others() -> None:
    names = {0: "zero", 5: "five"}
    translation = WordTranslation(names, WordTable(100, ("five",)))
    assert translation.translate(np.array([0, 5, 3, 9], np.uint32)).tolist() == [3, 2, 0, 0]
    names |= {9: "nine", 3: "zero", 1 << 40: "far"}
    assert translation.translate(np.array([0, 5, 3, 9, 10, 2**32 - 1], np.uint32)).tolist() == [3, 2, 3, 4, 0, 0]


def test_paths_never_come_to_an_end_and_rows_keep_theirs() -> None:
    store, batches, expected = RequestStore(capacity=8), RequestBatches(), []
    for start in range(0, 400, 5):
        paths = [f"/{number}" for number in range(start, start + 4)] + ["/always"]
        store.add(batches.batch(*(request(resource=path) for path in paths)), OFFSET_NS)
        expected += paths
        assert told(store, "resource") == expected[-8:]
    assert store.counts().words_overflowed == 0


def test_a_view_keeps_its_paths_when_their_codes_are_given_to_others() -> None:
    store, batches = RequestStore(capacity=4), RequestBatches()
    store.add(batches.batch(*(request(resource=f"/{n}") for n in range(4))), OFFSET_NS)
    view = store.view()
    for start in range(10, 90, 4):
        store.add(batches.batch(*(request(resource=f"/{n}") for n in range(start, start + 4))), OFFSET_NS)
    assert [view.words["resource"][code] for part in view.history for code in part["resource"]] == ["/0", "/1", "/2", "/3"]


def test_a_batch_larger_than_the_store_leaves_its_newest_rows() -> None:
    store = RequestStore(capacity=4)
    store.add(RequestBatches().batch(*(request(resource=f"/{n}") for n in range(50))), OFFSET_NS)
    assert told(store, "resource") == ["/46", "/47", "/48", "/49"]
    assert (store.counts().overwritten, told(store, "sequence")) == (46, [47, 48, 49, 50])


def test_words_of_two_generations_take_turns() -> None:
    words = PassingWords(2)
    assert [words.code(word) for word in ("a", "b", "a", "", "c", "a", "d")] == [1, 2, 1, 0, 3, 4, 1]
    assert (words.generation, list(words.words)) == (2, ["", "d", "b", "c", "a"])
