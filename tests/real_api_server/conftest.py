"""One real API server for all tests here, with the rights of our manifests; skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster_writer import ClusterWriter, writing_to
from real_api_server import RealApiServer, real_api_server, why_not
from started_agent import RunningAgent, agents_started_in

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    for item in items:
        if reason and item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealApiServer]:
    with real_api_server(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def writer(server: RealApiServer) -> Iterator[ClusterWriter]:
    with writing_to(server) as writing:
        writing.give_rights()
        writing.add_account("honeyguide")
        for number in (1, 2):
            writing.add_node(f"node-{number}", f"192.0.2.{number}")
        yield writing


@pytest.fixture
def namespace(writer: ClusterWriter) -> str:
    """A new one for each test."""
    return writer.add_namespace(f"test-{next(writer.serial)}")


@pytest.fixture
def account(writer: ClusterWriter, tmp_path: Path) -> Path:
    """As it is mounted into our pods, with a token that the server made."""
    return writer.mounted_account(tmp_path / "serviceaccount")


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., RunningAgent]]:
    with agents_started_in(tmp_path) as start:
        yield start
