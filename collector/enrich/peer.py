"""Who is at the other end of each flow: adds the columns `peer` and, for who counts, `peer_evidence`.

From the surest to the weakest: the other end of the same connection on this node; for a request whom the rows about its
connection found; a listening socket of this node at that address; who held the address then, as the cluster tells; the
DNS name that led to the address; the network it lies in. An ambiguous answer is no answer.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from collector.batch import Batch, Column
from collector.enrich.address_columns import are_loopback, are_unspecified, octets_of
from collector.enrich.cluster_peers import ClusterPeers, Question
from collector.enrich.connection_ends import STILL_OPEN, ConnectionEnds
from collector.enrich.identity import Identities
from collector.enrich.listeners import Found, Listeners
from collector.enrich.local import latest_time
from collector.enrich.names import KnownName, NameTable
from collector.enrich.networks import NetworkTable
from collector.enrich.peer_evidence import COLUMN, NO_PEER, NUMBERS, PeerEvidence
from collector.enrich.translations import Translations, view_keys
from collector.row_groups import group_rows
from collector.row_hash import hash_rows
from collector.workload import UNKNOWN, WorkloadKind

FLOW_FIELDS = ("local_address", "remote_address", "local_port", "remote_port", "netns")
CARRIERS = {"request": "tcp_connection"}  # records whose rows go over connections that rows of another record are about
NANOSECONDS = 1_000_000_000
TCP, UDP = 6, 17
TIME_SHIFT = 20  # moments are compared in steps of 2**20 ns, about a millisecond,
INDEX_SHIFT = np.uint64(44)  # so that an address's index fits above them in one number


@dataclass(slots=True)
class Flows:
    """The columns of a batch of flows that matter here, all of shape (n,) but the octets (n, 16)."""

    protocol: str
    transport: Column  # IP protocol numbers
    own_key: Column
    mirrored_key: Column
    local_octets: Column
    remote_octets: Column
    local_port: Column
    remote_port: Column
    netns: Column
    number: Column
    loopback: Column
    listening: Column
    listen_ended: Column
    serving: Column
    asking: Column  # rows that have a peer at all
    opened_at: Column
    times: tuple[Column, Column]  # (opened, ended) as far as they are known, see ConnectionEnds
    evidence: Column  # how the peer of each was found, as far as it is
    carried: bool  # by connections that other rows are about
    now: int
    seen: tuple[Column, Column] | None = None  # remote octets and ports as the sockets see them, where NAT has others


Finder = Callable[[Flows, Column], Column]  # the rows asked about, as indices -> a number for each


class PeerEnricher:
    """`peer` (int32) for records with both addresses, both ports and netns; `local` must be there already.

    evidence: an enricher that counts how they were found, to be applied when all rows have their peer.
    fresh_seconds: longer than the interval in which sockets are read, so that an open connection never looks stale.
    """

    def __init__(
        self,
        identities: Identities,
        names: NameTable,
        networks: NetworkTable,
        cluster: ClusterPeers,
        fresh_seconds: float = 60,
        maximum: int = 131072,
        translations: Translations | None = None,
    ) -> None:
        self._cluster = cluster
        fresh_ns = int(fresh_seconds * NANOSECONDS)
        self._identities, self._names, self._networks = identities, names, networks
        self._ends = ConnectionEnds(maximum, fresh_ns)
        self._told = ConnectionEnds(maximum, fresh_ns)  # whom the rows about a connection found at its other end
        self._listeners = Listeners(maximum // 4, fresh_ns)
        self._translations = Translations() if translations is None else translations
        self.evidence = PeerEvidence()
        self.translated = 0  # rows whose other end was looked for behind rewritten addresses

    def enrich(self, batch: Batch) -> None:
        if not is_flow(batch):
            return
        if batch.schema.record in CARRIERS:
            self._enrich_carried(batch)
            return
        flows = read_flows(batch)
        self.translated += see_through(flows, self._translations)
        self._learn(flows)
        batch.columns["peer"], batch.columns[COLUMN] = self._find(flows), flows.evidence
        if flows.protocol in CARRIERS.values():
            self._told.add(flows.own_key, flows.netns, batch.columns["peer"], flows.times, flows.now)

    def _enrich_carried(self, batch: Batch) -> None:
        """Many requests go over one connection: each is looked at once, and what its own rows know comes first."""
        first, inverse = batch.owners or group_rows([batch[name] for name in ("flow", "netns", "local_port", "remote_port")])
        flows = read_flows(batch.select(first))
        self.translated += see_through(flows, self._translations)
        self._learn_ends(flows, self._ends.find(flows.own_key, flows.netns, flows.times, flows.asking, flows.now) == UNKNOWN)
        batch.columns["peer"], batch.columns[COLUMN] = self._find(flows)[inverse], flows.evidence[inverse]

    def _find(self, flows: Flows) -> Column:
        peer = self._ends.find(flows.mirrored_key, flows.netns, flows.times, flows.loopback, flows.now)
        peer[~flows.asking] = UNKNOWN
        flows.evidence[peer != UNKNOWN] = NUMBERS["connection"]
        if flows.carried:
            self._fill("flow", flows, peer, self._find_told)
        self._fill("listener", flows, peer, self._find_listeners)
        self._fill("cluster", flows, peer, self._find_holders)
        if flows.seen is not None:  # where nobody is known behind a service's address, the address itself may be
            look_back(flows, flows.seen)
            self._fill("cluster", flows, peer, self._find_holders)
        self._fill("name", flows, peer, self._find_names)
        self._fill("network", flows, peer, self._find_networks)
        flows.evidence[(peer == UNKNOWN) & ~flows.listening] = NUMBERS["unknown"]
        self._identities.use(np.unique(peer).tolist(), flows.now)
        return peer

    def counters(self) -> Mapping[str, int]:
        """What could not be kept, by reason."""
        return {
            "connection_ends_evicted": self._ends.evicted,
            "listeners_refused": self._listeners.refused,
            "names_evicted": self._names.evicted,
            "translations_evicted": self._translations.evicted,
        }

    def _fill(self, evidence: str, flows: Flows, peer: Column, find: Finder) -> None:
        """Asks `find` about the rows that have no peer yet."""
        rows = np.flatnonzero((peer == UNKNOWN) & flows.asking)
        if len(rows):
            peer[rows] = find(flows, rows)
            flows.evidence[rows[peer[rows] != UNKNOWN]] = NUMBERS[evidence]

    def _learn_ends(self, flows: Flows, which: Column) -> None:
        ends = np.flatnonzero(flows.asking & which)
        times = flows.times[0][ends], flows.times[1][ends]
        self._ends.add(flows.own_key[ends], flows.netns[ends], flows.number[ends], times, flows.now)

    def _learn(self, flows: Flows) -> None:
        self._learn_ends(flows, flows.asking)
        ends = np.flatnonzero(flows.asking)
        netns, octets = flows.netns[ends], flows.local_octets[ends]
        for first in first_rows([netns, *octets.view(np.uint64).T]):
            self._listeners.hold(int(netns[first]), octets[first].tobytes(), flows.now)
        for row in np.flatnonzero(flows.listening):
            place = int(flows.netns[row]), flows.local_octets[row].tobytes(), int(flows.local_port[row])
            if flows.listen_ended[row]:
                self._listeners.remove(flows.protocol, *place)
            else:
                self._listeners.add(flows.protocol, *place, int(flows.number[row]), flows.now, int(flows.times[0][row]))

    def _find_told(self, flows: Flows, rows: Column) -> Column:
        times = flows.times[0][rows], flows.times[1][rows]
        return self._told.find(flows.own_key[rows], flows.netns[rows], times, np.ones(len(rows), bool), flows.now)

    def _find_listeners(self, flows: Flows, rows: Column) -> Column:
        peers = np.full(len(rows), UNKNOWN, np.int32)
        open_ports = np.array(self._listeners.ports(flows.protocol), np.uint16)
        which = np.flatnonzero(np.isin(flows.remote_port[rows], open_ports) & ~flows.serving[rows])
        asked = rows[which]
        if not len(asked):
            return peers
        words = flows.remote_octets[asked].view(np.uint64)
        hashes = hash_rows([flows.netns[asked], flows.remote_port[asked], words[:, 0], words[:, 1]])
        _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        found = [self._ask_listeners(flows, int(index)) for index in asked[first]]
        numbers = np.array([one.number for one in found], np.int32)[inverse]
        since = np.array([one.since for one in found], np.uint64)[inverse]
        peers[which] = np.where(flows.times[0][asked] >= since, numbers, UNKNOWN)
        return peers

    def _ask_listeners(self, flows: Flows, row: int) -> Found:
        return self._listeners.find(
            flows.protocol, int(flows.netns[row]), flows.remote_octets[row].tobytes(), int(flows.remote_port[row]),
            loopback=bool(flows.loopback[row]), now=flows.now,
        )  # fmt: skip

    def _find_holders(self, flows: Flows, rows: Column) -> Column:
        return self._cluster.find(question_of(flows, rows))

    def _find_names(self, flows: Flows, rows: Column) -> Column:
        """The name last learnt for the address before the connection was opened."""
        peers = np.full(len(rows), UNKNOWN, np.int32)
        addresses, inverse = distinct_addresses(flows.remote_octets[rows])
        owners, known = self._histories(addresses)
        if not known:
            return peers
        learnt = np.array([entry.learnt_at >> TIME_SHIFT for entry in known], np.uint64)
        until = np.array([entry.until for entry in known], np.uint64)
        owners_column = np.array(owners, np.uint64)
        opened_at = flows.opened_at[rows]
        asked = (inverse.astype(np.uint64) << INDEX_SHIFT) | (opened_at >> np.uint64(TIME_SHIFT))
        place = np.searchsorted((owners_column << INDEX_SHIFT) | learnt, asked, side="right") - 1
        within = np.maximum(place, 0)
        valid = (place >= 0) & (owners_column[within] == inverse) & (until[within] >= opened_at)
        numbers = np.zeros(len(known), np.int32)
        for index in np.unique(within[valid]):
            numbers[index] = self._number_of_name(known[index].name)
        return np.where(valid, numbers[within], peers)

    def _number_of_name(self, name: str) -> int:
        service = self._cluster.service_named(name)
        return self._identities.intern(WorkloadKind.NAME, name) if service is None else service

    def _histories(self, addresses: list[bytes]) -> tuple[list[int], list[KnownName]]:
        """(index of the address, what is known of it), sorted by index and time."""
        pairs = [
            (index, entry)
            for index, address in enumerate(addresses)
            if not self._cluster.is_of_pods(address)  # they come and go faster than the names that led to them
            for entry in self._names.history(address)
        ]
        return [index for index, _ in pairs], [entry for _, entry in pairs]

    def _find_networks(self, flows: Flows, rows: Column) -> Column:
        if self._cluster.waits:
            return self._cluster.wait(question_of(flows, rows), self._networks)
        addresses, inverse = distinct_addresses(flows.remote_octets[rows])
        names = [self._networks.name_of(address) for address in addresses]
        numbers = {name: self._identities.intern(WorkloadKind.NETWORK, name) for name in set(names)}
        return np.array([numbers[name] for name in names], np.int32)[inverse]


def is_flow(batch: Batch) -> bool:
    """A probe of a user's own may have fields of these names that mean something else."""
    if not all(name in batch for name in (*FLOW_FIELDS, "local")):
        return False
    return all(batch.schema.field(name).meaning == "ip_address" for name in ("local_address", "remote_address"))


