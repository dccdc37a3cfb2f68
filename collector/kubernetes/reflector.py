"""Keeps one kind of object in step with the API server: everything once, then changes, and everything again when it must.

Rules: https://kubernetes.io/docs/reference/using-api/api-concepts/ ("Efficient detection of changes", "Streaming lists").
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec

from collector.kubernetes.api_client import ApiClient, sentence
from collector.kubernetes.backoff import Backoff
from collector.kubernetes.failure import ApiError, Outcome, outcome_of_status
from collector.kubernetes.known_objects import KnownObjects
from collector.kubernetes.resource_kinds import ResourceKind
from collector.kubernetes.shapes import NOT_READABLE, Event, Named, Page, Status
from collector.kubernetes.versions import is_before
from collector.kubernetes.watch_book import WatchBook

PAGE_OBJECTS = 500
LONGEST_LINE = 16 << 20
INITIAL_END = "k8s.io/initial-events-end"
CHANGES = ("ADDED", "MODIFIED", "DELETED")
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
# After these a server may come back with an older etcd; a watch from a version that it has not reached yet would say nothing.
DOUBTFUL = (Outcome.UNREACHABLE, Outcome.DROPPED, Outcome.SILENT, Outcome.SERVER_ERROR)
REWOUND = "The API server's versions went back: etcd was restored from a snapshot."
# Asking again soon would not help, and a thousand agents would.
REFUSED_SECONDS = 60.0
MOST_BROKEN_OFF = 3

_page = msgspec.json.Decoder(Page)
_event = msgspec.json.Decoder(Event)
_named = msgspec.json.Decoder(Named)
_status = msgspec.json.Decoder(Status)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. silence: of a watch before it counts as dead; API servers send a bookmark about every minute. stream: the life
    that we ask for, random up to twice as long, so that streams do not end together. spread: peers are first asked for within it.
    """

    silence: float = 150.0
    list_silence: float = 60.0
    stream: float = 300.0
    spread: float = 10.0
    scale: float = 1.0


