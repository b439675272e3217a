"""What ``plan`` says: the steps ahead, what comes next and what it waits for, or what to write first. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.cli import show
from controller.cli.arguments import PROG
from controller.cli.verbs import Found, no_migration
from controller.decide.schedule import ScheduledStep, schedule
from controller.domain import Key, MigrationSpec, Phase
from controller.domain.annotation_schema import shortened
from controller.domain.annotations import read
from controller.domain.status import MigrationStatus, rfc3339

RISING = ("", Phase.PENDING, Phase.PROGRESSING, Phase.HOLDING, Phase.SOAKING)
"""The phases of an attempt that may still rise; before the first word of the controller there is none."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A plan. ``status`` is None where nothing, or nothing of what is asked for now, is reported.

    ``problems`` are of the annotations; ``advice`` is what else a person should know first.
    """

    key: Key
    service: str
    target: str
    problems: tuple[str, ...]
    advice: str
    status: MigrationStatus | None
    steps: tuple[ScheduledStep, ...]

    @property
    def end(self) -> datetime | None:
        """When all calls may be at the target at the earliest."""
        return self.steps[-1].earliest if self.steps else None


def foresee(found: Found, now: datetime) -> Foreseen:
    """Return what is ahead of one Service."""
    status, spec, problems = found.reported, _spec(found), found.problems()
    return Foreseen(
        key=found.key,
        service=found.name,
        target=(spec.target if spec else None) or shortened(found.own("target") or ""),
        problems=problems,
        advice=_advice(found, status, spec),
        status=status,
        steps=() if spec is None or problems else _ahead(spec, status, now),
    )


def _ahead(
    spec: MigrationSpec, status: MigrationStatus | None, now: datetime
) -> tuple[ScheduledStep, ...]:
    """Return the steps; times are foreseen only where it may rise, and none was made towards another target."""
    if status is None or status.asks_otherwise:
        return schedule(spec, None, None, None)
    held = spec.paused or spec.abort or status.phase not in RISING
    return schedule(spec, status.step_permille, status.step_since, None if held else now)


def _spec(found: Found) -> MigrationSpec | None:
    """Return the spec of the annotations here, else the one in force by the record."""
    target = found.own("target")
    if target is not None:
        pair = found.clusters or (target, "")
        spec = read({pair[0]: found.annotations}, pair)
        return spec if isinstance(spec, MigrationSpec) else None
    attempt = found.record.attempt if found.record else None
    return attempt.spec if attempt else None


def _advice(found: Found, status: MigrationStatus | None, spec: MigrationSpec | None) -> str:
    name = found.typed
    if found.own("target") is None and spec is None:
        return (
            f"{found.name} is not annotated here, so nothing moves: start it with {PROG} start {name}"
            " --to CLUSTER"
        )
    if found.migration is None:
        return no_migration(found)
    if status is None:
        told = found.migration.status.observed
        return (
            "the controller has not taken the annotations up yet: it still tells of attempt"
            f" {told.attempt} to {told.target or 'no target'}"
        )
    if status.phase == Phase.REVERTED:
        return f"this attempt is over: begin another with {PROG} retry {name}"
    return _advice_on(spec, name) if spec else ""


def _advice_on(spec: MigrationSpec, name: str) -> str:
    if spec.abort:
        return f"abort is true: nothing rises before {PROG} start or {PROG} retry"
    if spec.paused:
        return f"it is paused: go on with {PROG} resume {name}"
    return ""


def page(plan: Foreseen, now: datetime) -> str:
    """Return the plan as text."""
    parts = (_headline(plan), _problems(plan), plan.advice, _steps(plan), _facts(plan, now))
    return "\n\n".join(part for part in parts if part)


def _headline(plan: Foreseen) -> str:
    status = plan.status
    if status is None:
        return f"{plan.service}: {f'to {plan.target}' if plan.target else 'no target'}"
    share = f" at {status.share} % ({'/'.join(status.clusters)})" if status.share else ""
    return (
        f"{plan.service}: attempt {status.observed.attempt} to {status.observed.target or '-'},"
        f" {status.phase or '-'}{share}"
    )


def _problems(plan: Foreseen) -> str:
    if not plan.problems:
        return ""
    wrong = "\n".join(f"  {problem}" for problem in plan.problems)
    return f"Nothing rises before the annotations are corrected:\n{wrong}"


def _steps(plan: Foreseen) -> str:
    if not plan.steps:
        return ""
    rows = [
        (
            show.percent(step.share_permille),
            step.stage.value,
            show.span(step.least_s) if step.least_s else "",
            rfc3339(step.earliest) if step.earliest else "",
        )
        for step in plan.steps
    ]
    return show.table(("SHARE", "STAGE", "AT LEAST", "EARLIEST"), rows)


def _facts(plan: Foreseen, now: datetime) -> str:
    status = plan.status
    facts = []
    if status and status.asks_otherwise:
        facts.append(("Asked for", plan.target))
    if status and status.next:
        facts.append(("Next", status.next))
    if status:
        facts += show.said(status)
    if plan.end:
        ahead = show.span((plan.end - now).total_seconds())
        facts.append(("Earliest end", f"{rfc3339(plan.end)}, in {ahead}, if nothing holds it"))
    return show.pairs(facts)


def document(plan: Foreseen) -> dict[str, Any]:
    """Return the plan as JSON has it: shares in percent, times in RFC 3339, stretches in seconds."""
    status = plan.status
    return {
        "namespace": plan.key.namespace,
        "service": plan.key.service,
        "target": status.observed.target if status else plan.target,
        "asked": plan.target,
        "attempt": status.observed.attempt if status else None,
        "phase": status.phase if status else "",
        "share": status.share if status else "",
        "next": status.next if status else "",
        "waitingFor": status.waiting_for if status else "",
        "problems": list(plan.problems),
        "advice": plan.advice,
        "steps": [
            {
                "percent": step.share_permille / 10,
                "stage": step.stage.value,
                "leastSeconds": step.least_s,
                "earliest": rfc3339(step.earliest) if step.earliest else None,
            }
            for step in plan.steps
        ],
        "earliestEnd": rfc3339(plan.end) if plan.end else None,
    }
