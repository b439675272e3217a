"""The status of a Migration: what the controller reports of one Service, and the command and the page show.

The keys are the wire's, as the CRD has them. A part that is missing is empty, so that the status of an older
controller can be read; a time or number that is not known is left out when it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from controller.domain.identity import Phase
from controller.domain.reasons import Reason
from controller.domain.spec import Moment

Percent = float | UnsetType
"""Of requests or probes; unset where it is not known."""


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """Part of a status."""


class Reported(_Part, frozen=True):
    """What the rest of a status is about: what stands, whatever is asked for meanwhile."""

    target: str = ""
    attempt: int = 1


class PathStatus(_Part, frozen=True):
    """How callers of one cluster reach one side: ``target``, ``home`` or ``apex``."""

    callers: str
    side: str
    verdict: str = ""
    reason: str = ""
    objective: str = ""
    points: float = 0.0
    threshold: float = 0.0
    clean: int = 0
    needed: int = 0
    usual_answer: str = ""
    success_percent: Percent = UNSET
    bad_percent_3s: Percent = msgspec.field(default=UNSET, name="badPercent3s")


class TrafficStatus(_Part, frozen=True):
    """What real callers of one cluster see; ``unknown`` is why that is not known.

    ``claimed_percent`` is what the split says that the target serves of their calls, ``share_percent`` what it
    served of the last minutes' ``measured_requests``, and ``strays`` that chance does not explain the difference.
    """

    callers: str
    verdict: str = ""
    reason: str = ""
    unknown: str = ""
    points: float = 0.0
    threshold: float = 0.0
    requests: int = 0
    failures: int = 0
    ignoring: tuple[str, ...] = ()
    unmeshed: int = 0
    bad_percent: Percent = UNSET
    origin_bad_percent: Percent = msgspec.field(default=UNSET, name="homeBadPercent")
    share_percent: Percent = UNSET
    claimed_percent: Percent = UNSET
    measured_requests: int = 0
    strays: bool = False


class WarningStatus(_Part, frozen=True):
    """What holds nothing and should be known."""

    reason: str
    message: str


class Transition(_Part, frozen=True):
    """One entry of the history. ``reason`` is what was true then, ``noted`` the part of it that made a transition."""

    at: Moment
    phase: str = ""
    share: str = ""
    reason: str = ""
    message: str = ""
    noted: str = ""


class Condition(_Part, frozen=True):
    """As Kubernetes has it."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: Moment | UnsetType = UNSET


class AskedBy(_Part, frozen=True):
    """Who wrote the annotations last, by field manager, and the ``target`` they name ("": none, or no single one).

    It is no part of what an older controller wrote: then it is what the rest of the status is about.
    """

    by: str = ""
    target: str | UnsetType = UNSET
    at: Moment | UnsetType = UNSET


class MigrationStatus(_Part, frozen=True):
    """All that is reported. ``share`` is percent in the order of ``clusters``, as ``10/100``; ``?`` is not
    known, and ``10?`` not what callers do, because some were seen who do not follow. ``shares`` are the numbers alone.
    ``fleet`` and ``wave`` name it where a Fleet does, and ``wish`` where the spec in force comes from.
    """

    service: str = ""
    observed: Reported = Reported()
    clusters: tuple[str, ...] = ()
    phase: str = ""
    share: str = ""
    shares: dict[str, str] = msgspec.field(default_factory=dict)
    verdict: str = ""
    reason: str = ""
    message: str = ""
    next: str = ""
    waiting_for: str = ""
    alert: bool = False
    paths: tuple[PathStatus, ...] = msgspec.field(default=(), name="ways")
    traffic: tuple[TrafficStatus, ...] = ()
    warnings: tuple[WarningStatus, ...] = ()
    origin_calls: str | UnsetType = UNSET
    conditions: tuple[Condition, ...] = ()
    history: tuple[Transition, ...] = ()
    asked: AskedBy | UnsetType = UNSET
    fleet: str | UnsetType = UNSET
    wave: str | UnsetType = UNSET
    wish: str | UnsetType = UNSET
    as_of: Moment | UnsetType = UNSET

    @property
    def pair(self) -> tuple[str, str] | None:
        """The names of the two clusters."""
        return (self.clusters[0], self.clusters[1]) if len(self.clusters) == 2 else None

    @property
    def marked_shares(self) -> dict[str, str]:
        """Percent with its mark, by cluster; empty where ``share`` does not have it of each."""
        told = self.share.split("/")
        return (
            dict(zip(self.clusters, told, strict=True)) if len(told) == len(self.clusters) else {}
        )

    @property
    def asked_target(self) -> str:
        """The target that the annotations named when this was written, "" where they named none."""
        asked = UNSET if self.asked is UNSET else self.asked.target
        return self.observed.target if asked is UNSET else asked

    @property
    def asks_otherwise(self) -> bool:
        """Whether the annotations name another cluster than the one that all the rest is about."""
        return self.asked_target not in ("", self.observed.target)

    @property
    def origin(self) -> str:
        """The cluster that is not the target, "" where that is not known."""
        return next((c for c in self.clusters if c != self.observed.target), "")

    @property
    def blocked(self) -> bool:
        """Whether something holds it that does not pass in the ordinary course."""
        return any(c.type == "Blocked" and c.status == "True" for c in self.conditions)

    @property
    def held(self) -> bool:
        """Whether it goes on only when somebody acts, or asks for somebody now; whoever chose that it stays where it
        is, or waits for a turn, needs nobody."""
        return self.alert or (self.blocked and not Reason(self.reason).meaning.chosen)

    @property
    def flows(self) -> bool:
        """Whether what it waits for comes by itself, in the ordinary course."""
        return not self.blocked and self.phase not in (Phase.COMPLETED, Phase.REVERTED)

    @property
    def step_permille(self) -> int | None:
        """The share that the attempt has reached; None where a share is not known.

        A cluster whose callers were on the target before stands at 100 % all the time, so the lowest.
        """
        try:
            shares = [round(float(text.rstrip("?")) * 10) for text in self.marked_shares.values()]
        except (ValueError, OverflowError):
            return None
        lowest = min(shares, default=-1)
        return lowest if lowest >= 0 else None

    @property
    def step_since(self) -> datetime | None:
        """Since when the shares have been what they are, as far as the history goes back."""
        since: datetime | None = None
        for entry in reversed(self.history):
            if entry.share != self.share:
                break
            since = entry.at
        return since


_ENTRIES: Mapping[str, type[_Part]] = MappingProxyType(
    {
        "ways": PathStatus,
        "traffic": TrafficStatus,
        "warnings": WarningStatus,
        "conditions": Condition,
        "history": Transition,
    }
)


def rfc3339(when: datetime) -> str:
    """Return a time as Kubernetes writes it, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def readable(raw: Mapping[str, Any]) -> MigrationStatus:
    """Return what can be read of a status that any hand may have written; what is not of its shape is empty."""
    if _fits(raw, MigrationStatus):
        return msgspec.convert(raw, MigrationStatus)
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(MigrationStatus):
        key, value = field.encode_name, raw.get(field.encode_name)
        entry = _ENTRIES.get(key)
        if entry is not None and isinstance(value, (list, tuple)):
            value = [each for each in value if _fits(each, entry)]
        if key in raw and _fits(value, field.type):
            found[key] = value
    return msgspec.convert(found, MigrationStatus)


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
