"""Which parameters may be given several times, over all routes."""

from __future__ import annotations

from fastapi import Request

from collector.api.parameters import FlowParameters, LookupParameters, ProcessParameters
from collector.api.request_parameters import RequestParameters
from collector.store.parameter_error import ParameterError

REPEATABLE = {
    name
    for model in (FlowParameters, LookupParameters, ProcessParameters, RequestParameters)
    for name, info in model.model_fields.items()
    if info.default_factory is list
}


def refuse_repeated(request: Request) -> None:
    """Route dependency: a parameter that takes one value and is given two is a mistake, whichever would win."""
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if given.count(name) > 1 and name not in REPEATABLE:
            raise ParameterError(name[:100], f"{name[:100]} is given {given.count(name)} times.", "once")
