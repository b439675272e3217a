"""What a preflight found, as pages for people and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from controller.cli import show
from controller.decide.preflight import Finding, document
from controller.domain import Key
from controller.domain.reasons import Level
from controller.domain.status import MigrationStatus, Percent

FEW = 3
"""Up to so many Services with the same finding are named one by one."""

HEAD = ("SERVICE", "LEVEL", "REASON", "FOUND")


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


Row = tuple[str, str, str, str]

SHARES = ("SERVICE", "CALLERS", "TO", "CLAIMED", "MEASURED")


def shares(report: Report, *, namespaces: bool) -> list[tuple[str, ...]]:
    """Return what the splits say beside what was measured, where somebody measured."""
    return [
        (str(key) if namespaces else key.service, one.callers, status.observed.target, *both)
        for key, status in report.told.items()
        for one in status.traffic
        if (both := show.claimed_and_measured(one))[1]
    ]


def rows(report: Report, *, namespaces: bool) -> list[Row]:
    """Return a row for each finding, BLOCK first; one for all Services that share a sentence."""
    every = [*report.general, *(f for found in report.services.values() for f in found)]
    where: dict[Finding, list[Key]] = {finding: [] for finding in every}
    for key, found in report.services.items():
        for finding in found:
            where[finding].append(key)
    ordered = sorted(where, key=lambda f: (f.level is Level.WARN, where[f], f.reason, f.message))
    return [
        (name, finding.level.value, finding.reason, finding.message)
        for finding in ordered
        for name in _names(where[finding], namespaces=namespaces)
    ]


def _names(keys: list[Key], *, namespaces: bool) -> Iterator[str]:
    if not keys:
        yield "(clusters)"
    elif len(keys) > FEW:
        yield f"({len(keys)} Services)"
    else:
        yield from (str(key) if namespaces else key.service for key in keys)


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
