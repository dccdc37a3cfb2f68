"""MySQL and MariaDB: recordings checked against the server's own logs, and what recordings do not have."""

from __future__ import annotations

import struct

import pytest
from conversation_script import C, S, Script, assert_same_for_every_cut
from recorded_streams import load, read_connections

from collector.decode.protocols.mysql import MysqlConversation
from collector.decode.request import Outcome, Request, Side

NAMES = ("command_line", "drivers")
CONNECTIONS = [(name, index) for name in NAMES for index in range(len(load("mysql", name)["connections"]))]
UNLOGGED = {"PING", "FETCH", "RESET_CONNECTION", "SET_OPTION"}
COMMANDS = {"PREPARE", "STMT_RESET", "INIT_DB", "STATISTICS", "FIELD_LIST", "DEBUG", "CHANGE_USER", *UNLOGGED}
OK, ERROR, UNANSWERED, UNKNOWN = Outcome.OK, Outcome.ERROR, Outcome.UNANSWERED, Outcome.UNKNOWN
# Capabilities: long password, database, protocol 4.1, secure connection, multiple statements, plugins.
PLAIN = 1 | 1 << 3 | 1 << 9 | 1 << 15 | 1 << 16 | 1 << 19
DEPRECATE_EOF, TLS, COMPRESS = 1 << 24, 1 << 11, 1 << 5


def packet(sequence: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload) | sequence << 24) + payload


def command(code: int, content: bytes = b"") -> bytes:
    return packet(0, bytes((code,)) + content)


def query(text: str) -> bytes:
    return command(3, text.encode())


def fine(sequence: int = 1, status: int = 2, head: int = 0) -> bytes:
    return packet(sequence, bytes((head, 0, 0)) + struct.pack("<HH", status, 0))


def eof(sequence: int, status: int = 2) -> bytes:
    return packet(sequence, b"\xfe\0\0" + struct.pack("<H", status))


def error(sequence: int = 1, number: int = 1062, state: bytes = b"23000") -> bytes:
    return packet(sequence, b"\xff" + struct.pack("<H", number) + b"#" + state + b"secret message")


def column(sequence: int) -> bytes:
    return packet(sequence, b"\x03def" + b"\0" * 20)


def rows(sequence: int, count: int, row: bytes = b"\x06secret") -> bytes:
    return b"".join(packet((sequence + n) & 0xFF, row) for n in range(count))


def old_result(count: int, sequence: int = 1, status: int = 2) -> bytes:
    """One column, `count` rows, ends as EOF packets."""
    head = packet(sequence, b"\1") + column(sequence + 1) + eof(sequence + 2, status)
    return head + rows(sequence + 3, count) + eof((sequence + 3 + count) & 0xFF, status)


def new_result(count: int, sequence: int = 1, status: int = 2) -> bytes:
    """The same with CLIENT_DEPRECATE_EOF."""
    head = packet(sequence, b"\1") + column(sequence + 1)
    return head + rows(sequence + 2, count) + fine((sequence + 2 + count) & 0xFF, status, head=0xFE)


def greeting(capabilities: int = 0xFFFFFFFF, version: bytes = b"8.0.36") -> bytes:
    low, high = struct.pack("<H", capabilities & 0xFFFF), struct.pack("<H", capabilities >> 16)
    return packet(
        0, b"\x0a" + version + b"\0" + bytes(4) + b"saltsalt\0" + low + b"\xff\2\0" + high + b"\x15" + bytes(10) + b"x" * 13
    )


def response(capabilities: int = PLAIN, sequence: int = 1) -> bytes:
    head = struct.pack("<IIB", capabilities, 1 << 24, 255) + bytes(23)
    return packet(sequence, head + b"secretuser\0\x14" + b"secretsecretsecret!!" + b"shop\0" + b"mysql_native_password\0")


def login(capabilities: int = PLAIN, version: bytes = b"8.0.36") -> Script:
    return [(S, greeting(version=version)), (C, response(capabilities)), (S, fine(2))]


def ask(*script: tuple[Side, bytes | int], capabilities: int = PLAIN) -> list[Request]:
    return assert_same_for_every_cut(MysqlConversation, [*login(capabilities), *script], range(8))


