"""From a probe's folder to the probe running in the kernel, compiled on the way where only its source is there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from collector.catalog.probe_folder import Probe, object_path, read_probe
from collector.source.core_compiler import SOURCE, CompilerSettings, compile_core
from collector.source.hook_choice import load_probe
from collector.source.hook_support import KernelFacts
from collector.source.libbpf import Libbpf
from collector.source.loaded_probe import LoadedProbe, LoadSettings


@dataclass(frozen=True, slots=True)
class ProbeOpener:
    """Keeps no state of its own, so any thread may open a probe while another drains those that run."""

    libbpf: Libbpf
    facts: KernelFacts
    load: LoadSettings
    compiler: CompilerSettings | None = None

    def open(self, folder: Path) -> LoadedProbe:
        """ProbeError when the folder, the compiler or the kernel is against it; nothing stays behind then."""
        return load_probe(self.read(folder), self.libbpf, self.load, self.facts)

    def read(self, folder: Path) -> Probe:
        """The probe, compiled but not loaded; ProbeError."""
        if self.compiler is not None and not os.path.lexists(object_path(folder)) and (folder / SOURCE).is_file():
            return read_probe(folder, self.facts.types, compile_core(folder, self.compiler).content)
        return read_probe(folder, self.facts.types)
