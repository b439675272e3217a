"""The figures of one migration, as its metrics tell them. Pure: a decision comes in, plain values go out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controller.decide.resolve import MigrationState, resolve
from controller.decide.schedule import Stage, schedule
from controller.domain import MigrationSpec, Observed, Phase, Plan, Reverted

RISING = frozenset({Phase.PENDING, Phase.PROGRESSING, Phase.HOLDING, Phase.SOAKING})
"""The phases of a migration that could go on."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What stands of one migration now.

    ``reason`` is the ruling's, "" without one; ``blocked``: it does not end by itself in the ordinary
    course. ``warnings`` are reasons too. ``pinned`` is by cluster, of
    those that are known. ``objective`` is the share of good probes that the owner asks for, None without a
    spec. ``started`` is when the attempt began, ``since`` when its present share was written, ``due`` when
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


def figures(observed: Observed, decided: Plan, now: datetime) -> Figures:
    """Return the figures of one decision; ``now`` is the time that it was made for."""
    state = resolve(observed)
    ruling = decided.ruling
    due, ends = _foreseen(state, now)
    return Figures(
        origin=state.origin,
        target=state.target,
        phase=decided.phase,
        reason=ruling.reason if ruling else "",
        blocked=bool(ruling and not ruling.waits and decided.phase in RISING),
        needs_person=bool(ruling and ruling.alert),
        warnings=frozenset(reason for reason, _ in decided.warnings),
        pinned={
            name: cluster.pin is not None and not cluster.pin.foreign
            for name, cluster in observed.clusters.items()
            if cluster.current and state.records
        },
        objective=float(state.spec.success_percent / 100) if state.spec else None,
        started=state.attempt.started if state.attempt else None,
        since=state.since,
        due=due,
        ends=ends,
        reverted=state.reverted,
    )


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
