"""What a preflight found, as pages for people and as JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import UNSET

from controller.cli import show
from controller.cli.asking import listed
from controller.decide.preflight import Finding, document
from controller.domain import Key
from controller.domain.reasons import Level, Reason
from controller.domain.status import MigrationStatus, Percent

HEAD = ("SERVICE", "LEVEL", "REASON", "FOUND")

SELF = "SERVICE"
"""What stands in a sentence about several Services where each has its own name."""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings: ``general`` of the clusters and the controller, ``services`` by Service. ``targets`` is
    where each would go, ``told`` what the Migration of one says. ``notes`` say what was not read."""

    clusters: tuple[str, str]
    services: Mapping[Key, tuple[Finding, ...]]
    targets: Mapping[Key, str] = field(default_factory=dict)
    told: Mapping[Key, MigrationStatus] = field(default_factory=dict)
    general: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    def _with(self, level: Level) -> list[Key]:
        return [
            key
            for key, found in self.services.items()
            if any(finding.level is level for finding in found)
        ]

    @property
    def blocked(self) -> list[Key]:
        """The Services that something blocks."""
        return self._with(Level.BLOCK)

    @property
    def warned(self) -> list[Key]:
        """The Services that may migrate, and have something to be known first."""
        return [key for key in self._with(Level.WARN) if key not in set(self.blocked)]

    @property
    def blocks(self) -> bool:
        """Whether anything at all blocks."""
        return bool(self.blocked) or any(f.level is Level.BLOCK for f in self.general)


SHARES = ("SERVICE", "CALLERS", "TO", "CLAIMED", "MEASURED")


