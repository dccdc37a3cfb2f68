"""What `honeyguide run` prints when it has started: each probe and its hook, or why not; then where to look."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from collector.probe_status import ProbeState, ProbeStatus

WIDTH = 100


def describe_start(statuses: Sequence[ProbeStatus], address: str, seconds: float | None, cluster: str = "") -> str:
    """seconds: from start to first data; None for a replay. cluster: who is asked about pods; '' for nobody."""
    name_width = max((len(status.probe) for status in statuses), default=0)
    lines = [line for status in statuses for line in describe_probe(status, name_width)]
    command = own_command()
    took = "" if seconds is None else f" First data after {seconds:.1f} s."
    lines += ["", f"Kubernetes: {cluster}"] if cluster else []
    lines += [
        "",
        f"Serving on {address}.{took}",
        f"  {command} flows --follow      connections as they come and go",
        f"  {command} top                 what services are asked: rate, errors, latency by route",
        f"  {command} workloads           who is who on this node",
        f"  {command} probes              what is measured, and the books",
        f"  {address}/   the service map, in a browser",
        f"  {address}/metrics   Prometheus",
        f"  {address}/api/v1/flows   REST",
        "Stop with Ctrl-C.",
    ]
    return "\n".join(lines)


def own_command() -> str:
    """How this program is called from here: by its name when the shell finds it."""
    if shutil.which("honeyguide"):
        return "honeyguide"
    beside = Path(sys.executable).with_name("honeyguide")
    return os.path.relpath(beside) if beside.exists() else f"{sys.executable} -m collector"


def describe_probe(status: ProbeStatus, name_width: int) -> list[str]:
    """One line, or for a probe that cannot run the cause and the remedy below it."""
    head = f"  {status.probe:<{name_width}}  {status.state.value:<8}  "
    if status.state is ProbeState.REFUSED:
        indent = " " * len(head)
        cause = textwrap.fill(status.cause, WIDTH, initial_indent=head, subsequent_indent=indent)
        return [cause, textwrap.fill(status.remedy, WIDTH, initial_indent=indent, subsequent_indent=indent)]
    return [head + fit_sections(list(dict.fromkeys(hook.section for hook in status.hooks)), WIDTH - len(head))]


def fit_sections(sections: Sequence[str], width: int) -> str:
    """As many as fit on the line, then how many more there are."""
    for shown in range(len(sections), 0, -1):
        more = f" and {len(sections) - shown} more" if shown < len(sections) else ""
        text = ", ".join(sections[:shown]) + more
        if len(text) <= width:
            return text
    return ", ".join(sections)
