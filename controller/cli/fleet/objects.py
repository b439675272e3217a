"""A Fleet as the command reads it: its waves, what was asked by hand, and what the controller reports.

What stands in a cluster is not to be trusted with a terminal: control characters are escaped as it is read, and what
has another shape than the CRD's is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from controller.cli.migration import printable
from controller.domain import PREFIX

T = TypeVar("T")


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """Part of a status."""


class Counts(_Part, frozen=True):
    """How many Services are at what."""

    total: int = 0
    completed: int = 0
    under_way: int = 0
    reverted: int = 0
    blocked: int = 0
    waiting: int = 0
    excluded: int = 0
    unfit: int = 0


class WaveStatus(_Part, frozen=True):
    """One wave. ``state`` is Waiting, Open, Baking or Completed."""

    name: str = ""
    number: int = 0
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
    opened_at: datetime | None = None
    completed_at: datetime | None = None
    opens_at: datetime | None = None
    message: str = ""


class NeedsPerson(_Part, frozen=True):
    """A Service that goes no further before a person has seen to it."""

    service: str = ""
    reason: str = ""
    message: str = ""


class WindowStatus(_Part, frozen=True):
    """Whether a window keeps everybody."""

    closed: bool = False
    until: datetime | None = None
    reason: str = ""
    next_closes: datetime | None = None
    next_reason: str = ""


class LineStatus(_Part, frozen=True):
    """Whether too many attempts were ended by evidence."""

    stopped: bool = False
    reverts: int = 0
    limit: int = 0
    within: str = ""
    since: datetime | None = None
    services: tuple[str, ...] = ()


class OpensNext(_Part, frozen=True):
    """The next wave to open."""

    wave: str = ""
    at: datetime | None = None
    how: str = ""
    message: str = ""


class Problem(_Part, frozen=True):
    """One thing that is wrong in the Fleet."""

    where: str = ""
    message: str = ""


class Unfit(_Part, frozen=True):
    """A Service that is named and can never be split."""

    service: str = ""
    reason: str = ""


class Unplaced(_Part, frozen=True):
    """Services that are exported or annotated, and in no wave."""

    count: int = 0
    services: tuple[str, ...] = ()


class FleetStatus(_Part, frozen=True):
    """What the controller reports of a Fleet; ``state`` is "" before its first word."""

    observed_generation: int = 0
    state: str = ""
    origin: str = ""
    wave: str = ""
    moved: str = ""
    counts: Counts = Counts()
    needs_person: tuple[NeedsPerson, ...] = ()
    waves: tuple[WaveStatus, ...] = ()
    window: WindowStatus = WindowStatus()
    line: LineStatus = LineStatus()
    opens_next: OpensNext = OpensNext()
    problems: tuple[Problem, ...] = ()
    excluded: tuple[str, ...] = ()
    unfit: tuple[Unfit, ...] = ()
    unplaced: Unplaced = Unplaced()


class _Wave(msgspec.Struct, frozen=True):
    name: str = ""
    opens: str = ""


class _Spec(msgspec.Struct, frozen=True):
    target: str = ""
    waves: tuple[_Wave, ...] = ()


class _Metadata(_Part, frozen=True):
    name: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    annotations: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """One Fleet; ``waves`` are the names in their order, ``by_hand`` those that open by hand, ``raw`` the object."""

    name: str
    generation: int
    version: str
    target: str
    waves: tuple[str, ...]
    by_hand: frozenset[str]
    annotations: Mapping[str, str]
    status: FleetStatus
    raw: Mapping[str, Any]

    def own(self, key: str) -> str | None:
        """Return an annotation of ours, None where it is absent."""
        return self.annotations.get(PREFIX + key)

    @property
    def is_paused(self) -> bool:
        """Whether it is asked to keep everybody: also by a text that is neither true nor false."""
        return self.own("paused") not in (None, "false")

    @property
    def is_told(self) -> bool:
        """Whether the controller has said anything of it."""
        return bool(self.status.state)

    @property
    def is_late(self) -> bool:
        """Whether what is reported is of an earlier spec than the one that stands."""
        return self.status.observed_generation < self.generation

    def wave(self, name: str) -> WaveStatus:
        """Return what is reported of a wave, empty where nothing is."""
        return next((wave for wave in self.status.waves if wave.name == name), WaveStatus(name))


def read_fleet(raw: Mapping[str, Any]) -> Fleet:
    """Read a Fleet, whatever shape it has."""
    metadata = _read(raw.get("metadata"), _Metadata)
    spec = _read(raw.get("spec"), _Spec)
    return Fleet(
        name=metadata.name,
        generation=metadata.generation,
        version=metadata.resource_version,
        target=spec.target,
        waves=tuple(wave.name for wave in spec.waves),
        by_hand=frozenset(wave.name for wave in spec.waves if wave.opens == "byHand"),
        annotations=metadata.annotations or {},
        status=_status(raw.get("status")),
        raw=raw,
    )


def _status(raw: Any) -> FleetStatus:
    try:
        return msgspec.convert(printable(raw or {}), FleetStatus)
    except msgspec.ValidationError:
        return FleetStatus(state="Unreadable")


def _read(raw: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(printable(raw or {}), kind)
    except msgspec.ValidationError:
        return kind()
