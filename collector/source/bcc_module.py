"""Has a probe in bcc's dialect (probe.bcc.c) compiled and loaded by a process of its own, so that the compiler's 150 MiB go
with it: the agent keeps descriptors, nothing else.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collector.catalog.manifest import Manifest
from collector.errors import CompileError
from collector.source import bcc_compiler
from collector.source.bcc_object import BccObject, BccProgram
from collector.source.compiler_messages import describe_failure, parse_messages
from collector.source.core_compiler import KERNEL_DIALECT, KERNEL_TYPES, CompilerSettings, find_kernel_header
from collector.source.kernel_headers import write_headers
from collector.source.libbpf import Libbpf
from collector.source.private_cache import PrivateCache
from collector.source.verifier_words import explain_log

BCC_SOURCE = "probe.bcc.c"
INSTALL = "Install it (Debian: apt-get install python3-bpfcc), or write the probe in CO-RE C and compile it elsewhere."
FLAGS = ("-D_UAPI__LINUX_BPF_H__", KERNEL_DIALECT, "-Wno-macro-redefined", "-Wno-unknown-attributes", "-Wno-microsoft")
SECONDS_MAX = 300  # 1 to 3 s on a real machine, a minute in an emulated one
ANSWER_BYTES_MAX, DESCRIPTORS_MAX = 1 << 20, 250
# How bcc names functions that it attaches by themselves.
NAMED = (
    (re.compile(r"tracepoint__(?P<category>[a-z0-9]+|[a-z0-9_]+?)__(?P<name>\w+)"), "tracepoint/{category}/{name}"),
    (re.compile(r"raw_tracepoint__(?P<name>\w+)"), "raw_tp/{name}"),
    (re.compile(r"kprobe__(?P<name>\w+)"), "kprobe/{name}"),
    (re.compile(r"kretprobe__(?P<name>\w+)"), "kretprobe/{name}"),
    (re.compile(r"kfunc__(?:vmlinux__)?(?P<name>\w+)"), "fentry/{name}"),
    (re.compile(r"kretfunc__(?:vmlinux__)?(?P<name>\w+)"), "fexit/{name}"),
)


def compile_bcc(name: str, folder: Path, manifest: Manifest, settings: CompilerSettings, libbpf: Libbpf) -> BccObject:
    """CompileError with file and line, or with what is missing here. Programs that the verifier refuses are in the object."""
    own = settings.headers / "bcc"
    try:
        source = compose_source((own / "accounts.h").read_text(), (folder / BCC_SOURCE).read_text(), manifest)
    except (OSError, UnicodeDecodeError) as error:
        raise CompileError(f"{folder / BCC_SOURCE} cannot be read: {error}.", "Check its permissions.") from None
    kernel_header = find_kernel_header(settings, PrivateCache(settings.cache))
    headers = write_headers(kernel_header, KERNEL_TYPES.read_bytes(), settings.headers)
    sections = {program: section_of(hook.at, program) for hook in manifest.hook for program in hook.alternatives}
    request = {"source": source, "flags": [*FLAGS, f"-I{folder}"], "programs": sections}
    answer, descriptors, words = run_compiler(request, headers, settings)
    if "failure" in answer:
        raise failure(folder, answer, words)
    programs = {
        program: BccProgram(
            one["section"],
            descriptors[one["descriptor"]] if one["descriptor"] >= 0 else -1,
            refusal_in_words(program, one["refusal"], words),
            one["tracepoint"],
            tuple((path, offset, counter) for path, offset, counter in one["places"]),
        )
        for program, one in answer["programs"].items()
    }
    maps = {table: descriptors[index] for table, index in answer["maps"].items()}
    return BccObject(name, libbpf, programs, maps, answer["seconds"], answer["peak_kib"])


def compose_source(accounts: str, source: str, manifest: Manifest) -> str:
    """What the compiler gets: our types and books, the probe's own text, and a function that makes its structs part of BTF."""
    structs = [f"struct {record.struct}" for record in manifest.record if record.ring]
    books = ["enum account"] if re.search(r"\benum\s+account\b", source) else []
    members = "".join(f"{kind} field{number}; " for number, kind in enumerate([*structs, *books]))
    layout = (
        f"struct honeyguide_layout {{ {members}}};\nint honeyguide_layout(struct honeyguide_layout *layout) {{ return 0; }}\n"
    )
    return f'{accounts}\n#line 1 "{BCC_SOURCE}"\n{source}\n#line 1 "probe.toml"\n{layout if members else ""}'


