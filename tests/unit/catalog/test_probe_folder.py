from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from collector.catalog.probe_folder import find_folders, object_path, read_manifest, read_probe
from collector.errors import ManifestError, ProbeError

SAMPLE = Path(__file__).resolve().parents[2] / "data/sample_probe"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "probes/sample"
    shutil.copytree(SAMPLE, copy)
    return copy


def change(folder: Path, old: str, new: str) -> Path:
    manifest = folder / "probe.toml"
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new))
    return folder


def test_folder_becomes_a_probe(folder: Path) -> None:
    probe = read_probe(folder, None)
    assert probe.name == "sample"
    assert probe.accounts == ("ticks", "snapshot")
    assert probe.ring_accounts == {"ticks": "tick"}
    assert probe.book_dtype.names is not None
    assert probe.book_dtype.names[:2] == ("seen", "emitted")
    assert set(probe.schemas) == {"tick", "bucket"}
    assert probe.model.map_keys == {"bucket": ("cgroup", "port", "event")}


def test_object_lies_in_the_folder_or_in_build_beside_it(folder: Path) -> None:
    assert object_path(folder) == folder / "probe.bpf.o"
    (folder / "probe.bpf.o").unlink()
    assert object_path(folder) == folder.parent / "build/sample.bpf.o"


def test_missing_object_says_how_to_make_it(folder: Path) -> None:
    (folder / "probe.bpf.o").unlink()
    with pytest.raises(ProbeError, match=r"sample\.bpf\.o cannot be read: No such file") as refusal:
        read_probe(folder, None)
    assert "make -C probes" in refusal.value.remedy


def test_manifest_that_is_a_folder_is_refused_with_its_path(folder: Path) -> None:
    (folder / "probe.toml").unlink()
    (folder / "probe.toml").mkdir()
    with pytest.raises(ManifestError, match=r"sample/probe\.toml cannot be read"):
        read_manifest(folder)


def test_manifest_that_is_no_text_is_refused_with_its_path(folder: Path) -> None:
    (folder / "probe.toml").write_bytes(b"question = '\xff\xfe'")
    with pytest.raises(ManifestError, match=r"sample/probe\.toml cannot be read"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('account = "snapshot"', 'account = "nobody"', "account 'nobody' is not in the program's enum account: ticks, snapshot"),
        ('alternatives = ["tick"]', 'alternatives = ["tick", "tock"]', "no program tock"),
        ('[maps]\nbuckets = "', '[maps]\nbarrels = "', "no map barrels"),
        ('ring = "ticks"', 'ring = "tocks"', "no map tocks"),
        ('map = "buckets"', 'map = "barrels"', "no map barrels"),
        ('watched_ports = "', 'watched_gates = "', "no variable watched_gates"),
        ('"tick"\nring', '"tock"\nring', "no \\[\\[record\\]\\] has struct = 'tick'"),
        ('struct = "bucket"', 'struct = "barrel"', "no \\[\\[record\\]\\] has struct = 'bucket'"),
        ('map = "buckets"', 'snapshot = { program = "read_buckets", over = "barrels" }\nmap = "buckets"', "no map barrels"),
    ],
)
def test_name_that_the_object_does_not_know_is_refused(folder: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        read_probe(change(folder, old, new), None)


def test_record_without_its_struct_is_refused(folder: Path) -> None:
    change(folder, '"tick"\nring', '"tock"\nring')
    change(folder, 'record = "tick"', 'record = "tock"')
    with pytest.raises(ManifestError, match="no struct tock"):
        read_probe(folder, None)


def test_folders_are_found_by_their_manifest_in_name_order(tmp_path: Path) -> None:
    for name in ("b/probe.toml", "a/probe.toml", "include/probe.bpf.h", "deep/er/probe.toml"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert find_folders([tmp_path, tmp_path / "nowhere"]) == [tmp_path / "a", tmp_path / "b"]


def test_folder_of_a_later_place_stands_in_for_its_namesake(tmp_path: Path) -> None:
    for name in ("shipped/tcp", "shipped/udp", "own/tcp"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "probe.toml").touch()
    assert find_folders([tmp_path / "shipped", tmp_path / "own"]) == [tmp_path / "own/tcp", tmp_path / "shipped/udp"]


def test_metrics_of_the_probe_beside_it_are_shared_for_the_records_of_both(folder: Path) -> None:
    other = folder.parent / "other"
    shutil.copytree(folder, other)
    own, _, _ = (other / "probe.toml").read_text().partition("[[metric]]")
    (other / "probe.toml").write_text(f'metrics_like = "sample"\n{own}')
    assert read_manifest(other).metric == read_manifest(folder).metric
    (other / "probe.toml").write_text(f'metrics_like = "absent"\n{own}')
    with pytest.raises(ManifestError, match="absent"):
        read_manifest(other)
