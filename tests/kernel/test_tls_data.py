"""Requests under TLS in a real kernel, against what the servers themselves say."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from expectation import count_rows
from patience import PATIENCE_SECONDS
from tls_services import ASYNCIO, BLOCKING, MISSING, NODE, Talker, ask, make_certificate, nginx, talker

from collector.batch import Batch
from collector.clock import SystemClock
from collector.decode import DECODERS
from collector.settings import Settings
from collector.source.kernel_source import KernelSource
from collector.source.settings_for_kernel import source_settings

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}")]

PROBES = Path(__file__).resolve().parents[2] / "probes"
ERRORS = re.compile(r"Socket errors|Non-2xx")


class Watcher:
    """The probe in the kernel and its decoder."""

    def __init__(self) -> None:
        settings = Settings(probes=("tls_data",), ring_bytes=1 << 24)
        self.source = KernelSource(source_settings(settings, [PROBES]), SystemClock())
        self.source.open()
        self._decoder = DECODERS["exchanges"]()
        self._made: list[Batch] = []

    def count(self, **where: Any) -> int:
        """Requests so far with these values."""
        for batch in self.source.read():
            self._made += self._decoder.decode(batch)
        return count_rows(self._made, {"record": "request", "where": where})[0]

    def lost(self) -> int:
        return sum(book.lost for book in self.source.books())

    def libraries(self) -> dict[str, int]:
        return next(probe.libraries() for probe in self.source._loaded)


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    opened = Watcher()
    yield opened
    opened.source.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    for parent in made.parents[:2]:
        parent.chmod(0o755)  # nginx's worker is another user
    make_certificate(made)
    return made


def wait_until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds()


def test_both_ends_say_what_was_asked_and_answered(watcher: Watcher, folder: Path) -> None:
    with nginx(folder) as server:
        assert [ask(server.url(path)) for path in ("/found?secret=1", "/found", "/gone")] == ["200", "200", "404"]
        ends: tuple[dict[str, Any], ...] = (
            {"role": "server", "local_port": server.port, "local_address": "127.0.0.1"},
            {"role": "client", "remote_port": server.port, "remote_address": "127.0.0.1"},
        )
        for end in ends:
            assert wait_until(lambda end=end: watcher.count(**end) == 3)  # type: ignore[misc]
            assert watcher.count(operation="GET", resource="/found", status="200", **end) == 2
            assert watcher.count(operation="GET", resource="/gone", status="404", **end) == 1
    assert watcher.lost() == 0


def test_every_request_under_load_is_counted(watcher: Watcher, folder: Path) -> None:
    with nginx(folder) as server:
        before = server.logged()
        with subprocess.Popen(["wrk", "-t1", "-c8", "-d3", server.url("/found")], stdout=subprocess.PIPE, text=True) as load:
            while load.poll() is None:
                watcher.count()
                time.sleep(0.05)
            assert load.stdout is not None
            assert not ERRORS.search(load.stdout.read())
        there = {"role": "server", "local_port": server.port, "resource": "/found", "status": "200"}
        assert wait_until(lambda: watcher.count(**there) == server.logged() - before)
    assert watcher.lost() == 0


def test_connections_older_than_the_agent_are_joined(folder: Path) -> None:
    with nginx(folder) as server, talker(BLOCKING, str(server.port), "5") as client, talker(ASYNCIO, str(folder), "5") as both:
        watcher = Watcher()
        try:
            client.talk_again()
            both.talk_again()
            there = {"local_port": server.port, "remote_port": int(client.said), "role": "server"}
            here = {"local_port": int(client.said), "remote_port": server.port, "role": "client"}
            for end in ({**there, "status": "200"}, {**here, "status": "200", "process": client.process}):
                assert wait_until(lambda end=end: watcher.count(**end) == 5)  # type: ignore[misc]
            for role in ("client", "server"):
                assert wait_until(lambda role=role: watcher.count(**unknown(both), role=role) == 5)  # type: ignore[misc]
        finally:
            watcher.source.close()


def unknown(talking: Talker) -> dict[str, Any]:
    nowhere = {"local_address": "::", "remote_address": "::", "local_port": 0, "remote_port": 0}
    return {"process": talking.process, "operation": "PUT", "resource": "/memory", "status": "204", **nowhere}


def test_records_moved_through_memory_have_a_process_and_no_address(watcher: Watcher, folder: Path) -> None:
    with talker(ASYNCIO, str(folder), "23") as both:
        for role in ("client", "server"):
            assert wait_until(lambda role=role: watcher.count(**unknown(both), role=role) == 23)  # type: ignore[misc]
        assert watcher.count(process=both.process) == 46


def test_a_library_of_another_mount_namespace_is_hooked_and_let_go(watcher: Watcher, folder: Path) -> None:
    hidden = folder / "hidden"
    hidden.mkdir()
    library = next(path for path in map(Path, watcher.libraries()) if path.name.startswith("libssl.so"))
    script = f'mount -t tmpfs none {hidden} && cp {library} {hidden} && exec env LD_LIBRARY_PATH={hidden} "$@"'
    with nginx(folder, prefix=("unshare", "-m", "sh", "-c", script, "sh")) as server:
        inside = str(hidden / library.name)
        assert not (hidden / library.name).exists()
        assert wait_until(lambda: watcher.count() == 0 and inside in watcher.libraries())
        assert ask(server.url("/found")) == "200"
        assert wait_until(lambda: watcher.count(role="server", local_port=server.port, status="200") == 1)
    assert wait_until(lambda: watcher.count() > 0 and inside not in watcher.libraries())


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_service_of_node_is_never_at_a_wrong_address(watcher: Watcher, folder: Path) -> None:
    """Its plain-text connection is busy while it decrypts. Where its TLS library is built in, nothing is seen of it."""
    with nginx(folder) as backend, talker(NODE, str(folder), str(backend.plain), interpreter=("node", "-e")) as node:
        port = int(node.said)
        assert [ask(f"https://127.0.0.1:{port}/{number}") for number in range(7)] == ["200"] * 7
        assert wait_until(lambda: watcher.count(role="client", remote_port=port, status="200") == 7)
        nowhere = {"local_address": "::", "remote_address": "::", "local_port": 0, "remote_port": 0}
        seen = watcher.count(process=node.process)
        assert seen in {0, 7}
        assert watcher.count(process=node.process, **nowhere) == seen


def test_a_process_that_ends_leaves_no_link_to_its_library(watcher: Watcher, folder: Path) -> None:
    library = next(path for path in map(Path, watcher.libraries()) if path.name.startswith("libssl.so"))
    own = folder / "own"
    own.mkdir()
    shutil.copy(library, own)
    with nginx(folder, environment={"LD_LIBRARY_PATH": str(own)}):
        assert wait_until(lambda: watcher.count() == 0 and str(own / library.name) in watcher.libraries())
    assert wait_until(lambda: watcher.count() == 0 and str(own / library.name) not in watcher.libraries())
