"""Sockets whose bytes io_uring moves: no system call has them in its arguments, nor the one that happens to be under way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from decoded_requests import Requests
from otlp_receiver import wait_for
from submission_ring import SubmissionRing

pytestmark = pytest.mark.kernel

PROGRAM = Path(__file__).with_name("ring_conversation.py")
ROUNDS = 5


@pytest.fixture(autouse=True)
def ring() -> Iterator[None]:
    try:
        SubmissionRing().close()
    except OSError as error:
        pytest.skip(f"no io_uring here: {error}")
    yield


@pytest.mark.parametrize("kind", ["quiet", "disturbed"])
def test_what_io_uring_moves_is_never_taken_from_the_call_under_way(kind: str) -> None:
    asked = [f"/asked/{number}" for number in range(ROUNDS)]
    requests = Requests("socket_data")
    with closing(requests.source):
        done = subprocess.run(
            [sys.executable, PROGRAM, str(ROUNDS), kind], check=True, capture_output=True, text=True, timeout=60
        )
        there, here = ({"role": "client", "remote_port": int(done.stdout)}, {"role": "server", "local_port": int(done.stdout)})
        wait_for(lambda: requests.count(**there) >= ROUNDS)
        assert requests.texts("resource", **there) == asked
        if "inet_received" in {hook.program for status in requests.source.statuses() for hook in status.hooks}:
            wait_for(lambda: requests.count(**here) >= ROUNDS)
            assert requests.texts("resource", **here) == asked
        else:  # the arguments of system calls have nothing of it: unknown, never something else
            assert set(requests.texts("resource", **here)) <= {"", *asked}