def tell(requests: list[Request]) -> list[tuple[str, str, Outcome, str]]:
    return [(request.operation, request.resource, request.outcome, request.status) for request in requests]


@pytest.mark.parametrize(("name", "index"), CONNECTIONS)
def test_requests_are_those_of_the_servers_logs(name: str, index: int) -> None:
    truth = load("mysql", name)["connections"][index]
    conversation = MysqlConversation()
    requests = [
        request for side, at, data in read_connections("mysql", name)[index] for request in conversation.feed(side, data, at)
    ]
    requests += conversation.end(0)
    assert conversation.discarded == {}
    assert all(request.attributes["db.system.name"] == "mariadb" for request in requests)
    logged = [r for r in requests if r.operation not in UNLOGGED and (r.operation != "PREPARE" or r.outcome is OK)]
    assert [r.operation.replace("BATCH SELECT", "SELECT").replace("BATCH", "SELECT") for r in logged] == truth["commands"]
    statements = iter(truth["statements"])
    for request in logged:
        opens_cursor = (name, index, request.attributes.get("db.response.returned_rows")) == ("drivers", 2, 0)
        if request.operation in COMMANDS or opens_cursor:
            continue  # these are not in the slow log
        milliseconds = returned = sent = 0
        while sent < request.response_bytes:
            _, more_milliseconds, more_rows, more_sent = next(statements)
            milliseconds, returned, sent = milliseconds + more_milliseconds, returned + more_rows, sent + more_sent
            if more_sent == 0:  # of prepared statements it has no bytes
                break
        assert sent in (0, request.response_bytes)
        assert request.attributes.get("db.response.returned_rows", 0) == returned
        measured = (request.ended_at - request.started_at) / 1e6
        assert milliseconds <= measured + 0.05


@pytest.mark.parametrize("name", [*NAMES, "compressed"])
def test_recordings_give_the_same_requests_for_every_cut(name: str) -> None:
    for chunks in read_connections("mysql", name):
        script = [(side, data) for side, _, data in chunks]
        requests = assert_same_for_every_cut(lambda: MysqlConversation(keep_text=True), script, range(2))
        assert "secret" not in repr(requests)


def test_query_lasts_from_first_byte_to_last() -> None:
    text = "select * from users where name = 'secret'"
    answer = old_result(3)
    (request,) = ask((C, query(text)[:9]), (C, query(text)[9:]), (S, answer[:20]), (S, answer[20:]))
    assert (request.started_at, request.request_ended_at, request.response_started_at, request.ended_at) == (4, 5, 6, 7)
    assert (request.request_bytes, request.response_bytes) == (len(query(text)), len(answer))
    assert request.attributes == {
        "db.system.name": "mysql",
        "db.namespace": "shop",
        "db.query.summary": "SELECT users",
        "db.response.returned_rows": 3,
    }


@pytest.mark.parametrize("version", [b"5.5.5-10.11.6-MariaDB", b"11.4.2-MariaDB-log"])
def test_mariadb_is_called_so(version: bytes) -> None:
    script: Script = [*login(version=version), (C, command(14)), (S, fine())]
    requests = assert_same_for_every_cut(MysqlConversation, script)
    assert [request.attributes["db.system.name"] for request in requests] == ["mariadb"]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("capabilities", "result"), [(PLAIN, old_result), (PLAIN | DEPRECATE_EOF, new_result)])
def test_results_end_whether_or_not_the_login_was_seen(known: bool, capabilities: int, result: object) -> None:
    assert callable(result)
    script: Script = [
        (C, query("select a from t")),
        (S, result(2)),
        (C, query("select a from t")),
        (S, result(0)),
        (C, query("select 1")),
        (S, result(300)),
    ]
    requests = assert_same_for_every_cut(MysqlConversation, [*(login(capabilities) if known else []), *script])
    assert [request.outcome for request in requests] == [OK] * 3
    assert [request.attributes["db.response.returned_rows"] for request in requests] == [2, 0, 300]


