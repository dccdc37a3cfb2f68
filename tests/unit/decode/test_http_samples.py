"""Recordings of real servers: every request they logged is found with the same numbers, and nothing secret comes out."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from conversation_script import Step, cut_at_random, run, run_timed
from http_samples import Sample, read_samples

from collector.decode.protocols import http1, http2
from collector.decode.request import Evidence, Request, Side

SAMPLES = read_samples()
MODULES = {http1.Http1Conversation: http1, http2.Http2Conversation: http2}
samples = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def requests_of(sample: Sample) -> list[Request]:
    found: list[Request] = []
    for script in sample.connections:
        requests, discarded = run(sample.make, script)
        assert discarded == {}
        found += requests
    return found


@samples
def test_what_the_servers_logged_is_found_no_more_and_no_less(sample: Sample) -> None:
    found = requests_of(sample)
    for expected in sample.requests:
        names = expected.keys()
        match = next((one for one in found if {name: getattr(one, name) for name in names} == expected), None)
        assert match is not None, expected
        found.remove(match)
    assert found == []


@samples
def test_cuts_make_no_difference(sample: Sample) -> None:
    for script in sample.connections:
        whole = run(sample.make, script)
        for seed in range(10):
            assert run_timed(sample.make, cut_at_random(script, seed, pieces=20)) == whole


@samples
def test_nothing_secret_comes_out(sample: Sample) -> None:
    assert (
        any(b"secret" in piece for script in sample.connections for _, piece in script if isinstance(piece, bytes))
        or "http2" in sample.name
    )
    for one in requests_of(sample):
        assert "secret" not in repr(one).replace("/secret", "")


@samples
def test_first_bytes_of_both_sides_are_recognised(sample: Sample) -> None:
    module = MODULES[sample.make]  # type: ignore[index]
    other = http1 if module is http2 else http2
    for script in sample.connections:
        for side in Side:
            pieces = [piece for one, piece in script if one is side and isinstance(piece, bytes)]
            assert module.recognise(side, pieces[0]) is not Evidence.NO
            assert module.recognise(side, b"".join(pieces[:3])) is Evidence.YES
            assert other.recognise(side, pieces[0]) is Evidence.NO


@samples
@pytest.mark.parametrize("seed", range(5))
def test_a_connection_joined_at_any_step_gives_nothing_wrong(sample: Sample, seed: int) -> None:
    for script in sample.connections:
        start = random.Random(seed).randrange(len(script))
        check_against_the_whole(sample, list(script[start:]))


@samples
@pytest.mark.parametrize("seed", range(10))
def test_unseen_steps_give_nothing_wrong(sample: Sample, seed: int) -> None:
    """Every step may be missing in whole or behind its first bytes, as when a probe copies only these."""
    chance = random.Random(seed)
    for script in sample.connections:
        damaged: list[Step] = []
        for side, piece in script:
            assert isinstance(piece, bytes)
            seen = len(piece) if chance.random() < 0.7 else chance.choice((0, 30, 200))
            damaged += [step for step in ((side, piece[:seen]), (side, max(0, len(piece) - seen))) if step[1]]
        check_against_the_whole(sample, damaged)


def check_against_the_whole(sample: Sample, damaged: list[Step]) -> None:
    """What is known of each request is what the undamaged recording says of one."""
    known = [{"status": one.status, "resource": one.resource, "operation": one.operation} for one in requests_of(sample)]
    limits = Counter((one["resource"], one["status"]) for one in known)
    found: Counter[tuple[str, str]] = Counter()
    for one in run(sample.make, damaged)[0]:
        said = {"status": one.status, "resource": one.resource, "operation": one.operation}
        assert any(all(value in ("", true[name]) for name, value in said.items()) for true in known), one
        if one.resource and one.status:
            found[(one.resource, one.status)] += 1
    assert found <= limits
