"""What a finished lookup looks like: the record `dns_lookup`."""

from __future__ import annotations

import numpy as np

from collector.batch import Field, Schema
from collector.decode.protocols.dns_names import QUESTION_TYPES, RESPONSE_CODES

TIMEOUT = 4096  # the first number that is no response code, not even an extended one (RFC 6891, 6.1.3)
CLIENT, SERVER = 1, 2
ROLES = {CLIENT: "client", SERVER: "server"}
TRANSPORTS = {0: "udp", 1: "tcp"}
RESULTS = {**RESPONSE_CODES, TIMEOUT: "timeout"}

_FIELDS = (
    ("flow", "u8", Field("flow", "flow_id")),
    ("observed_at", "u8", Field("observed_at", "boot_ns")),  # of the question
    ("duration", "u8", Field("duration", "duration_ns")),  # to the answer; 0: there was none in time
    ("cgroup", "u8", Field("cgroup", "cgroup_id")),
    ("process_started_at", "u8", Field("process_started_at", "boot_ns")),
    ("local_address", "V16", Field("local_address", "ip_address")),
    ("remote_address", "V16", Field("remote_address", "ip_address")),
    ("command", "S16", Field("command", "command_name")),
    ("netns", "u4", Field("netns", "netns_id")),
    ("process", "u4", Field("process", "process_id")),
    ("role", "u4", Field("role", "lookup_role", ROLES)),
    ("transport", "u4", Field("transport", "message_transport", TRANSPORTS)),
    ("response_code", "u2", Field("response_code", "response_code", RESULTS)),
    ("failure", "u2", Field("failure", "lookup_failure", {**RESULTS, 0: ""})),  # the same; no name when it went well
    ("question_type", "u2", Field("question_type", "question_type", QUESTION_TYPES)),
    ("answer_count", "u2", Field("answer_count")),
    ("query_count", "u2", Field("query_count")),  # how often the question was sent
    ("local_port", "u2", Field("local_port", "ip_port")),
    ("remote_port", "u2", Field("remote_port", "ip_port")),
    ("truncated", "?", Field("truncated")),  # the answer did not fit; clients ask again over TCP, which is another lookup
)

LOOKUP = np.dtype([(name, form) for name, form, _ in _FIELDS])
LOOKUP_SCHEMA = Schema("dns", "dns_lookup", LOOKUP, tuple(entry for _, _, entry in _FIELDS))
