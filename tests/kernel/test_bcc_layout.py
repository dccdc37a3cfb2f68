"""bcc's compiler does not relocate: every struct of the header it gets must lie as in this very kernel."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.catalog.btf import Btf
from collector.source.core_compiler import KERNEL_DIALECT, KERNEL_TYPES, CompilerSettings, find_kernel_header
from collector.source.kernel_headers import write_headers
from collector.source.private_cache import PrivateCache

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not KERNEL_TYPES.exists(), reason="this kernel does not describe its types (no BTF)"),
]
FAILED = re.compile(r'static.assert\w* failed.*"(\w+\.?\w*)"')
# With a packed union inside, which bpftool before 7.3 writes as if it were not; of embedded controllers, no probe's matter.
LEFT_WRONG = {"ec_response_get_next_data_v3", "ec_response_get_next_event_v3", "cros_ec_device"}
SENTINELS = ("task_struct.real_parent", "inode.i_sb", "sock.__sk_common", "file.f_inode")


def expectations(btf: Btf) -> Iterator[tuple[str, str]]:
    """(what it is about, C expression that must be true) for sizes and members of structs whose name nothing else has."""
    names = Counter(entry.name for entry in btf.types if entry.kind in ("struct", "union", "enum", "enum64"))
    for number, entry in enumerate(btf.types):
        if entry.kind not in ("struct", "union") or not entry.name or names[entry.name] > 1 or entry.name in LEFT_WRONG:
            continue
        yield entry.name, f"sizeof({entry.kind} {entry.name}) == {entry.size_or_type}"
        for member in btf.members(number):
            if member.name and not member.bits:
                place = f"__builtin_offsetof({entry.kind} {entry.name}, {member.name})"
                yield f"{entry.name}.{member.name}", f"{place} == {member.byte_offset}"


def test_structs_lie_as_in_this_kernel_and_no_gap_can_be_merged(project: Path, tmp_path: Path) -> None:
    settings = CompilerSettings(tmp_path, project / "probes/include")
    types = KERNEL_TYPES.read_bytes()
    root = write_headers(find_kernel_header(settings, PrivateCache(tmp_path)), types, settings.headers)
    expected = dict(expectations(Btf(types)))
    assert len(expected) > 10_000
    source = tmp_path / "layout.c"
    lines = [f'_Static_assert({truth}, "{subject}");' for subject, truth in expected.items()]
    source.write_text("\n".join(["#define BPF_NO_PRESERVE_ACCESS_INDEX", "#include <vmlinux.h>", *lines]))
    # Without -target bpf: bcc lays out for this machine.
    command = ["clang", "-w", KERNEL_DIALECT, "-ferror-limit=0", "-fsyntax-only", "-I", str(root / "include"), str(source)]
    words = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert set(SENTINELS) <= expected.keys()
    assert [found[1] for found in FAILED.finditer(words)] == []
    assert "file not found" not in words
    assert not re.search(r"long: 64;", (root / "include/vmlinux.h").read_text())
