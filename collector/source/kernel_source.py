"""All probes of the running kernel as one source of batches."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from collector.accounts import Book
from collector.batch import Batch
from collector.catalog.probe_folder import Probe, find_folders, read_manifest
from collector.clock import Clock
from collector.errors import HoneyguideError, ProbeError
from collector.probe_budget import ProbeUse
from collector.probe_status import ProbeState, ProbeStatus, ProgramCost
from collector.source.drain_pace import DrainPace
from collector.source.libbpf import Libbpf
from collector.source.loaded_probe import LoadedProbe
from collector.source.probe_opening import ProbeOpener, SourceSettings, make_opener
from collector.source.program_statistics import RunTimeStatistics, read_runs
from collector.source.wake_ups import WakeUps

log = logging.getLogger(__name__)


class KernelSource:
    """Opens every probe that this kernel supports; one that cannot run is listed with cause and remedy.

    One thread reads. Probes come and go meanwhile by `prepare`, `adopt` and `release`, from any thread: `_lock` is held for
    the change of the list only, never while something is compiled, loaded or closed.
    """

    def __init__(self, settings: SourceSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._loaded: list[LoadedProbe] = []
        self._statuses: dict[str, ProbeStatus] = {}
        self._next_snapshot_ns = 0
        self._first = True
        self._libbpf: Libbpf | None = None
        self._opener: ProbeOpener | None = None
        self._statistics: RunTimeStatistics | None = None
        self._pace = DrainPace()
        self._wake_ups = WakeUps()
        self._lock = threading.RLock()

    @property
    def finished(self) -> bool:
        return False

    @property
    def probes(self) -> list[Probe]:
        """Those that run."""
        with self._lock:
            return [loaded.probe for loaded in self._loaded]

    def open(self) -> None:
        """HoneyguideError when libbpf is missing or no probe at all can run."""
        self._opener = make_opener(self._settings)
        libbpf = self._libbpf = self._opener.libbpf
        folders = find_folders(self._settings.places)
        self._refuse_unknown(folders)
        try:
            for folder in folders:
                self._open_probe(folder, self._opener)
        except BaseException:
            self.close()
            raise
        self._opener.forget_types()
        if not self._loaded and self._opener.obstacle:
            raise HoneyguideError(f"No probe can run here. {self._opener.obstacle.cause}", self._opener.obstacle.remedy)
        if not self._loaded:
            causes = (
                "; ".join(f"{status.probe}: {status.cause}" for status in self._statuses.values()) or "no probe folder was found"
            )
            raise HoneyguideError(f"No probe can run here: {causes}.", "`honeyguide doctor` says what is missing.")
        self._statistics = RunTimeStatistics(libbpf)
        if self._settings.statistics:
            self._switch_statistics_on(self._statistics)

    def _switch_statistics_on(self, statistics: RunTimeStatistics) -> None:
        """Asked for, but nothing that the probes need."""
        try:
            statistics.switch_on()
        except HoneyguideError as error:
            log.warning("%s", error)

    def _refuse_unknown(self, folders: Sequence[Path]) -> None:
        """A probe that is wanted by a name that no folder has is listed, not passed over."""
        known = [folder.name for folder in folders]
        named = self._settings.wanted.union(self._settings.load.forced_hooks)
        for name in sorted(named.difference(known, self._settings.elsewhere)):
            cause = "there is no probe folder of that name."
            log.warning("probe %s cannot run: %s", name, cause)
            self._statuses[name] = ProbeStatus(
                name, "", ProbeState.REFUSED, cause=cause, remedy=f"There are: {', '.join(known)}."
            )

    def _open_probe(self, folder: Path, opener: ProbeOpener) -> None:
        name, question = folder.name, ""
        try:
            question = read_manifest(folder).question
            if name in self._settings.disabled or (self._settings.wanted and name not in self._settings.wanted):
                self._statuses[name] = ProbeStatus(
                    name, question, ProbeState.DISABLED, cause="switched off by the settings", folder=str(folder)
                )
                return
            self.adopt(opener.open(folder))
        except ProbeError as error:
            log.warning("probe %s cannot run: %s %s", name, error.cause, error.remedy)
            self._statuses[name] = ProbeStatus(
                name, question, ProbeState.REFUSED, cause=error.cause, remedy=error.remedy, folder=str(folder)
            )

    def prepare(self, folder: Path) -> LoadedProbe:
        """A probe, compiled, loaded and attached, that nobody drains yet; ProbeError when it cannot run."""
        assert self._opener is not None
        try:
            return self._opener.open(folder)
        finally:
            self._opener.forget_types()

    def adopt(self, loaded: LoadedProbe) -> None:
        """From now on `read` drains it too. Those that give names come first."""
        probe = loaded.probe
        with self._lock:
            self._wake_ups.watch(loaded.wake_descriptors())
            self._loaded.append(loaded)
            self._loaded.sort(key=lambda probe: not gives_names(probe))
            self._statuses[probe.name] = ProbeStatus(
                probe.name, probe.manifest.question, ProbeState.RUNNING, tuple(loaded.hooks), folder=str(probe.folder)
            )

    def release(self, name: str, state: ProbeState | None, cause: str = "", remedy: str = "") -> LoadedProbe | None:
        """Takes the probe out of what `read` drains; the caller closes it. state: as what it stays listed, None: not at all."""
        with self._lock:
            found = next((loaded for loaded in self._loaded if loaded.probe.name == name), None)
            if found is not None:
                self._wake_ups.forget(found.wake_descriptors())
                self._loaded.remove(found)
            known = self._statuses.pop(name, None)
            if known is not None and state is not None:
                self._statuses[name] = ProbeStatus(name, known.question, state, (), cause, remedy, folder=known.folder)
        return found

    def uses(self) -> dict[str, ProbeUse]:
        """What each running probe has used and sent since it was loaded."""
        with self._lock:
            measured = self._statistics.on_ns() if self._statistics else 0
            return {
                loaded.probe.name: ProbeUse(
                    loaded.spent_ns,
                    sum(cost.run_time_ns for cost in self._costs(loaded)),
                    measured,
                    sum(book.emitted + sum(book.dropped.values()) for book in loaded.books()),
                )
                for loaded in self._loaded
            }

    def read(self) -> list[Batch]:
        """Drains all rings; when the interval is over, snapshots too.

        Rings first: what a snapshot shows was still there after everything that the rings said had ended. But at the very
        first, what gives names: the rings already hold events of processes that are older than the agent.
        """
        with self._lock:
            return self._read()

    def _read(self) -> list[Batch]:
        self._clock.measure()
        now = self._clock.boot_ns()
        naming = [probe for probe in self._loaded if self._first and gives_names(probe)]
        batches = self._read_seeds() if self._first else []
        for probe in naming:
            batches += probe.take_snapshot(now, first=True)
            probe.fresh = False
        for probe in self._loaded:
            with probe.spending():
                probe.tick(now)
                batches += probe.drain()
        for probe in self._loaded:  # not before: a look for libraries may take 0.1 s, in which rings fill
            with probe.spending():
                probe.follow_libraries(now)
        if now >= self._next_snapshot_ns:
            self._next_snapshot_ns = now + self._settings.snapshot_interval_ns
            for probe in self._loaded:
                if probe not in naming:
                    with probe.spending():
                        batches += probe.take_snapshot(now, first=probe.fresh)
                    probe.fresh = False
            self._first = False
        return batches

    def _read_seeds(self) -> list[Batch]:
        """What files know about the time before the agent, as rows of the records that will carry it on."""
        return [
            self._settings.seeds[record.feeds](probe.probe.schemas[record.struct])
            for probe in self._loaded
            for record in probe.probe.manifest.record
            if record.feeds in self._settings.seeds
        ]

    def steer(self, probe: str, modes: Mapping[int, int]) -> None:
        """What a decoder decided about connections of that probe: flow -> mode."""
        with self._lock:
            for loaded in self._loaded:
                if loaded.probe.name == probe:
                    loaded.steer(modes)

    def books(self) -> list[Book]:
        with self._lock:
            return [book for probe in self._loaded for book in self._books_of(probe)]

    def _books_of(self, probe: LoadedProbe) -> list[Book]:
        """The probe's books, with the runs that the kernel skipped."""
        assert self._libbpf is not None
        books = probe.books()
        hooks = {hook.purpose: hook.account for hook in probe.probe.manifest.hook}
        descriptors = probe.program_descriptors()
        missed: dict[str, int] = {}
        for hook in probe.hooks:
            account = hooks[hook.purpose]
            missed[account] = missed.get(account, 0) + read_runs(self._libbpf, descriptors[hook.program]).missed
        return [replace(book, missed=missed.get(book.account, 0)) for book in books]

    def statuses(self) -> list[ProbeStatus]:
        with self._lock:
            running = {probe.probe.name: probe for probe in self._loaded}
            return [self._now(status, running[name]) if name in running else status for name, status in self._statuses.items()]

    def _now(self, status: ProbeStatus, probe: LoadedProbe) -> ProbeStatus:
        return replace(status, costs=self._costs(probe), notes=probe.notes(), libraries=probe.libraries())

    def _costs(self, probe: LoadedProbe) -> tuple[ProgramCost, ...]:
        assert self._libbpf is not None
        return tuple(
            ProgramCost(program, runs.run_time_ns, runs.runs)
            for program, descriptor in probe.program_descriptors().items()
            for runs in [read_runs(self._libbpf, descriptor)]
        )

    def switch_statistics(self, *, on: bool) -> None:
        """Run-time statistics of all BPF programs of the node; HoneyguideError when the kernel refuses."""
        if self._statistics is not None:
            self._statistics.switch_on() if on else self._statistics.switch_off()

    def wait(self, longest: float) -> bool:
        """Until it is time to read again: so many seconds are over, or earlier (True) when a ring fills."""
        with self._lock:
            pressure = max((probe.pressure() for probe in self._loaded), default=0.0)
        return self._wake_ups.wait(self._pace.next_wait(pressure, longest))

    def interrupt(self) -> None:
        """Ends `wait` for good; also from a signal's handler."""
        self._wake_ups.interrupt()

    def fills(self) -> dict[tuple[str, str], float]:
        """(probe, record) -> how full its ring was at the last drain, 0..1."""
        with self._lock:
            return {(probe.probe.name, record): fill for probe in self._loaded for record, fill in probe.fills().items()}

    def close(self) -> None:
        with self._lock:
            for probe in self._loaded:
                with suppress(OSError):
                    probe.close()
            self._loaded.clear()
            self._wake_ups.close()
        if self._statistics is not None:
            self._statistics.switch_off()


def gives_names(probe: LoadedProbe) -> bool:
    """Whether other probes' rows are named by what this one reports."""
    return any(record.feeds for record in probe.probe.manifest.record)
