"""`honeyguide doctor`: what this kernel and these privileges allow, found out by trying."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from collector.doctor.capabilities import holds, list_wanted, read_effective
from collector.doctor.cluster import inspect_cluster
from collector.doctor.container_state import inspect_container_state
from collector.doctor.finding import Finding, no, yes
from collector.doctor.hook_trials import try_everything
from collector.doctor.kernel_facts import Trees, inspect_kernel, read_cgroup_mounts, read_text, read_version
from collector.doctor.probe_trials import try_probes
from collector.doctor.report import Report, write_json, write_text
from collector.doctor.row_server import inspect_row_server
from collector.doctor.software import find_libbpf, inspect_software
from collector.logs import start_logs
from collector.runtimes.places import find_host_root
from collector.settings import Settings
from collector.settings_flags import add_settings_flags
from collector.settings_sources import load_settings
from collector.source.libbpf import Libbpf

HOOK_KINDS_OBJECT = "hook_kinds.bpf.o"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide doctor`."""
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    add_settings_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the report; 0 every probe can run, 1 some cannot, 3 none can."""
    settings = load_settings(vars(arguments), os.environ).settings
    start_logs("error" if settings.log_level == "warning" else settings.log_level, settings.log_format)
    report = examine(Trees(), settings)
    if arguments.json:
        sys.stdout.write(write_json(report))
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        sys.stdout.write(write_text(report, shutil.get_terminal_size((100, 24)).columns, colour=colour))
    return report.exit_status


def examine(trees: Trees, settings: Settings) -> Report:
    """Looks at everything, attaches everything once and takes it out again."""
    from collector.agent import shipped_places  # noqa: PLC0415 -- `doctor --help` needs no agent

    places = shipped_places()
    effective = read_effective(read_text(trees.proc / "self/status"))
    libbpf, about_libbpf = find_libbpf()
    groups = {
        "kernel": list(inspect_kernel(trees)),
        "privileges": list(inspect_privileges(effective, read_version(trees))),
        "hooks": list(_try_hooks(libbpf, effective, read_cgroup_mounts(trees).unified, places)),
        "container runtimes": list(inspect_container_state(find_host_root())),
        "software": [about_libbpf, *inspect_software(trees)],
        "kubernetes": list(inspect_cluster(settings, os.environ)),
        "clickhouse": list(inspect_row_server(settings)),
    }
    return Report(groups, try_probes(settings, places))


def inspect_privileges(effective: frozenset[str], kernel: tuple[int, int]) -> Iterator[Finding]:
    """One finding for each capability the agent wants on a kernel of that version."""
    for wanted in list_wanted(kernel):
        if holds(effective, wanted.name):
            yield yes(wanted.name, wanted.purpose)
        else:
            without = "Without it nothing runs" if wanted.essential else "Without it that part is missing"
            yield no(wanted.name, f"Missing. It is for: {wanted.purpose}. {without}.", "Run as root, or grant it.")


def _try_hooks(libbpf: Libbpf | None, effective: frozenset[str], cgroup_root: str, places: Sequence[Path]) -> Iterator[Finding]:
    compiled = next((path for path in (place / "build" / HOOK_KINDS_OBJECT for place in places) if path.is_file()), None)
    if libbpf is None:
        yield no("all", "They cannot be tried without libbpf.", "Install libbpf first.")
    elif compiled is None:
        yield no("all", f"They cannot be tried without {HOOK_KINDS_OBJECT}.", "Compile the probes: make -C probes.")
    else:
        yield from try_everything(libbpf, effective, cgroup_root, compiled.read_bytes())
