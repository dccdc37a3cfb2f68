"""Moments as people write them, and as answers say them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np

from collector.batch import Column
from collector.store.parameter_error import ParameterError

NANOSECONDS = 1_000_000_000
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
RELATIVE = re.compile(r"([0-9]{1,9})([smhdw])")
UNIX_SECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")
LATEST_SECOND = 9_000_000_000  # the year 2255; nanoseconds of it fit 64 bits
LOST_PLUS = re.compile(r"(?<=\d) (?=\d\d:?\d\d$)")
ALLOWED = "RFC 3339 with an offset (2026-11-23T08:00:00Z), unix seconds, or how long ago: 30s, 5m, 2h, 1d, 1w"


def read_moment(parameter: str, text: str, now_ns: int) -> int:
    """Unix ns of `text`; ParameterError naming `parameter` when it is no moment."""
    relative = RELATIVE.fullmatch(text)
    if relative:
        return now_ns - int(relative[1]) * UNITS[relative[2]] * NANOSECONDS
    seconds = _unix_seconds(text)
    if seconds is None or not 0 <= seconds <= LATEST_SECOND:
        raise ParameterError(parameter, f"{text[:100]!r} is no moment that can be asked for.", ALLOWED)
    return int(seconds * NANOSECONDS)


def _unix_seconds(text: str) -> float | None:
    if UNIX_SECONDS.fullmatch(text):
        return float(text)
    try:
        # a plus sign that was not escaped in the URL has become a space
        moment = datetime.fromisoformat(LOST_PLUS.sub("+", text))
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def write_moments(unix_ns: Column) -> list[str | None]:
    """RFC 3339 in UTC with microseconds for each of `unix_ns`, int64 of shape (n,); None for 0."""
    texts = np.datetime_as_string(unix_ns.astype("datetime64[ns]"), unit="us")
    return [f"{text}Z" if known else None for text, known in zip(texts.tolist(), unix_ns.tolist(), strict=True)]


def write_moment(unix_ns: int) -> str | None:
    """RFC 3339 in UTC with microseconds; None for 0."""
    if not unix_ns:
        return None
    moment = datetime.fromtimestamp(unix_ns // NANOSECONDS, UTC).replace(microsecond=unix_ns % NANOSECONDS // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
