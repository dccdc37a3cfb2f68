"""Engines of other teams take what a real agent sends; skipped where `./test real_engines` has not brought them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from counted_server import CountedServer, counted_server
from engine import why_not
from started_agent import RunningAgent, agents_started_in

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    for item in items:
        if reason and item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., RunningAgent]]:
    with agents_started_in(tmp_path) as start:
        yield start


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CountedServer]:
    with counted_server(tmp_path) as running:
        yield running
