"""Compiles real C where this machine has clang; what is missing elsewhere is said with a remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from collector.catalog.probe_folder import read_probe
from collector.errors import CompileError, ProbeError
from collector.source.core_compiler import HELPER_HEADERS, KERNEL_TYPES, CompilerSettings, compile_core
from collector.source.private_cache import KEPT_MAX, PrivateCache, content_hash

ROOT = Path(__file__).resolve().parents[3]
NEEDED = shutil.which("clang") and shutil.which("bpftool", path="/usr/sbin:/usr/bin") and HELPER_HEADERS.exists()
with_compiler = pytest.mark.skipif(not (NEEDED and KERNEL_TYPES.exists()), reason="clang, bpftool, libbpf-dev or BTF is missing")


@pytest.fixture
def settings(tmp_path: Path) -> CompilerSettings:
    return CompilerSettings(tmp_path / "cache", ROOT / "probes/include")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "probes/raising"
    shutil.copytree(ROOT / "tests/data/bad_probes/raising", copy)
    return copy


@with_compiler
def test_source_becomes_an_object_that_fits_its_manifest(folder: Path, settings: CompilerSettings) -> None:
    made = compile_core(folder, settings)
    assert read_probe(folder, None, made.content).accounts == ("signals",)


@with_compiler
def test_object_is_kept_until_a_source_changes(folder: Path, settings: CompilerSettings) -> None:
    first = compile_core(folder, settings)
    assert len(list(settings.cache.glob("*.o"))) == 1
    assert compile_core(folder, settings).content == first.content
    (folder / "more.h").write_text("/* counts too */\n")
    compile_core(folder, settings)
    assert len(list(settings.cache.glob("*.o"))) == 2


@with_compiler
def test_mistake_in_c_is_told_with_file_and_line(folder: Path, settings: CompilerSettings) -> None:
    source = folder / "probe.bpf.c"
    lines = source.read_text().splitlines()
    line = next(index for index, text in enumerate(lines) if "record->number" in text)
    lines[line] = "\trecord->nubmer = 1;"
    source.write_text("\n".join(lines))
    with pytest.raises(CompileError, match=rf"probe\.bpf\.c:{line + 1}: no member named 'nubmer'"):
        compile_core(folder, settings)
    assert list(settings.cache.glob("*.o")) == []


@with_compiler
def test_hole_in_a_record_is_refused(folder: Path, settings: CompilerSettings) -> None:
    source = folder / "probe.bpf.c"
    source.write_text(source.read_text().replace("\t__u64 number;", "\t__u64 number;\n\t__u8 small;"))
    with pytest.raises(CompileError, match="padding"):
        compile_core(folder, settings)


def test_node_without_clang_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="there is no clang here") as refusal:
        compile_core(folder, CompilerSettings(tmp_path / "cache", ROOT / "probes/include", path=str(tmp_path)))
    assert "put probe.bpf.o into the folder" in refusal.value.remedy


def test_folder_that_others_can_write_is_no_cache(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(ProbeError, match="is not private"):
        PrivateCache(tmp_path).open()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ProbeError, match="is not private"):
        PrivateCache(tmp_path / "link").open()
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "good").symlink_to(tmp_path / "private")
    assert PrivateCache(tmp_path / "good").open() == tmp_path / "private"


def test_cache_is_made_below_a_mount_that_is_everybodys(tmp_path: Path) -> None:
    """As kubelet makes an emptyDir; the manifests name a folder below it."""
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount").chmod(0o777)
    with pytest.raises(ProbeError, match="is not private"):
        PrivateCache(tmp_path / "mount").open()
    assert PrivateCache(tmp_path / "mount/compiled").open().stat().st_mode & 0o777 == 0o700


def test_cache_forgets_the_longest_unused(tmp_path: Path) -> None:
    cache = PrivateCache(tmp_path / "cache")
    for number in range(KEPT_MAX + 3):
        cache.keep(f"{number}.o", b"x")
    assert len(list((tmp_path / "cache").iterdir())) == KEPT_MAX
    assert cache.find("nothing.o") is None
    assert cache.find(f"{KEPT_MAX + 2}.o") == b"x"


def test_hash_knows_where_parts_end() -> None:
    assert content_hash([b"ab", b"c"]) != content_hash([b"a", b"bc"])
