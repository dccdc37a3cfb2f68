"""`honeyguide probe run`: one probe in the kernel, without an agent, and its rows as they come."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from collector.accounts import Book
from collector.aggregate.condition import label_value
from collector.batch import Batch
from collector.clock import NANOSECONDS, SystemClock
from collector.decode.probe_code import ProbeCode, read_code
from collector.errors import HoneyguideError
from collector.instruments import AttributeValue
from collector.settings import Settings
from collector.source.loaded_probe import LoadedProbe
from collector.terminal.table import NOTICE, say
from collector.workshop.check import open_workshop

DRAIN_SECONDS = 0.1
SNAPSHOT_SECONDS = 1.0
LINES_PER_DRAIN = 200  # nobody reads more; the rest is counted
WIDTHS = {"S": 16, "V": 39, "?": 5, "f": 12}
Row = dict[str, AttributeValue]


def watch(folder: Path, settings: Settings, *, as_json: bool, seconds: float) -> int:
    """Until Ctrl-C or for so long; 0. ProbeError when the probe cannot run."""
    clock = SystemClock()
    code = read_code(folder.name, folder / "probe.py", settings.probe_python_max) if (folder / "probe.py").exists() else None
    loaded = open_workshop(settings).open(folder)
    end = time.monotonic() + seconds if seconds else float("inf")
    say(f"{folder.name} runs{loaded.compile_cost}. Ctrl-C ends it.")
    try:
        show_all(loaded, clock, code, end, as_json=as_json)
    except KeyboardInterrupt:
        pass
    finally:
        for book in loaded.books():
            say_book(book)
        loaded.close()
    return 0


def show_all(loaded: LoadedProbe, clock: SystemClock, code: ProbeCode | None, end: float, *, as_json: bool) -> None:
    """Drains and prints until `end` (monotonic seconds)."""
    screen, next_snapshot = Screen(as_json), 0.0
    while time.monotonic() < end:
        loaded.tick(clock.boot_ns())
        loaded.follow_libraries(clock.boot_ns())
        events, counts = loaded.drain(), []
        if time.monotonic() >= next_snapshot:
            next_snapshot = time.monotonic() + SNAPSHOT_SECONDS
            counts = loaded.take_snapshot(clock.boot_ns(), first=True)
        clock.measure()
        for batch in (*events, *counts):
            add_columns(loaded, batch, code)
        for batch in events:
            screen.show(batch, list(rows_of(batch, clock.offset_ns)))
        for batch in counts:
            screen.show_changes(batch, list(rows_of(batch, clock.offset_ns)))
        sys.stdout.flush()
        time.sleep(DRAIN_SECONDS)


class Screen:
    """Rows as lines under a heading, or as JSON; of a table that is read again and again, what changed."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._heading = ""
        self._known: dict[str, list[Row]] = {}

    def show(self, batch: Batch, rows: Sequence[Row]) -> None:
        record = batch.schema.record
        if not self._as_json and self._heading != record and rows:
            self._heading = record
            print(heading(batch))
        for row in rows:
            print(json.dumps({"record": record, **row}) if self._as_json else line(batch, row))
        if len(batch) > LINES_PER_DRAIN:
            say(f"... and {len(batch) - LINES_PER_DRAIN} more", NOTICE)

    def show_changes(self, batch: Batch, rows: list[Row]) -> None:
        known = self._known.get(batch.schema.record, [])
        changed = [row for row in rows if row not in known]
        self._known[batch.schema.record] = rows
        if not changed:
            return
        if not self._as_json:
            print(f"-- {time.strftime('%H:%M:%S')}, {len(changed)} of {len(batch)} changed")
        self.show(batch, changed)


def add_columns(loaded: LoadedProbe, batch: Batch, code: ProbeCode | None) -> None:
    """Those of probe.py; HoneyguideError says what is wrong with it."""
    record = next(one for one in loaded.probe.manifest.record if one.struct == batch.schema.record)
    failure = code.add_columns(batch, record.computed) if code is not None and record.computed else ""
    if failure:
        raise HoneyguideError(failure, "Mend probe.py.")


def rows_of(batch: Batch, offset_ns: int) -> Iterator[Row]:
    """The batch's first rows as people read them: enums by name, addresses and times as text."""
    names = [*(batch.schema.dtype.names or ()), *batch.columns]
    times = {entry.name for entry in batch.schema.fields if entry.meaning == "boot_ns"}
    for index in range(min(len(batch), LINES_PER_DRAIN)):
        row: Row = {}
        for name in names:
            value = batch[name][index]
            is_time = name in times and value
            row[name] = show_time(int(value) + offset_ns) if is_time else label_value(batch.schema, name, value)
        yield row


def show_time(unix_ns: int) -> str:
    seconds, rest = divmod(unix_ns, NANOSECONDS)
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest // 1_000_000:03d}"


def heading(batch: Batch) -> str:
    return " ".join(name.upper().ljust(width_of(batch, name)) for name in [*(batch.schema.dtype.names or ()), *batch.columns])


def line(batch: Batch, row: Row) -> str:
    return " ".join(str(value).ljust(width_of(batch, name)) for name, value in row.items())


def width_of(batch: Batch, name: str) -> int:
    kind = batch[name].dtype.kind
    return max(len(name), min(batch[name].dtype.itemsize, 40) if kind == "S" else WIDTHS.get(kind, 10))


def say_book(book: Book) -> None:
    what = f"{book.account}: {book.seen} seen, {book.emitted} emitted, {book.filtered} filtered, {book.lost} lost"
    lost = {**{reason: count for reason, count in book.dropped.items() if count}, "missed": book.missed}
    say(what + (f" ({', '.join(f'{reason} {count}' for reason, count in lost.items() if count)})" if book.lost else ""))
