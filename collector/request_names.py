"""What requests are called where they are spans or edges of a graph: one place for exported spans and for metrics of them."""

from __future__ import annotations

DATABASES = ("postgresql", "mysql", "redis")
# connection_type of Tempo's service graphs: '' is a plain request, virtual_node one to or from outside.
DIRECT, DATABASE, VIRTUAL = range(3)
CONNECTION_TYPES = ("", "database", "virtual_node")
UNNAMED = ("", "_OTHER")


def name_span(protocol: str, operation: str, route: str) -> str:
    """{method} {route}, the method of a call, {operation} {table}; by the protocol where nothing more is known."""
    if protocol in ("http", "websocket"):
        method = "HTTP" if operation in UNNAMED else operation
        return f"{method} {route}" if route else method
    if protocol == "grpc":
        return route or protocol
    if protocol == "dns":
        return f"DNS {operation}".rstrip()
    return " ".join(filter(None, (operation, route))) or protocol
