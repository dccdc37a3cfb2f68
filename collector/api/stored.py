"""Takes from the agent what an answer needs: under the lock only as long as that takes."""

from __future__ import annotations

from dataclasses import dataclass

from collector.api.moments import write_moment
from collector.api.view import AgentView
from collector.store.flows import FlowView
from collector.store.lookups import LookupView
from collector.store.requests import RequestView
from collector.store.workload_names import WorkloadNames


@dataclass(frozen=True, slots=True)
class Stored:
    """What the stores held at `now_ns` (unix, the data's clock)."""

    flows: FlowView
    lookups: LookupView
    requests: RequestView
    names: WorkloadNames
    now_ns: int

    def complete_flows(self, agent: AgentView) -> dict[str, object]:
        """Whether an answer about flows can be relied on to be all there was."""
        lost = sum(book.lost for book in agent.books() if book.probe in self.flows.names["protocol"])
        return {"since": write_moment(self.flows.complete_from), "overwritten": self.flows.overwritten, "lost": lost}

    def complete_lookups(self, agent: AgentView) -> dict[str, object]:
        """The same for name lookups."""
        lost = sum(book.lost for book in agent.books() if book.probe == "dns")
        view = self.lookups
        since = int(view.history[0]["time"][0]) if view.overwritten else 0
        return {"since": write_moment(since), "overwritten": view.overwritten, "lost": lost}

    def complete_requests(self, agent: AgentView) -> dict[str, object]:
        """The same for requests."""
        view = self.requests
        lost = sum(book.lost for book in agent.books() if book.probe in view.probes)
        return {"since": write_moment(view.complete_from), "overwritten": view.overwritten, "lost": lost}


def take(agent: AgentView) -> Stored:
    """Nothing is copied but references and the list of workloads; whoever filters does so afterwards."""
    with agent.lock:
        names = WorkloadNames(agent.identities.workloads())
        return Stored(agent.flows.view(), agent.lookups.view(), agent.requests.view(), names, now_ns(agent))


def take_names(agent: AgentView) -> WorkloadNames:
    """All workloads known now."""
    with agent.lock:
        return WorkloadNames(agent.identities.workloads())


def now_ns(agent: AgentView) -> int:
    """Unix ns on the clock of the data: for a recording the moment at which it ends."""
    return agent.clock.boot_ns() + agent.clock.offset_ns
