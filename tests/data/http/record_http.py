"""Makes the samples beside it: real clients talk to real servers through a recorder, and what server or client themselves
say about each request becomes what the parser has to find.

usage: python record_http.py [name ...]; needs nginx, curl, node and the packages grpcio, websockets, h2, uvicorn.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import subprocess
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import uvicorn
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as serve_websocket

FOLDER = Path(__file__).parent
LOG_FORMAT = "$request_method $uri $status $request_length $bytes_sent $body_bytes_sent $server_protocol"
NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events {{ }}
http {{
  log_format truth '{log_format}';
  access_log access.log truth;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  gzip on; gzip_min_length 1; gzip_types text/plain; default_type text/plain; sendfile on;
  large_client_header_buffers 4 32k;
  server {{
    listen 127.0.0.1:{port} {listen}; root {root};
    location /api/ {{ return 200 'answer of the api\\n'; }}
    location /moved {{ return 301 /api/; }}
    location /broken {{ return 503; }}
    location /secret {{ return 403; }}
    location /upload {{ dav_methods PUT DELETE; client_max_body_size 1m; create_full_put_path on; }}
  }}
}}
"""
Steps = list[tuple[str, str]]  # side, zlib in base64
Request = dict[str, Any]


class Recorder:
    """A TCP relay that writes down what passes, one list of steps per connection."""

    def __init__(self, target_port: int) -> None:
        self.connections: list[Steps] = []
        self.port = 0
        self._target_port = target_port

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Recorder]:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        await asyncio.sleep(0.2)
        server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        steps: Steps = []
        self.connections.append(steps)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        await asyncio.gather(self._pump("client", steps, reader, far_writer), self._pump("server", steps, far_reader, writer))

    async def _pump(self, side: str, steps: Steps, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(65_536):
                steps.append((side, base64.b64encode(zlib.compress(piece, 9)).decode()))
                sink.write(piece)
                await sink.drain()
            sink.close()
        except ConnectionError:
            sink.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def wait_for_port(port: int) -> None:
    for _ in range(100):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise TimeoutError(port)


async def run(*command: str, **options: Any) -> bytes:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return output


async def with_nginx(listen: str, talk: Callable[[int], Awaitable[None]]) -> tuple[list[Steps], list[Request]]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "page.txt").write_text("a page\n" * 50)
        (root / "large.bin").write_bytes(bytes(200_000))
        (root / "upload").mkdir()
        port = free_port()
        (root / "nginx.conf").write_text(NGINX.format(port=port, root=folder, listen=listen, log_format=LOG_FORMAT))
        (root / "nginx.conf").write_text((root / "nginx.conf").read_text().replace("daemon off;", "daemon off; user root;"))
        nginx = await asyncio.create_subprocess_exec("/usr/sbin/nginx", "-p", folder, "-c", "nginx.conf", cwd=folder)
        try:
            await wait_for_port(port)
            async with Recorder(port).open() as recorder:
                await talk(recorder.port)
        finally:
            nginx.terminate()
            await nginx.wait()
        return recorder.connections, [read_nginx_line(line) for line in (root / "access.log").read_text().splitlines()]


def read_nginx_line(line: str) -> Request:
    method, path, status, request_length, sent, _, protocol = line.split()
    found: Request = {"operation": method, "resource": path, "status": status}
    if protocol.startswith("HTTP/1"):
        found |= {"request_bytes": int(request_length), "response_bytes": int(sent)}
    return found


async def nginx_http1(port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    urls = ["/page.txt", "/api/users/1?token=secret", "/missing", "/moved", "/broken", "/secret", "/large.bin"]
    await run("curl", "-s", *(base + url for url in urls), *("-o", "/dev/null") * len(urls), "-H", "Authorization: secret")
    await run("curl", "-s", "-I", base + "/page.txt", base + "/missing")
    await run("curl", "-s", "--compressed", "-H", "If-None-Match: x", "-r", "5-9", base + "/page.txt", base + "/api/")
    await run("curl", "-s", "--compressed", base + "/page.txt", base + "/api/")  # chunked by gzip
    await run("curl", "-s", "-0", base + "/page.txt")
    await run("curl", "-s", "-T", "-", base + "/upload/a", "--next", "-X", "DELETE", base + "/upload/a", stdin=subprocess.DEVNULL)
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 30_000)
        file.flush()
        expect = ("-s", "-H", "Expect: 100-continue")
        await run("curl", *expect, "-T", file.name, base + "/upload/b", "-T", file.name, base + "/upload/c")
        await run("curl", *expect, "-H", "Transfer-Encoding: chunked", "-T", file.name, base + "/upload/d", base + "/page.txt")
        await run("curl", *expect, "-T", file.name, base + "/secret", base + "/api/")


