"""From the user's settings to those of the kernel side; the one place that knows both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from collector.address_translation import PROBE as CONNTRACK
from collector.clock import NANOSECONDS, Clock
from collector.settings import Settings
from collector.source.conntrack_source import ConntrackSource
from collector.source.core_compiler import CompilerSettings
from collector.source.kernel_source import KernelSource
from collector.source.loaded_probe import LoadSettings
from collector.source.node_source import NodeSource
from collector.source.probe_opening import Seed, SourceSettings

# What manifests may refer to in [maps] and [variables].
KERNEL_SETTINGS = ("max_connections", "max_udp_flows", "dns_ports")

# Where the node itself keeps libraries; the agent may live in a container. Its own root where that is not ours to see.
NODE_ROOTS = (Path("/proc/1/root"), Path("/"))
LIBRARY_FOLDERS = ("usr/lib", "usr/lib64", "usr/lib/*-linux-*", "usr/local/lib", "lib", "lib64", "lib/*-linux-*")


def build_node_source(
    settings: Settings, places: Sequence[Path], clock: Clock, seeds: dict[str, Seed] | None = None
) -> NodeSource:
    """All that the settings want of the running node; not open yet."""
    wanted = (not settings.probes or CONNTRACK in settings.probes) and CONNTRACK not in settings.disable
    kernel = KernelSource(source_settings(settings, places, seeds), clock)
    return NodeSource(kernel, ConntrackSource(clock, enabled=wanted))


def source_settings(settings: Settings, places: Sequence[Path], seeds: dict[str, Seed] | None = None) -> SourceSettings:
    """places: the shipped probe folders' parents; the user's own come after."""
    load = LoadSettings(
        perf_buffer=settings.transport == "perf",
        ring_bytes=settings.ring_bytes,
        values={name: getattr(settings, name) for name in KERNEL_SETTINGS},
        library_folders=library_folders(),
        forced_hooks=settings.forced_hooks,
    )
    return SourceSettings(
        places=[*places, *(Path(place) for place in settings.probe_path)],
        load=load,
        snapshot_interval_ns=int(settings.snapshot_interval * NANOSECONDS),
        wanted=frozenset(settings.probes),
        disabled=frozenset(settings.disable),
        seeds=seeds or {},
        elsewhere=frozenset({CONNTRACK}),
        statistics=settings.program_statistics,
        perf_if_needed=settings.transport == "auto",
        compiler=CompilerSettings(settings.cache_folder, places[0] / "include") if places else None,
    )


def library_folders() -> list[Path]:
    root = next(root for root in NODE_ROOTS if os.access(root, os.R_OK | os.X_OK))
    return [folder for pattern in LIBRARY_FOLDERS for folder in root.glob(pattern)]
