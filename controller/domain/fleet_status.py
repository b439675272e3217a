"""The status of a Fleet: what the controller reports of many Services, and the commands and the page show.

The keys are the wire's, as the CRD has them. A time that is not known is left out when it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from controller.domain.spec import Moment

SHOWN = 50
"""How many Services a list names at most."""

NEEDING = 20
"""How many that need a person are listed at most."""

Time = Moment | UnsetType
"""Unset where it is not known."""


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """Part of a status."""


class FleetCounts(_Part, frozen=True):
    """Services by where they stand."""

    total: int = 0
    completed: int = 0
    under_way: int = 0
    reverted: int = 0
    blocked: int = 0
    waiting: int = 0
    excluded: int = 0
    unfit: int = 0


class ServiceNeed(_Part, frozen=True):
    """A Service that waits for a person."""

    service: str
    reason: str = ""
    message: str = ""


class WaveStatus(_Part, frozen=True):
    """One wave. ``opens`` is ``automatically`` or ``byHand``, ``opens_at`` the end of the bake before it."""

    name: str
    number: int
    state: str = ""
    opens: str = ""
    together: bool = False
    total: int = 0
    completed: int = 0
    under_way: int = 0
    reverted: int = 0
    blocked: int = 0
    waiting: int = 0
    excluded: int = 0
    opened_at: Time = UNSET
    completed_at: Time = UNSET
    opens_at: Time = UNSET
    message: str = ""


class WindowStatus(_Part, frozen=True):
    """Whether a window keeps everybody, until when, and when the next one begins to."""

    closed: bool = False
    until: Time = UNSET
    reason: str | UnsetType = UNSET
    next_closes: Time = UNSET
    next_reason: str | UnsetType = UNSET


class LineStatus(_Part, frozen=True):
    """How the stop rule stands; ``limit`` 0: there is none."""

    stopped: bool = False
    reverts: int = 0
    limit: int = 0
    within: str = ""
    since: Time = UNSET
    services: tuple[str, ...] = ()


class OpensNext(_Part, frozen=True):
    """The next wave to open, and what it waits for."""

    wave: str
    how: str
    message: str
    at: Time = UNSET


class ProblemStatus(_Part, frozen=True):
    """What is wrong, and where."""

    where: str
    message: str


class UnfitStatus(_Part, frozen=True):
    """A Service that is never moved, and why."""

    service: str
    reason: str


class Unplaced(_Part, frozen=True):
    """Services that somebody exported or annotated, and that are in no wave."""

    count: int = 0
    services: tuple[str, ...] = ()


class FleetCondition(_Part, frozen=True):
    """As Kubernetes has it."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: Time = UNSET
    observed_generation: int = 0


class FleetStatus(_Part, frozen=True):
    """All that is reported of a Fleet."""

    observed_generation: int = 0
    state: str = ""
    origin: str = ""
    wave: str = ""
    moved: str = ""
    counts: FleetCounts = FleetCounts()
    needs_person: tuple[ServiceNeed, ...] = ()
    waves: tuple[WaveStatus, ...] = ()
    window: WindowStatus = WindowStatus()
    line: LineStatus = LineStatus()
    opens_next: OpensNext | UnsetType = UNSET
    problems: tuple[ProblemStatus, ...] = ()
    excluded: tuple[str, ...] = ()
    unfit: tuple[UnfitStatus, ...] = ()
    unplaced: Unplaced = Unplaced()
    conditions: tuple[FleetCondition, ...] = ()


def readable(raw: Any) -> FleetStatus:
    """Return a status that any hand may have written; one that is not of its shape is as if there were none."""
    if not isinstance(raw, Mapping):
        return FleetStatus()
    try:
        return msgspec.convert(dict(raw), FleetStatus)
    except msgspec.ValidationError:
        return FleetStatus()


def encoded(status: FleetStatus) -> dict[str, Any]:
    """Return a status as it is written."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(status))
    return found


def patch_of(before: Any, after: Mapping[str, Any]) -> dict[str, Any]:
    """Return what, merged into ``before``, makes it ``after``: what is there no more is written as null."""
    known = before if isinstance(before, Mapping) else {}
    gone: dict[str, Any] = {key: None for key in known if key not in after}
    return gone | {
        key: patch_of(known.get(key), value) if isinstance(value, Mapping) else value
        for key, value in after.items()
    }
