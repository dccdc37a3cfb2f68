"""Who made a ReplicaSet or a Job: asked once for each that owns a pod of this node, metadata only.

Not by a watch: a thousand agents would each hear of every ReplicaSet in the cluster whenever one of its pods gets ready,
while what is asked here never changes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from collector.cluster_facts import Owner, Pod
from collector.kubernetes.api_client import ApiClient
from collector.kubernetes.backoff import Backoff
from collector.kubernetes.fact_reading import owner_of
from collector.kubernetes.failure import ApiError, Outcome
from collector.kubernetes.known_objects import ClusterObject
from collector.kubernetes.reflector import REFUSED_SECONDS, Pace
from collector.kubernetes.shapes import NOT_READABLE, Named
from collector.kubernetes.watch_book import WatchBook

METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PATHS = {"ReplicaSet": ("replicasets", "/apis/apps/v1"), "Job": ("jobs", "/apis/batch/v1")}
KEPT_OWNERS = 10_000
# More than a node has pods; while nobody answers, the oldest questions are of pods long gone.
KEPT_QUESTIONS = 1000
GIVEN_UP = (Outcome.MISSING, Outcome.UNREADABLE)

_named = msgspec.json.Decoder(Named)


@dataclass(frozen=True, slots=True)
class Question:
    """owner: the one whose owner is asked for."""

    namespace: str
    owner: Owner


@dataclass(frozen=True, slots=True)
class Answer:
    """kind: of what was asked about. owners: empty when nothing owns it, None when it is not there any more."""

    kind: str
    owners: tuple[Owner, ...] | None


@dataclass(slots=True)
class OwnerLookup:
    """found: called with each pod that waited, once its owner's owner is known. books: by resource."""

    node: str
    client: ApiClient
    books: dict[str, WatchBook]
    pace: Pace
    backoff: Backoff
    now: Callable[[], float]
    found: Callable[[Pod], None] = lambda _: None
    _answers: OrderedDict[str, Answer] = field(default_factory=OrderedDict)
    _waiting: OrderedDict[str, tuple[Question, dict[str, Pod]]] = field(default_factory=OrderedDict)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    def complete(self, fact: ClusterObject) -> ClusterObject:
        """A pod of this node with all its owners, as far as they are known; it is told again when more is."""
        if not isinstance(fact, Pod) or fact.node != self.node or not fact.owners or fact.owners[0].kind not in PATHS:
            return fact
        owner = fact.owners[0]
        if owner.uid not in self._answers:
            self._ask(Question(fact.namespace, owner), fact)
            return fact
        found = self._answers[owner.uid].owners
        return fact if found is None else replace(fact, owners=(owner, *found))

    def _ask(self, question: Question, pod: Pod) -> None:
        self._waiting.setdefault(question.owner.uid, (question, {}))[1][pod.uid] = pod
        if len(self._waiting) > KEPT_QUESTIONS:
            _, (oldest, _) = self._waiting.popitem(last=False)
            self._book(oldest.owner.kind).events["over_limit"] += 1
        self._asked.set()

    async def run(self) -> None:
        """For ever, until cancelled; one question at a time."""
        while True:
            await self._asked.wait()
            if not self._waiting:
                self._asked.clear()
                continue
            question, _ = next(iter(self._waiting.values()))
            book = self._book(question.owner.kind)
            try:
                self._keep(question, await self._answer(question, book))
                self.backoff.attempts = 0
            except ApiError as failure:
                await self._postpone(question, failure, book)

    async def _answer(self, question: Question, book: WatchBook) -> tuple[Owner, ...] | None:
        """Empty: nothing owns it. None: that object is no more, another has its name."""
        resource, prefix = PATHS[question.owner.kind]
        path = f"{prefix}/namespaces/{question.namespace}/{resource}/{question.owner.name}"
        body = await self.client.get(path, {}, self.pace.list_silence, METADATA_ONLY)
        book.hear(len(body), self.now())
        book.requests[Outcome.ANSWERED.value] += 1
        try:
            metadata = _named.decode(body).metadata
        except NOT_READABLE:
            raise ApiError(Outcome.UNREADABLE, f"The answer about a {question.owner.kind} has no metadata.") from None
        book.synced()
        if metadata.uid != question.owner.uid:
            return None
        outer = owner_of(metadata)
        return () if outer is None else (outer,)

    def _keep(self, question: Question, owners: tuple[Owner, ...] | None) -> None:
        uid = question.owner.uid
        self._answers[uid] = Answer(question.owner.kind, owners)
        self._book(question.owner.kind).objects += 1
        if len(self._answers) > KEPT_OWNERS:
            _, oldest = self._answers.popitem(last=False)
            self._book(oldest.kind).objects -= 1
        _, pods = self._waiting.pop(uid, (question, {}))
        for pod in pods.values():
            self.found(pod)

    def _book(self, kind: str) -> WatchBook:
        return self.books[PATHS[kind][0]]

    async def _postpone(self, question: Question, failure: ApiError, book: WatchBook) -> None:
        """What is not there any more stays unanswered; for the rest others go first."""
        book.requests[failure.outcome.value] += 1
        if failure.outcome in GIVEN_UP:
            self._keep(question, None)
            return
        book.failed(failure)
        book.waits += 1
        if question.owner.uid in self._waiting:
            self._waiting.move_to_end(question.owner.uid)
        refused = REFUSED_SECONDS * self.pace.scale if failure.outcome is Outcome.REFUSED else 0.0
        await asyncio.sleep(self.backoff.next_wait(max(refused, failure.retry_after)))
