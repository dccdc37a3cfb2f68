"""Connections whose addresses the node's kernel rewrites (NAT), as rows: the contract between who reads them and who uses them.

A connection has two tuples (nf_conntrack): the original one is what its client sees, the reply one what its server sees,
written from the server's side. 10.1.0.5:4000 -> 10.96.0.1:443 and 10.2.0.7:8443 -> 10.1.0.5:4000: a service's address
(10.96.0.1) was replaced by that of a pod (10.2.0.7).
"""

from __future__ import annotations

import numpy as np

from collector.batch import Field, Schema

PROBE, RECORD = "conntrack", "address_translation"
EXISTING, CREATED, DESTROYED, TABLE_READ = 0, 1, 2, 3
EVENTS = {EXISTING: "existing", CREATED: "created", DESTROYED: "destroyed", TABLE_READ: "table_read"}
TRANSPORTS = {6: "tcp", 17: "udp", 132: "sctp"}

# observed_at: when it was read. since: it did not exist earlier than that; 0: not known.
# table_read: all that exists was told since `since`; what was not is gone. It has no addresses.
_FIELDS = (
    ("observed_at", "u8", Field("observed_at", "boot_ns")),
    ("since", "u8", Field("since", "boot_ns")),
    ("original_source", "V16", Field("original_source", "ip_address")),
    ("original_destination", "V16", Field("original_destination", "ip_address")),
    ("reply_source", "V16", Field("reply_source", "ip_address")),
    ("reply_destination", "V16", Field("reply_destination", "ip_address")),
    ("original_source_port", "u2", Field("original_source_port", "ip_port")),
    ("original_destination_port", "u2", Field("original_destination_port", "ip_port")),
    ("reply_source_port", "u2", Field("reply_source_port", "ip_port")),
    ("reply_destination_port", "u2", Field("reply_destination_port", "ip_port")),
    ("netns", "u4", Field("netns", "netns_id")),
    ("transport", "u1", Field("transport", "transport", TRANSPORTS)),
    ("event", "u1", Field("event", "translation_event", EVENTS)),
)
SCHEMA = Schema(PROBE, RECORD, np.dtype([(name, form) for name, form, _ in _FIELDS]), tuple(entry for _, _, entry in _FIELDS))
