"""Series of pods that are gone go within two minutes, after a last look; those of idle pods stay; sums never go down."""

from __future__ import annotations

from aggregate.rows_to_count import make_batch
from enrich.batches import ONE, OTHER_POD_PATH, OTHER_UID, POD_PATH, TWO, UID, cgroups
from enrich.cluster_samples import container, known, learnt, pod

from collector.aggregate.aggregator import AggregateSettings, Aggregator
from collector.aggregate.trace_metrics import TraceMetrics, TraceMetricsSettings
from collector.catalog.manifest import Manifest
from collector.enrich.identity import Identities
from collector.export.label_choice import read_label_choice
from collector.export.prometheus_families import Families
from collector.instruments import Snapshot
from collector.series_sweep import SeriesSweep

MANIFEST = Manifest.model_validate(
    {
        "question": "What is counted here?",
        "cost": "nothing",
        "oldest_kernel": "5.10",
        "hook": [{"purpose": "rows", "account": "rows", "alternatives": ["rows"]}],
        "record": [{"struct": "flow_row", "ring": "rows", "account": "rows"}],
        "metric": [
            {
                "name": "sample.rows",
                "kind": "counter",
                "unit": "{row}",
                "help": "Rows of the sample.",
                "record": "flow_row",
                "identity": ["local"],
            }
        ],
    }
)
LABELS = read_label_choice(["service.name", "k8s.pod.name", "k8s.container.name"])
Series = dict[tuple[str, ...], float]


class Node:
    """Two pods of which one does nothing, their series, and the sweep."""

    def __init__(self) -> None:
        cart = pod(UID, containers=(container("server", ONE),))
        self.identities: Identities = known(learnt(cart), learnt(pod(OTHER_UID, containers=(container("server", TWO),))))
        self.aggregator = Aggregator(AggregateSettings(), self.identities.workload)
        self.aggregator.add_probe("tcp", MANIFEST, {})
        traces = TraceMetrics(TraceMetricsSettings(), self.identities.workload)
        self.sweep = SeriesSweep(self.identities, self.aggregator, traces, idle_seconds=900)

    def cgroup(self, event: str, number: int, path: str, at: float) -> None:
        self.identities.observe(cgroups({"event": event, "cgroup": number, "path": path, "observed_at": int(at * 1e9)}))

    def count(self, cgroup: int, rows: int, now: float) -> None:
        local = self.identities.resolve(cgroup, 0, 0)
        self.aggregator.add(make_batch(added={"local": [local] * rows}, flow=[1] * rows), now)

    def scrape(self, now: float) -> Series:
        read = Families(LABELS, self.sweep.retired.points())
        families = list(read.read(Snapshot(now, self.aggregator.snapshot())))
        self.sweep.note_read(read.ended, now)
        return {key: float(row.value) for family in families for key, row in family.rows.items()}  # type: ignore[arg-type]


def key(uid: str) -> tuple[str, str, str]:
    return "server", f"pod-{uid}", f"pod-{uid}"


def test_series_of_a_deleted_pod_go_within_two_minutes_and_those_of_an_idle_one_stay() -> None:
    node = Node()
    node.cgroup("created", 50, POD_PATH, 1)
    node.cgroup("created", 51, OTHER_POD_PATH, 1)
    node.count(50, 5, 1000.0)
    node.count(51, 3, 1000.0)
    node.cgroup("removed", 50, POD_PATH, 10)
    node.count(50, 1, 1010.0)  # rows may come after the cgroup went
    seen: dict[int, Series] = {}
    for now in range(1010, 1140, 2):
        node.sweep.sweep(float(now))
        seen[now] = node.scrape(float(now))
    assert all(found[key(UID)] == 6.0 for now, found in seen.items() if now <= 1010 + 60), "the last numbers can be scraped"
    assert all(key(UID) not in found for now, found in seen.items() if now >= 1010 + 120)
    node.sweep.sweep(1000.0 + 86400)
    assert node.scrape(1000.0 + 86400) == {key(OTHER_UID): 3.0}, "however idle"


def test_restarted_container_goes_on_where_the_one_before_it_ended() -> None:
    node = Node()
    node.cgroup("created", 50, POD_PATH, 1)
    node.count(50, 5, 1000.0)
    node.cgroup("removed", 50, POD_PATH, 10)
    again = "5e" * 32
    node.identities.cluster.learn([learnt(pod(UID, containers=(container("server", again),)), 11)])
    node.cgroup("created", 52, POD_PATH.replace(ONE, again), 11)
    totals = []
    for now in range(1010, 1310, 10):
        node.count(52, 1, float(now))
        node.sweep.sweep(float(now))
        totals.append(node.scrape(float(now))[key(UID)])
    assert totals == [6.0 + number for number in range(30)], "a counter that goes down looks like a restart of everything"
    node.cgroup("removed", 52, POD_PATH, 400)
    for now in range(1310, 1500, 30):
        node.sweep.sweep(float(now))
        last = node.scrape(float(now))
    assert last == {}, "and both go together"


def test_nothing_is_kept_of_gone_series_while_nobody_reads_them() -> None:
    node = Node()
    node.cgroup("created", 50, POD_PATH, 1)
    node.count(50, 5, 1000.0)
    node.cgroup("removed", 50, POD_PATH, 10)
    for now in (1010.0, 1100.0):
        node.sweep.sweep(now)
    assert (node.sweep.retired.points(), node.sweep.retired.forgotten) == ({}, 0), "who never read sees no sum go down"


def test_retired_series_of_which_the_reader_is_gone_are_forgotten_and_counted() -> None:
    node = Node()
    node.cgroup("created", 50, POD_PATH, 1)
    node.count(50, 5, 1000.0)
    node.scrape(1001.0)
    node.cgroup("removed", 50, POD_PATH, 10)
    node.sweep.sweep(1100.0)
    assert list(node.sweep.retired.points()) == ["sample.rows"]
    node.sweep.sweep(1001.0 + 900)
    assert node.sweep.retired.forgotten == 0
    node.sweep.sweep(1001.0 + 931)
    assert (node.sweep.retired.points(), node.sweep.retired.forgotten) == ({}, 1)
