"""Colours and units of the pictures, as Grafana's dark theme has them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

BACK, PANEL, EDGE = "#111217", "#181b1f", "#2a2d33"
TEXT, FAINT, GRID = "#d8d9da", "#8e9297", "#2c2f36"

NAMED = {
    "green": "#73bf69",
    "yellow": "#f2cc0c",
    "orange": "#ff9830",
    "red": "#f2495c",
    "blue": "#5794f2",
    "purple": "#b877d9",
}
PALETTE = (
    "#73bf69",
    "#f2cc0c",
    "#8ab8ff",
    "#ff780a",
    "#f2495c",
    "#5794f2",
    "#b877d9",
    "#37872d",
    "#fade2a",
    "#ca95e5",
)


def colour(name: str) -> str:
    """Return the colour of a name."""
    return NAMED.get(name, name)


def by_threshold(value: float, steps: Sequence[Mapping[str, Any]]) -> str:
    """Return the colour of the highest threshold that a value has reached."""
    reached = [step for step in steps if step.get("value") is None or value >= step["value"]]
    return colour(reached[-1]["color"]) if reached else TEXT


def text(value: float, unit: str, now_s: float | None = None) -> str:
    """Write a value in its unit; ``now_s`` is what ``dateTimeFromNow`` counts from."""
    if unit == "percentunit":
        return f"{value * 100:.4g} %"
    if unit == "percent":
        return f"{value:.4g} %"
    if unit == "dateTimeFromNow":
        return _from_now(value / 1000 - (time.time() if now_s is None else now_s))
    if unit == "s":
        return _stretch(value)
    if unit == "bytes":
        return f"{value / 2**20:.3g} MiB"
    suffix = {"reqps": " req/s", "ops": " ops/s"}.get(unit, "")
    return f"{value:.3g}{suffix}" if abs(value) < 1000 else f"{value:,.0f}{suffix}"


def _stretch(seconds: float) -> str:
    if abs(seconds) < 1:
        return f"{seconds * 1000:.3g} ms"
    if abs(seconds) < 60:
        return f"{seconds:.3g} s"
    if abs(seconds) < 3600:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


def _from_now(seconds: float) -> str:
    whole = abs(round(seconds))
    said = f"{whole} s" if whole < 90 else f"{whole / 60:.0f} min"
    return f"in {said}" if seconds >= 0 else f"{said} ago"
