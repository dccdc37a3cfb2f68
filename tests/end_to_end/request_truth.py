"""What the agent says of requests, beside what their servers say."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from started_agent import RunningAgent

Rows = list[dict[str, Any]]
PUNCTUAL_SHARE = 0.9  # the others were not on a CPU between the server's clock and the system call
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
    """(as the agent saw it, as the server logged it), both in seconds. resolution: of the log."""
    off = [pair for pair in pairs if differ(*pair, resolution)]
    assert len(off) <= (1 - PUNCTUAL_SHARE) * len(pairs), f"{len(off)} of {len(pairs)}: {off[:10]}"
