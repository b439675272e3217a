"""One function for each kind of panel, each drawing into the empty axes of its panel."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dashboards.asking import Series, filled
from dashboards.paint import FAINT, GRID, NAMED, PALETTE, TEXT, by_threshold, colour, text

Target = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """A panel and what it has to show; ``marks`` are (colour, Unix time), ``spans`` (colour, from, until), ``size_px``
    is of the axes."""

    panel: Mapping[str, Any]
    found: Sequence[tuple[Target, list[Series]]]
    began_s: float
    ended_s: float
    variables: Mapping[str, str]
    size_px: tuple[float, float]
    exemplars: Sequence[tuple[float, float]]
    marks: Sequence[tuple[str, float]]
    spans: Sequence[tuple[str, float, float]]

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The field configuration."""
        found: Mapping[str, Any] = self.panel["fieldConfig"]["defaults"]
        return found

    @property
    def unit(self) -> str:
        """The unit of all values."""
        return str(self.defaults["unit"])

    def named(self) -> list[tuple[str, Series]]:
        """Every series with its name in the legend: query by query, as colours are dealt out, and sorted in each."""
        pairs = [
            sorted(((self._name(target, one), one) for one in found), key=lambda pair: pair[0])
            for target, found in self.found
        ]
        return [pair for found in pairs for pair in found]

    def steps(self) -> Sequence[Mapping[str, Any]]:
        """The thresholds."""
        found: Sequence[Mapping[str, Any]] = self.defaults.get("thresholds", {}).get("steps", ())
        return found

    def override(self, name: str) -> Mapping[str, Any]:
        """What the panel says of the series of this name alone."""
        found: dict[str, Any] = {}
        for one in self.panel["fieldConfig"].get("overrides", ()):
            matcher = one["matcher"]
            wanted = matcher["options"]
            same = matcher["id"] == "byName" and wanted == name
            if same or (matcher["id"] == "byRegexp" and re.search(wanted, name)):
                found |= {entry["id"]: entry["value"] for entry in one["properties"]}
        return found

    def _name(self, target: Target, series: Series) -> str:
        legend = filled(target.get("legendFormat", ""), self.variables)
        if legend == "__auto":
            return str(self.panel["title"])
        return re.sub(r"\{\{(\w+)\}\}", lambda m: series.labels.get(m[1], ""), legend).strip(" ,")


# --- numbers --------------------------------------------------------------------------------------


def stat(axes: Axes, shown: Shown) -> None:
    """Big values, or the names of series in their place."""
    named = shown.named()
    if not named:
        _nothing(axes)
        return
    alone = len(named) == 1
    wide, _ = shown.size_px
    for place, (name, series) in enumerate(named):
        said, paint = _said(shown, series)
        x = (place + 0.5) / len(named)
        room = wide / len(named)
        size = min(23.0, 0.95 * room / max(len(said), 4))
        high = 0.52 if alone else 0.58
        axes.text(
            x, high, said, color=paint, fontsize=size, ha="center", va="center", weight="bold"
        )
        if not alone:
            axes.text(x, 0.17, name, color=FAINT, fontsize=8, ha="center", va="center")


def _said(shown: Shown, series: Series) -> tuple[str, str]:
    """Return a big value's text and its colour: what the value, or the label in its place, is mapped to, or itself."""
    value = series.points[-1][1]
    label = shown.panel["options"]["reduceOptions"].get("fields", "").strip("/^$")
    said = series.labels.get(label, "") if label else f"{value:g}"
    if found := _mapped(shown.defaults.get("mappings") or (), said):
        return found
    plain = said if label else text(value, shown.unit, shown.ended_s)
    return plain, by_threshold(value, shown.steps())


def _mapped(mappings: Sequence[Mapping[str, Any]], said: str) -> tuple[str, str] | None:
    for mapping in mappings:
        if found := mapping["options"].get(said):
            return str(found["text"]), colour(found["color"])
    return None


