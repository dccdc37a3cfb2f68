"""The probes that read requests come and go while servers are under load: nobody is hurt, and what is older is joined."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from decoded_requests import Requests
from patience import PATIENCE_SECONDS
from tls_services import BLOCKING, MISSING, Nginx, make_certificate, nginx, talker

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}")]

PROBES = Path(__file__).resolve().parents[2] / "probes"
CYCLES = 20
ERRORS = re.compile(r"Socket errors|Non-2xx")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("server")
    for parent in folder.parents[:2]:
        parent.chmod(0o755)  # nginx's worker is another user
    make_certificate(folder)
    with nginx(folder) as running:
        yield running


def urls(server: Nginx) -> tuple[str, str]:
    return f"http://127.0.0.1:{server.plain}/found", server.url("/found")


def test_twenty_times_under_load_without_an_error(server: Nginx) -> None:
    pause = server.folder / "pause.lua"
    pause.write_text("function delay() return 2 end")  # milliseconds between requests: the probes need a share of the machine
    wrk = ["wrk", "-t1", "-c8", "-d300", "-s", str(pause)]
    with ExitStack() as stack:
        loads = [stack.enter_context(subprocess.Popen([*wrk, url], stdout=subprocess.PIPE, text=True)) for url in urls(server)]
        try:
            for _ in range(CYCLES):
                requests = Requests("socket_data", "tls_data")
                assert {status.probe for status in requests.source.statuses() if status.hooks} == {"socket_data", "tls_data"}
                deadline = time.monotonic() + PATIENCE_SECONDS
                while time.monotonic() < deadline and not all(
                    requests.count(role="server", local_port=port) for port in (server.plain, server.port)
                ):
                    time.sleep(0.01)
                for port in (server.plain, server.port):
                    assert requests.count(role="server", local_port=port, status="200") > 0
                requests.source.close()
            assert [load.poll() for load in loads] == [None, None]
        finally:
            for load in loads:
                load.send_signal(2)  # wrk reports when interrupted
        reports = [load.stdout.read() for load in loads if load.stdout]
    assert all("requests in" in report for report in reports), reports
    assert not [report for report in reports if ERRORS.search(report)]
    assert "alert" not in (server.folder / "errors").read_text()


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_requests_on_older_connections_are_counted_soon(server: Nginx, kind: str) -> None:
    port = server.plain if kind == "plain" else server.port
    with talker(BLOCKING, str(port), "5", kind) as client:
        requests = Requests("socket_data", "tls_data")
        try:
            client.talk_again()
            there = {"role": "server", "local_port": port, "remote_port": int(client.said)}
            here = {"role": "client", "remote_port": port, "local_port": int(client.said), "process": client.process}
            deadline = time.monotonic() + PATIENCE_SECONDS
            wanted = {"operation": "GET", "resource": "/found", "status": "200"}
            while time.monotonic() < deadline and any(requests.count(**end, **wanted) != 5 for end in (there, here)):
                time.sleep(0.05)
            assert [requests.count(**end, **wanted) for end in (there, here)] == [5, 5]
        finally:
            requests.source.close()
