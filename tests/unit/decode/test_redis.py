"""Redis: recordings checked against the server's own statistics, and what recordings do not have."""

from __future__ import annotations

from collections import Counter

import pytest
from conversation_script import C, S, assert_same_for_every_cut, run
from hypothesis import strategies as st
from recorded_streams import load, read_connections

from collector.decode.protocols.redis import RedisConversation, read_request_head
from collector.decode.protocols.redis_commands import COMMANDS, CONTAINERS, ERRORS, OTHER, SUBCOMMANDS
from collector.decode.request import Outcome, Request, Side

NAMES = ("benchmark", "benchmark_pipelined", "drivers")
OK, ERROR, UNANSWERED, UNKNOWN = Outcome.OK, Outcome.ERROR, Outcome.UNANSWERED, Outcome.UNKNOWN
OPERATIONS = COMMANDS | CONTAINERS.keys() | SUBCOMMANDS | {OTHER}
FINE, NONE, ONE = b"+OK\r\n", b"$-1\r\n", b":1\r\n"


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def string(content: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(content), content)


GET, SET = command(b"GET", b"secret"), command(b"SET", b"secret", b"secret")


def ask(*script: tuple[Side, bytes | int]) -> list[Request]:
    return assert_same_for_every_cut(RedisConversation, script, range(8))


def tell(requests: list[Request]) -> list[tuple[str, Outcome, str]]:
    return [(request.operation, request.outcome, request.status) for request in requests]


@pytest.mark.parametrize("name", NAMES)
def test_requests_are_those_of_the_servers_statistics(name: str) -> None:
    asked: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for chunks in read_connections("redis", name):
        conversation = RedisConversation()
        requests = [request for side, at, data in chunks for request in conversation.feed(side, data, at)]
        requests += conversation.end(0)
        assert set(conversation.discarded) <= {"replication"}
        asked.update(request.operation.replace("DEBUG PROTOCOL", "DEBUG") for request in requests)
        failed.update(request.operation for request in requests if request.outcome is ERROR)
    for operation in (
        "CLIENT",
        "CLIENT SETINFO",
        "CLIENT MAINT_NOTIFICATIONS",
        OTHER,
    ):  # unknown to this server, so not counted by it
        del asked[operation], failed[operation]
    truth = load("redis", name)["truth"]
    assert asked == {operation: count for operation, (count, _) in truth.items()}
    assert failed == Counter({operation: count for operation, (_, count) in truth.items()})


@pytest.mark.parametrize("name", NAMES)
def test_recordings_give_the_same_requests_for_every_cut(name: str) -> None:
    for chunks in read_connections("redis", name):
        requests = assert_same_for_every_cut(RedisConversation, [(side, data) for side, _, data in chunks], range(2))
        assert "secret" not in repr(requests).lower()
        assert all(request.operation in OPERATIONS for request in requests)


def test_request_lasts_from_first_byte_to_last() -> None:
    (request,) = ask((C, SET[:9]), (C, SET[9:]), (S, b"+O"), (S, b"K\r\n"))
    assert (request.started_at, request.request_ended_at, request.response_started_at, request.ended_at) == (1, 2, 3, 4)
    assert (request.operation, request.resource, request.request_bytes, request.response_bytes) == ("SET", "", len(SET), 5)
    assert request.attributes == {"db.system.name": "redis"}


def test_pipelined_commands_are_answered_in_order() -> None:
    requests = ask((C, GET + SET + command(b"INCR", b"c")), (S, string(b"secret")), (S, FINE + b"-WRONGTYPE secret\r\n"))
    assert tell(requests) == [("GET", OK, ""), ("SET", OK, ""), ("INCR", ERROR, "WRONGTYPE")]
    assert [request.ended_at for request in requests] == [2, 3, 3]


