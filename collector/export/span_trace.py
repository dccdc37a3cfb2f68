"""Where in a trace a span is: by the traceparent of its request, by the thread that made it, or at the beginning of its own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from collector.batch import Rows
from collector.export.span_content import CLIENT, SERVER
from collector.export.span_identity import REMOTE_PARENT, RemoteParent
from collector.export.span_parents import Cause, ParentLinks
from collector.export.span_rows import PendingSpan

SAMPLED = 1
LOCAL_PARENT = 0x100  # Span.flags: it is known whether the parent is remote, and it is not
SERVERS_KEPT = 4096


class ServerSpan(NamedTuple):
    """What a call needs of the span it may belong to."""

    trace_id: bytes
    span_id: bytes
    remote: RemoteParent | None


class TracePlaces:
    """A thread links only spans that were both sampled: a parent that is never sent would be a hole in the trace."""

    def __init__(self) -> None:
        self._links = ParentLinks()
        self._servers: OrderedDict[Cause, ServerSpan] = OrderedDict()

    def observe(self, rows: Rows) -> None:
        """All rows of a batch, sampled or not."""
        self._links.observe(rows)

    def place_first(self, span: PendingSpan) -> None:
        """By what the span itself says. A server's span may have calls; theirs may come before or after it."""
        if span.remote is None:
            span.flags, span.method = SAMPLED | LOCAL_PARENT, "none"
        else:
            span.trace_id, span.parent_id = span.remote.trace_id, span.remote.span_id
            span.flags, span.method = span.remote.flags | SAMPLED | REMOTE_PARENT, "traceparent"
        if not is_call(span):
            self._keep_server(span)
            span.place = None

    def _keep_server(self, span: PendingSpan) -> None:
        if span.place is None or span.place.role != SERVER:
            return
        cause = Cause(span.place.flow, span.place.start)
        self._servers[cause] = ServerSpan(span.trace_id, span.span_id, span.remote)
        if len(self._servers) > SERVERS_KEPT:
            self._servers.popitem(last=False)

    def place_calls(self, calls: Sequence[PendingSpan]) -> None:
        """By what has become known of their threads meanwhile."""
        causes = self._links.causes([(span.place.thread, span.place.start) if span.place else (0, 0) for span in calls])
        for span, cause in zip(calls, causes, strict=True):
            server = self._servers.get(cause) if cause is not None else None
            # A call with a traceparent of its own has a closer parent, unless the header was only passed on (a proxy).
            if server is not None and (span.remote is None or span.remote == server.remote):
                span.trace_id, span.parent_id = server.trace_id, server.span_id
                span.flags, span.method = SAMPLED | LOCAL_PARENT, "thread"
            span.place = None


def is_call(span: PendingSpan) -> bool:
    """Whether it may turn out to belong to a server's span: a client's, on a known thread."""
    return span.place is not None and span.place.role == CLIENT and span.place.thread != 0
