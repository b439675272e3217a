"""What comes from outside: the evidence of the four paths, and what the owner's annotations ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from controller.domain import (
    CallPath,
    Malformed,
    MigrationSpec,
    PathEvidence,
    Problem,
    Reason,
    Side,
    Verdict,
)

GOOD = PathEvidence(
    Verdict.PASS, Reason.MET, threshold=10.0, clean=100, needed=100, silent_s=0.0, heard_s=0.0,
    bad_share_3s=0.0,
)  # fmt: skip
BAD = PathEvidence(
    Verdict.FAIL, Reason.SUCCESS_MISSED, points=20.0, threshold=10.0, needed=100, silent_s=0.0, heard_s=0.0,
    bad_share_3s=1.0,
)  # fmt: skip
SILENT = PathEvidence(Verdict.UNKNOWN, Reason.NO_STREAM, threshold=10.0, needed=100)
LOOPING = PathEvidence(
    Verdict.FAIL,
    Reason.GATEWAY_LOOP,
    threshold=10.0,
    needed=100,
    silent_s=0.0,
    heard_s=0.0,
    loop_s=0.0,
)
TO_TARGET, HOME = Side.TARGET, Side.ORIGIN


@dataclass(frozen=True)
class Weather:
    """The evidence now; every other way is good. ``sticks``: above the baseline it is a FAIL that stays one.

    ``passes``: it lets a share rise. ``leaves``: whoever is shifted must be rolled back. ``keeps``: somebody
    has no better home to go to.
    """

    name: str
    paths: Mapping[tuple[str, Side], PathEvidence]
    target_ready: int = 3
    passes: bool = False
    leaves: bool = False
    keeps: bool = False
    sticks: bool = False

    def evidence(self) -> dict[CallPath, PathEvidence]:
        """Return what a controller hears."""
        return {
            CallPath(callers, side): self.paths.get((callers, side), GOOD)
            for callers in ("legacy", "eks")
            for side in (TO_TARGET, HOME)
        }


def _all(found: PathEvidence) -> dict[tuple[str, Side], PathEvidence]:
    return {(callers, side): found for callers in ("legacy", "eks") for side in (TO_TARGET, HOME)}


WEATHERS = (
    Weather("every way is good", {}, passes=True),
    Weather("nothing is heard of any way", _all(SILENT)),
    Weather(
        "the target is bad for everybody",
        {("legacy", TO_TARGET): BAD, ("eks", TO_TARGET): BAD},
        leaves=True, sticks=True,
    ),
    Weather("both ways are bad for everybody", _all(BAD), keeps=True, sticks=True),
    Weather(
        "the target is bad for callers in legacy, the others hear nothing",
        {**_all(SILENT), ("legacy", TO_TARGET): BAD, ("legacy", HOME): GOOD},
        sticks=True,
    ),
    Weather("a request bounced", {("legacy", TO_TARGET): LOOPING}, leaves=True, sticks=True),
    Weather("no pod of the target is ready", {}, target_ready=0, leaves=True),
)  # fmt: skip
"""By place; the first is the one that lets a migration through."""


@dataclass(frozen=True)
class Asked:
    """What the annotations say. ``rises``: they do not stand in the path of a rise."""

    name: str
    spec: MigrationSpec | Malformed | None
    rises: bool = True

    def goes_home(self, target: str) -> bool:
        """Return whether they bring callers back from this target."""
        asks = isinstance(self.spec, (MigrationSpec, Malformed))
        spec = self.spec
        return asks and spec is not None and (spec.abort or spec.target not in (target, None))


def _spec(**differs: object) -> MigrationSpec:
    spec = {
        "target": "eks",
        "steps": (500,),
        "step_pause_s": 0.0,
        "soak_s": 0.0,
        "success_percent": Decimal(99),
        **differs,
    }
    return MigrationSpec(**spec)  # type: ignore[arg-type]  # the fields of a MigrationSpec, by name


WISHES = (
    Asked("target=eks", _spec()),
    Asked("target=eks paused=true", _spec(paused=True), rises=False),
    Asked("target=eks abort=true", _spec(abort=True), rises=False),
    Asked("target=eks attempt=2", _spec(attempt=2)),
    Asked("target=legacy", _spec(target="legacy")),
    Asked(
        "target=eks steps=oops",
        Malformed((Problem("steps", "legacy", "write steps"),), target="eks"),
        rises=False,
    ),
    Asked("nothing", None, rises=False),
)
"""By place; the first is what everybody begins with."""
