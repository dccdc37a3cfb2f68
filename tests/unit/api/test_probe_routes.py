"""Who may change probes, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from api.running_agent import RecordedAgent
from collector.api.security import Security
from collector.api.server import ApiServer
from collector.errors import ControlError
from collector.probe_status import ProbeState, ProbeStatus


class Recorder:
    """Takes every request and says what was asked; refuses what is called `bad`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def _answer(self, what: str, name: str) -> ProbeStatus:
        self.asked.append((what, name))
        if name == "bad":
            raise ControlError("bad: probe.bpf.c:3: wrong.", "Mend it.", 409)
        return ProbeStatus(name, "Which?", ProbeState.RUNNING, folder="/probes/mine")

    def load(self, where: str) -> ProbeStatus:
        return self._answer("load", where)

    def enable(self, name: str) -> ProbeStatus:
        return self._answer("enable", name)

    def disable(self, name: str) -> ProbeStatus:
        return self._answer("disable", name)

    def unload(self, name: str) -> ProbeStatus:
        return self._answer("unload", name)


@pytest.fixture
def control() -> Recorder:
    return Recorder()


@pytest.fixture
def client(control: Recorder) -> Iterator[httpx.Client]:
    server = ApiServer(RecordedAgent(), "127.0.0.1", 0, None, control)
    server.start()
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        yield client
    server.stop()


def test_each_route_does_what_it_is_called(client: httpx.Client, control: Recorder) -> None:
    answer = client.post("/api/v1/probes/load", json={"probe": "/probes/mine"})
    assert (answer.status_code, answer.json()["state"], answer.json()["folder"]) == (200, "running", "/probes/mine")
    for action in ("enable", "disable", "unload"):
        assert client.post(f"/api/v1/probes/mine/{action}", json={}).status_code == 200
    assert control.asked == [("load", "/probes/mine"), ("enable", "mine"), ("disable", "mine"), ("unload", "mine")]


def test_refusal_has_reason_and_remedy(client: httpx.Client) -> None:
    answer = client.post("/api/v1/probes/bad/enable", json={})
    assert answer.status_code == 409
    assert answer.json()["error"] == {"reason": "bad: probe.bpf.c:3: wrong.", "parameter": None, "allowed": "Mend it."}


def test_a_form_of_another_page_cannot_ask(client: httpx.Client, control: Recorder) -> None:
    """Browsers send forms without asking first; they never send JSON."""
    assert client.post("/api/v1/probes/mine/disable", data={"a": "b"}).status_code == 403
    assert client.post("/api/v1/probes/mine/disable", json={}, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert control.asked == []


@pytest.mark.parametrize("body", [{}, {"probe": "x", "more": 1}, {"probe": 3}, {"probe": "x" * 5000}, []])
def test_wrong_bodies_are_refused(client: httpx.Client, control: Recorder, body: object) -> None:
    assert client.post("/api/v1/probes/load", json=body).status_code == 400
    assert control.asked == []


def test_reading_changes_nothing(client: httpx.Client) -> None:
    assert client.get("/api/v1/probes/mine/disable").status_code == 405


def test_replay_has_nothing_to_change() -> None:
    server = ApiServer(RecordedAgent(), "127.0.0.1", 0)
    server.start()
    answer = httpx.post(f"{server.url}/api/v1/probes/mine/disable", json={}, trust_env=False)
    server.stop()
    assert (answer.status_code, "replay" in answer.json()["error"]["reason"]) == (409, True)


def test_token_is_asked_for_where_there_is_one(control: Recorder) -> None:
    server = ApiServer(RecordedAgent(), "127.0.0.1", 0, Security("secret-enough", loopback_names_only=False), control)
    server.start()
    url = f"{server.url}/api/v1/probes/mine/disable"
    assert httpx.post(url, json={}, trust_env=False).status_code == 401
    given = httpx.post(url, json={}, headers={"authorization": "Bearer secret-enough"}, trust_env=False)
    server.stop()
    assert given.status_code == 200
