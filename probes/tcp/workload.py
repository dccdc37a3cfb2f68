"""Makes 23 connections of known sizes, 5 refused connects, and one listening socket; prints what the probe must have seen."""

from __future__ import annotations

import json
import os
import socket

CONNECTIONS, REFUSED = 23, 5
REQUEST, RESPONSE = 1000, 5000


def receive_exactly(connection: socket.socket, size: int) -> None:
    while size:
        size -= len(connection.recv(size))


def exchange(server: socket.socket) -> None:
    """One request and its response; the client says goodbye first, the server after it has seen that."""
    with socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"q" * REQUEST)
            receive_exactly(accepted, REQUEST)
            accepted.sendall(b"a" * RESPONSE)
            receive_exactly(client, RESPONSE)
            client.shutdown(socket.SHUT_WR)
            assert accepted.recv(1) == b""


def refuse(port: int) -> None:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return
    raise SystemExit(f"port {port} was expected to refuse connections")


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for _ in range(CONNECTIONS):
            exchange(server)
    for _ in range(REFUSED):
        refuse(port)
    mine = {"process": os.getpid()}
    sums = {
        "client": {"bytes_sent": REQUEST, "bytes_received": RESPONSE},
        "server": {"bytes_sent": RESPONSE, "bytes_received": REQUEST},
    }
    places = {"client": {"remote_port": port}, "server": {"local_port": port}}
    expected = [
        {
            "record": "tcp_connection",
            "where": {
                **mine,
                **places[role],
                "event": "closed",
                "role": role,
                "outcome": "closed",
                "remote_address": "127.0.0.1",
            },
            "count": CONNECTIONS,
            "sum": {name: size * CONNECTIONS for name, size in sums[role].items()},
        }
        for role in ("client", "server")
    ]
    expected.append(
        {
            "record": "tcp_connection",
            "where": {**mine, "event": "failed", "outcome": "refused", "remote_port": port},
            "count": REFUSED,
        }
    )
    expected.append({"record": "tcp_connection", "where": {**mine, "event": "listen_ended", "local_port": port}, "count": 1})
    print(json.dumps(expected))


if __name__ == "__main__":
    main()
