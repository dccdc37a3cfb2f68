"""The flow store: what is live, what ended, and that nothing is there twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.batch import BatchKind, Rows
from collector.store.flow_rows import FLOW
from collector.store.flows import FlowStore
from store.flow_batches import OFFSET_NS, SECOND, TCP, batch, ended, events, many_ended, snapshot, tcp, udp_snapshot


def rows_of(store: FlowStore) -> Rows:
    rows = np.concatenate([np.zeros(0, FLOW), *store.view().parts()])
    return rows[np.argsort(rows["sequence"])]


def text(store: FlowStore, column: str) -> list[str]:
    """The names in a coded column, in the order in which flows were first seen."""
    names = store.view().names[column]
    return [names[code] for code in rows_of(store)[column]]


def feed(store: FlowStore, *batches: Any, protocol: str = "tcp") -> FlowStore:
    for each in batches:
        store.add(each, OFFSET_NS, protocol)
    return store


def test_a_snapshot_replaces_the_counters_of_known_flows() -> None:
    store = feed(FlowStore(), snapshot(tcp(1, bytes_sent=5), tcp(2)), snapshot(tcp(1, bytes_sent=9), tcp(2)))
    assert rows_of(store)["flow"].tolist() == [1, 2]
    assert rows_of(store)["bytes_sent"].tolist() == [9, 0]


def test_a_closed_flow_is_in_the_history_once_with_its_first_sequence_and_wall_clock_times() -> None:
    store = feed(FlowStore(), snapshot(tcp(7), tcp(8)), events(ended(7, bytes_sent=3)))
    seven = rows_of(store)[0]
    assert (seven["flow"], seven["sequence"], seven["bytes_sent"]) == (7, 1, 3)
    assert seven["started_at"] == OFFSET_NS + 7 * SECOND
    assert seven["ended_at"] == OFFSET_NS + 9 * SECOND
    assert text(store, "event") == ["closed", "open"]
    assert store.counts().live == {"tcp": 1}


def test_a_flow_that_opened_and_closed_between_two_snapshots_is_there() -> None:
    assert rows_of(feed(FlowStore(), events(ended(5))))["flow"].tolist() == [5]


def test_a_late_snapshot_row_of_a_closed_flow_is_ignored_and_counted() -> None:
    store = feed(FlowStore(), snapshot(tcp(1)), events(ended(1)), snapshot(tcp(1)), snapshot(tcp(1)))
    assert text(store, "event") == ["closed"]
    assert store.counts().late == 2


def test_a_row_shown_twice_by_one_snapshot_counts_once_the_later_wins() -> None:
    store = feed(FlowStore(), snapshot(tcp(1, bytes_sent=1), tcp(2), tcp(1, bytes_sent=2)))
    assert sorted(rows_of(store)[["flow", "bytes_sent"]].tolist()) == [(1, 2), (2, 0)]


def test_a_flow_missing_once_stays_and_missing_twice_ended_with_unknown_outcome() -> None:
    store = feed(FlowStore(), snapshot(tcp(1), tcp(2)), snapshot(tcp(2)))
    assert text(store, "event") == ["open", "open"]
    feed(store, snapshot(tcp(2)))
    assert text(store, "event") == ["closed", "open"]
    assert text(store, "outcome") == ["unknown", "none"]
    assert rows_of(store)["ended_at"][0] == rows_of(store)["observed_at"][0]


def test_a_flow_that_comes_back_after_one_miss_was_never_gone() -> None:
    store = feed(FlowStore(), snapshot(tcp(1)), snapshot(), snapshot(tcp(1)), snapshot())
    assert text(store, "event") == ["open"]


def test_a_udp_flow_that_fell_silent_ended_idle() -> None:
    udp = {"flow": 1 << 48, "opened_at": SECOND, "observed_at": 4 * SECOND, "datagrams_sent": 3, "role": "client"}
    store = feed(FlowStore(), udp_snapshot(udp), udp_snapshot(), udp_snapshot(), protocol="udp")
    row = rows_of(store)[0]
    assert text(store, "outcome") == ["idle"]
    assert (row["duration"], row["packets_sent"]) == (3 * SECOND, 3)


def test_enums_of_two_probes_with_other_numbers_mean_the_same_by_name() -> None:
    store = feed(FlowStore(), snapshot(tcp(1, role="server"), tcp(2, role="client")))
    feed(store, udp_snapshot({"flow": 1 << 48, "observed_at": 1, "role": "server"}), protocol="udp")
    assert text(store, "role") == ["server", "client", "server"]
    assert text(store, "protocol") == ["tcp", "tcp", "udp"]


def test_an_enum_value_without_a_name_becomes_the_empty_name() -> None:
    strange = snapshot(tcp(1))
    strange.rows["state"] = 4_000_000_000
    assert text(feed(FlowStore(), strange), "state") == [""]


def test_the_history_keeps_the_newest_and_counts_what_it_overwrote() -> None:
    store = FlowStore(capacity=100)
    feed(store, *(many_ended(70, first_flow=1 + 70 * n) for n in range(5)))
    assert rows_of(store)["flow"].tolist() == list(range(251, 351))
    assert store.counts().overwritten == 250
    assert store.view().complete_from > 0


def test_a_batch_larger_than_the_history_leaves_its_newest_rows() -> None:
    store = feed(FlowStore(capacity=10), many_ended(25))
    assert rows_of(store)["flow"].tolist() == list(range(16, 26))
    assert store.counts().overwritten == 15


def test_live_rows_beyond_the_capacity_are_left_out_and_counted() -> None:
    store = feed(FlowStore(live_capacity=3), snapshot(*(tcp(n) for n in range(1, 6))))
    assert store.counts().live == {"tcp": 3}
    assert store.counts().over_capacity == 2


def test_a_view_does_not_change_while_the_store_does() -> None:
    store = feed(FlowStore(capacity=5), snapshot(tcp(1), tcp(2)), events(ended(3)))
    view = store.view()
    before = [rows.copy() for rows in view.parts()]
    feed(store, events(ended(1), ended(2)), snapshot(tcp(9)), many_ended(50, first_flow=100))
    assert all((old == new).all() for old, new in zip(before, view.parts(), strict=True))


def test_the_start_of_a_live_flow_stands_still_but_moves_with_a_clock_step() -> None:
    store = feed(FlowStore(), snapshot(tcp(1)))
    store.add(snapshot(tcp(1)), OFFSET_NS + 300, "tcp")
    assert rows_of(store)["started_at"][0] == OFFSET_NS + SECOND
    store.add(snapshot(tcp(1)), OFFSET_NS + 3600 * SECOND, "tcp")
    assert rows_of(store)["started_at"][0] == OFFSET_NS + 3601 * SECOND
    assert rows_of(store)["time"][0] == OFFSET_NS + SECOND  # sorted where it was: pages stay pages


def test_a_flow_older_than_the_agent_has_no_start_and_is_sorted_by_first_sight() -> None:
    row = rows_of(feed(FlowStore(), snapshot(tcp(1, opened_at=0))))[0]
    assert (row["started_at"], row["time"]) == (0, OFFSET_NS + 3 * SECOND)


def test_followers_get_new_and_ended_flows_but_no_mere_update() -> None:
    store = FlowStore()
    subscription = store.followers.subscribe()
    feed(store, snapshot(tcp(1)), snapshot(tcp(1)), snapshot(tcp(1), tcp(2)), events(ended(1)))
    rows, lost = subscription.take()
    assert rows["flow"].tolist() == [1, 2, 1]
    assert lost == 0


def test_listening_sockets_are_kept_and_end() -> None:
    listening = tcp(1, event="listening", role="listener")
    store = feed(FlowStore(), snapshot(listening), events(ended(1, event="listen_ended", role="listener")))
    assert text(store, "event") == ["listen_ended"]


def test_a_listening_socket_that_went_unseen_is_no_closed_connection() -> None:
    store = feed(FlowStore(), snapshot(tcp(1, event="listening", role="listener")), snapshot(), snapshot())
    assert text(store, "event") == ["listen_ended"]


def test_an_event_of_an_opened_flow_makes_it_live() -> None:
    store = feed(FlowStore(), events(tcp(1), ended(2)), events(tcp(1, bytes_sent=8)))
    assert sorted(rows_of(store)[["flow", "bytes_sent"]].tolist()) == [(1, 8), (2, 0)]


def test_empty_batches_are_welcome() -> None:
    assert len(rows_of(feed(FlowStore(), snapshot(), events()))) == 0


STEPS = st.lists(
    st.tuples(st.sampled_from([BatchKind.SNAPSHOT, BatchKind.EVENTS]), st.lists(st.integers(1, 12), max_size=8)), max_size=12
)


@given(STEPS)
@settings(deadline=None)
def test_whatever_comes_sequences_are_unique_and_no_flow_is_live_twice(steps: list[tuple[BatchKind, list[int]]]) -> None:
    store = FlowStore(capacity=6, live_capacity=5)
    for kind, flows in steps:
        make = tcp if kind is BatchKind.SNAPSHOT else ended
        store.add(batch(TCP, kind, [make(flow) for flow in dict.fromkeys(flows)]), OFFSET_NS, "tcp")
        rows = rows_of(store)
        live = rows[rows["ended_at"] == 0]
        assert len(np.unique(live["flow"])) == len(live) <= 5
        assert len(rows) - len(live) <= 6
        # an ended flow that a stray snapshot showed again long after is live anew, but never under a number given before
        assert len(np.unique(rows["sequence"])) == len(rows)
