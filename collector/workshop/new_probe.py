"""Writes a new probe: a folder with a manifest and a program that works at once, to be changed from there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from collector.errors import HoneyguideError

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
FORMS = (
    "tracepoint:CATEGORY:NAME; kprobe, kretprobe, fentry or fexit with :FUNCTION of the kernel; uprobe or uretprobe with"
    " :FILE:FUNCTION; usdt:FILE:PROVIDER:NAME"
)
WITHOUT_TYPES = "syscalls"  # the category whose tracepoints are made from a table: they have no BTF form
MANIFEST = """question = "How often, and by whom, is {what} reached?"
cost = "per event"
oldest_kernel = "5.10"

[[hook]]
purpose = "{purpose}"
account = "events"
alternatives = ["{function}"]
{at}
[[record]]
struct = "{name}_event"
ring = "events"
account = "events"

[[metric]]
name = "{name}.events"
kind = "counter"
unit = "{{event}}"
help = "How often {what} was reached, by workload."
record = "{name}_event"
identity = ["local"]
attributes = {{ "process.command" = "command" }}
"""
CORE = """/* {what}: one record for each time. */
#include "probe.bpf.h"
{include}
enum account {{ ACCOUNT_EVENTS, ACCOUNT_COUNT }};

struct {name}_event {{
	boot_ns observed_at;
	cgroup_id cgroup;
	process_id process;
	command_name command;
	__u32 pad;
}};

ACCOUNTS(ACCOUNT_COUNT);
RECORD_RING(events, struct {name}_event);

SEC("{section}")
int {function}(void *ctx)
{{
	struct process_identity who = {{}};
	struct {name}_event *record;

	COUNT(ACCOUNT_EVENTS, seen);
	if (!identify_process((void *)bpf_get_current_task(), &who)) {{
		COUNT(ACCOUNT_EVENTS, filtered); /* the kernel itself */
		return 0;
	}}
	record = RESERVE(events, ACCOUNT_EVENTS);
	if (!record)
		return 0;
	record->observed_at = bpf_ktime_get_boot_ns();
	record->cgroup = bpf_get_current_cgroup_id();
	record->process = who.process;
	__builtin_memcpy(record->command, who.command, sizeof(record->command));
	record->pad = 0;
	SUBMIT(events, record, ACCOUNT_EVENTS, ctx);
	return 0;
}}
"""
BCC = """/* {what}: one record for each time. */
enum account {{ ACCOUNT_EVENTS, ACCOUNT_COUNT }};

struct {name}_event {{
	boot_ns observed_at;
	cgroup_id cgroup;
	process_id process;
	command_name command;
	u32 pad;
}};

BPF_PERF_OUTPUT(events);

int {function}(void *ctx)
{{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct {name}_event row = {{}};

	COUNT(ACCOUNT_EVENTS, seen);
	row.observed_at = bpf_ktime_get_boot_ns();
	row.cgroup = bpf_get_current_cgroup_id();
	row.process = task->tgid;
	bpf_get_current_comm(row.command, sizeof(row.command));
	count_submit(ACCOUNT_EVENTS, events.perf_submit(ctx, &row, sizeof(row)));
	return 0;
}}
"""


@dataclass(frozen=True, slots=True)
class HookChoice:
    """section: as ELF sections and `at` in the manifest name it. what: for people."""

    section: str
    what: str
    purpose: str


def parse_hook(text: str, dialect: str) -> HookChoice:
    """HoneyguideError when it is not one of the known forms."""
    kind, _, target = text.partition(":")
    parts = target.split(":")
    if kind == "tracepoint" and len(parts) == 2 and all(re.fullmatch(r"\w+", part) for part in parts):
        typed = dialect == "core" and parts[0] != WITHOUT_TYPES
        section = f"tp_btf/{parts[1]}" if typed else f"tracepoint/{parts[0]}/{parts[1]}"
        return HookChoice(section, f"tracepoint {parts[0]}:{parts[1]}", parts[1].replace("_", " "))
    if kind in ("kprobe", "kretprobe", "fentry", "fexit") and re.fullmatch(r"[\w.]+", target):
        return HookChoice(f"{kind}/{target}", f"kernel function {target}", target)
    if kind in ("uprobe", "uretprobe") and len(parts) == 2 and all(parts):
        return HookChoice(f"{kind}/{target}", f"function {parts[1]} of {parts[0]}", parts[1])
    if kind == "usdt" and len(parts) == 3 and all(parts):
        return HookChoice(f"usdt/{target}", f"USDT probe {parts[1]}:{parts[2]} of {parts[0]}", f"{parts[1]} {parts[2]}")
    raise HoneyguideError(f"{text!r} is no hook.", f"It is one of {FORMS}.")


def write_probe(place: Path, name: str, hook: str, dialect: str) -> Path:
    """The new folder; HoneyguideError when the name or hook cannot be, or something is in the way."""
    if not NAME.fullmatch(name):
        raise HoneyguideError(f"{name!r} is no probe's name.", "Small letters, digits and _, up to 40, a letter first.")
    chosen = parse_hook(hook, dialect)
    folder = place / name
    words = {
        "name": name, "function": f"on_{name}", "section": chosen.section, "what": chosen.what, "purpose": chosen.purpose,
        "at": f'at = {{ on_{name} = "{chosen.section}" }}\n' if dialect == "bcc" else "",
        "include": "#include <bpf/usdt.bpf.h>\n" if chosen.section.startswith("usdt/") else "",
    }  # fmt: skip
    source, text = ("probe.bcc.c", BCC) if dialect == "bcc" else ("probe.bpf.c", CORE)
    try:
        folder.mkdir(mode=0o755, parents=True)
        (folder / "probe.toml").write_text(MANIFEST.format(**words))
        (folder / source).write_text(text.format(**words))
    except FileExistsError:
        raise HoneyguideError(f"{folder} is there already.", "Choose another name, or remove it.") from None
    except OSError as error:
        raise HoneyguideError(f"{folder} cannot be written: {error.strerror}.") from None
    return folder
