"""Routes about the node: who is on it, and how the agent is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from collector.api.flow_answers import ProcessesAnswer, WorkloadsAnswer
from collector.api.flow_routes import Accept, several_formats
from collector.api.moments import write_moment
from collector.api.node_records import (
    PROCESS_COLUMNS,
    HealthAnswer,
    ProbesAnswer,
    health_record,
    probe_records,
    process_record,
    watch_record,
)
from collector.api.parameters import NoParameters, ProcessParameters, WorkloadParameters, words
from collector.api.row_formats import Table, answer, choose_format
from collector.api.stored import now_ns, take_names
from collector.api.view import AgentView, ProcessInfo
from collector.api.workload_records import WORKLOAD_COLUMNS, workload_record
from collector.store.parameter_error import check_names
from collector.store.workload_names import WorkloadNames, matcher

OUTCOMES = ("running", "succeeded", "failed", "killed", "oom_killed")
PIECE = 500


class NodeRoutes:
    """Workloads, processes, probes and health."""

    def __init__(self, agent: AgentView) -> None:
        self._agent = agent

    def router(self) -> APIRouter:
        """All of them, without a prefix."""
        router = APIRouter(tags=["node"])
        formats = several_formats("Workloads.")
        router.add_api_route("/workloads", self.workloads, response_model=WorkloadsAnswer, responses=formats)
        formats = several_formats("Processes.")
        router.add_api_route("/processes", self.processes, response_model=ProcessesAnswer, responses=formats)
        router.add_api_route("/probes", self.probes, response_model=ProbesAnswer)
        router.add_api_route("/health", self.health, response_model=HealthAnswer)
        return router

    def workloads(self, asked: Annotated[WorkloadParameters, Query()], accept: Accept = "") -> Response:
        """Everything that traffic can belong to: pods, containers, units, programs, and names and networks elsewhere."""
        names = take_names(self._agent)
        numbers = asked.end().workload_numbers(names)
        fitting = [workload for workload in names.all() if numbers is None or workload.number in numbers]
        records = [workload_record(workload) for workload in fitting[: asked.limit]]
        table = Table("workloads", WORKLOAD_COLUMNS, [records], {"total": len(fitting)})
        return answer(table, choose_format(asked.format, accept))

    def processes(self, asked: Annotated[ProcessParameters, Query()], accept: Accept = "") -> Response:
        """Processes of this node, running and ended lately, the youngest first."""
        names = take_names(self._agent)
        fitting = choose_processes(asked, self._agent.processes(), names)
        table = Table("processes", PROCESS_COLUMNS, process_pieces(fitting[: asked.limit], names), {"total": len(fitting)})
        return answer(table, choose_format(asked.format, accept))

    def probes(self, _asked: Annotated[NoParameters, Query()]) -> dict[str, Any]:
        """Probes: which run, by which hooks, why others cannot, what each saw and lost, and what it costs."""
        return {"probes": probe_records(self._agent.statuses(), self._agent.books())}

    def health(self, _asked: Annotated[NoParameters, Query()]) -> dict[str, Any]:
        """Whether what the agent shows can be relied on, and if not, why. Answers 200 while degraded, too."""
        return describe_health(self._agent)


def describe_health(agent: AgentView) -> dict[str, Any]:
    """The record of the agent's health, now."""
    with agent.lock:
        flows, lookups, requests = agent.flows.counts(), agent.lookups.counts(), agent.requests.counts()
        now = now_ns(agent)
    more = {
        "version": agent.version,
        "started_at": write_moment(agent.started_at),
        "time": write_moment(now),
        "flows": asdict(flows),
        "lookups": lookups.rows,
        "requests": requests.rows,
        "kubernetes": [watch_record(watch) for watch in agent.watches()],
    }
    return health_record(agent.health(), agent.statuses(), agent.books(), more)


def choose_processes(asked: ProcessParameters, processes: Sequence[ProcessInfo], names: WorkloadNames) -> list[ProcessInfo]:
    """Those that fit, the youngest first; ParameterError when a value cannot be."""
    outcomes, patterns = words("outcome", asked.outcome), words("process", asked.process)
    check_names("outcome", outcomes, OUTCOMES)
    numbers = asked.end().workload_numbers(names)
    fits = matcher(patterns)
    fitting = [
        process
        for process in processes
        if (numbers is None or process.workload in numbers)
        and (not outcomes or process.outcome in outcomes)
        and (not patterns or str(process.pid) in patterns or fits(process.command) or fits(process.executable))
    ]
    return sorted(fitting, key=lambda process: process.started_at, reverse=True)


def process_pieces(processes: list[ProcessInfo], names: WorkloadNames) -> Iterator[list[dict[str, Any]]]:
    """Records of processes, some at a time."""
    for start in range(0, len(processes), PIECE):
        yield [process_record(process, names) for process in processes[start : start + PIECE]]
