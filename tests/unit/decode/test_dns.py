"""The parser: what real servers send, what was cut, and what nobody should send."""

from __future__ import annotations

import random

from dns_wire import AAAA, CNAME, SAMPLES, SRV, A, address_answer, mapped, name, question, record, response
from hypothesis import example, given
from hypothesis import strategies as st

from collector.decode.protocols.dns import RECORDS_MAX, DnsMessage, DnsRecord, parse

WEB4, WEB6 = mapped(192, 0, 2, 10), bytes.fromhex("20010db8000000000000000000000010")


def read(payload: bytes) -> DnsMessage:
    message = parse(payload)
    assert message is not None
    return message


def test_question_without_answer() -> None:
    asked = read(question("WWW.example.test", AAAA))
    assert asked == DnsMessage(
        is_response=False, opcode=0, response_code=0, truncated=False,
        question="www.example.test", question_type=AAAA, question_class=1,
    )  # fmt: skip


def test_address_of_either_family() -> None:
    assert read(SAMPLES["a"]).addresses() == ((WEB4, 3600),)
    assert read(SAMPLES["aaaa"]).addresses() == ((WEB6, 3600),)


def test_chain_of_names_answers_with_the_address_at_its_end() -> None:
    answer = read(SAMPLES["cname"])
    assert answer.question == "www.example.test"
    assert answer.answer_count == 2
    assert answer.answers[0] == DnsRecord("www.example.test", CNAME, 300, (), "web.example.test")
    assert answer.addresses() == ((WEB4, 3600),)


def test_service_points_to_a_host_and_additional_records_are_no_answers() -> None:
    answer = read(SAMPLES["srv"])
    assert answer.answers == (DnsRecord("_http._tcp.example.test", SRV, 300, (), "web.example.test"),)
    assert answer.complete


def test_reverse_lookup_and_mail_exchange_point_to_a_host() -> None:
    assert [read(SAMPLES[kind]).answers[0].target for kind in ("ptr", "mx")] == ["web.example.test"] * 2


def test_service_binding_hints_are_addresses() -> None:
    answer = read(SAMPLES["https"])
    assert answer.addresses() == ((WEB4, 300), (WEB6, 300))
    assert answer.answers[0].target == "."


def test_text_of_a_record_is_not_kept() -> None:
    assert read(SAMPLES["txt"]).answers == (DnsRecord("example.test", 16, 300),)


def test_errors_have_their_code() -> None:
    assert [read(SAMPLES[label]).response_code for label in ("a", "nxdomain", "refused")] == [0, 3, 5]


def test_extended_response_code_comes_from_the_option_record() -> None:
    options = b"\0" + (41).to_bytes(2, "big") + b"\x04\xd0" + b"\x01\0\0\0" + b"\0\0"
    bad_version = response(question())[:10] + b"\0\1" + response(question())[12:] + options
    assert read(bad_version).response_code == 16


def test_truncated_by_the_sender() -> None:
    assert read(response(question(), flags=0x8380)).truncated


def test_cut_by_the_capture_keeps_what_was_there() -> None:
    whole = address_answer(question(), bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]))
    cut = read(whole[:-3])
    assert cut.addresses() == ((mapped(192, 0, 2, 1), 60),)
    assert (cut.answer_count, cut.complete) == (2, False)
    assert read(whole).complete


def test_message_without_question() -> None:
    header = b"\0\1\x81\x81" + bytes(8)
    assert (read(header).question, read(header).response_code) == ("", 1)


def test_second_question_is_stepped_over() -> None:
    asked = question()
    doubled = asked[:4] + b"\0\2\0\1" + asked[8:] + name("other.test") + b"\0\1\0\1" + record(b"\xc0\x0c", A, bytes(4))
    assert read(doubled).addresses() == ((mapped(0, 0, 0, 0), 60),)


def test_address_of_the_wrong_size_ends_the_answers() -> None:
    answer = read(response(question(), record(b"\xc0\x0c", A, b"123"), record(b"\xc0\x0c", A, b"1234")))
    assert (answer.answers, answer.complete) == ((), False)


def test_target_beyond_its_record_ends_the_answers() -> None:
    assert read(response(question(), record(b"\xc0\x0c", CNAME, b"\3ww"), b"\0" * 20)).answers == ()


def test_lifetime_with_the_top_bit_counts_as_none() -> None:
    assert read(response(question(), record(b"\xc0\x0c", A, b"1234", ttl=1 << 31))).answers[0].ttl == 0


def test_records_beyond_the_limit_are_not_looked_at() -> None:
    many = response(question(), *[record(b"\xc0\x0c", A, b"1234")] * (RECORDS_MAX + 1))
    assert (len(read(many).answers), read(many).complete) == (RECORDS_MAX, False)


def test_counts_that_promise_too_much_cost_nothing() -> None:
    greedy = read(question()[:4] + b"\xff\xff" * 4 + question()[12:])
    assert (greedy.answers, greedy.answer_count, greedy.complete) == ((), 65535, False)


def test_what_is_no_dns_is_nothing() -> None:
    for payload in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(11), question()[:-1], b"\0\1\x78\0" + question()[4:]):
        assert parse(payload) is None


@given(st.binary(max_size=600))
@example(SAMPLES["https"][:-1])
def test_any_octets_give_a_message_or_nothing(payload: bytes) -> None:
    message = parse(payload)
    if message:
        assert all(len(address) == 16 and 0 <= ttl < 1 << 31 for address, ttl in message.addresses())
        assert len(message.answers) <= min(message.answer_count, RECORDS_MAX)
        assert 0 <= message.response_code < 4096


@given(st.sampled_from(sorted(SAMPLES)), st.integers(0, 200))
def test_a_cut_message_says_no_more_than_the_whole(label: str, length: int) -> None:
    whole, cut = read(SAMPLES[label]), parse(SAMPLES[label][:length])
    if cut:
        assert cut.question == whole.question
        assert whole.answers[: len(cut.answers)] == cut.answers


def test_mutated_answers_never_raise() -> None:
    chance = random.Random(20261123)
    samples = [*SAMPLES.values(), question()]
    for _ in range(20_000):
        mutated = bytearray(chance.choice(samples))
        for _ in range(chance.randint(1, 6)):
            mutated[chance.randrange(len(mutated))] = chance.choice((0, 1, 12, 63, 64, 0xC0, 0xFF, chance.randrange(256)))
        if chance.random() < 0.3:
            del mutated[chance.randrange(len(mutated)) :]
        parse(bytes(mutated))