@pytest.mark.parametrize(
    ("words", "operation"),
    [
        ((b"get", b"k"), "GET"),
        ((b"GeT", b"k"), "GET"),
        ((b"CONFIG", b"GET", b"x"), "CONFIG GET"),
        ((b"config", b"Set", b"x", b"y"), "CONFIG SET"),
        ((b"CONFIG", b"secret"), "CONFIG"),
        ((b"CONFIG",), "CONFIG"),
        ((b"FT.SEARCH", b"i", b"q"), "FT.SEARCH"),
        ((b"secret",), OTHER),
        ((b"",), OTHER),
        ((b"s" * 500, b"secret"), OTHER),
        ((b"\xff\xfe", b"x"), OTHER),
        ((b"GET\r\nX",), OTHER),
    ],
)
def test_operation_is_a_known_command_or_other(words: tuple[bytes, ...], operation: str) -> None:
    assert tell(ask((C, command(*words)), (S, FINE))) == [(operation, OK, "")]
    head = read_request_head(command(*words))
    assert head is None or head.operation == operation


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        (FINE, OK, ""),
        (ONE, OK, ""),
        (NONE, OK, ""),
        (b"*-1\r\n", OK, ""),
        (b"*0\r\n", OK, ""),
        (b"_\r\n", OK, ""),
        (b"#t\r\n", OK, ""),
        (b",3.14\r\n", OK, ""),
        (b"(12345678901234567890\r\n", OK, ""),
        (b"=15\r\ntxt:Some string\r\n", OK, ""),
        (b"%2\r\n+a\r\n:1\r\n+b\r\n*2\r\n:1\r\n_\r\n", OK, ""),
        (b"~2\r\n:1\r\n:2\r\n", OK, ""),
        (b"*2\r\n*1\r\n*1\r\n$-1\r\n-ERR inside\r\n", OK, ""),
        (b"$?\r\n;4\r\nHell\r\n;5\r\no wor\r\n;1\r\nd\r\n;0\r\n", OK, ""),
        (b"*?\r\n:1\r\n*?\r\n:2\r\n.\r\n$?\r\n;0\r\n.\r\n", OK, ""),
        (b"%?\r\n+a\r\n:1\r\n.\r\n", OK, ""),
        (b"|1\r\n+ttl\r\n:3600\r\n$2\r\nhi\r\n", OK, ""),
        (b"*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:1\r\n:2\r\n", OK, ""),
        (b"|1\r\n|1\r\n+x\r\n+y\r\n+a\r\n+b\r\n:1\r\n", OK, ""),
        (b"-ERR secret\r\n", ERROR, "ERR"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", ERROR, "MOVED"),
        (b"-SECRETWORD secret\r\n", ERROR, OTHER),
        (b"-LOADING\r\n", ERROR, "LOADING"),
        (b"!20\r\nWRONGTYPE invalid se\r\n", ERROR, "WRONGTYPE"),
        (b"-ERR " + b"s" * 3000 + b"\r\n", ERROR, "ERR"),
        (b"+" + b"s" * 3000 + b"\r\n", OK, ""),
    ],
)
def test_every_kind_of_answer(answer: bytes, outcome: Outcome, status: str) -> None:
    requests = ask((C, GET + SET), (S, answer + FINE))
    assert tell(requests) == [("GET", outcome, status), ("SET", OK, "")]
    assert requests[0].error_type == status
    assert status in ERRORS | {"", OTHER}


def test_lines_of_words_are_commands_and_empty_ones_are_nothing() -> None:
    requests = ask(
        (C, b"PING\r\n\r\n\nset foo secret\nCONFIG GET secret\r\n*0\r\n*-1\r\n" + GET),
        (S, b"+PONG\r\n" + FINE + b"*0\r\n" + NONE),
    )
    assert tell(requests) == [("PING", OK, ""), ("SET", OK, ""), ("CONFIG GET", OK, ""), ("GET", OK, "")]


def test_transaction_is_as_many_requests_as_commands() -> None:
    requests = ask((C, command(b"MULTI") + GET + command(b"EXEC")), (S, FINE + b"+QUEUED\r\n*1\r\n-ERR inside\r\n"))
    assert tell(requests) == [("MULTI", OK, ""), ("GET", OK, ""), ("EXEC", OK, "")]
    aborted = ask((C, command(b"MULTI") + command(b"EXEC")), (S, FINE + b"-EXECABORT Transaction discarded\r\n"))
    assert tell(aborted)[1] == ("EXEC", ERROR, "EXECABORT")


def confirm(word: bytes, count: int, mark: bytes = b"*") -> bytes:
    return mark + b"3\r\n" + string(word) + string(b"secret") + b":%d\r\n" % count


