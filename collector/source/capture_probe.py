"""What a packet capture measures, in the words of the shipped probes: the same records and metrics, from other bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from collector.catalog.manifest import Hook, Manifest, Record
from collector.catalog.probe_folder import read_manifest
from collector.catalog.probe_model import ProbeModel
from collector.errors import ManifestError
from collector.source.captured_packets import MESSAGE_SCHEMA, SEGMENT_SCHEMA

QUESTION = "What was asked in this packet capture, how fast and how well was it answered?"


def read_capture_probes(places: Sequence[Path]) -> list[ProbeModel]:
    """places: parents of the shipped probe folders. ManifestError when those that describe requests or lookups are missing."""
    requests, lookups = read_manifest(find_folder(places, "socket_data")), read_manifest(find_folder(places, "dns"))
    capture = Manifest(
        question=QUESTION,
        cost="none: it was captured before",
        oldest_kernel=requests.oldest_kernel,
        hook=[Hook(purpose="packets of the capture", account="packets", alternatives=["read_packets"])],
        record=[
            Record(struct="captured_segment", ring="packets", account="packets", decoder="segments"),
            *(record for record in requests.record if record.struct == "request"),
        ],
        metric=[metric for metric in requests.metric if metric.record == "request"],
    )
    return [
        ProbeModel("capture", capture, {"captured_segment": SEGMENT_SCHEMA}, {}),
        ProbeModel("dns", lookups, {"dns_message": MESSAGE_SCHEMA}, {}),
    ]


def find_folder(places: Sequence[Path], name: str) -> Path:
    for place in places:
        if (place / name / "probe.toml").is_file():
            return place / name
    raise ManifestError(
        f"The probe {name}, which says what is measured of captures too, is not there.", "Install honeyguide again."
    )
