"""Against a double that misbehaves: nothing is lost without a count, nothing doubled, everything bounded."""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from clickhouse_double import ClickHouseDouble, Handler, clickhouse_double
from clickhouse_rows import ORIGIN, START, MadeFeed, ended_flows, open_flows
from otlp_receiver import wait_for
from throwaway_certificates import make_certificates

from collector.errors import SettingsError
from collector.export import clickhouse
from collector.export.clickhouse import ClickHouseExporter
from collector.export.clickhouse_settings import ClickHouseSettings

PASSWORD = "correct-horse-battery"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse, "FETCH_SECONDS", 0.02)
    monkeypatch.setattr(clickhouse, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(clickhouse, "LONGEST_PAUSE_SECONDS", 0.1)


@pytest.fixture
def double() -> Iterator[ClickHouseDouble]:
    with clickhouse_double() as one:
        yield one


ANSWER_SECONDS = 30  # an answer may take so long; the end must come sooner


def drip(handler: Handler) -> None:
    handler.close_connection = True
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(20 * 2 * ANSWER_SECONDS):
            handler.wfile.write(b"x")
            time.sleep(0.05)
    except OSError:
        return


@contextmanager
def exporting(url: str, **settings: Any) -> Iterator[tuple[ClickHouseExporter, MadeFeed]]:
    feed = MadeFeed()
    given = {"seconds": 0.05, "timeout_seconds": 0.5, "password": PASSWORD, **settings}
    exporter = ClickHouseExporter(ClickHouseSettings(url, **given), ORIGIN, feed)
    exporter.start()
    try:
        yield exporter, feed
    finally:
        assert exporter.close(5)


def sums(exporter: ClickHouseExporter) -> int:
    """Rows that are accounted for."""
    status = exporter.status()
    return sum(status.delivered.values()) + sum(status.discarded.values()) + status.spooled_rows


def times(count: int, answer: Callable[[Handler], None]) -> Callable[[Handler], None]:
    """That answer to so many inserts, then the usual one."""
    left = [count]

    def behave(handler: Handler) -> None:
        if not handler.is_insert or left[0] <= 0:
            handler.take()
            return
        left[0] -= 1
        answer(handler)

    return behave


def test_rows_arrive_once_with_user_and_password_in_headers_only(double: ClickHouseDouble) -> None:
    with exporting(double.url + "?async_insert=0", user="agent") as (exporter, feed):
        for first in range(1, 1001, 100):
            feed.put(ended_flows(100, first))
        wait_for(lambda: double.rows["flows"] == 1000)
        wait_for(lambda: exporter.status().delivered == {"flows": 1000})
        assert exporter.status().state == "exporting"
    assert sorted(double.values("flows", "bytes_sent")) == list(range(1, 1001))
    assert {(one["X-ClickHouse-User"], one["X-ClickHouse-Key"]) for one in double.headers} == {("agent", PASSWORD)}
    assert not any(PASSWORD in statement for statement in double.statements)


def test_a_table_that_is_missing_is_created(double: ClickHouseDouble) -> None:
    double.tables.clear()
    with exporting(double.url) as (_, feed):
        feed.put(ended_flows(5))
        wait_for(lambda: double.rows["flows"] == 5)
    created = [one for one in double.statements if one.startswith("CREATE TABLE IF NOT EXISTS `default`.`honeyguide_flows`")]
    assert len(created) == 1


def test_nobody_creates_tables_who_may_not(double: ClickHouseDouble, caplog: pytest.LogCaptureFixture) -> None:
    double.tables.clear()
    with exporting(double.url, create_tables=False) as (exporter, feed):
        feed.put(ended_flows(5))
        wait_for(lambda: exporter.status().retried.get("no_table", 0) > 2)
        assert "honeyguide clickhouse-schema" in caplog.text
        double.tables.add("flows")
        wait_for(lambda: double.rows["flows"] == 5)
    assert not any(one.startswith("CREATE") for one in double.statements)


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: handler.hang_up(),
        lambda handler: handler.keep() and handler.hang_up(),
        lambda handler: (handler.keep() and time.sleep(0.8)) or handler.hang_up(),
        lambda handler: handler.keep() and handler.answer(502, "<html>Bad Gateway</html>"),
        lambda handler: handler.answer(503, ""),
        lambda handler: handler.refuse(500, 252, "Too many parts"),
        lambda handler: handler.refuse(500, 1001, "std::exception"),
        lambda handler: handler.answer(302, "", Location="http://127.0.0.1:1/"),
    ],
    ids=["hangs_up", "keeps_and_hangs_up", "keeps_and_is_silent", "keeps_and_502", "503", "too_many_parts", "odd", "redirects"],
)
@pytest.mark.parametrize("version", ["25.3.1.1", "18.16.1"])
def test_every_row_is_there_once_after_any_failure(
    double: ClickHouseDouble, answer: Callable[[Handler], None], version: str
) -> None:
    """Servers before 22.2 know no tokens: there the batch is looked for before it is sent again."""
    double.version, double.behave = version, times(3, answer)
    with exporting(double.url) as (exporter, feed):
        wait_for(lambda: double.statements)
        feed.put(ended_flows(50))
        wait_for(lambda: exporter.status().retried)
        feed.put(ended_flows(50, 51))
        wait_for(lambda: exporter.status().delivered == {"flows": 100})
    assert sorted(double.values("flows", "bytes_sent")) == list(range(1, 101))
    assert exporter.status().discarded == {}


