"""What a connection speaks and who asks on it, by the first bytes of what each end says in its turn."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from collector.decode.protocol_table import KnownProtocol, recognise
from collector.decode.tcp_half_stream import Run

BEGINNING_BYTES = 2048  # of a turn: a request line or a greeting
EARLY_BYTES_MAX = 16_384  # kept until the protocol is known
EARLY_RUNS_MAX = 64
TURNS_MAX = 16


class Early(NamedTuple):
    """A run of bytes that came before it was known what they are. end: 0 or 1."""

    end: int
    run: Run
    time_ns: int


class Choice(NamedTuple):
    """client: the end that asks. early: all that is to be fed first."""

    protocol: KnownProtocol
    client: int
    early: list[Early]


class ProtocolChoice:
    """client: the end that asks, -1 when the opening was not seen; server_guess: the end whose port looks like a service.

    given_up: nobody recognises it, and nothing is kept any more.
    """

    def __init__(self, client: int, server_guess: int) -> None:
        guessed = 1 - server_guess
        self._joined_midway = client < 0
        self._clients = (guessed, server_guess) if client < 0 else (client,)
        self._early: deque[Early] = deque()
        self._early_bytes = 0
        self._beginnings = [b"", b""]
        self._speaker = -1
        self._turns = 0
        self._in_the_dark = False  # bytes of this turn were not seen: what follows does not begin it
        self.given_up = False

    def add(self, end: int, run: Run, time_ns: int) -> Choice | None:
        """None while it is not certain."""
        if self.given_up:
            return None
        self._note_turn(end, run)
        self._early.append(Early(end, run, time_ns))
        self._early_bytes += len(run.data)
        for client in self._clients:
            protocol = recognise(self._beginnings[client], self._beginnings[1 - client])
            if protocol is not None:
                return Choice(protocol, client, list(self._early))
        self._make_room()
        return None

    def _note_turn(self, end: int, run: Run) -> None:
        if end != self._speaker:
            self._speaker, self._beginnings[end], self._in_the_dark = end, b"", False
            self._turns += 1
        room = 0 if self._in_the_dark else BEGINNING_BYTES - len(self._beginnings[end])
        self._beginnings[end] += run.data[:room]
        self._in_the_dark = self._in_the_dark or run.unseen != 0

    def _make_room(self) -> None:
        """The beginning of a connection tells or nothing does; one joined in the middle may only have to go on to its
        next request."""
        full = self._early_bytes > EARLY_BYTES_MAX or len(self._early) > EARLY_RUNS_MAX
        if self._turns > TURNS_MAX or (full and not self._joined_midway):
            self.given_up = True
            self._early.clear()
            return
        while self._early_bytes > EARLY_BYTES_MAX or len(self._early) > EARLY_RUNS_MAX:
            self._early_bytes -= len(self._early.popleft().run.data)
