"""What the API needs to know of the cluster: plain data, with addresses as text and times as unix ns (0: not known)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PodInfo:
    """gone: it is no more, or has finished. service: its service.name. source: api_server, runtime or endpoints.

    containers: (name, identifier, image, role: main, init or ephemeral). attributes: by OpenTelemetry's names.
    """

    uid: str
    name: str
    namespace: str
    node: str
    service: str
    owner_kind: str
    owner: str
    addresses: Sequence[str]
    host_network: bool
    containers: Sequence[tuple[str, str, str, str]]
    started_at: int
    ended_at: int
    gone: bool
    source: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HolderInfo:
    """Somebody who held an address from `since` (0: always, as far as is known) until `until` (0: he still does)."""

    kind: str
    name: str
    namespace: str
    uid: str
    since: int
    until: int
    evidence: str


@dataclass(frozen=True, slots=True)
class AddressInfo:
    """Who held an address at a moment. kind, name: as flows would name it then; evidence: how that is known.

    holders: all that are remembered. dns_name: what led to the address before that moment.
    """

    kind: str
    name: str
    namespace: str
    evidence: str
    holders: Sequence[HolderInfo]
    dns_name: str
    network: str
