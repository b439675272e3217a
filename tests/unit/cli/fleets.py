"""Fleets for the command line's tests, with the status that the controller writes."""

from __future__ import annotations

from typing import Any

from controller.domain import PREFIX

WAVES = ("internal-tools", "catalog", "checkout", "payments")
BY_HAND = ("checkout", "payments")


def fleet(name: str = "to-eks", *, status: dict[str, Any] | None = None, **asked: str) -> Any:
    """A Fleet of four waves, of which the last two open by hand; ``asked`` are its annotations."""
    waves = [
        {"name": wave, "services": [{"namespace": wave}]}
        | ({"opens": "byHand"} if wave in BY_HAND else {})
        for wave in WAVES
    ]
    notes = {PREFIX + key.rstrip("_").replace("_", "-"): value for key, value in asked.items()}
    return {
        "apiVersion": "migrate.tradeshift/v1alpha1",
        "kind": "Fleet",
        "metadata": {"name": name, "annotations": notes},
        "spec": {"target": "eks", "waves": waves},
        "status": under_way() if status is None else status,
    }


def wave(name: str, number: int, state: str, total: int, **more: Any) -> dict[str, Any]:
    """A wave of a status."""
    opens = "byHand" if name in BY_HAND else "automatically"
    counts = {"completed": 0, "underWay": 0, "reverted": 0, "blocked": 0, "waiting": 0}
    told = {"name": name, "number": number, "state": state, "opens": opens, "together": False}
    return {**told, "total": total, **counts, "excluded": 0, "message": "", **more}


def under_way(**changed: Any) -> dict[str, Any]:
    """The status of a Fleet whose second wave is open, and whose third waits for it and for a person."""
    return {
        "observedGeneration": 1,
        "state": "Open",
        "origin": "legacy",
        "wave": "2/4 catalog",
        "moved": "61/109",
        "counts": {
            "total": 109,
            "completed": 61,
            "underWay": 12,
            "reverted": 1,
            "blocked": 3,
            "waiting": 32,
            "excluded": 2,
            "unfit": 1,
        },
        "needsPerson": [
            {
                "service": "catalog/price",
                "reason": "TargetBad",
                "message": "attempt 1 was reverted: 9 of 40 probes of callers in legacy to eks failed",
            }
        ],
        "waves": [
            wave(
                "internal-tools",
                1,
                "Completed",
                48,
                completed=48,
                completedAt="2026-01-01T10:00:00Z",
                message="Completed",
            ),
            wave(
                "catalog",
                2,
                "Open",
                31,
                completed=13,
                underWay=12,
                reverted=1,
                blocked=3,
                waiting=2,
                excluded=2,
                message="Open: 12 under way, 1 reverted, 3 blocked, 2 waiting",
            ),
            wave(
                "checkout",
                3,
                "Waiting",
                24,
                waiting=24,
                message="Waits for catalog (18 left: catalog/a, catalog/b, catalog/c, ...), then for"
                " a person: kubectl migrate fleet open checkout",
            ),
            wave(
                "payments",
                4,
                "Waiting",
                6,
                waiting=6,
                message="Waits for catalog, then for a person: kubectl migrate fleet open payments",
            ),
        ],
        "window": {
            "closed": False,
            "nextCloses": "2026-01-02T15:00:00Z",
            "nextReason": "weekend",
        },
        "line": {
            "stopped": False,
            "reverts": 1,
            "limit": 3,
            "within": "24h",
            "services": ["catalog/price"],
        },
        "opensNext": {
            "wave": "checkout",
            "how": "byHand",
            "message": "wave checkout waits for catalog",
        },
        "problems": [],
        "excluded": ["catalog/old", "catalog/older"],
        "unfit": [{"service": "tools/pods", "reason": "headless"}],
        "unplaced": {"count": 70, "services": [f"misc/s{n}" for n in range(50)]},
        **changed,
    }