def read_flows(batch: Batch) -> Flows:
    """The two ends of each row as numbers that can be compared: equal keys are equal ends, as seen from either side."""
    record = batch.schema.record
    protocol = CARRIERS.get(record, record)
    local_octets, remote_octets = octets_of(batch["local_address"]), octets_of(batch["remote_address"])
    local = [batch["local_port"], *local_octets.view(np.uint64).T]
    remote = [batch["remote_port"], *remote_octets.view(np.uint64).T]
    seed = seed_of(protocol)
    now = latest_time(batch)
    listening = has_name(batch, "role", "listener")
    ended = has_name(batch, "event", "closed") | has_name(batch, "event", "failed")
    observed_at = batch["observed_at"] if "observed_at" in batch else np.full(len(batch), now, np.uint64)
    opened_at = batch["opened_at"].astype(np.uint64) if "opened_at" in batch else observed_at
    return Flows(
        protocol=protocol,
        transport=transports(batch),
        own_key=hash_rows([*local, *remote], seed=seed),
        mirrored_key=hash_rows([*remote, *local], seed=seed),
        local_octets=local_octets,
        remote_octets=remote_octets,
        local_port=batch["local_port"],
        remote_port=batch["remote_port"],
        netns=batch["netns"],
        number=batch["local"],
        loopback=are_loopback(remote_octets),
        listening=listening,
        listen_ended=has_name(batch, "event", "listen_ended"),
        serving=has_name(batch, "role", "server"),
        asking=~listening & ~are_unspecified(remote_octets),
        opened_at=np.where(opened_at, opened_at, np.uint64(now)),
        times=(opened_at, np.where(ended, observed_at, STILL_OPEN)),
        evidence=np.full(len(batch), NO_PEER, np.uint8),
        carried=record in CARRIERS,
        now=now,
    )


