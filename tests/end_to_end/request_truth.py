"""What the agent says of requests, beside what their servers say."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from started_agent import RunningAgent

Rows = list[dict[str, Any]]
WRITTEN_SECONDS = 0.000002  # two moments, each cut to a microsecond
QUIET_SECONDS = 1.6  # answers that nothing follows are reported within a second


def settle(agent: RunningAgent, query: str, total: Callable[[Any], int], count: int) -> Any:
    """The answer once it tells of `count` requests or more, and of no further ones for a while."""
    answer = agent.wait_until(query, lambda found: total(found) >= count)
    seen, since = total(answer), time.monotonic()
    while time.monotonic() < since + QUIET_SECONDS:
        time.sleep(0.2)
        answer = agent.ask(query)
        if total(answer) != seen:
            seen, since = total(answer), time.monotonic()
    assert answer["complete"]["lost"] == 0, agent.ask("/api/v1/probes")
    return answer


def requests_of(agent: RunningAgent, port: int, role: str, count: int) -> Rows:
    """All requests at that port as that end saw them, in order, once there are so many; and nothing was lost."""
    return requests_where(agent, f"port={port}&role={role}", count)


def requests_where(agent: RunningAgent, choice: str, count: int) -> Rows:
    query = f"/api/v1/requests?{choice}&sort=time&order=asc&limit=10000"
    answer = settle(agent, query, lambda found: int(found["total"]), count)
    rows: Rows = answer["requests"]
    assert answer["total"] == len(rows)
    return rows


def counts_of(agent: RunningAgent, port: int, role: str, count: int, *keys: str) -> dict[tuple[str, ...], int]:
    """Requests by these keys, however many, once there are `count`; and nothing was lost."""
    query = f"/api/v1/requests?port={port}&role={role}&group_by={','.join(keys)}&limit=1000"
    answer = settle(agent, query, lambda found: sum(group["requests"] for group in found["groups"]), count)
    return {tuple(group[key] for key in keys): group["requests"] for group in answer["groups"]}


def by_connection(rows: Iterable[dict[str, Any]], key: str = "peer_port") -> dict[int, Rows]:
    """Requests of each client port, in order."""
    found: dict[int, Rows] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return found


def differ(measured: float, logged: float, resolution: float) -> bool:
    """More than 10 % or 200 us apart, beyond what the server's log can express."""
    return abs(measured - logged) > max(0.1 * logged, 0.0002) + resolution


def check_durations(pairs: Sequence[tuple[float, float]], resolution: float) -> None:
    """(as the agent saw it, as the server logged it), both in seconds, the same for most. resolution: of the log.

    Not for all: a server that loses its CPU between its clock and its system call is as late as the machine is busy.
    """
    off = [pair for pair in pairs if differ(*pair, resolution)]
    assert 2 * len(off) < len(pairs), f"{len(off)} of {len(pairs)}: {off[:10]}"


def check_none_is_shorter(pairs: Sequence[tuple[float, float]], resolution: float) -> None:
    """For servers whose clock begins after their reading and ends before their writing, however busy the machine is."""
    short = [(measured, logged) for measured, logged in pairs if measured + resolution < logged]
    assert not short, f"{len(short)} of {len(pairs)}: {short[:10]}"


def check_one_after_another(rows: Rows) -> None:
    """Of one connection whose client waits for each answer: no request begins before the one before it has ended."""
    began = [datetime.fromisoformat(row["time"]).timestamp() for row in rows]
    ended = [start + row["duration_seconds"] for start, row in zip(began, rows, strict=True)]
    early = [(end, start) for end, start in zip(ended, began[1:], strict=False) if start + WRITTEN_SECONDS < end]
    assert not early, f"{len(early)} of {len(rows)}: {early[:10]}"