def bar_gauge(axes: Axes, shown: Shown) -> None:
    """One horizontal bar for each series."""
    named = shown.named()
    if not named:
        _nothing(axes)
        return
    named.sort(key=lambda pair: -pair[1].points[-1][1])
    most = shown.defaults.get("max") or max(s.points[-1][1] for _, s in named) or 1.0
    high = min(0.9 / len(named), 0.17)
    for place, (name, series) in enumerate(named):
        value = series.points[-1][1]
        y = 0.93 - (place + 0.8) * high
        axes.add_patch(Rectangle((0.42, y), 0.38, high * 0.6, color=GRID, lw=0))
        part = 0.38 * max(0.0, min(1.0, value / most))
        paint = by_threshold(value, shown.steps())
        axes.add_patch(Rectangle((0.42, y), part, high * 0.6, color=paint, lw=0))
        middle = y + high * 0.3
        axes.text(0.40, middle, name, color=TEXT, fontsize=8.5, ha="right", va="center")
        said = text(value, shown.unit, shown.ended_s)
        axes.text(0.82, middle, said, color=paint, fontsize=9, va="center", weight="bold")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


# --- over time ------------------------------------------------------------------------------------


def time_series(axes: Axes, shown: Shown) -> None:
    """Lines, or a stack of areas, with a legend below."""
    named = shown.named()
    custom = shown.defaults.get("custom", {})
    lowest = [value for _, series in named for _, value in series.points]
    bottom = min([floor, *lowest]) if (floor := custom.get("axisSoftMin")) else 0
    inner = _over_time(
        axes, shown, legend=[name for name, _ in named], paints=_paints(shown, named)
    )
    step: Literal["post"] | None = (
        "post" if custom.get("lineInterpolation") == "stepAfter" else None
    )
    if custom.get("stacking", {}).get("mode") == "normal":
        _stack(inner, shown, named, step)
    else:
        for (name, series), paint in zip(named, _paints(shown, named), strict=True):
            dashed = "custom.lineStyle" in shown.override(name)
            times, values = _gapped(series, shown.began_s)
            inner.plot(
                times,
                values,
                color=paint,
                lw=1.3,
                ls=(0, (5, 4)) if dashed else "-",
                drawstyle="steps-post" if step else "default",
            )
            if not dashed and len(named) <= 2:
                inner.fill_between(times, values, bottom, color=paint, alpha=0.07, lw=0, step=step)
    for at, value in shown.exemplars:
        inner.plot([at - shown.began_s], [value], marker="D", ms=4, color=NAMED["yellow"], zorder=5)
    top = shown.defaults.get("max")
    reached = max(inner.get_ylim()[1], bottom + 1e-9)
    inner.set_ylim(bottom, top + (top - bottom) * 0.04 if top is not None else reached)


def _stack(
    inner: Axes,
    shown: Shown,
    named: Sequence[tuple[str, Series]],
    step: Literal["post"] | None,
) -> None:
    times = sorted({at for _, series in named for at, _ in series.points})
    if not times:
        return
    rows = [[dict(series.points).get(at, 0.0) for at in times] for _, series in named]
    base = [0.0] * len(times)
    since = [at - shown.began_s for at in times]
    for row, paint in zip(rows, _paints(shown, named), strict=True):
        top = [low + value for low, value in zip(base, row, strict=True)]
        inner.fill_between(since, base, top, color=paint, alpha=0.65, lw=0, step=step)
        base = top


def state_timeline(axes: Axes, shown: Shown) -> None:
    """A band for each series that changes its colour with its value."""
    options = shown.defaults["mappings"][0]["options"]
    named = shown.named()
    names = [str(entry["text"]) for entry in options.values()]
    paints = [colour(entry["color"]) for entry in options.values()]
    inner = _over_time(axes, shown, legend=names, paints=paints, left=0.26)
    for row, (name, series) in enumerate(reversed(named)):
        points = [*series.points, (shown.ended_s, series.points[-1][1])]
        for (at, value), (until, _) in pairwise(points):
            mapped = options.get(f"{value:g}")
            # A stretch without any point is a gap: the way was not probed.
            end = until if until - at < 3 * _step(series) else at + _step(series)
            inner.add_patch(
                Rectangle(
                    (at - shown.began_s, row + 0.14),
                    end - at,
                    0.72,
                    color=colour(mapped["color"]) if mapped else GRID,
                    lw=0,
                )
            )
        inner.text(
            -0.012,
            row + 0.5,
            name,
            color=TEXT,
            fontsize=8,
            ha="right",
            va="center",
            transform=inner.get_yaxis_transform(),
        )
    inner.set_ylim(0, max(1, len(named)))
    inner.set_yticks([])