def test_what_the_server_can_never_take_makes_way_for_the_next(
    double: ClickHouseDouble, caplog: pytest.LogCaptureFixture
) -> None:
    double.behave = times(1, lambda handler: handler.refuse(400, 16, "No such column peer_kind in table"))
    with exporting(double.url) as (exporter, feed):
        feed.put(ended_flows(7))
        wait_for(lambda: exporter.status().discarded == {"rejected": 7})
        feed.put(ended_flows(5))
        wait_for(lambda: double.rows["flows"] == 5)
    assert "No such column peer_kind" in caplog.text
    assert "discarded" in caplog.text


def test_an_error_nobody_knows_is_tried_some_times_and_no_more(double: ClickHouseDouble) -> None:
    double.behave = times(10**6, lambda handler: handler.refuse(500, 1001, "std::exception"))
    with exporting(double.url) as (exporter, feed):
        feed.put(ended_flows(7))
        wait_for(lambda: exporter.status().discarded == {"unexpected": 7})
    assert exporter.status().retried == {"unexpected": clickhouse.TRIES - 1}


def test_it_waits_as_long_as_it_is_asked_to(double: ClickHouseDouble) -> None:
    asked = times(1, lambda handler: handler.refuse(503, 202, "Too many simultaneous queries", Retry_After="1"))
    arrived = []
    double.behave = lambda handler: (arrived.append(time.monotonic()) if handler.is_insert else None, asked(handler))[1]
    with exporting(double.url) as (_, feed):
        feed.put(ended_flows(1))
        wait_for(lambda: double.rows["flows"] == 1)
    assert arrived[1] - arrived[0] >= 1


def test_a_dead_server_costs_a_bounded_spool_and_every_row_is_counted() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    with exporting(url, rows=1000, spool_bytes=64 << 10) as (exporter, feed):
        most = 0
        for first in range(1, 60_001, 1000):
            feed.put(ended_flows(1000, first))
            wait_for(lambda first=first: sums(exporter) == first + 999)
            most = max(most, exporter.status().spooled_bytes)
        assert most <= 64 << 10
    status = exporter.status()
    assert (sums(exporter), status.spooled_rows, status.state) == (60_000, 0, "closed")
    assert set(status.discarded) == {"spool_full", "closing"}
    assert status.last_error == "Connection refused"


@pytest.mark.parametrize(
    "behave",
    [
        lambda handler: time.sleep(2 * ANSWER_SECONDS),
        drip,
        lambda handler: handler.answer(200, "x" * 1_000_000),
    ],
    ids=["hangs", "drips", "floods"],
)
def test_the_end_comes_in_time_whatever_the_server_does(double: ClickHouseDouble, behave: Callable[[Handler], None]) -> None:
    double.behave = behave
    with exporting(double.url, timeout_seconds=ANSWER_SECONDS) as (exporter, feed):
        feed.put(ended_flows(10))
        wait_for(lambda: exporter.status().spooled_rows or double.statements)
        started = time.monotonic()
        assert exporter.close(1.5)
        assert time.monotonic() - started < ANSWER_SECONDS
    assert sums(exporter) == 10


def test_a_connection_that_is_reset_within_an_answer_is_one_more_failure(double: ClickHouseDouble) -> None:
    left = [4]

    def reset(handler: Handler) -> None:
        if left[0] <= 0:
            handler.take()
            return
        left[0] -= 1
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n25")
        handler.wfile.flush()
        time.sleep(0.05)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    double.behave = reset
    with exporting(double.url) as (exporter, feed):
        feed.put(ended_flows(10))
        wait_for(lambda: exporter.status().delivered == {"flows": 10})
    assert double.rows["flows"] == 10


