"""PostgreSQL: recordings checked against the server's own log, and what recordings do not have."""

from __future__ import annotations

import struct

import pytest
from conversation_script import C, S, Script, assert_same_for_every_cut, run
from recorded_streams import load, read_connections

from collector.decode.protocols.postgresql import PostgresqlConversation
from collector.decode.request import Outcome, Request, Side

NAMES = ("psql", "pgbench_simple", "pgbench_extended", "pgbench_prepared", "pgbench_pipeline", "drivers")
CONNECTIONS = [(name, index) for name in NAMES for index in range(len(load("postgresql", name)["connections"]))]
OK, ERROR, UNANSWERED, UNKNOWN = Outcome.OK, Outcome.ERROR, Outcome.UNANSWERED, Outcome.UNKNOWN


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def query(text: str) -> bytes:
    return message(b"Q", text.encode() + b"\0")


def parse(text: str, name: str = "") -> bytes:
    return message(b"P", f"{name}\0{text}\0".encode() + b"\0\0")


def bind(statement: str = "", portal: str = "") -> bytes:
    return message(b"B", f"{portal}\0{statement}\0".encode() + bytes(6))


def execute(portal: str = "") -> bytes:
    return message(b"E", f"{portal}\0".encode() + bytes(4))


def complete(tag: str) -> bytes:
    return message(b"C", tag.encode() + b"\0")


def error(state: str, text: str = "secret") -> bytes:
    return message(b"E", f"SERROR\0VERROR\0C{state}\0M{text}\0\0".encode())


SYNC, PARSED, BOUND, READY, ROW = (
    message(b"S"),
    message(b"1"),
    message(b"2"),
    message(b"Z", b"I"),
    message(b"D", b"\0\1secret row"),
)
COLUMNS = message(b"T", b"\0\1secret column\0" + bytes(18))
START = struct.pack(">II", 44, 3 << 16) + b"user\0secretuser\0database\0shop\0\0\0\0\0\0"
START = struct.pack(">I", len(START)) + START[4:]
LOGIN: Script = [(C, START), (S, message(b"R", bytes(4)) + message(b"S", b"client_encoding\0UTF8\0") + READY)]


def ask(*script: tuple[Side, bytes | int]) -> list[Request]:
    return assert_same_for_every_cut(PostgresqlConversation, [*LOGIN, *script], range(8))


def tell(requests: list[Request]) -> list[tuple[str, str, Outcome, str]]:
    return [(request.operation, request.resource, request.outcome, request.status) for request in requests]


@pytest.mark.parametrize(("name", "index"), CONNECTIONS)
def test_requests_are_those_of_the_servers_log(name: str, index: int) -> None:
    truth = load("postgresql", name)["connections"][index]["truth"]
    conversation = PostgresqlConversation()
    requests = [
        request for side, at, data in read_connections("postgresql", name)[index] for request in conversation.feed(side, data, at)
    ]
    requests += conversation.end(0)
    assert conversation.discarded == {}
    # The log has no line for a statement that is only prepared, nor for what the server skips after an error.
    executed = [r for r in requests if not (r.operation == "PREPARE" and r.outcome is OK) and r.error_type != "pipeline_aborted"]
    assert [(r.operation.removeprefix("BATCH ").replace("BATCH", "SELECT"), r.status) for r in executed] == [
        (word, state) for word, state, _ in truth
    ]
    for request, (_, _, milliseconds) in zip(executed, truth, strict=True):
        measured = (request.ended_at - request.started_at) / 1e6
        if milliseconds is not None and name in ("psql", "pgbench_simple", "pgbench_extended"):
            assert milliseconds <= measured + 0.2
            assert abs(measured - milliseconds) < max(0.2, 0.1 * milliseconds)


@pytest.mark.parametrize("name", NAMES)
def test_recordings_give_the_same_requests_for_every_cut(name: str) -> None:
    for chunks in read_connections("postgresql", name):
        script = [(side, data) for side, _, data in chunks]
        small = [(side, data[:3000]) for side, data in script] if len(script) < 3 else script
        requests = assert_same_for_every_cut(lambda: PostgresqlConversation(keep_text=True), small, range(2))
        assert "secret" not in repr(requests)
        assert all(request.attributes["db.namespace"] == "shop" for request in requests)


def test_simple_query_ends_with_ready_for_query() -> None:
    (request,) = ask(
        (C, query("select * from users where name = 'secret'")), (S, COLUMNS + ROW * 3), (S, complete("SELECT 3")), (S, READY)
    )
    assert (request.operation, request.resource, request.outcome) == ("SELECT", "users", OK)
    assert (request.started_at, request.request_ended_at, request.response_started_at, request.ended_at) == (3, 3, 4, 6)
    assert request.request_bytes == len(query("select * from users where name = 'secret'"))
    assert request.response_bytes == len(COLUMNS + ROW * 3 + complete("SELECT 3") + READY)
    assert request.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": "shop",
        "db.query.summary": "SELECT users",
        "db.response.returned_rows": 3,
    }


