"""Agents for tests that look at them from outside, ended whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from started_agent import RunningAgent


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., RunningAgent]]:
    """Starts agents with the options given; ends them all."""
    started: list[RunningAgent] = []

    def start(*options: str) -> RunningAgent:
        folder = tmp_path / f"agent{len(started)}"
        folder.mkdir()
        started.append(RunningAgent(folder, *options))
        return started[-1]

    yield start
    for agent in started:
        if agent.process.poll() is None:
            agent.process.kill()
            agent.process.wait()
