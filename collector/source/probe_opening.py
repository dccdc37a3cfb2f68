"""From a probe's folder to the probe running in the kernel, compiled on the way where only its source is there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from collector.catalog.probe_folder import Probe, object_path, read_bcc_probe, read_manifest, read_probe
from collector.source.bcc_module import BCC_SOURCE, compile_bcc
from collector.source.core_compiler import SOURCE, CompilerSettings, compile_core
from collector.source.hook_choice import load_bcc_probe, load_probe
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
