"""A migration's row on the page, and its details: plain data, ready for JSON. Pure.

Every text may come from a user: it is data here and text on the page, never markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from controller.domain import Key, Phase, Side
from controller.domain.status import AskedBy, MigrationStatus, PathStatus, TrafficStatus, rfc3339


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known of one migration: its status, and when its next share may be written at the earliest (None: no
    such time, or another replica knows it)."""

    status: MigrationStatus
    due: datetime | None = None


def row(key: Key, shown: Shown) -> dict[str, Any]:
    """Return the row: shares in percent by cluster (None: not known), times in RFC 3339, "" what is not there."""
    status = shown.status
    asked = AskedBy() if status.asked is UNSET else status.asked
    clean, needed = _progress(status.paths)
    return {
        "namespace": key.namespace,
        "name": key.service,
        "fleet": status.fleet or "",
        "wave": status.wave or "",
        "target": status.observed.target,
        "attempt": status.observed.attempt,
        "phase": status.phase,
        "shares": {name: _number(share) for name, share in status.shares.items()},
        "measured": {one.callers: _measured(one) for one in status.traffic},
        "asks": status.asked_target if status.asks_otherwise else "",
        "verdict": status.verdict,
        "reason": status.reason,
        "message": status.message,
        "alert": status.alert,
        "person": status.held or status.phase == Phase.REVERTED,
        "next": status.next,
        "due": shown.due.isoformat() if shown.due else "",
        "waitingFor": status.waiting_for,
        "clean": clean,
        "needed": needed,
        "by": asked.by,
        "asked": _time(asked.at),
        "since": _time(status.history[-1].at) if status.history else "",
        "warnings": len(status.warnings),
    }


def details(key: Key, shown: Shown) -> dict[str, Any]:
    """Return all that is known of one migration: its row, every path, the warnings, the last transitions."""
    return {
        **row(key, shown),
        "wish": shown.status.wish or "",
        "ways": shown.status.paths,
        "warned": shown.status.warnings,
        "history": shown.status.history,
        "clusters": shown.status.clusters,
    }


def fleet_row(name: str, status: Any) -> dict[str, Any]:
    """Return a Fleet as the page has it: its status, as it is written, and its name."""
    return {**msgspec.to_builtins(status), "name": name}


def _progress(paths: Sequence[PathStatus]) -> tuple[int, int]:
    """Return the clean and the needed probes of the path that is furthest from PASS; the apex decides nothing."""
    found = [(path.clean, path.needed) for path in paths if path.side != Side.APEX]
    return min(found, key=lambda pair: pair[0] / max(pair[1], 1), default=(0, 0))


def _measured(traffic: TrafficStatus) -> dict[str, Any]:
    """Return what the target really served of one cluster's calls, beside what its split says."""
    share = traffic.share_percent
    return {
        "percent": None if share is UNSET else share,
        "requests": traffic.measured_requests,
        "strays": traffic.strays,
    }


def _number(share: str) -> float | None:
    """Read a share as a status has it; ``?`` is not known."""
    try:
        return float(share)
    except ValueError:
        return None


def _time(when: datetime | UnsetType) -> str:
    return "" if when is UNSET else rfc3339(when)
