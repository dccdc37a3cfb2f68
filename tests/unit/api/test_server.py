"""The server among clients of every kind: who may ask, who is cut off, and that it ends when told."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest
from patience import PATIENCE_SECONDS
from store.flow_batches import OFFSET_NS, ended, events, many_ended, snapshot, tcp

from api.conftest import filled_agent
from api.running_agent import TOKEN, RecordedAgent
from collector.api.security import Security, choose_security
from collector.api.server import ApiServer
from collector.errors import HoneyguideError, SettingsError
from collector.store.flows import FlowStore
from collector.store.follow import Followers

STREAM = "/api/v1/flows/stream"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def follower_agent() -> RecordedAgent:
    return RecordedAgent(flows=FlowStore(followers=Followers(subscribers_max=3, queue_rows=2000)))


@pytest.fixture
def stream_server(follower_agent: RecordedAgent) -> Iterator[ApiServer]:
    server = ApiServer(follower_agent, "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()


def connect(server: ApiServer) -> socket.socket:
    host, port = server.url.removeprefix("http://").rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return connection


def ask(server: ApiServer, request: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with closing(connect(server)) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)


def next_events(lines: Iterator[str], count: int) -> list[tuple[str, dict[str, object]]]:
    """The next `count` events of a stream."""
    found: list[tuple[str, dict[str, object]]] = []
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            found.append((name, json.loads(line.removeprefix("data: "))))
            if len(found) == count:
                break
    return found


def test_a_stream_gives_new_and_ended_flows_that_fit(follower_agent: RecordedAgent, stream_server: ApiServer) -> None:
    store = follower_agent.flows
    with (
        httpx.Client(base_url=stream_server.url, timeout=PATIENCE_SECONDS, trust_env=False) as client,
        client.stream("GET", STREAM, params={"peer_port": 80}) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        wait_until(lambda: len(store.followers) == 1)
        with follower_agent.lock:
            store.add(snapshot(tcp(1, local=1), tcp(2, remote_port=81)), OFFSET_NS, "tcp")
            store.add(events(ended(1, local=1), ended(2, remote_port=81)), OFFSET_NS, "tcp")
        found = next_events(answer.iter_lines(), 2)
    assert [(name, flow["flow"], flow["state"]) for name, flow in found] == [("flow", 1, "open"), ("flow", 1, "closed")]
    assert found[0][1]["local_workload"] == "nginx.service"
    wait_until(lambda: len(store.followers) == 0)


def test_a_reader_that_fell_behind_is_told_how_many_rows_it_lost(follower_agent: RecordedAgent, stream_server: ApiServer) -> None:
    store = follower_agent.flows
    with (
        httpx.Client(base_url=stream_server.url, timeout=PATIENCE_SECONDS, trust_env=False) as client,
        client.stream("GET", STREAM) as answer,
    ):
        wait_until(lambda: len(store.followers) == 1)
        with follower_agent.lock:
            store.add(many_ended(5000), OFFSET_NS, "tcp")
        name, content = next_events(answer.iter_lines(), 1)[0]
    assert (name, content) == ("lost", {"rows": 3000})


def test_readers_that_never_read_neither_block_the_pipeline_nor_the_end(
    follower_agent: RecordedAgent, stream_server: ApiServer
) -> None:
    store = follower_agent.flows
    readers = [connect(stream_server) for _ in range(3)]
    for reader in readers:
        reader.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    wait_until(lambda: len(store.followers) == 3)
    fed = 0
    while store.followers.lost < 20_000:  # until the sockets' and the queues' room is used up for all of them
        with follower_agent.lock:
            store.add(many_ended(1000, first_flow=fed), OFFSET_NS, "tcp")
        fed += 1000
        time.sleep(0.02)
        assert fed < 2_000_000
    assert httpx.get(f"{stream_server.url}/healthz", timeout=PATIENCE_SECONDS, trust_env=False).text == "ok\n"
    refused = httpx.get(f"{stream_server.url}{STREAM}", timeout=PATIENCE_SECONDS, trust_env=False)
    assert refused.status_code == 429
    thread = next(thread for thread in threading.enumerate() if thread.name == "api")
    stream_server.stop()
    wait_until(lambda: not thread.is_alive())
    wait_until(lambda: len(store.followers) == 0)
    for reader in readers:
        reader.close()


def test_a_stream_says_goodbye_when_the_server_ends(follower_agent: RecordedAgent, stream_server: ApiServer) -> None:
    with (
        httpx.Client(base_url=stream_server.url, timeout=PATIENCE_SECONDS, trust_env=False) as client,
        client.stream("GET", STREAM) as answer,
    ):
        wait_until(lambda: len(follower_agent.flows.followers) == 1)
        threading.Thread(target=stream_server.stop).start()
        assert next_events(answer.iter_lines(), 1) == [("end", {"reason": "the agent stops"})]


def test_a_stream_refuses_what_cannot_be_asked(stream_server: ApiServer) -> None:
    for query in ("role=proxy", "since=5m", "side=peer&process=x"):
        answer = httpx.get(f"{stream_server.url}{STREAM}?{query}", timeout=PATIENCE_SECONDS, trust_env=False)
        assert answer.status_code == 400


def test_a_taken_port_is_explained(server: ApiServer) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(HoneyguideError, match=f"Cannot listen on 127.0.0.1 port {port}: address already in use.") as caught:
        ApiServer(RecordedAgent(), "127.0.0.1", port).start()
    assert "ss -ltnp" in caught.value.remedy


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_cannot_be_had_is_explained(host: str) -> None:
    with pytest.raises(HoneyguideError, match="Cannot listen on"):
        ApiServer(RecordedAgent(), host, 0, Security(TOKEN)).start()


def test_ipv6_loopback_works(agent: RecordedAgent) -> None:
    server = ApiServer(agent, "::1", 0)
    server.start()
    try:
        assert server.url.startswith("http://[::1]:")
        assert httpx.get(f"{server.url}/api/v1/health", timeout=PATIENCE_SECONDS, trust_env=False).status_code == 200
    finally:
        server.stop()


def test_a_server_can_be_stopped_twice_and_without_a_start(agent: RecordedAgent) -> None:
    server = ApiServer(agent, "127.0.0.1", 0)
    server.stop()
    server.start()
    server.stop()
    server.stop()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "localhost.evil:80", "[::2]"])
def test_names_that_are_not_this_machine_are_refused_without_a_token(client: httpx.Client, host: str) -> None:
    answer = client.get("/api/v1/health", headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["parameter"] == "Host"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9464", "127.8.8.8", "[::1]:9464", "[::1]"])
def test_every_name_of_loopback_is_fine(client: httpx.Client, host: str) -> None:
    assert client.get("/api/v1/health", headers={"host": host}).status_code == 200


def test_pages_of_other_sites_may_link_here_but_not_fetch(client: httpx.Client) -> None:
    fetch = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
    follow = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/api/v1/flows", headers=fetch).status_code == 403
    assert client.get("/", headers=follow).status_code == 200
    assert "access-control-allow-origin" not in client.get("/", headers={"origin": "https://evil.example"}).headers


def test_every_answer_has_security_headers_refusals_too(client: httpx.Client) -> None:
    for path in ("/", "/healthz", "/nope", "/api/v1/flows?limit=0", "/openapi.json"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


@pytest.fixture(scope="module")
def guarded() -> Iterator[ApiServer]:
    server = ApiServer(filled_agent(), "127.0.0.1", 0, Security(TOKEN, loopback_names_only=False))
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \xe9"]
)
def test_without_the_token_nothing_but_what_kubelets_ask_answers(guarded: ApiServer, header: str) -> None:
    headers = {"authorization": header.encode("latin-1")} if header else {}
    with httpx.Client(base_url=guarded.url, timeout=PATIENCE_SECONDS, trust_env=False, headers=headers) as client:
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/api/v1/flows", STREAM, "/nope"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code in (200, 503)


def test_with_the_token_everything_answers_under_any_name(guarded: ApiServer) -> None:
    headers = {"authorization": f"bearer {TOKEN}", "host": "node7.example.org"}
    with httpx.Client(base_url=guarded.url, timeout=PATIENCE_SECONDS, trust_env=False, headers=headers) as client:
        for path in ("/", "/docs", "/metrics", "/api/v1/flows"):
            assert client.get(path).status_code == 200


def test_an_open_address_needs_a_token_or_a_clear_wish() -> None:
    with pytest.raises(SettingsError, match="no token"):
        choose_security("0.0.0.0", "", allow_unauthenticated=False)
    assert choose_security("0.0.0.0", "", allow_unauthenticated=True) == Security("", loopback_names_only=False)
    assert choose_security("::", TOKEN, allow_unauthenticated=False) == Security(TOKEN, loopback_names_only=False)
    for host in ("127.0.0.1", "::1", "localhost"):
        assert choose_security(host, "", allow_unauthenticated=False) == Security("", loopback_names_only=True)
    with pytest.raises(SettingsError):
        ApiServer(RecordedAgent(), "0.0.0.0", 0)


NONSENSE = [
    b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",  # no Host
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"POST /api/v1/flows HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n",
    b"GET /%ff%00%2e%2e/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_gets_a_refusal_or_nothing_and_hurts_nobody(server: ApiServer, request_bytes: bytes) -> None:
    with closing(connect(server)) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 3"))
    assert httpx.get(f"{server.url}/healthz", timeout=PATIENCE_SECONDS, trust_env=False).status_code == 200


def test_a_long_url_is_refused(client: httpx.Client) -> None:
    answer = client.get("/api/v1/flows?workload=" + "a" * 9000)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (414, "The URL is longer than 8192 bytes.")


def test_a_client_that_says_nothing_is_cut_off(agent: RecordedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.api.server.HEAD_SECONDS_MAX", 0.2)
    server = ApiServer(agent, "127.0.0.1", 0)
    server.start()
    try:
        for beginning in (b"", b"GET / HTTP/1.1\r\nHost: localho"):
            with closing(connect(server)) as connection:
                connection.sendall(beginning)
                assert connection.recv(1) == b""
    finally:
        server.stop()


def test_more_clients_than_allowed_are_told_so(agent: RecordedAgent) -> None:
    server = ApiServer(agent, "127.0.0.1", 0)
    server.start()
    idle = [connect(server) for _ in range(64)]
    try:
        status = b""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not status.startswith(b"HTTP/1.1 503") and time.monotonic() < deadline:
            status = ask(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert status.startswith(b"HTTP/1.1 503")
    finally:
        for connection in idle:
            connection.close()
        server.stop()
