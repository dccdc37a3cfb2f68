"""Capabilities from /proc/self/status, and what is wanted of them by kernel version."""

from __future__ import annotations

import pytest

from collector.doctor.capabilities import NUMBERS, holds, list_wanted, read_effective


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("CapEff:\t0000000000000000", set()),
        ("CapEff:\t000001ffffffffff", set(NUMBERS)),
        ("CapEff:\t000000c000001000", {"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"}),
        ("CapEff:\t0000000000200000", {"CAP_SYS_ADMIN"}),
        ("Name: no such line", set()),
    ],
)
def test_effective_set_is_read_from_its_mask(line: str, expected: set[str]) -> None:
    assert read_effective(f"Name:\tx\nCapPrm:\tffffffffffffffff\n{line}\n") == expected


def test_sys_admin_stands_for_what_was_split_off_it() -> None:
    admin = frozenset({"CAP_SYS_ADMIN"})
    assert all(holds(admin, name) for name in ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"))
    assert not holds(admin, "CAP_SYS_PTRACE")


@pytest.mark.parametrize(
    ("kernel", "essential"),
    [
        ((5, 4), {"CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"}),
        ((5, 10), {"CAP_BPF", "CAP_PERFMON", "CAP_SYS_RESOURCE"}),
        ((5, 11), {"CAP_BPF", "CAP_PERFMON"}),
        ((6, 18), {"CAP_BPF", "CAP_PERFMON"}),
    ],
)
def test_each_kernel_asks_for_the_least_it_knows(kernel: tuple[int, int], essential: set[str]) -> None:
    wanted = list_wanted(kernel)
    assert {one.name for one in wanted if one.essential} == essential
    assert {one.name for one in wanted} <= NUMBERS.keys()
