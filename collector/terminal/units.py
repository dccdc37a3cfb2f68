"""Amounts and moments for people: short, and the same width for the same thing."""

from __future__ import annotations

from datetime import datetime

BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
COUNT_UNITS = ("", "k", "M", "G", "T", "P")
LARGER_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))
SMALLER_UNITS = ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
MINUTES_FROM = 120


def show_bytes(count: int) -> str:
    """'1.2 MB'"""
    return _scale(count, BYTE_UNITS, " ")


def show_count(count: int) -> str:
    """'1.2M'"""
    return _scale(count, COUNT_UNITS, "")


def show_rate(per_second: float | None) -> str:
    """'1.2k /s', '12 /s', '0.25 /s', '0.3 /m'; '' when not known."""
    if per_second is None:
        return ""
    if per_second < 9.95:
        return f"{per_second:.2g} /s" if per_second >= 0.01 else f"{60 * per_second:.2g} /m"
    return f"{_scale(per_second, COUNT_UNITS, '')} /s"


def show_share(share: float) -> str:
    """'0.3 %', '12 %'; '-' for nothing at all."""
    if not share:
        return "-"
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 9.95 else f"{max(percent, 0.1):.1f} %"


def _scale(count: float, units: tuple[str, ...], space: str) -> str:
    place = 0
    while count >= 999.5 and place < len(units) - 1:
        count /= 1000
        place += 1
    digits = f"{count:.1f}" if place and count < 99.95 else f"{count:.0f}"
    return f"{digits}{space}{units[place]}"


def show_duration(seconds: float | None) -> str:
    """'250 ms', '1.2 s', '5 m', '3 h', '2 d'; '' when not known."""
    if seconds is None:
        return ""
    if seconds >= MINUTES_FROM:
        minutes_or_more, unit = next((size, unit) for size, unit in LARGER_UNITS if seconds >= size)
        return f"{seconds / minutes_or_more:.0f} {unit}"
    size, unit = next(((size, unit) for size, unit in SMALLER_UNITS if seconds >= size), SMALLER_UNITS[-1])
    amount = seconds / size
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"


def show_moment(text: str | None, now: datetime) -> str:
    """An RFC 3339 moment as the time of day where `now` (with its zone) is, or as the day when it is more than a day ago."""
    if text is None:
        return ""
    moment = datetime.fromisoformat(text).astimezone(now.tzinfo)
    if abs((now - moment).total_seconds()) >= LARGER_UNITS[0][0]:
        return f"{moment:%b %d %H:%M}"
    return f"{moment:%H:%M:%S}"


def printable(text: str) -> str:
    """Names come from elsewhere: what is no letter to print would steer the terminal, and is escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
