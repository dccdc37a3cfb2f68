"""One real API server of each kind for all tests here, with the rights of our manifests; skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster_writer import ClusterWriter, writing_to
from real_api_server import KUBE_APISERVER, LIBRARY_SERVER, Program, RealApiServer, real_api_server
from started_agent import RunningAgent, agents_started_in

HERE = Path(__file__).parent
SERVERS = {"kube-apiserver-1.20": KUBE_APISERVER, "library-1.36": LIBRARY_SERVER}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test with every server, but for those that are marked for one (only_on)."""
    if "server" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("only_on")
        chosen = [name for name in SERVERS if mark is None or name.startswith(mark.args[0])]
        metafunc.parametrize("server", chosen, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            mark = item.get_closest_marker("only_on")
            reason = program_of(item, mark.args[0] if mark else "").why_not()
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def program_of(item: pytest.Item, only: str) -> Program:
    """That of its parameter; of a test that starts a server by itself the one it is marked for."""
    chosen = item.callspec.params.get("server", "") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ""
    return next(program for name, program in SERVERS.items() if name.startswith(chosen or only))


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealApiServer]:
    with real_api_server(tmp_path_factory.mktemp("cluster"), SERVERS[request.param]) as running:
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
