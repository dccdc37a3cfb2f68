"""Questions to an API server, and how a real one answered.

The double must answer alike (unit/kubernetes/test_double.py), and a real one still (real_api_server/test_recorded_answers.py).

Kept of an answer is what a client can build on: status, kinds, reasons, which keys there are; no names, no times, no texts.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

RECORDED = Path(__file__).parent / "data/api_server/kube-apiserver-1.20.json"
ONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
MANY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PODS, REPLICA_SETS = "/api/v1/pods", "/apis/apps/v1/namespaces/default/replicasets"
STREAM = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
Outline = dict[str, Any]


@dataclass(frozen=True)
class Question:
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    accept: str = "application/json"
    token: str = ""


# The cluster has pods web-1 and web-2 and a ReplicaSet web-6d4 in the namespace default.
QUESTIONS = {
    "a page": Question(PODS, {"limit": "1"}),
    "everything from the cache, though pages are asked for": Question(PODS, {"limit": "1", "resourceVersion": "0"}),
    "a page of metadata": Question(PODS, {"limit": "1"}, MANY),
    "a list in the form of one object": Question(PODS, {"limit": "1"}, ONE),
    "one object's metadata": Question(f"{REPLICA_SETS}/web-6d4", {}, ONE),
    "an object that is not there": Question(f"{REPLICA_SETS}/nothing", {}, ONE),
    "an API that is not there": Question("/apis/discovery.k8s.io/v7/endpointslices"),
    "what RBAC forbids": Question("/apis/apps/v1/replicasets"),
    "a wrong token": Question(PODS, {}, token="wrong"),
    "a streaming list of a server that has none": Question(PODS, {"watch": "true", **STREAM}),
    "a watch of metadata": Question(PODS, {"watch": "true", "timeoutSeconds": "1"}, ONE),
    "a watch of all that is": Question(PODS, {"watch": "true", "timeoutSeconds": "1", "resourceVersion": "0"}),
}


class Asker:
    """token: of whom the rights of our manifests allow."""

    def __init__(self, address: str, authority: Path, token: str) -> None:
        self.client = httpx.Client(base_url=address, verify=ssl.create_default_context(cafile=str(authority)), timeout=30)
        self.token = token

    def ask(self, question: Question) -> httpx.Response:
        headers = {"Authorization": f"Bearer {question.token or self.token}", "Accept": question.accept}
        return self.client.get(question.path, params=dict(question.parameters), headers=headers)

    @contextmanager
    def streamed(self, question: Question) -> Iterator[Iterator[str]]:
        """The lines of a watch, once it runs."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": question.accept}
        with self.client.stream("GET", question.path, params=dict(question.parameters), headers=headers) as answer:
            yield answer.iter_lines()

    def all_outlines(self) -> dict[str, Outline]:
        return {name: outline(self.ask(question)) for name, question in QUESTIONS.items()}

    def first_page(self) -> dict[str, Any]:
        """Metadata of a list that goes on."""
        found: dict[str, Any] = self.ask(QUESTIONS["a page"]).json()["metadata"]
        return found

    def outlines_of_the_forgotten(self, metadata: Mapping[str, Any]) -> dict[str, Outline]:
        """After the server forgot that page's version."""
        page = Question(PODS, {"limit": "1", "continue": metadata["continue"]})
        watch = Question(PODS, {"watch": "true", "timeoutSeconds": "1", "resourceVersion": metadata["resourceVersion"]})
        return {"a page that is too old": outline(self.ask(page)), "a watch from too far back": outline(self.ask(watch))}


def outline(answer: httpx.Response) -> Outline:
    """A list or an object; of a watch its lines."""
    told: Outline = {"status": answer.status_code}
    if answer.request.url.params.get("watch") and answer.status_code == 200:
        return told | {"lines": [outline_of_line(line) for line in answer.text.splitlines()]}
    return told | outline_of(answer.json())


def outline_of_line(line: str) -> Outline:
    event = json.loads(line)
    return {"type": event["type"], **outline_of(event["object"])}


def outline_of(body: Mapping[str, Any]) -> Outline:
    told = {name: body[name] for name in ("kind", "apiVersion", "reason", "code") if name in body}
    if told.get("kind") != "Status":
        told["keys"] = sorted(body)
    if body.get("metadata", {}).get("continue"):
        told["goes on"] = True
    if "items" in body:
        told["items"] = [outline_of(one) for one in body["items"]]
    return told


def recorded() -> dict[str, Outline]:
    found: dict[str, Outline] = json.loads(RECORDED.read_text())
    return found
