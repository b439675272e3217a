"""The figures of one migration, as its metrics tell them. Pure: a decision comes in, plain values go out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controller.ladder import Stage, ladder
from controller.model import Observed, Phase, Plan, Reverted, Wish
from controller.standing import Standing, stand

RISING = frozenset({Phase.PENDING, Phase.PROGRESSING, Phase.HOLDING, Phase.SOAKING})
"""The phases of a migration that could go on."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What stands of one migration now.

    ``reason`` is the refusal's, "" without one; ``blocked``: it does not end by itself in the ordinary
    course. ``warnings`` are reasons too. ``pinned`` is by cluster, of
    those that are known. ``objective`` is the share of good probes that the owner asks for, None without a
    wish. ``started`` is when the attempt began, ``since`` when its present share was written, ``due`` when
    the next share may be written at the earliest (in the past where something holds it) and ``ends`` when
    all may be over were nothing to hold it from now on; None where there is no such time.
    """

    origin: str
    target: str
    phase: Phase
    reason: str
    blocked: bool
    needs_person: bool
    warnings: frozenset[str]
    pinned: Mapping[str, bool]
    objective: float | None
    started: datetime | None
    since: datetime | None
    due: datetime | None
    ends: datetime | None
    reverted: Reverted | None


def figures(seen: Observed, decided: Plan, now: datetime) -> Figures:
    """Give the figures of one decision; ``now`` is the time that it was made for."""
    st = stand(seen)
    refusal = decided.refusal
    due, ends = _foreseen(st, now)
    return Figures(
        origin=st.origin,
        target=st.target,
        phase=decided.phase,
        reason=refusal.reason if refusal else "",
        blocked=bool(refusal and not refusal.waits and decided.phase in RISING),
        needs_person=bool(refusal and refusal.alert),
        warnings=frozenset(reason for reason, _ in decided.warnings),
        pinned={
            name: cluster.pin is not None and not cluster.pin.foreign
            for name, cluster in seen.clusters.items()
            if cluster.current and st.records
        },
        objective=float(st.wish.success_percent / 100) if st.wish else None,
        started=st.attempt.started if st.attempt else None,
        since=st.since,
        due=due,
        ends=ends,
        reverted=st.reverted,
    )


def _foreseen(st: Standing, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Say when the next step is due and when all may be over; a paused or aborted one foresees nothing."""
    wish = st.wish
    if wish is None or st.attempt is None or not st.unfinished or _stays(wish):
        return None, None
    since = st.since or st.attempt.started
    unhindered = ladder(wish, st.step, since, since)
    due = next((rung.earliest for rung in unhindered if rung.stage is Stage.NEXT), None)
    return due, ladder(wish, st.step, since, now)[-1].earliest


def _stays(wish: Wish) -> bool:
    return wish.paused or wish.abort
