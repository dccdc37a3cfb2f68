"""Talks to a running agent over HTTP; every way in which that can fail has a message that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from collector.errors import HoneyguideError

Parameters = Mapping[str, str | Sequence[str]]
SECONDS_TO_CONNECT = 5.0
SECONDS_TO_ANSWER = 30.0
SECONDS_TO_COMPILE = 330.0
SECONDS_OF_SILENCE = 60.0  # of a stream, which says something every 15 seconds
PREFIX = "/api/v1"
START_IT = "Start one (sudo honeyguide run), or say where it is: --url http://HOST:PORT or HONEYGUIDE_URL."


class AgentClient:
    """A context manager. Every method raises HoneyguideError when the agent cannot be asked or refuses."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url.rstrip("/")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        timeout = httpx.Timeout(SECONDS_TO_ANSWER, connect=SECONDS_TO_CONNECT)
        try:
            # no proxy: the agent is here or on the same network
            self._http = httpx.Client(base_url=self._url, headers=headers, timeout=timeout, trust_env=False)
        except (httpx.InvalidURL, ValueError) as error:
            raise HoneyguideError(f"{url!r} is no URL: {error}.", "Write it like http://127.0.0.1:9464.") from error

    def __enter__(self) -> AgentClient:
        return self

    def __exit__(self, *_reason: object) -> None:
        self._http.close()

    def get(self, path: str, parameters: Parameters) -> dict[str, Any]:
        """The JSON answer to GET /api/v1<path>."""
        with self._answer(path, parameters) as answer:
            answer.read()
            try:
                content = answer.json()
            except ValueError as error:
                raise self._stranger() from error
        if not isinstance(content, dict):
            raise self._stranger()
        return content

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON answer to POST /api/v1<path>; compiling a probe may take a while."""
        with self._answer(path, {}, SECONDS_TO_COMPILE, method="POST", body=body) as answer:
            answer.read()
            content = answer.json()
        if not isinstance(content, dict):
            raise self._stranger()
        return content

    def text(self, path: str, parameters: Parameters) -> Iterator[str]:
        """The answer as it comes, in pieces: NDJSON or CSV."""
        with self._answer(path, parameters) as answer:
            yield from answer.iter_text()

    def events(self, path: str, parameters: Parameters) -> Iterator[tuple[str, dict[str, Any]]]:
        """(name, data) of the events of a stream, until the agent says `end`."""
        name = ""
        with self._answer(path, parameters, SECONDS_OF_SILENCE) as answer:
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))
                    if name == "end":
                        return
        raise HoneyguideError(f"The agent at {self._url} is gone.", "Look at its log.")

    @contextmanager
    def _answer(
        self, path: str, parameters: Parameters, silence: float = SECONDS_TO_ANSWER, *, method: str = "GET", body: Any = None
    ) -> Iterator[httpx.Response]:
        timeout = httpx.Timeout(SECONDS_TO_ANSWER, connect=SECONDS_TO_CONNECT, read=silence)
        try:
            with self._http.stream(method, PREFIX + path, params=dict(parameters), json=body, timeout=timeout) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    raise self._refusal(answer)
                yield answer
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise HoneyguideError(f"No agent answers at {self._url}.", START_IT) from error
        except httpx.TimeoutException as error:
            raise HoneyguideError(f"The agent at {self._url} does not answer.", "It may be overloaded.") from error
        except httpx.UnsupportedProtocol as error:
            raise HoneyguideError(f"{self._url!r} is no URL.", "Write it like http://127.0.0.1:9464.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HoneyguideError(f"The agent at {self._url} broke off: {error}.", "Look at its log.") from error

    def _refusal(self, answer: httpx.Response) -> HoneyguideError:
        try:
            error = answer.json()["error"]
            reason, parameter, allowed = error["reason"], error["parameter"], error["allowed"]
        except (ValueError, KeyError, TypeError):
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                return HoneyguideError(f"The agent at {self._url} has too many clients.", "Try again.")
            return self._stranger()
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            return HoneyguideError(f"The agent at {self._url} wants its token.", "Set HONEYGUIDE_TOKEN, or use --token-file.")
        named = f"--{parameter.replace('_', '-')}: " if parameter and answer.status_code == httpx.codes.BAD_REQUEST else ""
        if allowed and not parameter:
            return HoneyguideError(reason, allowed)
        return HoneyguideError(f"{named}{reason}", f"Allowed: {allowed}." if allowed else "")

    def _stranger(self) -> HoneyguideError:
        return HoneyguideError(f"What answers at {self._url} is not honeyguide.", "Say where it is: --url or HONEYGUIDE_URL.")
