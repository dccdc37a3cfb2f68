"""Columns of the stores as values that JSON knows; null for what is not known."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from pydantic import Field

from collector.batch import Column
from collector.store.workload_names import WorkloadNames
from collector.workload import Workload

MICROSECONDS = 1_000_000
NANOSECONDS = 1_000_000_000
WORKLOAD_FIELDS: dict[str, Callable[[Workload], Any]] = {
    "workload": lambda workload: workload.name,
    "namespace": lambda workload: workload.namespace,
    "kind": lambda workload: workload.kind.value,
    "pod": lambda workload: workload.pod_name or None,
    "container": lambda workload: workload.container_name or None,
    "pod_uid": lambda workload: workload.pod_uid or None,
    "container_id": lambda workload: workload.container_id or None,
}


def text(description: str, example: Any) -> Any:
    """A described field of an answer."""
    return Field(description=description, examples=[example])


def named(codes: Column, names: Sequence[str]) -> list[str]:
    return [names[code] for code in codes.tolist()]


def known(values: Sequence[Any]) -> list[Any]:
    return [value or None for value in values]


def seconds(values: Column, unit: int) -> list[float | None]:
    return [value / unit if value else None for value in values.tolist()]


def error_name(number: int) -> str | None:
    return errno.errorcode.get(number, str(number)) if number else None


def addresses(halves: Column, unspecified_is_known: Sequence[bool]) -> list[str | None]:
    """An address of zeros means that it is not known, but a listener listens there."""
    return [
        address_text(high, low) if high or low or known else None
        for (high, low), known in zip(halves.tolist(), unspecified_is_known, strict=True)
    ]


@lru_cache(maxsize=4096)
def address_text(high: int, low: int) -> str:
    """Text of an address given as two halves; IPv4 without the ::ffff: before it."""
    address = ipaddress.IPv6Address(high << 64 | low)
    return str(address.ipv4_mapped or address)


def workload_columns(side: str, numbers: Column, names: WorkloadNames) -> dict[str, list[Any]]:
    distinct = {number: names.get(number) for number in set(numbers.tolist())}
    workloads = [distinct[number] for number in numbers.tolist()]
    return {f"{side}_{name}": [value(workload) for workload in workloads] for name, value in WORKLOAD_FIELDS.items()}
