"""Probes come and go while the agent runs: loaded, unloaded, switched on and off by people, stopped when over their budget.

Compiling, loading and closing happen in the thread of who asks; the draining thread only ever sees a finished change.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from collector.catalog.probe_folder import find_folders
from collector.catalog.trust import check_trusted
from collector.errors import ControlError, ManifestError, ProbeError
from collector.node import Node
from collector.probe_budget import Budget, BudgetWatch
from collector.probe_status import ProbeState, ProbeStatus
from collector.settings import Settings
from collector.source.kernel_source import KernelSource
from collector.source.loaded_probe import LoadedProbe

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
SAMPLE_EVERY = 4  # run time in the kernel is measured during one of so many checks
CLOSE_SECONDS_MAX = 2.0
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
AGAIN = "Mend it, then `honeyguide probe enable {}`."


@dataclass(slots=True)
class ProbeControl:
    """shipped: folders of the probes that come with the agent; these have no budget, their cost is bounded by design."""

    settings: Settings
    source: KernelSource
    node: Node
    shipped: Sequence[Path] = ()
    _change: threading.Lock = field(default_factory=threading.Lock)
    _watch: BudgetWatch = field(init=False)
    _closing: list[threading.Thread] = field(default_factory=list)
    _next_check: float = 0.0
    _checks: int = 0

    def __post_init__(self) -> None:
        self._watch = BudgetWatch(Budget(self.settings.probe_cpu_max, self.settings.probe_events_max))

    def add_opened(self) -> None:
        """Makes the rooms ready for the probes that the source has opened; one with a wrong probe.py is stopped."""
        for probe in self.source.probes:
            try:
                self.node.add_probe(probe.model)
            except ProbeError as error:
                self._stop(probe.name, error.cause, error.remedy)

    def load(self, where: str) -> ProbeStatus:
        """A folder, or the name of one below the probe path; ControlError when it may not or cannot be."""
        with self._change:
            return self._start(self._find(where))

    def enable(self, name: str) -> ProbeStatus:
        """Starts a known probe that does not run: disabled, refused or stopped."""
        with self._change:
            known = self._known(name)
            return self._start(Path(known.folder) if known.folder else self._find(name))

    def disable(self, name: str) -> ProbeStatus:
        """Takes it out of the kernel; it stays listed. Its series go."""
        with self._change:
            self._known(name)
            self._take_out(name, ProbeState.DISABLED, "switched off by request", f"`honeyguide probe enable {name}`")
            log.warning("probe %s was disabled by request", name)
            return self._known(name)

    def unload(self, name: str) -> ProbeStatus:
        """Takes it out of the kernel and off the list."""
        with self._change:
            known = self._known(name)
            self._take_out(name, None)
            log.warning("probe %s was unloaded by request", name)
            return ProbeStatus(name, known.question, ProbeState.DISABLED, cause="unloaded", folder=known.folder)

    def keep_budgets(self, now: float) -> None:
        """By the draining thread, after each drain: stops what failed in Python at once, what is over its budget every second."""
        for name, failure in list(self.node.pipeline.failures.items()):
            self._stop(name, failure, AGAIN.format(name))
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        uses = {name: use for name, use in self.source.uses().items() if name in self._limited()}
        spent = self.node.pipeline.spent_ns
        for overrun in self._watch.check({name: use.plus(spent.get(name, 0)) for name, use in uses.items()}, now):
            self._stop(overrun.probe, overrun.cause, overrun.remedy)
        self._sample_run_time(bool(uses))

    def close(self) -> None:
        """Waits a moment for probes that are on their way out."""
        for thread in self._closing:
            thread.join(CLOSE_SECONDS_MAX)

    def _limited(self) -> set[str]:
        """Names of the running probes that were not shipped."""
        shipped = [place.resolve() for place in self.shipped]
        return {probe.name for probe in self.source.probes if probe.folder.resolve().parent not in shipped}

    def _sample_run_time(self, needed: bool) -> None:
        self._checks += 1
        if not self.settings.program_statistics:
            with suppress(ProbeError, OSError):
                self.source.switch_statistics(on=needed and self._checks % SAMPLE_EVERY == 1)

    def _known(self, name: str) -> ProbeStatus:
        found = next((status for status in self.source.statuses() if status.probe == name), None)
        if found is None:
            raise ControlError(f"There is no probe {name!r}.", "`honeyguide probes` lists them.", 404)
        return found

    def _places(self) -> list[Path]:
        return [*self.shipped, *self.settings.probe_path]

    def _find(self, where: str) -> Path:
        """The folder that is meant; only below the probe path, unless the settings allow any that is to be trusted."""
        named = {folder.name: folder for folder in find_folders(self._places())}
        if where in named:
            return named[where]
        folder = Path(where)
        if not folder.is_absolute():
            raise ControlError(
                f"There is no probe {where!r} below the probe path.",
                f"There are: {', '.join(named)}. A folder is given as ./{where}.",
                404,
            )
        allowed = folder.resolve().parent in [place.resolve() for place in self._places()]
        if not allowed and not self.settings.load_from_anywhere:
            remedy = "Put it there, or start the agent with HONEYGUIDE_LOAD_FROM_ANYWHERE=true."
            raise ControlError(f"{folder} is not below the agent's probe path.", remedy, 403)
        if not (folder / "probe.toml").is_file():
            raise ControlError(f"{folder} has no probe.toml.", "`honeyguide probe new` writes a probe's folder.", 404)
        return folder.resolve()

    def _start(self, folder: Path) -> ProbeStatus:
        name = folder.name
        if not NAME.fullmatch(name):
            raise ControlError(f"{name!r} is no probe's name.", "Small letters, digits and _, up to 40.")
        if any(probe.name == name for probe in self.source.probes):
            raise ControlError(f"There is a probe {name} that runs.", f"Unload it first: honeyguide probe unload {name}")
        loaded: LoadedProbe | None = None
        try:
            if folder.resolve().parent not in [place.resolve() for place in self.shipped]:
                check_trusted(folder)
            loaded = self.source.prepare(folder)
            self.node.add_probe(loaded.probe.model)
        except ProbeError as error:
            if loaded is not None:
                loaded.close()
            log.warning("probe %s from %s was not loaded: %s %s", name, folder, error.cause, error.remedy)
            status = 403 if isinstance(error, ManifestError) and "privileges" in error.cause else 409
            raise ControlError(error.cause, error.remedy, status) from None
        self.source.adopt(loaded)
        self.node.refresh_statuses()
        log.warning("probe %s was loaded from %s by request", name, folder)
        return self._known(name)

    def _stop(self, name: str, cause: str, remedy: str) -> None:
        log.error("probe %s was stopped: %s %s", name, cause, remedy)
        self._take_out(name, ProbeState.STOPPED, cause, remedy)

    def _take_out(self, name: str, state: ProbeState | None, cause: str = "", remedy: str = "") -> None:
        """Detaching waits for the kernel, so another thread does it."""
        loaded = self.source.release(name, state, cause, remedy)
        self.node.pipeline.remove_probe(name)
        self.node.refresh_statuses()
        if loaded is not None:
            self._closing = [thread for thread in self._closing if thread.is_alive()]
            self._closing.append(threading.Thread(target=loaded.close, name=f"close-{name}", daemon=True))
            self._closing[-1].start()
