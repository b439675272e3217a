"""The journey of one Service: there, back, and a revert; as legs that each have a goal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.oracle import CLUSTERS, PIN, SERVICE
from tests.faults.splits import PLURALS, backends_of
from tests.faults.world import STEPS, World

POLL_S = 0.05
REST_S = 1.5
"""A goal must still stand this much later."""

End = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Leg:
    """One part of the journey: what begins it, what happens on the path, and how it ends."""

    name: str
    target: str
    phase: str
    share: str
    turns_bad_at: int | None = None
    """The share of any cluster's callers, per mille, from which on the target answers badly."""


LEGS = (
    Leg("move", "eks", "Completed", "100/100"),
    Leg("return", "legacy", "Completed", "100/100"),
    Leg("revert", "eks", "Reverted", "0/0", turns_bad_at=500),
)


async def travel(world: World, leg: Leg) -> bool:
    """Go one leg; tell whether its goal was reached and still stands. Runs until then, or for ever."""
    world.oracle.begin(leg.target)
    world.tell(f"--- {leg.name}")
    specs = STEPS if leg is LEGS[0] else {}
    world.ask(leg.target, specs)
    while True:
        while not reached(world, leg):
            if leg.turns_bad_at is not None:
                _turn(world, leg, leg.turns_bad_at)
            await asyncio.sleep(POLL_S)
        await asyncio.sleep(REST_S)
        if reached(world, leg):
            return True


def _turn(world: World, leg: Leg, at: int) -> None:
    shares = [
        1000 - away if name == leg.target else away for name, away in world.oracle.away.items()
    ]
    if max(shares) >= at and not world.bad[leg.target]:
        world.tell(f"every second answer of {leg.target} is 500")
        world.bad[leg.target] = 0.5


def reached(world: World, leg: Leg) -> bool:
    """Return whether the leg's goal stands, by the Migration and by both splits."""
    status = world.migration()
    baseline = leg.phase == "Reverted"
    stands = all(
        (away == 0) == ((name == leg.target) != baseline)
        for name, away in world.oracle.away.items()
    )
    return (
        stands
        and status.get("phase") == leg.phase
        and status.get("share") == leg.share
        and status.get("observed", {}).get("target") == leg.target
    )


def end_state(world: World) -> End:
    """Return what stands, without what differs between two good runs: times, fencing token, versions."""
    found: dict[str, Any] = {}
    for name in CLUSTERS:
        store = world.apis[name].store
        splits = [
            split
            for plural in PLURALS
            if plural in store.resources
            for split in store.objects(plural)
        ]
        body = next((s.body for s in splits if s.body["metadata"]["name"] == SERVICE), {})
        annotations = body.get("metadata", {}).get("annotations", {})
        record = json.loads(annotations.get("migrate.tradeshift/record", "{}"))
        pin = store.get("serviceprofiles", "linkerd-multicluster", PIN)
        found[name] = {
            "backends": backends_of(body),
            "record": _timeless(record),
            "pinned": pin is not None,
            "latched": any("latch" in key for key in _annotations(pin)),
            "splits": len(splits),
            "pins": len(store.objects("serviceprofiles")),
        }
    status = world.migration()
    found["conditions"] = {c["type"]: c["status"] for c in status.get("conditions", ())}
    fleet = world.fleet_status()
    found["fleet"] = [fleet.get(key) for key in ("state", "wave", "moved", "counts")]
    found["status"] = [status.get(key) for key in ("phase", "share", "observed", "reason")]
    return found


def _annotations(stored: Any) -> Mapping[str, str]:
    return (stored.body["metadata"].get("annotations") or {}) if stored else {}


TIMES = {
    "wishOf",
    "epoch",
    "lease",
    "since",
    "made",
    "started",
    "completed",
    "at",
    "message",
    "attemptStarted",
}


def _timeless(value: Any, drop: Callable[[str], bool] = TIMES.__contains__) -> Any:
    if isinstance(value, dict):
        return {
            k: (k in ("completed", "reverted")) if drop(k) else _timeless(v)
            for k, v in value.items()
            if k != "made"  # a split that a person wrote anew was not made by a controller
        }
    return value
