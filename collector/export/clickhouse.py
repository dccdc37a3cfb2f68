"""Sends rows of flows, requests and lookups to ClickHouse.

Two threads: one fetches rows, encodes and spools them, the other sends. A server that is slow, dead or refuses costs
a bounded spool; what does not fit, or can never be taken, is counted by reason.
"""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from collector.errors import SettingsError
from collector.export.clickhouse_answer import BOUNDED_TRIES, HOPELESS, NOT_STORED
from collector.export.clickhouse_batches import BatchMaker
from collector.export.clickhouse_columns import Origin
from collector.export.clickhouse_delivery import Delivery, Server
from collector.export.clickhouse_settings import ClickHouseSettings
from collector.export.clickhouse_spool import Parcel, Spool
from collector.export.otlp_outcome import Outcome, presentable
from collector.stored_rows import RowFeed

log = logging.getLogger(__name__)

FETCH_SECONDS = 0.5  # the stores keep 20,000 requests: enough for 40,000 a second
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, LONGEST_ASKED_SECONDS = 1.0, 60.0, 300.0
TRIES = 10
HINTS = {
    "no_table": "; create it with what `honeyguide clickhouse-schema` prints, or set clickhouse_create_tables",
    "rejected": "; `honeyguide doctor` compares the tables with what is sent",
    "no_database": "; create the database, or set clickhouse_database",
    "unauthorized": "; see clickhouse_user, clickhouse_password_file and the user's grants",
}
NOISY_LOGGERS = ("urllib3",)


@dataclass(frozen=True, slots=True)
class ClickHouseStatus:
    """state: waiting (nothing sent yet), exporting, failing or closed. Counts since the start.

    delivered: rows by table. discarded: rows by reason. retried: inserts by the reason for the next try.
    found: inserts that had arrived although nobody said so. spooled_*: what waits now. last_error: one line without secrets.
    """

    endpoint: str
    state: str = "waiting"
    delivered: Mapping[str, int] = field(default_factory=dict)
    discarded: Mapping[str, int] = field(default_factory=dict)
    inserts: int = 0
    retried: Mapping[str, int] = field(default_factory=dict)
    found: int = 0
    spooled_rows: int = 0
    spooled_bytes: int = 0
    last_error: str = ""
    last_success_at: float = 0.0