def test_several_statements_of_one_query_are_one_request() -> None:
    requests = ask(
        (C, query("begin; insert into t values (1); commit")),
        (S, complete("BEGIN") + complete("INSERT 0 1") + error("23505") + READY),
    )
    assert tell(requests) == [("BATCH", "", ERROR, "23505")]
    assert requests[0].error_type == "23505"


def test_notices_and_notifications_are_no_answers() -> None:
    noise = message(b"N", b"SNOTICE\0\0") + message(b"A", bytes(8)) + message(b"S", b"TimeZone\0UTC\0")
    requests = ask((S, noise), (C, query("")), (S, noise + message(b"I") + noise + READY))
    assert tell(requests) == [("", "", OK, "")]
    assert requests[0].response_bytes == len(message(b"I") + READY)


def test_fatal_error_at_the_end_of_an_idle_connection_is_no_request() -> None:
    assert ask((S, error("57P01"))) == []
    assert tell(ask((C, query("select 1")), (S, error("57P01")))) == [("SELECT", "", ERROR, "57P01")]


def test_extended_query_lasts_from_parse_to_completion() -> None:
    asked = parse("select * from t where a = $1") + bind() + message(b"D", b"P\0") + execute()
    (request,) = ask((C, asked), (C, SYNC), (S, PARSED + BOUND + COLUMNS), (S, ROW + complete("SELECT 1") + READY))
    assert (request.operation, request.resource, request.outcome) == ("SELECT", "t", OK)
    assert (request.started_at, request.request_ended_at, request.response_started_at, request.ended_at) == (3, 3, 5, 6)
    assert request.request_bytes == len(asked)


def test_prepared_statement_is_a_request_of_its_own_and_remembered() -> None:
    requests = ask(
        (C, parse("update t set a = $1", "s1") + SYNC),
        (S, PARSED + READY),
        (C, bind("s1") + execute() + SYNC),
        (S, BOUND + complete("UPDATE 1") + READY),
        (C, message(b"C", b"Ss1\0") + SYNC),
        (S, message(b"3") + READY),
        (C, bind("s1") + execute() + SYNC),
        (S, error("26000") + READY),
    )
    assert tell(requests) == [("PREPARE", "t", OK, ""), ("UPDATE", "t", OK, ""), ("", "", ERROR, "26000")]


def test_statement_that_cannot_be_prepared_is_a_failed_prepare() -> None:
    assert tell(ask((C, parse("select from", "s") + SYNC), (S, error("42601") + READY))) == [("PREPARE", "", ERROR, "42601")]


def test_time_between_preparing_and_binding_is_the_clients() -> None:
    requests = ask(
        (C, parse("select 1") + message(b"H")),
        (S, PARSED),
        (C, bind() + execute() + SYNC),
        (S, BOUND + complete("SELECT 1") + READY),
    )
    assert [(r.started_at, r.ended_at) for r in requests] == [(5, 6)]


def test_portal_is_executed_in_parts() -> None:
    requests = ask(
        (C, parse("select * from t") + bind("", "p") + execute("p") + SYNC),
        (S, PARSED + BOUND + ROW * 2 + message(b"s") + READY),
        (C, execute("p") + SYNC),
        (S, ROW + complete("SELECT 1") + READY),
    )
    assert tell(requests) == [("SELECT", "t", OK, ""), ("SELECT", "t", OK, "")]
    assert [r.attributes["db.response.returned_rows"] for r in requests] == [2, 1]


def test_pipeline_gives_each_execute_its_answer() -> None:
    one, two = parse("insert into a values (1)") + bind() + execute(), parse("delete from b") + bind() + execute()
    requests = ask(
        (C, one + two + SYNC + one + SYNC),
        (S, (PARSED + BOUND + complete("INSERT 0 1"))),
        (S, PARSED + BOUND + complete("DELETE 9")),
        (S, READY + PARSED + BOUND + complete("INSERT 0 1") + READY),
    )
    assert tell(requests) == [("INSERT", "a", OK, ""), ("DELETE", "b", OK, ""), ("INSERT", "a", OK, "")]
    assert [r.ended_at for r in requests] == [4, 5, 6]


def test_error_in_a_pipeline_skips_to_sync_and_no_further() -> None:
    one = parse("select 1 from t") + bind() + execute()
    requests = ask(
        (C, one + one + one + SYNC + one + SYNC),
        (S, PARSED + BOUND + complete("SELECT 0") + PARSED + error("22012")),
        (S, READY + PARSED + BOUND + complete("SELECT 1") + READY),
    )
    assert [(r.outcome, r.status, r.error_type) for r in requests] == [
        (OK, "", ""),
        (ERROR, "22012", "22012"),
        (ERROR, "", "pipeline_aborted"),
        (OK, "", ""),
    ]


def test_commit_that_fails_at_sync_is_an_error_of_the_last_request() -> None:
    one = parse("insert into t values (1)") + bind() + execute()
    requests = ask((C, one + SYNC), (S, PARSED + BOUND + complete("INSERT 0 1") + error("23503") + READY))
    assert tell(requests) == [("INSERT", "t", ERROR, "23503")]


