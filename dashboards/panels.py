"""The house style of the boards: how a panel asks, what it always says, and the variables of all boards.

Every panel has a title, a description that says what it answers, and a unit; rates are taken over
``$__rate_interval``; every query goes to the board's ``$datasource``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = kinds.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE, GREY = (
    "green",
    "yellow",
    "orange",
    "red",
    "blue",
    "purple",
    "#808080",
)

PHASES = {
    "Pending": GREY,
    "Progressing": BLUE,
    "Holding": YELLOW,
    "Soaking": PURPLE,
    "Completed": GREEN,
    "Reverting": ORANGE,
    "Reverted": RED,
}
"""The colour of each phase, the same on every board."""

WHOLE_WIDTH = 24

SUCCESS = (0.9, 1.0)
"""The ends of an axis of parts of success: a dip by a twentieth is half of it."""

OURS = 'installation="$installation"'
"""What every query of ours asks for."""

Panel = (
    bargauge.Panel
    | heatmap.Panel
    | stat.Panel
    | statetimeline.Panel
    | table.Panel
    | timeseries.Panel
)
P = TypeVar(
    "P",
    bargauge.Panel,
    heatmap.Panel,
    stat.Panel,
    statetimeline.Panel,
    table.Panel,
    timeseries.Panel,
)


# --- queries --------------------------------------------------------------------------------------


def over_time(
    expr: str, legend: str = "__auto", *, exemplars: bool = False
) -> prometheus.Dataquery:
    """Ask for the whole time range."""
    return (
        prometheus.Dataquery()
        .datasource(SOURCE)
        .expr(expr)
        .legend_format(legend)
        .range()
        .exemplar(exemplars)
    )


def now(expr: str, legend: str = "__auto") -> prometheus.Dataquery:
    """Ask for the value at the end of the time range."""
    return prometheus.Dataquery().datasource(SOURCE).expr(expr).legend_format(legend).instant()


def rows(expr: str) -> prometheus.Dataquery:
    """Ask for the rows of a table: one for each series, its labels as columns."""
    return now(expr).format(PromQueryFormat.TABLE)


def buckets(expr: str, *, exemplars: bool = False) -> prometheus.Dataquery:
    """Ask for cumulative buckets, by the label ``le``."""
    return over_time(expr, "{{le}}", exemplars=exemplars).format(PromQueryFormat.HEATMAP)


# --- panels ---------------------------------------------------------------------------------------


def _styled(
    panel: P,
    title: str,
    answers: str,
    unit: str,
    size: tuple[int, int],
    asks: Sequence[prometheus.Dataquery],
) -> P:
    """Return a panel what every panel has; targets are lettered in order."""
    width, height = size
    panel.title(title).description(answers).unit(unit).datasource(SOURCE).span(width).height(height)
    for letter, ask in zip("ABCDEFGHIJ", asks, strict=False):
        panel.with_target(ask.ref_id(letter))
    return panel


def number(
    title: str,
    answers: str,
    *asks: prometheus.Dataquery,
    unit: str = "short",
    width: int = 4,
    steps: Sequence[tuple[float | None, str]] = ((None, BLUE),),
    mappings: Sequence[models.ValueMapping] = (),
    label: str = "",
) -> stat.Panel:
    """One big value (or one for each series); ``label`` shows that label of the rows that are asked for."""
    panel = _styled(stat.Panel(), title, answers, unit, (width, 4), asks)
    reduced = common.ReduceDataOptions().calcs(["lastNotNull"])
    text = kinds.BigValueTextMode.VALUE if label else kinds.BigValueTextMode.AUTO
    return (
        panel.graph_mode(kinds.BigValueGraphMode.NONE)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .text_mode(text)
        .reduce_options(reduced.fields(f"/^{label}$/") if label else reduced)
        .thresholds(thresholds(steps))
        .mappings(list(mappings))
        .no_value("none")
    )


def lines(
    title: str,
    answers: str,
    *asks: prometheus.Dataquery,
    unit: str = "short",
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    stepped: bool = False,
    within: tuple[float, float | None] = (0.0, None),
) -> timeseries.Panel:
    """Lines over time, or a stack of areas; ``stepped`` where a value holds until the next.

    ``within`` are the ends of the axis; where it does not begin at zero it reaches down to what is lower.
    """
    panel = _styled(timeseries.Panel(), title, answers, unit, (width, height), asks)
    panel.line_width(1).show_points(kinds.VisibilityMode.NEVER)
    floor, ceiling = within
    if floor:
        panel.axis_soft_min(floor)
    else:
        panel.min(0)
    panel.fill_opacity(60 if stacked else 8)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(kinds.LegendDisplayMode.LIST)
        .placement(kinds.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel.tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI))
    if stacked:
        panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
    if stepped:
        panel.line_interpolation(kinds.LineInterpolation.STEP_AFTER)
    if ceiling is not None:
        panel.max(ceiling)
    return panel


def limit(panel: timeseries.Panel, regexp: str) -> timeseries.Panel:
    """Draw the series of this name dashed and red: what the others are held against."""
    return panel.override_by_regexp(regexp, [*_dashes(), _fixed(RED)])


def coloured(
    panel: timeseries.Panel, colours: Mapping[str, str], dashed: Sequence[str] = ()
) -> timeseries.Panel:
    """Colour series by their names, and draw some of them dashed: what is not measured."""
    for name, colour in colours.items():
        dashes = _dashes() if name in dashed else []
        panel.override_by_name(name, [*dashes, _fixed(colour)])
    return panel


def phased(panel: timeseries.Panel) -> timeseries.Panel:
    """Colour the series that are named by phases."""
    return coloured(panel, PHASES)


def _fixed(colour: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def _dashes() -> list[models.DynamicConfigValue]:
    return [
        models.DynamicConfigValue(
            "custom.lineStyle", kinds.LineStyle(fill="dash", dash=[8.0, 6.0])
        ),
        models.DynamicConfigValue("custom.fillOpacity", 0),
    ]


def to_now(panel: P, since: str) -> P:
    """Let a panel end now, and begin ``since`` (14d) before, on a board that shows what is to come."""
    panel.time_from(since).hide_time_override(True)
    return panel


def heat_map(
    title: str,
    answers: str,
    ask: prometheus.Dataquery,
    *,
    unit: str = "short",
    axis_unit: str = "short",
    width: int = 12,
) -> heatmap.Panel:
    """Cumulative buckets over time, coloured by how many are in each."""
    panel = _styled(heatmap.Panel(), title, answers, unit, (width, 8), [ask])
    colours = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Blues")
    return (
        panel.calculate(False)
        .color(colours.steps(64))
        .cell_gap(1)
        .cell_values(heatmap.CellValues().unit(unit))
        .y_axis(heatmap.YAxisConfig().unit(axis_unit))
    )


def bars(
    title: str,
    answers: str,
    ask: prometheus.Dataquery,
    *,
    unit: str = "short",
    width: int = 8,
    height: int = 8,
    steps: Sequence[tuple[float | None, str]] = ((None, BLUE),),
    ceiling: float | None = None,
) -> bargauge.Panel:
    """One horizontal bar for each series, as things stand now."""
    panel = _styled(bargauge.Panel(), title, answers, unit, (width, height), [ask])
    panel.min(0).thresholds(thresholds(steps))
    if ceiling is not None:
        panel.max(ceiling)
    return (
        panel.orientation(kinds.VizOrientation.HORIZONTAL)
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("none")
    )


def states(
    title: str,
    answers: str,
    ask: prometheus.Dataquery,
    names: Sequence[tuple[str, str, str]],
    *,
    width: int = 12,
) -> statetimeline.Panel:
    """A band for each series that changes its colour; ``names`` maps values to text and colour."""
    panel = _styled(statetimeline.Panel(), title, answers, "short", (width, 8), [ask])
    return (
        panel.mappings([mapped(names)])
        .show_value(kinds.VisibilityMode.NEVER)
        .merge_values(True)
        .fill_opacity(80)
        .row_height(0.8)
    )


def listing(
    title: str,
    answers: str,
    asks: Sequence[prometheus.Dataquery],
    columns: Sequence[tuple[str, str, str]],
    *,
    height: int = 10,
    width: int = WHOLE_WIDTH,
    by: str = "",
    link: tuple[str, str, str] | None = None,
) -> table.Panel:
    """A table of Services. ``columns`` are (field, name, unit) in order, of all labels that are asked for.

    ``by`` is the column to sort by, the highest first; ``link`` is (column, title, URL). Phases have their colours.
    """
    panel = _styled(table.Panel(), title, answers, "short", (width, height), asks)
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "indexByName": {field: place for place, (field, _, _) in enumerate(columns)},
                "renameByName": {field: name for field, name, _ in columns},
                "excludeByName": dict.fromkeys(("Time", *_unnamed(asks, columns)), True),
            },
        )
    )
    for _, name, unit in columns:
        properties = [models.DynamicConfigValue("unit", unit)]
        if link and link[0] == name:
            to = {"title": link[1], "url": link[2]}
            properties.append(models.DynamicConfigValue("links", [to]))
        if name == "Phase":
            properties.append(models.DynamicConfigValue("mappings", [phases()]))
            properties.append(
                models.DynamicConfigValue("custom.cellOptions", {"type": "color-text"})
            )
        panel.override_by_name(name, properties)
    if by:
        panel.sort_by([common.TableSortByFieldState().display_name(by).desc(True)])
    return panel


def _unnamed(
    asks: Sequence[prometheus.Dataquery], columns: Sequence[tuple[str, str, str]]
) -> list[str]:
    """The values of those queries that are asked for their labels only."""
    named = {field for field, _, _ in columns}
    values = (f"Value #{letter}" for letter, _ in zip("ABCDEFGHIJ", asks, strict=False))
    return [value for value in values if value not in named]


def thresholds(steps: Sequence[tuple[float | None, str]]) -> dashboard.ThresholdsConfig:
    """Colours from these values on; the first is for everything below (None)."""
    found = [models.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def mapped(names: Sequence[tuple[str, str, str]]) -> models.ValueMap:
    """Values shown as (value, text, colour)."""
    return models.ValueMap(
        options={
            value: models.ValueMappingResult(text=text, color=colour, index=place)
            for place, (value, text, colour) in enumerate(names)
        }
    )


def phases() -> models.ValueMap:
    """The phases in their colours."""
    return mapped([(phase, phase, colour) for phase, colour in PHASES.items()])


# --- boards ---------------------------------------------------------------------------------------


def board(
    uid: str,
    title: str,
    answers: str,
    *,
    known: str = "migrate_controller_leader",
    since: str = "now-6h",
    until: str = "now",
) -> dashboard.Dashboard:
    """An empty board: its time range, its ``$datasource``, its ``$installation`` as ``known`` has them, and links.

    Every query asks for one installation: two pairs of clusters may have Services of the same names.
    """
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(answers)
        .tags(["mesh-migrate"])
        .timezone("utc")
        .time(since, until)
        .refresh("30s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
        .with_variable(
            choice("installation", "Installation", f"label_values({known}, installation)")
        )
        .link(
            dashboard.DashboardLink("mesh-migrate")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["mesh-migrate"])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
    )


def choice(
    name: str, label: str, query: str, *, many: bool = False, hidden: bool = False
) -> dashboard.QueryVariable:
    """A variable whose values Prometheus gives: ``label_values(metric, label)``."""
    found = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .definition(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    if many:
        found.multi(True).include_all(True).all_value(".*")
    if hidden:
        found.hide(models.VariableHide.HIDE_VARIABLE)
    return found


def span(name: str, expr: str, colour: str, title: str, text: str) -> dashboard.AnnotationQuery:
    """Shade on every panel while a series is there and not zero; what is shorter than ten minutes may be missed.

    The step is what Grafana joins points by, and keeps the answer for two months below Prometheus' 11,000 points.
    """
    return mark(name, expr, colour, title, text).step("10m").use_value_for_time(False)


def mark(name: str, expr: str, colour: str, title: str, text: str) -> dashboard.AnnotationQuery:
    """Marks on every panel, each at the Unix time in milliseconds that a series has as its value."""
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(True)
        .icon_color(colour)
        .expr(expr)
        .title_format(title)
        .text_format(text)
        .step("10s")
        .use_value_for_time(True)
    )
