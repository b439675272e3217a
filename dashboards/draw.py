"""Draws a board from what its queries returned: a rendering, not Grafana.

Only as much of Grafana's way to draw as these boards use: the grid, six kinds of panels, units, thresholds,
mappings, and annotations. Everything shown comes from the answers that are passed in.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from dashboards import plots
from dashboards.asking import Board, Series
from dashboards.paint import BACK, EDGE, FAINT, PANEL, TEXT

CELL_PX = (56, 34)
"""Of one cell of the grid, width and height."""

HEAD_PX, GAP_PX, DPI = 62, 8, 100

NOTE = "A rendering by dashboards/draw.py of what the panels' queries returned. Not Grafana."


@dataclass(frozen=True, slots=True)
class Answers:
    """What the queries of a board returned.

    ``series`` is by (panel, letter), ``marks`` by annotation and its colour, and so ``spans``, which last for as
    long as a series is there; ``variables`` are as they were filled in; the times are Unix. ``exemplars`` are
    (time, value) by panel.
    """

    began_s: float
    ended_s: float
    series: Mapping[tuple[str, str], Sequence[Series]]
    marks: Mapping[tuple[str, str], Sequence[Series]]
    spans: Mapping[tuple[str, str], Sequence[Series]]
    exemplars: Mapping[str, Sequence[tuple[float, float]]]
    variables: Mapping[str, str]


def draw(board: Board, answers: Answers, path: Path) -> None:
    """Write the picture of a board, as a PNG."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    width, height = 24 * CELL_PX[0], HEAD_PX + rows * CELL_PX[1]
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=BACK)
    chosen = ", ".join(
        f"{name} {answers.variables[name]}"
        for name in ("fleet", "namespace", "service")
        if f"${name}" in str(board["panels"])
        and not answers.variables.get(name, ".").startswith(".")
    )
    title = f"{board['title']}  {chosen}"
    figure.text(12 / width, 1 - 24 / height, title, color=TEXT, fontsize=14, weight="bold")
    figure.text(12 / width, 1 - 46 / height, NOTE, color=FAINT, fontsize=9)
    for panel in board["panels"]:
        _panel(figure, panel, answers, (width, height))
    figure.savefig(path, metadata={"Description": NOTE, "Software": None})


def _panel(
    figure: Figure, panel: Mapping[str, Any], answers: Answers, size: tuple[int, int]
) -> None:
    at = panel["gridPos"]
    width, height = size
    left, top = at["x"] * CELL_PX[0] + GAP_PX / 2, HEAD_PX + at["y"] * CELL_PX[1] + GAP_PX / 2
    wide, high = at["w"] * CELL_PX[0] - GAP_PX, at["h"] * CELL_PX[1] - GAP_PX
    corner = (left / width, 1 - (top + high) / height)
    figure.patches.append(
        FancyBboxPatch(
            corner,
            wide / width,
            high / height,
            boxstyle="square,pad=0",
            facecolor=PANEL,
            edgecolor=EDGE,
            linewidth=0.8,
            transform=figure.transFigure,
            zorder=-1,
        )
    )
    title = textwrap.shorten(panel["title"], max(12, wide // 8), placeholder=" …")
    figure.text(
        (left + 10) / width,
        1 - (top + 19) / height,
        title,
        color=TEXT,
        fontsize=9.5,
    )
    head = 28
    axes = figure.add_axes(
        (left / width, corner[1], wide / width, (high - head) / height), facecolor="none"
    )
    axes.set_axis_off()
    _fill(axes, panel, answers, (wide, high - head))


def _fill(
    axes: Axes, panel: Mapping[str, Any], answers: Answers, size: tuple[float, float]
) -> None:
    found = [
        (target, list(answers.series.get((panel["title"], target["refId"]), ())))
        for target in panel["targets"]
    ]
    shown = plots.Shown(
        panel=panel,
        found=found,
        began_s=answers.began_s,
        ended_s=answers.ended_s,
        variables=answers.variables,
        size_px=size,
        exemplars=list(answers.exemplars.get(panel["title"], ())),
        marks=_marks(answers),
        spans=[
            (colour, *between)
            for (_, colour), found in answers.spans.items()
            for series in found
            for between in plots.stretches(series)
        ],
    )
    plots.KINDS[panel["type"]](axes, shown)


def _marks(answers: Answers) -> list[tuple[str, float]]:
    """Return (colour, Unix time) of each annotation: its time is its value, in milliseconds.

    Of those at one time the last of the board lies on top.
    """
    return [
        (colour, at)
        for (_, colour), found in answers.marks.items()
        for at in sorted({value / 1000 for series in found for _, value in series.points})
    ]
