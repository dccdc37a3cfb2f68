"""The answers that the double is held to are a real server's. RECORD_ANSWERS=1 writes them anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cluster_writer import ClusterWriter, writing_to
from real_api_server import real_api_server
from recorded_answers import PODS, RECORDED, Asker, Outline, Question, outline_of_line, recorded


def fill(writer: ClusterWriter) -> None:
    writer.add_account("default")
    _, replica_set = writer.add_deployment("default", "web", "6d4")
    for name in ("web-1", "web-2"):
        writer.add_pod("default", name, replica_set)
        writer.place_pod("default", name, "node-1")
        writer.run_pod("default", name, "10.1.0.2")


def bookmark(asker: Asker, writer: ClusterWriter, version: str) -> Outline:
    """A server sends one about two seconds before a stream's end, when something happened that the watcher does not see."""
    parameters = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "10", "resourceVersion": version}
    with asker.streamed(Question(PODS, {**parameters, "fieldSelector": "spec.nodeName=node-2"})) as lines:
        writer.add_pod("default", "elsewhere")
        return outline_of_line(next(lines))


@pytest.mark.only_on("kube-apiserver")
def test_a_real_server_answers_as_recorded(tmp_path: Path) -> None:
    with real_api_server(tmp_path) as server, writing_to(server) as writer:
        writer.give_rights()
        writer.add_node("node-1", "192.0.2.1")
        fill(writer)
        asker = Asker(server.address, server.certificates.authority, writer.new_token())
        with asker.client:
            found = asker.all_outlines()
            page = asker.first_page()
            found["a bookmark"] = bookmark(asker, writer, page["resourceVersion"])
            server.compact()
            server.stop()
            server.start()
            found |= asker.outlines_of_the_forgotten(page)
    if os.environ.get("RECORD_ANSWERS"):
        RECORDED.parent.mkdir(exist_ok=True)
        RECORDED.write_text(json.dumps(found, indent=1) + "\n")
    assert found == recorded()
