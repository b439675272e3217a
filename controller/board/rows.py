"""A migration's row on the board, and its story: plain data, ready for JSON. Pure.

Every text may come from a user: it is data here and text on the page, never markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.model import Key


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known of one migration: its status as :mod:`controller.status` makes it, and when its next
    share may be written at the earliest (None: no such time, or another replica knows it)."""

    status: Mapping[str, Any]
    due: datetime | None = None


def row(key: Key, shown: Shown) -> dict[str, Any]:
    """Give the row: shares in percent by cluster (None: not known), times in RFC 3339, "" what is not there."""
    status = shown.status
    history = _entries(status, "history")
    asked = _mapping(status, "asked")
    clean, needed = _progress(_entries(status, "ways"))
    return {
        "namespace": key.namespace,
        "name": key.service,
        "target": _mapping(status, "observed").get("target", ""),
        "attempt": _mapping(status, "observed").get("attempt", 0),
        "phase": status.get("phase", ""),
        "shares": {name: _percent(share) for name, share in _mapping(status, "shares").items()},
        "verdict": status.get("verdict", ""),
        "reason": status.get("reason", ""),
        "message": status.get("message", ""),
        "alert": status.get("alert", False),
        "next": status.get("next", ""),
        "due": shown.due.isoformat() if shown.due else "",
        "waitingFor": status.get("waitingFor", ""),
        "clean": clean,
        "needed": needed,
        "by": asked.get("by", ""),
        "asked": asked.get("at", ""),
        "since": history[-1].get("at", "") if history else "",
        "warnings": len(_entries(status, "warnings")),
    }


def story(key: Key, shown: Shown) -> dict[str, Any]:
    """Give everything that is told of one migration: its row, every way, the warnings, the last transitions."""
    return {
        **row(key, shown),
        "ways": _entries(shown.status, "ways"),
        "warned": _entries(shown.status, "warnings"),
        "history": _entries(shown.status, "history"),
        "clusters": list(shown.status.get("clusters", ())),
    }


def _progress(ways: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Give the clean and the needed probes of the way that is furthest from PASS; the apex decides nothing."""
    found = [
        (int(way.get("clean", 0)), int(way.get("needed", 0)))
        for way in ways
        if way.get("side") != "apex"
    ]
    return min(found, key=lambda pair: pair[0] / max(pair[1], 1), default=(0, 0))


def _percent(text: object) -> float | None:
    """Read a share as a status has it; ``?`` is not known."""
    try:
        return float(str(text))
    except ValueError:
        return None


def _mapping(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = status.get(name)
    return found if isinstance(found, Mapping) else {}


def _entries(status: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Give a list of mappings; a status may have been written by any hand."""
    found = status.get(name)
    if not isinstance(found, (list, tuple)):
        return []
    return [entry for entry in found if isinstance(entry, Mapping)]