def test_what_answers_but_is_no_clickhouse_gets_no_rows(double: ClickHouseDouble, caplog: pytest.LogCaptureFixture) -> None:
    double.version = "<html>hello</html>"
    with exporting(double.url) as (exporter, feed):
        feed.put(ended_flows(10))
        wait_for(lambda: exporter.status().retried.get("misunderstood"))
    assert "no ClickHouse server" in caplog.text
    assert not any(one.startswith("INSERT") for one in double.statements)


def test_a_folder_brings_rows_over_a_restart_of_the_agent(double: ClickHouseDouble, tmp_path: Path) -> None:
    double.behave = lambda handler: handler.answer(503, "")
    with exporting(double.url, spool_folder=tmp_path) as (exporter, feed):
        feed.put(ended_flows(30))
        wait_for(lambda: exporter.status().retried)
    assert exporter.status().discarded == {}
    double.behave = None
    with exporting(double.url, spool_folder=tmp_path):
        wait_for(lambda: double.rows["flows"] == 30)
        wait_for(lambda: not list(tmp_path.iterdir()))


def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    exporter = ClickHouseExporter(ClickHouseSettings("http://127.0.0.1:1/", spool_folder=tmp_path / "file"), ORIGIN, MadeFeed())
    with pytest.raises(SettingsError, match="clickhouse_spool_folder"):
        exporter.start()


def test_over_tls_only_a_server_with_a_known_certificate_gets_rows(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "certificates")
    with clickhouse_double((made.server, made.server_key)) as double:
        with exporting(double.url, ca_file=made.authority) as (exporter, feed):
            feed.put(ended_flows(10))
            wait_for(lambda: exporter.status().delivered == {"flows": 10})
        with exporting(double.url) as (exporter, feed):
            feed.put(ended_flows(10))
            wait_for(lambda: exporter.status().retried.get("tls"))
    assert double.rows["flows"] == 10


def test_a_file_without_authorities_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for path, reason in ((tmp_path / "empty", "no certificates"), (tmp_path / "none", "No such file")):
        exporter = ClickHouseExporter(ClickHouseSettings("https://127.0.0.1:1/", ca_file=path), ORIGIN, MadeFeed())
        with pytest.raises(SettingsError, match=reason):
            exporter.start()


def test_open_flows_are_told_by_their_increase(double: ClickHouseDouble) -> None:
    with exporting(double.url, flow_seconds=0.05) as (_, feed):
        feed.open_now = open_flows(2, 100)
        wait_for(lambda: double.rows["flows"] == 2)
        feed.open_now = open_flows(2, 250)
        wait_for(lambda: double.rows["flows"] == 4)
        ended = ended_flows(2)
        ended["bytes_sent"] = 300
        feed.open_now = open_flows(0, 0)
        feed.put(ended)
        wait_for(lambda: double.rows["flows"] == 6)
    assert double.values("flows", "bytes_sent") == [100, 100, 150, 150, 50, 50]
    assert double.values("flows", "state") == ["open"] * 4 + ["closed"] * 2


def test_a_batch_never_holds_two_days(double: ClickHouseDouble) -> None:
    rows = ended_flows(10)
    rows["ended_at"][5:] += 86_400 * 10**9
    with exporting(double.url) as (_, feed):
        feed.put(rows)
        wait_for(lambda: double.rows["flows"] == 10)
    assert [sorted({time // 86_400_000_000_000 for time in values["time"]}) for _, values in double.kept] == [
        [START // 86_400_000_000_000],
        [START // 86_400_000_000_000 + 1],
    ]


def test_rows_that_nobody_fetched_in_time_are_counted(double: ClickHouseDouble) -> None:
    with exporting(double.url) as (exporter, feed):
        feed.lost = 12
        wait_for(lambda: exporter.status().discarded == {"fetched_too_late": 12})


def test_the_password_is_in_no_message(double: ClickHouseDouble, caplog: pytest.LogCaptureFixture) -> None:
    """Even where the server repeats it."""
    caplog.set_level(logging.DEBUG)
    double.behave = lambda handler: handler.refuse(403, 516, f"agent: wrong password {handler.headers['X-ClickHouse-Key']}")
    with exporting(double.url, user="agent") as (exporter, feed):
        feed.put(ended_flows(1))
        wait_for(lambda: exporter.status().retried.get("unauthorized"))
        status = exporter.status()
    assert "wrong password" in status.last_error
    assert "clickhouse_password_file" in caplog.text
    for text in (caplog.text, repr(status), repr(exporter._settings), str(vars(exporter))):
        assert PASSWORD not in text
