"""The HTTP application: every route, and what surrounds all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

from collector.api.cluster_routes import ClusterRoutes
from collector.api.flow_routes import FlowRoutes
from collector.api.landing_page import POLICY, landing_page
from collector.api.node_routes import NodeRoutes
from collector.api.probe_routes import Control, ProbeRoutes
from collector.api.reference_page import reference_page
from collector.api.refusals import REFUSED_TEXTS, ErrorAnswer, add_refusals, refuse
from collector.api.repeated_parameters import refuse_repeated
from collector.api.request_routes import RequestRoutes
from collector.api.security import Guard, Security
from collector.api.view import AgentView, HealthState

PREFIX = "/api/v1"
THREADS = 3  # answers worked on at once; more would only fight for the interpreter with the pipeline
# FastAPI would report every request to whatever OTEL_* names: those variables are for what the agent sees, not for itself.
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text} for status, text in REFUSED_TEXTS.items()
}


def never() -> bool:
    return False


def create_app(
    agent: AgentView, security: Security, stopping: Callable[[], bool] = never, control: Control | None = None
) -> FastAPI:
    """stopping: becomes true when the server wants its streams to end. control: absent where nothing can be changed."""
    app = FastAPI(
        title="honeyguide",
        version=agent.version,
        description="Every connection, request, name lookup and process of one Linux node, by workload.",
        docs_url=None,
        redoc_url=None,
        lifespan=_with_few_threads,
        telemetry=NO_TELEMETRY,
        generate_unique_id_function=_operation_name,
    )
    api = APIRouter(prefix=PREFIX, dependencies=[Depends(refuse_repeated)], responses=REFUSED)
    api.include_router(FlowRoutes(agent, stopping).router())
    api.include_router(RequestRoutes(agent, stopping).router())
    api.include_router(NodeRoutes(agent).router())
    api.include_router(ProbeRoutes(agent, control, with_token=bool(security.token)).router())
    api.include_router(ClusterRoutes(agent).router())
    app.include_router(api)
    app.include_router(_plain_routes(agent))
    app.include_router(_pages(app, agent))
    add_refusals(app)
    _leave_out_422(app)
    app.add_middleware(Guard, security=security)
    return app


@asynccontextmanager
async def _with_few_threads(_app: FastAPI) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _operation_name(route: APIRoute) -> str:
    return route.name


def _plain_routes(agent: AgentView) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """The process is alive. Needs no token."""
        return "ok\n"

    @router.get("/readyz", response_class=PlainTextResponse, responses={503: {"description": "No data yet."}})
    def readyz() -> Response:
        """Data has been read at least once."""
        state = agent.health().state
        return PlainTextResponse(f"{state.value}\n", 503 if state is HealthState.STARTING else 200)

    @router.get("/metrics", response_class=PlainTextResponse, responses={404: {"description": "Switched off."}})
    def metrics(request: Request) -> Response:
        """All metrics for Prometheus, in its text format or as OpenMetrics, as the Accept header says."""
        rendered = agent.render_metrics(request.headers.get("accept", ""))
        if rendered is None:
            return refuse(404, "Metrics for Prometheus are switched off.", None, "set HONEYGUIDE_PROMETHEUS=true")
        return StreamingResponse(rendered[0], headers={"content-type": rendered[1]})

    return router


def _pages(app: FastAPI, agent: AgentView) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    headers = {"content-security-policy": POLICY}

    @router.get("/")
    async def landing() -> HTMLResponse:
        return HTMLResponse(landing_page(agent.version), headers=headers)

    @router.get("/docs")
    def docs() -> HTMLResponse:
        return HTMLResponse(reference_page(app.openapi()), headers=headers)

    return router


def _leave_out_422(app: FastAPI) -> None:
    """FastAPI documents its own form of refusal for every route; ours is 400 with ErrorAnswer."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        for unused in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(unused, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