def shares(report: Report, *, namespaces: bool) -> list[tuple[str, ...]]:
    """Return what the splits say beside what was measured, where somebody measured."""
    return [
        (str(key) if namespaces else key.service, one.callers, status.observed.target, *both)
        for key, status in report.told.items()
        for one in status.traffic
        if (both := show.claimed_and_measured(one))[1]
    ]


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong, and the Services it is wrong with; none where it is of the clusters."""

    finding: Finding
    keys: tuple[Key, ...]


def causes(report: Report) -> list[Cause]:
    """Return what was found, each cause once, BLOCK first, then what concerns most.

    Sentences that differ in their Service's own name only, or in their numbers, are of one cause.
    """
    alike: dict[Finding, list[tuple[Key, Finding]]] = {}
    for key, found in report.services.items():
        for finding in _without_consequences(found):
            alike.setdefault(_numberless(_selfless(finding, key)), []).append((key, finding))
    every = [Cause(finding, ()) for finding in dict.fromkeys(report.general)]
    every += [Cause(_said(several), tuple(k for k, _ in several)) for several in alike.values()]
    return sorted(every, key=_order)


def _without_consequences(found: Sequence[Finding]) -> Iterator[Finding]:
    """Leave out mirrors that are missing for want of an export, which is told."""
    reasons = [finding.reason for finding in found]
    explained = reasons.count(Reason.MIRROR_MISSING) == reasons.count(Reason.NOT_EXPORTED)
    for finding in found:
        if not (explained and finding.reason is Reason.MIRROR_MISSING):
            yield finding


def _order(cause: Cause) -> tuple[object, ...]:
    finding = cause.finding
    clusters, many = bool(cause.keys), -len(cause.keys)
    warns = finding.level is Level.WARN
    return (warns, clusters, many, cause.keys, finding.reason, finding.message)


def _said(several: Sequence[tuple[Key, Finding]]) -> Finding:
    """Return one finding that is true of all: as it is told of each, else without its name, else without numbers."""
    for said in (lambda f, _: f, _selfless, lambda f, key: _numberless(_selfless(f, key))):
        first, *others = {said(finding, key) for key, finding in several}
        if not others:
            break
    return first


def _selfless(finding: Finding, key: Key) -> Finding:
    """Return the same of any Service: with SERVICE in the place of its name, also as a part of a longer one."""
    name = rf"(?<![A-Za-z0-9.-])(?:{re.escape(key.namespace)}/)?{re.escape(key.service)}(?![A-Za-z0-9])"
    return replace(finding, message=re.sub(name, SELF, finding.message))


def _numberless(finding: Finding) -> Finding:
    """Return the same of any number: with N in the place of each that stands alone."""
    return replace(finding, message=re.sub(r"(?<![\w.-])\d[\d.,]*(?![\w-])", "N", finding.message))


def rows(report: Report, *, namespaces: bool) -> list[Row]:
    """Return a row for each cause: whom it concerns, three named at most, its level, reason and sentence."""
    return [
        (
            listed([str(key) if namespaces else key.service for key in cause.keys]) or "(clusters)",
            cause.finding.level.value,
            cause.finding.reason,
            cause.finding.message,
        )
        for cause in causes(report)
    ]


Row = tuple[str, str, str, str]


def summary(report: Report) -> str:
    """Return the count of the Services, in a sentence."""
    total, blocked, warned = len(report.services), len(report.blocked), len(report.warned)
    if total == 1 and not report.general:
        (key,) = report.services
        said = (
            "something blocks it"
            if blocked
            else "nothing blocks it, and some things should be known"
            if warned
            else "nothing blocks it"
        )
        return f"{key.service} to {report.targets.get(key, '?')}: {said}"
    clear = total - blocked - warned
    return f"{total} Services: {clear} clear, {warned} with warnings, {blocked} blocked"


def meanings(report: Report) -> list[tuple[str, str, str]]:
    """Return of each reason that was found what it means, and what to do."""
    every = [*report.general, *(f for found in report.services.values() for f in found)]
    found = {finding.reason: finding.meaning for finding in every}
    return [(reason, meant.means, meant.do) for reason, meant in sorted(found.items())]


def page(report: Report, *, namespaces: bool) -> str:
    """Return everything as text, with lines as long as they are."""
    parts = []
    found = rows(report, namespaces=namespaces)
    if found:
        parts.append(show.table(HEAD, found))
        parts.append(show.table(("REASON", "MEANS", "DO"), meanings(report)))
    if measured := shares(report, namespaces=namespaces):
        parts.append(show.table(SHARES, measured))
    parts.append(_ending(report))
    return "\n\n".join(parts)


def _ending(report: Report) -> str:
    return "\n".join([*(f"Note: {note}" for note in report.notes), summary(report)])


def drawn(report: Report, *, namespaces: bool) -> Iterable[Any]:
    """Return the same as things that rich draws, fitted to a terminal."""
    from rich.table import Table  # noqa: PLC0415 - JSON, and a command in a pipe, need none of it
    from rich.text import Text  # noqa: PLC0415 - as Table

    found = rows(report, namespaces=namespaces)
    if found:
        table = Table(*HEAD, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name, level, reason, message in found:
            colour = "red" if level == Level.BLOCK else "yellow"
            table.add_row(Text(name), Text(level, colour), Text(reason), Text(message))
        yield table
        yield ""
        legend = Table("REASON", "MEANS", "DO", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for row in meanings(report):
            legend.add_row(*map(Text, row))
        yield legend
        yield ""
    if measured := shares(report, namespaces=namespaces):
        beside = Table(*SHARES, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for line in measured:
            beside.add_row(*map(Text, line))
        yield beside
        yield ""
    yield Text(_ending(report))


def as_json(report: Report) -> dict[str, Any]:
    """Return everything as JSON has it."""
    return {
        "clusters": list(report.clusters),
        "checked": len(report.services),
        "blocked": len(report.blocked),
        "warned": len(report.warned),
        "general": document(report.general),
        "causes": [
            {**told, "services": [str(key) for key in cause.keys]}
            for cause in causes(report)
            for told in document([cause.finding])
        ],
        "services": [
            {
                "namespace": key.namespace,
                "service": key.service,
                "target": report.targets.get(key, ""),
                "findings": document(found),
                "shares": _shares(report.told.get(key)),
            }
            for key, found in report.services.items()
        ],
        "notes": list(report.notes),
    }


def _shares(status: MigrationStatus | None) -> list[dict[str, Any]]:
    """Return by callers' cluster what a split says in percent, and what was measured; null is not known."""
    if status is None:
        return []
    return [
        {
            "callers": one.callers,
            "target": status.observed.target,
            "claimedPercent": _or_null(one.claimed_percent),
            "measuredPercent": _or_null(one.share_percent),
            "measuredRequests": one.measured_requests,
            "strays": one.strays,
        }
        for one in status.traffic
    ]


def _or_null(percent: Percent) -> float | None:
    return None if percent is UNSET else percent
