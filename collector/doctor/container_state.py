"""Whether containers can be named from their runtimes' files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from collector.doctor.finding import Finding, no, note, yes
from collector.runtimes.places import find_states


def inspect_container_state(root: Path) -> Iterator[Finding]:
    """One finding for each runtime that keeps state below the host's root."""
    found = {runtime: places for runtime, places in find_states(root).items() if places}
    for runtime, places in found.items():
        closed = [str(folder) for folder, readable in places if not readable]
        if closed:
            yield no(
                runtime,
                f"{', '.join(closed)} may not be read: its containers are shown by their short ids.",
                "Run as root, or grant CAP_DAC_READ_SEARCH.",
            )
        else:
            yield yes(runtime, ", ".join(str(folder) for folder, _ in places))
    if not found:
        yield note(
            "state", f"No container runtime keeps state below {root}. In a container: hostPID and CAP_SYS_PTRACE, or mount it."
        )
