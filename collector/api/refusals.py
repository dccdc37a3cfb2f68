"""Every refusal has one form: what is wrong, with which parameter, and what is allowed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from collector.errors import QueryError
from collector.store.parameter_error import ParameterError

log = logging.getLogger(__name__)
TEXT_MAX = 200
REFUSED_TEXTS = {
    400: "A parameter cannot be.",
    401: "The token is missing or wrong (only where one is set).",
    403: "Asked by another site's page, or under a name that is not this machine's.",
}


class Refusal(BaseModel):
    """Why there is no answer."""

    reason: str = Field(description="What is wrong, in a sentence.", examples=["A page of 0 flows cannot be had."])
    parameter: str | None = Field(None, description="The parameter that is wrong, if it is one.", examples=["limit"])
    allowed: str | None = Field(None, description="What it may be.", examples=["1 to 10000"])


class ErrorAnswer(BaseModel):
    """The answer to a question that cannot be answered."""

    error: Refusal


def refuse(status: int, reason: str, parameter: str | None = None, allowed: str | None = None) -> JSONResponse:
    """The answer with this HTTP status."""
    return JSONResponse({"error": {"reason": reason, "parameter": parameter, "allowed": allowed}}, status)


def add_refusals(app: FastAPI) -> None:
    """Makes every error of `app` answer in this form."""
    app.add_exception_handler(ParameterError, _refuse_parameter)
    app.add_exception_handler(QueryError, _refuse_reader)
    app.add_exception_handler(RequestValidationError, _refuse_values)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(Exception, _admit_fault)


async def _refuse_parameter(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ParameterError)
    return refuse(400, error.cause, error.parameter, error.allowed)


async def _refuse_reader(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QueryError)
    return refuse(429, str(error))


async def _refuse_values(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    name = str(first["loc"][-1])[:TEXT_MAX]
    known = _parameters(request)
    if first["type"] == "extra_forbidden":
        return refuse(400, f"There is no parameter {name!r} here.", name, ", ".join(sorted(known)) or "no parameter at all")
    given = str(first.get("input"))[:TEXT_MAX]
    return refuse(400, f"{name} cannot be {given!r}.", name, known.get(name) or first["msg"])


async def _refuse_route(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return refuse(404, f"There is nothing at {request.url.path[:TEXT_MAX]}.", None, "see /docs or /openapi.json")
    answer = refuse(error.status_code, f"{error.detail}.", None, (error.headers or {}).get("allow") or None)
    answer.headers.update(error.headers or {})
    return answer


async def _admit_fault(request: Request, error: Exception) -> JSONResponse:
    log.error("a request for %s failed", request.url.path, exc_info=error)
    return refuse(500, "The agent made a mistake answering this; its log says more.")


def _parameters(request: Request) -> dict[str, str]:
    """Name -> what is allowed, of all query parameters of the route of `request`."""
    route = request.scope.get("route")
    dependant = getattr(route, "dependant", None)
    models: Sequence[Any] = [field.field_info.annotation for field in getattr(dependant, "query_params", ())]
    return {
        name: str((info.json_schema_extra or {}).get("x-allowed", ""))
        for model in models
        if isinstance(model, type) and issubclass(model, BaseModel)
        for name, info in model.model_fields.items()
        if not callable(info.json_schema_extra)
    }
