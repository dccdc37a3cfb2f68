"""Log lines on stderr: quiet by default, text or JSON, and never a flood of the same message."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

_REPEATS_ALLOWED = 5
_WINDOW_SECONDS = 60.0
_TEMPLATES_REMEMBERED = 1000
# What every LogRecord has; anything else came with extra={...} and is part of the message.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


def start_logs(level: str, form: str, stream: TextIO = sys.stderr) -> logging.Handler:
    """Sends every logger of the process to `stream`; level and form ('text' or 'json') as in the settings."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLine() if form == "json" else TextLine())
    handler.addFilter(RepeatLimit(time.monotonic))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    return handler


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextLine(logging.Formatter):
    """2026-01-02T03:04:05.678Z warning collector.agent: message key=value"""

    def format(self, record: logging.LogRecord) -> str:
        extras = "".join(f" {key}={value}" for key, value in _extras(record).items())
        line = f"{_when(record)} {record.levelname.lower()} {record.name}: {record.getMessage()}{extras}"
        # one record, one line: what others wrote (a path, a header) cannot forge a second one
        line = line.replace("\r", "\\r").replace("\n", "\\n")
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLine(logging.Formatter):
    """{"time", "level", "logger", "message", extras..., "exception"}"""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in _extras(record).items() if key not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class RepeatLimit(logging.Filter):
    """Lets one message template pass five times a minute; the next one that passes says how many were held back.

    clock: seconds, monotonic. Remembers at most 1000 templates, then starts afresh.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))
        now = self._clock()
        started_at, count = self._windows.get(key, (now, 0))
        if now - started_at >= _WINDOW_SECONDS:
            if count > _REPEATS_ALLOWED:
                record.repeats_held_back = count - _REPEATS_ALLOWED
            started_at, count = now, 0
        if len(self._windows) >= _TEMPLATES_REMEMBERED and key not in self._windows:
            self._windows.clear()
        self._windows[key] = (started_at, count + 1)
        return count < _REPEATS_ALLOWED
