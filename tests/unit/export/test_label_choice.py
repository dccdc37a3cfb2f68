"""Labels on /metrics: those that were chosen, and sums that never go down when a container starts again."""

from __future__ import annotations

from collector.export.label_choice import LabelChoice, read_label_choice
from collector.export.prometheus_families import Families
from collector.export.retired_series import RetiredSeries
from collector.instruments import HistogramValue, Instrument, InstrumentKind, InstrumentSnapshot, Point, Snapshot
from collector.workload import Workload, WorkloadKind

OPENED = Instrument("tcp.opened", InstrumentKind.COUNTER, "{connection}", "Opened.")
TOOK = Instrument("took", InstrumentKind.HISTOGRAM, "s", "Took.", (1.0,))
CHOICE = read_label_choice(["service.name", "k8s.pod.name", "took:service.name"])


def container(number: int, pod: str = "cart-1") -> Workload:
    facts = {"k8s.pod.name": pod, "k8s.container.name": "server", "k8s.pod.uid": pod}
    return Workload(number, WorkloadKind.POD, "cart", "shop", pod, f"c{number}", facts=facts)


def snapshot(*points: tuple[Instrument, Point]) -> Snapshot:
    instruments = dict.fromkeys(instrument for instrument, _ in points)
    each = [InstrumentSnapshot(one, [point for owner, point in points if owner is one]) for one in instruments]
    return Snapshot(100.0, each)


def rows(read: Families, taken: Snapshot) -> dict[str, dict[tuple[str, ...], object]]:
    return {family.name: {key: row.value for key, row in family.rows.items()} for family in read.read(taken)}


def test_choice_for_all_metrics_and_for_one() -> None:
    assert LabelChoice(["service.name", "k8s.pod.name"], {"took": ["service.name"]}) == CHOICE
    taken = snapshot(
        (OPENED, Point(container(1), {}, 2.0, 1.0)),
        (TOOK, Point(container(1), {}, HistogramValue([1, 0], 0.5, 1), 1.0)),
        (TOOK, Point(container(2, "cart-2"), {}, HistogramValue([2, 0], 0.5, 2), 1.0)),
    )
    families = {family.name: family for family in Families(CHOICE).read(taken)}
    assert families["tcp_opened"].label_names == ("k8s_pod_name", "service_name")
    assert families["took_seconds"].label_names == ("service_name",)
    (merged,) = families["took_seconds"].rows.values()
    assert isinstance(merged.value, HistogramValue)
    assert merged.value.counts == [3, 0], "series that become equal are one"


def test_numbers_of_a_container_that_is_gone_stay_in_the_sum_while_the_next_one_counts_on() -> None:
    retired = RetiredSeries()
    before = Point(container(1), {"role": "client"}, 7.0, 1.0)
    after = Point(container(2), {"role": "client"}, 2.0, 50.0)
    assert rows(Families(CHOICE), snapshot((OPENED, before), (OPENED, after)))["tcp_opened"] == {
        ("cart-1", "client", "cart"): 9.0
    }
    retired.take([(OPENED, before)])
    read = Families(CHOICE, retired.points())
    assert rows(read, snapshot((OPENED, after)))["tcp_opened"] == {("cart-1", "client", "cart"): 9.0}
    assert read.ended == []
    retired.take([(OPENED, Point(container(3), {"role": "client"}, 5.0, 1.0))])
    assert len(retired.points()["tcp.opened"]) == 1, "a container that starts all the time needs no room for each"
    assert rows(Families(CHOICE, retired.points()), snapshot((OPENED, after)))["tcp_opened"] == {
        ("cart-1", "client", "cart"): 14.0
    }


def test_numbers_with_whose_labels_nothing_goes_on_are_dropped() -> None:
    retired = RetiredSeries()
    retired.take([(OPENED, Point(container(1), {}, 7.0, 1.0)), (OPENED, Point(container(2, "cart-2"), {}, 1.0, 1.0))])
    read = Families(CHOICE, retired.points())
    assert rows(read, snapshot((OPENED, Point(container(3), {}, 1.0, 1.0))))["tcp_opened"] == {("cart-1", "cart"): 8.0}
    retired.drop(read.ended)
    assert [point.value for _, point in retired.points()["tcp.opened"]] == [7.0]


def test_retired_numbers_are_bounded() -> None:
    retired = RetiredSeries(maximum=2)
    retired.take([(OPENED, Point(container(number, f"cart-{number}"), {}, 1.0, 1.0)) for number in range(5)])
    kept = [point.workload.pod_name for _, point in retired.points()["tcp.opened"] if point.workload]
    assert kept == ["cart-3", "cart-4"]
