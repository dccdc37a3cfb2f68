"""What `honeyguide probe check` says about folders that are wrong; nothing is loaded here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from collector.settings import Settings
from collector.workshop import check
from collector.workshop.check import check_folder, with_place

SAMPLE = Path(__file__).resolve().parents[2] / "data/sample_probe"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check, "check_in_kernel", lambda folder, opener: [])
    copy = tmp_path / "sample"
    shutil.copytree(SAMPLE, copy)
    return copy


def change(folder: Path, old: str, new: str) -> int:
    """The line of the change."""
    text = (folder / "probe.toml").read_text()
    assert old in text
    (folder / "probe.toml").write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_toml_that_cannot_be_read_is_told_with_its_line(folder: Path) -> None:
    line = change(folder, "[[record]]", "[[record]")
    (finding,) = check_folder(folder, Settings())
    assert f"line {line}" in finding.text
    assert finding.severe


def test_wrong_value_is_told_with_its_line(folder: Path) -> None:
    line = change(folder, 'kind = "counter"', 'kind = "conter"')
    (finding,) = check_folder(folder, Settings())
    assert finding.text.startswith(f"probe.toml:{line}: metric.")
    assert "docs/adding-a-probe.md" in finding.remedy


def test_folder_without_a_program_says_what_to_put_there(folder: Path) -> None:
    (folder / "probe.bpf.o").unlink()
    for source in folder.glob("*.c"):
        source.unlink()
    (finding,) = check_folder(folder, Settings())
    assert "there is no program" in finding.text
    assert "probe.bcc.c" in finding.remedy


def test_unknown_column_is_told_with_the_line_of_the_metric(folder: Path) -> None:
    cause = "sample: metric sample.ticks: attributes: there is no column 'prot'."
    (folder / "probe.toml").write_text('x = 1\n\n[[metric]]\nname = "sample.ticks"\nattributes = { "a.b" = "prot" }\n')
    assert with_place(folder, cause) == f"probe.toml:5: {cause}"


def test_places_that_are_known_stay(folder: Path) -> None:
    assert with_place(folder, f"{folder}/probe.bpf.c cannot be compiled: probe.bpf.c:3: wrong").startswith("probe.bpf.c cannot")