@dataclass(slots=True)
class Reflector:
    """run: for ever, until cancelled. complete: set as soon as everything was told once."""

    kind: ResourceKind
    client: ApiClient
    objects: KnownObjects
    book: WatchBook
    pace: Pace
    backoff: Backoff
    now: Callable[[], float] = time.time
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    _version: str = ""  # where the next watch goes on; '': everything must be told first
    _least: str = "0"  # how fresh a complete answer must be; 0: what the server's cache has, '': the newest
    _streams: bool = True  # the server may know streaming lists (sendInitialEvents)
    _doubtful: bool = False  # whether the server still counts versions on from ours
    _seen: set[str] | None = None  # while everything is being told: what was
    _unreadable: int = 0

    async def run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                await self._follow()
                self._count(Outcome.ENDED)
                failure = None
            except ApiError as caught:
                failure = caught
            self.backoff.lived(time.monotonic() - started)
            if failure is not None and self._adapt(failure):
                await self._wait(failure)
            elif failure is None and time.monotonic() - started < self.pace.scale:
                await self._wait(None)  # it ends at once: do not ask in a circle

    async def _follow(self) -> None:
        """Until the stream ends as it should."""
        if not self._version and not self._streams:
            await self._list()
        if self._version and self._doubtful:
            await self._compare_versions()
        await self._watch()

    async def _compare_versions(self) -> None:
        """By a list of one object's metadata, which every server answers with the version that its etcd has now."""
        body = await self.client.get(self.kind.path, {"limit": "1"}, self.pace.list_silence, METADATA_ONLY)
        self.book.hear(len(body), self.now())
        self._count(Outcome.ANSWERED)
        if is_before(_decode_page(body).metadata.resource_version, self._version):
            raise ApiError(Outcome.REWOUND, REWOUND)
        self._doubtful = False

    def _adapt(self, failure: ApiError) -> bool:
        """Draws the conclusions; False when there is another way to ask that needs no wait."""
        self._count(failure.outcome)
        broken_off, self._seen = self._seen is not None, None
        self._doubtful |= failure.outcome in DOUBTFUL
        if failure.outcome in (Outcome.GONE, Outcome.REWOUND):
            self._tell_all_again(failure.outcome.value)
        elif self._streams and not self._version and self._needs_pages(failure.outcome, broken_off):
            self._streams = False
            return False
        elif failure.outcome is Outcome.SERVER_ERROR and not self._version:
            self._least = ""  # it may be behind the version that we asked for
        elif failure.outcome is Outcome.UNREADABLE:
            self._unreadable += 1
            if self._unreadable > 1:
                self._tell_all_again("unreadable")
        self.book.failed(failure)
        return True

    def _needs_pages(self, outcome: Outcome, broken_off: bool) -> bool:
        """The server does not know streaming lists, or something on the way does not let them through."""
        often = broken_off and self.backoff.attempts >= MOST_BROKEN_OFF
        return outcome in (Outcome.UNSUPPORTED, Outcome.SILENT) or often

    def _tell_all_again(self, reason: str) -> None:
        self._version = self._least = ""
        self.book.relists[reason] += 1

    async def _wait(self, failure: ApiError | None) -> None:
        requested = failure.retry_after if failure else 0.0
        if failure is not None and failure.outcome in (Outcome.REFUSED, Outcome.MISSING):
            requested = max(requested, REFUSED_SECONDS * self.pace.scale)
        self.book.waits += 1
        await asyncio.sleep(self.backoff.next_wait(requested))

    def _count(self, outcome: Outcome) -> None:
        self.book.requests[outcome.value] += 1

    async def _list(self) -> None:
        """Page by page; all pages are of one version, from which the watch goes on."""
        self._seen = set()
        version, place = "", ""
        while True:
            parameters = {**self.kind.selector, "limit": str(PAGE_OBJECTS)}
            if place:
                parameters["continue"] = place
            elif self.kind.narrow and self._least:
                parameters["resourceVersion"] = self._least
            body = await self.client.get(self.kind.path, parameters, self.pace.list_silence)
            self.book.hear(len(body), self.now())
            page = _decode_page(body)
            for raw in page.items or ():
                self._change("ADDED", raw)
            self.objects.flush()
            self._count(Outcome.ANSWERED)
            version, place = version or page.metadata.resource_version, page.metadata.continue_
            if not place:
                break
        self._all_told(version)

    def _all_told(self, version: str) -> None:
        seen, self._seen = self._seen, None
        self.objects.keep_only(seen or set())
        self._version = self._least = version
        self._doubtful = False
        self.book.synced()
        self.complete.set()

    async def _watch(self) -> None:
        seconds = self.backoff.chance.uniform(self.pace.stream, 2 * self.pace.stream)
        parameters = {
            **self.kind.selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, round(seconds))),
            "resourceVersion": self._version or self._least,
        }
        if not self._version:
            parameters |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
            await self._be_told(parameters)
            return
        async with self.client.stream(self.kind.path, parameters, self.pace.silence) as chunks:
            self._heard_well(0)
            await self._read_lines(chunks)

    async def _be_told(self, parameters: dict[str, str]) -> None:
        """A watch that begins with everything there is; until that is told, silence means more."""
        try:
            async with asyncio.timeout(self.pace.list_silence) as bound:
                async with self.client.stream(self.kind.path, parameters, self.pace.silence) as chunks:
                    self._heard_well(0)
                    self._seen = set()
                    await self._read_lines(self._bounded(chunks, bound))
        except TimeoutError:
            raise ApiError(Outcome.SILENT, "The API server said nothing for too long.") from None
        if self._seen is not None:
            raise ApiError(Outcome.DROPPED, "The stream ended before everything was told.")

    async def _bounded(self, chunks: AsyncIterator[bytes], bound: asyncio.Timeout) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk
            telling = self._seen is not None
            bound.reschedule(asyncio.get_running_loop().time() + self.pace.list_silence if telling else None)

    async def _read_lines(self, chunks: AsyncIterator[bytes]) -> None:
        rest = b""
        async for chunk in chunks:
            self._heard_well(len(chunk))
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE:
                raise ApiError(Outcome.UNREADABLE, f"An event is longer than {LONGEST_LINE >> 20} MiB.")
            try:
                for line in lines:
                    if line:
                        self._take(line)
            finally:
                self.objects.flush()
        if rest.strip():
            raise ApiError(Outcome.DROPPED, "The stream ended in the middle of an event.")

    def _heard_well(self, size: int) -> None:
        self.book.hear(size, self.now())
        if self._version and self.book.cause:
            self.book.synced()

    def _take(self, line: bytes) -> None:
        try:
            event = _event.decode(line)
        except NOT_READABLE:
            raise ApiError(Outcome.UNREADABLE, "An event is not JSON, or not an event.") from None
        if event.type == "ERROR":
            raise _failure_of(event.object)
        if event.type == "BOOKMARK":
            self.book.events["bookmark"] += 1
            self._mark(event.object)
        elif event.type in CHANGES:
            self._change(event.type, event.object)
            if self._seen is None:
                self._version = _version_of(event.object) or self._version
        else:
            self.book.events["unknown"] += 1
        self._unreadable = 0

    def _mark(self, raw: msgspec.Raw) -> None:
        metadata = _decode_named(raw).metadata
        if self._seen is None:
            if is_before(metadata.resource_version, self._version):
                raise ApiError(Outcome.REWOUND, REWOUND)
            self._version = metadata.resource_version or self._version
        elif (metadata.annotations or {}).get(INITIAL_END) == "true":
            self._all_told(metadata.resource_version)

    def _change(self, kind: str, raw: msgspec.Raw) -> None:
        try:
            fact = self.kind.read(raw)
        except NOT_READABLE:
            self.book.events["unreadable"] += 1
            return
        self.book.events[kind.lower()] += 1
        if kind == "DELETED":
            self.objects.lose(fact)
            return
        if self._seen is not None:
            self._seen.add(fact.uid)
        self.objects.learn(fact)


def _decode_page(body: bytes) -> Page:
    try:
        return _page.decode(body)
    except NOT_READABLE:
        raise ApiError(Outcome.UNREADABLE, "A list is not JSON, or not a list.") from None


def _decode_named(raw: msgspec.Raw) -> Named:
    try:
        return _named.decode(raw)
    except NOT_READABLE:
        raise ApiError(Outcome.UNREADABLE, "An object has no metadata.") from None


def _version_of(raw: msgspec.Raw) -> str:
    return _decode_named(raw).metadata.resource_version


def _failure_of(raw: msgspec.Raw) -> ApiError:
    """Of an ERROR event: the HTTP status is 200, the real one is in the object."""
    try:
        status = _status.decode(raw)
    except NOT_READABLE:
        return ApiError(Outcome.UNREADABLE, "The API server reports an error in a form that is not known.")
    told = status.message[:300] or status.reason
    return ApiError(outcome_of_status(status.code), f"The API server ends the watch: {sentence(told)}")
