"""The kernel's connection tracking as a source of rows: whose addresses are rewritten, and into what.

Events tell what begins and ends; the whole table is read at the start and again after events were lost.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from collector.accounts import Book
from collector.address_translation import EXISTING, PROBE, RECORD, SCHEMA, TABLE_READ
from collector.batch import Batch, BatchKind, Rows
from collector.catalog.manifest import Hook, Manifest, Record
from collector.catalog.probe_model import ProbeModel
from collector.clock import NANOSECONDS, Clock
from collector.errors import LoadError
from collector.probe_status import HookStatus, ProbeState, ProbeStatus
from collector.source.conntrack_messages import STATUS_DESTINATION, STATUS_SOURCE, Messages, ask_for_table, read_messages
from collector.source.conntrack_socket import (
    TABLE_BUFFER,
    ElsewhereError,
    inode_of,
    open_in_namespace,
    receive,
    refusal,
    subscribe,
    widen_buffer,
)

log = logging.getLogger(__name__)

QUESTION = "Who really stands at the other end of a connection whose addresses this node rewrites (NAT)?"
PURPOSE = "connections with rewritten addresses"
HOST_NAMESPACE = Path("/proc/1/ns/net")  # where kube-proxy and container engines have their rules
TRACKING = Path("/proc/sys/net/netfilter/nf_conntrack_max")
NOT_TRACKING = (
    "nothing tracks connections on this node (nf_conntrack is not loaded), so no address is rewritten; looked for again"
)
SILENT = "the kernel does not tell what begins and ends, so only connections older than the agent are known"
SILENT_REMEDY = "sysctl net.netfilter.nf_conntrack_events=1"
TRY_AGAIN_AFTER_NS = 30 * NANOSECONDS
DATAGRAMS_PER_READ = 8192
TABLE_DATAGRAMS_PER_READ = 64  # of some hundred connections each
SLACK_NS = NANOSECONDS  # a socket's state changes before its first packet is tracked
REREAD_AFTER_NS = 10 * NANOSECONDS  # the table is not read more often, however many events are lost
DUMPS = (STATUS_DESTINATION, STATUS_SOURCE)
MODEL = ProbeModel(
    PROBE,
    Manifest(
        question=QUESTION,
        cost="per connection whose addresses are rewritten",
        oldest_kernel="5.10",
        hook=[Hook(purpose=PURPOSE, account="connections", alternatives=["netlink"])],
        record=[Record(struct=RECORD, ring="events", account="connections", feeds="translations")],
    ),
    {RECORD: SCHEMA},
    {},
)


class ConntrackSource:
    """A Source. `open` never raises: without the privilege or the kernel's help the status says so, and no rows come.

    namespace: the network namespace whose table counts. tracking: a file that is there once the kernel tracks connections;
    until then the source waits, because asking would load modules that nobody else needs.
    """

    def __init__(
        self, clock: Clock, namespace: Path = HOST_NAMESPACE, tracking: Path = TRACKING, *, enabled: bool = True
    ) -> None:
        self._clock, self._namespace, self._tracking = clock, namespace, tracking
        self._next_try = 0
        self._opened = False
        self._events: socket.socket | None = None
        self._table: socket.socket | None = None
        self._netns = inode_of(namespace)
        self._pending: list[int] = []  # dumps that are still to be asked for; the one that runs is in `_asked`
        self._asked = False
        self._reading_since = 0
        self._read_at = 0
        self._complete_until = 0  # nothing that began before was missed
        self._disturbed = False  # something was lost while the table was read
        self._complete = False  # all that exists is told, and nothing was lost since
        self._overruns = self._seen = self._plain = self._other = self._rows = 0
        state = ProbeState.RUNNING if enabled else ProbeState.DISABLED
        self._status = ProbeStatus(PROBE, QUESTION, state, cause="" if enabled else "switched off by the settings")
        self.probes = [MODEL]

    @property
    def finished(self) -> bool:
        return False

    def open(self) -> None:
        self._opened = True
        if self._status.state is ProbeState.DISABLED:
            return
        self._next_try = self._clock.boot_ns() + TRY_AGAIN_AFTER_NS
        hooks = (HookStatus(PURPOSE, "netlink", "netlink/nf_conntrack"),)
        if not self._tracking.exists():
            self._status = ProbeStatus(PROBE, QUESTION, ProbeState.RUNNING, hooks, notes=(NOT_TRACKING,))
            return
        try:
            self._events, self._table = open_in_namespace(self._namespace), open_in_namespace(self._namespace)
            subscribe(self._events)
            widen_buffer(self._table, TABLE_BUFFER)
            self._probe_table(self._table)
        except LoadError as error:
            log.warning("%s cannot run: %s %s", PROBE, error.cause, error.remedy)
            self._refuse(error)
            return
        notes = (f"{SILENT}: {SILENT_REMEDY}",) if self._is_silent() else ()
        self._status = ProbeStatus(PROBE, QUESTION, ProbeState.RUNNING, hooks, notes=notes)

    def _is_silent(self) -> bool:
        """Whether events are switched off; not when it cannot be told."""
        try:
            return (self._tracking.parent / "nf_conntrack_events").read_text().strip() == "0"
        except OSError:
            return False

    def _probe_table(self, table: socket.socket) -> None:
        """Asks for the table the first time; what is refused is refused at once."""
        self._reread(0)
        self._ask(table)
        table.settimeout(1.0)
        try:
            answer = read_messages([table.recv(1 << 16, socket.MSG_PEEK)])
        except OSError as error:
            raise refusal(error.errno or 0) from None
        finally:
            table.setblocking(False)
        if answer.error:
            raise refusal(answer.error)

    def _refuse(self, error: LoadError) -> None:
        """An agent with a network of its own is whole without this probe; anything else that is in the way is a fault."""
        self.close()
        state = ProbeState.DISABLED if isinstance(error, ElsewhereError) else ProbeState.REFUSED
        self._status = ProbeStatus(PROBE, QUESTION, state, cause=error.cause, remedy=error.remedy)

    def read(self) -> list[Batch]:
        """What began and ended since the last call, and as much of the table as has arrived."""
        now = self._clock.boot_ns()
        if self._events is None and self._status.state is ProbeState.RUNNING and now >= self._next_try:
            self.open()
        if self._events is None or self._table is None:
            return []
        try:
            parts = [self._read_events(self._events, now), *self._read_table(self._table, now)]
        except OSError as error:
            self._refuse(refusal(error.errno or 0))
            return []
        if self._complete:
            self._complete_until = self._read_at
        rows = np.concatenate(parts)
        return [Batch(SCHEMA, BatchKind.EVENTS, rows)] if len(rows) else []

    def _read_events(self, events: socket.socket, now: int) -> Rows:
        datagrams, overruns = receive(events, DATAGRAMS_PER_READ)
        if overruns:
            self._overruns += overruns
            self._complete, self._disturbed = False, True
        reading = self._asked or self._pending
        if not self._complete and not reading and now >= self._reading_since + REREAD_AFTER_NS:
            self._reread(now)
        since = max(self._read_at - SLACK_NS, 0)
        if len(datagrams) < DATAGRAMS_PER_READ:
            self._read_at = now
        return self._stamp(read_messages(datagrams), now, since)

    def _reread(self, now: int) -> None:
        self._pending, self._reading_since, self._disturbed = list(DUMPS), now, False

    def _ask(self, table: socket.socket) -> None:
        table.send(ask_for_table(1, self._pending.pop(0)))
        self._asked = True

    def _read_table(self, table: socket.socket, now: int) -> list[Rows]:
        if not self._asked and self._pending:
            self._ask(table)
        if not self._asked:
            return []
        datagrams, overruns = receive(table, TABLE_DATAGRAMS_PER_READ)
        found = read_messages(datagrams)
        rows = self._stamp(found, now, max(self._complete_until - SLACK_NS, 0))
        rows["event"] = EXISTING
        self._disturbed |= bool(overruns) or found.interrupted or bool(found.error)
        self._asked = not (found.done or found.error)
        if self._asked or self._pending or self._disturbed:
            return [rows]
        self._complete = True
        return [rows, self._table_read(now)]

    def _stamp(self, found: Messages, now: int, since: int) -> Rows:
        found.rows["observed_at"], found.rows["since"], found.rows["netns"] = now, since, self._netns
        self._seen += found.plain + found.other + len(found.rows)
        self._plain += found.plain
        self._other += found.other
        self._rows += len(found.rows)
        return found.rows

    def _table_read(self, now: int) -> Rows:
        row = np.zeros(1, SCHEMA.dtype)
        row["event"], row["observed_at"], row["since"], row["netns"] = TABLE_READ, now, self._reading_since, self._netns
        return row

    def steer(self, probe: str, modes: Mapping[int, int]) -> None:
        return None

    def books(self) -> Sequence[Book]:
        """seen: connections told (the kernel keeps back most that are not rewritten). filtered: not rewritten, or without ports.
        dropped: each time the kernel had no room for events it is one, however many they were; the table is read again then.
        """
        if self._status.state is not ProbeState.RUNNING:
            return []
        dropped = {"buffer_full": self._overruns}
        filtered = self._plain + self._other
        return [Book(PROBE, "connections", self._seen + self._overruns, self._rows, filtered, 0, dropped, True, self._rows)]

    def statuses(self) -> Sequence[ProbeStatus]:
        """Nothing before it was opened: where no probe can run, it is not."""
        return [self._status] if self._opened else []

    def fills(self) -> dict[tuple[str, str], float]:
        return {}

    def close(self) -> None:
        for opened in (self._events, self._table):
            if opened is not None:
                opened.close()
        self._events = self._table = None
