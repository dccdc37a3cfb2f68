from __future__ import annotations

from pathlib import Path

import pytest

from collector.catalog.manifest import Manifest
from collector.errors import CompileError
from collector.source.bcc_module import compose_source, failure, refusal_in_words, section_of

MANIFEST = Manifest.model_validate(
    {
        "question": "What is compiled here?",
        "cost": "nothing",
        "oldest_kernel": "5.10",
        "hook": [{"purpose": "exits", "alternatives": ["kprobe__do_exit"]}],
        "record": [{"struct": "data_t", "ring": "events"}, {"struct": "count", "map": "counts"}],
    }
)


@pytest.mark.parametrize(
    ("program", "section"),
    [
        ("tracepoint__sched__sched_process_exit", "tracepoint/sched/sched_process_exit"),
        ("tracepoint__syscalls__sys_enter_openat", "tracepoint/syscalls/sys_enter_openat"),
        ("raw_tracepoint__sched_switch", "raw_tp/sched_switch"),
        ("kprobe__tcp_v4_connect", "kprobe/tcp_v4_connect"),
        ("kretprobe__tcp_v4_connect", "kretprobe/tcp_v4_connect"),
        ("kfunc__vmlinux__do_exit", "fentry/do_exit"),
        ("kretfunc__vmlinux__do_exit", "fexit/do_exit"),
    ],
)
def test_names_of_functions_say_where_they_are_attached(program: str, section: str) -> None:
    assert section_of({}, program) == section


def test_manifest_says_it_for_other_names() -> None:
    assert section_of({"on_call": "uprobe/libc.so.6:getaddrinfo"}, "on_call") == "uprobe/libc.so.6:getaddrinfo"
    with pytest.raises(CompileError, match="Nothing says where on_call is to be attached") as refusal:
        section_of({}, "on_call")
    assert "at = { on_call =" in refusal.value.remedy


def test_structs_of_rings_and_the_books_become_part_of_btf() -> None:
    text = compose_source("/* ours */", "enum account { A };\nstruct data_t { u32 x; };\n", MANIFEST)
    assert text.index("/* ours */") < text.index('#line 1 "probe.bcc.c"') < text.index("struct honeyguide_layout")
    assert "struct data_t field0; enum account field1;" in text
    assert "struct count" not in text
    assert "enum account field" not in compose_source("", "struct data_t { u32 x; };", MANIFEST)


def test_header_that_is_missing_can_be_left_out() -> None:
    words = "probe.bcc.c:2:10: fatal error: 'linux/rare.h' file not found\n#include <linux/rare.h>\n"
    error = failure(Path("/probes/mine"), {"failure": "compile", "words": "Failed to compile BPF module"}, words)
    assert "probe.bcc.c:2: 'linux/rare.h' file not found" in error.cause
    assert error.remedy == "Leave out #include <linux/rare.h>: all types of the kernel are there."


def test_missing_bcc_says_how_to_get_it() -> None:
    error = failure(Path("/probes/mine"), {"failure": "import", "words": "No module named 'bcc'"}, "")
    assert "bcc is not installed" in error.cause
    assert "python3-bpfcc" in error.remedy


def test_refusal_is_taken_from_the_words_about_that_program() -> None:
    words = (
        "\nhoneyguide loads first\nbpf: Failed to load program\nR0 invalid mem access 'map_value_or_null'\n"
        "\nhoneyguide loads second\nbpf: Failed to load program\nUnreleased reference id=2\n"
    )
    assert "may be NULL" in refusal_in_words("first", "Failed", words)
    assert "neither submitted nor discarded" in refusal_in_words("second", "Failed", words)
    assert refusal_in_words("third", "", words) == ""
    assert refusal_in_words("third", "Failed", words) == "Failed"
