from __future__ import annotations

from collector.probe_budget import NANOSECONDS, Budget, BudgetWatch, Overrun, ProbeUse

BUDGET = Budget(cpu=0.25, events=1000)
NOTHING = ProbeUse(0, 0, 0, 0)


def use(*, user: float = 0, kernel: float = 0, measured: float = 0, events: int = 0) -> ProbeUse:
    return ProbeUse(int(user * NANOSECONDS), int(kernel * NANOSECONDS), int(measured * NANOSECONDS), events)


def checks(*uses: ProbeUse) -> list[list[Overrun]]:
    """What each check says, one a second; the first finds the probe just loaded."""
    watch = BudgetWatch(BUDGET)
    return [watch.check({"mine": one}, 10.0 + second) for second, one in enumerate([NOTHING, *uses])]


def test_probe_within_its_budget_is_left_alone() -> None:
    assert checks(use(user=0.2, events=900), use(user=0.4, events=1800)) == [[], [], []]


def test_first_check_only_takes_note() -> None:
    assert BudgetWatch(BUDGET).check({"mine": use(user=100, events=1 << 40)}, 1.0) == []


def test_probe_a_little_over_is_stopped_at_the_second_look() -> None:
    first, second = checks(use(events=1500), use(events=3000))[1:]
    assert first == []
    assert "sent 1,500 events a second; 1,000 are allowed (HONEYGUIDE_PROBE_EVENTS_MAX)" in second[0].cause
    assert "honeyguide probe enable mine" in second[0].remedy


def test_one_busy_second_is_forgiven() -> None:
    assert checks(use(events=1500), use(events=1600), use(events=3100))[1:] == [[], [], []]


def test_probe_far_over_is_stopped_at_once() -> None:
    (overrun,) = checks(use(events=4001))[1]
    assert overrun.probe == "mine"


def test_time_in_the_agent_counts() -> None:
    second = checks(use(user=0.5), use(user=1.0))[2]
    assert "rows took 50% of a CPU in the agent; 25% are allowed (HONEYGUIDE_PROBE_CPU_MAX)" in second[0].cause


def test_time_in_the_kernel_is_judged_by_the_time_it_was_measured() -> None:
    second = checks(use(kernel=0.2, measured=0.5), use(kernel=0.4, measured=1.0))[2]
    assert "programs took 40% of a CPU in the kernel" in second[0].cause
    assert checks(use(kernel=0.2, measured=0.1), use(kernel=0.4, measured=0.2))[2] == []


def test_worst_overrun_is_the_one_that_is_told() -> None:
    second = checks(use(events=1100, user=0.9), use(events=2200, user=1.8))[2]
    assert "in the agent" in second[0].cause


def test_probe_that_went_and_came_again_begins_anew() -> None:
    watch = BudgetWatch(BUDGET)
    watch.check({"mine": NOTHING}, 1.0)
    watch.check({}, 2.0)
    assert watch.check({"mine": use(events=100_000)}, 3.0) == []
