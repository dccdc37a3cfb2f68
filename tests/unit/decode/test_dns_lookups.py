"""Lookups out of messages: both sides, sent again, never answered, over TCP, in any order of batches."""

from __future__ import annotations

import random

import numpy as np
import pytest
from dns_batches import CLIENT, MILLISECOND, SERVER, TCP, batch, client_row, server_row
from dns_wire import AAAA, address_answer, mapped, question, response

from collector.batch import Batch
from collector.decode import DECODERS
from collector.decode.dns_lookups import LookupDecoder

TIMEOUT_NS = 5_000_000_000
ADDRESS = bytes([192, 0, 2, 1])


def decode(decoder: LookupDecoder, *rows: np.ndarray) -> list[dict[str, object]]:
    return described(decoder.decode(batch(rows)))


def described(batches: list[Batch]) -> list[dict[str, object]]:
    """Rows as people read them: enums by name, in order of time."""
    rows = []
    for one in batches:
        for index in np.argsort(one["observed_at"], kind="stable"):
            row = {name: one[name][index].item() for name in one.schema.dtype.names or ()}
            for field in one.schema.fields:
                if field.names:
                    row[field.name] = field.names[row[field.name]]
            rows.append({**row, "question": one["question"][index], "answers": one["answers"][index]})
    return rows


def exchange(identifier: int, at_ms: float, name: str = "web.example.test") -> tuple[np.ndarray, np.ndarray]:
    asked = question(name, identifier=identifier)
    return client_row(at_ms, asked, sent=True), client_row(at_ms + 2, address_answer(asked, ADDRESS), sent=False)


def test_question_and_answer_are_one_lookup() -> None:
    (lookup,) = decode(LookupDecoder(), *exchange(1, 10))
    assert lookup == {
        "flow": 9, "observed_at": 10 * MILLISECOND, "duration": 2 * MILLISECOND, "cgroup": 77, "process_started_at": 5,
        "local_address": CLIENT, "remote_address": SERVER, "command": b"asker", "netns": 1, "process": 1234,
        "role": "client", "transport": "udp", "response_code": "noerror", "failure": "", "question_type": "a",
        "answer_count": 1, "query_count": 1, "local_port": 40000, "remote_port": 53, "truncated": False,
        "question": "web.example.test", "answers": ((mapped(192, 0, 2, 1), 60),),
    }  # fmt: skip


def test_server_side_is_a_lookup_of_its_own_and_known_by_who_responds() -> None:
    asked = question()
    rows = (
        client_row(10, asked, sent=True),
        server_row(11, asked, sent=False),
        server_row(12, response(asked, code=3), sent=True, process=53, command=b"resolver"),
        client_row(13, response(asked, code=3), sent=False),
    )
    client, server = decode(LookupDecoder(), *rows)
    assert (client["role"], client["process"], client["duration"]) == ("client", 1234, 3 * MILLISECOND)
    assert (server["role"], server["process"], server["duration"]) == ("server", 53, 1 * MILLISECOND)
    assert (server["command"], server["response_code"], server["failure"]) == (b"resolver", "nxdomain", "nxdomain")


def test_answer_in_a_later_batch_finds_its_question() -> None:
    decoder = LookupDecoder()
    asked, answered = exchange(1, 10)
    assert decode(decoder, asked) == []
    assert [lookup["duration"] for lookup in decode(decoder, answered)] == [2 * MILLISECOND]


def test_question_sent_again_is_the_same_lookup() -> None:
    decoder = LookupDecoder()
    asked, answered = exchange(1, 10)
    again = asked.copy()
    again["observed_at"] = 11 * MILLISECOND
    assert decode(decoder, asked) == []
    assert decode(decoder, again) == []
    (lookup,) = decode(decoder, answered)
    assert (lookup["query_count"], lookup["observed_at"]) == (2, 10 * MILLISECOND)
    assert decoder.counters()["retransmitted"] == 1


