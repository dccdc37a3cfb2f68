"""Services as people write them: grpcio, Python's asyncio under TLS, Node. What they log is what the agent tells."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ports import free_port, wait_for_port
from request_truth import Rows, check_durations, requests_of, requests_where
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

ROUNDS = 40
RING = ("--ring-bytes", "8MiB")

GRPC_SERVER = """
import sys, time, grpc
from concurrent.futures import ThreadPoolExecutor
log = open(sys.argv[2], "a", buffering=1)
def serve(method):
    def answer(request, context):
        began, status = time.monotonic(), "OK"
        try:
            if method == "Slow": time.sleep(0.05)
            if method == "Fail":
                status = request.decode()
                context.abort(getattr(grpc.StatusCode, status), "no")
            return request
        finally:
            log.write(f"{method} {status} {time.monotonic() - began}\\n")
    return grpc.unary_unary_rpc_method_handler(answer)
server = grpc.server(ThreadPoolExecutor(4))
handlers = {name: serve(name) for name in ("Ask", "Slow", "Fail")}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Orders", handlers),))
server.add_insecure_port("127.0.0.1:" + sys.argv[1])
server.start()
server.wait_for_termination()
"""
GRPC_CLIENT = """
import sys, grpc
with grpc.insecure_channel("127.0.0.1:" + sys.argv[1]) as channel:
    call = {name: channel.unary_unary("/shop.v1.Orders/" + name) for name in ("Ask", "Slow", "Fail")}
    for number in range(int(sys.argv[2])):
        call["Ask"](b"something")
        if number % 4 == 0: call["Slow"](b"")
        try:
            call["Fail"]((b"NOT_FOUND", b"INTERNAL", b"UNAVAILABLE")[number % 3])
        except grpc.RpcError:
            pass
"""
# The TLS records go through memory: no system call belongs to a connection that the library knows.
ASYNCIO_SERVER = """
import asyncio, ssl, sys, time
port, log, folder = int(sys.argv[1]), open(sys.argv[2], "a", buffering=1), sys.argv[3]
async def answer(reader, writer):
    try:
        while True:
            method, target, _ = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().split(" ", 2)
            path = target.partition("?")[0]
            began = time.monotonic()
            if path == "/slow": await asyncio.sleep(0.05)
            status = "404 Not Found" if path == "/missing" else "200 OK"
            writer.write(f"HTTP/1.1 {status}\\r\\nContent-Length: 2\\r\\n\\r\\nok".encode())
            await writer.drain()
            log.write(f"{method} {path} {status[:3]} {time.monotonic() - began}\\n")
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/certificate", folder + "/key")
    await (await asyncio.start_server(answer, "127.0.0.1", port, ssl=context)).serve_forever()
asyncio.run(main())
"""
NODE_SERVER = """
const fs = require("fs"), [port, log] = process.argv.slice(1);
require("http").createServer((request, response) => {
  const began = process.hrtime.bigint(), path = request.url.split("?")[0];
  const status = path.startsWith("/users/") || path === "/slow" ? 200 : 404;
  response.on("finish", () => {
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    fs.appendFileSync(log, `${request.method} ${path} ${status} ${seconds}\\n`);
  });
  setTimeout(() => { response.writeHead(status); response.end("ok"); }, path === "/slow" ? 50 : 0);
}).listen(Number(port), "127.0.0.1");
"""
PATHS = ("/users/1001", "/slow", "/missing", "/users/1002?token=1")


@contextmanager
def running(command: list[Any], port: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port)
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def logged(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()]


def curl(scheme: str, port: int) -> None:
    """PATHS, ROUNDS times over one connection."""
    urls = [f"{scheme}://127.0.0.1:{port}{path}" for path in PATHS] * ROUNDS
    sinks = [option for _ in urls for option in ("-o", "/dev/null")]
    subprocess.run(["curl", "-sk", "--http1.1", *sinks, *urls], check=True, timeout=60)


def check_slow_ones(rows: Rows, lines: list[list[str]], slow: str) -> None:
    """A quick request is over before the program's own clock begins; where it waits, both must have seen that."""
    seen = sorted(row["duration_seconds"] for row in rows if (row["path"] or row["route"]).endswith(slow))
    said = sorted(float(line[-1]) for line in lines if line[-3].endswith(slow) or line[0] == slow)
    assert len(seen) == len(said) > 0
    check_durations(list(zip(seen, said, strict=True)), resolution=0.001)


def check_http(rows: Rows, log: Path) -> None:
    lines = logged(log)
    assert len(lines) == len(PATHS) * ROUNDS
    assert Counter((row["operation"], row["path"], row["status"]) for row in rows) == Counter(tuple(line[:3]) for line in lines)
    assert {row["route"] for row in rows if row["status"] == "200"} == {"/users/:id", "/slow"}
    check_slow_ones(rows, lines, "/slow")


@pytest.mark.skipif(importlib.util.find_spec("grpc") is None, reason="not installed: grpcio")
def test_grpcio_calls_are_those_of_its_log(start_agent: Callable[..., RunningAgent], tmp_path: Path) -> None:
    agent, port, log = start_agent(*RING), free_port(), tmp_path / "log"
    with running([sys.executable, "-c", GRPC_SERVER, port, log], port):
        subprocess.run([sys.executable, "-c", GRPC_CLIENT, str(port), str(ROUNDS)], check=True, timeout=60)
        lines = logged(log)
        assert len(lines) == 2 * ROUNDS + ROUNDS // 4
        wanted = Counter((f"shop.v1.Orders/{method}", status) for method, status, _ in lines)
        served, asked = (requests_of(agent, port, role, len(lines)) for role in ("server", "client"))
        assert Counter((row["route"], row["status"]) for row in served) == wanted
        assert {row["protocol"] for row in (*served, *asked)} == {"grpc"}
        check_slow_ones(served, lines, "Slow")
    # grpcio writes the head of a first call in some twenty pieces, of which the kernel half shows sixteen: then the method, and
    # what the table of headers has learnt with it, is unknown at the client. Unknown, never another one.
    assert {(row["route"], row["status"]) for row in asked if row["route"]} <= set(wanted)
    assert Counter(row["status"] for row in asked) == Counter(status for _, status, _ in lines)
    errors = Counter(row["error"] for row in asked)
    failed = Counter(status for _, status, _ in lines if status != "OK")
    assert errors == {None: wanted.total() - failed.total(), **failed}


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="not installed: curl, openssl")
def test_asyncio_requests_under_tls_are_those_of_its_log(start_agent: Callable[..., RunningAgent], tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"],
        check=True, capture_output=True,
    )  # fmt: skip
    agent, port, log = start_agent(*RING), free_port(), tmp_path / "log"
    with running([sys.executable, "-c", ASYNCIO_SERVER, port, log, tmp_path], port) as server:
        agent.wait_until(f"/api/v1/processes?process={server.pid}", lambda found: found["processes"])
        curl("https", port)
        rows = requests_where(agent, f"process={server.pid}&side=local&role=server", len(PATHS) * ROUNDS)
    check_http(rows, log)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("node")), reason="not installed: curl, node")
def test_node_requests_are_those_of_its_log(start_agent: Callable[..., RunningAgent], tmp_path: Path) -> None:
    agent, port, log = start_agent(*RING), free_port(), tmp_path / "log"
    with running([shutil.which("node") or "node", "-e", NODE_SERVER, port, log], port):
        curl("http", port)
        rows = requests_of(agent, port, "server", len(PATHS) * ROUNDS)
    check_http(rows, log)
    assert {row["process"] for row in rows} == {"node"}
    assert os.getpid() not in {row["pid"] for row in rows}
