"""Who held an address at a moment, as the cluster tells; and addresses of which it may tell later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collector.batch import Column
from collector.enrich.address_timeline import Answer, Place, find_answer, read_timeline
from collector.enrich.cluster import Cluster
from collector.enrich.cluster_objects import KnownPod
from collector.enrich.identity import Identities
from collector.enrich.networks import NetworkTable
from collector.enrich.workload_table import WorkloadKey
from collector.row_hash import hash_rows
from collector.workload import UNKNOWN, WorkloadKind

PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}  # IANA protocol numbers
MEMO_SIZE = 16_384  # addresses,
PLACES = 256  # and ports of each, whose meaning is remembered
WAITING = 512  # addresses and ports that are waited for at a time; each takes a number, and series of its own meanwhile
WAIT_NS = 60 * 1_000_000_000  # whoever is told later than that after the first row is nobody's news
WAITED = 16_384  # addresses and ports that were waited for in vain, which is remembered
NEVER_PODS = frozenset(("internet", "loopback", "multicast", "broadcast", "documentation", "reserved", "this-network"))
SERVICE_NAME_PARTS = 3  # name.namespace.svc and the cluster's domain


@dataclass(frozen=True, slots=True)
class Question:
    """Rows, each column of shape (n,) but octets (n, 16): remote address and port, when they were opened (boot_ns).

    transport: IP protocol numbers. port: 0 where it was chosen by the peer.
    """

    transport: Column
    octets: Column
    port: Column
    opened_at: Column

    def distinct(self) -> tuple[list[Place], Column]:
        """(the distinct places, for each row which of them)."""
        words = [*np.ascontiguousarray(self.octets).view(np.uint64).T, self.port, self.transport]
        _, first, inverse = np.unique(hash_rows(words), return_index=True, return_inverse=True)
        return [self._place(row) for row in first.tolist()], inverse

    def _place(self, row: int) -> Place:
        number = int(self.transport[row])
        return Place(self.octets[row].tobytes(), PROTOCOLS.get(number, str(number)), int(self.port[row]))


@dataclass(slots=True)
class Waiting:
    """Rows with this number were opened between first and last."""

    number: int
    first: int
    last: int


class ClusterPeers:
    """Numbers for what the cluster knows. What an address meant is worked out once, until something is learnt about it."""

    def __init__(self, cluster: Cluster, identities: Identities) -> None:
        self._cluster, self._identities = cluster, identities
        self._memo: dict[bytes, dict[Place, list[Answer]]] = {}
        self._waiting: OrderedDict[Place, Waiting] = OrderedDict()
        self._waited: OrderedDict[Place, None] = OrderedDict()
        self._of_address: dict[bytes, set[Place]] = {}
        cluster.on_address = self.tell

    @property
    def waits(self) -> bool:
        """Whether it is worth while to wait for news."""
        return self._cluster.expected

    def find(self, asked: Question) -> Column:
        """int32 per row: who held the address when the row was opened; UNKNOWN when nobody, or more than one, is known."""
        numbers = np.full(len(asked.port), UNKNOWN, np.int32)
        if not len(self._cluster.holders):
            return numbers
        places, inverse = asked.distinct()
        timelines = [self._timeline(place) for place in places]
        known = np.array([bool(timeline) for timeline in timelines])
        rows = self._fill_simple(asked, timelines, inverse, np.flatnonzero(known[inverse]), numbers)
        if not len(rows):
            return numbers
        order = rows[np.argsort(inverse[rows], kind="stable")]
        owners, starts = np.unique(inverse[order], return_index=True)
        for owner, group in zip(owners.tolist(), np.split(order, starts[1:]), strict=True):
            numbers[group] = self._answer(timelines[owner], asked.opened_at[group])
        return numbers

    def _fill_simple(
        self, asked: Question, timelines: list[list[Answer]], inverse: Column, rows: Column, numbers: Column
    ) -> Column:
        """Fills in the rows about places that had one holder all the time; the rows that are left."""
        only = [answers[0] if len(answers) == 1 else None for answers in timelines]
        simple = np.array([answer is not None for answer in only])
        since = np.array([answer.since if answer else 0 for answer in only], np.uint64)
        mine = rows[simple[inverse[rows]]]
        mine = mine[asked.opened_at[mine] >= since[inverse[mine]]]
        of_place = np.zeros(len(timelines), np.int32)
        for place in np.unique(inverse[mine]).tolist():
            answer = only[place]
            of_place[place] = self._identities.number_of(answer.key) if answer and answer.key else UNKNOWN
        numbers[mine] = of_place[inverse[mine]]
        left: Column = rows[~simple[inverse[rows]]]
        return left

    def service_named(self, name: str) -> int | None:
        """The number of the service that exists in name only (ExternalName), if that is its DNS name."""
        parts = name.split(".", SERVICE_NAME_PARTS)
        service = self._cluster.services.named(parts[1], parts[0]) if len(parts) >= SERVICE_NAME_PARTS else None
        if service is None or not service.external_name or parts[2] != "svc":
            return None
        return self._identities.number_of(key_of_service(service.name, service.namespace))

    def is_of_pods(self, address: bytes) -> bool:
        """Whether a pod has or had that address."""
        return any(isinstance(one, KnownPod) for one in self._cluster.holders.history(address))

    def wait(self, asked: Question, networks: NetworkTable) -> Column:
        """int32 per row: the network of the address, with a number of its own where news may come of who held it."""
        places, inverse = asked.distinct()
        order = np.argsort(inverse, kind="stable")
        groups = np.split(order, np.unique(inverse[order], return_index=True)[1][1:])
        numbers = np.zeros(len(inverse), np.int32)
        for place, rows in zip(places, groups, strict=True):
            opened = asked.opened_at[rows]
            numbers[rows] = self._await(place, networks.name_of(place.address), int(opened.min()), int(opened.max()))
        return numbers

    def tell(self, addresses: Sequence[bytes] | None) -> None:
        """Something was learnt of these addresses (None: of any): rows that wait for a name get that of who held it then."""
        if addresses is None:
            self._memo.clear()
            return
        for address in addresses:
            self._memo.pop(address, None)
            for place in self._of_address.pop(address, ()):
                waiting = self._waiting.pop(place, None)
                self._waited.pop(place, None)
                if waiting is None:
                    continue
                timeline = read_timeline(self._cluster, place)
                first, last = (find_answer(timeline, moment) for moment in (waiting.first, waiting.last))
                if first is not None and last is not None and first.key == last.key and first.key is not None:
                    self._identities.name_number(waiting.number, first.key)
                self._identities.release(waiting.number)

    def _timeline(self, place: Place) -> list[Answer]:
        known = self._memo.get(place.address)
        if known is None and not self._cluster.holders.history(place.address):
            return []
        if known is None:
            if len(self._memo) >= MEMO_SIZE:
                self._memo.clear()
            known = self._memo[place.address] = {}
        found = known.get(place)
        if found is None:
            if len(known) >= PLACES:
                known.clear()
            found = known[place] = read_timeline(self._cluster, place)
        return found

    def _answer(self, timeline: list[Answer], opened_at: Column) -> Column:
        """The timeline covers all times from its first moment on."""
        starts = np.array([answer.since for answer in timeline], np.uint64)
        which = np.searchsorted(starts, opened_at.astype(np.uint64), side="right")
        numbers = np.zeros(len(timeline) + 1, np.int32)
        for index in np.unique(which[which > 0]).tolist():
            key = timeline[index - 1].key
            numbers[index] = UNKNOWN if key is None else self._identities.number_of(key)
        found: Column = numbers[which]
        return found

    def _await(self, place: Place, name: str, first: int, last: int) -> int:
        plain = self._identities.intern(WorkloadKind.NETWORK, name)
        if name in NEVER_PODS or place in self._waited or self._cluster.holders.history(place.address):
            return plain
        waiting = self._waiting.get(place)
        if waiting is None:
            self._give_up(first)
            if len(self._waiting) >= WAITING:
                return plain
            waiting = Waiting(self._identities.reserve(WorkloadKey(WorkloadKind.NETWORK, name)), first, first)
            self._waiting[place] = waiting
            self._of_address.setdefault(place.address, set()).add(place)
        if last > waiting.first + WAIT_NS:
            return plain
        waiting.first, waiting.last = min(waiting.first, first), max(waiting.last, last)
        return waiting.number

    def _give_up(self, now: int) -> None:
        """What was waited for long enough is not waited for again."""
        while self._waiting:
            place = next(iter(self._waiting))
            if self._waiting[place].first + WAIT_NS >= now:
                break
            self._identities.release(self._waiting.pop(place).number)
            self._waited[place] = None
        while len(self._waited) > WAITED:
            place, _ = self._waited.popitem(last=False)
            places = self._of_address.get(place.address, set())
            places.discard(place)
            if not places:
                self._of_address.pop(place.address, None)


def key_of_service(name: str, namespace: str) -> WorkloadKey:
    return WorkloadKey(WorkloadKind.SERVICE, name, namespace)
