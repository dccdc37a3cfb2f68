"""The kinds of panels on our boards, each with the options that are the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from grafana_foundation_sdk.builders import common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
FULL, HALF, THIRD = 24, 12, 8

Queries: TypeAlias = Mapping[str, str]  # legend -> expression
Panel: TypeAlias = timeseries.Panel | stat.Panel | table.Panel


def lines(title: str, description: str, unit: str, queries: Queries, span: int = HALF, stacked: bool = False) -> Panel:
    """Over time. A legend with {{label}} in it names as many lines as the query has."""
    legend = common.VizLegendOptions().show_legend(True).display_mode(look.LegendDisplayMode.TABLE)
    legend = legend.placement(look.LegendPlacement.BOTTOM).calcs(["mean", "max", "lastNotNull"])
    tooltip = common.VizTooltipOptions().mode(look.TooltipDisplayMode.MULTI).sort(look.SortOrder.DESCENDING)
    panel = timeseries.Panel().title(title).description(description).unit(unit).span(span).height(9)
    panel = panel.datasource(DATASOURCE).legend(legend).tooltip(tooltip).min(0)
    panel = panel.line_width(1).fill_opacity(25 if stacked else 8).show_points(look.VisibilityMode.NEVER)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(look.StackingMode.NORMAL).group("A"))
    return panel.targets([_query(letter, expression, legend) for letter, (legend, expression) in _lettered(queries)])


def number(
    title: str, description: str, unit: str, expression: str, bad: float | None = None, words: Mapping[str, str] | None = None
) -> Panel:
    """One number now. bad: from where on it is red. words: value -> 'text color' to show instead."""
    steps = [dashboard.Threshold(color="green")]
    steps += [dashboard.Threshold(value=bad, color="red")] if bad is not None else []
    panel = stat.Panel().title(title).description(description).unit(unit).span(4).height(4).datasource(DATASOURCE)
    panel = panel.graph_mode(look.BigValueGraphMode.NONE if words else look.BigValueGraphMode.AREA)
    panel = panel.color_mode(look.BigValueColorMode.VALUE).thresholds(dashboards.ThresholdsConfig().steps(steps))
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if words:
        panel = panel.mappings([dashboard.ValueMap({value: _shown(text) for value, text in words.items()})])
    return panel.targets([_query("A", expression, title)])


def rows(title: str, description: str, columns: Queries, names: Mapping[str, str], unit: str, span: int = FULL) -> Panel:
    """A table of now. columns: heading -> expression, joined by their labels; names: label -> heading. The first column sorts."""
    lettered = list(_lettered(columns))
    headings = {**names, **{f"Value #{letter}": heading for letter, (heading, _) in lettered}}
    order = {heading: place for place, heading in enumerate([*names, *(f"Value #{letter}" for letter, _ in lettered)])}
    organise = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": headings}
    panel = table.Panel().title(title).description(description).unit(unit).span(span).height(9).datasource(DATASOURCE)
    panel = panel.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=organise))
    first = next(iter(columns))
    panel = panel.sort_by([common.TableSortByFieldState().display_name(first).desc(True)])
    return panel.targets([_query(letter, expression, "", as_table=True) for letter, (_, expression) in lettered])


def _lettered(queries: Queries) -> Sequence[tuple[str, tuple[str, str]]]:
    return [(chr(ord("A") + place), query) for place, query in enumerate(queries.items())]


def _query(letter: str, expression: str, legend: str, as_table: bool = False) -> prometheus.Dataquery:
    query = prometheus.Dataquery().ref_id(letter).datasource(DATASOURCE).expr(expression).legend_format(legend)
    return query.instant().format(PromQueryFormat.TABLE) if as_table else query.range()


def _shown(text: str) -> dashboard.ValueMappingResult:
    words, _, color = text.rpartition(" ")
    return dashboard.ValueMappingResult(text=words, color=color)
