"""Routes that the user gives: `/users/{id}`, `/users/:id`, `/users/<int:id>`, `/files/*` (a segment), `/static/**` (the rest)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from collector.errors import SettingsError

NAME = re.compile(r"\{(\w+)[^{}]*\}|:(\w+)|<(?:\w+:)?(\w+)>|(\*{1,2})", re.ASCII)
LITERAL = re.compile(r"[^\s{}<>*]+")
WILDCARD_NAMES = {"*": "any", "**": "rest"}


class RoutePatterns:
    """The first pattern that fits wins. Written out, every placeholder is `:name`, so that no route needs escaping in PromQL.

    Raises SettingsError for a pattern that cannot be read.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [_read_pattern(pattern) for pattern in patterns]

    def find(self, segments: list[str]) -> str:
        """The route of a path's segments, '' when no pattern fits."""
        for form, takes_rest, route in self._patterns:
            fits = len(segments) >= len(form) if takes_rest else len(segments) == len(form)
            if fits and all(part is None or part == segment for part, segment in zip(form, segments, strict=False)):
                return route
        return ""


def _read_pattern(pattern: str) -> tuple[list[str | None], bool, str]:
    """(segments, None for any; whether more may follow; the route as it is shown)."""
    if not pattern.startswith("/"):
        raise SettingsError(f"route pattern {pattern!r} does not begin with /.", "Write it like /users/{id}/orders.")
    form: list[str | None] = []
    shown: list[str] = []
    parts = [part for part in pattern.split("/") if part]
    for position, part in enumerate(parts):
        found = NAME.fullmatch(part)
        if found and found[0] == "**":
            if position != len(parts) - 1:
                raise SettingsError(f"route pattern {pattern!r} has ** before its end.", "Use * for one segment.")
            return form, True, "/" + "/".join([*shown, ":rest"])
        if not found and not LITERAL.fullmatch(part):
            raise SettingsError(f"route pattern {pattern!r} has a segment {part!r} that is neither text nor a placeholder.")
        name = found and next(group for group in found.groups() if group)
        form.append(None if found else part)
        shown.append(f":{WILDCARD_NAMES.get(name, name)}" if name else part)
    return form, False, "/" + "/".join(shown)
