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
from collector.source.settings_for_kernel import build_node_source


def try_probes(settings: Settings, places: Sequence[Path]) -> Sequence[ProbeStatus]:
    """What became of each; nothing stays in the kernel. places: folders that hold the shipped probe folders.

    Empty when not even libbpf can be used, or there is no probe folder.
    """
    source = build_node_source(settings, places, SystemClock())
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
