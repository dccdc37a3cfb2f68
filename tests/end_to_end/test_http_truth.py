"""nginx under load over HTTP/1, HTTP/2 and TLS: requests, statuses, routes, sizes and durations equal its own log."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from ports import free_port, wait_for_port
from request_truth import by_connection, check_durations, counts_of, requests_of
from started_agent import RunningAgent

NGINX = "/usr/sbin/nginx"
MISSING = [tool for tool in (NGINX, "h2load", "curl", "openssl") if shutil.which(tool) is None]
pytestmark = [pytest.mark.end_to_end, pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}")]

CONFIGURATION = """
user root; daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    log_format truth '$remote_port $request_method $uri $status $body_bytes_sent $request_time $ssl_protocol';
    access_log {folder}/access.log truth;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi; keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{plain}; listen 127.0.0.1:{two} http2; listen 127.0.0.1:{tls} ssl http2;
        ssl_certificate {folder}/certificate; ssl_certificate_key {folder}/key;
        location /users/ {{ return 200 "somebody"; }}
        location /broken {{ return 503; }}
        location /slow {{ limit_rate 40k; alias {folder}/slow; }}
        location / {{ return 404; }}
    }}
}}
"""
REQUESTS, CLIENTS = 2000, 4
# h2load asks for these in turn: 29 of 31 are one route.
PATHS = [f"/users/{number}" for number in range(1000, 1029)] + ["/broken", "/nowhere"]
RATE_LIMITED_BYTES = 60_000  # the first 40,000 at once, the rest in half a second


class Nginx(NamedTuple):
    """Ports for HTTP/1, HTTP/2 in plain text, and TLS."""

    folder: Path
    plain: int
    two: int
    tls: int

    def logged(self) -> list[list[str]]:
        return [line.split() for line in (self.folder / "access.log").read_text().splitlines()]


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "slow").write_bytes(b"x" * RATE_LIMITED_BYTES)
    server = Nginx(tmp_path, free_port(), free_port(), free_port())
    (tmp_path / "nginx.conf").write_text(CONFIGURATION.format(**server._asdict()))
    process = subprocess.Popen([NGINX, "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")])
    try:
        for port in (server.plain, server.two, server.tls):
            wait_for_port(port)
        yield server
    finally:
        process.terminate()
        process.wait()


def load(url: str, *options: str) -> None:
    """REQUESTS requests over CLIENTS connections, for each of PATHS in turn."""
    urls = [f"{url}{path}" for path in PATHS]
    done = subprocess.run(
        ["h2load", "-n", str(REQUESTS), "-c", str(CLIENTS), "-t", "1", *options, *urls],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert re.search(rf"{REQUESTS} done, ", done.stdout), done.stdout


def routes_logged(nginx: Nginx) -> Counter[tuple[str, str, str]]:
    """By the routes that a person would give them; what nobody was ever answered well is no route."""
    routes = {"/broken": "/broken", "/nowhere": ":other"}
    return Counter((method, routes.get(path, "/users/:id"), status) for _, method, path, status, *_ in nginx.logged())


@pytest.mark.parametrize(
    ("scheme", "port", "options"),
    [
        ("http", "plain", ("--h1",)),
        ("http", "two", ("-m", "10")),
        ("https", "tls", ("--h1",)),
        ("https", "tls", ("-m", "10")),
    ],
    ids=["HTTP/1", "HTTP/2", "HTTP/1 under TLS", "HTTP/2 under TLS"],
)
def test_every_request_is_counted_with_its_status_and_route(
    start_agent: Callable[..., RunningAgent], nginx: Nginx, scheme: str, port: str, options: tuple[str, ...]
) -> None:
    number = getattr(nginx, port)
    agent = start_agent("--ring-bytes", "8MiB")
    if scheme == "https":
        assert subprocess.run(["curl", "-sko", "/dev/null", f"https://127.0.0.1:{number}/users/1"], check=False).returncode == 0
        agent.wait_until(f"/api/v1/requests?port={number}", lambda found: found["total"] > 0)
    before = len(nginx.logged())
    load(f"{scheme}://127.0.0.1:{number}", *options)
    assert len(nginx.logged()) == before + REQUESTS
    wanted = routes_logged(nginx)
    found = counts_of(agent, number, "server", before + REQUESTS, "operation", "route", "status")
    assert found == dict(wanted)


def test_durations_and_sizes_are_those_of_the_log(start_agent: Callable[..., RunningAgent], nginx: Nginx) -> None:
    """$request_time is in milliseconds; it begins with the first byte and ends when the last was handed over."""
    agent = start_agent()
    slow = [f"http://127.0.0.1:{nginx.plain}/slow"] * 2
    quick = [f"http://127.0.0.1:{nginx.plain}{path}" for path in PATHS]
    sinks = [option for _ in (*slow, *quick) for option in ("-o", "/dev/null")]
    subprocess.run(["curl", "-s", *sinks, *slow, *quick], check=True)
    rows = requests_of(agent, nginx.plain, "server", len(slow) + len(quick))
    ((_, found),) = by_connection(rows).items()
    logged = nginx.logged()
    assert [(row["operation"], row["path"], row["status"]) for row in found] == [tuple(line[1:4]) for line in logged]
    sizes = [(row["response_body_bytes"], int(line[4])) for row, line in zip(found, logged, strict=True)]
    assert all(measured in (None, size) for measured, size in sizes), sizes
    assert sum(measured is not None for measured, _ in sizes) >= len(quick)
    times = [(row["duration_seconds"], float(line[5])) for row, line in zip(found, logged, strict=True)]
    assert min(measured for measured, _ in times[: len(slow)]) > 0.1
    check_durations(times, resolution=0.001)
