"""Who we are to the API server: a token from a file that is renewed, a fixed one, or what a plug-in program prints."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from collector.kubernetes.failure import ApiError, Outcome

# The kubelet renews tokens when a fifth of their life (at least ten minutes) is left.
READ_AGAIN_SECONDS = 60.0
PLUGIN_SECONDS = 30.0
EARLY_SECONDS = 30.0


class Credentials(Protocol):
    async def token(self) -> str:
        """The bearer token now; '' for none (a client certificate says who we are). ApiError when there should be one."""
        ...

    def forget(self) -> None:
        """The server did not accept it: the next call of `token` gets a new one."""
        ...


@dataclass(slots=True)
class FixedToken:
    """value: '' for none."""

    value: str = ""

    async def token(self) -> str:
        return self.value

    def forget(self) -> None:
        return


@dataclass(slots=True)
class TokenFile:
    """A projected service account token: the kubelet replaces the file before the token expires."""

    path: Path
    _value: str = ""
    _read_at: float = 0.0

    async def token(self) -> str:
        now = time.monotonic()
        if not self._value or now - self._read_at > READ_AGAIN_SECONDS:
            try:
                self._value = self.path.read_text(encoding="ascii").strip()
            except (OSError, ValueError) as error:
                raise ApiError(Outcome.UNAUTHENTICATED, f"The token {self.path} cannot be read: {error}.") from None
            self._read_at = now
        return self._value

    def forget(self) -> None:
        self._value = ""


@dataclass(slots=True)
class ExecPlugin:
    """client.authentication.k8s.io/v1: a program prints an ExecCredential. Nothing it prints is ever logged."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    api_version: str = "client.authentication.k8s.io/v1"
    _value: str = ""
    _until: float = 0.0

    async def token(self) -> str:
        if not self._value or time.time() >= self._until:
            self._value, self._until = _read_credential(await self._run())
        return self._value

    def forget(self) -> None:
        self._value = ""

    async def _run(self) -> bytes:
        request = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
        given = {**os.environ, **self.environment, "KUBERNETES_EXEC_INFO": json.dumps(request)}
        nothing, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*self.command, stdin=nothing, stdout=pipe, stderr=nothing, env=given)
        except OSError as error:
            raise ApiError(Outcome.UNAUTHENTICATED, f"The plug-in {self.command[0]} cannot run: {error.strerror}.") from None
        try:
            printed, _ = await asyncio.wait_for(process.communicate(), PLUGIN_SECONDS)
        except TimeoutError:
            raise ApiError(Outcome.UNAUTHENTICATED, f"The plug-in {self.command[0]} took too long.") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise ApiError(Outcome.UNAUTHENTICATED, f"The plug-in {self.command[0]} failed with status {process.returncode}.")
        return printed


def _read_credential(printed: bytes) -> tuple[str, float]:
    """(token, unix s until which it holds)."""
    try:
        status = json.loads(printed)["status"]
        expires = status.get("expirationTimestamp")
        until = datetime.fromisoformat(expires).timestamp() - EARLY_SECONDS if expires else float("inf")
        return str(status["token"]), until
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ApiError(Outcome.UNAUTHENTICATED, "The plug-in printed no ExecCredential with a token.") from None
