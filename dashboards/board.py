"""What the boards have in common: how rows of panels become a dashboard, and the choices at its top."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard
from panels import DATASOURCE, Panel

TAG = "honeyguide"


@dataclass(frozen=True, slots=True)
class Board:
    """rows: heading -> panels, from left to right. choices: name, label and query of each variable besides the data source."""

    uid: str
    title: str
    description: str
    choices: Sequence[tuple[str, str, str]]
    rows: Sequence[tuple[str, Sequence[Panel]]]

    def write_json(self) -> str:
        """What is committed: sorted, so that a change shows as one."""
        return json.dumps(self._build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"

    def _build(self) -> dashboard.Dashboard:
        board = dashboards.Dashboard(self.title).uid(self.uid).description(self.description).tags([TAG]).editable()
        board = board.time("now-30m", "now").refresh("30s").timezone("browser").tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        board = board.with_variable(dashboards.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        for name, label, query in self.choices:
            board = board.with_variable(_choice(name, label, query))
        board = board.link(_link_to_the_others())
        identifier = 0
        for heading, panels in self.rows:
            board = board.with_row(dashboards.Row(heading).id(identifier := identifier + 1))
            for panel in panels:
                board = board.with_panel(panel.id(identifier := identifier + 1))
        return board.build()


def _choice(name: str, label: str, query: str) -> dashboards.QueryVariable:
    every = dashboard.VariableOption(text="All", value="$__all", selected=True)
    choice = dashboards.QueryVariable(name).label(label).datasource(DATASOURCE).query(query).multi(True).include_all(True)
    choice = choice.all_value(".*").current(every).refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return choice.sort(dashboard.VariableSort.ALPHABETICAL_ASC)


def _link_to_the_others() -> dashboards.DashboardLink:
    link = dashboards.DashboardLink("Honeyguide").type(dashboard.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(True).keep_time(True).include_vars(True)


def choose_workload(opened: str) -> list[tuple[str, str, str]]:
    """Node, then namespace, then workload; opened: the metric whose labels offer the names."""
    return [
        ("node", "Node", "label_values(honeyguide_pipeline_lag_seconds, instance)"),
        ("namespace", "Namespace", f'label_values({opened}{{instance=~"$node"}}, service_namespace)'),
        ("workload", "Workload", f'label_values({opened}{{instance=~"$node",service_namespace=~"$namespace"}}, service_name)'),
    ]
