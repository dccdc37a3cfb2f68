"""Which Linux capabilities this process has, which are wanted, and what for (capabilities(7))."""

from __future__ import annotations

from dataclasses import dataclass

# Numbers from include/uapi/linux/capability.h.
NUMBERS = {
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_RESOURCE": 24,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
# kernel/bpf: bpf_capable(), perfmon_capable() and bpf_net_capable() all take CAP_SYS_ADMIN instead.
_IN_SYS_ADMIN = frozenset({"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"})
FINE_GRAINED_SINCE = (5, 8)  # a17b53c4a4b5: CAP_BPF; c9e0924e5c2b: CAP_PERFMON
MEMORY_BY_CGROUP_SINCE = (5, 11)  # bpf memory no longer counts against RLIMIT_MEMLOCK, d5299b67dd59


@dataclass(frozen=True, slots=True)
class Wanted:
    """essential: without it no probe can run."""

    name: str
    purpose: str
    essential: bool


def read_effective(status: str) -> frozenset[str]:
    """Names (of those in NUMBERS) in the CapEff line of /proc/PID/status; empty when there is no such line."""
    line = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    mask = int(line.split()[1], 16)
    return frozenset(name for name, number in NUMBERS.items() if mask >> number & 1)


def list_wanted(kernel: tuple[int, int]) -> tuple[Wanted, ...]:
    """What the agent asks for on a kernel of that version."""
    if kernel < FINE_GRAINED_SINCE:
        loading = [Wanted("CAP_SYS_ADMIN", "load BPF programs (before 5.8 nothing smaller allows it)", True)]
    else:
        loading = [
            Wanted("CAP_BPF", "load BPF programs and create maps", True),
            Wanted("CAP_PERFMON", "let programs read kernel memory, attach them to tracepoints", True),
        ]
    if kernel < MEMORY_BY_CGROUP_SINCE:
        loading.append(Wanted("CAP_SYS_RESOURCE", "raise the limit of locked memory for BPF maps (before 5.11)", True))
    return (
        *loading,
        Wanted("CAP_NET_ADMIN", "cgroup_skb programs, which read DNS packets; conntrack", False),
        Wanted(
            "CAP_SYS_PTRACE",
            "read /proc/PID/exe and namespaces of other users; from a container the host's files",
            False,
        ),
        Wanted("CAP_DAC_READ_SEARCH", "read /proc, cgroup and container files that belong to other users", False),
    )


def holds(effective: frozenset[str], name: str) -> bool:
    """Whether the kernel will grant what `name` allows."""
    return name in effective or (name in _IN_SYS_ADMIN and "CAP_SYS_ADMIN" in effective)
