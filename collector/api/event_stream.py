"""Server-sent events (WHATWG HTML, 9.2): rows as they come, for readers that may be slow, or gone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from anyio.abc import TaskGroup
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from collector.api.refusals import refuse
from collector.batch import Rows
from collector.errors import QueryError
from collector.store.follow import Followers, Subscription

POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 2000

RecordMaker = Callable[[Rows], list[dict[str, Any]]]


class Events(Response):
    """Ends when the reader goes or `stopping` says so. A reader that does not read loses rows, and nobody waits for it.

    name: of the events that hold rows.
    """

    media_type = "text/event-stream"

    def __init__(self, followers: Followers, make_records: RecordMaker, stopping: Callable[[], bool], name: str) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._followers = followers
        self._make_records = make_records
        self._stopping = stopping
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            subscription = self._followers.subscribe()
        except QueryError as error:
            await refuse(429, str(error))(scope, receive, send)
            return
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_end_with_reader, receive, tasks)
                await self._write(subscription, send)
                tasks.cancel_scope.cancel()
        finally:
            self._followers.unsubscribe(subscription)

    async def _write(self, subscription: Subscription, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for text in self._texts(subscription):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _texts(self, subscription: Subscription) -> AsyncIterator[str]:
        yield f"retry: {RETRY_MILLISECONDS}\n\n"
        silent = 0.0
        while not self._stopping():
            text = await self._next_text(subscription)
            silent = 0.0 if text else silent + POLL_SECONDS
            if silent >= HEARTBEAT_SECONDS:
                text, silent = ": still here\n\n", 0.0
            if text:
                yield text
            await anyio.sleep(POLL_SECONDS)
        yield event("end", {"reason": "the agent stops"})

    async def _next_text(self, subscription: Subscription) -> str:
        rows, lost = subscription.take()
        if not len(rows):
            return ""
        records = await run_in_threadpool(self._make_records, rows)
        notice = event("lost", {"rows": lost}) if lost else ""
        return notice + "".join(event(self._name, record) for record in records)


async def _end_with_reader(receive: Receive, tasks: TaskGroup) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    tasks.cancel_scope.cancel()


def event(name: str, content: object) -> str:
    """One event; JSON has no line breaks."""
    return f"event: {name}\ndata: {json.dumps(content)}\n\n"
