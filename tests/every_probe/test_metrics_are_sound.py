from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import collector.decode
from collector.aggregate.aggregator import AggregateSettings, Aggregator
from collector.batch import Batch, BatchKind, Schema
from collector.catalog.columns import check_columns
from collector.catalog.manifest import Metric
from collector.catalog.probe_folder import Probe, find_folders, read_manifest
from collector.enrich.enrichers import build_enrichers
from collector.enrich.identity import Identities, build_identities
from collector.enrich.names import NameTable
from collector.instruments import InstrumentKind
from collector.self_metrics import INSTRUMENTS

# The part of UCUM that OpenTelemetry uses: seconds, bytes, ratios, and things counted, in braces.
UNIT = re.compile(r"s|By|1|\{[a-z]+(_[a-z]+)*\}")
NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
HELP = re.compile(r"[A-Z0-9].*\.")
TEXT_MAX = 200


def parts_of(metric: Metric) -> list[str]:
    return [part.value for part in metric.parts() if part.value]


def test_names_units_and_help_read_well(probe: Probe) -> None:
    for metric in probe.manifest.metric:
        assert UNIT.fullmatch(metric.unit), metric.name
        assert NAME.fullmatch(metric.name), metric.name
        assert not metric.name.endswith((".total", "_total", ".count", ".sum", ".bucket")), "Prometheus adds these itself"
        assert HELP.fullmatch(metric.help), metric.name
        assert len(metric.help) <= TEXT_MAX, metric.name


def test_attributes_are_named_as_opentelemetry_does(probe: Probe) -> None:
    for metric in probe.manifest.metric:
        constants = [name for part in metric.parts() for name in part.constant]
        for attribute in (*metric.attributes, *constants):
            assert NAME.fullmatch(attribute), f"{metric.name}: {attribute}"
        assert len({frozenset(part.constant) for part in metric.series}) <= 1, "series of one instrument have the same attributes"


def test_unit_fits_what_is_counted(probe: Probe) -> None:
    for metric in probe.manifest.metric:
        schema = probe.schemas.get(metric.record)
        meanings = {entry.name: entry.meaning for entry in schema.fields} if schema else {}
        for value in parts_of(metric):
            meaning = meanings.get(value.removesuffix("_increase"), "")
            if meaning.startswith("duration_"):
                assert metric.unit == "s", metric.name
            if meaning == "byte_count":
                assert metric.unit == "By", metric.name
        if not parts_of(metric):
            assert metric.unit.startswith("{"), f"{metric.name} counts rows of something"


def test_gauges_come_from_what_exists_now(probe: Probe) -> None:
    """A gauge is set by snapshots; a record that is never in one would leave it empty."""
    records = {record.struct: record for record in probe.manifest.record}
    for metric in probe.manifest.metric:
        if metric.kind is InstrumentKind.GAUGE:
            record = records[metric.record]
            assert record.map or (record.snapshot and not record.snapshot.once), metric.name


def test_cumulative_columns_are_counted_by_their_increase(probe: Probe) -> None:
    records = {record.struct: record for record in probe.manifest.record}
    for metric in probe.manifest.metric:
        counted_twice = set(parts_of(metric)) & set(records[metric.record].cumulative)
        assert metric.kind is InstrumentKind.GAUGE or not counted_twice, metric.name


def test_no_instrument_is_defined_twice(folder: Path) -> None:
    others = [other for other in find_folders([folder.parent]) if other != folder]
    taken = {name for other in others for name in names_defined_in(other)} | set(INSTRUMENTS)
    assert taken.isdisjoint(names_defined_in(folder))


def names_defined_in(folder: Path) -> set[str]:
    """Without those that it shares with another probe."""
    shared = read_manifest(folder).metrics_like
    others = {metric.name for metric in read_manifest(folder.parent / shared).metric} if shared else set()
    return {metric.name for metric in read_manifest(folder).metric} - others


def decoded_schemas() -> dict[str, Schema]:
    """Records that decoders make, where the layout is a constant of their module."""
    modules = [
        importlib.import_module(f"collector.decode.{found.name}") for found in pkgutil.iter_modules(collector.decode.__path__)
    ]
    return {value.record: value for module in modules for value in vars(module).values() if isinstance(value, Schema)}


def known_schemas(probe: Probe) -> dict[str, Schema]:
    derived = {record.struct for record in probe.manifest.record if record.derived}
    return {**probe.schemas, **{name: schema for name, schema in decoded_schemas().items() if name in derived}}


def test_columns_of_metrics_exist(probe: Probe) -> None:
    check_columns(probe.name, probe.manifest, known_schemas(probe))


@pytest.fixture(scope="module")
def identities() -> Identities:
    return build_identities(100, 100)


@pytest.mark.parametrize("kind", list(BatchKind))
@pytest.mark.parametrize("count", [0, 3])
def test_rows_go_through_enrichers_join_and_every_metric(
    probe: Probe, identities: Identities, kind: BatchKind, count: int
) -> None:
    aggregator = Aggregator(AggregateSettings(exponential=True), identities.workload)
    aggregator.add_probe(probe.name, probe.manifest, probe.model.map_keys)
    for schema in known_schemas(probe).values():
        rows = np.zeros(count, schema.dtype)
        for name in schema.dtype.names or ():
            if schema.dtype[name].kind in "iu" and not schema.dtype[name].shape:
                rows[name] = 1
        batch = Batch(schema, kind, rows)
        for enricher in build_enrichers(identities, NameTable()):
            enricher.enrich(batch)
        aggregator.add(aggregator.join(batch), 1000.0)
    assert aggregator.rejected == {}
    aggregator.snapshot()
