from __future__ import annotations

from dataclasses import replace

import pytest

from collector.accounts import Book
from collector.cluster_status import WatchState, WatchStatus
from collector.health import MEMORY_SECONDS, HealthMonitor
from collector.probe_status import ProbeState, ProbeStatus

BOOK = Book("tcp", "state_changes", 10, 10, 0, 0, {"ring_full": 0, "map_full": 0, "unreadable": 0}, True, 10)


def monitor_with(book: Book, now: float = 1000.0) -> HealthMonitor:
    monitor = HealthMonitor()
    monitor.check_books([BOOK], now - 1)
    monitor.check_books([book], now)
    return monitor


def test_nothing_lost_is_healthy() -> None:
    health = monitor_with(BOOK).health(1000.0)
    assert (health.status, health.reasons, health.since) == ("ok", (), 1000.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"dropped": {"ring_full": 3}},
            "probe tcp (state_changes) lost 3 events: its ring was full; a larger HONEYGUIDE_RING_BYTES",
        ),
        ({"dropped": {"map_full": 1}}, "lost 1 events: its map in the kernel was full"),
        ({"dropped": {"unreadable": 2}}, "lost 2 events: the kernel could not read them"),
        ({"dropped": {"moon_phase": 2}}, "lost 2 events: moon_phase"),
        ({"undecodable": 4}, "lost 4 events: they did not have the size or form"),
        ({"missed": 5}, "lost 5 events: the program was already running"),
    ],
)
def test_loss_degrades_with_its_reason_and_remedy(change: dict[str, object], says: str) -> None:
    health = monitor_with(replace(BOOK, **change)).health(1000.0)  # type: ignore[arg-type]
    assert health.status == "degraded"
    assert len(health.reasons) == 1
    assert says in health.reasons[0]


def test_health_recovers_when_nothing_was_lost_for_a_while() -> None:
    book = replace(BOOK, dropped={"ring_full": 3})
    monitor = monitor_with(book)
    assert monitor.health(1000.0).since == 1000.0
    monitor.check_books([book], 1000.0 + MEMORY_SECONDS - 1)
    assert monitor.health(1000.0 + MEMORY_SECONDS - 1).status == "degraded"
    recovered = monitor.health(1000.0 + MEMORY_SECONDS)
    assert (recovered.status, recovered.reasons, recovered.since) == ("ok", (), 1000.0 + MEMORY_SECONDS)


def test_further_loss_keeps_it_degraded_since_the_first() -> None:
    monitor = monitor_with(replace(BOOK, missed=1))
    assert monitor.health(1000.0).status == "degraded"
    monitor.check_books([replace(BOOK, missed=8)], 1020.0)
    health = monitor.health(1000.0 + MEMORY_SECONDS + 5)
    assert (health.status, health.since) == ("degraded", 1000.0)
    assert "lost 7 events" in health.reasons[0]


def test_loss_before_the_first_look_counts() -> None:
    monitor = HealthMonitor()
    monitor.check_books([replace(BOOK, dropped={"ring_full": 9})], 1000.0)
    assert "lost 9 events" in monitor.health(1000.0).reasons[0]


def test_books_that_start_anew_are_no_loss() -> None:
    monitor = monitor_with(replace(BOOK, missed=8))
    monitor.check_books([replace(BOOK, missed=0)], 1000.0 + MEMORY_SECONDS)
    assert monitor.health(1000.0 + MEMORY_SECONDS).status == "ok"


def test_each_reason_is_told_once() -> None:
    monitor = monitor_with(replace(BOOK, dropped={"ring_full": 1, "map_full": 2}, undecodable=3))
    monitor.check_books([replace(BOOK, probe="udp", missed=1)], 1000.0)
    assert len(monitor.health(1000.0).reasons) == 4


def test_refused_probe_degrades_until_it_runs() -> None:
    refused = ProbeStatus("tcp", "Which?", ProbeState.REFUSED, cause="this kernel has no BTF")
    monitor = HealthMonitor()
    monitor.check_statuses([refused, ProbeStatus("udp", "Who?", ProbeState.DISABLED, cause="switched off")], 1000.0)
    assert monitor.health(1000.0).reasons == ("probe tcp cannot run: this kernel has no BTF",)
    monitor.check_statuses([refused], 1100.0)
    assert monitor.health(1100.0).status == "degraded"
    monitor.check_statuses([replace(refused, state=ProbeState.RUNNING)], 1120.0)
    assert monitor.health(1100.0 + MEMORY_SECONDS).status == "ok"


def test_limit_degrades_while_it_is_exceeded() -> None:
    monitor = HealthMonitor()
    monitor.check_limits({"max_series": 12, "max_workloads": 0}, 1000.0)
    assert monitor.health(1000.0).reasons == ("12 times over the limit max_series: raise it, or see what makes so many.",)
    monitor.check_limits({"max_series": 12}, 1010.0)
    assert monitor.health(1000.0 + MEMORY_SECONDS).status == "ok"


def test_names_with_braces_do_no_harm() -> None:
    health = monitor_with(replace(BOOK, probe="a{b}", account="{0}", missed=2)).health(1000.0)
    assert any("a{b} ({0}) lost 2 events" in reason for reason in health.reasons)


@pytest.mark.parametrize(
    ("status", "degraded"),
    [
        (WatchStatus("pods", WatchState.SYNCED, heard_at=900.0), False),
        (WatchStatus("pods", WatchState.STARTING), False),
        (WatchStatus("pods", WatchState.RETRYING, heard_at=990.0, cause="503"), False),
        (WatchStatus("pods", WatchState.RETRYING, heard_at=900.0, cause="503"), True),
        (WatchStatus("pods", WatchState.REFUSED, heard_at=999.0, cause="403", remedy="Allow it."), True),
    ],
)
def test_names_that_may_be_old_are_told_once_that_lasts(status: WatchStatus, degraded: bool) -> None:
    monitor = HealthMonitor()
    monitor.check_watches([status], 1000.0)
    health = monitor.health(1000.0)
    assert (health.status == "degraded") is degraded
    assert all(status.cause in reason and status.remedy in reason and "pods" in reason for reason in health.reasons)
