"""The picture in code: kernel -> source -> decode -> enrich -> aggregate -> export / store / api.

Read `process` from top to bottom: that is what happens to every batch.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from collector.aggregate.aggregator import Aggregator
from collector.batch import Batch
from collector.catalog.manifest import Record
from collector.catalog.probe_model import ProbeModel
from collector.clock import NANOSECONDS, Clock
from collector.decode import DECODERS, Decoder, SteeringDecoder
from collector.decode.decision import Decision
from collector.enrich.enrichers import Enricher
from collector.enrich.identity import Identities
from collector.enrich.names import NameTable
from collector.enrich.translations import Translations
from collector.store.flows import FlowStore
from collector.store.lookups import LookupStore
from collector.store.requests import RequestStore


class SpanSink(Protocol):
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
    flows: FlowStore
    lookups: LookupStore
    requests: RequestStore


@dataclass(slots=True)
class Pipeline:
    """decoder_options: decoder -> keyword arguments. spans: where requests go that were sampled.

    One thread calls `process`; whoever else wants to look holds `lock`, and only as long as a copy takes.
    """

    rooms: Rooms
    clock: Clock
    lock: threading.RLock = field(default_factory=threading.RLock)
    decoder_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    spans: SpanSink | None = None
    rows: dict[tuple[str, str], int] = field(default_factory=dict)
    _records: dict[tuple[str, str], Record] = field(default_factory=dict)
    _decoders: dict[tuple[str, str], Decoder] = field(default_factory=dict)
    _made: dict[tuple[str, str], Decoder] = field(default_factory=dict)

    def add_probe(self, probe: ProbeModel) -> None:
        """Makes the rooms ready for the records of one probe."""
        for record in probe.manifest.record:
            self._records[(probe.name, record.struct)] = record
            if record.decoder:
                self._decoders[(probe.name, record.struct)] = self._decoder(probe.name, record.decoder)
        self.rooms.aggregator.add_probe(probe.name, probe.manifest, probe.map_keys)

    def process(self, batches: Sequence[Batch]) -> None:
        """Decode, enrich, aggregate and store; afterwards what waited too long in a decoder."""
        with self.lock:
            for batch in batches:
                for part in self._decode(batch):
                    self._pass_through(part)
            for decoder in self._made.values():
                for expired in decoder.expire(self.clock.boot_ns()):
                    self._pass_through(expired)

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
        record = self._records[place]
        self.rows[place] = self.rows.get(place, 0) + len(batch)
        self._learn(batch, record)
        for enricher in self.rooms.enrichers:
            enricher.enrich(batch)
        batch = self.rooms.aggregator.join(batch)
        self.rooms.aggregator.add(batch, self._wall_seconds())
        self._keep(batch, record)

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