@pytest.mark.parametrize("mark", [b"*", b">"])
def test_messages_to_a_subscriber_are_no_answers(mark: bytes) -> None:
    note = mark + b"3\r\n" + string(b"message") + string(b"secret") + string(b"secret")
    requests = ask(
        (C, command(b"SUBSCRIBE", b"a", b"b")),
        (S, confirm(b"subscribe", 1, mark) + note),
        (S, confirm(b"subscribe", 2, mark) + note * 3),
        (C, command(b"PING")),
        (S, note + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
        (C, command(b"UNSUBSCRIBE")),
        (S, confirm(b"unsubscribe", 1, mark) + note + confirm(b"unsubscribe", 0, mark)),
        (C, GET),
        (S, string(b"secret")),
    )
    assert tell(requests) == [("SUBSCRIBE", OK, ""), ("PING", OK, ""), ("UNSUBSCRIBE", OK, ""), ("GET", OK, "")]
    assert [request.ended_at for request in requests] == [3, 5, 7, 9]


def test_invalidation_is_no_answer() -> None:
    push = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nsecret\r\n"
    assert tell(ask((S, push), (C, GET), (S, push + NONE + push))) == [("GET", OK, "")]


def test_subscription_may_fail() -> None:
    assert tell(ask((C, command(b"SUBSCRIBE", b"a", b"b") + GET), (S, b"-NOPERM secret\r\n" + NONE))) == [
        ("SUBSCRIBE", ERROR, "NOPERM"),
        ("GET", OK, ""),
    ]


def test_monitor_shows_commands_of_others_which_are_no_answers() -> None:
    line = b'+1339518083.107412 [0 127.0.0.1:60866] "set" "secret" "secret"\r\n'
    requests = ask(
        (C, b"MONITOR\r\n"),
        (S, FINE + line * 3),
        (C, b"PING\r\n"),
        (S, line + b"+PONG\r\n" + line),
        (C, b"RESET\r\n"),
        (S, b"+RESET\r\n"),
    )
    assert tell(requests) == [("MONITOR", OK, ""), ("PING", OK, ""), ("RESET", OK, "")]


def test_database_is_known_after_select() -> None:
    requests = ask(
        (C, command(b"SELECT", b"7")),
        (S, FINE),
        (C, GET),
        (S, NONE),
        (C, command(b"SELECT", b"x")),
        (S, b"-ERR x\r\n"),
        (C, GET),
        (S, NONE),
    )
    assert [request.attributes.get("db.namespace", "") for request in requests] == ["", "7", "7", "7"]


def test_silenced_answers_are_not_waited_for() -> None:
    off, on, skip = (command(b"CLIENT", b"REPLY", word) for word in (b"OFF", b"ON", b"SKIP"))
    requests = ask((C, off + SET + skip + GET + on), (S, FINE), (C, skip + SET + GET), (S, NONE))
    assert [(request.operation, request.outcome is OK) for request in requests] == [
        *(("CLIENT REPLY", False), ("SET", False), ("CLIENT REPLY", False), ("GET", False), ("CLIENT REPLY", True)),
        *(("CLIENT REPLY", False), ("SET", False), ("GET", True)),
    ]
    assert all(request.outcome is UNKNOWN and request.ended_at == 0 for request in requests if request.outcome is not OK)


def test_blocking_command_lasts_as_long_as_it_blocks() -> None:
    (request,) = ask((C, command(b"BLPOP", b"q", b"0")), (C, b""), (S, b""), (S, b"*2\r\n" + string(b"q") + string(b"secret")))
    assert (request.started_at, request.ended_at) == (1, 4)


@pytest.mark.parametrize("words", [(b"PSYNC", b"?", b"-1"), (b"SYNC",)])
def test_replication_is_not_read(words: tuple[bytes, ...]) -> None:
    requests, discarded = run(
        RedisConversation,
        [
            (C, command(b"PING")),
            (S, b"+PONG\r\n"),
            (C, command(*words)),
            (S, b"\n\n"),
            (S, b"+FULLRESYNC x 0\r\n"),
            (S, b"$EOF:x\r\n\0\1"),
            (C, GET),
        ],
    )
    assert tell(requests) == [("PING", OK, ""), (words[0].decode(), OK, "")]
    assert discarded == {"replication": 1}
    refused = ask((C, command(*words) + GET), (S, b"-NOPERM secret\r\n" + NONE))
    assert tell(refused) == [(words[0].decode(), ERROR, "NOPERM"), ("GET", OK, "")]


def test_unseen_bytes_inside_strings_change_nothing() -> None:
    big = string(b"x" * 10_000)
    asked = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n" + big
    requests = ask(
        (C, asked[:50]),
        (C, len(asked) - 50),
        (S, FINE),
        (C, GET),
        (S, big[:20]),
        (S, 9_000),
        (S, big[9_020:]),
        (C, GET),
        (S, NONE),
    )
    assert tell(requests) == [("SET", OK, ""), ("GET", OK, ""), ("GET", OK, "")]
    assert (requests[0].request_bytes, requests[1].response_bytes) == (len(asked), len(big))
    array = ask((C, GET), (S, b"*2\r\n" + big[:30]), (S, len(big) - 30), (S, big))
    assert (tell(array), array[0].response_bytes) == ([("GET", OK, "")], 4 + 2 * len(big))


def test_unseen_heads_of_an_answers_strings_leave_its_outcome_known() -> None:
    answer = b"*100\r\n" + string(b"x" * 100) * 100
    requests, discarded = run(
        RedisConversation,
        [(C, command(b"LRANGE", b"l", b"0", b"-1")), (S, answer[:500]), (S, len(answer) - 500), (C, GET), (S, NONE)],
    )
    assert tell(requests) == [("LRANGE", OK, ""), ("GET", OK, "")]
    assert [request.ended_at for request in requests] == [3, 5]
    assert discarded == {"skipped": 1}


def test_loss_spoils_only_what_is_outstanding_for_a_client_that_waits() -> None:
    for side in (C, S):
        conversation = RedisConversation()
        requests: list[Request] = []
        for number in range(1, 40, 2):
            requests += conversation.feed(C, GET * 3, number)
            if number == 21:
                conversation.lose(side)
            requests += conversation.feed(S, NONE * 3, number + 1)
        assert len(requests) == 60
        assert sum(request.outcome is UNKNOWN for request in requests) == 3
        assert all(request.ended_at - request.started_at == 1 for request in requests if request.outcome is OK)
        assert conversation.discarded["lost"] == 1


values = st.recursive(
    st.one_of(
        st.binary(max_size=30).map(string),
        st.integers().map(lambda number: b":%d\r\n" % number),
        st.sampled_from(
            (FINE, NONE, b"_\r\n", b"#t\r\n", b"*-1\r\n", b",inf\r\n", b"-ERR inside\r\n", b"$?\r\n;3\r\nabc\r\n;0\r\n")
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: b"*%d\r\n" % len(items) + b"".join(items)),
        st.lists(inner, max_size=4).map(lambda items: b"*?\r\n" + b"".join(items) + b".\r\n"),
        st.lists(st.tuples(inner, inner), max_size=3).map(
            lambda pairs: b"%%%d\r\n" % len(pairs) + b"".join(key + value for key, value in pairs)
        ),
        st.tuples(inner, inner, inner).map(lambda three: b"*1\r\n|1\r\n" + b"".join(three)),
    ),
    max_leaves=12,
)


def long_list(elements: int = 400) -> tuple[bytes, int]:
    """The answer that LRANGE gets: (its beginning, which ends within an element, how many bytes follow)."""
    answer = b"*%d\r\n" % elements + string(b"secret") * elements
    return answer[:190], len(answer) - 190


def test_size_of_an_answer_that_is_not_read_to_its_end_is_what_was_said_until_the_client_asked_again() -> None:
    beginning, unseen = long_list()
    turns = [(C, GET), (S, NONE)] * 8  # it waits for each answer
    lrange = command(b"LRANGE", b"secret", b"0", b"-1")
    asked = ask(*turns, (C, lrange), (S, beginning), (S, unseen), (C, GET), (S, NONE), (C, lrange), (S, beginning), (S, unseen))
    found = [
        (one.outcome, one.response_bytes, one.response_started_at, one.ended_at) for one in asked if one.operation == "LRANGE"
    ]
    assert found == [(OK, 190 + unseen, 18, 19), (OK, 190 + unseen, 23, 24)]


def test_size_of_an_answer_of_which_some_was_lost_is_not_known() -> None:
    beginning, unseen = long_list()
    conversation = RedisConversation()
    requests: list[Request] = []
    for _ in range(8):
        requests += [*conversation.feed(C, GET, 1), *conversation.feed(S, NONE, 2)]
    requests += [*conversation.feed(C, command(b"LRANGE", b"secret", b"0", b"-1"), 3), *conversation.feed(S, beginning, 4)]
    conversation.lose(S)
    requests += [*conversation.skip(S, unseen, 5), *conversation.feed(C, GET, 6)]
    assert [(one.operation, one.response_bytes, one.ended_at) for one in requests[8:]] == [("LRANGE", 0, 5)]


def test_size_of_an_answer_that_is_not_read_to_its_end_is_not_known_behind_others_of_a_pipeline() -> None:
    beginning, unseen = long_list()
    lrange = command(b"LRANGE", b"secret", b"0", b"-1")
    for last in ((C, GET), (S, 0)):  # the client asks again, or the connection ends
        asked = ask(*[(C, GET), (S, NONE)] * 8, (C, GET + lrange), (S, NONE + beginning), (S, unseen), last)
        assert [one.response_bytes for one in asked if one.operation == "LRANGE"] == [0]
