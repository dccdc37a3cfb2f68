from __future__ import annotations

from pathlib import Path

import pytest

from collector.catalog.manifest import parse_manifest
from collector.errors import HoneyguideError
from collector.workshop.new_probe import parse_hook, write_probe


@pytest.mark.parametrize(
    ("hook", "core", "bcc"),
    [
        ("tracepoint:sched:sched_process_exit", "tp_btf/sched_process_exit", "tracepoint/sched/sched_process_exit"),
        ("kprobe:do_exit", "kprobe/do_exit", "kprobe/do_exit"),
        ("fexit:do_exit", "fexit/do_exit", "fexit/do_exit"),
        # 6.18's BTF has btf_trace_sys_enter, and none for a single call.
        ("tracepoint:syscalls:sys_enter_openat", "tracepoint/syscalls/sys_enter_openat", "tracepoint/syscalls/sys_enter_openat"),
        ("kretprobe:do_exit", "kretprobe/do_exit", "kretprobe/do_exit"),
        ("uprobe:/bin/bash:readline", "uprobe//bin/bash:readline", "uprobe//bin/bash:readline"),
        ("usdt:/lib/libc.so.6:libc:setjmp", "usdt//lib/libc.so.6:libc:setjmp", "usdt//lib/libc.so.6:libc:setjmp"),
    ],
)
def test_hook_becomes_a_section(hook: str, core: str, bcc: str) -> None:
    assert parse_hook(hook, "core").section == core
    assert parse_hook(hook, "bcc").section == bcc


@pytest.mark.parametrize(
    "hook", ["", "exit", "tracepoint:exit", "kprobe:", "kprobe:a b", "uprobe:/bin/bash", "usdt:a:b", "xdp:eth0"]
)
def test_what_is_no_hook_is_refused_with_the_forms(hook: str) -> None:
    with pytest.raises(HoneyguideError, match="is no hook") as refusal:
        parse_hook(hook, "core")
    assert "tracepoint:CATEGORY:NAME" in refusal.value.remedy


@pytest.mark.parametrize("dialect", ["core", "bcc"])
def test_manifest_and_program_belong_together(tmp_path: Path, dialect: str) -> None:
    folder = write_probe(tmp_path, "exits", "tracepoint:sched:sched_process_exit", dialect)
    manifest = parse_manifest((folder / "probe.toml").read_text(), "probe.toml")
    (source,) = folder.glob("*.c")
    text = source.read_text()
    for word in (manifest.hook[0].alternatives[0], manifest.record[0].struct, manifest.record[0].ring):
        assert word in text
    assert bool(manifest.hook[0].at) is (dialect == "bcc")


def test_nothing_is_overwritten_and_names_are_checked(tmp_path: Path) -> None:
    write_probe(tmp_path, "mine", "kprobe:do_exit", "core")
    with pytest.raises(HoneyguideError, match="is there already"):
        write_probe(tmp_path, "mine", "kprobe:do_exit", "core")
    with pytest.raises(HoneyguideError, match="is no probe's name"):
        write_probe(tmp_path, "../mine", "kprobe:do_exit", "core")
