"""OpenTelemetry names to Prometheus names.

The rules of the OpenTelemetry compatibility specification ("OTLP metric points to Prometheus"): dots become underscores, the unit
becomes a suffix, annotations in braces are dropped, a unit of 1 makes a gauge a ratio, and what only grows ends in _total.
"""

from __future__ import annotations

import functools
import re

from collector.instruments import Instrument, InstrumentKind

UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
    "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes", "TiBy": "tebibytes",
    "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes", "bit": "bits",
    "Hz": "hertz", "Cel": "celsius", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "m": "meters",
    "%": "percent", "1": "",
}  # fmt: skip
PER_UNITS = {"s": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}

_SEPARATORS = re.compile(r"[^a-zA-Z0-9]+")
_ANNOTATION = re.compile(r"\{[^}]*\}")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9_]")


def unit_words(unit: str) -> list[str]:
    """'s' -> ['seconds'], 'By/s' -> ['bytes', 'per', 'second'], '{packet}' -> []."""
    main, _, per = _ANNOTATION.sub("", unit).partition("/")
    words = _SEPARATORS.split(UNITS.get(main, main))
    if per := PER_UNITS.get(per, per):
        words += ["per", *_SEPARATORS.split(per)]
    return [word for word in words if word]


@functools.lru_cache(maxsize=4096)
def family_name(instrument: Instrument) -> str:
    """The name that stands in # TYPE of OpenMetrics: without the _total of a counter, _bucket of a histogram and so on."""
    words = [word for word in _SEPARATORS.split(instrument.name) if word]
    words += [word for word in unit_words(instrument.unit) if word not in words]
    if instrument.kind is InstrumentKind.COUNTER:
        words = [word for word in words if word != "total"]
    if instrument.kind is InstrumentKind.GAUGE and instrument.unit == "1":
        words = [*(word for word in words if word != "ratio"), "ratio"]
    name = "_".join(words) or "unnamed"
    return f"_{name}" if name[0].isdigit() else name


def sample_names(family: str, kind: InstrumentKind) -> tuple[str, ...]:
    """The names of the samples of a family, as they are queried."""
    if kind is InstrumentKind.COUNTER:
        return (f"{family}_total",)
    if kind is InstrumentKind.HISTOGRAM:
        return (f"{family}_bucket", f"{family}_sum", f"{family}_count")
    return (family,)


@functools.lru_cache(maxsize=4096)
def label_name(attribute: str) -> str:
    """A legal label for any attribute name. `le` belongs to histograms and names with two leading underscores to Prometheus."""
    name = re.sub("_+", "_", _NOT_IN_LABELS.sub("_", attribute))
    if name == "le" or not name.strip("_"):
        return f"attribute_{name.strip('_')}"
    if name[0].isdigit():
        return f"key_{name}"
    return f"key{name}" if name[0] == "_" else name