async def nginx_pipelined(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ask = "".join(f"GET {path} HTTP/1.1\r\nHost: h\r\nCookie: secret\r\n\r\n" for path in ("/page.txt", "/api/1", "/missing") * 5)
    writer.write(ask.encode() + b"GET /page.txt HTTP/1.1\nHost: h\nConnection: close\n\n")
    await reader.read()
    writer.close()


async def nginx_http2(port: int) -> None:
    """curl 7.88 does not use a clear-text HTTP/2 connection twice, so Node asks."""
    paths = ["/page.txt", "/api/users/1?token=secret", "/missing", "/moved", "/broken", "/secret", "/large.bin", "/page.txt"]
    asked = [asked_of(path, authorization="secret") for path in paths]
    put, remove = asked_of("/upload/b", ":method", "PUT"), asked_of("/upload/b", ":method", "DELETE")
    await ask_with_node(port, [asked, *([one] for one in asked), [put | {"body": 30_000}], [remove]])
    await run("curl", "-s", "--http2-prior-knowledge", "-I", f"http://127.0.0.1:{port}/page.txt")


def asked_of(path: str, *pair: str, **headers: str) -> dict[str, Any]:
    return {"headers": {":path": path, **headers, **(dict([pair]) if pair else {})}}


async def ask_with_node(port: int, batches: list[list[dict[str, Any]]]) -> Any:
    return json.loads(await run("node", str(FOLDER / "node_streams.js"), "client", str(port), json.dumps(batches)))


async def with_node() -> tuple[list[Steps], list[Request]]:
    script = str(FOLDER / "node_streams.js")
    node = await asyncio.create_subprocess_exec("node", script, "server", stdout=subprocess.PIPE)
    assert node.stdout is not None
    try:
        async with Recorder(json.loads(await node.stdout.readline())["port"]).open() as recorder:
            seen = await ask_with_node(recorder.port, NODE_BATCHES)
    finally:
        node.terminate()
        await node.wait()
    resets = {2: "INTERNAL_ERROR", 8: "CANCEL"}
    return recorder.connections, [
        {
            "operation": one["method"],
            "resource": one["path"],
            "status": str(one["status"] or ""),
            "error_type": resets.get(one["code"]) or (str(one["status"]) if one["status"] >= 500 else ""),
        }
        for one in seen
    ]


async def with_grpc() -> tuple[list[Steps], list[Request]]:
    async def unary(request: bytes, context: Any) -> bytes:
        if request == b"slow":
            await asyncio.sleep(5)
        if request.startswith(b"abort"):
            await context.abort(grpc.StatusCode[request.split()[1].decode()], "secret detail")
        return b"answer " * 20

    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d" % number

    async def echo(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for one in requests:
            yield one

    methods = {
        "Ask": grpc.unary_unary_rpc_method_handler(unary),
        "List": grpc.unary_stream_rpc_method_handler(stream),
        "Chat": grpc.stream_stream_rpc_method_handler(echo),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Orders", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Recorder(port).open() as recorder, grpc.aio.insecure_channel(f"127.0.0.1:{recorder.port}") as channel:
        seen = await call_grpc(channel)
        await asyncio.sleep(0.1)
    await server.stop(None)
    return recorder.connections, seen


async def call_grpc(channel: Any) -> list[Request]:
    async def all_of(call: Any) -> None:
        async for _ in call:
            pass

    async def two() -> AsyncIterator[bytes]:
        for one in (b"one", b"two"):
            yield one

    seen: list[Request] = []

    async def note(method: str, call: Any) -> None:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            seen.append(result(method, error.code().name))
        else:
            seen.append(result(method, "OK"))

    service = "/shop.v1.Orders/"
    ask = channel.unary_unary(service + "Ask")
    for _ in range(3):
        await note("Ask", ask(b"hello", metadata=(("authorization", "secret"),)))
    for code in ("NOT_FOUND", "INTERNAL", "UNAVAILABLE", "PERMISSION_DENIED"):
        await note("Ask", ask(b"abort " + code.encode()))
    await note("Missing", channel.unary_unary(service + "Missing")(b""))
    await note("List", all_of(channel.unary_stream(service + "List")(b"")))
    await note("Chat", all_of(channel.stream_stream(service + "Chat")(two())))
    await asyncio.gather(*(note("Ask", ask(b"parallel")) for _ in range(20)))
    try:
        await ask(b"slow", timeout=0.2)
    except grpc.aio.AioRpcError:
        seen.append(result("Ask", "DEADLINE_EXCEEDED"))
    return seen


def result(method: str, status: str) -> Request:
    return {"protocol": "grpc", "resource": f"shop.v1.Orders/{method}", "status": status}


async def with_websocket() -> tuple[list[Steps], list[Request]]:
    async def echo(socket: Any) -> None:
        async for message in socket:
            await socket.send(message)

    async with serve_websocket(echo, "127.0.0.1", 0) as server, Recorder(server.sockets[0].getsockname()[1]).open() as recorder:
        socket = await connect(f"ws://127.0.0.1:{recorder.port}/chat?token=secret")
        for size in (5, 500, 50_000):
            await socket.send("x" * size)
            await socket.recv()
        await socket.close()
    path = {"resource": "/chat"}
    return recorder.connections, [path | {"operation": "GET", "status": "101"}, path | {"protocol": "websocket", "status": ""}]


async def with_uvicorn() -> tuple[list[Steps], list[Request]]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(4):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b""})

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off", http="h11"))
    task = asyncio.create_task(server.serve())
    await wait_for_port(port)
    async with Recorder(port).open() as recorder:
        await run("curl", "-sN", *(f"http://127.0.0.1:{recorder.port}/events/{number}?key=secret" for number in range(2)))
    server.should_exit = True
    await task
    events = [{"operation": "GET", "resource": f"/events/{one}", "status": "200", "response_body_bytes": 36} for one in range(2)]
    return recorder.connections, events


async def with_h2c() -> tuple[list[Steps], list[Request]]:
    """curl --http2 asks in HTTP/1.1 to change to h2c."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        settings = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"http2-settings:"))
        connection = H2Connection(H2Configuration(client_side=False))
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        connection.initiate_upgrade_connection(settings.split(b":", 1)[1].strip())

        def answer(stream: int) -> None:
            connection.send_headers(stream, [(":status", "200"), ("content-length", "2")])
            connection.send_data(stream, b"ok", end_stream=True)

        answer(1)
        writer.write(connection.data_to_send())
        while piece := await reader.read(65_536):
            for event in connection.receive_data(piece):
                if isinstance(event, StreamEnded):
                    answer(event.stream_id)
            writer.write(connection.data_to_send())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with Recorder(server.sockets[0].getsockname()[1]).open() as recorder:
        base = f"http://127.0.0.1:{recorder.port}"
        await run("curl", "-s", "--http2", base + "/first?token=secret", base + "/second")
    server.close()
    return recorder.connections, [
        {"operation": "GET", "resource": path, "status": "200", "response_body_bytes": 2} for path in ("/first", "/second")
    ]


TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NODE_BATCHES = [
    [
        asked_of("/a?token=secret", traceparent=TRACE_PARENT),
        asked_of("/items/1", ":method", "POST") | {"body": 3000},
        *map(asked_of, ("/missing", "/broken", "/trailers", "/hint", "/reset", "/with-push")),
        asked_of("/slow") | {"cancelAfter": 100},
        asked_of("/big", bulk="c" * 20_000),
    ],
    [asked_of("/a?token=secret")],
    [asked_of("/empty", ":method", "DELETE")],
]
SAMPLES: dict[str, tuple[str, Callable[[], Awaitable[tuple[list[Steps], list[Request]]]]]] = {
    "nginx_http1": ("http1", lambda: with_nginx("", nginx_http1)),
    "nginx_pipelined": ("http1", lambda: with_nginx("", nginx_pipelined)),
    "nginx_http2": ("http2", lambda: with_nginx("http2", nginx_http2)),
    "node_http2": ("http2", with_node),
    "grpcio": ("http2", with_grpc),
    "websocket": ("http1", with_websocket),
    "server_sent_events": ("http1", with_uvicorn),
    "curl_h2c_upgrade": ("http1", with_h2c),
}


def main() -> None:
    for name in sys.argv[1:] or SAMPLES:
        protocol, make = SAMPLES[name]
        connections, requests = asyncio.run(make())  # type: ignore[arg-type]
        connections = [steps for steps in connections if steps]
        lines = [json.dumps({"protocol": protocol}), *map(json.dumps, connections), *map(json.dumps, requests)]
        (FOLDER / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        print(name, len(connections), "connections", len(requests), "requests", sum(map(len, lines)), "bytes")


if __name__ == "__main__":
    main()
