"""Whatever goes wrong, in whatever order: in the end the sink knows what the cluster holds. It raises if told twice of an end."""

from __future__ import annotations

import random

import pytest
from api_server_double import ApiServerDouble
from api_server_faults import half_a_page, refuse, say
from cluster_objects import endpoint, endpoint_slice, node, pod, service, uid_of
from cluster_sink import IMPATIENT, RememberingSink, watching
from otlp_receiver import wait_for

from collector.cluster_facts import Pod
from collector.kubernetes.cluster_watch import WatchOptions
from collector.kubernetes.fact_reading import AllowList
from collector.kubernetes.pod_reading import PodReader

KINDS = ("pods", "services", "endpointslices", "nodes")
STEPS = 150


def change_something(cluster: ApiServerDouble, chance: random.Random) -> None:
    """Puts, moves or removes an object of a small set, so that names and addresses come again soon."""
    number, address = chance.randrange(12), f"10.1.0.{chance.randrange(1, 20)}"
    kind = chance.choice(("pods", "pods", "pods", *KINDS))
    name = f"web-{number}"
    if kind == "pods":
        uid = uid_of(name, chance.randrange(3))  # the same name again with another UID, as StatefulSets do
        body = pod(name, node=f"node-{chance.randrange(2)}", addresses=(address,), uid=uid)
    elif kind == "services":
        body = service(name, address=f"10.96.0.{number}")
    elif kind == "endpointslices":
        body = endpoint_slice(name, name, [endpoint(address, name)])
    else:
        body = node(name, address)
    namespace = body["metadata"].get("namespace", "")
    known = cluster.store.objects[kind].get((namespace, name))
    replaced = known is not None and known.object["metadata"]["uid"] != body["metadata"]["uid"]
    if known is not None and (replaced or chance.random() < 0.4):
        cluster.delete(kind, namespace, name)
        if not replaced:
            return
    cluster.put(kind, body)


def break_something(cluster: ApiServerDouble, chance: random.Random) -> None:
    kind = chance.choice(KINDS)
    fault = chance.randrange(6)
    if fault == 0:
        cluster.misbehave(refuse(kind, chance.choice((410, 429, 500, 503, 504)), times=chance.randrange(1, 3)))
    elif fault == 1:
        cluster.misbehave(half_a_page(kind))
    elif fault == 2:
        cluster.misbehave(say(kind, chance.choice((b"", b"{]\n", b'{"type":"ADDED","obj', b'{"type":"STRANGE","object":{}}\n'))))
    elif fault == 3:
        cluster.store.forget_history()
    else:
        cluster.interrupt(kind, chance.choice(("cut", "end", "garbage", "bookmark", "410", "500")))


def truth(cluster: ApiServerDouble) -> dict[str, Pod]:
    reader = PodReader("node-1", AllowList(), AllowList())
    found = [reader.read(stored.encoded) for stored in list(cluster.store.objects["pods"].values())]
    return {fact.uid: fact for fact in found}


def told(sink: RememberingSink) -> dict[str, Pod]:
    return {uid: fact for uid, fact in list(sink.now.items()) if isinstance(fact, Pod)}


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_told_in_the_end_is_what_is_so(cluster: ApiServerDouble, seed: int, streaming: bool) -> None:
    chance = random.Random(seed)
    cluster.streaming_lists = streaming
    with watching(cluster, WatchOptions("node-1", "pods"), IMPATIENT) as watched:
        for _ in range(STEPS):
            change_something(cluster, chance)
            if chance.random() < 0.2:
                break_something(cluster, chance)
            if chance.random() < 0.2:
                wait_for(lambda: len(watched.sink.changes) or cluster.requests)
        cluster.faults.clear()
        wait_for(lambda: told(watched.sink) == truth(cluster))
        expected = {stored.object["metadata"]["uid"] for kind in KINDS for stored in cluster.store.objects[kind].values()}
        wait_for(lambda: watched.sink.now.keys() == expected)