def seed_of(record: str) -> int:
    """The ports of TCP and UDP have nothing to do with each other."""
    return zlib.crc32(record.encode())


def transports(batch: Batch) -> Column:
    """IP protocol numbers, from the rows where they say it, else from what their record is about."""
    found = np.full(len(batch), UDP if batch.schema.record.startswith("udp") else TCP, np.uint8)
    found[has_name(batch, "transport", "udp")] = UDP
    return found


def see_through(flows: Flows, translations: Translations) -> int:
    """Puts in the place of what a row's socket sees what really stands at the other end, where NAT is between them: how
    many rows. A translation of UDP can change under a socket that stays, one of TCP lasts as long as the connection."""
    if not len(translations):
        return 0
    at = np.where(flows.transport == UDP, np.uint64(flows.now), flows.opened_at)
    keys = view_keys(flows.transport, flows.local_octets, flows.local_port, flows.remote_octets, flows.remote_port)
    ends = translations.find(keys, flows.netns, flows.loopback, flows.opened_at, at)
    if ends is None:
        return 0
    flows.seen = flows.remote_octets, flows.remote_port
    flows.remote_octets, flows.remote_port = flows.remote_octets.copy(), flows.remote_port.copy()
    flows.remote_octets[ends.rows], flows.remote_port[ends.rows] = ends.own, ends.own_port
    own, back = [ends.own_port, *ends.own.view(np.uint64).T], [ends.remote_port, *ends.remote.view(np.uint64).T]
    flows.mirrored_key[ends.rows] = hash_rows([*own, *back], seed=seed_of(flows.protocol))
    flows.loopback = are_loopback(flows.remote_octets)
    return len(ends.rows)


