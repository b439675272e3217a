"""The steps of a migration: which are done, how long each lasts at the least, and when all may be over. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from controller.domain import SOAK_SHARE, WHOLE, MigrationSpec
from controller.evidence import Sprt, allowed_bad


class Stage(StrEnum):
    """Where a step stands."""

    DONE = "done"
    NOW = "now"
    NEXT = "next"
    LATER = "later"
    OPEN = ""


@dataclass(frozen=True, slots=True)
class ScheduledStep:
    """A share, the least time at it, and when it may be reached at the earliest (None: not foreseen)."""

    share_permille: int
    stage: Stage
    least_s: float
    earliest: datetime | None


def pass_s(spec: MigrationSpec) -> float:
    """Return the seconds that PASS takes from zero when every probe is good (docs/evidence.md, PASS)."""
    objectives = [spec.success_percent]
    if spec.latency is not None:
        objectives.append(spec.latency.percent)
    needed = max(Sprt(allowed_bad(percent)).needed for percent in objectives)
    return needed / spec.probe.rate_per_s


def schedule(
    spec: MigrationSpec, reached_permille: int | None, since: datetime | None, now: datetime | None
) -> tuple[ScheduledStep, ...]:
    """Return all steps from 0 to 100 %. ``reached_permille`` None: where it stands is not known.

    ``since`` is when the present step began (None: just now). ``now`` None foresees no time.
    """
    steps = () if spec.steps == "now" else spec.steps
    shares = (0, *steps, SOAK_SHARE, WHOLE)
    current = -1 if reached_permille is None else max(s for s in shares if s <= reached_permille)
    lasting = {share: _least_s(spec, share) for share in shares}
    ahead = [share for share in shares if share > current]
    foreseen = _times(lasting, current, ahead, since, now)
    times = {share: at for at, share in zip(foreseen, ahead, strict=False)}
    return tuple(
        ScheduledStep(share, _stage(share, current, ahead), lasting[share], times.get(share))
        for share in shares
    )


def _least_s(spec: MigrationSpec, share: int) -> float:
    """Return the least time at a step: each raise also needs PASS, earned at that step from zero."""
    if share == WHOLE:
        return 0.0
    step_pause_s = {0: 0.0, SOAK_SHARE: spec.soak_s}.get(share, spec.step_pause_s)
    return max(step_pause_s, pass_s(spec))


def _times(
    lasting: dict[int, float],
    current: int,
    ahead: list[int],
    since: datetime | None,
    now: datetime | None,
) -> Iterator[datetime]:
    """Return when each step ahead may begin, were nothing to hold it."""
    if now is None or current < 0:
        return
    begun = since or now
    share = current
    for following in ahead:
        begun = max(now, begun + timedelta(seconds=lasting[share]))
        yield begun
        share = following


def _stage(share: int, current: int, ahead: list[int]) -> Stage:
    if current < 0:
        return Stage.OPEN
    if share < current or current == WHOLE:
        return Stage.DONE
    if share == current:
        return Stage.NOW
    return Stage.NEXT if share == ahead[0] else Stage.LATER
