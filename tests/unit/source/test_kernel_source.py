"""What the source says about probes that cannot run: no program is loaded here, so no root is needed."""

from __future__ import annotations

import ctypes.util
from pathlib import Path

import pytest

from collector.clock import FixedClock
from collector.errors import HoneyguideError
from collector.probe_status import ProbeState, ProbeStatus
from collector.source.kernel_source import KernelSource
from collector.source.loaded_probe import LoadSettings
from collector.source.probe_opening import SourceSettings

pytestmark = pytest.mark.skipif(ctypes.util.find_library("bpf") is None, reason="libbpf is not installed")
MANIFEST = """
question = "Is this folder read?"
cost = "nothing"
oldest_kernel = "5.10"
hook = [{ purpose = "none", account = "none", alternatives = ["none"] }]
record = [{ struct = "row", derived = true }]
"""


def open_all(place: Path, *, wanted: tuple[str, ...] = (), disabled: tuple[str, ...] = ()) -> dict[str, ProbeStatus]:
    settings = SourceSettings([place], LoadSettings(), wanted=frozenset(wanted), disabled=frozenset(disabled))
    source = KernelSource(settings, FixedClock(0))
    with pytest.raises(HoneyguideError, match="No probe can run here"):
        source.open()
    assert source.probes == []
    source.close()
    return {status.probe: status for status in source.statuses()}


def add(place: Path, name: str, manifest: str) -> None:
    (place / name).mkdir()
    (place / name / "probe.toml").write_text(manifest)


def test_each_folder_that_cannot_be_read_is_listed_with_its_cause(tmp_path: Path) -> None:
    add(tmp_path, "unwritten", "question = ")
    add(tmp_path, "uncompiled", MANIFEST)
    add(tmp_path, "noise", MANIFEST)
    (tmp_path / "noise/probe.bpf.o").write_bytes(b"\x7fELF")
    statuses = open_all(tmp_path)
    assert all(status.state is ProbeState.REFUSED for status in statuses.values())
    assert "not valid TOML" in statuses["unwritten"].cause
    assert "cannot be read" in statuses["uncompiled"].cause
    assert statuses["uncompiled"].remedy == "Compile the probes: make -C probes."
    assert statuses["uncompiled"].question == "Is this folder read?"
    assert "not a 64-bit ELF file" in statuses["noise"].cause


def test_probe_switched_off_is_not_read_further(tmp_path: Path) -> None:
    add(tmp_path, "first", MANIFEST)
    add(tmp_path, "second", MANIFEST)
    states = {name: status.state for name, status in open_all(tmp_path, wanted=("first",)).items()}
    assert states == {"first": ProbeState.REFUSED, "second": ProbeState.DISABLED}
    assert open_all(tmp_path, disabled=("second",))["second"].state is ProbeState.DISABLED


def test_wanted_probe_that_does_not_exist_is_listed_not_passed_over(tmp_path: Path) -> None:
    add(tmp_path, "tcp", MANIFEST)
    status = open_all(tmp_path, wanted=("tcp", "tpc"))["tpc"]
    assert (status.state, status.cause) == (ProbeState.REFUSED, "there is no probe folder of that name.")
    assert status.remedy == "There are: tcp."


def test_place_without_probes_says_so(tmp_path: Path) -> None:
    source = KernelSource(SourceSettings([tmp_path / "nowhere"], LoadSettings()), FixedClock(0))
    with pytest.raises(HoneyguideError, match="no probe folder was found"):
        source.open()