def test_copy_counts_its_data_and_is_no_new_request() -> None:
    data = message(b"d", b"secret\n")
    requests = ask(
        (C, query("copy t from stdin")),
        (S, message(b"G", bytes(5))),
        (C, data * 3 + message(b"c")),
        (S, complete("COPY 3") + READY),
        (C, query("copy t to stdout")),
        (S, message(b"H", bytes(5)) + data * 3 + message(b"c") + complete("COPY 3") + READY),
    )
    assert tell(requests) == [("COPY", "t", OK, ""), ("COPY", "t", OK, "")]
    assert requests[0].request_bytes == len(query("copy t from stdin") + data * 3 + message(b"c"))
    assert requests[0].request_ended_at == 5


def test_function_call_is_a_request() -> None:
    requests = ask(
        (C, message(b"F", bytes(10))),
        (S, message(b"V", bytes(4)) + READY),
        (C, message(b"F", bytes(10))),
        (S, error("42883") + READY),
    )
    assert tell(requests) == [("CALL", "", OK, ""), ("CALL", "", ERROR, "42883")]


def test_encryption_and_replication_are_not_read() -> None:
    tls, gssapi = struct.pack(">II", 8, 80877103), struct.pack(">II", 8, 80877104)
    hello = b"\x16\x03\x01" + bytes(100)
    assert run(PostgresqlConversation, [(C, tls), (S, b"S"), (C, hello), (S, hello)]) == ([], {"tls": 1})
    assert run(PostgresqlConversation, [(C, gssapi), (S, b"G"), (C, hello)]) == ([], {"gssapi": 1})
    refused: Script = [
        (C, gssapi),
        (S, b"N"),
        (C, tls),
        (S, b"N"),
        *LOGIN,
        (C, query("select 1")),
        (S, complete("SELECT 1") + READY),
    ]
    assert tell(assert_same_for_every_cut(PostgresqlConversation, refused, range(3))) == [("SELECT", "", OK, "")]
    walsender = b"user\0u\0replication\0true\0\0"
    start = struct.pack(">II", len(walsender) + 8, 3 << 16) + walsender
    assert run(PostgresqlConversation, [(C, start), (S, READY), (C, query("IDENTIFY_SYSTEM"))]) == ([], {"replication": 1})
    cancel = struct.pack(">IIII", 16, 80877102, 1, 2)
    assert run(PostgresqlConversation, [(C, cancel)]) == ([], {})


def test_stream_of_writes_is_not_read_when_joined_midway() -> None:
    requests, discarded = run(
        PostgresqlConversation, [(C, query("START_REPLICATION")), (S, message(b"W", bytes(3))), (S, message(b"d", b"w"))]
    )
    assert tell(requests) == [(OTHER, "", UNKNOWN, "")]
    assert discarded == {"replication": 1}


OTHER = "_OTHER"


def test_connection_joined_between_requests_loses_nothing() -> None:
    script: Script = [(C, query("select * from t")), (S, COLUMNS + ROW + complete("SELECT 1") + READY)]
    requests = assert_same_for_every_cut(PostgresqlConversation, script)
    assert tell(requests) == [("SELECT", "t", OK, "")]
    assert "db.namespace" not in requests[0].attributes


def test_connection_joined_within_an_answer_begins_with_the_next_request() -> None:
    requests, discarded = run(
        PostgresqlConversation,
        [
            (S, ROW[7:] + ROW * 2),
            (S, complete("SELECT 3") + READY),
            (C, query("select 1")),
            (S, COLUMNS + ROW + complete("SELECT 1") + READY),
        ],
    )
    assert tell(requests) == [("SELECT", "", OK, "")]
    assert set(discarded) <= {"resynchronising", "unmatched_answer"}


def test_statement_prepared_before_is_known_by_its_answer_only() -> None:
    requests, _ = run(
        PostgresqlConversation, [(C, bind("old") + execute() + SYNC), (S, BOUND + ROW + complete("SELECT 1") + READY)]
    )
    assert tell(requests) == [("SELECT", "", OK, "")]
    assert "db.query.summary" not in requests[0].attributes


def test_unseen_bytes_inside_a_message_change_nothing() -> None:
    long_row = message(b"D", b"x" * 5000)
    text = "insert into t values ('" + "secret" * 2000 + "')"
    whole: Script = [(C, query(text)), (S, COLUMNS + long_row + complete("SELECT 1") + READY)]
    cut: Script = [
        (C, query(text)[:9000]),
        (C, len(query(text)) - 9000),
        (S, COLUMNS + long_row[:700]),
        (S, 4000),
        (S, long_row[4700:] + complete("SELECT 1") + READY),
    ]
    first, second = (assert_same_for_every_cut(PostgresqlConversation, [*LOGIN, *script], range(3)) for script in (whole, cut))
    assert [(r.operation, r.resource, r.request_bytes, r.response_bytes, r.outcome) for r in first] == [
        (r.operation, r.resource, r.request_bytes, r.response_bytes, r.outcome) for r in second
    ]
    assert first[0].resource == "t"
