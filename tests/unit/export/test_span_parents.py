import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from request_rows import SERVER, RequestRows

from collector.batch import Rows
from collector.export.span_identity import IdSource, read_trace_parent
from collector.export.span_parents import Cause, ParentLinks

Served = tuple[int, int, int]  # thread, start, duration
served = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40), st.integers(0, 8)), max_size=12)


def rows_of(role: int, many: list[Served]) -> Rows:
    made = RequestRows()
    for number, (thread, start, duration) in enumerate(many):
        made.add(role, start, duration, flow=number, thread=thread)
    return made.rows


def calls_of(many: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(10 << 32 | thread if thread else 0, start) for thread, start in many]


def model(servers: list[Served], thread: int, start: int) -> Cause | None:
    """The rule in plain words: one answered request runs there then, and none of that thread's overlap."""
    clock = max((start + duration for _, start, duration in servers), default=0)
    spans = [
        (begin, begin + (duration or clock - begin), number) for number, (t, begin, duration) in enumerate(servers) if t == thread
    ]
    if not thread or any(a[0] <= b[0] < a[1] for a in spans for b in spans if a is not b and (a[0], a[2]) < (b[0], b[2])):
        return None
    found = [(number, begin) for begin, end, number in spans if begin <= start < end and servers[number][2]]
    return Cause(*found[0]) if found else None


@given(served, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), max_size=6))
def test_causes_are_those_of_the_rule(servers: list[Served], calls: list[tuple[int, int]]) -> None:
    links = ParentLinks()
    links.observe(rows_of(SERVER, servers))
    found = links.causes(calls_of(calls))
    assert found == [model(servers, thread, start) for thread, start in calls]


@given(served, st.integers(1, 5))
def test_batches_make_no_difference(servers: list[Served], parts: int) -> None:
    servers = [(thread, start, max(duration, 1)) for thread, start, duration in servers]
    whole, pieces = ParentLinks(), ParentLinks()
    rows, calls = rows_of(SERVER, servers), calls_of([(1, start) for start in range(0, 50, 3)])
    whole.observe(rows)
    for part in np.array_split(rows, parts):
        pieces.observe(part)
    assert whole.causes(calls) == pieces.causes(calls)


def test_what_was_overwritten_is_no_evidence() -> None:
    links = ParentLinks(limit=4)
    for number in range(1, 8):
        links.observe(rows_of(SERVER, [(1, number * 100, 50)]))
    calls = calls_of([(1, 310), (1, 410), (1, 510), (1, 710)])
    assert [cause and cause.start for cause in links.causes(calls)] == [None, None, 500, 700]


def test_more_rows_than_are_kept_are_taken_without_harm() -> None:
    links = ParentLinks(limit=10)
    links.observe(rows_of(SERVER, [(1, number * 10 + 1, 5) for number in range(35)]))
    links.observe(rows_of(SERVER, [(1, 1000, 5)]))
    assert links.causes(calls_of([(1, 1001)])) == [Cause(0, 1000)]


@pytest.mark.parametrize("start", [0, 2**63, 2**64 - 1])
def test_any_times_are_taken_without_harm(start: int) -> None:
    links = ParentLinks()
    rows = rows_of(SERVER, [(1, start, 2**64 - 1), (1, start, 0)])
    links.observe(rows)
    assert len(links.causes(calls_of([(1, start), (1, 5)]))) == 2


@given(st.text())
def test_any_text_is_a_traceparent_or_none(text: str) -> None:
    assert read_trace_parent(text) is None


def test_ids_are_never_zero_and_of_their_size() -> None:
    ids = IdSource()
    assert {len(one) for one in ids.trace_ids(1000)} == {16}
    assert all(any(one) and len(one) == 8 for one in ids.span_ids(1000))
