"""From a probe's folder to the probe running in the kernel, compiled on the way where only its source is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from collector.batch import Batch, Schema
from collector.catalog.probe_folder import Probe, object_path, read_bcc_probe, read_manifest, read_probe
from collector.clock import NANOSECONDS
from collector.errors import LoadError
from collector.source.bcc_module import BCC_SOURCE, compile_bcc
from collector.source.core_compiler import SOURCE, CompilerSettings, compile_core
from collector.source.hook_choice import load_bcc_probe, load_probe
from collector.source.hook_support import KernelFacts, read_kernel_facts
from collector.source.kernel_obstacle import Obstacle, find_obstacle, lockdown_mode
from collector.source.libbpf import Libbpf, load_libbpf
from collector.source.loaded_probe import LoadedProbe, LoadSettings
from collector.source.program_object import RINGBUF

ARRAY = 2  # enum bpf_map_type
NOT_SUPPORTED = 0  # libbpf_probe_bpf_map_type; the same for want of permission, but then nothing will load anyway
Seed = Callable[[Schema], Batch]


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """places: folders that hold probe folders. wanted: probe names, empty for all. seeds: `feeds` of a record -> what
    was there before the agent, read from files. elsewhere: names in `wanted` that another source serves.
    perf_if_needed: perf buffers on kernels without BPF ring buffers (5.8). compiler: for probes whose source alone is there;
    without it they cannot run.
    """

    places: Sequence[Path]
    load: LoadSettings
    snapshot_interval_ns: int = 5 * NANOSECONDS
    wanted: frozenset[str] = frozenset()
    disabled: frozenset[str] = frozenset()
    seeds: dict[str, Seed] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()
    statistics: bool = False
    perf_if_needed: bool = False
    compiler: CompilerSettings | None = None


@dataclass(frozen=True, slots=True)
class ProbeOpener:
    """Keeps no state of its own, so any thread may open a probe while another drains those that run."""

    libbpf: Libbpf
    facts: KernelFacts
    load: LoadSettings
    compiler: CompilerSettings | None = None
    obstacle: Obstacle | None = None

    def open(self, folder: Path) -> LoadedProbe:
        """ProbeError when the folder, the compiler or the kernel is against it; nothing stays behind then."""
        try:
            return self._open(folder)
        except LoadError as error:
            if self.obstacle is None:
                raise
            raise LoadError(f"{error.cause} {self.obstacle.cause}", self.obstacle.remedy) from None

    def forget_types(self) -> None:
        """Until the next probe is opened, nobody asks about the kernel's types."""
        if self.facts.types is not None:
            self.facts.types.forget()

    def _open(self, folder: Path) -> LoadedProbe:
        if self.compiler is not None and self._source(folder) == BCC_SOURCE:
            return self._open_bcc(folder, self.compiler)
        return load_probe(self._read(folder), self.libbpf, self.load, self.facts)

    def _source(self, folder: Path) -> str:
        """The source that must be compiled here; '' where an object lies ready, or nothing."""
        if os.path.lexists(object_path(folder)):
            return ""
        return next((name for name in (SOURCE, BCC_SOURCE) if (folder / name).is_file()), "")

    def _open_bcc(self, folder: Path, compiler: CompilerSettings) -> LoadedProbe:
        ready = compile_bcc(folder.name, folder, read_manifest(folder), compiler, self.libbpf)
        try:
            probe = read_bcc_probe(folder, self.facts.types, ready.read_types(), ready.maps.keys())
        except BaseException:
            ready.close()
            raise
        return load_bcc_probe(probe, ready, self.libbpf, self.load)

    def _read(self, folder: Path) -> Probe:
        if self.compiler is not None and self._source(folder) == SOURCE:
            return read_probe(folder, self.facts.types, compile_core(folder, self.compiler).content)
        return read_probe(folder, self.facts.types)


def make_opener(settings: SourceSettings) -> ProbeOpener:
    """For the running kernel; HoneyguideError when libbpf is missing."""
    libbpf, facts = load_libbpf(), read_kernel_facts()
    load = replace(settings.load, cgroup_root=facts.cgroup_root, one_uprobe_link=facts.one_uprobe_link)
    no_rings = libbpf.plain("libbpf_probe_bpf_map_type", RINGBUF, None) == NOT_SUPPORTED
    if settings.perf_if_needed and no_rings:
        load = replace(load, perf_buffer=True)
    lacks_rings = no_rings and not load.perf_buffer and libbpf.plain("libbpf_probe_bpf_map_type", ARRAY, None) == 1
    obstacle = find_obstacle(facts.types is not None, lockdown_mode(facts.sys_root), lacks_rings)
    return ProbeOpener(libbpf, facts, load, settings.compiler, obstacle)