def test_error_has_number_and_state() -> None:
    requests = ask(
        (C, query("insert into t values (1)")),
        (S, error()),
        (C, query("select a from t")),
        (S, old_result(2)[:-9] + error(6, 3024, b"HY000")),
    )
    assert tell(requests) == [("INSERT", "t", ERROR, "1062"), ("SELECT", "t", ERROR, "3024")]
    assert [request.error_type for request in requests] == ["1062", "3024"]
    assert [request.attributes["honeyguide.db.sqlstate"] for request in requests] == ["23000", "HY000"]


def test_progress_of_mariadb_is_no_error() -> None:
    progress = packet(1, b"\xff\xff\xff\1\1\2\0\0\0\4text")
    assert tell(ask((C, query("alter table t add x int")), (S, progress), (S, fine(2)))) == [("ALTER", "t", OK, "")]


def test_several_results_are_one_request() -> None:
    answer = old_result(2, 1, 2 | 8) + fine(7, 2 | 8) + error(8)
    requests = ask((C, query("select 1; delete from t; select")), (S, answer), (C, command(14)), (S, fine()))
    assert tell(requests) == [("BATCH", "", ERROR, "1062"), ("PING", "", OK, "")]
    assert requests[0].response_bytes == len(answer)


def test_local_file_is_part_of_the_request() -> None:
    asked, content = (
        query("load data local infile 'secret' into table t"),
        packet(2, b"secret,1\n") + packet(3, b"secret,2\n") + packet(4, b""),
    )
    requests = ask((C, asked), (S, packet(1, b"\xfbsecret")), (C, content), (S, fine(5)), (C, command(14)), (S, fine()))
    assert tell(requests) == [("LOAD", "t", OK, ""), ("PING", "", OK, "")]
    assert requests[0].request_bytes == len(asked + content)


def prepared(number: int, columns: int, parameters: int, ends: bool) -> bytes:
    answer, sequence = packet(1, b"\0" + struct.pack("<IHHBH", number, columns, parameters, 0, 0)), 2
    for count in (parameters, columns):
        answer += b"".join(column(sequence + n) for n in range(count)) + (eof(sequence + count) if count and ends else b"")
        sequence += count + (1 if count and ends else 0)
    return answer


def execute(number: int, flags: int = 0) -> bytes:
    return command(0x17, struct.pack("<IBI", number, flags, 1) + b"\0\1\x08\0" + b"secret!!")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("capabilities", "result", "ends"), [(PLAIN, old_result, True), (PLAIN | DEPRECATE_EOF, new_result, False)]
)
def test_prepared_statement_is_remembered_by_its_number(known: bool, capabilities: int, result: object, ends: bool) -> None:
    assert callable(result)
    text = b"select a from t where b = ?"
    script: Script = [
        (C, command(0x16, text)),
        (S, prepared(7, 1, 2, ends)),
        (C, execute(7)),
        (S, result(2)),
        (C, execute(8)),
        (S, error(1, 1243, b"HY000")),
        (C, command(0x18, struct.pack("<IH", 7, 0) + b"secret")),
        (C, command(0x1A, struct.pack("<I", 7))),
        (S, fine()),
        (C, command(0x19, struct.pack("<I", 7))),
        (C, execute(7)),
        (S, fine()),
    ]
    requests = assert_same_for_every_cut(MysqlConversation, [*(login(capabilities) if known else []), *script])
    assert tell(requests) == [
        ("PREPARE", "t", OK, ""),
        ("SELECT", "t", OK, ""),
        ("", "", ERROR, "1243"),
        ("STMT_RESET", "", OK, ""),
        ("", "", OK, ""),
    ]


def test_last_prepared_statement_is_executed_before_its_number_is_known() -> None:
    asked = command(0x16, b"insert into t values (?)") + execute(0xFFFFFFFF)
    requests = ask((C, asked), (S, prepared(9, 0, 1, True)), (S, fine()), (C, execute(9)), (S, fine()))
    assert tell(requests) == [("PREPARE", "t", OK, ""), ("INSERT", "t", OK, ""), ("INSERT", "t", OK, "")]


