"""What is told to other people's programs, as chat rooms and webhooks: each kind once, and one notice of it.

Kinds are read from receivers' settings and by their programs: one may be added, and none is ever renamed. The table
in docs/notifications.md is generated from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType


class Tone(StrEnum):
    """How a notice is to be taken at a glance."""

    GOOD = "good"
    INFO = "info"
    WARNING = "warning"


class NoticeKind(StrEnum):
    """What happened: to a migration, or, by the reason of its Event, to a Fleet."""

    STARTED = "Started"
    STEP_RAISED = "StepRaised"
    HELD = "Held"
    REVERTING = "Reverting"
    REVERTED = "Reverted"
    COMPLETED = "Completed"
    WAVE_OPENED = "WaveOpened"
    WAVE_COMPLETED = "WaveCompleted"
    LINE_STOPPED = "LineStopped"
    LINE_RESUMED = "LineResumed"
    WINDOW_CLOSED = "WindowClosed"
    WINDOW_OPENED = "WindowOpened"
    FLEET_PROBLEM = "FleetProblem"
    FLEET_ROLLBACK = "FleetRollback"
    FLEET_RETURN = "FleetReturn"


@dataclass(frozen=True, slots=True)
class Told:
    """What a kind means, and its tone. ``of_fleet``: it is about a Fleet, which is of no namespace."""

    means: str
    tone: Tone = Tone.INFO
    of_fleet: bool = False


NOTICES: Mapping[NoticeKind, Told] = MappingProxyType(
    {
        NoticeKind.STARTED: Told("an attempt has begun"),
        NoticeKind.STEP_RAISED: Told("the target serves more than before, in both clusters"),
        NoticeKind.HELD: Told(
            "for half a minute it goes on only when somebody acts, or asks for somebody",
            Tone.WARNING,
        ),
        NoticeKind.REVERTING: Told("callers are being rolled back", Tone.WARNING),
        NoticeKind.REVERTED: Told("all callers are rolled back, and it stays there", Tone.WARNING),
        NoticeKind.COMPLETED: Told("the target serves all callers", Tone.GOOD),
        NoticeKind.WAVE_OPENED: Told("a wave has begun", of_fleet=True),
        NoticeKind.WAVE_COMPLETED: Told("a wave is completed", Tone.GOOD, of_fleet=True),
        NoticeKind.LINE_STOPPED: Told(
            "too many reverts: nothing rises until a person resumes", Tone.WARNING, of_fleet=True
        ),
        NoticeKind.LINE_RESUMED: Told("the line goes on", of_fleet=True),
        NoticeKind.WINDOW_CLOSED: Told("a window keeps everybody from rising", of_fleet=True),
        NoticeKind.WINDOW_OPENED: Told("no window keeps anybody any more", of_fleet=True),
        NoticeKind.FLEET_PROBLEM: Told(
            "something in a Fleet is written wrong, or does not fit", Tone.WARNING, of_fleet=True
        ),
        NoticeKind.FLEET_ROLLBACK: Told(
            "a person has a Fleet rolled back", Tone.WARNING, of_fleet=True
        ),
        NoticeKind.FLEET_RETURN: Told(
            "a person has waves go back to their origin", Tone.WARNING, of_fleet=True
        ),
    }
)
"""By kind: what it means."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened, to the Service ``namespace/name`` or (no namespace) to the Fleet ``name``.

    ``facts`` are what else is known of it, by camelCase keys, in the order in which people read them.
    """

    kind: NoticeKind
    at: datetime
    namespace: str
    name: str
    message: str
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """Return whom it is about: ``namespace/name``, or ``fleet/name``."""
        return f"{self.namespace or 'fleet'}/{self.name}"

    @property
    def tone(self) -> Tone:
        """Return how it is to be taken."""
        return NOTICES[self.kind].tone


Notify = Callable[[str, Notice | None], None]
"""Takes the subject of a transition, and its notice: None where it is one that nobody is told of. Returns at once."""
