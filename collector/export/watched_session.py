"""An HTTP session that is watched: a connection can be cut, an answer is read only so far, the reason of a failure is kept."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from collector.export.otlp_outcome import Outcome, outcome_of_error, outcome_of_status

LONGEST_ANSWER = 64 * 1024
SLACK_SECONDS = 0.5  # who sends has a deadline too, which comes first where it holds


class WatchedSession(requests.Session):
    """outcome: what became of the last request. read_answer: what a good answer's body says.

    read_refusal: what the body of any other answer says beside its status; given that status's outcome.
    """

    def __init__(
        self, read_answer: Callable[[bytes], Outcome], read_refusal: Callable[[Outcome, bytes], Outcome] | None = None
    ) -> None:
        super().__init__()
        self._read_answer, self._read_refusal = read_answer, read_refusal
        self.outcome = Outcome()
        self._connection: HTTPConnection | None = None
        self._cut = Outcome()
        self._cut_for_good = False
        self.headers["Accept-Encoding"] = "identity"
        for scheme in ("http://", "https://"):
            self.mount(scheme, _WatchedAdapter(self))

    def deliver(self, address: str, body: bytes, seconds: float, headers: Mapping[str, str] | None = None) -> Outcome:
        """Posts the body. Never longer than `seconds` and a little, never an exception for what the endpoint does."""
        self.outcome = Outcome("failed", "nothing was sent")
        with self.limited(seconds + SLACK_SECONDS):
            try:
                self.post(address, data=body, headers=headers, timeout=seconds, allow_redirects=False)
            except (requests.RequestException, OSError, ValueError) as error:
                if self.outcome.delivered:
                    return Outcome("failed", type(error).__name__)
        return self.outcome

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """What is sent within is cut after that time, whatever it waits for."""
        deadline = threading.Timer(seconds, self.cut, ["timeout", "no answer in time"])
        deadline.daemon = True
        deadline.start()
        try:
            yield
        finally:
            deadline.cancel()
            self.mend()

    def cut(self, reason: str, text: str, for_good: bool = False) -> None:
        """Ends the connection, whatever it waits for, and allows no other until `mend`."""
        self._cut, self._cut_for_good = Outcome(reason, text), for_good or self._cut_for_good
        sock = getattr(self._connection, "sock", None)
        if sock is not None:
            _wake_reader(sock)

    def mend(self) -> None:
        if not self._cut_for_good:
            self._cut = Outcome()

    def watch(self, connection: HTTPConnection) -> None:
        self._connection = connection
        self._refuse_when_cut()

    def _refuse_when_cut(self) -> None:
        if self._cut.reason:
            raise requests.RequestException(self._cut.text)

    def request(self, *arguments: Any, **named: Any) -> requests.Response:
        """As of requests, but only the beginning of the answer is read."""
        named["stream"] = True
        if isinstance(self.verify, str):
            named["verify"] = self.verify  # else requests takes REQUESTS_CA_BUNDLE for stronger than the session's own
        try:
            self._refuse_when_cut()
            with super().request(*arguments, **named) as response:
                self.outcome = self._judge(response, _read_beginning(response))
            self._refuse_when_cut()  # the cut itself may read like the end of an answer
        except Exception as error:
            self.outcome = self._cut if self._cut.reason else outcome_of_error(error)
            raise
        if 300 <= response.status_code < 400:
            raise requests.RequestException("redirected")
        return response

    def _judge(self, response: requests.Response, answer: bytes) -> Outcome:
        if 200 <= response.status_code < 300:
            return self._read_answer(answer)
        retry_after = response.headers.get("Retry-After", "").strip()
        seconds = float(retry_after) if retry_after.isdecimal() else None
        outcome = outcome_of_status(response.status_code, response.reason or "", seconds)
        return self._read_refusal(outcome, answer) if self._read_refusal else outcome


class _WatchedAdapter(HTTPAdapter):
    def __init__(self, session: WatchedSession) -> None:
        self._session = session
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = _watched_pools(self._session)


def _watched_pools(session: WatchedSession) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    class WatchedConnection(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            session.watch(self)

    class WatchedTlsConnection(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            session.watch(self)

    class WatchedPool(urllib3.HTTPConnectionPool):
        ConnectionCls = WatchedConnection

    class WatchedTlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = WatchedTlsConnection

    return {"http": WatchedPool, "https": WatchedTlsPool}


def _wake_reader(sock: Any) -> None:
    """By the plain socket's method: that of a TLS socket changes what the reader works with. It may be closed this moment."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return


def _read_beginning(response: requests.Response) -> bytes:
    """RequestException when the connection breaks meanwhile; requests leaves urllib3's own as they are."""
    try:
        return _read_pieces(response)
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error


def _read_pieces(response: requests.Response) -> bytes:
    pieces: list[bytes] = []
    while sum(map(len, pieces)) < LONGEST_ANSWER:
        piece = response.raw.read1(LONGEST_ANSWER)
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)
