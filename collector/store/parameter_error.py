"""A question that cannot be answered, with what could have been asked instead."""

from __future__ import annotations

from collections.abc import Iterable

from collector.errors import QueryError


class ParameterError(QueryError):
    """parameter: whose value is wrong; allowed: what it may be."""

    def __init__(self, parameter: str, cause: str, allowed: str) -> None:
        super().__init__(cause, f"Allowed: {allowed}.")
        self.parameter = parameter
        self.allowed = allowed


def check_names(parameter: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """ParameterError when one of the names `given` is not allowed."""
    choices = [name for name in allowed if name]
    for name in given:
        if name not in choices:
            raise ParameterError(parameter, f"There is no {parameter} called {name[:100]!r}.", ", ".join(choices))
