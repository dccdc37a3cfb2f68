from __future__ import annotations

import ctypes.util
import re
from pathlib import Path

import pytest

from collector.catalog.probe_folder import Probe, object_path, read_probe
from collector.decode import DECODERS
from collector.settings import Settings
from collector.source.hook_choice import check_settings, read_sections
from collector.source.libbpf import load_libbpf
from collector.source.settings_for_kernel import source_settings

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
BOOKED = ("emitted", "filtered", "sampled", "dropped_ring_full", "dropped_map_full", "dropped_unreadable")
SECTIONS = (
    r"tp_btf|raw_tp|tracepoint|tp|iter|fentry|fexit|kprobe|kretprobe|uprobe|uretprobe|usdt|cgroup_skb|cgroup|sockops|perf_event"
)


def code_of(folder: Path) -> str:
    """The probe's own C and the machine that it shares with others; comments out, the enum of accounts too."""
    own = "\n".join(path.read_text() for path in sorted(folder.glob("*.[ch]")))
    shared = [folder.parent / "include" / name for name in re.findall(r'#include "(.+)"', own)]
    keeps_books = [path for path in shared if path.is_file() and "\nACCOUNTS(" in path.read_text()]
    text = "\n".join([own, *(path.read_text() for path in keeps_books)])
    return re.sub(r"enum account\s*\{.*?\};", "", COMMENT.sub("", text), flags=re.DOTALL)


def test_folder_holds_program_manifest_and_workload(folder: Path) -> None:
    assert [name for name in ("probe.bpf.c", "probe.toml", "workload.py") if not (folder / name).is_file()] == []


def test_manifest_fits_the_object_without_the_running_kernel_too(folder: Path) -> None:
    assert read_probe(folder, None).name == folder.name


def test_object_is_newer_than_its_source(folder: Path) -> None:
    compiled = object_path(folder).stat().st_mtime
    assert [path.name for path in folder.glob("*.[ch]") if path.stat().st_mtime > compiled] == [], "make -C probes"


@pytest.mark.skipif(ctypes.util.find_library("bpf") is None, reason="libbpf is not installed")
def test_alternatives_are_programs_of_known_kinds(probe: Probe) -> None:
    sections = read_sections(probe, load_libbpf())
    for hook in probe.manifest.hook:
        for program in hook.alternatives:
            assert re.fullmatch(rf"({SECTIONS})(\.s)?(/.+)?", sections[program]), f"{hook.purpose}: {program}"
    attached = {program for hook in probe.manifest.hook for program in hook.alternatives}
    assert set(sections) - attached == set(), "programs that no hook names"


def test_settings_of_the_manifest_exist(probe: Probe) -> None:
    check_settings(probe, source_settings(Settings.model_validate({}), []).load)


def test_every_account_is_counted_and_every_run_has_an_outcome(probe: Probe, folder: Path) -> None:
    """Accounts handed to a shared function are counted under its parameter, so only their use is asked for."""
    code = code_of(folder)
    parameters = set(re.findall(r"enum account (\w+)", code)) | set(re.findall(r"__u32 (\w*account\w*)", code))
    handed_on = any(f"COUNT({name}, seen)" in code for name in parameters)
    for account in probe.accounts:
        name = f"ACCOUNT_{account.upper()}"
        assert re.search(rf"\b{name}\b", code), f"{account} is never counted"
        assert f"COUNT({name}, seen)" in code or handed_on, f"{account} never counts what it sees"
        outcomes = rf"COUNT\({name}, ({'|'.join(BOOKED)})\)|(RESERVE|SUBMIT)\([^;]*\b{name}\b"
        assert re.search(outcomes, code) or handed_on, f"{account} never says what became of an event"


def test_decoders_exist_and_derived_records_have_one(probe: Probe) -> None:
    decoders = {record.decoder for record in probe.manifest.record if record.decoder}
    assert decoders <= set(DECODERS)
    if any(record.derived for record in probe.manifest.record):
        assert decoders