def look_back(flows: Flows, seen: tuple[Column, Column]) -> None:
    """Clients again have the address that they asked for; a server's client is better known by its own than by a router's."""
    octets, ports = seen
    flows.remote_octets = np.where(flows.serving[:, None], flows.remote_octets, octets)
    flows.remote_port = np.where(flows.serving, flows.remote_port, ports)


def question_of(flows: Flows, rows: Column) -> Question:
    """A port that the peer chose for itself says nothing about services."""
    ports = np.where(flows.serving[rows], 0, flows.remote_port[rows])
    return Question(flows.transport[rows], flows.remote_octets[rows], ports, flows.opened_at[rows])


def has_name(batch: Batch, column: str, name: str) -> Column:
    """Which rows have that name in an enum column; none where the record has no such column."""
    found = np.zeros(len(batch), bool)
    if column in batch:
        for number, known in batch.schema.field(column).names.items():
            if known == name:
                found |= batch[column] == number
    return found


def first_rows(columns: list[Column]) -> Column:
    """The index of the first row of each distinct one."""
    return np.unique(hash_rows(columns), return_index=True)[1]


def distinct_addresses(octets: Column) -> tuple[list[bytes], Column]:
    """(the distinct addresses, for each row which of them)."""
    _, first, inverse = np.unique(hash_rows(list(octets.view(np.uint64).T)), return_index=True, return_inverse=True)
    return [octets[index].tobytes() for index in first], inverse
