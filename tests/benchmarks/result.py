"""What a benchmark found: lines of the table, and its keys of the JSON object."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEADINGS = ("what", "n", "p50", "p99", "target", "how")


class CannotMeasure(Exception):  # noqa: N818 - it is the finding
    """Something that a benchmark needs is not here; the text says what and how to get it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. ``p99`` is "" where a figure was measured once."""

    what: str
    n: int
    p50: str
    p99: str
    target: str
    how: str


@dataclass(frozen=True, slots=True)
class Result:
    """``figures`` are this benchmark's keys of the JSON object."""

    lines: tuple[Line, ...]
    figures: Mapping[str, Any]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the least value that ``percent`` of them do not exceed."""
    if not values:
        raise ValueError("a percentile of nothing")
    rank = math.ceil(percent / 100.0 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99 in ms, and how many there were, as the JSON object has them."""
    return {
        "p50": round(1000.0 * percentile(seconds, 50), 1),
        "p99": round(1000.0 * percentile(seconds, 99), 1),
        "n": len(seconds),
    }


def spread_line(what: str, seconds: Sequence[float], target: str, how: str) -> Line:
    """Return the line of a figure that was measured many times."""
    found = spread(seconds)
    return Line(what, len(seconds), f"{found['p50']} ms", f"{found['p99']} ms", target, how)


def table(lines: Sequence[Line]) -> str:
    """Lay the lines out as a Markdown table."""
    rows = [HEADINGS, *((o.what, str(o.n), o.p50, o.p99, o.target, o.how) for o in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    shown = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([shown[0], rule, *shown[1:]])
