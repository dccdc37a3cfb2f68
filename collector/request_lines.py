"""What was asked in a recording or a capture, one JSON object a line: the decoders alone, without identity and metrics."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

import numpy as np

from collector.batch import Batch
from collector.catalog.probe_model import ProbeModel
from collector.clock import NANOSECONDS, Clock
from collector.decode import DECODERS, Decoder
from collector.source.capture_source import CaptureSource
from collector.source.replay_source import ReplaySource

BODIES = ("request_body_bytes", "response_body_bytes")  # -1 stands for not known
SIZES = ("request_bytes", "response_bytes", *BODIES)
WORDS = ("protocol", "operation", "resource", "status", "outcome", "error_type")


def write_requests(source: ReplaySource | CaptureSource, out: TextIO) -> int:
    """Requests and lookups of an opened source, each as soon as it is finished; how many there were."""
    decoders = make_decoders(source.probes)
    count = 0
    while not source.finished:
        for batch in source.read():
            for line in read_lines(decoders, batch, source.clock):
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
                count += 1
        for line in expired_lines(decoders, source.clock):
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    return count


def make_decoders(probes: Sequence[ProbeModel]) -> dict[tuple[str, str], Decoder]:
    """One for all records of a probe that name it, as in the pipeline."""
    made: dict[tuple[str, str], Decoder] = {}
    found: dict[tuple[str, str], Decoder] = {}
    for probe in probes:
        for record in probe.manifest.record:
            if record.decoder:
                place = (probe.name, record.decoder)
                made[place] = made.get(place) or DECODERS[record.decoder]()
                found[(probe.name, record.struct)] = made[place]
    return found


def read_lines(decoders: Mapping[tuple[str, str], Decoder], batch: Batch, clock: Clock) -> Iterator[dict[str, Any]]:
    decoder = decoders.get((batch.schema.probe, batch.schema.record))
    for decoded in decoder.decode(batch) if decoder else [batch]:  # a recording holds requests already
        yield from lines_of(decoded, clock.offset_ns)


def expired_lines(decoders: Mapping[tuple[str, str], Decoder], clock: Clock) -> Iterator[dict[str, Any]]:
    for decoder in dict.fromkeys(decoders.values()):
        for decoded in decoder.expire(clock.boot_ns()):
            yield from lines_of(decoded, clock.offset_ns)


def lines_of(batch: Batch, offset_ns: int) -> Iterator[dict[str, Any]]:
    """In the order in which they ended; nothing for records that are neither requests nor lookups."""
    if batch.schema.record not in ("request", "dns_lookup"):
        return
    is_request = batch.schema.record == "request"
    for index in np.argsort(batch["observed_at"] + batch["duration"], kind="stable"):
        row = batch.rows[index]
        yield {
            "time": write_time(int(row["observed_at"]) + offset_ns),
            **(request_words(batch, row) if is_request else lookup_words(batch, row, str(batch["question"][index]))),
            "duration_seconds": int(row["duration"]) / NANOSECONDS if row["duration"] else None,
            **(request_sizes(row) if is_request else {}),
            **ends_of(batch, row),
        }


def request_words(batch: Batch, row: np.void) -> dict[str, str]:
    return {name: name_in(batch, row, name) for name in WORDS}


def request_sizes(row: np.void) -> dict[str, int | float | None]:
    sizes: dict[str, int | float | None] = {name: int(row[name]) if row[name] >= 0 else None for name in SIZES}
    return {"first_byte_seconds": int(row["first_byte"]) / NANOSECONDS if row["first_byte"] else None, **sizes}


def lookup_words(batch: Batch, row: np.void, question: str) -> dict[str, str]:
    failure = name_in(batch, row, "failure")
    outcome = {"": "ok", "timeout": "unanswered"}.get(failure, "error")
    kind, status = name_in(batch, row, "question_type"), name_in(batch, row, "response_code")
    words = ("dns", kind, question, "" if outcome == "unanswered" else status, outcome, failure)
    return dict(zip(WORDS, words, strict=True))


def name_in(batch: Batch, row: np.void, column: str) -> str:
    """The name of the row's value, or its number."""
    number = int(row[column])
    return batch.schema.field(column).names.get(number, str(number))


def ends_of(batch: Batch, row: np.void) -> dict[str, str]:
    is_client = name_in(batch, row, "role") == "client"
    local, remote = (write_end(row[f"{end}_address"].tobytes(), int(row[f"{end}_port"])) for end in ("local", "remote"))
    return {"client": local, "server": remote} if is_client else {"client": remote, "server": local}


def write_end(address: bytes, port: int) -> str:
    """192.0.2.7:80, [2001:db8::7]:80; '' when there is no address (unix sockets)."""
    if not any(address):
        return ""
    one = ipaddress.IPv6Address(address)
    return f"{one.ipv4_mapped}:{port}" if one.ipv4_mapped else f"[{one}]:{port}"


def write_time(unix_ns: int) -> str:
    moment = datetime.fromtimestamp(unix_ns // NANOSECONDS, UTC).replace(microsecond=unix_ns % NANOSECONDS // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
