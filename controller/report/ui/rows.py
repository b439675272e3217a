"""A migration's row on the board, and its story: plain data, ready for JSON. Pure.

Every text may come from a user: it is data here and text on the page, never markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.domain import Key


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known of one migration: its status as :mod:`controller.report.status` makes it, and when its next
    share may be written at the earliest (None: no such time, or another replica knows it)."""

    status: Mapping[str, Any]
    due: datetime | None = None


def row(key: Key, shown: Shown) -> dict[str, Any]:
    """Return the row: shares in percent by cluster (None: not known), times in RFC 3339, "" what is not there."""
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
    """Return everything that is told of one migration: its row, every path, the warnings, the last transitions."""
    return {
        **row(key, shown),
        "ways": _entries(shown.status, "ways"),
        "warned": _entries(shown.status, "warnings"),
        "history": _entries(shown.status, "history"),
        "clusters": list(shown.status.get("clusters", ())),
    }


def _progress(paths: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Return the clean and the needed probes of the path that is furthest from PASS; the apex decides nothing."""
    found = [
        (int(path.get("clean", 0)), int(path.get("needed", 0)))
        for path in paths
        if path.get("side") != "apex"
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
    """Return a list of mappings; a status may have been written by any hand."""
    found = status.get(name)
    if not isinstance(found, (list, tuple)):
        return []
    return [entry for entry in found if isinstance(entry, Mapping)]
