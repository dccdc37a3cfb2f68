"""What conversations share whose requests are answered in the order in which they were asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collector.decode.protocols.draft import RequestDraft
from collector.decode.request import Outcome, Request, Side

OUTSTANDING_MAX = 10_000  # requests of one connection that wait for their answers; 3 MB of drafts
PATIENT = 8
QUIET_NS = 1_000_000_000  # after which no answer is on its way any more
CLIENT, SERVER = Side.CLIENT, Side.SERVER
NOTHING: tuple[Request, ...] = ()


class OrderedConversation:
    """Hands bytes to `_ask` or `_answer` by their side, unseen ones to `_pass`, and keeps what is finished until they return.

    opaque: why nothing more is read from this connection (tls, compressed, replication, ...), '' as long as it is read.
    _doubtful: after a loss, answers may belong to other requests than those that are outstanding. For a client that waits for
    every answer before it asks on, doubt ends with its next request; for another one when there was silence before that.
    """

    def __init__(self) -> None:
        self.discarded: dict[str, int] = {}
        self._finished: list[Request] = []
        self.opaque = ""
        self._doubtful = False
        self._waits = PATIENT  # how often in a row the client has waited for every answer before it asked on, up to PATIENT
        self._last_side: Side | None = None
        self._heard_at = 0  # the server's last byte
        self._heard_from = 0  # its first since the client's last, and how many there were
        self._heard_bytes = 0
        self._heard_all = True

    def feed(self, side: Side, data: bytes, time_ns: int) -> Sequence[Request]:
        if not data or self.opaque:
            return NOTHING
        if side is CLIENT:
            self._ask(data, time_ns)
        else:
            self._answer(data, time_ns)
        return self._hand_over(side, len(data), time_ns)

    def skip(self, side: Side, size: int, time_ns: int) -> Sequence[Request]:
        if size <= 0 or self.opaque:
            return NOTHING
        self._pass(side, size, time_ns)
        return self._hand_over(side, size, time_ns)

    def lose(self, side: Side) -> None:
        self._discard("lost")
        self._last_side = side
        self._heard_all = False
        if not self.opaque:
            self._lose(side)

    def end(self, time_ns: int) -> Sequence[Request]:
        drafts = list(self._drain())
        if len(drafts) == 1 and self._doubtful and self._heard_at >= drafts[0].request_ended_at:
            self._end_long_answer(drafts[0])  # nothing was asked after it
        for draft in drafts:
            if draft.outcome is Outcome.UNKNOWN and not self._doubtful:
                draft.outcome = Outcome.UNANSWERED
            self._finished.append(draft.seal())
        finished, self._finished = self._finished, []
        return finished

    def _end_long_answer(self, draft: RequestDraft) -> None:
        """All that the server said since then belongs to this only request, whose answer's end nobody saw."""
        draft.ended_at = draft.ended_at or self._heard_at
        if self._heard_all and not draft.response_bytes:
            draft.response_bytes = self._heard_bytes
            draft.response_started_at = self._heard_from

    def _hand_over(self, side: Side, size: int, time_ns: int) -> Sequence[Request]:
        if side is CLIENT:
            self._heard_bytes, self._heard_all = 0, True
        else:
            self._heard_at = time_ns
            self._heard_from = self._heard_from if self._heard_bytes else time_ns
            self._heard_bytes += size
            self._heard_all = self._heard_all and not self._finished  # else some of it was an answer to another request
        self._last_side = side
        if not self._finished:
            return NOTHING
        finished, self._finished = self._finished, []
        return finished

    def _discard(self, reason: str) -> None:
        self.discarded[reason] = self.discarded.get(reason, 0) + 1

    def _begin_turn(self, time_ns: int) -> None:
        """The client asks again after it heard the server."""
        if not self._doubtful:
            self._waits = 0 if self._is_waiting() else min(self._waits + 1, PATIENT)
            return
        quiet = not self._is_waiting() and time_ns - self._heard_at >= QUIET_NS
        self._doubtful = self._waits < PATIENT and not quiet
        self._give_up(waited=self._waits == PATIENT)
        if not self._doubtful:
            self._rejoin_answers()

    def _give_up(self, *, waited: bool = False) -> None:
        """Nobody can tell which answers belong to what is outstanding, unless it is one whose answer the client waited for."""
        drafts = list(self._drain())
        if waited and len(drafts) == 1 and self._heard_at >= drafts[0].request_ended_at:
            self._end_long_answer(drafts[0])
        self._finished.extend(draft.seal() for draft in drafts)

    def _close_eyes(self, reason: str) -> None:
        """What follows on this connection is no requests and answers."""
        self._give_up()
        self.opaque = reason
        self._discard(reason)

    def _ask(self, data: bytes, time_ns: int) -> None:
        raise NotImplementedError

    def _answer(self, data: bytes, time_ns: int) -> None:
        raise NotImplementedError

    def _pass(self, side: Side, size: int, time_ns: int) -> None:
        raise NotImplementedError

    def _lose(self, side: Side) -> None:
        raise NotImplementedError

    def _rejoin_answers(self) -> None:
        """The server's next byte is the first of an answer."""
        raise NotImplementedError

    def _is_waiting(self) -> bool:
        """Whether something is outstanding."""
        raise NotImplementedError

    def _drain(self) -> Iterable[RequestDraft]:
        """The outstanding drafts in their order; none is outstanding afterwards."""
        raise NotImplementedError
