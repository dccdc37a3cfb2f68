"""Rows as JSON, NDJSON or CSV, written in pieces so that a large answer is never in memory as a whole."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.responses import Response

from collector.store.parameter_error import ParameterError

Record = Mapping[str, Any]
CONTENT_TYPES = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
BY_ACCEPT = {"application/json": "json", "application/x-ndjson": "ndjson", "application/ndjson": "ndjson", "text/csv": "csv"}
FORMULA = re.compile(r"[=+\-@\t\r].*[(|!]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Table:
    """An answer with rows. name: of the rows in JSON; pieces: the rows, some at a time; head: what stands before them in JSON."""

    name: str
    columns: Sequence[str]
    pieces: Iterable[Sequence[Record]]
    head: Record = field(default_factory=dict)


def choose_format(asked: str | None, accept: str) -> str:
    """json, ndjson or csv: what was asked for by name, else what the client likes best, else json."""
    if asked:
        if asked not in CONTENT_TYPES:
            raise ParameterError("format", f"There is no format called {asked[:100]!r}.", ", ".join(CONTENT_TYPES))
        return asked
    liked = sorted(_media_types(accept), key=lambda pair: -pair[1])
    return next((BY_ACCEPT[name] for name, quality in liked if name in BY_ACCEPT and quality > 0), "json")


def _media_types(accept: str) -> Iterator[tuple[str, float]]:
    """(type, quality) of an Accept header; RFC 9110, 12.5.1. What cannot be read has quality 0."""
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            yield name, float(quality)
        except ValueError:
            yield name, 0.0


def answer(table: Table, chosen: str) -> Response:
    """The HTTP answer; NDJSON and CSV carry total and next cursor as headers."""
    write = {"json": write_json, "ndjson": write_ndjson, "csv": write_csv}[chosen]
    headers = {"vary": "accept"}
    if chosen != "json":
        named = {"x-total": table.head.get("total"), "x-next-cursor": table.head.get("next_cursor")}
        headers |= {name: str(value) for name, value in named.items() if value is not None}
    return StreamingResponse(write(table), media_type=CONTENT_TYPES[chosen], headers=headers)


def write_json(table: Table) -> Iterator[str]:
    """One object: the head, then the rows under their name."""
    head = json.dumps(table.head)[1:-1]
    yield f"{{{head}{', ' if head else ''}{json.dumps(table.name)}: ["
    separator = "\n"
    for records in table.pieces:
        if records:
            yield separator + ",\n".join(json.dumps(record) for record in records)
            separator = ",\n"
    yield "\n]}\n"


def write_ndjson(table: Table) -> Iterator[str]:
    """One object a line."""
    for records in table.pieces:
        yield "".join(f"{json.dumps(record)}\n" for record in records)


def write_csv(table: Table) -> Iterator[str]:
    """RFC 4180 with a header line; nothing for null, lists and name=value pairs separated by spaces."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(table.columns)
    for records in table.pieces:
        writer.writerows([_cell(record[column]) for column in table.columns] for record in records)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(str(each) for each in value)
    if isinstance(value, dict):
        return " ".join(f"{name}={each}" for name, each in value.items())
    # names of processes are chosen by whoever runs them, and spreadsheets run what looks like a formula with a call in it
    if isinstance(value, str) and FORMULA.match(value):
        return f"'{value}"
    return value
