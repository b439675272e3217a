"""The story of a Fleet: forty Services in four waves, with clients of some of them in both clusters.

The controller is killed once in each wave. No request may fail by any of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from deploy.local.observed import CLUSTERS
from deploy.local.stage import CALLER, END_S, SERVICE, Stage
from deploy.stand_ins.mesh import EKS, LEGACY

FLEET = "to-eks"
WAVES: Mapping[str, tuple[str, ...]] = {
    "first": (SERVICE, "first-1", "first-2"),
    "second": tuple(f"second-{n}" for n in range(3)),
    "third": tuple(f"third-{n}" for n in range(3)),
    "fourth": tuple(f"fourth-{n}" for n in range(31)),
}
EVERYBODY = tuple(name for names in WAVES.values() for name in names)
CALLED = tuple(name for names in WAVES.values() for name in names[:1])
"""Of these there are clients; the others are only moved."""

RATE_HZ = 5.0
DEFAULTS = {
    "slo-success": "99",
    "steps": "50",
    "probe-rate": "15",
    "dwell": "2s",
    "soak": "1s",
}
WAITING = {**DEFAULTS, "dwell": "90s"}
"""So that several stand at 50 % at a time; each keeps its slot."""

AT_A_TIME = 3
"""So many are under way; one process is the whole mesh, and each step of each takes 600 probes."""

OF_A_FLEET = (
    f"{len(EVERYBODY)} Services, {AT_A_TIME} at a time; steps 50, 15 probes/s, dwell 2 s, soak 1 s: short, it takes"
    " minutes"
)

STILL_S = 4.0
"""So long shares are seen to stand still: longer than a step takes."""

HALF, MOVED = 50.0, 100.0


def _spec(**more: Any) -> dict[str, Any]:
    """Return the Fleet's spec: the second wave opens by hand, the third moves together."""
    how: dict[str, dict[str, Any]] = {"second": {"opens": "byHand"}, "third": {"together": True}}
    waves = [
        {
            "name": wave,
            "services": [{"namespace": "default", "names": list(names)}],
            **how.get(wave, {}),
        }
        for wave, names in WAVES.items()
    ]
    line = {"reverts": 3, "within": "24h"}
    wanted = {"target": EKS, "defaults": DEFAULTS, "maxInProgress": AT_A_TIME}
    return {**wanted, "stopTheLine": line, "waves": waves, **more}


async def fleet(stage: Stage) -> None:
    """Four waves: one by hand, a window that closes, one that moves together, a stopped line, and all rolled back."""
    await _set_up(stage)
    await stage.pair.fleet(FLEET, _spec())
    await _first(stage)
    await _second(stage)
    await _third(stage)
    await _fourth(stage)
    await stage.measure({LEGACY: MOVED, EKS: MOVED})


async def _set_up(stage: Stage) -> None:
    """Everything on legacy, by splits that are older than the clients."""
    pair = stage.pair
    await asyncio.gather(*(pair.service(name, pods=1) for name in EVERYBODY))
    for name in EVERYBODY:
        await pair.split(LEGACY, name, local=100, mirror=0)
        await pair.split(EKS, name, local=0, mirror=100)
    known = {(cluster, name) for cluster in CLUSTERS for name in EVERYBODY}
    await stage.until(
        lambda: known <= pair.observed.splits.keys(), "the mesh does not see the splits", 20.0
    )
    for name in CALLED:
        await pair.callers(name, CALLER, RATE_HZ)
    await pair.product()


async def _first(stage: Stage) -> None:
    """It moves by itself, and nobody of the second does: that one waits for a person."""
    await _any_at(stage, "first", HALF)
    await _kill(stage)
    await _completed(stage, "first")
    await stage.pair.watch.rest(STILL_S)
    said = _wave(stage, "second").get("message", "")
    _expect(stage, "fleet open second" in said, f"the second wave says: {said}")
    _expect(stage, _all_at(stage, WAVES["second"], 0.0), "the second wave moved without a word")


async def _second(stage: Stage) -> None:
    """A window closes in mid-step: shares stand still, and a target that turns bad is left all the same."""
    pair, tell = stage.pair, stage.screen.tell
    tell("kubectl migrate fleet open second")
    await pair.ask_fleet(FLEET, open="second")
    await _any_at(stage, "second", HALF)
    tell("a window closes")
    closed = {
        "kind": "deny",
        "from": _now(),
        "until": "2100-01-01T00:00:00Z",
        "reason": "a release",
    }
    await pair.fleet(FLEET, _spec(windows=[closed]))
    await stage.until(lambda: bool(_told(stage, "window").get("closed")), "no window closed", END_S)
    bad = next(name for name in WAVES["second"] if _at(stage, name, HALF))
    await _still(stage, WAVES["second"], kill=True)
    await _turns_bad(stage, [bad])
    others = [name for name in EVERYBODY if name != bad]
    await _still(stage, others)
    tell("the window opens")
    await pair.fleet(FLEET, _spec(windows=[]))
    await _again(stage, [bad])
    await _completed(stage, "second")


