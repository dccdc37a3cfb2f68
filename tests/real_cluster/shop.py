"""The objects of shop.yaml in a cluster, and whether an agent calls their requests by the right names."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from started_agent import AskedAgent
from whole_cluster import WholeCluster

NAMESPACE = "shop"
STATIC = "static"
ASKED = "/cgi-bin/who/"
OWN_ENDS = ("client: who asked", "server: who answered")  # whose socket it is: that needs no address
REQUESTS = "/api/v1/requests?protocol=http&namespace=shop&limit=10000&sort=time"
Rows = list[dict[str, Any]]
Verdicts = Counter[tuple[str, str]]


@dataclass
class Shop:
    """asked: pod/uid/container/number -> (name, UID) of the pod that answered."""

    cluster: WholeCluster
    asked: dict[str, tuple[str, str]] = field(default_factory=dict)

    def open(self) -> None:
        """Returns when all its pods run or have run."""
        text = (Path(__file__).with_name("shop.yaml")).read_text().replace("TRUTH", str(self.cluster.truth))
        objects = yaml.safe_load(text)["items"]
        for one in objects:
            if one["metadata"]["name"] == STATIC:
                (self.cluster.manifests / "static.json").write_text(json.dumps(one))
            else:
                self.cluster.writer.kubectl("apply", "-f", "-", stdin=json.dumps(one))
        self.settle(9)

    def pods(self, *words: str) -> Rows:
        return self.cluster.writer.listed("pods", "-n", NAMESPACE, *words)

    def settle(self, count: int) -> None:
        """There are so many pods, and all are ready or have ended; none is leaving."""
        self.cluster.wait(
            lambda: len(found := self.pods()) == count and all(map(is_settled, found)), f"{count} pods have settled"
        )

    def kubectl(self, *words: str) -> str:
        return self.cluster.writer.kubectl("-n", NAMESPACE, *words)

    def read_truth(self) -> None:
        """What its pods have written down until now."""
        for place in self.cluster.truth.iterdir():
            for line in place.read_text().splitlines():
                path, name, uid = line.split()
                self.asked[path] = (name, uid)

    def judge(self, agent: AskedAgent) -> Verdicts:
        """(whose name at which end, verdict) -> requests."""
        rows = agent.ask(REQUESTS)["requests"]
        self.read_truth()
        found: Verdicts = Counter()
        for row in rows:
            if row["path"].startswith(ASKED):
                found.update(self._judge_row(row))
        return found

    def _judge_row(self, row: dict[str, Any]) -> Verdicts:
        path = row["path"].removeprefix(ASKED)
        name, uid, container, _ = path.split("/")
        client, server = ("local", "peer") if row["role"] == "client" else ("peer", "local")
        judged = {f"{row['role']}: who asked": verdict(row, client, name, uid, container)}
        if path in self.asked:  # an answer that never came has no author
            judged[f"{row['role']}: who answered"] = verdict(row, server, *self.asked[path], "serve")
        return Counter(judged.items())


def verdict(row: dict[str, Any], side: str, name: str, uid: str, container: str) -> str:
    """side: local or peer, as the row has it."""
    told = row[f"{side}_pod"]
    if not told:
        return "unknown"
    right = told == name and row[f"{side}_pod_uid"] == uid and row.get(f"{side}_container") in (container, None, "")
    return "right" if right else "wrong"


def is_settled(pod: dict[str, Any]) -> bool:
    status = pod["status"]
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", ()))
    return "deletionTimestamp" not in pod["metadata"] and (ready or status["phase"] == "Succeeded")
