from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.source.exported_functions import SharedCallee, find_functions
from collector.source.quick_places import quick_start

pytestmark = [
    pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the code in this test is x86-64"),
]

# read and read_ex begin with what the kernel single-steps and share `work`, which begins with a push; write does not.
ASSEMBLY = """
    .text
    .globl lib_read, lib_read_ex, lib_write, exported_work, lib_marked
    .type lib_read, @function
    .type lib_read_ex, @function
    .type lib_write, @function
    .type exported_work, @function
    .type lib_marked, @function
    .p2align 4
work: push %rbx
    pop %rbx
    ret
    .p2align 4
exported_work: push %rbx
    pop %rbx
    ret
    .p2align 4
lib_read: sub $24, %rsp
    call work
    call exported_work@PLT
    add $24, %rsp
    ret
    .size lib_read, . - lib_read
    .p2align 4
lib_read_ex: sub $8, %rsp
    call exported_work@PLT
    add $8, %rsp
    .byte 0xe9
    .long work - . - 4
    .size lib_read_ex, . - lib_read_ex
    .p2align 4
lib_write: sub $8, %rsp
    add $8, %rsp
    ret
    .size lib_write, . - lib_write
    .p2align 4
lib_marked: endbr64
    push %rbp
    pop %rbp
    ret
    .size lib_marked, . - lib_marked
"""
SHARED = (SharedCallee(("lib_read", "lib_read_ex"), "lib_read_ex"), SharedCallee(("lib_write",), "lib_write"))
NAMES = ("lib_read", "lib_read_ex", "lib_write", "lib_marked")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    (folder / "code.s").write_text(ASSEMBLY)
    made = folder / "libexample.so"
    subprocess.run(["clang", "-shared", "-nostdlib", "-o", made, folder / "code.s"], check=True)
    return made


def test_exported_functions_are_found_where_their_code_lies(library: Path) -> None:
    found = find_functions(library, NAMES)
    assert found.keys() == set(NAMES)
    assert library.read_bytes()[found["lib_write"] :].startswith(b"\x48\x83\xec\x08")


def test_a_landing_mark_is_stepped_over(library: Path) -> None:
    assert library.read_bytes()[find_functions(library, NAMES)["lib_marked"]] == 0x55


def test_what_slow_functions_share_stands_for_them(library: Path) -> None:
    found = find_functions(library, NAMES, shared=SHARED)
    assert found.keys() == {"lib_read_ex", "lib_write", "lib_marked"}
    assert library.read_bytes()[found["lib_read_ex"]] == 0x53
    assert found["lib_read_ex"] not in find_functions(library, [*NAMES, "exported_work"]).values()


def test_a_file_without_the_proof_has_nothing(library: Path) -> None:
    assert find_functions(library, NAMES, proof=["lib_read", "lib_unheard_of"]) == {}


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(100), b"\x7fELF\x02\x01" + bytes(10)])
def test_other_files_are_refused_with_a_reason(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"empty|ELF|machine"):
        find_functions(path, NAMES)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_gives_a_reason_or_an_answer_and_nothing_else(
    library: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(library.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.so"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        find_functions(path, NAMES, shared=SHARED)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("code", "start"),
    [
        (b"\x55\x48\x89\xe5", 0),
        (b"\x41\x57\x41\x56", 0),
        (b"\xf3\x0f\x1e\xfa\x53", 4),
        (b"\x0f\x1f\x44\x00\x00", 0),
        (b"\x48\x83\xec\x18", None),
        (b"\xf3\x0f\x1e\xfa\x48\x83\xec\x18", None),
        (b"\x41\x89\xf8", None),
        (b"", None),
    ],
)
def test_quick_places_are_those_that_the_kernel_emulates(code: bytes, start: int | None) -> None:
    assert quick_start(code, 0) == start
