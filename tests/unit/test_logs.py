"""Log lines: text and JSON, one record one line, and no flood."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from collector.logs import JsonLine, RepeatLimit, TextLine, start_logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str = "ring %s is full", *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("collector.source", logging.WARNING, "file.py", 1, message, arguments, None)
    made.__dict__.update(extra, created=0.0)
    return made


def test_text_line_has_time_level_logger_message_and_extras() -> None:
    line = TextLine().format(record("ring %s is full", "tcp", dropped=3))
    assert line == "1970-01-01T00:00:00.000Z warning collector.source: ring tcp is full dropped=3"


def test_text_line_cannot_be_forged_by_what_it_quotes() -> None:
    assert "\n" not in TextLine().format(record("path %s", "a\n1970 error forged"))


def test_json_line_is_one_object_with_extras() -> None:
    line = JsonLine().format(record("ring %s is full", "tcp", dropped=3, time="not this"))
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "warning",
        "logger": "collector.source",
        "message": "ring tcp is full",
        "dropped": 3,
    }


def test_json_line_carries_the_traceback_and_any_object() -> None:
    try:
        raise ValueError("wrong")
    except ValueError as error:
        made = record("failed", where=object())
        made.exc_info = (ValueError, error, error.__traceback__)
    line = json.loads(JsonLine().format(made))
    assert "ValueError: wrong" in line["exception"]
    assert line["where"].startswith("<object")


@pytest.mark.parametrize("form", ["text", "json"])
def test_quiet_by_default_and_louder_when_asked(form: str, stream: io.StringIO) -> None:
    start_logs("warning", form, stream)
    logging.getLogger("collector.agent").info("started")
    assert stream.getvalue() == ""
    logging.getLogger("collector.agent").warning("trouble")
    assert "trouble" in stream.getvalue()
    start_logs("info", form, stream)
    logging.getLogger("collector.agent").info("started")
    assert "started" in stream.getvalue()


def test_same_message_passes_five_times_a_minute_and_the_rest_is_told_later() -> None:
    now = [0.0]
    limit = RepeatLimit(lambda: now[0])
    assert [limit.filter(record("ring %s is full", number)) for number in range(8)] == [True] * 5 + [False] * 3
    assert limit.filter(record("another message"))
    now[0] = 61.0
    after = record("ring %s is full", 9)
    assert limit.filter(after)
    assert "repeats_held_back=3" in TextLine().format(after)


def test_limit_remembers_a_bounded_number_of_messages() -> None:
    limit = RepeatLimit(lambda: 0.0)
    assert all(limit.filter(record(f"message {number}")) for number in range(3000))
    assert len(limit._windows) <= 1000
