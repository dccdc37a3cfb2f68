"""Routes about the cluster: its pods, and who held an address when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from collector.api.flow_routes import Accept, several_formats
from collector.api.parameters import PodParameters, ResolveParameters, read_address, words
from collector.api.pod_records import POD_COLUMNS, PodsAnswer, ResolveAnswer, pod_record, resolve_record
from collector.api.record_columns import address_text
from collector.api.row_formats import Table, answer, choose_format
from collector.api.stored import now_ns
from collector.api.view import AgentView
from collector.cluster_view import PodInfo
from collector.store.workload_names import LABEL_PREFIXES, matcher


class ClusterRoutes:
    """What the API server, or the container runtime, told of pods, services and nodes."""

    def __init__(self, agent: AgentView) -> None:
        self._agent = agent

    def router(self) -> APIRouter:
        """All of them, without a prefix."""
        router = APIRouter(tags=["cluster"])
        router.add_api_route("/pods", self.pods, response_model=PodsAnswer, responses=several_formats("Pods."))
        router.add_api_route("/resolve", self.resolve, response_model=ResolveAnswer)
        return router

    def pods(self, asked: Annotated[PodParameters, Query()], accept: Accept = "") -> Response:
        """Pods of the cluster, as far as anybody told, and those that went lately."""
        fitting = choose_pods(asked, self._agent)
        shown = list(islice(fitting, asked.limit))
        total = len(shown) + sum(1 for _ in fitting)
        table = Table("pods", POD_COLUMNS, [[pod_record(pod) for pod in shown]], {"total": total})
        return answer(table, choose_format(asked.format, accept))

    def resolve(self, asked: Annotated[ResolveParameters, Query()]) -> dict[str, Any]:
        """Who held an address at a moment, how that is known, and who else had it at other times."""
        address, protocol, port, at = asked.question(now_ns(self._agent))
        text = address_text(int.from_bytes(address[:8], "big"), int.from_bytes(address[8:], "big"))
        return resolve_record(text, at, self._agent.resolve_address(address, protocol, port, at))


def choose_pods(asked: PodParameters, agent: AgentView) -> Iterator[PodInfo]:
    """Those that fit; ParameterError when a value cannot be."""
    names = {name: words(name, getattr(asked, name)) for name in ("namespace", "pod", "workload", "node", "label", "address")}
    fits = {name: matcher(patterns) for name, patterns in names.items()}
    wanted_addresses = {read_address("address", one) for one in names["address"]}

    def told(uid: str, namespace: str, name: str, node: str) -> bool:
        return (
            (not names["namespace"] or fits["namespace"](namespace))
            and (not names["node"] or fits["node"](node))
            and (not names["pod"] or any(map(fits["pod"], (uid, name, f"{namespace}/{name}"))))
        )

    for pod in agent.pods(told):
        if names["workload"] and not any(map(fits["workload"], (pod.service, f"{pod.namespace}/{pod.service}"))):
            continue
        if names["label"] and not has_label(pod, fits["label"]):
            continue
        if wanted_addresses and not wanted_addresses & {read_address("address", one) for one in pod.addresses}:
            continue
        yield pod


def has_label(pod: PodInfo, fits: Callable[[str], bool]) -> bool:
    prefix = LABEL_PREFIXES[0]
    labels = ((name.removeprefix(prefix), value) for name, value in pod.attributes.items() if name.startswith(prefix))
    return any(fits(f"{name}={value}") for name, value in labels)