def test_same_identifier_used_again_is_the_next_lookup() -> None:
    first, second = exchange(7, 10), exchange(7, 20)
    lookups = decode(LookupDecoder(), *first, *second)
    assert [lookup["observed_at"] for lookup in lookups] == [10 * MILLISECOND, 20 * MILLISECOND]


@pytest.mark.parametrize(
    "other",
    [
        {"payload": question("other.example.test", identifier=1)},
        {"payload": question(kind=AAAA, identifier=1)},
        {"payload": question(identifier=2)},
        {"netns": 2},
        {"local_port": 40001},
        {"remote_address": mapped(10, 0, 0, 54)},
    ],
)
def test_what_differs_is_another_lookup(other: dict[str, object]) -> None:
    decoder = LookupDecoder()
    asked, answered = exchange(1, 10)
    payload = other.pop("payload", question(identifier=1))
    assert isinstance(payload, bytes)
    decode(decoder, asked, client_row(10, payload, sent=True, **other))
    assert len(decode(decoder, answered)) == 1
    assert [lookup["response_code"] for lookup in described(decoder.expire(TIMEOUT_NS * 2))] == ["timeout"]


def test_nobody_answers_in_time() -> None:
    decoder = LookupDecoder(timeout=5.0)
    decode(decoder, client_row(10, question(), sent=True))
    assert decoder.expire(TIMEOUT_NS + 10 * MILLISECOND - 1) == []
    (lookup,) = described(decoder.expire(TIMEOUT_NS + 10 * MILLISECOND))
    assert (lookup["response_code"], lookup["failure"], lookup["duration"]) == ("timeout", "timeout", 0)
    assert (lookup["answers"], lookup["process"]) == ((), 1234)
    assert decoder.expire(TIMEOUT_NS * 9) == []


def test_answers_without_question_are_counted() -> None:
    decoder = LookupDecoder()
    asked, answered = exchange(1, 10)
    assert decode(decoder, answered) == []
    assert len(decode(decoder, asked.copy(), client_row(30, address_answer(question(), ADDRESS), sent=False), answered)) == 1
    assert decoder.counters()["unpaired"] == 2


def test_error_without_the_question_belongs_to_the_newest_that_fits() -> None:
    asked = question(identifier=3)
    bare = asked[:2] + b"\x81\x81" + bytes(8)
    (lookup,) = decode(LookupDecoder(), client_row(10, asked, sent=True), client_row(12, bare, sent=False))
    assert (lookup["response_code"], lookup["question"]) == ("formerr", "web.example.test")


