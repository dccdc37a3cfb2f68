from hypothesis import given
from hypothesis import strategies as st

from collector.export.otlp_delta import DeltaTracker, series_key
from collector.instruments import HistogramValue, Instrument, InstrumentKind, Point
from collector.workload import Workload, WorkloadKind

IO = Instrument("tcp.io", InstrumentKind.COUNTER, "By", "Payload.")
RTT = Instrument("tcp.rtt", InstrumentKind.HISTOGRAM, "s", "RTT.", (1.0,))
NGINX = Workload(1, WorkloadKind.UNIT, "nginx")


def at(value: float, started_at: float = 10.0) -> Point:
    return Point(NGINX, {"role": "client"}, value, started_at)


def test_first_delta_is_everything_since_the_series_began() -> None:
    step = DeltaTracker().delta(IO, at(5.0), taken_at=20.0)
    assert (step.value, step.started_at) == (5.0, 10.0)


def test_delta_is_what_came_after_what_was_delivered() -> None:
    tracker = DeltaTracker()
    tracker.deliver([tracker.delta(IO, at(5.0), 20.0)])
    step = tracker.delta(IO, at(7.0), 30.0)
    assert (step.value, step.started_at) == (2.0, 20.0)


def test_what_was_not_delivered_is_in_the_next_delta() -> None:
    tracker = DeltaTracker()
    tracker.deliver([tracker.delta(IO, at(5.0), 20.0)])
    tracker.delta(IO, at(7.0), 30.0)
    step = tracker.delta(IO, at(11.0), 40.0)
    assert (step.value, step.started_at) == (6.0, 20.0)


def test_counter_that_began_anew_is_counted_from_its_beginning() -> None:
    tracker = DeltaTracker()
    tracker.deliver([tracker.delta(IO, at(5.0), 20.0)])
    later = tracker.delta(IO, at(9.0, started_at=25.0), 30.0)
    fallen = tracker.delta(IO, at(3.0), 30.0)
    assert (later.value, later.started_at) == (9.0, 25.0)
    assert (fallen.value, fallen.started_at) == (3.0, 10.0)


def test_series_that_an_older_one_joined_goes_on() -> None:
    tracker = DeltaTracker()
    tracker.deliver([tracker.delta(IO, at(5.0), 20.0)])
    assert tracker.delta(IO, at(7.0, started_at=4.0), 30.0).value == 2.0


def test_series_that_vanished_is_forgotten() -> None:
    tracker = DeltaTracker()
    tracker.deliver([tracker.delta(IO, at(5.0), 20.0), tracker.delta(RTT, at(1.0), 20.0)])
    tracker.keep_only({series_key(IO, at(0.0))})
    assert len(tracker) == 1
    tracker.keep_only(set())
    assert tracker.delta(IO, at(6.0), 30.0).value == 6.0


def test_nothing_new_is_no_delta() -> None:
    tracker = DeltaTracker()
    tracker.deliver([tracker.delta(IO, at(5.0), 20.0)])
    assert tracker.delta(IO, at(5.0), 30.0).value is None


def test_start_is_never_after_the_snapshot() -> None:
    assert DeltaTracker().delta(IO, at(1.0, started_at=50.0), 20.0).started_at == 20.0


def test_histograms_have_deltas_bucket_by_bucket() -> None:
    tracker = DeltaTracker()
    tracker.deliver([tracker.delta(RTT, Point(None, {}, HistogramValue([1, 2], 5.0, 3), 1.0), 2.0)])
    step = tracker.delta(RTT, Point(None, {}, HistogramValue([1, 5], 9.0, 6), 1.0), 3.0)
    assert step.value == HistogramValue([0, 3], 4.0, 3)


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=40))
def test_delivered_deltas_add_up_to_the_counter(steps: list[tuple[int, bool]]) -> None:
    tracker, total, delivered = DeltaTracker(), 0.0, 0.0
    for moment, (grown, arrives) in enumerate([*steps, (0, True)], 11):
        total += grown
        step = tracker.delta(IO, at(total), float(moment))
        if arrives:
            assert not isinstance(step.value, HistogramValue)
            delivered += step.value or 0.0
            tracker.deliver([step])
    assert delivered == total
