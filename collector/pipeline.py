"""The picture in code: kernel -> source -> decode -> enrich -> aggregate -> export / store / api.

Read `process` from top to bottom: that is what happens to every batch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from collector.aggregate.aggregator import Aggregator
from collector.aggregate.trace_metrics import TraceMetrics
from collector.batch import Batch
from collector.catalog.manifest import Record
from collector.catalog.probe_model import ProbeModel
from collector.clock import NANOSECONDS, Clock
from collector.cluster_facts import FactChange, FactSink
from collector.decode import DECODERS, Decoder, SteeringDecoder
from collector.decode.decision import Decision
from collector.decode.probe_code import ProbeCode, read_code
from collector.enrich.enrichers import Enricher
from collector.enrich.identity import Identities
from collector.enrich.names import NameTable
from collector.enrich.translations import Translations
from collector.store.flows import FlowStore
from collector.store.lookups import LookupStore
from collector.store.requests import RequestStore


class SpanSink(Protocol):
    def identify(self, batch: Batch) -> None:
        """Gives ids to requests that are sampled, so that exemplars can name their spans."""
        ...

    def add(self, batch: Batch, wall_offset_ns: int) -> None:
        """Takes every batch of requests; makes spans of those that are sampled."""
        ...


@dataclass(slots=True)
class Rooms:
    """What a batch passes through, in order."""

    identities: Identities
    names: NameTable
    translations: Translations
    enrichers: Sequence[Enricher]
    aggregator: Aggregator
    traces: TraceMetrics
    flows: FlowStore
    lookups: LookupStore
    requests: RequestStore


@dataclass(slots=True)
class Pipeline:
    """decoder_options: decoder -> keyword arguments. spans: where requests go that were sampled. facts: who names with what
    the cluster or a runtime says.

    spent_ns: probe -> CPU time of this thread. failures: probe -> what its probe.py did wrong; its rows are left out from then
    on. code_seconds: how long probe.py may take for one batch.
    One thread calls `process`; whoever else wants to look holds `lock`, and only as long as a copy takes.
    """

    rooms: Rooms
    clock: Clock
    lock: threading.RLock = field(default_factory=threading.RLock)
    decoder_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    spans: SpanSink | None = None
    facts: FactSink | None = None
    rows: dict[tuple[str, str], int] = field(default_factory=dict)
    _records: dict[tuple[str, str], Record] = field(default_factory=dict)
    _consumed: set[tuple[str, str]] = field(default_factory=set)
    _decoders: dict[tuple[str, str], Decoder] = field(default_factory=dict)
    _made: dict[tuple[str, str], Decoder] = field(default_factory=dict)
    _codes: dict[str, ProbeCode] = field(default_factory=dict)
    spent_ns: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    code_seconds: float = 0.5

    def add_probe(self, probe: ProbeModel) -> None:
        """Makes the rooms ready for the records of one probe; ProbeError when its probe.py cannot be used."""
        code = read_code(probe.name, probe.code, self.code_seconds) if probe.code else None
        with self.lock:
            self._add(probe, code)

    def _add(self, probe: ProbeModel, code: ProbeCode | None) -> None:
        if code is not None:
            self._codes[probe.name] = code
        for record in probe.manifest.record:
            self._records[(probe.name, record.struct)] = record
            if is_consumed(record, probe):
                self._consumed.add((probe.name, record.struct))
            if record.decoder:
                self._decoders[(probe.name, record.struct)] = self._decoder(probe.name, record.decoder)
        self.rooms.aggregator.add_probe(probe.name, probe.manifest, probe.map_keys)

    def remove_probe(self, name: str) -> None:
        """Forgets the probe with its series. Rows of it that are still on their way are left out."""
        with self.lock:
            for table in (self._records, self._decoders, self._made, self.rows):
                for place in [place for place in table if place[0] == name]:
                    del table[place]
            for named in (self._codes, self.spent_ns, self.failures):
                named.pop(name, None)
            self.rooms.aggregator.remove_probe(name)

    def process(self, batches: Sequence[Batch]) -> None:
        """Decode, enrich, aggregate and store; afterwards what waited too long in a decoder."""
        with self.lock:
            for batch in batches:
                started = time.thread_time_ns()
                for part in self._decode(batch):
                    self._pass_through(part)
                probe = batch.schema.probe
                self.spent_ns[probe] = self.spent_ns.get(probe, 0) + time.thread_time_ns() - started
            for decoder in self._made.values():
                for expired in decoder.expire(self.clock.boot_ns()):
                    self._pass_through(expired)

    def learn(self, changes: Sequence[FactChange]) -> None:
        """A FactSink for the threads that learn about pods and services."""
        with self.lock:
            if self.facts is not None:
                self.facts.learn(changes)

    def _decoder(self, probe: str, name: str) -> Decoder:
        """One for all records of a probe that name it."""
        if (probe, name) not in self._made:
            self._made[(probe, name)] = DECODERS[name](**self.decoder_options.get(name, {}))
        return self._made[(probe, name)]

    def _decode(self, batch: Batch) -> list[Batch]:
        decoder = self._decoders.get((batch.schema.probe, batch.schema.record))
        return [batch, *decoder.decode(batch)] if decoder else [batch]

    def _pass_through(self, batch: Batch) -> None:
        place = (batch.schema.probe, batch.schema.record)
        record = self._records.get(place)
        if record is None or not self._compute(batch, record):
            return
        self.rows[place] = self.rows.get(place, 0) + len(batch)
        if place not in self._consumed:
            return
        self._learn(batch, record)
        for enricher in self.rooms.enrichers:
            enricher.enrich(batch)
        if record.store == "requests" and self.spans is not None:
            self.spans.identify(batch)
        batch = self.rooms.aggregator.join(batch)
        self.rooms.aggregator.add(batch, self._wall_seconds())
        if record.store == "requests":
            self.rooms.traces.add(batch, self._wall_seconds())
        self._keep(batch, record)

    def _compute(self, batch: Batch, record: Record) -> bool:
        """Columns that the probe's own Python adds; False when it failed, now or before: then the probe is to be stopped."""
        code = self._codes.get(batch.schema.probe)
        if code is None or not record.computed:
            return True
        if batch.schema.probe not in self.failures:
            failure = code.add_columns(batch, record.computed)
            if failure:
                self.failures[batch.schema.probe] = failure
        return batch.schema.probe not in self.failures

    def _learn(self, batch: Batch, record: Record) -> None:
        """Names come before the rows that need them."""
        if record.feeds in ("processes", "cgroups"):
            self.rooms.identities.observe(batch)
        elif record.feeds == "names":
            self.rooms.names.observe(batch)
        elif record.feeds == "translations":
            self.rooms.translations.learn(batch)

    def _keep(self, batch: Batch, record: Record) -> None:
        offset = self.clock.offset_ns
        if record.store == "flows":
            self.rooms.flows.add(batch, offset, record.constant.get("protocol", batch.schema.probe))
        elif record.store == "lookups":
            self.rooms.lookups.add(batch, offset)
        elif record.store == "requests":
            self.rooms.requests.add(batch, offset)
            if self.spans is not None:
                self.spans.add(batch, offset)

    def _wall_seconds(self) -> float:
        return (self.clock.boot_ns() + self.clock.offset_ns) / NANOSECONDS

    def decoder_counters(self) -> dict[str, Mapping[str, int]]:
        """probe -> what its decoder left out, by reason."""
        return {probe: decoder.counters() for (probe, _), decoder in self._made.items()}

    def take_decisions(self) -> list[tuple[str, Decision]]:
        """(probe, what its decoder wants the kernel to do with a connection), since the last call."""
        steering = [(probe, made) for (probe, _), made in self._made.items() if isinstance(made, SteeringDecoder)]
        return [(probe, decision) for probe, decoder in steering for decision in decoder.take_decisions()]


def is_consumed(record: Record, probe: ProbeModel) -> bool:
    """Whether any room wants these rows themselves; of others only what a decoder makes of them is wanted."""
    measured = any(metric.record == record.struct for metric in probe.manifest.metric)
    return bool(measured or record.store or record.feeds)
