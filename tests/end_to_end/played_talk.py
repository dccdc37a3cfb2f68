"""Talks of the corpus over real sockets, both ends in this process."""

from __future__ import annotations

import socket
import threading

from privacy_corpus import CLIENT, Talk


def receive(connection: socket.socket, size: int) -> None:
    while size:
        piece = connection.recv(size)
        assert piece, "the other end closed"
        size -= len(piece)


def play(connection: socket.socket, talk: Talk, side: int) -> None:
    """One end's part of the talk."""
    for sender, data in talk.steps:
        if sender == side:
            connection.sendall(data)
        else:
            receive(connection, len(data))


def converse(talk: Talk, listener: socket.socket) -> None:
    """Both ends, over a connection of their own."""

    def serve() -> None:
        accepted, _ = listener.accept()
        with accepted:
            play(accepted, talk, 1 - CLIENT)
            while accepted.recv(4096):
                pass

    server = threading.Thread(target=serve)
    server.start()
    with socket.socket(listener.family) as connection:
        connection.connect(listener.getsockname())
        play(connection, talk, CLIENT)
    server.join()