def section_of(given: dict[str, str], program: str) -> str:
    """Where a function is attached: as the manifest says, else as its name does; CompileError when neither does."""
    if program in given:
        return given[program].replace(":", "/") if given[program].startswith("tracepoint:") else given[program]
    for pattern, form in NAMED:
        found = pattern.fullmatch(program)
        if found:
            return form.format(**found.groupdict())
    raise CompileError(
        f"Nothing says where {program} is to be attached.",
        f'Add to its [[hook]]: at = {{ {program} = "kprobe/NAME" }}, or call it tracepoint__CATEGORY__NAME.',
    )


def run_compiler(request: dict[str, Any], headers: Path, settings: CompilerSettings) -> tuple[dict[str, Any], list[int], str]:
    """(answer, descriptors, what was said on standard error)."""
    ours, theirs = socket.socketpair()
    environment = {"PATH": settings.path, "LC_ALL": "C", "BCC_KERNEL_SOURCE": str(headers), "HOME": "/"}
    descriptor = theirs.fileno()
    script = f"import os; os.dup2({descriptor}, 3); import runpy; runpy.run_path({bcc_compiler.__file__!r}, run_name='__main__')"
    try:
        with ours, theirs:
            done = subprocess.run(
                [find_python(), "-c", script],
                input=json.dumps(request).encode(), capture_output=True, check=False,
                pass_fds=[descriptor], env=environment, timeout=SECONDS_MAX, cwd="/",
            )  # fmt: skip
            theirs.close()
            ours.settimeout(5.0)
            content, descriptors, _, _ = socket.recv_fds(ours, ANSWER_BYTES_MAX, DESCRIPTORS_MAX)
    except subprocess.TimeoutExpired:
        raise CompileError(f"bcc's compiler did not end within {SECONDS_MAX} s.") from None
    except OSError as error:
        raise CompileError(f"bcc's compiler cannot be run: {error}.", INSTALL) from None
    words = done.stderr.decode(errors="replace")
    if not content:
        last = words.strip().splitlines()[-1:] or ["it said nothing"]
        raise CompileError(f"bcc's compiler ended with status {done.returncode}: {last[0]}")
    return json.loads(content), list(descriptors), words


def find_python(candidates: Sequence[str] = ("/usr/bin/python3",)) -> str:
    """A Python that can see Debian's packages; our own where there is no other."""
    return next((path for path in candidates if os.access(path, os.X_OK)), sys.executable)


def failure(folder: Path, answer: dict[str, Any], words: str) -> CompileError:
    if answer["failure"] == "import":
        return CompileError(f"{folder / BCC_SOURCE} is in bcc's dialect, and bcc is not installed ({answer['words']}).", INSTALL)
    messages = parse_messages(words, str(folder))
    missing = re.search(r"'([^']+\.h)' file not found", words)
    remedy = f"Leave out #include <{missing[1]}>: all types of the kernel are there." if missing else ""
    return CompileError(describe_failure(str(folder / BCC_SOURCE), messages, words or answer["words"]), remedy)


def refusal_in_words(program: str, refusal: str, words: str) -> str:
    """Why the kernel refused that program; '' when it did not."""
    if not refusal:
        return ""
    log = next((part for part in words.split(f"\n{bcc_compiler.MARK}")[1:] if part.startswith(f"{program}\n")), "")
    verdict = explain_log(log)
    if verdict:
        return f"{verdict.cause}. {verdict.remedy}"
    lines = [line for line in log.splitlines()[1:] if line.strip() and not line.startswith("processed ")]
    return "; ".join([refusal, *lines[-2:]])
