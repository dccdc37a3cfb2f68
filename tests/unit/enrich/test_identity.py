"""From cgroup and process to workload: order of evidence, late names, numbers that are never reused, bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.batch import Batch
from collector.clock import FixedClock
from collector.enrich.cgroup_table import CgroupTable
from collector.enrich.cluster import Cluster
from collector.enrich.identity import Identities, build_identities
from collector.enrich.process_table import ProcessTable
from collector.enrich.workload_table import OTHER, WorkloadTable
from collector.workload import UNKNOWN, Workload, WorkloadKind
from enrich.batches import (
    CONTAINER_PATH,
    ONE,
    OTHER_POD_PATH,
    POD_PATH,
    SECOND,
    UID,
    UNIT_PATH,
    attached,
    cgroups,
    event,
    processes,
)


def created(cgroup: int, path: str, at: int = 1, **more: Any) -> dict[str, Any]:
    return {"event": "created", "cgroup": cgroup, "path": path, "observed_at": at} | more


def made_of(workloads: WorkloadTable, processes: ProcessTable, cgroups: CgroupTable) -> Identities:
    return Identities(workloads, processes, cgroups, Cluster(FixedClock(0), workloads))


def resolved(identities: Identities, cgroup: int, process: int = 0, started_at: int = 0, command: str = "") -> Workload:
    return identities.workload(identities.resolve(cgroup, process, started_at, command))


def test_cgroup_of_a_pod_gives_pod_and_container() -> None:
    identities = build_identities()
    identities.observe(cgroups(created(50, POD_PATH)))
    found = resolved(identities, 50)
    assert (found.kind, found.pod_uid, found.container_id, found.cgroup_path) == (WorkloadKind.POD, UID, ONE, POD_PATH)


def test_two_cgroups_of_one_unit_are_one_workload() -> None:
    identities = build_identities()
    identities.observe(cgroups(created(50, UNIT_PATH), created(60, f"{UNIT_PATH}/worker")))
    assert identities.resolve(50, 0, 0) == identities.resolve(60, 0, 0)


def test_unit_that_was_restarted_keeps_its_number() -> None:
    identities = build_identities()
    identities.observe(cgroups(created(50, UNIT_PATH)))
    before = identities.resolve(50, 0, 0)
    identities.observe(cgroups(created(50, UNIT_PATH) | {"event": "removed"}, created(51, UNIT_PATH)))
    assert identities.resolve(51, 0, 0) == before


def test_removed_cgroup_is_still_answered() -> None:
    identities = build_identities()
    identities.observe(cgroups(created(50, POD_PATH), created(50, POD_PATH) | {"event": "removed"}))
    assert resolved(identities, 50).pod_uid == UID


def test_process_in_the_root_cgroup_belongs_to_its_v1_cgroup() -> None:
    identities = build_identities()
    identities.observe(processes(event("existing", 7, 10, command="nginx")))
    identities.observe(cgroups(attached(7, 20, "/", hierarchy=8), attached(7, 20, CONTAINER_PATH)))
    assert resolved(identities, 1, 7, 10).kind is WorkloadKind.CONTAINER


def test_child_in_the_root_cgroup_belongs_to_the_v1_cgroup_of_its_creator() -> None:
    identities = build_identities()
    identities.observe(cgroups(attached(7, 20, POD_PATH)))
    identities.observe(processes(event("existing", 7, 10), event("started", 8, 30, creator=7)))
    assert resolved(identities, 1, 8, 30).pod_uid == UID


def test_process_that_no_cgroup_names_is_called_by_its_program() -> None:
    identities = build_identities()
    identities.observe(processes(event("executed", 7, 10, executable="/usr/bin/redis-server")))
    found = resolved(identities, 1, 7, 10)
    assert (found.kind, found.name) == (WorkloadKind.PROCESS, "redis-server")


def test_process_that_is_not_known_is_called_by_the_command_in_the_row() -> None:
    assert resolved(build_identities(), 1, 7, 10, "curl").name == "curl"


def test_row_is_called_by_the_program_of_its_time_and_not_by_a_later_one() -> None:
    identities = build_identities()
    identities.observe(processes(event("executed", 7, 10, command="java", executable="/usr/bin/java")))
    assert resolved(identities, 1, 7, 10, "bash").name == "bash"


def test_nothing_known_is_unknown() -> None:
    identities = build_identities()
    assert identities.resolve(0, 0, 0) == UNKNOWN
    assert identities.workload(UNKNOWN).kind is WorkloadKind.UNKNOWN


def test_container_in_v1_says_more_than_the_unit_of_its_runtime_in_v2() -> None:
    identities = build_identities()
    identities.observe(cgroups(created(50, "/system.slice/containerd.service"), attached(7, 20, POD_PATH)))
    identities.observe(processes(event("existing", 7, 10, cgroup=50)))
    assert resolved(identities, 50, 7, 10).kind is WorkloadKind.POD


def test_socket_made_by_init_belongs_to_the_unit_that_was_given_it() -> None:
    identities = build_identities()
    identities.observe(cgroups(created(40, "/init.scope"), created(50, UNIT_PATH)))
    identities.observe(processes(event("existing", 7, 10, cgroup=50)))
    assert resolved(identities, 40, 7, 10).name == "nginx.service"
    assert resolved(identities, 40).name == "init.scope"


def test_row_without_a_cgroup_belongs_where_its_process_is() -> None:
    identities = build_identities()
    identities.observe(cgroups(created(50, UNIT_PATH)))
    identities.observe(processes(event("existing", 7, 10, cgroup=50)))
    assert resolved(identities, 0, 7, 10).name == "nginx.service"


def test_unknown_cgroup_has_a_number_at_once_that_is_named_later() -> None:
    identities = build_identities()
    number = identities.resolve(50, 0, 0)
    assert identities.workload(number).kind is WorkloadKind.UNKNOWN
    before = identities.version
    identities.observe(cgroups(created(50, POD_PATH)))
    assert identities.workload(number).pod_uid == UID
    assert identities.version > before
    assert identities.resolve(50, 0, 0) == number


def test_unknown_cgroup_whose_path_names_nothing_is_called_by_who_asked_first() -> None:
    identities = build_identities()
    number = identities.resolve(50, 0, 0, "curl")
    identities.observe(cgroups(created(50, "/somewhere")))
    assert (identities.workload(number).kind, identities.workload(number).name) == (WorkloadKind.PROCESS, "curl")


def test_number_named_late_says_the_same_as_the_one_that_had_the_name_before() -> None:
    identities = build_identities()
    identities.observe(cgroups(created(50, UNIT_PATH)))
    first, late = identities.resolve(50, 0, 0), identities.resolve(60, 0, 0)
    identities.observe(cgroups(created(60, UNIT_PATH)))
    assert identities.workload(first).attributes() == identities.workload(late).attributes()
    assert identities.resolve(60, 0, 0) == first


def test_ids_of_v1_hierarchies_are_not_taken_for_v2() -> None:
    identities = build_identities()
    identities.observe(cgroups(created(50, POD_PATH, hierarchy=4)))
    assert resolved(identities, 50).kind is WorkloadKind.UNKNOWN


def test_version_stays_while_nothing_answered_changes() -> None:
    identities = build_identities()
    identities.observe(cgroups(created(50, POD_PATH)))
    identities.resolve(50, 0, 0)
    before = identities.version
    identities.observe(cgroups(created(51, OTHER_POD_PATH)))
    identities.observe(processes(event("started", 9, 90)))
    assert identities.version == before


def test_living_are_those_with_a_cgroup_or_a_process() -> None:
    identities = build_identities()
    identities.observe(cgroups(created(50, POD_PATH), created(51, OTHER_POD_PATH), attached(9, 20, CONTAINER_PATH)))
    identities.observe(processes(event("existing", 7, 10, command="redis"), event("existing", 8, 10, command="curl")))
    identities.observe(processes(event("existing", 9, 10, command="app")))
    pod, other_pod, container = (identities.resolve(cgroup, process, 10) for cgroup, process in ((50, 0), (51, 0), (1, 9)))
    redis, curl = (identities.resolve(1, process, 10) for process in (7, 8))
    network = identities.intern(WorkloadKind.NETWORK, "internet")
    assert identities.living() >= {pod, other_pod, container, redis, curl, network, UNKNOWN, OTHER}
    identities.observe(cgroups({"event": "removed", "cgroup": 50}))
    identities.observe(processes(event("exited", 8, 30, process_started_at=10), event("exited", 9, 30, process_started_at=10)))
    assert identities.living() == {other_pod, redis, network, UNKNOWN, OTHER}


def test_full_table_calls_newcomers_other_and_counts_them() -> None:
    identities = build_identities(maximum_workloads=3)
    numbers = [identities.intern(WorkloadKind.PROCESS, name) for name in "abc"]
    assert numbers[1:] == [OTHER, OTHER]
    assert identities.counters()["workloads_overflowed"] == 2
    assert identities.limits_reached() == ["workloads"]
    assert identities.workload(OTHER).name == "other"


def test_idle_workloads_make_room_and_their_numbers_are_not_given_again() -> None:
    identities = made_of(WorkloadTable(4, idle_seconds=60), ProcessTable(), CgroupTable())
    idle, busy = (identities.intern(WorkloadKind.PROCESS, name) for name in ("idle", "busy"))
    identities.use([busy], 100 * SECOND)
    before = identities.version
    newcomer = identities.intern(WorkloadKind.PROCESS, "new")
    assert newcomer not in (idle, busy, OTHER, UNKNOWN)
    assert identities.workload(idle).name == "forgotten"
    assert identities.workload(busy).name == "busy"
    assert identities.version > before
    identities.use([busy], 200 * SECOND)
    assert identities.intern(WorkloadKind.PROCESS, "idle") not in (idle, OTHER)


def test_cgroups_are_bounded_and_removed_ones_go_first() -> None:
    table = CgroupTable(maximum=3, kept_removed=1)
    for identifier in (10, 11, 12):
        table.learn(identifier, f"/{identifier}")
    table.remove(12)
    table.learn(13, "/13")
    assert [table.get(identifier) is not None for identifier in (10, 11, 12, 13)] == [True, True, False, True]
    table.learn(14, "/14")
    assert table.evicted == 1
    assert len(table) == 3


def test_table_of_many_removed_cgroups_keeps_the_newest() -> None:
    table = CgroupTable(kept_removed=2)
    for identifier in (10, 11, 12):
        table.learn(identifier, f"/{identifier}")
        table.remove(identifier)
    assert [table.get(identifier) is not None for identifier in (10, 11, 12)] == [False, True, True]


CGROUP_ROWS = st.builds(
    lambda kind, cgroup, hierarchy, process, path: {
        "event": kind,
        "cgroup": cgroup,
        "hierarchy": hierarchy,
        "process": process,
        "path": path,
        "observed_at": 5,
    },
    st.sampled_from(["existing", "created", "removed", "renamed", "attached"]),
    st.integers(0, 8),
    st.sampled_from([0, 0, 4]),
    st.integers(0, 4),
    st.sampled_from(["/", POD_PATH, OTHER_POD_PATH, UNIT_PATH, CONTAINER_PATH, "/x", "", "\\xff"]),
)
PROCESS_ROWS = st.builds(
    lambda kind, process, cgroup, creator: event(kind, process, 3, cgroup=cgroup, creator=creator, command="c"),
    st.sampled_from(["existing", "started", "executed", "exited", "oom_killed"]),
    st.integers(0, 4),
    st.integers(0, 8),
    st.integers(0, 4),
)


@given(st.lists(st.one_of(CGROUP_ROWS, PROCESS_ROWS, st.integers(0, 8)), max_size=40))
def test_numbers_stay_valid_whatever_happens(steps: list[Any]) -> None:
    identities = made_of(WorkloadTable(6), ProcessTable(3, kept=2), CgroupTable(4, kept_removed=2))
    given_out: set[int] = set()
    for step in steps:
        if isinstance(step, int):
            given_out.add(identities.resolve(step, step % 5, 3, "c"))
        elif "hierarchy" in step:
            identities.observe(cgroups(step))
        else:
            identities.observe(processes(step))
    assert len(identities.workloads()) <= 6
    assert all(identities.workload(number).number == number for number in given_out)


STARTED_7 = event("started", 7, 10, creator=1, command="runc")
STARTED_8 = event("started", 8, 30, creator=7, command="runc")
EXECUTED_8 = event("executed", 8, 40, process_started_at=30, command="app", executable="/app")
MOVED_7 = attached(7, 20, POD_PATH, process_started_at=10)


@pytest.mark.parametrize(
    "batches",
    [
        [processes(STARTED_7), cgroups(MOVED_7), processes(STARTED_8, EXECUTED_8)],
        [cgroups(MOVED_7), processes(STARTED_7, STARTED_8, EXECUTED_8)],
        [processes(STARTED_7, STARTED_8, EXECUTED_8), cgroups(MOVED_7)],
        [processes(STARTED_7, STARTED_8), processes(EXECUTED_8), cgroups(MOVED_7)],
        [cgroups(MOVED_7), processes(STARTED_7), processes(STARTED_8), processes(EXECUTED_8)],
    ],
)
def test_first_process_of_a_v1_container_is_known_in_whatever_order_the_rings_are_read(batches: list[Batch]) -> None:
    identities = build_identities()
    for batch in batches:
        identities.observe(batch)
    assert resolved(identities, 1, 8, 30).pod_uid == UID
