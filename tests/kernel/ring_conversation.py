"""A program that asks itself over TCP; io_uring receives and sends for its server. argv: how often, how. Prints its port.

'quiet': the thread waits for the ring. 'disturbed': it waits in readv() for a pipe, with STRANGE in that call's buffer, and
the kernel receives for the ring meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
import time

from submission_ring import RECEIVE, SEND, SubmissionRing

ASKED = b"GET /asked/%d HTTP/1.1\r\nHost: shop\r\n\r\n"
STRANGE = b"GET /strange HTTP/1.1\r\nHost: shop\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def wait_in_another_call(ring: SubmissionRing) -> None:
    """Until the ring has received something."""
    reader, writer = os.pipe()

    def end() -> None:
        while not ring.has_completed():
            time.sleep(0.001)
        os.write(writer, STRANGE[:1])

    ending = threading.Thread(target=end)
    ending.start()
    os.readv(reader, [bytearray(STRANGE)])
    ending.join()
    os.close(reader)
    os.close(writer)


def receive(ring: SubmissionRing, served: socket.socket, client: socket.socket, ask: bytes, disturbed: bool) -> bytes:
    received = ctypes.create_string_buffer(4096)
    ring.submit(RECEIVE, served.fileno(), received, len(received))
    sending = threading.Timer(0.05, client.sendall, [ask])
    sending.start()
    if disturbed:
        wait_in_another_call(ring)
    length = ring.wait()
    sending.join()
    return received.raw[:length]


def converse(count: int, disturbed: bool) -> None:
    ring = SubmissionRing()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        client = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
    with client, served:
        for number in range(count):
            assert receive(ring, served, client, ASKED % number, disturbed) == ASKED % number
            answer = ctypes.create_string_buffer(ANSWER)
            ring.submit(SEND, served.fileno(), answer, len(ANSWER))
            assert ring.wait() == len(ANSWER)
            assert client.recv(4096) == ANSWER


if __name__ == "__main__":
    converse(int(sys.argv[1]), sys.argv[2] == "disturbed")
