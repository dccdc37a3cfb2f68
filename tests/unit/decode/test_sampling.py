import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from request_rows import CLIENT, SECOND, SERVER, RequestRows, many_rows

from collector.batch import Rows
from collector.decode.request_details import request_details
from collector.decode.sampled_kin import CALLS_PER_REQUEST
from collector.decode.sampling import RequestSampler, TokenBucket
from collector.decode.trace_columns import TraceColumns, find_traces, traces_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def counted(sampler: RequestSampler) -> tuple[int, int, int]:
    counters = sampler.counters()
    return counters["sampled"], counters["not_sampled_ratio"], counters["not_sampled_rate"]


def test_ratio_of_the_requests_is_chosen_and_the_rest_counted() -> None:
    sampler = RequestSampler(ratio=0.1, per_second=1e9)
    chosen = int(sampler.choose(many_rows(20_000)).sum())
    assert 1800 < chosen < 2200
    assert counted(sampler) == (chosen, 20_000 - chosen, 0)


@pytest.mark.parametrize(("ratio", "wanted"), [(0.0, 0), (1.0, 500)])
def test_nothing_and_everything_are_ratios_too(ratio: float, wanted: int) -> None:
    assert int(RequestSampler(ratio, per_second=1e6).choose(many_rows(500)).sum()) == wanted


def test_same_requests_are_chosen_whatever_the_batches() -> None:
    rows = many_rows(3000)
    whole = RequestSampler(0.2, per_second=1e9).choose(rows)
    other = RequestSampler(0.2, per_second=1e9)
    pieces = np.concatenate([other.choose(part) for part in np.array_split(rows, 7)])
    assert (whole == pieces).all()


def test_errors_and_slow_requests_are_chosen_at_any_ratio() -> None:
    made = RequestRows()
    made.add().add(outcome="error").add(error_type="404").add(outcome="unanswered").add(duration=2 * SECOND).add()
    assert RequestSampler(0.0, 100, slow_seconds=2.0).choose(made.rows).tolist() == [False, True, True, True, True, False]


def test_limit_cuts_what_is_least_wanted_first() -> None:
    rows = many_rows(1000)
    rows["duration"][:300] = 3 * SECOND
    rows["error_type"][990:] = 3
    sampler = RequestSampler(1.0, per_second=50)
    chosen = sampler.choose(rows)
    assert chosen[990:].all() and chosen.sum() == 50
    assert chosen[:300].sum() == 40
    assert counted(sampler) == (50, 0, 950)


def test_limit_of_nothing_chooses_nothing() -> None:
    sampler = RequestSampler(1.0, per_second=0)
    assert not sampler.choose(many_rows(10)).any()
    assert counted(sampler) == (0, 0, 10)


def test_limit_follows_the_time_of_the_rows() -> None:
    sampler = RequestSampler(1.0, per_second=10)
    sizes = []
    for second in range(5):
        rows = many_rows(100, 0.0)
        rows["observed_at"] += np.uint64(second * SECOND)
        sizes.append(int(sampler.choose(rows).sum()))
    assert sizes == [10] * 5
    assert not sampler.choose(many_rows(5)).any()


