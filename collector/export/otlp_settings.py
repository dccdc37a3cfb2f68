"""What OTEL_* says about the export of metrics, and of any signal about where to, checked at start.

Names and defaults are those of the OpenTelemetry specification (SDK environment variables, OTLP exporter); durations are in
milliseconds as it demands, where Python's SDK reads seconds. One thing is stricter: a value that is not understood is refused,
because an agent that quietly sends other numbers than it was asked for is found out too late.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from collector.errors import SettingsError

HTTP = "http/protobuf"
GRPC = "grpc"
PROTOCOLS = (HTTP, GRPC)
TEMPORALITIES = ("cumulative", "delta", "lowmemory")
AGGREGATIONS = ("explicit_bucket_histogram", "base2_exponential_bucket_histogram")
COMPRESSIONS = ("none", "gzip", "deflate")
HEADER_NAME = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")  # RFC 9110, section 5.6.2


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """endpoint: the whole address for HTTP, the target for gRPC. exponential: base-2 exponential histograms are wanted."""

    endpoint: str
    protocol: str = HTTP
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = 10.0
    compression: str = "none"
    certificate: str = ""
    client_key: str = ""
    client_certificate: str = ""
    insecure: bool | None = None
    interval_seconds: float = 60.0
    cycle_seconds: float = 30.0
    temporality: str = "cumulative"
    exponential: bool = False
    max_points_per_request: int = 2000

    @property
    def shown_endpoint(self) -> str:
        """Without the user, password and query that an address may carry."""
        if "://" not in self.endpoint:
            return self.endpoint.rpartition("@")[2]
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def read_otlp_settings(environ: Mapping[str, str], endpoint: str = "") -> OtlpSettings | None:
    """None when nothing is to be sent. endpoint: from our own settings, read like OTEL_EXPORTER_OTLP_ENDPOINT and stronger.

    SettingsError names the variable and what is allowed.
    """
    variables = Variables(environ, "METRICS")
    connection = read_connection(variables, endpoint)
    return connection and replace(
        connection,
        interval_seconds=variables.seconds("OTEL_METRIC_EXPORT_INTERVAL", 60.0),
        cycle_seconds=variables.seconds("OTEL_METRIC_EXPORT_TIMEOUT", 30.0),
        temporality=variables.choice("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", TEMPORALITIES, "cumulative"),
        exponential=variables.choice("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", AGGREGATIONS, AGGREGATIONS[0])
        == AGGREGATIONS[1],
    )


def read_connection(variables: Variables, endpoint: str) -> OtlpSettings | None:
    """Where the variables' signal goes and how; None when nowhere. The rest has its defaults."""
    environ, signal = variables.environ, variables.signal
    own, base = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", ""), environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    exporters = [name.strip() for name in environ.get(f"OTEL_{signal}_EXPORTER", "otlp").split(",")]
    if not (endpoint or own or base) or variables.flag("OTEL_SDK_DISABLED") or not {"otlp", ""} & set(exporters):
        return None
    protocol = variables.otlp_choice("PROTOCOL", PROTOCOLS, HTTP)
    path = "" if own and not endpoint else f"/v1/{signal.lower()}"
    return OtlpSettings(
        endpoint=_endpoint(endpoint or own or base, protocol, path),
        protocol=protocol,
        headers=parse_headers(variables.otlp("HEADERS"), variables.otlp_name("HEADERS")),
        timeout_seconds=variables.seconds(variables.otlp_name("TIMEOUT"), 10.0),
        compression=variables.otlp_choice("COMPRESSION", COMPRESSIONS if protocol == HTTP else COMPRESSIONS[:2], "none"),
        certificate=variables.readable_file("CERTIFICATE"),
        client_key=variables.readable_file("CLIENT_KEY"),
        client_certificate=variables.readable_file("CLIENT_CERTIFICATE"),
        insecure=variables.flag(variables.otlp_name("INSECURE")) if variables.otlp("INSECURE") else None,
    )


@dataclass(frozen=True, slots=True)
class Variables:
    """signal: METRICS or TRACES, as in the names of its own variables."""

    environ: Mapping[str, str]
    signal: str

    def otlp_name(self, name: str) -> str:
        """The name of the variable that counts: the one for the signal if set, else the one for all signals."""
        own = f"OTEL_EXPORTER_OTLP_{self.signal}_{name}"
        return own if self.environ.get(own) else f"OTEL_EXPORTER_OTLP_{name}"

    def otlp(self, name: str) -> str:
        return self.environ.get(self.otlp_name(name), "").strip()

    def otlp_choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        return self.choice(self.otlp_name(name), allowed, default)

    def choice(self, variable: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.environ.get(variable, "").strip().lower() or default
        if value not in allowed:
            raise SettingsError(f"{variable} = {value!r}.", f"It is one of {', '.join(allowed)}.")
        return value

    def flag(self, variable: str) -> bool:
        return self.choice(variable, ("true", "false"), "false") == "true"

    def seconds(self, variable: str, default: float) -> float:
        text = self.environ.get(variable, "").strip()
        milliseconds = int(text) if text.isdecimal() else -1
        if text and not 100 <= milliseconds <= 86_400_000:
            raise SettingsError(f"{variable} = {text!r}.", "It is a number of milliseconds from 100 to 86400000.")
        return milliseconds / 1000 if text else default

    def count(self, variable: str, default: int, most: int) -> int:
        text = self.environ.get(variable, "").strip()
        if text and not (text.isdecimal() and 1 <= int(text) <= most):
            raise SettingsError(f"{variable} = {text!r}.", f"It is a number from 1 to {most}.")
        return int(text) if text else default

    def readable_file(self, name: str) -> str:
        path = self.otlp(name)
        if path:
            _read(lambda: Path(path).read_bytes(), f"{self.otlp_name(name)} = {path!r}")
        return path


def _read(read: Callable[[], bytes], what: str) -> None:
    try:
        read()
    except OSError as error:
        raise SettingsError(f"{what}: {error.strerror}.", "It is the path of a readable PEM file.") from None


def _endpoint(address: str, protocol: str, path: str) -> str:
    """HTTP: a base address gets the path of the signal, '' none (OTLP exporter specification, "Endpoint URLs for OTLP/HTTP")."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    allowed = ("http", "https") if protocol == HTTP else ("http", "https", "")
    if parts.scheme not in allowed or not parts.hostname or not _port_is_legal(address):
        shown = OtlpSettings(address).shown_endpoint
        raise SettingsError(f"The OTLP endpoint {shown!r} is not an address.", "It looks like http://collector:4318.")
    if protocol == GRPC or not path:
        return address
    return parts._replace(path=f"{parts.path.rstrip('/')}{path}").geturl()


def _port_is_legal(address: str) -> bool:
    try:
        return urlsplit(address if "://" in address else f"//{address}").port != 0
    except ValueError:
        return False


def parse_headers(text: str, variable: str) -> dict[str, str]:
    """'name=value,name=value', URL-encoded. The error counts the entries: it must not show one, they are secrets."""
    headers: dict[str, str] = {}
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
        name, equals, value = (unquote(part).strip() for part in entry.partition("="))
        if not equals or not name or not HEADER_NAME.issuperset(name) or not value.isprintable():
            raise SettingsError(
                f"Entry {number} of {variable} is not name=value.", "Values are URL-encoded, entries end with a comma."
            )
        headers[name.lower()] = value
    return headers