class ClickHouseExporter:
    """feed: everything that comes into the stores, asked from a thread of the exporter's own. server: None: that of settings."""

    def __init__(self, settings: ClickHouseSettings, origin: Origin, feed: RowFeed, server: Server | None = None) -> None:
        self._settings, self._feed = settings, feed
        self._server = open_server(settings) if server is None else server
        self._delivery = Delivery(settings, self._server)
        self._maker = BatchMaker(origin, settings.rows, settings.seconds)
        self._spool = Spool(settings.spool_bytes)
        self._lock = threading.Lock()  # of the counts and the state
        self._delivered: Counter[str] = Counter()
        self._retried: Counter[str] = Counter()
        self._discarded: Counter[str] = Counter()
        self._inserts, self._state, self._last_error, self._last_success_at = 0, "waiting", "", 0.0
        self._closing, self._all_fetched = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """SettingsError when a file or folder of the settings cannot be used."""
        for name in NOISY_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        if self._settings.ca_file is not None:
            check_authorities(self._settings.ca_file)
        if self._settings.spool_folder is not None:
            try:
                self._spool = Spool(self._settings.spool_bytes, self._settings.spool_folder)
            except OSError as error:
                cause = f"clickhouse_spool_folder = '{self._settings.spool_folder}' cannot be used: {error.strerror}."
                raise SettingsError(cause, "Name a folder that the agent may write to.") from None
        for target, name in ((self._fetch_all, "clickhouse-fetch"), (self._send_all, "clickhouse-send")):
            self._threads.append(threading.Thread(target=target, name=name, daemon=True))
        for thread in self._threads:
            thread.start()

    def close(self, timeout_seconds: float) -> bool:
        """Sends what there is if there is time; the rest stays in the folder or is counted. True when the threads ended."""
        deadline = time.monotonic() + timeout_seconds
        self._closing.set()
        for thread in self._threads:
            thread.join(max(deadline - 0.2 * timeout_seconds - time.monotonic(), 0))
            self._spool.wake()
        if any(thread.is_alive() for thread in self._threads):
            self._server.abort()
            for thread in self._threads:
                thread.join(max(deadline - time.monotonic(), 0))
        self._feed.close()
        self._spool.close()
        self._set_state("closed")
        return not any(thread.is_alive() for thread in self._threads)

    def status(self) -> ClickHouseStatus:
        with self._lock:
            discarded = self._discarded + self._spool.discarded
            if self._maker.lost:
                discarded["fetched_too_late"] = self._maker.lost
            return ClickHouseStatus(
                self._settings.shown_url,
                self._state,
                dict(self._delivered),
                dict(discarded),
                self._inserts,
                dict(self._retried),
                self._delivery.found,
                self._spool.rows,
                self._spool.bytes,
                self._last_error,
                self._last_success_at,
            )

    def _fetch_all(self) -> None:
        next_open = time.monotonic() + self._settings.flow_seconds
        while not self._closing.wait(FETCH_SECONDS):
            now = time.monotonic()
            self._fetch(now, open_flows=now >= next_open)
            if now >= next_open:
                next_open = now + self._settings.flow_seconds
        self._fetch(time.monotonic(), open_flows=True, everything=True)
        self._all_fetched.set()
        self._spool.wake()

    def _fetch(self, now: float, open_flows: bool, everything: bool = False) -> None:
        try:
            self._maker.add(self._feed.take(open_flows), now)
            for parcel in self._maker.batches(now, self._delivery.types, everything):
                self._spool.put(parcel)
        except Exception:
            # A thread that ends in silence would be worse than any error.
            log.exception("The ClickHouse exporter failed inside the agent; rows of half a second are missing")
            with self._lock:
                self._discarded["failed"] += 1

    def _send_all(self) -> None:
        """Greets the server at once: a wrong address is told at the start, and batches are written for its version."""
        failures = 0
        self._greet()
        while not (self._closing.is_set() and ((self._all_fetched.is_set() and not self._spool.rows) or failures)):
            parcel = self._spool.take(FETCH_SECONDS)
            if parcel is None:
                continue
            outcome = self._deliver(parcel)
            failures = 0 if outcome.delivered or outcome.reason in HOPELESS else failures + 1
            if failures:
                self._closing.wait(self._pause(failures, outcome))
        self._server.close()

    def _greet(self) -> None:
        try:
            outcome = self._delivery.greet()
        except Exception:
            log.exception("The ClickHouse exporter failed inside the agent")
            return
        if not outcome.delivered:
            self._tell(outcome)

    def _deliver(self, parcel: Parcel) -> Outcome:
        try:
            outcome = self._delivery.deliver(parcel)
        except Exception as error:
            log.exception("The ClickHouse exporter failed inside the agent")
            outcome = Outcome("failed", type(error).__name__)
        parcel.tries += 1
        self._settle(parcel, outcome)
        self._tell(outcome)
        return outcome

    def _settle(self, parcel: Parcel, outcome: Outcome) -> None:
        worn_out = outcome.reason in BOUNDED_TRIES and parcel.tries >= TRIES
        with self._lock:
            if outcome.delivered:
                self._delivered[parcel.table] += parcel.rows
                self._inserts += 1
                self._last_success_at = time.time()
            elif outcome.reason in HOPELESS or worn_out:
                self._discarded[outcome.reason] += parcel.rows
            else:
                self._retried[outcome.reason] += 1
        if outcome.delivered or outcome.reason in HOPELESS or worn_out:
            self._spool.forget(parcel)
            return
        if outcome.reason not in NOT_STORED:
            parcel.doubtful = True
        self._delivery.doubt_version()
        self._spool.put_back(parcel)

    def _pause(self, failures: int, outcome: Outcome) -> float:
        """Doubles each time, and is never the same for all agents of a cluster."""
        longest: float = min(FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 10), LONGEST_PAUSE_SECONDS)
        asked = min(outcome.retry_after or 0.0, LONGEST_ASKED_SECONDS)
        return max(longest * random.uniform(0.5, 1.0), asked)

    def _set_state(self, state: str) -> None:
        with self._lock:
            self._state = state

    def _tell(self, outcome: Outcome) -> None:
        """Once for every change between working and failing."""
        before, endpoint = self._state, self._settings.shown_url
        text = presentable(outcome.text or outcome.reason, [self._settings.password]) if outcome.reason else ""
        with self._lock:
            self._state = "failing" if outcome.reason else "exporting"
            self._last_error = text or self._last_error
        if self._state == before:
            return
        if outcome.reason:
            fate = "Its rows are discarded" if outcome.reason in HOPELESS else "It is tried again"
            log.warning("Export to ClickHouse at %s fails: %s%s. %s.", endpoint, text, HINTS.get(outcome.reason, ""), fate)
        elif before == "failing":
            log.warning("Export to ClickHouse at %s works again.", endpoint)
        else:
            log.info("Export to ClickHouse at %s works.", endpoint)


def check_authorities(path: Path) -> None:
    """SettingsError when the file holds no certificates."""
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        reason = "it holds no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise SettingsError(f"clickhouse_ca_file = '{path}' cannot be used: {reason}.", "It is a PEM file.") from None


def open_server(settings: ClickHouseSettings) -> Server:
    """Imported here and not before: requests takes memory."""
    from collector.export.clickhouse_http import ClickHouseHttp  # noqa: PLC0415

    return ClickHouseHttp(settings)
