"""Requests as the API server double saw them, and the ways it can be told to answer them badly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Act = Callable[[Any], None]  # gets the double's handler of that request


@dataclass
class Request:
    """verb: list, watch or get. status: 0 until answered. sent: bytes of body so far. bearer, agent: of its headers."""

    verb: str
    resource: str
    query: dict[str, str]
    accept: str
    bearer: str
    agent: str
    subject: str = ""
    name: str = ""
    namespace: str = ""
    status: int = 0
    sent: int = 0
    ended: bool = False


@dataclass
class Fault:
    """act: answers the request in its own way. verb: '' for any. times: so many requests, then it is over."""

    resource: str
    act: Act
    verb: str = ""
    times: int = 1

    def concerns(self, request: Request) -> bool:
        return self.times > 0 and self.resource in ("", request.resource) and self.verb in ("", request.verb)


def refuse(resource: str, status: int, reason: str = "", verb: str = "", times: int = 1, **headers: str) -> Fault:
    """Answers with that status and a Status object."""
    return Fault(resource, lambda handler: handler.answer_status(status, reason, **headers), verb, times)


def hang(resource: str, verb: str = "") -> Fault:
    """Takes the request and never answers."""
    return Fault(resource, lambda handler: handler.wait_for_end(), verb)


def half_a_page(resource: str) -> Fault:
    """A list of which only the first half arrives before the connection is cut."""
    return Fault(resource, lambda handler: handler.send_half_a_page(), "list")


def silent_watch(resource: str) -> Fault:
    """A watch that begins well and never says anything, not even that its time is over."""
    return Fault(resource, lambda handler: handler.begin_silence(), "watch")


def say(resource: str, line: bytes, verb: str = "watch") -> Fault:
    """A stream that consists of this."""
    return Fault(resource, lambda handler: handler.say(line), verb)
