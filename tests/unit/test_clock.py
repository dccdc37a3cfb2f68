from __future__ import annotations

import time

import pytest

from collector.clock import NANOSECONDS, FixedClock, SystemClock


def test_offset_turns_boot_time_into_wall_clock_time() -> None:
    clock = SystemClock()
    before = time.time_ns()
    now = clock.boot_ns() + clock.offset_ns
    after = time.time_ns()
    assert before - NANOSECONDS < now < after + NANOSECONDS


def test_boot_time_never_goes_back() -> None:
    clock = SystemClock()
    readings = [clock.boot_ns() for _ in range(100)]
    assert readings == sorted(readings)


def test_step_of_the_wall_clock_is_seen_at_the_next_measurement_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    offset, wall = clock.offset_ns, time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: wall() + 3600 * NANOSECONDS)
    assert clock.offset_ns == offset
    clock.measure()
    assert abs(clock.offset_ns - offset - 3600 * NANOSECONDS) < NANOSECONDS


def test_offset_is_taken_from_the_middle_of_two_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([1000, 1000, 3000, 3000])
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: next(readings))
    monkeypatch.setattr(time, "time_ns", lambda: 50_000)
    clock = SystemClock()
    assert clock.offset_ns == 49_000
    clock.measure()
    assert clock.offset_ns == 47_000


def test_clock_of_a_recording_stands_until_it_is_moved() -> None:
    clock = FixedClock(50, 7)
    clock.measure()
    assert (clock.boot_ns(), clock.offset_ns) == (7, 50)
    clock.now_boot_ns = 9
    clock.move(60)
    assert (clock.boot_ns(), clock.offset_ns) == (9, 60)
