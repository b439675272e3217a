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


WAVES = ("internal-tools", "catalog", "checkout", "search", "accounts", "billing", "the-rest")
SIZES = (48, 31, 24, 80, 60, 66, 100)


def wave(number: int, name: str, state: str, **counts: Any) -> dict[str, Any]:
    """One wave of a Fleet's status."""
    known = {
        "name": name,
        "number": number,
        "state": state,
        "opens": "automatically",
        "together": False,
        "total": 0,
        "completed": 0,
        "underWay": 0,
        "reverted": 0,
        "blocked": 0,
        "waiting": 0,
        "excluded": 0,
        "message": "",
    }
    return {**known, **counts}


def fleet_status(**changes: Any) -> dict[str, Any]:
    """The status of a Fleet of seven waves: the first is over, the second open, and a window closed."""
    later = [
        wave(
            number,
            name,
            "Waiting",
            total=size,
            waiting=size,
            message=f"Waits for {WAVES[number - 2]}",
        )
        for number, (name, size) in enumerate(zip(WAVES, SIZES, strict=True), start=1)
        if number > 3
    ]
    known = {
        "observedGeneration": 3,
        "state": "Closed",
        "origin": "legacy",
        "wave": "2/7 catalog",
        "moved": "61/409",
        "counts": {
            "total": 409,
            "completed": 61,
            "underWay": 12,
            "reverted": 1,
            "blocked": 3,
            "waiting": 332,
            "excluded": 3,
            "unfit": 2,
        },
        "needsPerson": [
            {
                "service": "default/service-0",
                "reason": "TargetBad",
                "message": "attempt 1 was reverted: 15.7 % of the probes of callers in legacy to eks failed",
            },
            *(
                {
                    "service": f"billing/service-{number}",
                    "reason": "NotExported",
                    "message": f"service-{number} is not exported in eks: label it mirror.linkerd.io/exported",
                }
                for number in (1, 5, 9)
            ),
        ],
        "waves": [
            wave(
                1,
                WAVES[0],
                "Completed",
                total=48,
                completed=48,
                completedAt="2039-11-20T09:00:00Z",
                message="Completed",
            ),
            wave(
                2,
                WAVES[1],
                "Open",
                total=31,
                completed=13,
                underWay=12,
                reverted=1,
                blocked=3,
                waiting=2,
                openedAt="2039-11-21T09:00:00Z",
                message="Open: 12 under way, 1 reverted, 3 blocked, 2 waiting",
            ),
            wave(
                3,
                WAVES[2],
                "Waiting",
                total=24,
                waiting=24,
                excluded=3,
                opens="byHand",
                together=True,
                message="Waits for catalog (18 left: catalog/a, catalog/b, catalog/c and 15 more), then for a"
                " person: kubectl migrate fleet open checkout",
            ),
            *later,
        ],
        "window": {"closed": True, "until": "2039-11-28T07:00:00Z", "reason": "weekend"},
        "line": {"stopped": False, "reverts": 1, "limit": 3, "within": "24h", "services": []},
        "opensNext": {
            "wave": "checkout",
            "how": "byHand",
            "message": "a person opens it after catalog: kubectl migrate fleet open checkout",
        },
        "problems": [],
        "excluded": ["checkout/legacy-only", "checkout/vault", "checkout/till"],
        "unfit": [
            {"service": "billing/ledger", "reason": "headless"},
            {"service": "shop/old", "reason": "ExternalName"},
        ],
        "unplaced": {"count": 2, "services": ["shop/new", "shop/newer"]},
        "conditions": [],
    }
    return {**known, **changes}


def programme(count: int = 409) -> Feed:
    """So many migrations of one Fleet, in the order of its waves."""
    feed = fleet(0)
    feed.put_fleet("to-eks", fleet_status)
    placed = [name for name, size in zip(WAVES, SIZES, strict=True) for _ in range(size)]
    for number in range(count):
        phase = PHASES[number % len(PHASES)]
        told = status(phase, reason=f"Reason{number}", fleet="to-eks", wave=placed[number])
        feed.put(key(number), shows(told))
    return feed
