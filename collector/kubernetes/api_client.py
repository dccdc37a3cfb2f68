"""Requests to the API server: one asyncio client, connections that notice a dead peer, failures as ApiError."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import httpx
import msgspec

from collector.kubernetes.access import ApiAccess
from collector.kubernetes.failure import ApiError, Outcome, outcome_of_status
from collector.kubernetes.shapes import Status

CONNECT_SECONDS = 10.0
WRITE_SECONDS = 10.0
MOST_CONNECTIONS = 16
# A page of 500 objects is a few MiB; the API server refuses single objects over 1.5 MiB.
LARGEST_PAGE = 128 << 20
LARGEST_STATUS = 64 << 10
# A peer that vanished without a word is noticed after about a minute, however seldom the watch has news.
KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
]
# Uncompressed: gzip would cost the API server more than a cluster's network costs.
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}

_status = msgspec.json.Decoder(Status)


class ApiClient:
    """async with. user_agent: how the API server's owner recognises us in its logs and priority levels."""

    def __init__(self, access: ApiAccess, user_agent: str) -> None:
        self._access = access
        self._headers = {**HEADERS, "User-Agent": user_agent}
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._close()

    async def get(self, path: str, parameters: Mapping[str, str], silence: float, accept: str = "") -> bytes:
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
        self, path: str, parameters: Mapping[str, str], silence: float, accept: str = ""
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Bytes as they come; ApiError before the first for any status but 200, and within for whatever breaks it off."""
        headers = {"Accept": accept} if accept else {}
        token = await self._access.credentials.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        names = {"sni_hostname": self._access.server_name} if self._access.server_name else {}
        timeout = httpx.Timeout(silence, connect=CONNECT_SECONDS, write=WRITE_SECONDS)
        try:
            request = self._client().build_request(
                "GET", path, params=dict(parameters), headers=headers, timeout=timeout, extensions=names
            )
            answer = await self._client().send(request, stream=True)
            try:
                if answer.status_code != httpx.codes.OK:
                    raise await self._refusal(answer)
                yield answer.aiter_raw()
            finally:
                await answer.aclose()
        except (httpx.HTTPError, httpx.StreamError, OSError, ssl.SSLError) as error:
            raise self._broken(error) from None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            transport = httpx.AsyncHTTPTransport(
                verify=self._tls(),
                trust_env=False,
                limits=httpx.Limits(max_connections=MOST_CONNECTIONS, keepalive_expiry=60),
                socket_options=KEEP_ALIVE,
            )
            self._http = httpx.AsyncClient(
                base_url=self._access.server, headers=self._headers, transport=transport, trust_env=False
            )
        return self._http

    def _tls(self) -> ssl.SSLContext:
        try:
            return self._access.make_tls()
        except (OSError, ValueError) as error:
            raise ApiError(Outcome.TLS, f"The certificates of {self._access.origin} cannot be used: {error}.") from None

    async def _close(self) -> None:
        client, self._http = self._http, None
        if client is not None:
            await client.aclose()

    async def _refusal(self, answer: httpx.Response) -> ApiError:
        outcome = outcome_of_status(answer.status_code)
        if outcome is Outcome.UNAUTHENTICATED:
            self._access.credentials.forget()
        cause = f"The API server answers {answer.status_code}: {sentence(await _read_message(answer))}"
        return ApiError(outcome, cause, _read_seconds(answer.headers.get("Retry-After", "")))

    def _broken(self, error: Exception) -> ApiError:
        """What the network did; after a failure of TLS the next request reads the certificates anew."""
        cause = _innermost(error)
        if isinstance(cause, ssl.SSLError) and isinstance(error, httpx.ConnectError):
            self._http = None  # streams of others go on with theirs
            return ApiError(Outcome.TLS, f"TLS with {self._access.server} failed: {describe_tls(cause)}.")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            return ApiError(Outcome.UNREACHABLE, f"{self._access.server} cannot be reached: {describe(error, cause)}.")
        if isinstance(error, httpx.TimeoutException):
            return ApiError(Outcome.SILENT, "The API server said nothing for too long.")
        return ApiError(Outcome.DROPPED, f"The connection to {self._access.server} broke: {describe(error, cause)}.")


def _innermost(error: BaseException) -> BaseException:
    """The cause under httpx's and httpcore's wrapping."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def describe(error: Exception, cause: BaseException) -> str:
    """In a few words; no object is ever quoted."""
    told = cause.strerror if isinstance(cause, OSError) else ""
    return told or type(error).__name__


def describe_tls(error: ssl.SSLError) -> str:
    """verify_message says which check failed."""
    return getattr(error, "verify_message", "") or error.reason or "unknown reason"


def sentence(text: str) -> str:
    """With a full stop, so that another may follow."""
    return text if text.endswith(".") else f"{text}."


async def _read_message(answer: httpx.Response) -> str:
    """Of the Status object in the body, when there is one."""
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > LARGEST_STATUS:
            break
    try:
        return _status.decode(bytes(body)).message[:300] or answer.reason_phrase
    except ValueError:
        return answer.reason_phrase


def _read_seconds(text: str) -> float:
    """Retry-After in seconds; API servers send no dates."""
    return float(text) if text.isdigit() else 0.0
