"""Agents for tests that look at them from outside, ended whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from started_agent import RunningAgent, agents_started_in


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., RunningAgent]]:
    with agents_started_in(tmp_path) as start:
        yield start
