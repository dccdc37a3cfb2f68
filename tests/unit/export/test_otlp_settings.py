from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import SettingsError
from collector.export.otlp_settings import OtlpSettings, parse_headers, read_otlp_settings


def read(endpoint: str = "", **variables: str) -> OtlpSettings:
    settings = read_otlp_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", **variables}, endpoint)
    assert settings is not None
    return settings


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_METRICS_EXPORTER": "prometheus"},
    ],
)
def test_nothing_is_exported_unless_an_endpoint_is_configured(variables: dict[str, str]) -> None:
    assert read_otlp_settings(variables) is None


def test_defaults_are_those_of_the_specification() -> None:
    settings = read()
    assert settings == OtlpSettings("http://collector:4318/v1/metrics")
    assert (settings.timeout_seconds, settings.interval_seconds, settings.cycle_seconds) == (10, 60, 30)


@pytest.mark.parametrize(
    ("variables", "endpoint", "wanted"),
    [
        ({}, "", "http://collector:4318/v1/metrics"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/base/"}, "", "https://c/base/v1/metrics"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/base?key=1"}, "", "https://c/base/v1/metrics?key=1"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:9/exactly"}, "", "http://m:9/exactly"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:9/exactly"}, "http://own:1", "http://own:1/v1/metrics"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://c:4317", "http://c:4317"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "c:4317", "c:4317"),
    ],
)
def test_endpoint_follows_the_exporter_specification(variables: dict[str, str], endpoint: str, wanted: str) -> None:
    assert read(endpoint, **variables).endpoint == wanted


def test_variables_for_metrics_are_stronger_than_those_for_all_signals(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.write_text("certificate")
    settings = read(
        OTEL_EXPORTER_OTLP_TIMEOUT="3000",
        OTEL_EXPORTER_OTLP_METRICS_TIMEOUT="2500",
        OTEL_EXPORTER_OTLP_COMPRESSION="none",
        OTEL_EXPORTER_OTLP_METRICS_COMPRESSION="gzip",
        OTEL_EXPORTER_OTLP_CERTIFICATE=str(pem),
        OTEL_EXPORTER_OTLP_HEADERS="a=1",
        OTEL_EXPORTER_OTLP_METRICS_HEADERS="Api-Key=s%20t, b=2=3",
        OTEL_METRIC_EXPORT_INTERVAL="1500",
        OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="DELTA",
        OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="base2_exponential_bucket_histogram",
        OTEL_EXPORTER_OTLP_INSECURE="true",
    )
    assert (settings.timeout_seconds, settings.compression, settings.certificate) == (2.5, "gzip", str(pem))
    assert settings.headers == {"api-key": "s t", "b": "2=3"}
    assert (settings.interval_seconds, settings.temporality, settings.exponential, settings.insecure) == (
        1.5,
        "delta",
        True,
        True,
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "soon"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "sometimes"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "perhaps"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
        ("OTEL_SDK_DISABLED", "1"),
    ],
)
def test_value_that_is_not_understood_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        read(**{variable: value})


def test_deflate_is_refused_for_grpc() -> None:
    with pytest.raises(SettingsError, match="none, gzip"):
        read(OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_EXPORTER_OTLP_COMPRESSION="deflate")


@pytest.mark.parametrize("endpoint", ["collector", "ftp://c:1", "http://", "http://c:99999", "http://c:port", "http://c:0"])
def test_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="not an address"):
        read(endpoint)


def test_secrets_are_neither_shown_nor_quoted() -> None:
    settings = read("https://user:secret@c:4318/p?token=secret", OTEL_EXPORTER_OTLP_HEADERS="authorization=secret")
    assert settings.shown_endpoint == "https://c:4318/p/v1/metrics"
    assert "authorization" not in repr(settings)
    assert OtlpSettings("user:secret@c:4317").shown_endpoint == "c:4317"
    for refused in ({"OTEL_EXPORTER_OTLP_HEADERS": "fine=1,secret"}, {"OTEL_EXPORTER_OTLP_HEADERS": "secret key=1"}):
        with pytest.raises(SettingsError) as caught:
            read(**refused)
        assert "secret" not in str(caught.value)


@given(st.text())
def test_headers_are_read_or_refused_and_never_carry_control_characters(text: str) -> None:
    try:
        headers = parse_headers(text, "X")
    except SettingsError:
        return
    assert all(name.isascii() and value.isprintable() for name, value in headers.items())
