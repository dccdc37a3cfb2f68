"""bcc's dialect in this kernel, without kernel headers: every kind of output, walked structs, and losses that nobody counts
but the perf buffer itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS

from collector.batch import Batch
from collector.clock import SystemClock
from collector.errors import HoneyguideError
from collector.settings import Settings
from collector.source.kernel_source import KernelSource
from collector.source.settings_for_kernel import source_settings

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not Path("/usr/lib/python3/dist-packages/bcc").is_dir(), reason="python3-bpfcc is not installed"),
]

SIGNAL = signal.SIGRTMIN + 9  # nobody else's
PROGRAM = """
struct signal_t { u64 number; process_id sender; process_id parent; };
struct pair_key { process_id sender; u32 signal; };
struct pair_value { u64 count; u64 largest; };

BPF_RINGBUF_OUTPUT(ring_rows, 64);
BPF_PERF_OUTPUT(perf_rows);
BPF_HASH(counts, u32, u64);
BPF_HASH(pairs, struct pair_key, struct pair_value);
BPF_HISTOGRAM(sizes);

int raw_tracepoint__signal_generate(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct signal_t row = {};
	struct pair_key key = {};
	struct pair_value none = {}, *pair;
	u32 which = ctx->args[0];

	if (which != WANTED)
		return 0;
	row.sender = task->tgid;
	row.parent = task->real_parent->tgid;
	counts.increment(which);
	sizes.increment(bpf_log2l(row.sender));
	key.sender = row.sender;
	key.signal = which;
	pair = pairs.lookup_or_try_init(&key, &none);
	if (pair)
		pair->count++;
	ring_rows.ringbuf_output(&row, sizeof(row), 0);
	perf_rows.perf_submit(ctx, &row, sizeof(row));
	return 0;
}
"""
HEAD = """
question = "What does bcc's dialect give?"
cost = "per signal"
oldest_kernel = "5.10"
hook = [{ purpose = "signals", alternatives = ["raw_tracepoint__signal_generate"] }]
"""
Run = Callable[..., KernelSource]


@pytest.fixture
def run_probe(project: Path, tmp_path: Path) -> Iterator[Run]:
    opened: list[KernelSource] = []

    def run(*records: str, program: str = PROGRAM) -> KernelSource:
        folder = tmp_path / "dialect"
        folder.mkdir()
        (folder / "probe.bcc.c").write_text(program.replace("WANTED", str(int(SIGNAL))))
        (folder / "probe.toml").write_text(f"{HEAD}record = [{', '.join(records)}]\n")
        settings = Settings(probes=("dialect",), probe_path=(tmp_path,), cache_folder=tmp_path / "cache", snapshot_interval=0.5)
        opened.append(KernelSource(source_settings(settings, [project / "probes"]), SystemClock()))
        opened[-1].open()
        return opened[-1]

    yield run
    for source in opened:
        source.close()


def send(times: int) -> None:
    previous = signal.signal(SIGNAL, signal.SIG_IGN)
    for _ in range(times):
        os.kill(os.getpid(), SIGNAL)
    signal.signal(SIGNAL, previous)


def read_until(source: KernelSource, enough: Callable[[list[Batch]], bool]) -> list[Batch]:
    batches: list[Batch] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not enough(batches) and time.monotonic() < deadline:
        batches += source.read()
    return batches


def rows_of(batches: list[Batch]) -> int:
    return sum(len(batch) for batch in batches)


@pytest.mark.parametrize("ring", ["ring_rows", "perf_rows"])
def test_events_arrive_with_the_values_of_walked_structs(run_probe: Run, ring: str) -> None:
    source = run_probe(f'{{ struct = "signal_t", ring = "{ring}" }}')
    send(31)
    batches = read_until(source, lambda found: rows_of(found) >= 31)
    rows = [row for batch in batches for row in batch.rows]
    assert len(rows) == 31
    assert {(int(row["sender"]), int(row["parent"])) for row in rows} == {(os.getpid(), os.getppid())}
    (book,) = source.books()
    assert (book.account, book.seen, book.emitted, book.decoded, book.lost) == ("signal_t", 31, 31, 31, 0)


def test_tables_become_rows_by_what_they_declare(run_probe: Run) -> None:
    records = [
        f'{{ struct = "{name}", map = "{table}" }}' for name, table in (("count", "counts"), ("pair", "pairs"), ("size", "sizes"))
    ]
    source = run_probe(*records)
    send(17)
    batches = {batch.schema.record: batch.rows for batch in source.read()}
    assert [(int(row["key"]), int(row["value"])) for row in batches["count"]] == [(int(SIGNAL), 17)]
    assert [(int(row["sender"]), int(row["signal"]), int(row["count"])) for row in batches["pair"]] == [
        (os.getpid(), int(SIGNAL), 17)
    ]
    assert int(batches["size"]["value"].sum()) == 17


def test_losses_of_a_program_without_accounts_are_counted_from_the_buffer(run_probe: Run) -> None:
    source = run_probe('{ struct = "signal_t", ring = "perf_rows" }')
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})  # each CPU has a buffer of its own
    try:
        check_losses(source)
    finally:
        os.sched_setaffinity(0, allowed)


def check_losses(source: KernelSource) -> None:
    sent = 60_000  # more than one buffer holds
    send(sent)
    source.read()
    for _ in range(200):  # a buffer tells what it lost with the next record that finds room
        send(10)
        sent += 10
        source.read()
        (book,) = source.books()
        if book.lost and book.seen == sent:
            break
    assert book.dropped["ring_full"] > 0
    assert book.seen == sent
    assert book.balanced


def test_refusal_names_the_line_of_the_dialects_own_file(run_probe: Run) -> None:
    unchecked = PROGRAM.replace("\tif (pair)\n", "").replace("lookup_or_try_init(&key, &none)", "lookup(&key)")
    with pytest.raises(HoneyguideError, match="may be NULL"):
        run_probe('{ struct = "signal_t", ring = "ring_rows" }', program=unchecked)


def test_mistake_in_c_is_told_with_the_line_of_the_file(run_probe: Run) -> None:
    line = PROGRAM[: PROGRAM.index("task->tgid")].count("\n") + 1
    wrong = PROGRAM.replace("row.sender = task->tgid", "row.sender = task->tigd")
    with pytest.raises(HoneyguideError, match=rf"probe\.bcc\.c:{line}: no member named 'tigd' in 'struct task_struct'"):
        run_probe('{ struct = "signal_t", ring = "ring_rows" }', program=wrong)
