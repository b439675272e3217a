"""A Migration as it is read: what the controller tells about one Service (controller/report/status.py writes it).

What stands in a cluster is not to be trusted with a terminal: control characters are escaped as it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec

from controller.domain import PREFIX, Phase
from controller.domain.annotation_schema import shortened

APEX = "apex"

LONGEST = 4000
"""Of a text in a status, in characters."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone: without one it cannot be compared."""


class _Read(msgspec.Struct, frozen=True, rename="camel"):
    """Part of the status. A field that is missing is empty, so that an older controller can be read."""


class Wanted(_Read, frozen=True):
    """What the rest of a status is about."""

    target: str = ""
    attempt: int = 1


class PathStatus(_Read, frozen=True):
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
    success_percent: float | None = None
    bad_percent_3s: float | None = None


class Traffic(_Read, frozen=True):
    """What real callers of one cluster see; ``unknown`` is why that is not known."""

    callers: str
    verdict: str = ""
    reason: str = ""
    unknown: str = ""
    points: float = 0.0
    threshold: float = 0.0
    requests: int = 0
    failures: int = 0
    bad_percent: float | None = None
    home_bad_percent: float | None = None
    share_percent: float | None = None
    ignoring: tuple[str, ...] = ()
    unmeshed: int = 0


class Transition(_Read, frozen=True):
    """One line of the history."""

    at: Moment
    phase: str = ""
    share: str = ""
    reason: str = ""
    message: str = ""


class Warned(_Read, frozen=True):
    """What holds nothing and should be known."""

    reason: str
    message: str


class Condition(_Read, frozen=True):
    """As Kubernetes has it."""

    type: str
    status: str


class AskedBy(_Read, frozen=True):
    """Who wrote the annotations last, by field manager."""

    by: str = ""
    at: Moment | None = None


class Status(_Read, frozen=True):
    """All that is told. ``share`` is percent in the order of ``clusters``, as ``10/100``; ``?`` is not
    known, and ``10?`` not what callers do, because some were seen who do not follow."""

    observed: Wanted = Wanted()
    clusters: tuple[str, ...] = ()
    phase: str = ""
    share: str = ""
    verdict: str = ""
    reason: str = ""
    message: str = ""
    next: str = ""
    waiting_for: str = ""
    paths: tuple[PathStatus, ...] = msgspec.field(default=(), name="ways")
    traffic: tuple[Traffic, ...] = ()
    warnings: tuple[Warned, ...] = ()
    conditions: tuple[Condition, ...] = ()
    history: tuple[Transition, ...] = ()
    asked: AskedBy | None = None
    as_of: Moment | None = None

    @property
    def pair(self) -> tuple[str, str] | None:
        """The names of the two clusters."""
        return (self.clusters[0], self.clusters[1]) if len(self.clusters) == 2 else None

    @property
    def shares(self) -> dict[str, str]:
        """Percent as text, by cluster; empty where the status does not say it of each."""
        told = self.share.split("/")
        return (
            dict(zip(self.clusters, told, strict=True)) if len(told) == len(self.clusters) else {}
        )

    @property
    def origin(self) -> str:
        """The cluster that is not the target, "" where that is not known."""
        return next((c for c in self.clusters if c != self.observed.target), "")

    @property
    def flows(self) -> bool:
        """Whether what it waits for comes by itself, in the ordinary course."""
        blocked = any(c.type == "Blocked" and c.status == "True" for c in self.conditions)
        return not blocked and self.phase not in (Phase.COMPLETED, Phase.REVERTED)

    @property
    def step_permille(self) -> int | None:
        """The share that the attempt has reached; None where a share is not known.

        A cluster whose callers were on the target before stands at 100 % all the time, so the lowest.
        """
        try:
            shares = [round(float(text.rstrip("?")) * 10) for text in self.shares.values()]
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


@dataclass(frozen=True, slots=True)
class Migration:
    """A Migration by name; ``raw`` is the object as it came."""

    namespace: str
    service: str
    created: datetime | None
    status: Status
    raw: Mapping[str, Any]

    def answers(self, annotations: Mapping[str, str]) -> bool:
        """Return whether the status is about what these annotations of the Service ask for.

        A higher attempt than theirs may be asked for by the same Service in the other cluster; and a key
        that is absent here leaves the word to that one (docs/annotations.md).
        """
        observed = self.status.observed
        target = annotations.get(PREFIX + "target")
        attempt = asked_attempt(annotations)
        return (target is None or observed.target == target) and (
            attempt is None or observed.attempt >= attempt
        )


def asked_attempt(annotations: Mapping[str, str]) -> int | None:
    """Return the number that the annotations ask for; None where they say none, or no number."""
    text = annotations.get(PREFIX + "attempt", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    creation_timestamp: datetime | None = None


class _Object(msgspec.Struct):
    metadata: _Metadata


def read_migration(raw: Mapping[str, Any]) -> Migration:
    """Read a Migration. A status of another shape is shown as such: one must not hide all others."""
    metadata = msgspec.convert(raw, _Object).metadata
    try:
        status = msgspec.convert(_printable(raw.get("status") or {}), Status)
    except msgspec.ValidationError as error:
        status = Status(reason="Unreadable", message=f"the status has another shape: {error}")
    return Migration(metadata.namespace, metadata.name, metadata.creation_timestamp, status, raw)


def _printable(value: Any) -> Any:
    """Return the same JSON with every text printable and of a bearable length."""
    if isinstance(value, str):
        return shortened(value, LONGEST)
    if isinstance(value, list):
        return [_printable(inner) for inner in value]
    if isinstance(value, dict):
        return {shortened(key, LONGEST): _printable(inner) for key, inner in value.items()}
    return value
