"""Made-up migrations for the board's own tests: statuses of the shape that controller.report.status makes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from controller.domain import Key
from controller.domain.status import readable
from controller.report.ui import Feed, Shown

ASKED = {"by": "kubectl-annotate", "at": "2026-01-01T08:00:00Z"}
NAMESPACES = ("default", "billing", "search", "shop")
PHASES = ("Progressing", "Holding", "Soaking", "Completed", "Pending", "Reverted")


def status(phase: str = "Progressing", share: str = "10", **changes: Any) -> dict[str, Any]:
    """One status; everything in it can be another."""
    ways = [
        {
            "callers": callers,
            "side": side,
            "verdict": "PASS",
            "reason": "Met",
            "points": 0.0,
            "threshold": 20.2,
            "clean": 100 if side != "apex" else 0,
            "needed": 100,
            "usualAnswer": "200",
            "badPercent3s": 0.0,
        }
        for callers in ("legacy", "eks")
        for side in ("apex", "home", "target")
    ]
    known = {
        "observed": {"target": "eks", "attempt": 1},
        "clusters": ["legacy", "eks"],
        "phase": phase,
        "shares": {"legacy": share, "eks": share},
        "verdict": "PASS",
        "reason": "Dwelling",
        "message": f"the dwell at {share} % ends in 42 s",
        "next": "raise to 25 %",
        "ways": ways,
        "warnings": [],
        "history": [
            {
                "at": "2026-01-01T08:00:05Z",
                "phase": phase,
                "share": f"{share}/{share}",
                "reason": "Raising",
                "message": f"share {share}/{share} % (legacy/eks)",
            }
        ],
        "asked": ASKED,
    }
    return {**known, **changes}


def shows(told: Mapping[str, Any], due: datetime | None = None) -> Any:
    """A source that always says this."""
    return lambda: shown(told, due)


def shown(told: Mapping[str, Any], due: datetime | None = None) -> Shown:
    """What is shown where a Migration has this status."""
    return Shown(readable(told), due)


def fleet(count: int) -> Feed:
    """So many migrations, over four namespaces and six phases."""
    feed = Feed()
    feed.leads = True
    due = datetime(2040, 1, 1, tzinfo=UTC)
    for number in range(count):
        phase = PHASES[number % len(PHASES)]
        feed.put(key(number), shows(status(phase, reason=f"Reason{number}"), due))
    return feed


def key(number: int) -> Key:
    """The Service of this number."""
    return Key(NAMESPACES[number % len(NAMESPACES)], f"service-{number}")
