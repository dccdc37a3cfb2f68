"""Whether the columns that a manifest speaks of can exist: said when the probe is read, not when its first rows come."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from collector.batch import Schema
from collector.catalog.manifest import AtLeast, Condition, Manifest, Metric, Record
from collector.errors import ManifestError

# What the rooms behind the source add to a record's own fields.
ENRICHED = {"local": np.dtype("i4"), "peer": np.dtype("i4")}
Columns = dict[str, np.dtype[Any]]


def check_columns(probe: str, manifest: Manifest, schemas: Mapping[str, Schema]) -> None:
    """ManifestError for the first key that names a column which is missing or of the wrong kind.

    Records without a schema are derived: only their decoder knows their columns.
    """
    for record in manifest.record:
        if record.struct in schemas:
            check_record(f"{probe}: record {record.struct}", record, fields_of(schemas[record.struct]))
    records = {record.struct: record for record in manifest.record}
    for metric in manifest.metric:
        schema = schemas.get(metric.record)
        if schema is not None:
            record = records[metric.record]
            constant = dict.fromkeys(record.constant, np.dtype("S"))
            computed = {name: np.dtype(kind) for name, kind in record.computed.items()}
            columns = {**fields_of(schema), **ENRICHED, **joined_columns(record), **constant, **computed}
            check_metric(f"{probe}: metric {metric.name}", metric, columns, schema)


def fields_of(schema: Schema) -> Columns:
    return {name: schema.dtype[name] for name in schema.dtype.names or ()}


def joined_columns(record: Record) -> Columns:
    """What the cumulative join adds (collector/aggregate/cumulative.py)."""
    if not record.cumulative and not record.once:
        return {}
    increases = {f"{name}_increase": np.dtype("u8") for name in record.cumulative}
    return {**increases, **{f"{name}_new": np.dtype("?") for name in record.once}, "first_seen": np.dtype("?")}


def check_record(place: str, record: Record, columns: Columns) -> None:
    counted = {"cumulative": record.cumulative, "once": record.once, "born": [record.born] if record.born else []}
    counted["idle.field"] = [record.idle.field] if record.idle else []
    for key, names in counted.items():
        require(f"{place}: {key}", names, columns, "iu", "a whole number")
    require(f"{place}: key", [record.key] if record.key else [], columns, "iuSV", "one number, text or address")


def check_metric(place: str, metric: Metric, columns: Columns, schema: Schema) -> None:
    require(f"{place}: attributes", metric.attributes.values(), columns, "iufbSV", "one value")
    require(f"{place}: weight", [metric.weight] if metric.weight else [], columns, "iuf", "a number")
    require(f"{place}: known", metric.known, columns, "iufb", "a number")
    for part in metric.parts():
        require(f"{place}: value", [part.value] if part.value else [], columns, "iufb", "a number")
        for name, condition in {**metric.where, **part.where}.items():
            kinds = "iufb" if isinstance(condition, bool | AtLeast) else "iufbS"
            require(f"{place}: where", [name], columns, kinds, "one number")
            check_names(f"{place}: where", name, condition, schema)


def require(place: str, wanted: Collection[str], columns: Columns, kinds: str, allowed: str) -> None:
    for name in wanted:
        if name not in columns:
            raise ManifestError(f"{place}: there is no column {name!r}.", f"There are: {', '.join(columns)}.")
        if columns[name].shape or columns[name].kind not in kinds:
            raise ManifestError(f"{place}: {name!r} is not {allowed}.")


def check_names(place: str, column: str, condition: Condition, schema: Schema) -> None:
    """Words stand for values of an enum; in a column of text for themselves."""
    words = [] if isinstance(condition, bool | AtLeast) else [value for value in condition if isinstance(value, str)]
    entry = next((one for one in schema.fields if one.name == column), None)
    names = list(entry.names.values()) if entry else []
    allowed = f"it is one of {', '.join(names)}" if names else "it is a number"
    if entry is not None and schema.dtype[column].kind == "S":
        return
    for word in words:
        if word not in names:
            raise ManifestError(f"{place}: {column} is never {word!r}; {allowed}.")
