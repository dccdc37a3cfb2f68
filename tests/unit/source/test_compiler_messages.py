from __future__ import annotations

from collector.source.compiler_messages import describe_failure, parse_messages

OUTPUT = """\
In file included from /probes/mine/probe.bpf.c:2:
/probes/mine/probe.bpf.c:12:2: error: use of undeclared identifier 'recrod'
        recrod->pad = 0;
        ^
/probes/mine/probe.bpf.c:9:8: warning: unused variable 'left' [-Wunused-variable]
/usr/share/include/emit.bpf.h:40:3: note: expanded from macro 'COUNT'
1 warning and 1 error generated.
"""


def test_errors_and_warnings_have_file_line_and_text() -> None:
    error, warning = parse_messages(OUTPUT, "/probes/mine")
    assert str(error) == "probe.bpf.c:12: use of undeclared identifier 'recrod'"
    assert (str(warning), warning.severe) == ("probe.bpf.c:9: unused variable 'left'", False)


def test_failure_names_errors_only() -> None:
    failure = describe_failure("mine", parse_messages(OUTPUT, "/probes/mine"), OUTPUT)
    assert failure == "mine cannot be compiled: probe.bpf.c:12: use of undeclared identifier 'recrod'"


def test_many_errors_are_counted() -> None:
    output = "".join(f"a.c:{line}:1: error: wrong\n" for line in range(1, 9))
    assert describe_failure("a", parse_messages(output, ""), output).endswith("(and 3 more)")


def test_compiler_without_errors_is_quoted_by_its_last_words() -> None:
    assert describe_failure("a", [], "first\nclang: out of memory\n") == "a cannot be compiled: clang: out of memory"
    assert describe_failure("a", [], "").endswith("said nothing")
