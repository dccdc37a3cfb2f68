import pytest

from collector.errors import SettingsError
from collector.export.otlp_settings import OtlpSettings
from collector.export.span_settings import SpanSettings, read_span_settings

BASE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def read(endpoint: str = "", **variables: str) -> SpanSettings:
    settings = read_span_settings({**BASE, **variables}, endpoint)
    assert settings is not None
    return settings


def test_defaults_are_those_of_the_specification() -> None:
    settings = read()
    assert settings.otlp == OtlpSettings("http://collector:4318/v1/traces")
    assert (settings.delay_seconds, settings.batch_spans, settings.queue_spans) == (5.0, 512, 2048)


@pytest.mark.parametrize("variables", [{}, {**BASE, "OTEL_TRACES_EXPORTER": "none"}, {**BASE, "OTEL_SDK_DISABLED": "true"}])
def test_nothing_is_sent_unless_it_is_wanted(variables: dict[str, str]) -> None:
    assert read_span_settings(variables) is None


def test_variables_for_traces_are_stronger_and_those_for_metrics_say_nothing() -> None:
    settings = read(
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://tempo:4318/otlp/v1/traces",
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="http://prometheus:9090/api/v1/otlp/v1/metrics",
        OTEL_METRICS_EXPORTER="none",
        OTEL_EXPORTER_OTLP_HEADERS="a=1",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS="b=2",
        OTEL_EXPORTER_OTLP_TRACES_COMPRESSION="gzip",
        OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="2500",
        OTEL_BSP_SCHEDULE_DELAY="1500",
        OTEL_BSP_MAX_QUEUE_SIZE="100",
    )
    assert settings.otlp.endpoint == "http://tempo:4318/otlp/v1/traces"
    assert (settings.otlp.headers, settings.otlp.compression, settings.otlp.timeout_seconds) == ({"b": "2"}, "gzip", 2.5)
    assert (settings.delay_seconds, settings.queue_spans, settings.batch_spans) == (1.5, 100, 100)


def test_own_endpoint_gets_the_path_of_traces() -> None:
    assert read("http://own:1/base").otlp.endpoint == "http://own:1/base/v1/traces"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ],
)
def test_value_that_is_not_understood_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        read(**{variable: value})
