"""Asks itself 23 times over TLS on a socket and 23 times through memory; prints what the probe must have seen of both ends."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

REQUESTS = 23
REQUEST, RESPONSE = b"GET /greeting HTTP/1.1\r\nHost: here\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def context(protocol: int) -> ssl.SSLContext:
    """Without certificates: both ends are this process."""
    made = ssl.SSLContext(protocol)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers("AECDH:@SECLEVEL=0")
    return made


SERVER, CLIENT = context(ssl.PROTOCOL_TLS_SERVER), context(ssl.PROTOCOL_TLS_CLIENT)


def answer(listener: socket.socket) -> None:
    accepted, _ = listener.accept()
    with SERVER.wrap_socket(accepted, server_side=True) as connection:
        while connection.recv(len(REQUEST)):
            connection.sendall(RESPONSE)


def ask_over_a_socket() -> int:
    """The server's port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with CLIENT.wrap_socket(socket.create_connection(listener.getsockname())) as connection:
            for _ in range(REQUESTS):
                connection.sendall(REQUEST)
                connection.recv(len(RESPONSE))
        thread.join()
        return int(listener.getsockname()[1])


def ask_through_memory() -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = CLIENT.wrap_bio(to_client, to_server)
    server = SERVER.wrap_bio(to_server, to_client, server_side=True)
    waiting: list[Callable[[], None]] = [client.do_handshake, server.do_handshake]
    while waiting:
        try:
            waiting[0]()
            waiting.pop(0)
        except ssl.SSLWantReadError:
            waiting.reverse()
    for _ in range(REQUESTS):
        client.write(REQUEST)
        server.read(len(REQUEST))
        server.write(RESPONSE)
        client.read(len(RESPONSE))


def sockets_can_be_seen() -> bool:
    """Since 6.3; before, no connection has addresses."""
    return b"btf_trace_sock_send_length" in Path("/sys/kernel/btf/vmlinux").read_bytes()


def expectation(role: str, where: dict[str, object], count: int = REQUESTS) -> dict[str, object]:
    total = {"request_bytes": count * len(REQUEST), "response_bytes": count * len(RESPONSE)}
    mine = {"process": os.getpid(), "role": role, **where}
    return {"record": "socket_exchange", "where": mine, "count": count, "sum": total}


def main() -> None:
    port = ask_over_a_socket()
    ask_through_memory()
    nowhere = {"local_address": "::", "remote_address": "::", "local_port": 0, "remote_port": 0}
    there = {"local_address": "127.0.0.1", "remote_address": "127.0.0.1"}
    ends = [("client", {**there, "remote_port": port}), ("server", {**there, "local_port": port})]
    if sockets_can_be_seen():
        expected = [expectation(role, where) for role, where in (*ends, ("client", nowhere), ("server", nowhere))]
    else:
        expected = [expectation(role, nowhere, 2 * REQUESTS) for role in ("client", "server")]
    print(json.dumps(expected))


if __name__ == "__main__":
    main()
