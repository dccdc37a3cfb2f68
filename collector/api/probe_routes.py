"""Routes that change what is measured. Only for who knows the token, or for this machine where there is none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Body, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from collector.api.node_records import ProbeRecord, probe_records
from collector.api.refusals import ErrorAnswer, refuse
from collector.api.security import is_loopback
from collector.api.view import AgentView
from collector.errors import ControlError
from collector.probe_status import ProbeStatus

log = logging.getLogger(__name__)

REFUSALS: dict[int | str, dict[str, Any]] = {
    403: {"model": ErrorAnswer, "description": "Not from this machine, or not from that folder."},
    404: {"model": ErrorAnswer, "description": "There is no such probe."},
    409: {"model": ErrorAnswer, "description": "It runs already, it cannot be compiled or loaded, or this is a replay."},
}

ProbeName = Annotated[str, Path(max_length=40, description="Name of a probe.", examples=["tcp"])]


class Control(Protocol):
    """What changes probes; ControlError when it may not or cannot be."""

    def load(self, where: str) -> ProbeStatus: ...

    def enable(self, name: str) -> ProbeStatus: ...

    def disable(self, name: str) -> ProbeStatus: ...

    def unload(self, name: str) -> ProbeStatus: ...


class LoadRequest(BaseModel):
    """Which probe to load."""

    model_config = ConfigDict(extra="forbid")

    probe: str = Field(
        max_length=4096, description="Name of a folder below the probe path, or an absolute path.", examples=["execsnoop"]
    )


class ProbeRoutes:
    """load, unload, enable, disable. with_token: the guard has asked for it already."""

    def __init__(self, agent: AgentView, control: Control | None, *, with_token: bool) -> None:
        self._agent = agent
        self._control = control
        self._with_token = with_token

    def router(self) -> APIRouter:
        """All of them, without a prefix."""
        router = APIRouter(tags=["probes"])
        more: dict[str, Any] = {"methods": ["POST"], "response_model": ProbeRecord, "responses": REFUSALS}
        router.add_api_route("/probes/load", self.load_probe, **more)
        router.add_api_route("/probes/{name}/unload", self.unload_probe, **more)
        router.add_api_route("/probes/{name}/enable", self.enable_probe, **more)
        router.add_api_route("/probes/{name}/disable", self.disable_probe, **more)
        return router

    def load_probe(self, asked: Annotated[LoadRequest, Body()], request: Request) -> Response:
        """Compiles it if need be, loads it, and answers when it runs."""
        return self._answer(request, lambda control: control.load(asked.probe))

    def unload_probe(self, name: ProbeName, request: Request) -> Response:
        """Takes a probe out of the kernel and off the list; its series go."""
        return self._answer(request, lambda control: control.unload(name))

    def enable_probe(self, name: ProbeName, request: Request) -> Response:
        """Starts a probe that is disabled, refused or stopped."""
        return self._answer(request, lambda control: control.enable(name))

    def disable_probe(self, name: ProbeName, request: Request) -> Response:
        """Takes a probe out of the kernel; it stays listed."""
        return self._answer(request, lambda control: control.disable(name))

    def _answer(self, request: Request, change: Callable[[Control], ProbeStatus]) -> Response:
        asker = request.client.host if request.client else ""
        if not self._with_token and not is_loopback(asker):
            return refuse(403, "Without a token probes can be changed from this machine only.", None, "set HONEYGUIDE_TOKEN")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return refuse(403, "The content type must be application/json.", "Content-Type", "application/json")
        if self._control is None:
            return refuse(409, "This is a replay: there is no kernel to load a probe into.")
        log.warning("%s asks for %s", asker, request.url.path)
        try:
            status = change(self._control)
        except ControlError as error:
            return refuse(error.status, error.cause, None, error.remedy or None)
        return JSONResponse(probe_records([status], self._agent.books())[0])
