"""Asks Prometheus what boards and rules ask, as Grafana does: with the variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

ASK_S = 10.0
POINTS = 300
"""Points of a line, about as many as a panel is wide."""

Board = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel (or of an annotation, or of a variable) of a board."""

    board: str
    panel: str
    letter: str
    expr: str
    legend: str = ""
    instant: bool = False
    exemplars: bool = False

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.board}, {self.panel}, {self.letter}: {self.expr}"


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, and (Unix time, value) in order."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


def queries_of(name: str, board: Board) -> Iterator[Query]:
    """Return everything that a board asks."""
    for panel in board["panels"]:
        yield from panel_queries(name, panel)
    for mark in board.get("annotations", {}).get("list", ()):
        yield Query(name, mark["name"], "mark", mark["expr"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            text = str(variable["query"])
            metric = re.fullmatch(r"label_values\((.*), (\w+)\)", text)
            if metric is None:
                raise ValueError(f"{name}, ${variable['name']}: write label_values(metric, label)")
            expr = f"count by ({metric[2]}) ({metric[1]})"
            yield Query(name, f"${variable['name']}", "variable", expr)


def panel_queries(name: str, panel: Mapping[str, Any]) -> Iterator[Query]:
    """Return what one panel asks."""
    for target in panel["targets"]:
        yield Query(
            board=name,
            panel=panel["title"],
            letter=target["refId"],
            expr=target["expr"],
            legend=target.get("legendFormat", ""),
            instant=bool(target.get("instant")),
            exemplars=bool(target.get("exemplar")),
        )


def filled(expr: str, variables: Mapping[str, str]) -> str:
    """Put the variables' values in, as Grafana does."""
    return re.sub(r"\$(\w+)", lambda found: variables[found[1]], expr)


class Asking:
    """Queries to one Prometheus between two Unix times."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, began_s: float, ended_s: float
    ) -> None:
        self._session = session
        self._url = url
        self.began_s = began_s
        self.ended_s = ended_s

    async def get(self, path: str, **query: str) -> Any:
        """Return the ``data`` of an answer; ValueError with Prometheus' own words where it refuses."""
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        async with self._session.get(
            f"{self._url}/api/v1/{path}", params=query, timeout=timeout
        ) as response:
            answer = json.loads(await response.text())
        if answer["status"] != "success":
            raise ValueError(f"{query.get('query', path)}: {answer['error']}")
        return answer["data"]

    async def ask(self, expr: str, *, instant: bool = False) -> list[Series]:
        """Return the series of an answer, without those points that are not a number."""
        if instant:
            data = await self.get("query", query=expr, time=f"{self.ended_s:.3f}")
        else:
            step = max(1.0, (self.ended_s - self.began_s) / POINTS)
            data = await self.get(
                "query_range",
                query=expr,
                start=f"{self.began_s:.3f}",
                end=f"{self.ended_s:.3f}",
                step=f"{step:.3f}",
            )
        return _series(data)

    async def exemplars(self, expr: str) -> list[Mapping[str, Any]]:
        """Return the exemplars of a query's series: ``labels``, ``value`` and ``timestamp`` of each."""
        data = await self.get(
            "query_exemplars",
            query=expr,
            start=f"{self.began_s:.3f}",
            end=f"{self.ended_s:.3f}",
        )
        return [exemplar for series in data for exemplar in series["exemplars"]]


def _series(data: Mapping[str, Any]) -> list[Series]:
    if data["resultType"] == "scalar":
        return [Series({}, _numbers([data["result"]]))]
    found = []
    for series in data["result"]:
        points = _numbers(series.get("values") or [series["value"]])
        if points:
            found.append(Series(series["metric"], points))
    return found


def _numbers(values: list[Any]) -> tuple[tuple[float, float], ...]:
    points = ((float(at), float(value)) for at, value in values)
    return tuple(point for point in points if point[1] == point[1])
