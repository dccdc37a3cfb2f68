"""http.route without configuration: paths become templates, each service has a bounded number of them, and what is over
the limit, or was never answered well, is counted under one name.

A route is earned: at once by an answer below 400, slowly by errors, so that ten thousand paths of a scanner, all answered
with 404, leave no trace, while a real route that only fails still appears. When there are too many, a level of the path at
which ever more names come is a level of values and becomes `:id` (GitHub-like /org/repo); and routes that nobody asks for
any more give way to those that somebody does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collector.decode.route_patterns import RoutePatterns
from collector.decode.route_segments import read_segment
from collector.decode.route_tree import RouteNode, RouteTree

OTHER_ROUTE = ":other"
DEPTH_MAX = 16  # segments; what is deeper shares a route
ENOUGH = 60  # evidence that earns a route
EVIDENCE_OF_FAILURE = 30  # 5xx: something is there, and broken
EVIDENCE_OF_REFUSAL = 12  # 401, 403, 409, 422, 429, ...
EVIDENCE_OF_ABSENCE = 1
ABSENT = frozenset((0, 400, 404, 405, 410, 414, 421, 444, 501))  # what scanners are answered; 0: no answer
MEMORY_PATHS = 4096  # of one service whose route is remembered
MEMORY_PATHS_OF_ALL = 16_384  # of all services; over it the memory begins anew. 11 MiB
WAITING_PER_ROUTE = 4
FADE_EVERY = 2048  # questions after which old use counts half; a power of two
CROWD_CHECK_EVERY = 64  # questions that found no room


@dataclass(slots=True)
class _Waiting:
    evidence: int = 0
    hits: int = 0


@dataclass(slots=True)
class _Remembered:
    """How many paths all services remember."""

    paths: int = 0


class RouteTable:
    """Routes of all services. max_routes: of one service, user patterns not counted. max_services: beyond it the service that
    was asked for least recently is forgotten. discarded counts paths that got OTHER_ROUTE by reason, and forgotten services.

    Raises SettingsError for a pattern that cannot be read.
    """

    def __init__(self, max_routes: int = 100, patterns: Sequence[str] = (), max_services: int = 4096) -> None:
        self.discarded: dict[str, int] = {}
        self._max_routes = max_routes
        self._max_services = max_services
        self._patterns = RoutePatterns(patterns)
        self._services: dict[int, _ServiceRoutes] = {}
        self._remembered = _Remembered()

    def route(self, service: int, path: str, status: int) -> str:
        """The route of `path` (url.path, no query) of a service, given that it was answered with `status` (0: not at all).

        '' for an empty path. Memoised; may rename a route of earlier calls when a level turns out to hold values.
        """
        if not path:
            return ""
        known = self._services.get(service)
        if known is None:
            known = self._add_service(service)
        if self._remembered.paths >= MEMORY_PATHS_OF_ALL:
            for one in self._services.values():
                one.forget_paths()
        return known.route(path, status)

    def routes(self, service: int) -> list[str]:
        """The routes of a service at the moment, sorted, patterns not counted."""
        known = self._services.get(service)
        return sorted("/" + "/".join(template) for template, _ in known.tree.routes()) if known else []

    def remembered(self) -> int:
        """Paths of all services whose route is known without looking."""
        return self._remembered.paths

    def forget(self, service: int) -> None:
        """The service is gone."""
        known = self._services.pop(service, None)
        if known:
            known.forget_paths()

    def _add_service(self, service: int) -> _ServiceRoutes:
        if len(self._services) >= self._max_services:
            self.forget(min(self._services, key=lambda one: self._services[one].asked_lately()))
            self.discarded["forgotten_service"] = self.discarded.get("forgotten_service", 0) + 1
            for other in self._services.values():
                other.begin_period()
        made = self._services[service] = _ServiceRoutes(self._max_routes, self._patterns, self.discarded, self._remembered)
        return made


class _ServiceRoutes:
    def __init__(self, max_routes: int, patterns: RoutePatterns, discarded: dict[str, int], remembered: _Remembered) -> None:
        self._remembered = remembered
        self.tree = RouteTree()
        self._max_routes = max_routes
        self._crowd = max(16, max_routes // 2)  # names that come to a full table and show their level to be one of values
        self._patterns = patterns
        self._discarded = discarded
        self._memory: dict[str, tuple[str, RouteNode | None]] = {}
        self._waiting: dict[tuple[str, ...], _Waiting] = {}
        self._routes = self._unproven = 0
        self._asked = self._asked_before = self._turned_away = 0
        self._least_hits = 0  # of a route, when last counted

    def forget_paths(self) -> None:
        """Which routes they led to; the routes stay."""
        self._remembered.paths -= len(self._memory)
        self._memory.clear()

    def asked_lately(self) -> int:
        """Questions since `begin_period`."""
        return self._asked - self._asked_before

    def begin_period(self) -> None:
        """What was asked before is long ago."""
        self._asked_before = self._asked

    def route(self, path: str, status: int) -> str:
        """See RouteTable."""
        self._asked += 1
        if self._asked % FADE_EVERY == 0:
            self._fade()
        name, node = self._memory.get(path) or self._learn(path, status)
        if node is not None:
            node.hits += 1
            if not node.proven and 0 < status < 400:
                node.proven = True
                self._unproven -= 1
        return name

    def _learn(self, path: str, status: int) -> tuple[str, RouteNode | None]:
        segments = [segment for segment in path.split("/") if segment]
        found = self._patterns.find(segments)
        if found:
            return self._remember(path, found, None)
        if not path.startswith("/"):
            return OTHER_ROUTE, None  # OPTIONS *
        template = tuple(map(read_segment, segments[:DEPTH_MAX])) + ((":rest",) if len(segments) > DEPTH_MAX else ())
        node = self.tree.find(template) or self._earn(template, status)
        if node is None:
            return OTHER_ROUTE, None
        return self._remember(path, self.tree.name(template), node)

    def _remember(self, path: str, name: str, node: RouteNode | None) -> tuple[str, RouteNode | None]:
        if len(self._memory) >= MEMORY_PATHS:
            self.forget_paths()
        self._remembered.paths += path not in self._memory
        self._memory[path] = name, node
        return name, node

    def _earn(self, template: tuple[str, ...], status: int) -> RouteNode | None:
        waiting = self._waiting.get(template) or self._add_waiting(template)
        waiting.hits += 1
        waiting.evidence += _weigh(status)
        is_proven = 0 < status < 400
        if waiting.evidence < ENOUGH or (not is_proven and self._unproven * 4 >= self._max_routes):
            self._count("unproven_route")
            return None
        if self._routes >= self._max_routes and not self._make_room(waiting, is_proven):
            self._count("over_limit")
            return None
        return self._accept(template, waiting, is_proven)

    def _accept(self, template: tuple[str, ...], waiting: _Waiting, is_proven: bool) -> RouteNode:
        del self._waiting[template]
        node = self.tree.find(template) or self.tree.add(template)
        node.proven |= is_proven
        node.hits += waiting.hits - 1
        self._recount()
        return node

    def _count(self, reason: str) -> None:
        self._discarded[reason] = self._discarded.get(reason, 0) + 1

    def _add_waiting(self, template: tuple[str, ...]) -> _Waiting:
        if len(self._waiting) >= WAITING_PER_ROUTE * self._max_routes:
            ranked = sorted(self._waiting.items(), key=lambda item: (item[1].evidence >= ENOUGH, item[1].hits), reverse=True)
            self._waiting = dict(ranked[: len(ranked) // 2])
        made = self._waiting[template] = _Waiting()
        return made

    def _make_room(self, waiting: _Waiting, is_proven: bool) -> bool:
        """A level at which names keep coming becomes :id; otherwise the route that is used least goes."""
        self._turned_away += 1
        level = self._find_crowd() if self._turned_away % CROWD_CHECK_EVERY == 0 else None
        if level is not None:
            level.collapse(self._crowd)
            self._recount()
            self.forget_paths()
            self._waiting = {template: one for template, one in self._waiting.items() if one is waiting}
        else:
            self._remove_idle(waiting, is_proven)
        return self._routes < self._max_routes

    def _find_crowd(self) -> RouteNode | None:
        """The level at which most names wait, when they are a crowd."""
        names: dict[int, set[str]] = {}
        nodes: dict[int, RouteNode] = {}
        for template, waiting in self._waiting.items():
            if waiting.evidence >= ENOUGH:
                node, name = self.tree.deepest(template)
                names.setdefault(id(node), set()).add(name)
                nodes[id(node)] = node
        crowded = max(names, key=lambda one: len(names[one]), default=0)
        return nodes[crowded] if crowded and len(names[crowded]) >= self._crowd else None

    def _remove_idle(self, waiting: _Waiting, is_proven: bool) -> None:
        """The route that is used least, when it is used less than the one that waits, or was never answered well."""
        if waiting.hits <= 2 * self._least_hits + 2 and not (is_proven and self._unproven):
            return
        template, idle = min(self.tree.routes(), key=lambda route: (route[1].proven, route[1].hits))
        self._least_hits = idle.hits
        if waiting.hits > 2 * idle.hits + 2 or (is_proven and not idle.proven):
            self.tree.remove(template)
            self._recount()
            self.forget_paths()

    def _recount(self) -> None:
        nodes = [node for _, node in self.tree.routes()]
        self._routes = len(nodes)
        self._unproven = sum(not node.proven for node in nodes)

    def _fade(self) -> None:
        for _, node in self.tree.routes():
            node.hits //= 2
        for waiting in self._waiting.values():
            waiting.hits //= 2
        self._waiting = {template: waiting for template, waiting in self._waiting.items() if waiting.hits}
        self._least_hits //= 2


def _weigh(status: int) -> int:
    if status in ABSENT:
        return EVIDENCE_OF_ABSENCE
    if status < 400:
        return ENOUGH
    return EVIDENCE_OF_FAILURE if status >= 500 else EVIDENCE_OF_REFUSAL
