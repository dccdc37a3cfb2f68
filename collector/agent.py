"""The agent's life: open the source, drain it through the pipeline until told to stop, close everything."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from collector.clock import Clock, SystemClock
from collector.cluster_choice import choose_cluster_watch
from collector.heap import give_back_free_pages, keep_what_a_drain_frees
from collector.node import Node
from collector.node_building import build_node
from collector.probe_control import ProbeControl
from collector.recorder import Recorder
from collector.runtimes.host_files import HostFiles
from collector.runtimes.lookup import LABELS, RuntimeLookup
from collector.runtimes.places import find_host_root
from collector.settings import Settings
from collector.source.capture_file import is_capture
from collector.source.capture_probe import read_capture_probes
from collector.source.capture_source import CaptureSource
from collector.source.interface import Source
from collector.source.node_source import NodeSource
from collector.source.recording import RecordingWriter
from collector.source.replay_source import ReplaySource
from collector.source.settings_for_kernel import build_node_source
from collector.startup_table import describe_start

log = logging.getLogger(__name__)

SHIPPED_PROBES = (Path(__file__).resolve().parent.parent / "probes", Path("/usr/share/honeyguide/probes"))
HOUSEKEEPING_SECONDS = 2.0
GIVING_BACK_SECONDS = 60.0
EXPORTERS_SECONDS = 2.0  # to send what is left; an agent ends within 5 s


@dataclass(slots=True)
class Agent:
    """source, node and clock belong together: the clock is the one that the source measures."""

    settings: Settings
    source: Source
    node: Node
    stop: threading.Event = field(default_factory=threading.Event)
    control: ProbeControl | None = None
    _next_housekeeping: float = 0.0
    _next_giving_back: float = 0.0

    def run(self, wait: Callable[[float], None]) -> None:
        """Until `stop` is set. A failing drain ends the agent: it would otherwise lose data in silence."""
        while not self.stop.is_set():
            self.drain_once()
            wait(self.settings.drain_interval_max)

    def replay(self) -> None:
        """All of a recording, as fast as it goes."""
        while not self.source.finished and not self.stop.is_set():
            self.drain_once()
        self.node.keep_house()  # the books as they stand at the end

    def drain_once(self) -> None:
        started = time.monotonic()
        self.node.pipeline.process(self.source.read())
        self._steer()
        self.node.lag_seconds = time.monotonic() - started
        self.node.fills = self.source.fills()
        self.node.ready = True
        if self.control is not None:
            self.control.keep_budgets(started)
        if started >= self._next_housekeeping:
            self._next_housekeeping = started + HOUSEKEEPING_SECONDS
            self.node.keep_house()
        if started >= self._next_giving_back:
            self._next_giving_back = started + GIVING_BACK_SECONDS
            give_back_free_pages()

    def _steer(self) -> None:
        modes: dict[str, dict[int, int]] = {}
        for probe, decision in self.node.pipeline.take_decisions():
            modes.setdefault(probe, {})[decision.flow] = decision.mode
        for probe, wanted in modes.items():
            self.source.steer(probe, wanted)


def shipped_places() -> list[Path]:
    return [place for place in SHIPPED_PROBES if place.is_dir()][:1]


def open_kernel(settings: Settings, clock: Clock, seeds: bool = True) -> NodeSource:
    """The running node's source, opened; HoneyguideError when no probe can run."""
    from collector.source.cgroup_files import cgroup_seed  # noqa: PLC0415 -- reads /proc and /sys, only where there is a kernel

    source = build_node_source(settings, shipped_places(), clock, {"cgroups": cgroup_seed} if seeds else {})
    source.open()
    return source


def run_agent(settings: Settings) -> int:
    """`honeyguide run`: 0 after SIGTERM or SIGINT."""
    started = time.monotonic()
    clock = SystemClock()
    with ExitStack() as stack:
        source = open_kernel(settings, clock)
        stack.callback(source.close)
        node = build_node(settings, clock, source, os.environ)
        control = ProbeControl(settings, source.kernel, node, shipped_places())
        control.add_opened()
        for probe in source.conntrack.probes:
            node.add_probe(probe)
        stack.callback(control.close)
        serve(settings, node, stack, control)
        look_up_containers(settings, node, stack)
        agent = Agent(settings, source, node, control=control)
        with stopping_by_signal(agent.stop, source.interrupt):
            agent.drain_once()
            cluster = watch_cluster(settings, node, stack)
            print(describe_start(source.statuses(), node.address, time.monotonic() - started, cluster), flush=True)
            keep_what_a_drain_frees()
            agent.run(source.wait)
    return 0


