"""What OTEL_* says about the export of spans, checked at start (SDK environment variables, "Batch Span Processor")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collector.errors import SettingsError
from collector.export.otlp_settings import OtlpSettings, Variables, read_connection

QUEUE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class SpanSettings:
    """otlp: where to and how. A span that was not sent after delay_seconds is; earlier when batch_spans are there."""

    otlp: OtlpSettings
    delay_seconds: float = 5.0
    batch_spans: int = 512
    queue_spans: int = 2048
    queue_bytes: int = QUEUE_BYTES


def read_span_settings(environ: Mapping[str, str], endpoint: str = "") -> SpanSettings | None:
    """None when no spans are to be sent (OTEL_TRACES_EXPORTER=none, no endpoint). endpoint: as for `read_otlp_settings`.

    SettingsError names the variable and what is allowed.
    """
    variables = Variables(environ, "TRACES")
    connection = read_connection(variables, endpoint)
    if connection is None:
        return None
    queue = variables.count("OTEL_BSP_MAX_QUEUE_SIZE", 2048, 1_000_000)
    batch = variables.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(512, queue), 100_000)
    if batch > queue:
        raise SettingsError(f"OTEL_BSP_MAX_EXPORT_BATCH_SIZE = {batch}.", f"It is not above OTEL_BSP_MAX_QUEUE_SIZE = {queue}.")
    return SpanSettings(connection, variables.seconds("OTEL_BSP_SCHEDULE_DELAY", 5.0), batch, queue)
