"""Services on this machine: nginx in plain text and with a certificate of its own, and Python at both ends."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from patience import PATIENCE_SECONDS

NGINX = shutil.which("nginx", path="/usr/sbin:/sbin:/usr/bin")
TOOLS = {"nginx": NGINX, **{tool: shutil.which(tool) for tool in ("openssl", "curl", "wrk", "unshare")}}
MISSING = [tool for tool, path in TOOLS.items() if path is None]
CONFIGURATION = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 256; }}
http {{
  access_log {folder}/log; keepalive_requests 10000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/certificate; ssl_certificate_key {folder}/key;
    location /found {{ return 200 "hello"; }}
    location / {{ return 404 "nothing"; }}
  }}
}}
"""

# Asks `count` times, says so, waits for a line, asks as often again on the same connection.
BLOCKING = """
import socket, ssl, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
connection = socket.create_connection(("127.0.0.1", port))
if "plain" not in sys.argv:
    connection = ssl._create_unverified_context().wrap_socket(connection)
for turn in range(2):
    for _ in range(count):
        connection.sendall(b"GET /found HTTP/1.1\\r\\nHost: here\\r\\n\\r\\n")
        connection.recv(4096)
    print(connection.getsockname()[1], flush=True)
    sys.stdin.readline()
"""

# The same, both ends in one process and through memory: asyncio hands TLS records over itself.
ASYNCIO = """
import asyncio, ssl, sys
folder, count = sys.argv[1], int(sys.argv[2])
async def answer(reader, writer):
    while await reader.readuntil(b"\\r\\n\\r\\n"):
        writer.write(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
        await writer.drain()
async def main():
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(folder + "/certificate", folder + "/key")
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=there)
    here = ssl._create_unverified_context()
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=here)
    for turn in range(2):
        for _ in range(count):
            writer.write(b"PUT /memory HTTP/1.1\\r\\nHost: here\\r\\n\\r\\n")
            await reader.readuntil(b"\\r\\n\\r\\n")
        print(turn, flush=True)
        sys.stdin.readline()
asyncio.run(asyncio.wait_for(main(), 60))
"""


# A service that hands TLS records over itself, asks another in plain text before it answers, and says its port.
NODE = """
const [folder, backend] = process.argv.slice(1), fs = require("fs"), http = require("http"), https = require("https");
const agent = new http.Agent({ keepAlive: true });
const options = { key: fs.readFileSync(folder + "/key"), cert: fs.readFileSync(folder + "/certificate") };
const server = https.createServer(options, (request, response) =>
  http.get({ port: backend, path: "/found", agent }, (found) => found.resume().on("end", () => response.end("here"))));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


class Nginx:
    """port: for TLS; plain: for text. log: how many requests it says it has answered."""

    def __init__(self, folder: Path, port: int, plain: int) -> None:
        self.folder, self.port, self.plain = folder, port, plain

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def logged(self) -> int:
        return len((self.folder / "log").read_text().splitlines())


def make_certificate(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", folder / "key", "-out", folder / "certificate"],
        check=True, capture_output=True,
    )  # fmt: skip
    folder.chmod(0o755)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def nginx(folder: Path, prefix: tuple[str, ...] = (), environment: Mapping[str, str] | None = None) -> Iterator[Nginx]:
    """One worker, until the end of the block. prefix: the command that starts it."""
    port, plain = free_port(), free_port()
    (folder / "configuration").write_text(CONFIGURATION.format(folder=folder, port=port, plain=plain))
    command = [*prefix, str(NGINX), "-c", str(folder / "configuration"), "-e", str(folder / "errors")]
    with subprocess.Popen(command, env=environment) as process:
        try:
            wait_for_port(port)
            yield Nginx(folder, port, plain)
        finally:
            process.terminate()
            process.wait(10)


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port}")


def ask(url: str) -> str:
    """The status that curl got."""
    answer = subprocess.run(
        ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", url], check=False, capture_output=True, text=True, timeout=20
    )
    return answer.stdout


class Talker:
    """A program that talks in two turns; `said` is its line after the first."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.process = process.pid
        self.said = self._read()

    def talk_again(self) -> None:
        self._write()
        self._read()

    def _write(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def talker(script: str, *arguments: str, interpreter: tuple[str, ...] = (sys.executable, "-c")) -> Iterator[Talker]:
    command = [*interpreter, script, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Talker(process)
        finally:
            process.kill()
