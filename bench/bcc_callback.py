"""What a tool written with bcc does with a flow record: one Python callback per event, sums in dictionaries.

Run by Debian's /usr/bin/python3 (package python3-bpfcc), as root: bcc_callback.py RECORDS ROUNDS. The kernel half makes
the records of made_flows.py, one for each getppid() of this process, and hands them over through a perf buffer. Prints
JSON: CPU time of the polling alone, round by round, and the sums.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import tempfile
import time
from bisect import bisect_left
from collections import defaultdict
from pathlib import Path

from bcc_headers import FLAGS, make_headers

GETPPID = {"x86_64": 110, "aarch64": 173}[os.uname().machine]
NUMBER_OF_CALL = {"x86_64": "ctx->args[1]", "aarch64": "ctx->args[1]"}[os.uname().machine]
PROGRAM = """
struct flow {
    u64 flow, observed_at, opened_at, established_at, connect_duration, duration, bytes_sent, bytes_received, cgroup;
    u64 process_started_at, local_address_high, local_address_low, remote_address_high, remote_address_low;
    char command[16];
    u32 netns, process, segments_sent, segments_received, retransmits, smoothed_rtt, minimum_rtt;
    s32 error;
    u32 event, role, outcome, state, owner_evidence;
    u16 local_port, remote_port;
};
BPF_PERF_OUTPUT(flows);
BPF_ARRAY(numbers, u64, 1);

RAW_TRACEPOINT_PROBE(sys_enter)
{
    struct flow flow = {};
    int zero = 0;
    u64 *next = numbers.lookup(&zero), number;

    if (bpf_get_current_pid_tgid() >> 32 != PROCESS || CALL != GETPPID || !next)
        return 0;
    number = (*next)++;
    flow.flow = number + 1;
    flow.opened_at = 1000000000000ULL + number * 1000;
    flow.established_at = flow.opened_at + 200000;
    flow.observed_at = flow.opened_at + 5000000;
    flow.connect_duration = number % 2 ? 0 : 200000 + number % 1000 * 1000;
    flow.duration = 5000000 + number % 5000 * 10000;
    flow.bytes_sent = 100 + number % 1400;
    flow.bytes_received = 200 + number % 3000;
    flow.segments_sent = 5 + number % 10;
    flow.segments_received = 6 + number % 12;
    flow.retransmits = number % 100 == 0;
    flow.smoothed_rtt = 50 + number % 500;
    flow.process = 1000 + number % 50;
    flow.process_started_at = 5000000000ULL + number % 50;
    flow.cgroup = 1;
    flow.event = 2;
    flow.role = 1 + number % 2;
    flow.outcome = number % 10 ? 1 : 2;
    flow.local_port = 40000;
    flow.remote_port = 443;
    flow.remote_address_low = 0x0100000affff0000ULL + ((number % 40) << 48);
    __builtin_memcpy(flow.command, "service-00", 10);
    flow.command[8] += number % 50 / 10;
    flow.command[9] += number % 50 % 10;
    flows.perf_submit(ctx, &flow, sizeof(flow));
    return 0;
}
"""
CONNECT_BOUNDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
DURATION_BOUNDS = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 86400)


class Sums:
    """The metrics of probes/tcp/probe.toml that a closed connection moves."""

    def __init__(self) -> None:
        self.workloads: dict[tuple[int, int], str] = {}
        self.peers: dict[int, str] = {}
        self.opened: dict[object, int] = defaultdict(int)
        self.closed: dict[object, int] = defaultdict(int)
        self.sent: dict[object, int] = defaultdict(int)
        self.received: dict[object, int] = defaultdict(int)
        self.segments_sent: dict[object, int] = defaultdict(int)
        self.segments_received: dict[object, int] = defaultdict(int)
        self.retransmits: dict[object, int] = defaultdict(int)
        self.connects: dict[object, list[float]] = defaultdict(lambda: [0.0] * 21)
        self.durations: dict[object, list[float]] = defaultdict(lambda: [0.0] * 11)
        self.round_trips: dict[object, list[float]] = defaultdict(lambda: [0.0] * 21)

    def add(self, flow) -> None:  # type: ignore[no-untyped-def]  # of a class that bcc makes from the C struct
        workload = self.workloads.get((flow.process, flow.process_started_at))
        if workload is None:
            workload = self.workloads[flow.process, flow.process_started_at] = flow.command.decode()
        peer = self.peers.get(flow.remote_address_low)
        if peer is None:
            peer = self.peers[flow.remote_address_low] = f"rack-{struct.pack('<Q', flow.remote_address_low)[6]}"
        role, key = flow.role, (workload, peer, flow.role)
        self.opened[key] += 1
        self.closed[workload, peer, role, flow.outcome] += 1
        self.sent[key] += flow.bytes_sent
        self.received[key] += flow.bytes_received
        self.segments_sent[workload] += flow.segments_sent
        self.segments_received[workload] += flow.segments_received
        if flow.retransmits:
            self.retransmits[workload, peer] += flow.retransmits
        if flow.connect_duration:
            observe(self.connects[workload, peer], flow.connect_duration * 1e-9, CONNECT_BOUNDS)
        observe(self.durations[workload, role], flow.duration * 1e-9, DURATION_BOUNDS)
        observe(self.round_trips[workload, peer], flow.smoothed_rtt * 1e-6, CONNECT_BOUNDS)


def observe(buckets: list[float], value: float, bounds: tuple[float, ...]) -> None:
    buckets[bisect_left(bounds, value)] += 1
    buckets[-1] += value


def measure(records: int, rounds: int) -> dict[str, object]:
    from bcc import BPF  # noqa: PLC0415 -- needs BCC_KERNEL_SOURCE

    text = PROGRAM.replace("PROCESS", str(os.getpid())).replace("CALL", NUMBER_OF_CALL).replace("GETPPID", str(GETPPID))
    program, sums, received, lost = BPF(text=text, cflags=FLAGS), Sums(), 0, 0
    spent: list[int] = []
    table = program["flows"]
    size = 0

    def on_flow(cpu: int, data: object, length: int) -> None:
        nonlocal received, size
        received, size = received + 1, length
        sums.add(table.event(data))

    def on_loss(count: int) -> None:
        nonlocal lost
        lost += count

    table.open_perf_buffer(on_flow, page_cnt=1024, lost_cb=on_loss)
    for _ in range(rounds):
        wanted = received + records
        for _ in range(records):
            os.getppid()
        started = time.thread_time_ns()
        while received + lost < wanted:
            program.perf_buffer_poll(timeout=100)
        spent.append(time.thread_time_ns() - started)
    return {
        "records": received, "lost": lost, "cpu_ns": spent, "bytes": size, "series": len(sums.closed),
        "bytes_sent": sum(sums.sent.values()), "closed": sum(sums.closed.values()), "workloads": len(sums.workloads),
        "rtt_sum": sum(buckets[-1] for buckets in sums.round_trips.values()),
    }  # fmt: skip


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BCC_KERNEL_SOURCE"] = str(make_headers(Path(folder)))
        print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
