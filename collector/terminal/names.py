"""Ends of flows, and how they ended, in a few letters."""

from __future__ import annotations

from typing import Any

from collector.terminal.table import BAD, DIM, GOOD

FINE = ("none", "closed", "unknown", "idle")
ARROWS = {"client": "->", "server": "<-", "listener": "..", "unknown": "--"}


def workload_text(record: dict[str, Any], side: str) -> str:
    """namespace/name of the workload at that side, its address where it is not known."""
    name, namespace = record[f"{side}_workload"], record[f"{side}_namespace"]
    if record[f"{side}_kind"] == "unknown":
        return record[f"{side}_address"] or ("" if record["role"] == "listener" else "?")
    return f"{namespace}/{name}" if namespace else str(name)


def endpoint_text(record: dict[str, Any], side: str) -> str:
    """address:port"""
    address, port = record[f"{side}_address"], record[f"{side}_port"]
    if address is None:
        return f"*:{port}" if port else ""
    return f"[{address}]:{port or '*'}" if ":" in address else f"{address}:{port or '*'}"


def server_port_text(record: dict[str, Any]) -> str:
    """tcp/443: the port of the end that serves."""
    port = record["local_port"] if record["role"] in ("server", "listener") else record["peer_port"]
    return f"{record['protocol']}/{port}" if port else str(record["protocol"])


def state_text(record: dict[str, Any]) -> str:
    """The state, or how it ended when that says more."""
    return str(record["state"] if record["outcome"] in FINE else record["outcome"])


def state_style(record: dict[str, Any]) -> str:
    if record["outcome"] not in FINE:
        return BAD
    return GOOD if record["state"] in ("open", "connecting", "listening") else DIM
