"""Puts the rooms of one node together, as the settings and the environment want them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from collector.aggregate.aggregator import AggregateSettings, Aggregator
from collector.aggregate.trace_metrics import TraceMetrics, TraceMetricsSettings
from collector.clock import Clock
from collector.decode.routes import RouteTable
from collector.decode.sampling import RequestSampler
from collector.enrich.enrichers import build_enrichers
from collector.enrich.identity import build_identities
from collector.enrich.names import NameTable
from collector.enrich.networks import NetworkTable
from collector.enrich.owner_groups import OwnerEnrichers
from collector.enrich.pod_attributes import NamingChoice
from collector.enrich.route_enricher import RouteEnricher
from collector.enrich.translations import Translations
from collector.export.label_choice import read_label_choice
from collector.export.otlp_settings import read_otlp_settings
from collector.export.resource import read_machine_id, read_resources
from collector.export.retired_series import RetiredSeries
from collector.export.span_settings import read_span_settings
from collector.node import Node, agent_version
from collector.pipeline import Pipeline, Rooms
from collector.series_sweep import SeriesSweep
from collector.settings import Settings
from collector.source.interface import Source
from collector.store.flows import FlowStore
from collector.store.lookups import LookupStore
from collector.store.requests import RequestStore

LEAST_FRESH_SECONDS = 60.0
CONNECTIONS_KNOWN = 65_536  # by their names, ends, protocols and translations; max_connections may be less
RETIRED_KEPT, RETIRED_OF_EACH = 20_000, 10  # series of gone pods at most; fewer where instruments have few series


def build_node(settings: Settings, clock: Clock, source: Source, environ: Mapping[str, str]) -> Node:
    """SettingsError when OTEL_* or settings contradict themselves. Nothing runs yet."""
    otlp = read_otlp_settings(environ, settings.otlp_endpoint)
    resources = read_resources(environ, os.uname().nodename, read_machine_id(), agent_version())
    choice = NamingChoice(settings.service_from_labels, settings.kubernetes_labels, settings.kubernetes_annotations)
    identities = build_identities(settings.max_workloads, settings.max_processes, clock, choice, settings.max_cluster_objects)
    connections = min(settings.max_connections, CONNECTIONS_KNOWN)
    names = NameTable(connections)
    fresh = max(LEAST_FRESH_SECONDS, 3 * settings.snapshot_interval)
    translations = Translations(connections)
    local, peers = build_enrichers(identities, names, settings.networks, fresh, translations, connections)
    aggregate = AggregateSettings(settings.max_series, otlp.exponential if otlp else False)
    routes = RouteEnricher(RouteTable())
    rooms = Rooms(
        identities,
        names,
        translations,
        (OwnerEnrichers((local, peers), identities), peers.evidence, routes),
        Aggregator(aggregate, identities.workload),
        TraceMetrics(trace_metrics(settings, aggregate), identities.workload),
        FlowStore(settings.flow_history, settings.max_connections),
        LookupStore(settings.lookup_history),
        RequestStore(settings.request_history),
    )
    pipeline = Pipeline(rooms, clock, code_seconds=settings.probe_python_max, facts=identities.cluster)
    labels = read_label_choice(settings.prometheus_labels)
    retired = RetiredSeries(min(RETIRED_KEPT, RETIRED_OF_EACH * settings.max_series))
    sweep = SeriesSweep(identities, rooms.aggregator, rooms.traces, 60.0 * settings.series_idle_minutes, retired)
    node = Node(settings, clock, source, pipeline, peers, otlp, resources, sweep, routes=routes, labels=labels)
    node.networks = NetworkTable(settings.networks)
    exchanges: dict[str, Any] = {"max_connections": connections}
    wanted = read_span_settings(environ, settings.otlp_endpoint)
    if wanted is not None and settings.traces_per_second:
        from collector.export.span_exporter import SpanExporter  # noqa: PLC0415 -- see node.py

        node.sampler = RequestSampler(settings.trace_ratio, settings.traces_per_second, settings.slow_request)
        node.spans = SpanExporter(wanted, resources, node.workload, agent_version(), node.confirm_spans)
        exchanges |= {"sampler": node.sampler, "keep_texts": settings.query_text}
        pipeline.spans = node.spans
    pipeline.decoder_options = {"exchanges": exchanges}
    return node


def trace_metrics(settings: Settings, aggregate: AggregateSettings) -> TraceMetricsSettings:
    return TraceMetricsSettings(settings.span_metrics, settings.service_graph, aggregate.max_series, aggregate.exponential)
