"""Requests to the API server, each answered with bytes or an ApiError; idle connections are used again."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

import h11
import msgspec

from collector.kubernetes.access import ApiAccess
from collector.kubernetes.failure import ApiError, Outcome, outcome_of_status
from collector.kubernetes.http_connection import Address, HttpConnection, connect
from collector.kubernetes.shapes import NOT_READABLE, Status

# A page of 500 objects is a few MiB; the API server refuses single objects over 1.5 MiB.
LARGEST_PAGE = 128 << 20
LARGEST_STATUS = 64 << 10
MOST_IDLE = 2
IDLE_SECONDS = 30.0
# Uncompressed: gzip would cost the API server more than a cluster's network costs.
HEADERS = (("Accept-Encoding", "identity"), ("Connection", "keep-alive"))
JSON = "application/json"

_status = msgspec.json.Decoder(Status)


class ApiClient:
    """async with. user_agent: how the API server's owner recognises us in its logs and priority levels."""

    def __init__(self, access: ApiAccess, user_agent: str) -> None:
        server = urlsplit(access.server)
        host = server.hostname or ""
        self._access = access
        self._address = Address(host, server.port or 443, access.server_name or host)
        self._base = server.path.rstrip("/")
        self._headers = (*HEADERS, ("Host", server.netloc), ("User-Agent", user_agent))
        self._tls: ssl.SSLContext | None = None
        self._idle: list[HttpConnection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while self._idle:
            self._idle.pop().close()

    async def get(self, path: str, parameters: Mapping[str, str], silence: float, accept: str = JSON) -> bytes:
        """The whole body. silence: seconds without a byte after which it fails."""
        body = bytearray()
        async with self.stream(path, parameters, silence, accept) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > LARGEST_PAGE:
                    raise ApiError(Outcome.UNREADABLE, f"The answer to {path} is larger than {LARGEST_PAGE >> 20} MiB.")
        return bytes(body)

    @asynccontextmanager
    async def stream(
        self, path: str, parameters: Mapping[str, str], silence: float, accept: str = JSON
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Bytes as they come; ApiError before the first for any status but 200, and within for whatever breaks it off."""
        token = await self._access.credentials.token()
        headers = [*self._headers, ("Accept", accept), *([("Authorization", f"Bearer {token}")] if token else ())]
        connection = await self._connection()
        try:
            question = f"?{urlencode(parameters)}" if parameters else ""
            await connection.send(f"{self._base}{path}{question}", headers)
            head = await connection.receive_head(silence)
            body = connection.receive_body(silence)
            if head.status_code != 200:
                raise await self._refusal(head, body)
            yield body
        except TimeoutError:
            raise ApiError(Outcome.SILENT, "The API server said nothing for too long.") from None
        except ssl.SSLError as error:  # with TLS 1.3 a server refuses our certificate only after its own greeting
            raise self._distrust(error) from None
        except (OSError, h11.ProtocolError) as error:
            raise ApiError(Outcome.DROPPED, f"The connection to {self._access.server} broke: {describe(error)}.") from None
        finally:
            self._put_back(connection)

    async def _connection(self) -> HttpConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and time.monotonic() - connection.used_at < IDLE_SECONDS:
                return connection
            connection.close()
        try:
            return await connect(self._address, self._context())
        except ssl.SSLError as error:
            raise self._distrust(error) from None
        except (TimeoutError, OSError) as error:
            raise ApiError(Outcome.UNREACHABLE, f"{self._access.server} cannot be reached: {describe(error)}.") from None

    def _distrust(self, error: ssl.SSLError) -> ApiError:
        """The next connection reads the certificates anew."""
        self._tls = None
        return ApiError(Outcome.TLS, f"TLS with {self._access.server} failed: {describe(error)}.")

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            try:
                self._tls = self._access.make_tls()
            except (OSError, ValueError) as error:
                raise ApiError(Outcome.TLS, f"The certificates of {self._access.origin} cannot be used: {error}.") from None
        return self._tls

    def _put_back(self, connection: HttpConnection) -> None:
        if connection.reusable and len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    async def _refusal(self, head: h11.Response, body: AsyncIterator[bytes]) -> ApiError:
        outcome = outcome_of_status(head.status_code)
        if outcome is Outcome.UNAUTHENTICATED:
            self._access.credentials.forget()
            self._tls = None  # a client certificate may have been renewed, too
        told = await _read_message(body) or bytes(head.reason).decode("ascii", "replace")
        retry = next((value for name, value in head.headers if name == b"retry-after"), b"")
        return ApiError(outcome, f"The API server answers {head.status_code}: {sentence(told)}", _read_seconds(bytes(retry)))


def describe(error: BaseException) -> str:
    """In a few words; no object is ever quoted."""
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", "") or error.reason or "unknown reason"
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror if isinstance(error, OSError) else "") or type(error).__name__


def sentence(text: str) -> str:
    """With a full stop, so that another may follow."""
    return text if text.endswith(".") else f"{text}."


async def _read_message(body: AsyncIterator[bytes]) -> str:
    """Of the Status object in the body; '' when there is none."""
    read = bytearray()
    async for chunk in body:
        read += chunk
        if len(read) > LARGEST_STATUS:
            break
    try:
        return _status.decode(bytes(read)).message[:300]
    except NOT_READABLE:
        return ""


def _read_seconds(text: bytes) -> float:
    """Retry-After in seconds; API servers send no dates."""
    return float(text) if text.isdigit() else 0.0