def test_cursor_gives_its_rows_when_they_are_fetched() -> None:
    fetch = command(0x1C, struct.pack("<II", 7, 2))
    opened = packet(1, b"\1") + column(2) + eof(3, 2 | 0x40)
    requests = ask(
        (C, command(0x16, b"select a from t")),
        (S, prepared(7, 1, 0, True)),
        (C, execute(7, 1)),
        (S, opened),
        (C, fetch),
        (S, rows(1, 2, b"\0\0\6secret") + eof(3, 2 | 0x40)),
        (C, fetch),
        (S, eof(1, 0x80)),
    )
    assert tell(requests)[1:] == [("SELECT", "t", OK, ""), ("FETCH", "", OK, ""), ("FETCH", "", OK, "")]
    assert [request.attributes.get("db.response.returned_rows") for request in requests] == [None, 0, 2, 0]


def test_database_changes_when_the_change_succeeds() -> None:
    change = command(0x11, b"secretuser\0\x03abcother\0")
    requests = ask(
        (C, query("use other")),
        (S, fine()),
        (C, command(14)),
        (S, fine()),
        (C, command(2, b"third")),
        (S, error(1, 1049, b"42000")),
        (C, command(2, b"fourth")),
        (S, fine()),
        (C, command(14)),
        (S, fine()),
        (C, change),
        (S, packet(1, b"\xfeplugin\0salt")),
        (C, packet(2, b"secret")),
        (S, fine(3)),
        (C, command(14)),
        (S, fine()),
    )
    assert [(request.operation, request.attributes["db.namespace"]) for request in requests] == [
        *(("USE", "shop"), ("PING", "other"), ("INIT_DB", "other"), ("INIT_DB", "other"), ("PING", "fourth")),
        *(("CHANGE_USER", "fourth"), ("PING", "other")),
    ]


def test_rare_commands_end_with_their_one_packet() -> None:
    script: list[tuple[Side, bytes | int]] = []
    for asked, answer in (
        (command(9), packet(1, b"Uptime: 5 secret")),
        (command(4, b"t\0"), column(1) + column(2) + eof(3)),
        (command(0x1F), fine()),
        (command(0x0D), eof(1)),
        (command(0x0A), old_result(1)),
        (command(0x1B, b"\0\0"), eof(1)),
        (command(8, b"\0"), eof(1)),
    ):
        script += [(C, asked), (S, answer)]
    names = ["STATISTICS", "FIELD_LIST", "RESET_CONNECTION", "DEBUG", "PROCESS_INFO", "SET_OPTION", "SHUTDOWN"]
    assert tell(ask(*script, (C, command(1)))) == [(name, "", OK, "") for name in names]


def test_traceparent_among_the_query_attributes() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    names = b"\xfe\0\x0btraceparent" + b"\x08\0\6secret" + b"\xfe\0\4none"
    attributes = b"\3\1" + b"\4" + b"\1" + names + bytes((len(trace),)) + trace + b"secret!!"
    (request,) = ask((C, command(3, attributes + b"select a from t")), (S, old_result(1)))
    assert (request.operation, request.resource, request.trace_parent.encode()) == ("SELECT", "t", trace)
    (without,) = ask((C, command(3, b"\0\1select a from t")), (S, old_result(1)))
    assert (without.operation, without.resource, without.trace_parent) == ("SELECT", "t", "")
    (unreadable,) = ask((C, command(3, b"\1\1\0\1\x77\0\1x" + b"secret")), (S, fine()))
    assert (unreadable.operation, unreadable.outcome) == ("", OK)


def test_server_mode_without_backslash_escapes_is_known_from_its_answers() -> None:
    text = "select a from t where p = 'C:\\\\' and q = 'secret' and r = 1"
    requests = assert_same_for_every_cut(
        lambda: MysqlConversation(keep_text=True),
        [
            *login(),
            (C, query("set sql_mode = 'NO_BACKSLASH_ESCAPES'")),
            (S, fine(1, 2 | 0x200)),
            (C, query(text)),
            (S, old_result(0)),
        ],
    )
    assert requests[1].attributes["db.query.text"] == "select a from t where p = ? and q = ? and r = ?"