def test_truncated_answer_and_the_same_question_over_tcp_are_two_lookups() -> None:
    asked = question()
    cut = response(asked, flags=0x8380)
    whole = address_answer(asked, ADDRESS)
    lookups = decode(
        LookupDecoder(),
        client_row(10, asked, sent=True),
        client_row(11, cut, sent=False),
        client_row(12, framed(asked), sent=True, transport=TCP, sequence=100),
        client_row(13, framed(whole), sent=False, transport=TCP, sequence=900),
    )
    assert [(lookup["transport"], lookup["truncated"], len(lookup["answers"])) for lookup in lookups] == [
        ("udp", True, 0),
        ("tcp", False, 1),
    ]


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def test_pipelined_questions_over_tcp_are_answered_in_any_order() -> None:
    asked = [question(f"name{number}.test", identifier=number) for number in range(23)]
    answered = [address_answer(one, ADDRESS) for one in reversed(asked)]
    sent, back = framed(*asked), framed(*answered)
    rows = [
        client_row(10 + place / 1000, sent[place : place + 100], sent=True, transport=TCP, sequence=place)
        for place in range(0, len(sent), 100)
    ] + [
        client_row(20 + place / 1000, back[place : place + 512], sent=False, transport=TCP, sequence=place)
        for place in range(0, len(back), 512)
    ]
    lookups = decode(LookupDecoder(), *rows)
    assert sorted(lookup["question"] for lookup in lookups) == sorted(f"name{number}.test" for number in range(23))
    assert {lookup["duration"] // MILLISECOND for lookup in lookups} <= {9, 10, 11}


def test_any_cut_into_batches_gives_the_same_lookups() -> None:
    rows = [row for number in range(60) for row in exchange(number, number * 0.7, f"name{number % 7}.test")]
    rows.sort(key=lambda row: int(row["observed_at"][0]))
    whole = decode(LookupDecoder(), *rows)
    chance = random.Random(23)
    for _ in range(10):
        decoder, pieces, left = LookupDecoder(), [], list(rows)
        while left:
            size = chance.randint(1, 20)
            pieces += decode(decoder, *left[:size])
            left = left[size:]
        assert sorted(pieces, key=lambda lookup: int(str(lookup["observed_at"]))) == whole


def test_table_of_open_questions_is_bounded_and_the_oldest_go() -> None:
    decoder = LookupDecoder(pending_max=10)
    for number in range(25):
        decode(decoder, client_row(number, question(identifier=number), sent=True))
    assert decoder.counters()["overflow"] == 15
    left = described(decoder.expire(TIMEOUT_NS * 2))
    assert [lookup["observed_at"] for lookup in left] == [number * MILLISECOND for number in range(15, 25)]


def test_what_is_no_dns_is_counted_and_nothing_else() -> None:
    decoder = LookupDecoder()
    notify = question(flags=4 << 11)
    assert decode(decoder, client_row(1, b"GET / HTTP/1.1", sent=True), client_row(2, b"", sent=True)) == []
    assert decode(decoder, client_row(3, notify, sent=True)) == []
    counters = decoder.counters()
    assert (counters["undecodable"], counters["other_operations"]) == (2, 1)
    assert decoder.expire(TIMEOUT_NS * 2) == []


def test_unknown_codes_and_types_stay_numbers() -> None:
    asked = question(kind=65280)
    answered = response(asked, code=14)
    (one,) = LookupDecoder().decode(batch([client_row(1, asked, sent=True), client_row(2, answered, sent=False)]))
    assert (one["question_type"][0], one["response_code"][0]) == (65280, 14)


def test_message_cut_by_the_capture_still_pairs() -> None:
    asked = question()
    many = address_answer(asked, *[bytes([192, 0, 2, number]) for number in range(60)])
    assert len(many) > 512
    (lookup,) = decode(LookupDecoder(), client_row(1, asked, sent=True), client_row(2, many, sent=False))
    assert lookup["answer_count"] == 60
    assert 25 < len(lookup["answers"]) < 60


def test_empty_batch_gives_nothing() -> None:
    assert LookupDecoder().decode(batch([])) == []
    assert LookupDecoder().expire(0) == []


def test_random_packets_never_raise_and_every_message_is_accounted_for() -> None:
    chance = random.Random(53)
    decoder, accounted, messages = LookupDecoder(), 0, 0
    for _ in range(60):
        rows = [chance_row(chance) for _ in range(chance.randint(0, 40))]
        messages += len(rows)
        accounted += sum(int(str(lookup["query_count"])) + 1 for lookup in decode(decoder, *rows))
    accounted += sum(int(one["query_count"].sum()) for one in decoder.expire(TIMEOUT_NS * 2))
    counters = decoder.counters()
    accounted += sum(counters[reason] for reason in ("undecodable", "other_operations", "unpaired"))
    assert (messages, counters["overflow"]) == (accounted, 0)


def chance_row(chance: random.Random) -> np.ndarray:
    """A question or answer with up to three wrong octets, at either side, in either direction."""
    payload = bytearray(chance.choice((question(), address_answer(question(), ADDRESS))))
    for _ in range(chance.randint(0, 3)):
        payload[chance.randrange(len(payload))] = chance.randrange(256)
    side = chance.choice((client_row, server_row))
    return side(chance.uniform(0, 100), bytes(payload), sent=chance.random() < 0.5)


def test_table_of_decoders_makes_them_without_settings() -> None:
    assert [make().expire(0) for make in DECODERS.values()] == [[]] * len(DECODERS)
