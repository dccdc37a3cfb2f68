"""The process table: names, numbers used twice, v1 cgroups by inheritance, and its bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrich.process import name_program
from collector.enrich.process_table import CgroupFact, ProcessTable
from enrich.batches import SECOND, attached, event, processes


def attachment(process: int, at: int, path: str, hierarchy: int = 4, started_at: int = 0, cgroup: int = 0) -> CgroupFact:
    return CgroupFact("attached", at, started_at, cgroup, hierarchy, process, path)


def paths(table: ProcessTable, process: int) -> dict[int, str]:
    found = table.find(process)
    assert found is not None
    return {entry.hierarchy: entry.path for entry in found.attachments}


def test_process_that_lived_5_ms_is_still_named() -> None:
    table = ProcessTable()
    start = 10 * SECOND
    table.observe(
        processes(
            event("started", 7, start, creator=1, command="bash"),
            event("executed", 7, start + 10, process_started_at=start, command="curl", executable="/usr/bin/curl"),
            event("exited", 7, start + 5_000_000, process_started_at=start, command="curl", exit_status=7, outcome="failed"),
        )
    )
    found = table.find(7, start)
    assert found is not None
    assert (found.program, found.exit_status, found.outcome, found.ended_at) == ("curl", 7, "failed", start + 5_000_000)
    assert len(table) == 0


def test_child_that_runs_nothing_new_is_named_like_its_creator() -> None:
    table = ProcessTable()
    table.observe(processes(event("existing", 5, 1, command="kube-controller", executable="/bin/kube-controller-manager")))
    table.observe(processes(event("started", 6, 9, creator=5, command="kube-controller")))
    found = table.find(6)
    assert found is not None
    assert found.program == "kube-controller-manager"


def test_number_used_twice_is_two_processes() -> None:
    table = ProcessTable()
    table.observe(processes(event("executed", 7, 10, executable="/bin/old"), event("executed", 7, 99, executable="/bin/new")))
    old, new, newest = table.find(7, 10), table.find(7, 99), table.find(7)
    assert old is not None
    assert new is not None
    assert (old.program, new.program, newest) == ("old", "new", new)
    assert old.ended_at == 99, "the number was free when the second got it"


def test_number_is_not_taken_for_a_process_of_another_start() -> None:
    table = ProcessTable()
    table.observe(processes(event("executed", 7, 10, executable="/bin/old")))
    assert table.find(7, 11) is None


def test_later_facts_win_whatever_the_order_in_which_they_come() -> None:
    table = ProcessTable()
    table.observe(
        processes(
            event("executed", 7, 30, process_started_at=10, executable="/bin/second", cgroup=5),
            event("executed", 7, 20, process_started_at=10, executable="/bin/first", cgroup=4),
            event("started", 7, 10, command="fork", cgroup=3),
        )
    )
    found = table.find(7)
    assert found is not None
    assert (found.program, found.cgroup) == ("second", 5)


def test_exited_process_stays_exited_when_its_start_comes_late() -> None:
    table = ProcessTable()
    table.observe(processes(event("exited", 7, 30, process_started_at=10, outcome="succeeded"), event("started", 7, 10)))
    assert len(table) == 0


def test_child_has_the_v1_cgroups_of_its_creator() -> None:
    table = ProcessTable()
    table.observe(processes(event("started", 5, 10)))
    table.attach(attachment(5, 20, "/docker/a"))
    table.observe(processes(event("started", 6, 30, creator=5), event("started", 7, 40, creator=6)))
    assert paths(table, 7) == {4: "/docker/a"}


def test_child_forked_before_the_move_stays_where_it_was() -> None:
    table = ProcessTable()
    table.observe(processes(event("started", 5, 10)))
    table.attach(attachment(5, 50, "/docker/a"))
    table.observe(processes(event("started", 6, 30, creator=5)))
    assert paths(table, 6) == {}


def test_attachment_that_comes_after_the_children_reaches_those_forked_since() -> None:
    table = ProcessTable()
    table.observe(
        processes(
            event("started", 5, 10),
            event("started", 6, 15, creator=5),
            event("started", 7, 30, creator=5),
            event("started", 8, 40, creator=7),
        )
    )
    table.attach(attachment(5, 20, "/docker/a"))
    assert [paths(table, number) for number in (5, 6, 7, 8)] == [{4: "/docker/a"}, {}, {4: "/docker/a"}, {4: "/docker/a"}]


def test_own_move_counts_more_than_inheritance() -> None:
    table = ProcessTable()
    table.observe(processes(event("started", 5, 10), event("started", 6, 30, creator=5)))
    table.attach(attachment(6, 40, "/docker/own"))
    table.attach(attachment(5, 20, "/docker/creator"))
    assert paths(table, 6) == {4: "/docker/own"}


def test_attachment_waits_for_a_process_not_known_yet() -> None:
    table = ProcessTable()
    table.attach(attachment(5, 20, "/docker/a"))
    table.attach(attachment(5, 20, "/docker/exact", hierarchy=8, started_at=10))
    table.attach(attachment(5, 20, "/docker/another", hierarchy=9, started_at=11))
    table.observe(processes(event("started", 5, 10)))
    assert paths(table, 5) == {4: "/docker/a", 8: "/docker/exact"}


def test_attachment_of_an_earlier_process_of_that_number_is_not_taken() -> None:
    table = ProcessTable()
    table.attach(attachment(5, 20, "/docker/a"))
    table.observe(processes(event("started", 5, 30)))
    assert paths(table, 5) == {}


def test_long_line_of_descendants_in_one_batch_is_followed() -> None:
    table = ProcessTable()
    table.observe(processes(event("started", 1, 1), *(event("started", n, n, creator=n - 1) for n in range(2, 5000))))
    table.attach(attachment(1, 1, "/docker/a"))
    assert paths(table, 4999) == {4: "/docker/a"}


def test_move_in_v2_changes_the_cgroup() -> None:
    table = ProcessTable()
    table.observe(processes(event("started", 5, 10, cgroup=1)))
    table.attach(attachment(5, 20, "/x", hierarchy=0, cgroup=77))
    table.observe(processes(event("executed", 5, 15, process_started_at=10, cgroup=1)))
    found = table.find(5)
    assert found is not None
    assert found.cgroup == 77, "the execution happened before the move"


def test_renamed_v1_cgroup_has_its_new_path() -> None:
    table = ProcessTable()
    table.observe(processes(event("started", 5, 10)))
    table.attach(attachment(5, 20, "/old", cgroup=33))
    table.rename(CgroupFact("renamed", 30, 0, 33, 4, 0, "/new"))
    assert paths(table, 5) == {4: "/new"}


def test_oom_kill_is_kept_through_the_exit() -> None:
    table = ProcessTable()
    table.observe(
        processes(
            event("started", 5, 10),
            event("oom_killed", 5, 20, process_started_at=10, outcome="oom_killed"),
            event("exited", 5, 30, process_started_at=10, outcome="oom_killed"),
        )
    )
    found = table.find(5, 10)
    assert found is not None
    assert found.outcome == "oom_killed"


def test_full_table_forgets_whom_nobody_asks_for_and_counts_it() -> None:
    table = ProcessTable(maximum=3)
    table.observe(processes(*(event("started", number, number) for number in (1, 2, 3))))
    table.find(1)
    assert table.full
    table.observe(processes(event("started", 4, 4)))
    assert [table.find(number) is not None for number in (1, 2, 3, 4)] == [True, False, True, True]
    assert table.evicted == 1


def test_ended_processes_are_kept_by_number_and_by_time() -> None:
    table = ProcessTable(kept=2, kept_seconds=60)
    table.observe(processes(*(event("exited", n, n * SECOND, outcome="succeeded") for n in (1, 2, 3))))
    assert [process.number for process in table.processes()] == [2, 3]
    table.observe(processes(event("exited", 9, 100 * SECOND, outcome="succeeded")))
    assert [process.number for process in table.processes()] == [9]


def test_version_moves_when_an_answer_given_changes_and_only_then() -> None:
    table = ProcessTable()
    table.observe(processes(event("started", 5, 10, command="bash")))
    table.observe(processes(event("executed", 5, 20, process_started_at=10, command="first")))
    assert table.version == 0
    table.find(5, 10)
    table.observe(processes(event("executed", 5, 30, process_started_at=10, command="second")))
    assert table.version == 1
    table.find(6, 40)
    table.observe(processes(event("started", 6, 40)))
    assert table.version == 2


@pytest.mark.parametrize(
    ("command", "executable", "program"),
    [
        ("nginx", "/usr/sbin/nginx", "nginx"),
        ("kube-controller", "/usr/local/bin/kube-controller-manager", "kube-controller-manager"),
        ("gunicorn", "/usr/bin/python3.11", "gunicorn"),
        ("python3", "/usr/bin/python3.11", "python3.11"),
        ("MainThread", "/usr/local/bin/node", "node"),
        ("tokio-runtime", "/usr/bin/server", "server"),
        ("java", "", "java"),
        ("", "/usr/bin/dash", "dash"),
        ("", "", ""),
    ],
)
def test_program_is_called_what_a_person_would_call_it(command: str, executable: str, program: str) -> None:
    assert name_program(command, executable) == program


ROWS = st.builds(
    lambda kind, process, at, creator, cgroup: event(kind, process, at, creator=creator, cgroup=cgroup),
    st.sampled_from(["existing", "started", "executed", "exited", "oom_killed"]),
    st.integers(0, 5),
    st.integers(0, 50),
    st.integers(0, 5),
    st.integers(0, 3),
)
MOVES = st.builds(attached, st.integers(0, 5), st.integers(0, 50), st.sampled_from("ab"))


@given(st.lists(st.one_of(ROWS, MOVES), max_size=60))
def test_any_order_of_any_facts_keeps_the_bounds(rows: list[dict[str, Any]]) -> None:
    table = ProcessTable(maximum=3, kept=2)
    for row in rows:
        if row["event"] == "attached":
            table.attach(attachment(row["process"], row["observed_at"], row["path"]))
        else:
            table.observe(processes(row))
        table.find(row["process"])
        assert len(table) <= 3
        assert len(table.processes()) <= 5
