"""Every option once: name, default, one line of help, what is allowed. Flags, messages and docs/settings.md come from here.

Where values come from, and in which order, is in collector/settings_sources.py. Plain pydantic, not pydantic-settings: that
cannot say which source a value came from, reads os.environ itself, and costs 60 ms and 8 MiB more to import.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from collector.option_kinds import (
    Address,
    Attributes,
    Bytes,
    Classes,
    Count,
    Endpoint,
    Folder,
    Folders,
    HookWords,
    Identifier,
    Kind,
    NamePatterns,
    NodeName,
    OptionalFile,
    OptionalFolder,
    Password,
    Ports,
    ProbeNames,
    Ratio,
    RowTables,
    Seconds,
    Server,
    Switch,
    Text,
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
    cache_folder: Folder = Field(
        Path("/var/cache/honeyguide"), description="Where probes compiled on this node are kept; the agent's user's alone."
    )
    load_from_anywhere: Switch = Field(
        False, description="Let the API load probes from any folder of root or the agent's user, not only those of probe_path."
    )
    probe_cpu_max: Ratio = Field(
        0.25, ge=0.001, le=1, description="A probe from probe_path that needs more of one CPU, here or in the kernel, is stopped."
    )
    probe_events_max: Count = Field(
        100_000, ge=1, le=100_000_000, description="A probe from probe_path that sends more events a second is stopped."
    )
    probe_python_max: Seconds = Field(
        0.5, ge=0.001, le=10, description="A probe whose probe.py takes longer for one batch is stopped."
    )

    hooks: HookWords = Field(
        (), description="Ways into the kernel that alone may be used, e.g. tcp=kprobe; for diagnosis. Else the first that works."
    )
    transport: Annotated[Literal["auto", "ring", "perf"], choice("auto", "ring", "perf")] = Field(
        "auto", description="How events leave the kernel; auto takes ring buffers where the kernel has them (5.8)."
    )
    ring_bytes: Bytes = Field(1 << 20, ge=1 << 16, le=1 << 26, description="Size of each event ring.")
    snapshot_interval: Seconds = Field(5.0, ge=0.5, le=300, description="How often the kernel's own counters are read.")
    drain_interval_max: Seconds = Field(0.25, ge=0.01, le=5, description="The longest that an event waits in a ring.")
    max_connections: Count = Field(65536, ge=1024, le=1 << 20, description="TCP sockets remembered, in the kernel and here.")
    max_udp_flows: Count = Field(16384, ge=1024, le=1 << 20, description="UDP flows the kernel half remembers.")
    dns_ports: Ports = Field((53,), description="Ports whose traffic is read as DNS.")
    program_statistics: Switch = Field(False, description="Measure runs and run time of each program; about 50 ns a run.")

    max_series: Count = Field(2000, ge=10, le=100_000, description="Series per instrument; what is over it is counted under one.")
    series_idle_minutes: Count = Field(15, ge=1, le=1440, description="A series nobody added to for so long is dropped.")
    flow_history: Count = Field(50_000, ge=100, le=5_000_000, description="Rows of flows kept for the API.")
    lookup_history: Count = Field(10_000, ge=100, le=1_000_000, description="Rows of name lookups kept for the API.")
    request_history: Count = Field(20_000, ge=100, le=1_000_000, description="Requests kept for the API.")
    max_workloads: Count = Field(10_000, ge=100, le=1_000_000, description="Workloads remembered; the longest unused go first.")
    max_processes: Count = Field(20_000, ge=100, le=1_000_000, description="Processes remembered; the longest gone go first.")
    cidr: Classes = Field((), description="Names for address ranges of your own, e.g. office=10.1.0.0/16.")

    kubernetes: Annotated[Literal["auto", "on", "off"], choice("auto", "on", "off")] = Field(
        "auto", description="Ask the Kubernetes API who pods are; auto: in a pod with a service account, or with kubeconfig."
    )
    kubeconfig: OptionalFile = Field(None, description="How to reach the API server from outside of pods, as kubectl does.")
    node_name: NodeName = Field("", description="This node's name in Kubernetes; empty: NODE_NAME, outside of pods the host's.")
    kubernetes_peers: Annotated[Literal["off", "services", "pods"], choice("off", "services", "pods")] = Field(
        "services",
        description="Who other addresses are: services, endpoints and nodes; pods: all pods, too; off: left to the backend.",
    )
    kubernetes_labels: NamePatterns = Field((), description="Labels of pods that become attributes k8s.pod.label.NAME.")
    kubernetes_annotations: NamePatterns = Field(
        (), description="Annotations of pods that become attributes k8s.pod.annotation.NAME."
    )
    service_from_labels: Switch = Field(
        False,
        description="Pods' app.kubernetes.io/instance, name and version labels name their service, as OpenTelemetry allows.",
    )
    max_cluster_objects: Count = Field(
        200_000, ge=1000, le=2_000_000, description="Objects of each kind remembered of the cluster; more are counted."
    )

    trace_ratio: Ratio = Field(
        0.01, ge=0, le=1, description="Part of all requests that become spans, beside errors and slow ones."
    )
    traces_per_second: Count = Field(100, ge=0, le=100_000, description="At most so many spans a second; 0: none.")
    span_metrics: Switch = Field(
        False, description="Metrics of all requests as if of spans: traces_spanmetrics_calls_total and _latency, for Grafana."
    )
    service_graph: Switch = Field(
        False, description="Metrics of who asks whom: traces_service_graph_request_total and others, for Grafana's node graph."
    )
    query_text: Switch = Field(False, description="Spans carry the texts of SQL queries, literals taken out (db.query.text).")
    slow_request: Seconds = Field(1.0, ge=0.001, le=3600, description="A request that took so long is wanted as a span.")

    prometheus_labels: Attributes = Field(
        ("service.name", "service.namespace", "honeyguide.workload.kind", "k8s.pod.name", "k8s.container.name"),
        description="Attributes of a workload that are labels on /metrics; METRIC:NAME+NAME for one metric. OTLP has all.",
    )
    prometheus: Switch = Field(True, description="Serve /metrics.")
    otlp_endpoint: Endpoint = Field(
        "", description="Push metrics and spans over OTLP to here; empty: what OTEL_* says, else nowhere."
    )
    clickhouse_url: Server = Field("", description="Send rows of flows, requests and lookups to this ClickHouse server (HTTP).")
    clickhouse_database: Identifier = Field("default", description="Database of its tables.")
    clickhouse_prefix: Identifier = Field("honeyguide_", description="What the tables' names begin with.")
    clickhouse_tables: RowTables = Field(("flows", "requests", "lookups"), description="Which rows are sent.")
    clickhouse_user: Text = Field("", description="Who the agent is there; empty: the server's default user.")
    clickhouse_password: Password = Field(None, description="Its password. Not a flag: other users could read it.")
    clickhouse_password_file: OptionalFile = Field(None, description="File whose first line is the password.")
    clickhouse_ca_file: OptionalFile = Field(None, description="Authorities (PEM) of its certificate, if not the usual ones.")
    clickhouse_create_tables: Switch = Field(True, description="Create tables that are not there.")
    clickhouse_keep_days: Count = Field(30, ge=1, le=3650, description="Tables that the agent creates forget rows after so long.")
    clickhouse_batch_rows: Count = Field(20_000, ge=100, le=500_000, description="Rows of one table that are sent together.")
    clickhouse_batch_seconds: Seconds = Field(10.0, ge=1, le=600, description="The longest that a row waits for others.")
    clickhouse_flow_seconds: Seconds = Field(60.0, ge=5, le=3600, description="How often open flows are told, by their increase.")
    clickhouse_spool_bytes: Bytes = Field(
        32 << 20, ge=1 << 20, le=1 << 34, description="Of compressed rows that wait for the server; the oldest go."
    )
    clickhouse_spool_folder: OptionalFolder = Field(
        None, description="Where they wait beyond 4 MiB, and while no agent runs; empty: in memory only."
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
