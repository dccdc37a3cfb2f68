"""Packets as rows: records captured_segment (TCP) and dns_message, what it has of the probe's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collector.batch import Batch, BatchKind, Field, Rows, Schema
from collector.source.packet_headers import TCP, Segment

PAYLOAD_BYTES = 1536  # of a DNS message: more than a packet of an Ethernet carries
SEGMENT, CAPTURE_ENDED = 0, 1
SENT, RECEIVED = 0, 1
OVER_UDP, OVER_TCP = 0, 1
RESPONSE_BIT = 0x80
FLAGS_OVER_TCP = 4  # where the flags stand in a message with its length in front

_SEGMENT_FIELDS = (
    ("observed_at", "u8", Field("observed_at", "boot_ns")),
    ("source_address", "V16", Field("source_address", "ip_address")),
    ("destination_address", "V16", Field("destination_address", "ip_address")),
    ("sequence", "u4", Field("sequence")),
    ("acknowledgement", "u4", Field("acknowledgement")),
    ("payload_length", "u4", Field("payload_length", "byte_count")),
    ("source_port", "u2", Field("source_port", "ip_port")),
    ("destination_port", "u2", Field("destination_port", "ip_port")),
    ("flags", "u1", Field("flags")),
    ("event", "u1", Field("event", "capture_event", {SEGMENT: "segment", CAPTURE_ENDED: "capture_ended"})),
)
_MESSAGE_FIELDS = (
    ("flow", "u8", Field("flow", "flow_id")),
    ("observed_at", "u8", Field("observed_at", "boot_ns")),
    ("cgroup", "u8", Field("cgroup", "cgroup_id")),
    ("process_started_at", "u8", Field("process_started_at", "boot_ns")),
    ("local_address", "V16", Field("local_address", "ip_address")),
    ("remote_address", "V16", Field("remote_address", "ip_address")),
    ("command", "S16", Field("command", "command_name")),
    ("process", "u4", Field("process", "process_id")),
    ("netns", "u4", Field("netns", "netns_id")),
    ("direction", "u4", Field("direction", "message_direction", {SENT: "sent", RECEIVED: "received"})),
    ("transport", "u4", Field("transport", "message_transport", {OVER_UDP: "udp", OVER_TCP: "tcp"})),
    ("sequence", "u4", Field("sequence")),
    ("payload_length", "u4", Field("payload_length")),
    ("captured_length", "u4", Field("captured_length")),
    ("local_port", "u2", Field("local_port", "ip_port")),
    ("remote_port", "u2", Field("remote_port", "ip_port")),
    ("payload", ("u1", (PAYLOAD_BYTES,)), Field("payload")),
)
Timed = tuple[int, Segment]


def schema_of(probe: str, record: str, fields: Sequence[tuple[str, object, Field]]) -> Schema:
    dtype = np.dtype([(name, form) for name, form, _ in fields])
    return Schema(probe, record, dtype, tuple(entry for _, _, entry in fields))


SEGMENT_SCHEMA = schema_of("capture", "captured_segment", _SEGMENT_FIELDS)
MESSAGE_SCHEMA = schema_of("dns", "dns_message", _MESSAGE_FIELDS)


def segment_batch(segments: Sequence[Timed], *, ended: bool) -> Batch:
    """ended: a last row says that the capture ends here. What was captured of each payload is the column `payload`."""
    rows = np.zeros(len(segments) + ended, SEGMENT_SCHEMA.dtype)
    payloads = np.full(len(rows), b"", object)
    filled = rows[: len(segments)]
    filled["observed_at"] = [time for time, _ in segments]
    filled["source_address"] = np.array([one.source for _, one in segments], "V16")
    filled["destination_address"] = np.array([one.destination for _, one in segments], "V16")
    for name in ("sequence", "acknowledgement", "source_port", "destination_port", "flags"):
        filled[name] = [getattr(one, name) for _, one in segments]
    filled["payload_length"] = [one.size for _, one in segments]
    payloads[: len(segments)] = [one.payload for _, one in segments]
    if ended:
        rows[-1]["event"] = CAPTURE_ENDED
    return Batch(SEGMENT_SCHEMA, BatchKind.EVENTS, rows, {"payload": payloads})


def message_batch(segments: Sequence[Timed], ports: Sequence[int]) -> Batch:
    """Rows of dns_message from the asking end's view, as lookups are its concern; long TCP segments become several."""
    parts = [row for time, segment in segments for row in message_rows(time, segment, ports)]
    rows = np.concatenate(parts) if parts else np.zeros(0, MESSAGE_SCHEMA.dtype)
    return Batch(MESSAGE_SCHEMA, BatchKind.EVENTS, rows)


def message_rows(time_ns: int, segment: Segment, ports: Sequence[int]) -> list[Rows]:
    """DNS messages as rows of dns_message: the datagram, its ends and its time."""
    asks = is_question(segment, ports)
    made = []
    step = PAYLOAD_BYTES if segment.transport == TCP else max(segment.size, 1)
    for at in range(0, segment.size, step):
        content = segment.payload[at : at + PAYLOAD_BYTES]
        row = np.zeros(1, MESSAGE_SCHEMA.dtype)
        row["observed_at"] = time_ns
        row["direction"] = SENT if asks else RECEIVED
        row["transport"] = OVER_TCP if segment.transport == TCP else OVER_UDP
        row["sequence"] = (segment.sequence + at) % (1 << 32)
        row["payload_length"], row["captured_length"] = min(step, segment.size - at), len(content)
        row["payload"][0, : len(content)] = np.frombuffer(content, np.uint8)
        local, remote = ("source", "destination") if asks else ("destination", "source")
        for end, name in (("local", local), ("remote", remote)):
            row[f"{end}_address"] = np.void(getattr(segment, name))
            row[f"{end}_port"] = getattr(segment, f"{name}_port")
        made.append(row)
    return made


def is_question(segment: Segment, ports: Sequence[int]) -> bool:
    """By the port; between two servers by the message itself."""
    if segment.source_port not in ports:
        return True
    if segment.destination_port not in ports:
        return False
    at = FLAGS_OVER_TCP if segment.transport == TCP else 2
    return not (len(segment.payload) > at and segment.payload[at] & RESPONSE_BIT)
