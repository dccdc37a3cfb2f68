"""The double of the API server answers as a real one did (recorded_answers.py)."""

from __future__ import annotations

from api_server_double import ApiServerDouble
from cluster_objects import owner, pod, replica_set, uid_of
from recorded_answers import PODS, Asker, Outline, Question, outline_of_line, recorded


def fill(cluster: ApiServerDouble) -> None:
    cluster.streaming_lists = False
    cluster.forbidden = {("list", "replicasets")}
    cluster.put("replicasets", replica_set("web-6d4", "web"))
    for name in ("web-1", "web-2"):
        cluster.put("pods", pod(name, owned_by=owner("ReplicaSet", "web-6d4", uid_of("ReplicaSet", "default", "web-6d4"))))


def bookmark(asker: Asker, cluster: ApiServerDouble, version: str) -> Outline:
    parameters = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "10", "resourceVersion": version}
    with asker.streamed(Question(PODS, parameters)) as lines:
        cluster.interrupt("pods", "bookmark")
        return outline_of_line(next(lines))


def test_double_answers_as_a_real_server_did(cluster: ApiServerDouble) -> None:
    fill(cluster)
    asker = Asker(cluster.address, cluster.certificates.authority, next(iter(cluster.tokens)))
    with asker.client:
        found = asker.all_outlines()
        page = asker.first_page()
        found["a bookmark"] = bookmark(asker, cluster, page["resourceVersion"])
        cluster.store.forget_history()
        found |= asker.outlines_of_the_forgotten(page)
    assert found == recorded()
