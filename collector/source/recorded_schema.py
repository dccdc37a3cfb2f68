"""How a recording says what its rows mean: probes with manifest and layouts as JSON, and back."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from collector.accounts import Book
from collector.batch import Batch, BatchKind, Field, Schema
from collector.catalog.columns import check_columns
from collector.catalog.manifest import Manifest
from collector.catalog.probe_model import ProbeModel
from collector.errors import ManifestError, RecordingError

# Whoever wrote the file: numbers, flags, text and opaque bytes only; never Python objects.
FORMAT = re.compile(r"[<|](b1|[iu][1248]|[SV]\d{1,5})")
FAULTS = (LookupError, TypeError, ValueError, AttributeError, OverflowError)


def describe_probe(probe: ProbeModel) -> dict[str, Any]:
    return {
        "name": probe.name,
        "manifest": probe.manifest.model_dump(mode="json", by_alias=True),
        "map_keys": {record: list(names) for record, names in probe.map_keys.items()},
        "schemas": {record: describe_schema(schema) for record, schema in probe.schemas.items()},
    }


def describe_schema(schema: Schema) -> dict[str, Any]:
    """What `read_schema` needs to make an equal one."""
    layout: Any = schema.dtype.fields or {}
    return {
        "itemsize": schema.dtype.itemsize,
        "fields": [
            {
                "name": entry.name,
                "format": layout[entry.name][0].base.str,
                "shape": list(layout[entry.name][0].shape),
                "offset": layout[entry.name][1],
                "meaning": entry.meaning,
                "names": {str(number): name for number, name in entry.names.items()},
            }
            for entry in schema.fields
        ],
    }


def read_probes(header: dict[str, Any]) -> list[ProbeModel]:
    """RecordingError when the start frame does not describe probes as this version writes them."""
    try:
        return [read_probe(entry) for entry in header["probes"]]
    except ManifestError as error:
        raise RecordingError(f"The recording does not fit together: {error.cause}") from None
    except FAULTS as error:
        raise RecordingError(f"The recording describes its probes in a way this version does not know: {error}.") from None


def read_probe(entry: dict[str, Any]) -> ProbeModel:
    name = str(entry["name"])
    manifest = Manifest.model_validate(entry["manifest"])
    schemas = {str(record): read_schema(name, str(record), text) for record, text in entry["schemas"].items()}
    check_columns(name, manifest, schemas)
    keys = {str(record): tuple(names) for record, names in entry["map_keys"].items()}
    for record, names in keys.items():
        for key in names:
            schemas[record].field(key)
    return ProbeModel(name, manifest, schemas, keys)


def read_schema(probe: str, record: str, text: dict[str, Any]) -> Schema:
    fields = text["fields"]
    layout = {
        "names": [entry["name"] for entry in fields],
        "formats": [read_format(entry) for entry in fields],
        "offsets": [entry["offset"] for entry in fields],
        "itemsize": text["itemsize"],
    }
    meanings = [
        Field(one["name"], str(one["meaning"]), {int(number): str(name) for number, name in one["names"].items()})
        for one in fields
    ]
    return Schema(probe, record, np.dtype(layout), tuple(meanings))  # type: ignore[call-overload]


def add_names(schema: Schema, header: dict[str, Any]) -> None:
    """Further words of a field, for the rows that follow; one of FAULTS when it has no such field."""
    names = schema.field(header["field"]).names
    assert isinstance(names, dict)  # as read_schema made it
    names.update({int(number): str(name) for number, name in header["names"].items()})


def read_format(entry: dict[str, Any]) -> object:
    if not FORMAT.fullmatch(entry["format"]):
        raise ValueError(f"field {entry['name']} has the format {entry['format']!r}")
    return (entry["format"], tuple(entry["shape"])) if entry["shape"] else entry["format"]


def read_batch(header: dict[str, Any], payload: bytes, schema: Schema) -> Batch:
    """RecordingError when the frame does not hold whole rows of the schema."""
    try:
        kind, count = BatchKind(header["kind"]), int(header["count"])
    except FAULTS:
        raise RecordingError(f"A batch of {schema.record} does not say what it is.") from None
    if len(payload) != count * schema.dtype.itemsize:
        raise RecordingError(f"{len(payload)} bytes are not {count} rows of {schema.record}.")
    return Batch(schema, kind, np.frombuffer(payload, schema.dtype).copy())


def read_book(entry: dict[str, Any]) -> Book:
    """One of FAULTS when it is none."""
    counts = {name: int(entry[name]) for name in ("seen", "emitted", "filtered", "sampled", "decoded", "undecodable", "missed")}
    dropped = {str(reason): int(count) for reason, count in entry["dropped"].items()}
    return Book(str(entry["probe"]), str(entry["account"]), dropped=dropped, delivered=bool(entry["delivered"]), **counts)