def heat_map(axes: Axes, shown: Shown) -> None:
    """Cumulative buckets, taken apart again: a cell's colour is how many are in it."""
    found = [series for _, all_ in shown.found for series in all_]
    found.sort(key=lambda series: float(series.labels["le"]))
    inner = _over_time(axes, shown, legend=[], paints=[], left=0.09)
    cells: list[tuple[float, int, float]] = []
    below: dict[float, float] = {}
    for row, series in enumerate(found):
        for at, value in series.points:
            cells.append((at - shown.began_s, row, value - below.get(at, 0.0)))
        below = dict(series.points)
    most = max((count for _, _, count in cells), default=1.0) or 1.0
    wide = _step(found[0]) if found else 1.0
    for at, row, count in cells:
        if count > 0:
            shade = 0.25 + 0.75 * count / most
            inner.add_patch(
                Rectangle((at, row + 0.06), wide, 0.88, color=NAMED["blue"], alpha=shade, lw=0)
            )
    inner.set_ylim(0, max(1, len(found)))
    inner.set_yticks([row + 0.5 for row in range(len(found))])
    inner.set_yticklabels([f"{series.labels['le']} %" for series in found])
    inner.grid(visible=False, axis="y")


def _over_time(
    axes: Axes, shown: Shown, *, legend: Sequence[str], paints: Sequence[str], left: float = 0.0
) -> Axes:
    """Make axes for time within the panel's, with the marks and a legend; give them."""
    wide, high = shown.size_px
    rows = _legend(axes, legend, paints, shown.size_px)
    foot = (24 + 16 * rows) / high
    left = left or 58 / wide
    inner = axes.inset_axes((left, foot, 1 - left - 14 / wide, 1 - foot - 6 / high))
    inner.set_facecolor("none")
    for side in inner.spines.values():
        side.set_visible(False)
    inner.tick_params(colors=FAINT, labelsize=7.5, length=0)
    inner.grid(color=GRID, lw=0.7)
    inner.set_axisbelow(True)
    inner.set_xlim(0, shown.ended_s - shown.began_s)
    inner.xaxis.set_major_formatter(lambda at, _: _clock(shown.began_s + at))
    inner.yaxis.set_major_formatter(lambda value, _: text(value, shown.unit))
    inner.locator_params(axis="x", nbins=max(3, int(wide / 110)))
    inner.locator_params(axis="y", nbins=5)
    for paint, begun, over in shown.spans:
        inner.axvspan(
            begun - shown.began_s, over - shown.began_s, color=colour(paint), alpha=0.13, lw=0
        )
    for paint, at in {(paint, at) for paint, at in shown.marks}:
        if shown.began_s <= at <= shown.ended_s:
            inner.axvline(
                at - shown.began_s, color=colour(paint), lw=0.9, ls=(0, (3, 3)), alpha=0.9
            )
    return inner


def _legend(
    axes: Axes, names: Sequence[str], paints: Sequence[str], size_px: tuple[float, float]
) -> int:
    """Write a legend at the bottom; give the number of its rows."""
    wide, high = size_px
    at, row = 14.0, 0
    placed: list[tuple[float, int, str, str]] = []
    for name, paint in dict(zip(names, paints, strict=True)).items():
        length = 32 + 6.0 * len(name)
        if at + length > wide and at > 14:
            at, row = 14.0, row + 1
        placed.append((at, row, name, paint))
        at += length
    rows = row + 1 if placed else 0
    for x, line, name, paint in placed[:60]:
        y = (10 + 16 * (rows - 1 - line)) / high
        axes.plot(
            [x / wide, (x + 12) / wide], [y, y], color=paint, lw=2.5, transform=axes.transAxes
        )
        axes.text(
            (x + 17) / wide,
            y,
            name,
            color=FAINT,
            fontsize=7.5,
            va="center",
            transform=axes.transAxes,
        )
    return rows