def open_file(settings: Settings, path: Path) -> ReplaySource | CaptureSource:
    """A recording or a packet capture, opened; RecordingError when it is neither."""
    if is_capture(path):
        source: ReplaySource | CaptureSource = CaptureSource(path, read_capture_probes(shipped_places()), settings.dns_ports)
    else:
        source = ReplaySource(path)
    source.open()
    return source


def replay(settings: Settings, path: Path, serve_after: bool) -> int:
    """`honeyguide replay FILE`: a summary; with serve_after the API and metrics of what was replayed, until a signal."""
    source = open_file(settings, path)
    with ExitStack() as stack:
        stack.callback(source.close)
        node = build_node(settings, source.clock, source, os.environ)
        for probe in source.probes:
            node.add_probe(probe)
        agent = Agent(settings, source, node)
        with stopping_by_signal(agent.stop):
            agent.replay()
            print(node.summary(), flush=True)
            if serve_after:
                serve(settings, node, stack)
                print(describe_start(source.statuses(), node.address, None), flush=True)
                agent.stop.wait()
    return 0


def record(settings: Settings, path: Path, seconds: float) -> int:
    """`honeyguide record -o FILE`: raw batches, and requests, for that many seconds or until a signal."""
    clock = SystemClock()
    stop = threading.Event()
    with ExitStack() as stack:
        source = open_kernel(settings, clock)
        stack.callback(source.close)
        writer = stack.enter_context(RecordingWriter(path, source.probes, kernel_release(), time.time()))
        with stopping_by_signal(stop, source.interrupt):
            Recorder(source, source.probes, writer, clock).run(stop, source.wait, time.monotonic() + seconds)
    print(f"{path}: {writer.rows} rows, {path.stat().st_size / 1024:.0f} KiB. Look at it: honeyguide replay {path}")
    return 0


def kernel_release(path: Path = Path("/proc/sys/kernel/osrelease")) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def serve(settings: Settings, node: Node, stack: ExitStack, control: ProbeControl | None = None) -> None:
    """API, metrics and exports until the stack unwinds; HoneyguideError when the address is taken."""
    from collector.api.security import choose_security  # noqa: PLC0415 -- a recorder needs no web server
    from collector.api.server import ApiServer  # noqa: PLC0415

    token = settings.token.get_secret_value() if settings.token else ""
    security = choose_security(settings.host, token, allow_unauthenticated=settings.allow_unauthenticated)
    server = ApiServer(node, settings.host, settings.port, security, control)
    server.start()
    stack.callback(server.stop)
    node.address = server.url
    exporters: list[Exporter] = []
    stack.callback(close_side_by_side, exporters, EXPORTERS_SECONDS)
    for start in (node.start_otlp, node.start_spans, node.start_clickhouse):
        exporter = start()
        if exporter is not None:
            exporters.append(exporter)


class Exporter(Protocol):
    def close(self, timeout_seconds: float) -> bool: ...


def close_side_by_side(exporters: Sequence[Exporter], seconds: float) -> None:
    """One after the other they could take longer than an agent may take to end."""
    threads = [threading.Thread(target=one.close, args=[seconds], daemon=True) for one in exporters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 0.5)


def look_up_containers(settings: Settings, node: Node, stack: ExitStack) -> None:
    """Until the stack unwinds, containers that are seen get their names from their runtimes' files."""
    lookup = RuntimeLookup(HostFiles(find_host_root()), node.pipeline, (*LABELS, *settings.kubernetes_labels))
    node.lookup = node.identities.containers.lookup = lookup
    lookup.start()
    stack.callback(lookup.close)


def watch_cluster(settings: Settings, node: Node, stack: ExitStack) -> str:
    """What Kubernetes says of pods and services goes to the pipeline until the stack unwinds. '' without Kubernetes, else a
    line for people."""
    watch = choose_cluster_watch(settings, os.environ, node.pipeline, f"honeyguide/{node.version}")
    if watch is not None:
        node.cluster = watch
        watch.start()
        stack.callback(watch.stop, 1.0)
    return watch.describe() if watch is not None else ""


@contextmanager
def stopping_by_signal(stop: threading.Event, interrupt: Callable[[], None] = lambda: None) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop` and call `interrupt`; the old handlers come back afterwards. Only in the main thread."""

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()
        interrupt()

    previous: dict[signal.Signals, Any] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
