"""Which notice, if any, a status that was just written makes: pure, and of nothing but the status.

Whoever wrote the status tells: its version lets one replica alone write it, so of two that may both roll back one
tells, and what was told before a restart stands in the history.
"""

from __future__ import annotations

from datetime import datetime

from controller.domain import Key, Phase
from controller.domain.notices import Notice, NoticeKind
from controller.domain.status import MigrationStatus, Transition
from controller.report.status import Event

ENDS = frozenset({Phase.REVERTING, Phase.REVERTED, Phase.COMPLETED})
UNDER_WAY = frozenset({Phase.PROGRESSING, Phase.HOLDING, Phase.SOAKING})


def of_migration(key: Key, status: MigrationStatus) -> Notice | None:
    """Return the notice of the last transition in this status; None where it is one that nobody is told of."""
    kind = _kind(status)
    if kind is None:
        return None
    last = status.history[-1]
    facts = {
        "target": status.observed.target,
        "attempt": str(status.observed.attempt),
        "phase": status.phase,
        "share": f"{status.share} % ({'/'.join(status.clusters)})",
        "reason": status.reason,
        "next": status.next,
        "fleet": status.fleet or "",
        "wave": status.wave or "",
    }
    told = {name: value for name, value in facts.items() if value}
    return Notice(kind, last.at, key.namespace, key.service, last.message, told)


def of_fleet(name: str, event: Event, now: datetime) -> Notice:
    """Return the notice of what came to be otherwise of a Fleet."""
    return Notice(NoticeKind(event.reason), now, "", name, event.message)


def _kind(status: MigrationStatus) -> NoticeKind | None:
    if not status.history:
        return None
    last = status.history[-1]
    before = status.history[-2] if len(status.history) > 1 else Transition(at=last.at)
    if status.phase in ENDS:
        return NoticeKind(status.phase) if before.phase != status.phase else None
    if status.held:
        return NoticeKind.HELD
    if status.phase in UNDER_WAY and before.phase not in UNDER_WAY:
        return NoticeKind.STARTED
    return NoticeKind.STEP_RAISED if _rose(before.share, last.share) else None


def _rose(before: str, after: str) -> bool:
    """Return whether the share that both clusters have reached is known to be higher than before."""
    was, now = _lowest(before), _lowest(after)
    return was is not None and now is not None and now > was


def _lowest(share: str) -> float | None:
    """Return the lower of two shares such as ``10/25?``, in percent; None where one is not known."""
    try:
        return min(float(one.rstrip("?")) for one in share.split("/"))
    except ValueError:
        return None
