"""The pictures: what they show is what was answered, and they say what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from dashboards import build, paint, plots
from dashboards.asking import Series, queries_of
from dashboards.draw import NOTE, Answers, draw

BEGAN, ENDED = 1_790_000_000.0, 1_790_000_060.0
BOARDS: dict[str, Any] = {name: json.loads(text) for name, text in build.boards().items()}
LABELS = {
    "migration_namespace": "shop",
    "migration_service": "cart",
    "phase": "Holding",
    "reason": "WayBad",
    "target": "eks",
    "blocked": "yes",
    "cluster": "eks",
    "migration_cluster": "eks",
    "callers": "legacy",
    "side": "target",
    "le": "25",
    "fleet": "to-eks",
    "wave": "catalog",
}


def answered(name: str, values: list[float]) -> Answers:
    """Everything that a board asks, answered with one series."""
    points = tuple((BEGAN + 10.0 * at, value) for at, value in enumerate(values))
    found = [Series(LABELS, points)] if points else []
    asked = list(queries_of(name, BOARDS[name]))
    marks = {(q.panel, "red"): found for q in asked if q.letter == "mark"}
    filled_in = {"namespace": "shop", "service": "cart", "origin": "legacy", "target": "eks"}
    return Answers(
        began_s=BEGAN,
        ended_s=ENDED,
        series={(q.panel, q.letter): found for q in asked},
        marks=marks,
        spans=marks,
        exemplars={q.panel: [(BEGAN + 5.0, 1.0)] for q in asked if q.exemplars},
        variables={**filled_in, "fleet": "to-eks", "wave": "catalog"},
    )


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize("values", [[], [0.0], [0.0, 1.0, 0.5]], ids=["nothing", "zero", "some"])
def test_a_board_can_be_drawn_from_any_answer(
    name: str, values: list[float], tmp_path: Path
) -> None:
    """Each board is drawn, to a picture of modest size, whatever its queries returned."""
    path = tmp_path / "board.png"
    draw(BOARDS[name], answered(name, values), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size < 400_000


def test_a_picture_says_that_it_is_none_of_grafana(tmp_path: Path) -> None:
    """The picture's own description says that it is a rendering, and not Grafana."""
    path = tmp_path / "fleet.png"
    draw(BOARDS["fleet.json"], answered("fleet.json", [1.0]), path)
    assert NOTE.encode() in path.read_bytes()
    assert "Not Grafana" in NOTE


def written(name: str, panel: str, values: list[float]) -> set[str]:
    """Every text that a panel's drawing holds."""
    board, answers = BOARDS[name], answered(name, values)
    (one,) = [p for p in board["panels"] if p["title"] == panel]
    axes = Figure().add_axes((0, 0, 1, 1))
    found = [(t, list(answers.series[panel, t["refId"]])) for t in one["targets"]]
    shown = plots.Shown(one, found, BEGAN, ENDED, answers.variables, (600, 300), [], [], [])
    plots.KINDS[one["type"]](axes, shown)
    texts = [text.get_text() for child in [axes, *axes.child_axes] for text in child.texts]
    return set(texts)


def test_the_table_joins_the_answers_of_a_service() -> None:
    """One row of the table holds the labels of the first query and the values of the others."""
    texts = written("fleet.json", "Every migration", [25.0])
    assert {"shop", "cart", "Holding", "WayBad", "yes", "25 %", "25 s"} <= texts


def test_a_number_is_shown_in_its_unit() -> None:
    """A big value is written in its panel's unit, and a missing one as none."""
    assert written("service.json", "Objective", [0.99]) == {"99 %"}
    assert written("service.json", "Objective", []) == {"none"}


def test_a_name_is_shown_in_place_of_its_value() -> None:
    """A panel of names shows the label that its legend asks for."""
    assert written("service.json", "Phase", [1.0]) == {"Holding"}


def test_a_mapped_value_is_shown_as_its_text() -> None:
    """A big value that the panel maps is written as that text, and any other in its unit."""
    assert written("waves.json", "Windows and line", [2.0]) == {"stopped"}
    assert written("waves.json", "Windows and line", [7.0]) == {"7"}


def test_a_span_lasts_while_its_series_is_there() -> None:
    """A series with a gap in it makes two spans, each from its first point to its last."""
    points = tuple((BEGAN + at, 1.0) for at in (0.0, 1.0, 2.0, 30.0, 31.0))
    assert plots.stretches(Series(LABELS, points)) == [
        (BEGAN, BEGAN + 2.0),
        (BEGAN + 30.0, BEGAN + 31.0),
    ]


def test_a_legend_has_the_labels_of_its_series() -> None:
    """A series is called what its legend makes of its labels and of the board's variables."""
    texts = written("service.json", "Latency: target against origin against control", [0.1])
    assert {"target, asked in eks", "origin, asked in legacy", "control"} <= texts


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.125, "percentunit", "12.5 %"),
        (99.9, "percent", "99.9 %"),
        (0.031, "s", "31 ms"),
        (90.0, "s", "1.5 min"),
        ((ENDED + 42.0) * 1000, "dateTimeFromNow", "in 42 s"),
        ((ENDED - 600.0) * 1000, "dateTimeFromNow", "10 min ago"),
        (7.0, "reqps", "7 req/s"),
        (3 * 2**20, "bytes", "3 MiB"),
        (12_345.0, "short", "12,345"),
    ],
)
def test_values_are_written_for_people(value: float, unit: str, said: str) -> None:
    """Each unit has its way to be written."""
    assert paint.text(value, unit, ENDED) == said


def test_a_colour_is_that_of_the_highest_threshold_reached() -> None:
    """A value has the colour of the last threshold that it is not below."""
    steps: list[dict[str, Any]] = [
        {"value": None, "color": "green"},
        {"value": 1.0, "color": "red"},
    ]
    assert paint.by_threshold(0.9, steps) == paint.NAMED["green"]
    assert paint.by_threshold(1.0, steps) == paint.NAMED["red"]
