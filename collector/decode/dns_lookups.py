"""Lookups out of DNS messages: a question, what came back, and how long that took. Pairing is done for a batch at once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from collector.batch import Batch, BatchKind, Column, Rows
from collector.decode.dns_messages import MessageReader, Messages, number_of
from collector.decode.lookup_record import CLIENT, LOOKUP, LOOKUP_SCHEMA, SERVER, TIMEOUT

NANOSECONDS = 1_000_000_000
PENDING_MAX = 16_384
WORD = (1 << 64) - 1
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(29)

# A lookup in the making, or a response that looks for one.
ENTRY = np.dtype([*LOOKUP.descr, ("key", "u8"), ("key_without_question", "u8"), ("is_response", "?"), ("has_question", "?")])
FROM_PACKET = (
    "flow", "observed_at", "cgroup", "process_started_at", "local_address", "remote_address", "command", "netns",
    "process", "local_port", "remote_port",
)  # fmt: skip
FROM_EITHER_SIDE = ("process_started_at", "command", "process")


@dataclass(frozen=True, slots=True)
class Entries:
    """rows: ENTRY, shape (n,); questions: str, answers: tuple of (16-byte address, ttl), both of dtype object, shape (n,)."""

    rows: Rows
    questions: Column
    answers: Column

    def select(self, which: Column) -> Entries:
        return Entries(self.rows[which], self.questions[which], self.answers[which])

    def join(self, other: Entries) -> Entries:
        return Entries(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.questions, other.questions]),
            np.concatenate([self.answers, other.answers]),
        )


NO_ENTRIES = Entries(np.empty(0, ENTRY), np.empty(0, object), np.empty(0, object))


class LookupDecoder:
    """dns_message batches in, dns_lookup batches out, at the moment of the response or of the time-out.

    Client and server side of one lookup are two lookups. A question that is sent again is the same lookup. timeout: of a
    question without a response, in seconds.
    """

    def __init__(self, *, timeout: float = 5.0, pending_max: int = PENDING_MAX) -> None:
        self._timeout_ns = int(timeout * NANOSECONDS)
        self._pending_max = pending_max
        self._pending = NO_ENTRIES
        self._reader = MessageReader()
        self._seed = np.uint64(secrets.randbits(64))  # nobody outside can make two lookups look alike
        self.unpaired = 0
        self.overflow = 0
        self.retransmitted = 0

    def counters(self) -> Mapping[str, int]:
        """What did not become a lookup of its own, by reason, since the start.

        unpaired: responses to questions that were not seen, were given up or had their answer; retransmitted: questions
        sent again; overflow: questions forgotten for want of room.
        """
        return {
            "undecodable": self._reader.undecodable,
            "other_operations": self._reader.other_operations,
            "unpaired": self.unpaired,
            "retransmitted": self.retransmitted,
            "overflow": self.overflow,
            "stream_lost": self._reader.streams.lost,
            "stream_forgotten": self._reader.streams.forgotten,
        }

    def decode(self, batch: Batch) -> list[Batch]:
        """The lookups that this batch of dns_message ends; at most one batch."""
        messages = self._reader.read(batch)
        if not len(messages.which):
            return []
        arrived = self._enter(batch, messages)
        adopt_without_question(arrived, self._pending)
        ended = self._pair(self._pending.join(arrived))
        return [to_batch(ended)] if len(ended.rows) else []

    def expire(self, now_boot_ns: int) -> list[Batch]:
        """The lookups that nobody answered in time; at most one batch."""
        late = self._pending.rows["observed_at"] + np.uint64(self._timeout_ns) <= np.uint64(now_boot_ns)
        if not late.any():
            return []
        ended, self._pending = self._pending.select(late), self._pending.select(~late)
        ended.rows["response_code"] = TIMEOUT
        return [to_batch(ended)]

    def _enter(self, batch: Batch, messages: Messages) -> Entries:
        rows = np.zeros(len(messages.which), ENTRY)
        for name in FROM_PACKET:
            rows[name] = messages.rows[name]
        rows["transport"] = messages.rows["transport"] == number_of(batch, "transport", "tcp")
        rows["query_count"] = 1
        for name, values in content_columns(messages).items():
            rows[name] = values[messages.which]
        sent = messages.rows["direction"] == number_of(batch, "direction", "sent")
        rows["role"] = np.where(sent != rows["is_response"], CLIENT, SERVER)
        questions = to_objects([message.question for message in messages.distinct])[messages.which]
        answers = to_objects([message.addresses() for message in messages.distinct])[messages.which]
        self._set_keys(rows, messages, questions_hashed(messages)[messages.which])
        return Entries(rows, questions, answers)

    def _set_keys(self, rows: Rows, messages: Messages, question: Column) -> None:
        """Two numbers that are the same for a question and its response, with and without the question itself."""
        key = np.full(len(rows), self._seed)
        for column in (messages.identifiers, rows["role"], rows["transport"], rows["netns"], rows["local_port"]):
            key = mix(key, column)
        for name in ("local_address", "remote_address"):
            halves = np.ascontiguousarray(rows[name]).view(np.uint64).reshape(-1, 2)
            key = mix(mix(key, halves[:, 0]), halves[:, 1])
        rows["key_without_question"] = mix(key, rows["remote_port"])
        rows["key"] = mix(rows["key_without_question"], question)

    def _pair(self, entries: Entries) -> Entries:
        """Ends what has a response, keeps what has none.

        Sorted by key and time, a lookup begins with each question that does not follow a question of the same key, and
        ends with the response behind its last question.
        """
        rows = entries.rows
        order = np.lexsort((rows["observed_at"], rows["key"]))
        key, is_response = rows["key"][order], rows["is_response"][order]
        after_question = np.zeros(len(rows), bool)
        after_question[1:] = (key[1:] == key[:-1]) & ~is_response[:-1]
        begins = ~is_response & ~after_question
        ends = is_response & after_question
        self.retransmitted += int(np.count_nonzero(~is_response & after_question))
        self.unpaired += int(np.count_nonzero(is_response & ~ends))
        lookup = np.cumsum(begins) - 1  # whose row this is; meaningless for unpaired responses
        times_sent = np.bincount(lookup[~is_response], weights=rows["query_count"][order][~is_response])
        answered = np.zeros(np.count_nonzero(begins), bool)
        answered[lookup[ends]] = True
        questions = entries.select(order[begins])
        questions.rows["query_count"] = times_sent
        self._keep(questions.select(~answered))
        return close(questions.select(answered), entries.select(order[ends]))

    def _keep(self, unanswered: Entries) -> None:
        excess = len(unanswered.rows) - self._pending_max
        if excess > 0:
            newest = np.argsort(unanswered.rows["observed_at"], kind="stable")[excess:]
            unanswered = unanswered.select(newest)
            self.overflow += excess
        self._pending = unanswered


def adopt_without_question(arrived: Entries, pending: Entries) -> None:
    """Some error responses leave the question out: such a response belongs to the newest question it can belong to."""
    for index in np.flatnonzero(arrived.rows["is_response"] & ~arrived.rows["has_question"]):
        wanted = arrived.rows["key_without_question"][index]
        for entries in (arrived, pending):
            fitting = ~entries.rows["is_response"] & (entries.rows["key_without_question"] == wanted)
            if fitting.any():
                arrived.rows["key"][index] = entries.rows["key"][np.flatnonzero(fitting)[-1]]
                break


def close(questions: Entries, responses: Entries) -> Entries:
    """Lookups out of questions and their responses, pairwise in the same order."""
    rows, response = questions.rows, responses.rows
    rows["duration"] = response["observed_at"] - rows["observed_at"]
    for name in ("response_code", "answer_count", "truncated"):
        rows[name] = response[name]
    nobody = rows["process"] == 0  # a server's process is known when it responds
    for name in FROM_EITHER_SIDE:
        rows[name] = np.where(nobody, response[name], rows[name])
    return Entries(rows, questions.questions, responses.answers)


def to_batch(ended: Entries) -> Batch:
    rows = np.zeros(len(ended.rows), LOOKUP)
    for name in LOOKUP.names or ():
        rows[name] = ended.rows[name]
    rows["failure"] = rows["response_code"]
    return Batch(LOOKUP_SCHEMA, BatchKind.EVENTS, rows, {"question": ended.questions, "answers": ended.answers})


def content_columns(messages: Messages) -> dict[str, Column]:
    """Columns of ENTRY that the content of a message decides, one value for each distinct message."""
    distinct = messages.distinct
    return {
        "is_response": np.array([message.is_response for message in distinct], bool),
        "has_question": np.array([message.question != "" for message in distinct], bool),
        "response_code": np.array([message.response_code for message in distinct], np.uint16),
        "question_type": np.array([message.question_type for message in distinct], np.uint16),
        "answer_count": np.array([message.answer_count for message in distinct], np.uint16),
        "truncated": np.array([message.truncated for message in distinct], bool),
    }


def questions_hashed(messages: Messages) -> Column:
    """One number for the question of each distinct message."""
    asked = ((message.question, message.question_type, message.question_class) for message in messages.distinct)
    return np.array([hash(one) & WORD for one in asked], np.uint64)


def to_objects(values: list[object]) -> Column:
    return np.fromiter(values, object, len(values))


def mix(state: Column, column: Column) -> Column:
    """64-bit hash of what was mixed before and this column, shape (n,)."""
    mixed: Column = (state ^ column.astype(np.uint64)) * MULTIPLIER
    mixed ^= mixed >> SHIFT
    return mixed
