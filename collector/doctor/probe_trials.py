"""Loads and attaches every probe as `honeyguide run` would, and reports what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from collector.clock import SystemClock
from collector.errors import HoneyguideError
from collector.probe_status import ProbeStatus
from collector.settings import Settings
from collector.source.hook_choice import REMEDY
from collector.source.kernel_source import KernelSource, SourceSettings
from collector.source.loaded_probe import LoadSettings

SHIPPED = Path(__file__).parents[2] / "probes"


def try_probes(settings: Settings) -> Sequence[ProbeStatus]:
    """Nothing stays in the kernel. Empty when not even libbpf can be used, or there is no probe folder."""
    source = KernelSource(_source_settings(settings), SystemClock())
    try:
        with suppress(HoneyguideError):  # no probe at all: each status says why
            source.open()
        return _without_pointing_here(source.statuses())
    finally:
        source.close()


def _without_pointing_here(statuses: Sequence[ProbeStatus]) -> Sequence[ProbeStatus]:
    """The loader sends people to the doctor; this is the doctor."""
    here = "See hooks and privileges above."
    return [replace(status, remedy=here) if status.remedy == REMEDY else status for status in statuses]


def _source_settings(settings: Settings) -> SourceSettings:
    values: dict[str, int | Sequence[int]] = {
        name: value for name, value in settings.model_dump().items() if isinstance(value, int | tuple)
    }
    load = LoadSettings(settings.transport == "perf", settings.ring_bytes, values)
    return SourceSettings(
        (SHIPPED, *settings.probe_path), load, wanted=frozenset(settings.probes), disabled=frozenset(settings.disable)
    )
