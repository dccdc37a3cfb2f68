"""The routes of one service as a tree of segments, in which a level can become one `:id`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from collector.decode.route_segments import PLACEHOLDER

OFTEN = 16  # hits of a name that is a word, though many values stand beside it


class RouteNode:
    """hits: how often this route was asked for lately. proven: it was answered with success."""

    __slots__ = ("children", "collapsed", "hits", "is_route", "proven")

    def __init__(self) -> None:
        self.children: dict[str, RouteNode] = {}
        self.collapsed = False
        self.is_route = False
        self.proven = False
        self.hits = 0

    def child(self, segment: str) -> RouteNode | None:
        """The node of the next segment, which on a collapsed level may be the placeholder's."""
        found = self.children.get(segment)
        return self.children.get(PLACEHOLDER) if found is None and self.collapsed else found

    def names(self) -> list[str]:
        """Children that are words."""
        return [name for name in self.children if name != PLACEHOLDER]

    def total_hits(self) -> int:
        """Of this node and all below."""
        return self.hits + sum(child.total_hits() for child in self.children.values())

    def merge(self, other: RouteNode) -> None:
        """Takes in all that `other` holds."""
        self.hits += other.hits
        self.is_route |= other.is_route
        self.proven |= other.proven
        self.collapsed |= other.collapsed
        for name, child in other.children.items():
            mine = self.children.get(name)
            if mine is None:
                self.children[name] = child
            else:
                mine.merge(child)

    def collapse(self, width: int) -> None:
        """Names become `:id`, but for a few that are asked for far more often than the rest; so does a level below that
        has more than `width` names then."""
        hits = {name: self.children[name].total_hits() for name in self.names()}
        usual = sorted(hits.values())[len(hits) // 2] if hits else 0
        words = [name for name, count in hits.items() if count >= max(OFTEN, 8 * usual)]
        kept = set(words) if len(words) * 4 <= len(hits) else set()
        target = self.children.setdefault(PLACEHOLDER, RouteNode())
        for name in hits:
            if name not in kept:
                target.merge(self.children.pop(name))
        self.collapsed = True
        for child in target.children.values():
            if len(child.names()) > width:
                child.collapse(width)
        if len(target.names()) > width:
            target.collapse(width)


class RouteTree:
    """Routes by their segments."""

    def __init__(self) -> None:
        self.root = RouteNode()

    def find(self, template: Sequence[str]) -> RouteNode | None:
        """The node of a route; None when there is no such route."""
        node: RouteNode | None = self.root
        for segment in template:
            node = node.child(segment) if node is not None else None
        return node if node is not None and node.is_route else None

    def deepest(self, template: Sequence[str]) -> tuple[RouteNode, str]:
        """(the last node on the way that exists, the segment it lacks, '' when the whole way exists)."""
        node = self.root
        for segment in template:
            child = node.child(segment)
            if child is None:
                return node, segment
            node = child
        return node, ""

    def add(self, template: Sequence[str]) -> RouteNode:
        """Makes it a route."""
        node = self.root
        for segment in template:
            child = node.child(segment)
            if child is None:
                child = node.children[segment] = RouteNode()
            node = child
        node.is_route = True
        return node

    def name(self, template: Sequence[str]) -> str:
        """The route as text, with the placeholders of collapsed levels."""
        node, parts = self.root, []
        for segment in template:
            parts.append(segment if segment in node.children else PLACEHOLDER)
            node = node.child(segment) or RouteNode()
        return "/" + "/".join(parts)

    def routes(self) -> Iterator[tuple[tuple[str, ...], RouteNode]]:
        """All of them with their segments."""
        pending: list[tuple[tuple[str, ...], RouteNode]] = [((), self.root)]
        while pending:
            template, node = pending.pop()
            if node.is_route:
                yield template, node
            pending.extend(((*template, name), child) for name, child in node.children.items())

    def remove(self, template: Sequence[str]) -> None:
        """Forgets a route, and the way to it where nothing else uses it."""
        way = [self.root]
        for segment in template:
            child = way[-1].child(segment)
            if child is None:
                return
            way.append(child)
        way[-1].is_route = False
        for node, segment in zip(reversed(way[:-1]), reversed(template), strict=True):
            child = node.children.get(segment)
            if child is not None and not child.is_route and not child.children:
                del node.children[segment]
