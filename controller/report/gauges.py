"""What the metrics show of one migration. Pure: a decision comes in, plain values go out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controller.decide.decision import Decision
from controller.decide.resolve import MigrationState
from controller.decide.schedule import Stage, schedule
from controller.domain import MigrationSpec, Phase, Reverted

RISING = frozenset({Phase.PENDING, Phase.PROGRESSING, Phase.HOLDING, Phase.SOAKING})
"""The phases of a migration that could go on."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """What stands of one migration now.

    ``shares`` and ``pinned`` are by cluster, of those that are known. ``reason`` is the ruling's, "" without
    one; ``blocked``: it does not end by itself in the ordinary course. ``warnings`` are reasons too.
    ``objective`` is the share of good probes that the owner asks for, None without a spec. ``started`` is when
    the attempt began, ``since`` when its present share was written, ``due`` when the next share may be written
    at the earliest (in the past where something holds it) and ``ends`` when all may be over were nothing to
    hold it from now on; None where there is no such time.
    """

    shares: Mapping[str, int]
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


def gauges(decision: Decision) -> Gauges:
    """Return the gauges of one decision."""
    state, decided = decision.state, decision.plan
    due, ends = _foreseen(state, decision.now)
    return Gauges(
        shares={name: share for name, share in decided.shares.items() if share is not None},
        origin=state.origin,
        target=state.target,
        phase=decided.phase,
        reason=decision.reason,
        blocked=decision.held_up and decided.phase in RISING,
        needs_person=bool(decided.ruling and decided.ruling.alert),
        warnings=frozenset(reason for reason, _ in decided.warnings),
        pinned=_pinned(decision),
        objective=float(state.spec.success_percent / 100) if state.spec else None,
        started=state.attempt.started if state.attempt else None,
        since=state.since,
        due=due,
        ends=ends,
        reverted=state.reverted,
    )


def _pinned(decision: Decision) -> Mapping[str, bool]:
    """Return whether each cluster's gateway is pinned, where that is known and there is a migration at all."""
    if not decision.state.records:
        return {}
    return {
        name: cluster.pin is not None and not cluster.pin.foreign
        for name, cluster in decision.observed.clusters.items()
        if cluster.current
    }


def _foreseen(state: MigrationState, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return when the next step is due and when all may be over; a paused or aborted one foresees nothing."""
    spec = state.spec
    if spec is None or state.attempt is None or not state.unfinished or _stays(spec):
        return None, None
    since = state.since or state.attempt.started
    unhindered = schedule(spec, state.step, since, since)
    due = next((step.earliest for step in unhindered if step.stage is Stage.NEXT), None)
    return due, schedule(spec, state.step, since, now)[-1].earliest


def _stays(spec: MigrationSpec) -> bool:
    return spec.paused or spec.abort