def test_bucket_saves_one_second_and_gives_nothing_for_the_past() -> None:
    bucket = TokenBucket(10)
    bucket.take(bucket.refill(100 * SECOND))
    assert bucket.refill(50 * SECOND) == 0
    assert bucket.refill(100 * SECOND + SECOND // 2) == 5
    assert bucket.refill(900 * SECOND) == 10


def test_rate_below_one_still_gives_a_span_now_and_then() -> None:
    bucket = TokenBucket(0.5)
    bucket.take(bucket.refill(SECOND))
    assert [bucket.refill(second * SECOND) for second in (2, 3, 4)] == [0, 1, 1]


def test_trace_is_chosen_alike_by_everyone() -> None:
    parents = [f"00-{number:018x}{number * 0x9E3779B97F4A7 % 2**56:014x}-b7ad6b7169203331-00" for number in range(1, 2001)]
    here, there = many_rows(2000), many_rows(2000)
    there["flow"] += np.uint64(7_000_000)
    chosen = RequestSampler(0.25, 1e9).choose(here, traces_of(parents))
    assert (chosen == RequestSampler(0.25, 1e9).choose(there, traces_of(parents))).all()
    assert 350 < chosen.sum() < 650
    lower = RequestSampler(0.05, 1e9).choose(here, traces_of(parents))
    assert chosen[lower].all()


def test_what_the_caller_records_is_wanted() -> None:
    traces = TraceColumns(np.arange(1, 11, dtype=np.uint64), np.arange(10) < 3)
    assert RequestSampler(0.0, 100).choose(many_rows(10), traces).tolist() == [True] * 3 + [False] * 7


def heads_of(*heads: bytes) -> tuple[np.ndarray, np.ndarray]:
    made = np.zeros((len(heads), 192), np.uint8)
    for row, head in enumerate(heads):
        made[row, : len(head)] = np.frombuffer(head, np.uint8)
    return made, np.array([len(head) for head in heads])


def test_trace_headers_are_found_in_captured_heads() -> None:
    begin = b"GET / HTTP/1.1\r\n"
    value = TRACE.encode()
    heads, captured = heads_of(
        begin + b"Traceparent:  " + value + b"\r\n\r\n",
        begin + b"\r\n",
        begin + b"traceparent: " + value[:-2] + b"00\r\n",
        begin + b"x-traceparent: " + value + b"\r\n",
        begin + b"traceparent: " + value.replace(b"0af7651916cd43dd8448eb211c80319c", b"0" * 32) + b"\r\n",
        begin + b"traceparent: " + value,
        begin + b"traceparent: " + value[:40],
        begin + b"traceparent:",
    )
    traces = find_traces(heads, captured)
    assert traces.sampled.tolist() == [True, False, False, False, False, True, False, False]
    assert (traces.keys != 0).tolist() == [True, False, True, False, False, True, False, False]
    assert traces.keys[0] == traces_of([TRACE]).keys[0]


@given(st.lists(st.binary(max_size=192), max_size=5), st.integers(0, 192))
def test_any_bytes_are_searched_without_harm(heads: list[bytes], captured: int) -> None:
    made, _ = heads_of(*heads)
    traces = find_traces(made, np.full(len(heads), captured))
    assert len(traces.keys) == len(heads)


def pair(call_at: int = 1500) -> tuple[Rows, Rows]:
    """A server request from 1000 to 3000 ns on thread 10, and a call on the same thread."""
    server = RequestRows().add(SERVER, SECOND + 1000, 2000).rows
    call = RequestRows().add(CLIENT, SECOND + call_at, 100, flow=99, error_type="500").rows
    return server, call


def test_server_request_around_a_sampled_call_is_kept_too() -> None:
    server, call = pair()
    sampler = RequestSampler(0.0, 100)
    assert sampler.choose(call).all() and sampler.choose(server).all()
    assert not sampler.choose(server).any(), "one call has one cause"


def test_calls_within_a_sampled_server_request_are_kept_also_in_the_same_batch() -> None:
    server, call = pair()
    server["error_type"], call["error_type"] = 5, 0
    assert RequestSampler(0.0, 100).choose(np.concatenate([call, server])).all()
    sampler = RequestSampler(0.0, 1000)
    assert sampler.choose(server).all()
    calls = np.repeat(call, 100)
    assert sampler.choose(calls).sum() == CALLS_PER_REQUEST


@pytest.mark.parametrize("change", [{"thread": 11}, {"process": 11}, {"thread": 0}, {"observed_at": SECOND + 3001}])
def test_other_threads_and_times_are_no_relatives(change: dict[str, int]) -> None:
    server, call = pair()
    for name, value in change.items():
        call[name] = value
    sampler = RequestSampler(0.0, 100)
    sampler.choose(call)
    assert not sampler.choose(server).any()


def test_relatives_never_break_the_limit() -> None:
    server, call = pair()
    server["error_type"], call["error_type"] = 5, 0
    sampler = RequestSampler(0.0, per_second=5)
    assert sampler.choose(np.concatenate([server, np.repeat(call, 100)])).sum() == 5


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 2), st.integers(0, 2**40)), max_size=60))
def test_counts_close_for_any_rows(fields: list[tuple[int, int, int, int]]) -> None:
    rows = many_rows(len(fields))
    for row, (outcome, thread, role, start) in zip(rows, fields, strict=True):
        row["outcome"], row["process"], row["thread"], row["role"], row["observed_at"] = outcome, 7, thread, role, start
    sampler = RequestSampler(0.3, 7)
    chosen = sum(int(sampler.choose(part).sum()) for part in np.array_split(rows, 3))
    assert sum(counted(sampler)) == len(rows)
    assert counted(sampler)[0] == chosen


def test_details_of_an_http_request_hold_what_may_be_told() -> None:
    made = RequestRows().add(start=SECOND, duration=500, status="404", outcome="ok", first_byte=200)
    head = (
        b"POST /orders/7?card=s3cret HTTP/1.1\r\nHost: shop:8080\r\nAuthorization: s3cret\r\n"
        b"Content-Length: 12\r\nTraceparent: " + TRACE.encode() + b"\r\n\r\ncard=s3cret&"
    )
    found = request_details(head, b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno.", made.rows[0], made.texts)
    assert (found.operation, found.resource, found.status, found.trace_parent) == ("POST", "/orders/7", "404", TRACE)
    assert (found.request_body_bytes, found.response_body_bytes) == (12, 3)
    assert (found.started_at, found.response_started_at, found.ended_at) == (SECOND, SECOND + 200, SECOND + 500)
    assert found.attributes["server.address"] == "shop"
    assert "s3cret" not in repr(found)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_details_are_made_of_any_bytes(head: bytes, answer: bytes) -> None:
    made = RequestRows().add(status="200")
    assert request_details(head, answer, made.rows[0], made.texts).protocol == "http"
