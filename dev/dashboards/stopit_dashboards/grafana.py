"""Renders the panels as a Grafana dashboard, in the types of Grafana's SDK.

Every panel queries the data source, the jobs and the instances that the viewer chose. Ids and positions follow from
the list, so the same list gives the same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from stopit_dashboards.panel import Kind, Limits, Panel, Query, Row, Unit, shares

__all__ = ["SELECTOR", "render"]

SELECTOR = 'job=~"$job",instance=~"$instance"'
"""The replacement for HERE."""

_UNITS = {Unit.COUNT: "short", Unit.PER_SECOND: "cps", Unit.SECONDS: "s", Unit.SHARE: "percentunit"}
_COLUMNS = 24
_STAT_HEIGHT, _HEIGHT = 4, 8
_WELL, _LOOK, _BAD, _PLAIN = "green", "orange", "red", "text"

AnyPanel = stat.Panel | timeseries.Panel | table.Panel


def render(rows: tuple[Row, ...]) -> str:
    """Return the dashboard as JSON, indented and with a final newline, as it is committed."""
    board = (
        build.Dashboard("Stopit")
        .uid("stopit")
        .description("Is it well, does mail pass, do members flag, does anything wait, does it stop: in this order.")
        .tags(["mail", "stopit"])
        .time("now-6h", "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    for variable in _variables():
        board.with_variable(variable)
    ids = count(1)
    top = 0
    for row in rows:
        place = dashboard.GridPos(h=1, w=_COLUMNS, x=0, y=top)
        board.with_row(build.Row(f"{row.title} {row.look}").id(next(ids)).grid_pos(place))
        top += 1
        for line in row.lines():
            height = _STAT_HEIGHT if line[0].kind is Kind.STAT else _HEIGHT
            for panel, (left, width) in zip(line, shares(len(line), _COLUMNS), strict=True):
                place = dashboard.GridPos(h=height, w=width, x=left, y=top)
                board.with_panel(_panel(panel).id(next(ids)).grid_pos(place))
            top += height
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def _variables() -> Iterator[Builder[dashboard.VariableModel]]:
    """Return the variables: the Prometheus, the jobs, the instances."""
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    yield build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    for name, asked in (
        ("job", "label_values(stopit_build_info, job)"),
        ("instance", 'label_values(stopit_build_info{job=~"$job"}, instance)'),
    ):
        yield (
            build.QueryVariable(name)
            .label(name.capitalize())
            .datasource(_source())
            .query({"query": asked, "refId": f"stopit-{name}"})
            .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(everything)
        )


def _source() -> dashboard.DataSourceRef:
    return dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")


def _panel(panel: Panel) -> AnyPanel:
    drawn: AnyPanel
    match panel.kind:
        case Kind.STAT:
            drawn = _stat(panel)
        case Kind.GRAPH:
            drawn = _graph(panel)
        case Kind.TABLE:
            drawn = _table(panel)
    drawn.title(panel.title).description(panel.answers).datasource(_source()).unit(_UNITS[panel.unit])
    drawn.no_value("no data")
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        drawn.with_target(_query(panel, query).ref_id(letter))
    return drawn


def _query(panel: Panel, query: Query) -> prometheus.Dataquery:
    asked = prometheus.Dataquery().datasource(_source()).expr(query.at(SELECTOR))
    asked.legend_format(query.name("{{", "}}"))
    if panel.kind is Kind.GRAPH:
        return asked.range()
    return asked.instant().format(PromQueryFormat.TABLE if panel.kind is Kind.TABLE else PromQueryFormat.TIME_SERIES)


def _stat(panel: Panel) -> stat.Panel:
    drawn = stat.Panel().reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]))
    drawn.graph_mode(common.BigValueGraphMode.NONE).thresholds(_thresholds(panel.limits))
    drawn.color_mode(common.BigValueColorMode.BACKGROUND if panel.limits else common.BigValueColorMode.NONE)
    if panel.words:
        said = {str(value): dashboard.ValueMappingResult(text=word) for value, word in enumerate(panel.words)}
        drawn.mappings([dashboard.ValueMap(options=said)])
    return drawn


def _graph(panel: Panel) -> timeseries.Panel:
    drawn = timeseries.Panel().min(0).line_width(1).fill_opacity(10).thresholds(_thresholds(panel.limits))
    drawn.show_points(common.VisibilityMode.NEVER)
    drawn.legend(
        build_common.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    drawn.tooltip(
        build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    style = common.GraphThresholdsStyleMode.DASHED if panel.limits else common.GraphThresholdsStyleMode.OFF
    return drawn.thresholds_style(build_common.GraphThresholdsStyleConfig().mode(style))


def _table(panel: Panel) -> table.Panel:
    """Order the columns: the labels in the panel's order, then the number if the panel shows it."""
    order = {name: place for place, name in enumerate((*panel.columns, "Value"))}
    hidden = {"Time": True, "__name__": True, "Value": not panel.counts}
    organise = dashboard.DataTransformerConfig(
        id_val="organize", options={"excludeByName": hidden, "indexByName": order, "renameByName": {}}
    )
    return (
        table.Panel()
        .align(common.FieldTextAlignment.AUTO)
        .inspect(False)
        .with_transformation(organise)
        .decimals(0)
        .thresholds(_thresholds(None))
    )


def _thresholds(limits: Limits | None) -> build.ThresholdsConfig:
    """Return the thresholds in ascending order. The first one holds from minus infinity."""
    steps: list[tuple[float | None, str]]
    if limits is None:
        steps = [(None, _PLAIN)]
    elif limits.falling:
        steps = [(None, _BAD), (limits.bad, _LOOK), (limits.look, _WELL)]
    else:
        steps = [(None, _WELL), (limits.look, _LOOK), (limits.bad, _BAD)]
    if limits is not None and limits.look == limits.bad:
        del steps[1]
    asked = [dashboard.Threshold(value=value, color=color) for value, color in steps]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(asked)
