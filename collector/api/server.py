"""Serves the application in a thread of its own, and ends in two seconds whatever its clients do."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import threading
import time

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from collector.api.application import create_app
from collector.api.probe_routes import Control
from collector.api.security import HEAD_BYTES_MAX, Security, choose_security
from collector.api.view import AgentView
from collector.errors import HoneyguideError

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 64
HEAD_SECONDS_MAX = 10.0  # from connecting, or from the first byte, to the end of the headers
STUCK_MILLISECONDS_MAX = 30_000  # a client that takes nothing for so long is cut off by the kernel
START_SECONDS_MAX = 10.0
GRACE_SECONDS = 1
STOP_SECONDS_MAX = 2.0


class PromptProtocol(H11Protocol):
    """uvicorn's, which does not put up with clients that connect and then say nothing, or say it by the letter."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._waiting:
            self._waiting.cancel()

    def _watch(self) -> None:
        """Between requests uvicorn's own keep-alive time counts as well, which is shorter."""
        if self.conn.their_state is not h11.IDLE:
            if self._waiting:
                self._waiting.cancel()
                self._waiting = None
        elif not self._waiting:
            self._waiting = self.loop.call_later(HEAD_SECONDS_MAX, self.transport.abort)


class ApiServer:
    """start, url, stop. security: chosen from `host` without a token when not given."""

    def __init__(
        self, agent: AgentView, host: str, port: int, security: Security | None = None, control: Control | None = None
    ) -> None:
        chosen = security or choose_security(host, "", allow_unauthenticated=False)
        self._stopping = threading.Event()
        self._host, self._port = host, port
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(agent, chosen, self._stopping.is_set, control),
                http=PromptProtocol,
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=CONNECTIONS_MAX,
                h11_max_incomplete_event_size=HEAD_BYTES_MAX,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._thread: threading.Thread | None = None
        self.url = ""

    def start(self) -> None:
        """Listens and answers from now on; HoneyguideError when the address cannot be had."""
        listener = _listen(self._host, self._port)
        self.url = _url(listener)
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it reports what clients do wrong
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="api", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        if not self._server.started:
            listener.close()
            raise HoneyguideError(f"The API at {self.url} did not start.", "The log says why.")

    def stop(self) -> None:
        """Ends all streams, lets answers finish for a second, then cuts off the rest."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        self._server.should_exit = True
        thread.join(STOP_SECONDS_MAX)
        if thread.is_alive():
            self._server.force_exit = True
            log.warning("the API did not end in time")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise HoneyguideError(f"Cannot listen on {host}: {error.strerror or error}.", "Choose another with --listen.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_MILLISECONDS_MAX)
        listener.bind(address)
        listener.listen(CONNECTIONS_MAX)
    except OSError as error:
        listener.close()
        raise _explain(error, host, port) from error
    return listener


def _explain(error: OSError, host: str, port: int) -> HoneyguideError:
    cause = f"Cannot listen on {host} port {port}: {os.strerror(error.errno or 0).lower()}."
    remedies = {
        errno.EADDRINUSE: f"Another program has it, maybe another honeyguide (ss -ltnp 'sport = :{port}' says which). "
        "Stop it, or choose another port with --listen.",
        errno.EACCES: "Ports below 1024 need root or CAP_NET_BIND_SERVICE. Choose another port with --listen.",
        errno.EADDRNOTAVAIL: "This machine has no such address. Choose another with --listen.",
    }
    return HoneyguideError(cause, remedies.get(error.errno or 0, "Choose another address with --listen."))


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