# --- tables ---------------------------------------------------------------------------------------


def table(axes: Axes, shown: Shown) -> None:
    """Rows of Services: the answers of all queries, joined by namespace and Service."""
    organize = next(t["options"] for t in shown.panel["transformations"] if t["id"] == "organize")
    fields = sorted(organize["indexByName"], key=lambda field: organize["indexByName"][field])
    rows: dict[tuple[str, str], dict[str, str]] = {}
    sorting: dict[tuple[str, str], float] = {}
    by = (shown.panel["options"].get("sortBy") or [{}])[0].get("displayName")
    for target, found in shown.found:
        field = f"Value #{target['refId']}"
        name = organize["renameByName"].get(field, "")
        unit = shown.override(name).get("unit", "short")
        for series in found:
            key = (series.labels["migration_namespace"], series.labels["migration_service"])
            row = rows.setdefault(key, {})
            row |= {label: value for label, value in series.labels.items() if label in fields}
            value = series.points[-1][1]
            row[field] = text(value, unit, shown.ended_s)
            if name == by:
                sorting[key] = value
    widths = [1.0 / len(fields)] * len(fields)
    high = 30 / shown.size_px[1]
    for column, field in enumerate(fields):
        x = sum(widths[:column]) + 0.012
        name = organize["renameByName"][field]
        axes.text(x, 1 - high * 0.6, name, color=NAMED["blue"], fontsize=9, va="center")
        for line, key in enumerate(sorted(rows, key=lambda key: -sorting.get(key, -1.0))):
            said = rows[key].get(field, "") or ("-" if field == "reason" else "")
            y = 1 - high * (line + 1.7)
            mappings = shown.override(name).get("mappings", ())
            _, paint = _mapped(mappings, said) or (said, TEXT)
            axes.text(x, y, said, color=paint, fontsize=9, va="center")
            if column == 0:
                axes.plot([0.005, 0.995], [y + high / 2] * 2, color=GRID, lw=0.7)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


# --- how it is done -------------------------------------------------------------------------------


def _paints(shown: Shown, named: Sequence[tuple[str, Series]]) -> list[str]:
    paints = []
    for place, (name, _) in enumerate(named):
        fixed = shown.override(name).get("color", {}).get("fixedColor")
        paints.append(colour(fixed) if fixed else PALETTE[place % len(PALETTE)])
    return paints


def _gapped(series: Series, began_s: float) -> tuple[list[float], list[float]]:
    """Return times since then, and values, with a break where points are missing."""
    times: list[float] = []
    values: list[float] = []
    step, last = _step(series), None
    for at, value in series.points:
        if last is not None and at - last > 3 * step:
            times.append(last + step - began_s)
            values.append(float("nan"))
        times.append(at - began_s)
        values.append(value)
        last = at
    return times, values


def stretches(series: Series) -> list[tuple[float, float]]:
    """Return from when until when a series is there, in Unix time: each stretch without a gap."""
    found: list[tuple[float, float]] = []
    for at, _ in series.points:
        if found and at - found[-1][1] <= 3 * _step(series):
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def _step(series: Series) -> float:
    gaps = [b - a for (a, _), (b, _) in pairwise(series.points)]
    return min(gaps, default=1.0)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "none", color=FAINT, fontsize=13, ha="center", va="center")


KINDS: dict[str, Callable[[Axes, Shown], None]] = {
    "stat": stat,
    "bargauge": bar_gauge,
    "timeseries": time_series,
    "state-timeline": state_timeline,
    "heatmap": heat_map,
    "table": table,
}
