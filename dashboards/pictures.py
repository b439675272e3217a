"""``python -m dashboards draw``: the boards as they look after the story, for the README."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from dashboards import build
from dashboards.asking import Asking, Series, filled, queries_of
from dashboards.check import COMMON
from dashboards.draw import Answers, draw
from dashboards.play import REVERTS, played

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
DRAWN = ("fleet.json", "waves.json", "service.json")
SERVICE = REVERTS
"""Whom the Service board shows: who went home has the most to tell."""


async def take(folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Play the story and draw the boards that the README shows; give the pictures' paths."""
    boards = {name: json.loads(text) for name, text in build.boards().items() if name in DRAWN}
    taken = []
    async with played(build.OUT / "rules.yaml", say) as story, aiohttp.ClientSession() as session:
        asking = Asking(session, story.prometheus, story.began_s, story.ended_s)
        for name, board in boards.items():
            answers = await gather(asking, name, board, {**COMMON, "service": SERVICE})
            path = (folder / name).with_suffix(".png")
            draw(board, answers, path)
            taken.append(path)
    return taken


async def gather(
    asking: Asking, name: str, board: Mapping[str, Any], variables: Mapping[str, str]
) -> Answers:
    """Ask everything that a board asks."""
    series: dict[tuple[str, str], list[Series]] = {}
    marks: dict[tuple[str, str], list[Series]] = {}
    spans: dict[tuple[str, str], list[Series]] = {}
    exemplars: dict[str, list[tuple[float, float]]] = {}
    known = {mark["name"]: mark for mark in board["annotations"].get("list", ())}
    for query in queries_of(name, board):
        expr = filled(query.expr, variables)
        if query.letter == "variable":
            continue
        found = await asking.ask(expr, instant=query.instant)
        if query.letter == "mark":
            mark = known[query.panel]
            kept = marks if mark["useValueForTime"] else spans
            kept[query.panel, mark["iconColor"]] = found
            continue
        series[query.panel, query.letter] = found
        if query.exemplars:
            exemplars[query.panel] = [
                (float(one["timestamp"]), float(one["value"]))
                for one in await asking.exemplars(expr)
            ]
    return Answers(asking.began_s, asking.ended_s, series, marks, spans, exemplars, variables)
