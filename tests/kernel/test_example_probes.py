"""The examples count what the tools they are named after count, on one workload that both watch (Debian's libbpf-tools)."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE_SECONDS

from collector.batch import Batch
from collector.clock import SystemClock
from collector.settings import Settings
from collector.source.kernel_source import KernelSource
from collector.source.settings_for_kernel import source_settings

pytestmark = pytest.mark.kernel

TOOLS = "/usr/sbin"
needs_bcc = pytest.mark.skipif(not Path("/usr/lib/python3/dist-packages/bcc").is_dir(), reason="python3-bpfcc is not installed")


class Example:
    """One example in the kernel; rows gathers what it reports."""

    def __init__(self, source: KernelSource) -> None:
        self.source = source
        self.batches: list[Batch] = []

    def read(self) -> list[Batch]:
        self.batches += self.source.read()
        return self.batches

    def wait_for(self, count: Callable[[Sequence[Batch]], int], wanted: int) -> int:
        """The count when it has reached `wanted`, or whatever it is when patience is at its end."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while count(self.read()) < wanted and time.monotonic() < deadline:
            time.sleep(0.05)
        return count(self.read())


@pytest.fixture
def run_example(project: Path, tmp_path: Path) -> Iterator[Callable[[str], Example]]:
    opened: list[KernelSource] = []

    def run(name: str) -> Example:
        settings = Settings(
            probes=(name,), probe_path=(project / "examples/probes",), cache_folder=tmp_path / "cache", snapshot_interval=0.5
        )
        opened.append(KernelSource(source_settings(settings, [project / "probes"]), SystemClock()))
        opened[-1].open()
        return Example(opened[-1])

    yield run
    for source in opened:
        assert all(book.lost == 0 for book in source.books())
        source.close()


class OriginalTool:
    """The tool as people run it; `lines` is what it has printed."""

    def __init__(self, output: Path, *words: str) -> None:
        self._output = output
        mount = "test -d /sys/kernel/tracing/events || mount -t tracefs none /sys/kernel/tracing; exec"
        command = ["unshare", "--mount", "sh", "-c", f'{mount} stdbuf -oL "$0" "$@"', f"{TOOLS}/{words[0]}", *words[1:]]
        with output.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        self.wait_for(len)

    def lines(self) -> list[str]:
        return self._output.read_text(errors="replace").splitlines()

    def wait_for(self, count: Callable[[list[str]], int], wanted: int = 1) -> int:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while count(self.lines()) < wanted and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.05)
        return count(self.lines())

    def stop(self) -> list[str]:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_SECONDS)
        return self.lines()


@pytest.fixture
def run_tool(tmp_path: Path) -> Iterator[Callable[..., OriginalTool]]:
    started: list[OriginalTool] = []

    def run(*words: str) -> OriginalTool:
        if not Path(TOOLS, words[0]).exists():
            pytest.skip("libbpf-tools are not installed")
        started.append(OriginalTool(tmp_path / "tool.output", *words))
        return started[-1]

    yield run
    for tool in started:
        if tool.process.poll() is None:
            tool.process.kill()
            tool.process.wait()


def rows_where(column: str, value: bytes | int) -> Callable[[Sequence[Batch]], int]:
    return lambda batches: sum(int((batch[column] == value).sum()) for batch in batches if column in batch)


def lines_with(text: str) -> Callable[[list[str]], int]:
    return lambda lines: sum(text in line for line in lines)


@needs_bcc
def test_execsnoop_counts_what_execsnoop_counts(
    run_example: Callable[[str], Example], run_tool: Callable[..., OriginalTool], tmp_path: Path
) -> None:
    program = tmp_path / "hg-program-x"
    shutil.copy("/bin/true", program)
    tool, example = run_tool("execsnoop"), run_example("execsnoop")
    for _ in range(25):
        subprocess.run([str(program)], check=True)
    ours = example.wait_for(rows_where("command", program.name.encode()), 25)
    theirs = tool.wait_for(lines_with(str(program)), 25)
    assert (ours, theirs) == (25, 25)
    parents = [int(row["parent"]) for batch in example.batches for row in batch.rows if row["command"] == program.name.encode()]
    assert set(parents) == {os.getpid()}, "task->real_parent->tgid"


