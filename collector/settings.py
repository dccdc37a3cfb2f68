"""Every option once: name, default, one line of help, what is allowed. Flags, messages and docs/settings.md come from here.

Where values come from, and in which order, is in collector/settings_sources.py. Plain pydantic, not pydantic-settings: that
cannot say which source a value came from, reads os.environ itself, and costs 60 ms and 8 MiB more to import.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from collector.option_kinds import (
    Address,
    Bytes,
    Classes,
    Count,
    Endpoint,
    Folders,
    HookWords,
    Kind,
    OptionalFile,
    Ports,
    ProbeNames,
    Ratio,
    Seconds,
    Switch,
    Token,
    choice,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Settings(BaseModel):
    """What the agent is told to do. Frozen; `Settings()` holds the defaults; pydantic's ValidationError for a wrong value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: Address = Field("127.0.0.1:9464", description="Where the API, /metrics and health are served.")
    token: Token = Field(None, description="Clients must send it as a bearer token. Not a flag: other users could read it.")
    token_file: OptionalFile = Field(None, description="File whose first line is the token.")
    allow_unauthenticated: Switch = Field(False, description="Serve other machines without a token.")

    probes: ProbeNames = Field((), description="Probes to run; empty: all.")
    disable: ProbeNames = Field((), description="Probes to leave out.")
    probe_path: Folders = Field((), description="More folders that hold probe folders, after the shipped ones.")

    hooks: HookWords = Field(
        (), description="Ways into the kernel that alone may be used, e.g. tcp=kprobe; for diagnosis. Else the first that works."
    )
    transport: Annotated[Literal["auto", "ring", "perf"], choice("auto", "ring", "perf")] = Field(
        "auto", description="How events leave the kernel; auto takes ring buffers where the kernel has them (5.8)."
    )
    ring_bytes: Bytes = Field(1 << 20, ge=1 << 16, le=1 << 26, description="Size of each event ring.")
    snapshot_interval: Seconds = Field(5.0, ge=0.5, le=300, description="How often the kernel's own counters are read.")
    drain_interval_max: Seconds = Field(0.25, ge=0.01, le=5, description="The longest that an event waits in a ring.")
    max_connections: Count = Field(65536, ge=1024, le=1 << 20, description="TCP sockets the kernel half remembers.")
    max_udp_flows: Count = Field(16384, ge=1024, le=1 << 20, description="UDP flows the kernel half remembers.")
    dns_ports: Ports = Field((53,), description="Ports whose traffic is read as DNS.")
    program_statistics: Switch = Field(False, description="Measure runs and run time of each program; about 50 ns a run.")

    max_series: Count = Field(2000, ge=10, le=100_000, description="Series per instrument; what is over it is counted under one.")
    series_idle_minutes: Count = Field(15, ge=1, le=1440, description="A series nobody added to for so long is dropped.")
    flow_history: Count = Field(50_000, ge=100, le=5_000_000, description="Rows of flows kept for the API.")
    lookup_history: Count = Field(10_000, ge=100, le=1_000_000, description="Rows of name lookups kept for the API.")
    max_workloads: Count = Field(10_000, ge=100, le=1_000_000, description="Workloads remembered; the longest unused go first.")
    max_processes: Count = Field(20_000, ge=100, le=1_000_000, description="Processes remembered; the longest gone go first.")
    cidr: Classes = Field((), description="Names for address ranges of your own, e.g. office=10.1.0.0/16.")

    trace_ratio: Ratio = Field(
        0.01, ge=0, le=1, description="Part of all requests that become spans, beside errors and slow ones."
    )
    traces_per_second: Count = Field(100, ge=0, le=100_000, description="At most so many spans a second; 0: none.")
    slow_request: Seconds = Field(1.0, ge=0.001, le=3600, description="A request that took so long is wanted as a span.")

    prometheus: Switch = Field(True, description="Serve /metrics.")
    otlp_endpoint: Endpoint = Field(
        "", description="Push metrics and spans over OTLP to here; empty: what OTEL_* says, else nowhere."
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], choice("debug", "info", "warning", "error")] = Field(
        "warning", description="The least serious messages that are logged."
    )
    log_format: Annotated[Literal["text", "json"], choice("text", "json")] = Field("text", description="How log lines look.")

    @property
    def host(self) -> str:
        """The address part of `listen`, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port part of `listen`; 0: any free one."""
        return int(self.listen.rpartition(":")[2])

    @property
    def loopback_only(self) -> bool:
        """True when no other machine can reach `listen`."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def networks(self) -> tuple[tuple[str, Network], ...]:
        """`cidr` as (class name, network) in the order given."""
        pairs = (one.split("=", 1) for one in self.cidr)
        return tuple((name, ipaddress.ip_network(network)) for name, network in pairs)

    @property
    def forced_hooks(self) -> dict[str, tuple[str, ...]]:
        """`hooks` as probe -> programs or kinds of hook."""
        pairs = [one.split("=", 1) for one in self.hooks]
        return {probe: tuple(word for name, word in pairs if name == probe) for probe, _ in pairs}

    @model_validator(mode="after")
    def _other_machines_need_a_token(self) -> Self:
        if not (self.loopback_only or self.token or self.token_file or self.allow_unauthenticated):
            raise ValueError(f"listen = {self.listen} can be reached from other machines and there is no token")
        return self


def kind_of(name: str) -> Kind:
    """The kind of the option called `name`; KeyError when there is none."""
    metadata = Settings.model_fields[name].metadata
    return next(one for one in metadata if isinstance(one, Kind))


def describe_range(name: str) -> str:
    """'64 KiB to 64 MiB', or '' for an option that is no number."""
    metadata = Settings.model_fields[name].metadata
    bounds = [getattr(one, side) for side in ("ge", "le") for one in metadata if hasattr(one, side)]
    return " to ".join(kind_of(name).show(bound) for bound in bounds)


def describe_allowed(name: str) -> str:
    """What the option called `name` may be, for people: 'a power of two, 64 KiB to 64 MiB'."""
    return ", ".join(filter(None, (kind_of(name).allowed, describe_range(name))))


def show_default(name: str) -> str:
    """The default of the option called `name`, for people; '' when it is empty."""
    return kind_of(name).show(Settings.model_fields[name].default)