async def _third(stage: Stage) -> None:
    """One of them turns bad: all of the wave that are shifted are rolled back with it."""
    await stage.pair.fleet(FLEET, _spec(defaults=WAITING))
    await stage.until(
        lambda: _all_at(stage, WAVES["third"], HALF), "the third wave is not at 50 %", END_S
    )
    first = WAVES["third"][0]
    await _turns_bad(stage, [first])
    await _kill(stage)
    await stage.until(
        lambda: _all_at(stage, WAVES["third"], 0.0), "they were not brought home together", END_S
    )
    await stage.pair.watch.rest(STILL_S)
    _expect(stage, _all_at(stage, WAVES["third"], 0.0), "somebody rose again by itself")
    await _resume(stage)
    await stage.pair.fleet(FLEET, _spec())
    await _again(stage, WAVES["third"])
    await _completed(stage, "third")


async def _fourth(stage: Stage) -> None:
    """Three reverts stop the line; resumed, it goes on; at last everybody who is shifted is rolled back."""
    pair, tell = stage.pair, stage.screen.tell
    await pair.fleet(FLEET, _spec(defaults=WAITING))
    names = WAVES["fourth"]
    await stage.until(lambda: len(_under_way(stage)) == AT_A_TIME, "too few at 50 %", END_S)
    await _turns_bad(stage, _under_way(stage))
    await stage.until(lambda: bool(_told(stage, "line").get("stopped")), "no line stopped", END_S)
    await pair.fleet(FLEET, _spec())
    await _still(stage, names, kill=True)
    await _resume(stage)
    await _any_at(stage, "fourth", MOVED)
    tell("kubectl migrate fleet rollback --all")
    await pair.ask_fleet(FLEET, rollback="all")
    await stage.until(
        lambda: all(_at(stage, name, 0.0) or _at(stage, name, MOVED) for name in EVERYBODY),
        "not all who were shifted were rolled back",
        END_S,
    )
    _expect(stage, not _under_way(stage), "somebody is shifted after the rollback")
    await _still(stage, EVERYBODY)


# --- what is done ---------------------------------------------------------------------------------------


async def _kill(stage: Stage) -> None:
    stage.screen.tell(f"SIGKILL to the controller, pid {stage.pair.controller.pid}")
    await stage.pair.controller.kill()
    stage.pair.controller.start()


async def _turns_bad(stage: Stage, names: Sequence[str]) -> None:
    """Let eks answer 500 for these until their callers are back, and well again from then on."""
    stage.screen.tell(f"eks answers 500 for {', '.join(names)}")
    for name in names:
        stage.pair.workloads[EKS, name].fail(1.0)
    await stage.until(lambda: _all_at(stage, names, 0.0), f"{names[0]} was not brought home", END_S)
    for name in names:
        stage.pair.workloads[EKS, name].fail(0.0)


async def _again(stage: Stage, names: Sequence[str]) -> None:
    """Ask for another attempt of these, and for nothing else: the rest is the Fleet's wish."""
    stage.screen.tell(f"kubectl annotate service {' '.join(names)} attempt=2")
    for name in names:
        await stage.pair.annotate(LEGACY, name, {"attempt": "2"})


async def _resume(stage: Stage) -> None:
    stage.screen.tell("kubectl migrate fleet resume")
    await stage.pair.ask_fleet(FLEET, resumed_at=_now())


async def _still(stage: Stage, names: Sequence[str], *, kill: bool = False) -> None:
    """See that nobody of these moves for a while; what was sent before lands first."""
    await stage.pair.watch.rest(1.0)
    before = {name: _shares(stage, name) for name in names}
    if kill:
        await _kill(stage)
    await stage.pair.watch.rest(STILL_S)
    moved = [name for name in names if _shares(stage, name) != before[name]]
    _expect(stage, not moved, f"{', '.join(moved)} moved while nobody was to")


# --- what is seen ---------------------------------------------------------------------------------------


async def _any_at(stage: Stage, wave: str, percent: float) -> None:
    await stage.until(
        lambda: any(_at(stage, name, percent) for name in WAVES[wave]),
        f"nobody of the {wave} wave reached {percent:g} %",
        END_S,
    )


async def _completed(stage: Stage, wave: str) -> None:
    await stage.until(
        lambda: _wave(stage, wave).get("state") == "Completed",
        f"the {wave} wave was not Completed",
        END_S,
    )
    _expect(stage, _all_at(stage, WAVES[wave], MOVED), f"the {wave} wave is not on eks")


def _told(stage: Stage, part: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = stage.pair.observed.fleets.get(FLEET, {}).get(part) or {}
    return found


def _wave(stage: Stage, name: str) -> Mapping[str, Any]:
    waves = stage.pair.observed.fleets.get(FLEET, {}).get("waves") or []
    return next((wave for wave in waves if wave["name"] == name), {})


def _shares(stage: Stage, name: str) -> list[float]:
    return [stage.pair.observed.share(cluster, name) for cluster in CLUSTERS]


def _at(stage: Stage, name: str, percent: float) -> bool:
    return all(abs(share - percent) < 0.05 for share in _shares(stage, name))


def _under_way(stage: Stage) -> list[str]:
    """Return who of the fourth wave stands at 50 % in both clusters."""
    return [name for name in WAVES["fourth"] if _at(stage, name, HALF)]


def _all_at(stage: Stage, names: Sequence[str], percent: float) -> bool:
    return all(_at(stage, name, percent) for name in names)


def _expect(stage: Stage, holds: bool, otherwise: str) -> None:
    if not holds:
        stage.result.broken.append(otherwise)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