@needs_bcc
def test_opensnoop_counts_what_opensnoop_counts(
    run_example: Callable[[str], Example], run_tool: Callable[..., OriginalTool], tmp_path: Path
) -> None:
    there, missing = tmp_path / "hg-there", tmp_path / "hg-missing"
    there.write_text("x")
    tool, example = run_tool("opensnoop", "-p", str(os.getpid())), run_example("opensnoop")
    for _ in range(40):
        os.close(os.open(there, os.O_RDONLY))
    for _ in range(10):
        with suppress(FileNotFoundError):
            os.open(missing, os.O_RDONLY)
    ours = [example.wait_for(rows_where("path", str(path).encode()[:127]), count) for path, count in ((there, 40), (missing, 10))]
    theirs = [tool.wait_for(lines_with(str(path)), count) for path, count in ((there, 40), (missing, 10))]
    assert (ours, theirs) == ([40, 10], [40, 10])
    errors = {int(row["error"]) for batch in example.batches for row in batch.rows if row["path"] == str(missing).encode()[:127]}
    assert errors == {2}


def connect(times: int) -> tuple[int, set[int]]:
    """(port that listens, ports that connected)."""
    ports = set()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
        for _ in range(times):
            with socket.create_connection(("127.0.0.1", port)) as client:
                ports.add(client.getsockname()[1])
                accepted, _ = listener.accept()
                client.sendall(b"x" * 3000)
                accepted.recv(4000)
                client.close()
                accepted.close()
    return port, ports


@needs_bcc
def test_tcplife_sees_the_connections_that_tcplife_sees(
    run_example: Callable[[str], Example], run_tool: Callable[..., OriginalTool]
) -> None:
    tool, example = run_tool("tcplife"), run_example("tcplife")
    port, ports = connect(20)

    def ended(batches: Sequence[Batch]) -> int:
        return rows_where("local_port", port)(batches) + rows_where("remote_port", port)(batches)

    ours = example.wait_for(ended, 40)
    theirs = tool.wait_for(lines_with(f" {port} "), 40)
    assert ours == theirs
    clients = [row for batch in example.batches for row in batch.rows if row["remote_port"] == port]
    assert {int(row["local_port"]) for row in clients} == ports
    assert {str(ipaddress.ip_address(int(row["remote_address"]).to_bytes(4, "little"))) for row in clients} == {"127.0.0.1"}
    assert {int(row["sent"]) for row in clients} == {3000 + 1} or {int(row["sent"]) for row in clients} == {3000 + 2}


def test_gethostlatency_counts_what_gethostlatency_counts(
    run_example: Callable[[str], Example], run_tool: Callable[..., OriginalTool]
) -> None:
    host = "127.81.82.83"
    tool, example = run_tool("gethostlatency"), run_example("gethostlatency")
    for _ in range(30):
        socket.getaddrinfo(host, 80)
    ours = example.wait_for(rows_where("host", host.encode()), 30)
    assert (ours, tool.wait_for(lines_with(host), 30)) == (30, 30)


def histogram_total(lines: list[str]) -> int:
    """Sum of the counts in bcc's log2 histogram: `  16 -> 31   : 12   |****|`."""
    return sum(int(found[1]) for line in lines if (found := re.match(r"\s*\d+ -> \d+\s*: (\d+)\s*\|", line)))


def counted(batches: Sequence[Batch]) -> int:
    """By the last snapshot."""
    return int(batches[-1]["count"].sum()) if batches else 0


@contextmanager
def direct_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT | os.O_SYNC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_directly(folder: Path, times: int) -> None:
    """So many writes of 4 KiB past the page cache; skips the test where the file system cannot."""
    page = np.zeros(8192, np.uint8)
    start = -page.ctypes.data % 4096
    try:
        with direct_file(folder / "direct") as descriptor:
            for number in range(times):
                os.pwrite(descriptor, page[start : start + 4096].data, 4096 * number)
    except OSError as error:
        pytest.skip(f"no direct writes here: {error}")


def test_biolatency_counts_the_writes_and_all_that_biolatency_saw_meanwhile(
    run_example: Callable[[str], Example], run_tool: Callable[..., OriginalTool], tmp_path: Path
) -> None:
    example = run_example("biolatency")
    tool = run_tool("biolatency")
    write_directly(tmp_path, 200)
    theirs = histogram_total(tool.stop())
    assert 200 <= theirs <= example.wait_for(counted, theirs)


def test_runqlat_counts_all_that_runqlat_saw_meanwhile_and_little_more(
    run_example: Callable[[str], Example], run_tool: Callable[..., OriginalTool]
) -> None:
    example = run_example("runqlat")
    tool = run_tool("runqlat")
    before = example.wait_for(counted, 1)
    children = [subprocess.Popen(["sh", "-c", "for i in $(seq 400); do sleep 0.001; done"]) for _ in range(2)]
    for child in children:
        child.wait()
    theirs = histogram_total(tool.stop())
    ours = example.wait_for(counted, theirs)
    assert 1600 <= theirs <= ours
    assert ours - before < 1.5 * theirs, "little more: what ran while the one was on and the other not"
