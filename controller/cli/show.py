"""From values to the text that people read. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypedDict

from msgspec import UNSET

from controller.cli.migration import Migration
from controller.domain import Side
from controller.domain.status import (
    NO_SERVICE,
    MigrationStatus,
    PathStatus,
    Percent,
    TrafficStatus,
    Transition,
    rfc3339,
)

GAP = 3
"""Spaces between columns, as kubectl has it."""

HEAD = ("SERVICE", "TARGET", "PHASE", "SHARE", "VERDICT", "REASON", "NEXT", "AGE")
WIDE = ("ATTEMPT", "ASKED", "WAVE", "MESSAGE")


class Columns(TypedDict):
    """Which columns a table of migrations has besides: the namespace before, and after the others those of WIDE."""

    namespaces: bool
    wide: bool


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return columns as kubectl sets them: no lines, and ``-`` for what is empty."""
    lines = [list(head), *([cell or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) + GAP for column in zip(*lines, strict=True)]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def status_table(
    found: Sequence[Migration], now: datetime, *, namespaces: bool = False, wide: bool = False
) -> str:
    """Return one line for each migration."""
    before = ("NAMESPACE",) if namespaces else ()
    head = (*before, *HEAD, *(WIDE if wide else ()))
    rows = [
        (*((m.namespace,) if namespaces else ()), *_row(m, now), *(_wide(m) if wide else ()))
        for m in found
    ]
    return table(head, rows)


def status_page(
    found: Migration, now: datetime, *, namespaces: bool = False, wide: bool = False
) -> str:
    """Return all that is worth knowing of one migration now."""
    status = found.status
    row = status_table([found], now, namespaces=namespaces, wide=wide)
    parts = [row, _facts(found, now)]
    if status.paths:
        parts.append(paths_table(status))
    if status.traffic:
        parts.append(traffic_table(status))
    if status.warnings:
        parts.append(warnings(status))
    return "\n\n".join(part for part in parts if part)


def explain_page(found: Migration, now: datetime) -> str:
    """Return why the last thing happened."""
    status = found.status
    parts = [status_table([found], now)]
    if status.history:
        last = status.history[-1]
        parts.append(
            f"{ago(last.at, now)} ago: {last.phase}, because of {last.reason or 'nothing told'}\n"
            f"  {last.message}"
        )
    parts.append(_asked(status, now))
    if status.history:
        head = ("AT", "TARGET", "PHASE", "SHARE", "REASON", "MESSAGE")
        rows = map(_transition, status.history)
        parts.append(table(head, rows))
    if status.paths:
        parts.append(paths_table(status))
    if status.traffic:
        parts.append(traffic_table(status))
    if status.warnings:
        parts.append(warnings(status))
    return "\n\n".join(part for part in parts if part)


def said(status: MigrationStatus) -> list[tuple[str, str]]:
    """Return what the controller says about it: a message, what it waits for, or both, each with its label.

    What is waited for is the message as long as that comes by itself; it is not said twice.
    """
    facts: list[tuple[str, str]] = []
    if status.message and not (status.flows and status.message == status.waiting_for):
        facts.append(("Message", status.message))
    if status.waiting_for and (status.flows or status.waiting_for != status.message):
        facts.append(("Waiting for", status.waiting_for))
    return facts


def pairs(facts: Sequence[tuple[str, str]]) -> str:
    """Return labels and texts in lines."""
    width = max((len(name) for name, _ in facts), default=0) + GAP
    return "\n".join(f"{name:<{width}}{text}" for name, text in facts)


def history_line(entry: Transition) -> str:
    """Return one line of a transition, for a log. Its message names the shares."""
    reason = f" {entry.reason}" if entry.reason else ""
    return f"{rfc3339(entry.at)}   {entry.phase}{reason}   {entry.message}"


def change_line(found: Migration, *, namespaces: bool = False) -> str:
    """Return one line of what a migration is now, for a log."""
    status = found.status
    name = f"{found.namespace}/{found.service}" if namespaces else found.service
    share = f"{status.share} %" if status.share else ""
    following = f"next: {status.next}" if status.next else ""
    parts = (name, status.phase or "-", share, status.verdict, status.reason, following)
    return "   ".join(part for part in parts if part)


def paths_table(status: MigrationStatus) -> str:
    """Return, by path, points of what is allowed, and clean probes of what is needed."""
    head = ("CALLERS", "TO", "VERDICT", "REASON", "POINTS", "CLEAN", "BAD 3S", "ANSWER")
    return table(head, (_path(status, path) for path in status.paths))


def traffic_table(status: MigrationStatus) -> str:
    """Return what real callers see, by their cluster: failures in the last requests, to the target and the origin."""
    head = (
        "REAL CALLERS",
        "VERDICT",
        "REASON",
        "POINTS",
        "FAILED",
        "LAST",
        "ORIGIN",
        "CLAIMED",
        "MEASURED",
    )
    rows = [
        (
            traffic.callers,
            traffic.verdict,
            traffic.reason,
            f"{traffic.points:.1f}/{traffic.threshold:.1f}" if traffic.threshold else "",
            f"{traffic.failures}/{traffic.requests}" if traffic.threshold else "",
            _known(traffic.bad_percent),
            _known(traffic.origin_bad_percent),
            _known(traffic.claimed_percent),
            _known(traffic.share_percent) + (" !" if traffic.strays else ""),
        )
        for traffic in status.traffic
    ]
    unknown = [
        f"The Prometheus of {traffic.callers} does not tell: {traffic.unknown}"
        for traffic in status.traffic
        if traffic.unknown
    ]
    return "\n".join([table(head, rows), *unknown])


def measured_line(status: MigrationStatus) -> str:
    """Return what of the last minutes' calls the target really served, by cluster, "" where nobody measured."""
    said = {one.callers: _measured(one) for one in status.traffic if one.share_percent is not UNSET}
    if not said:
        return ""
    return ", ".join(f"{name} {said.get(name, 'not known')}" for name in status.clusters)


def claimed_and_measured(traffic: TrafficStatus) -> tuple[str, str]:
    """Return what the split says and what was measured of one cluster's callers, each "" where it is not known."""
    measured = "" if traffic.share_percent is UNSET else _measured(traffic)
    return _known(traffic.claimed_percent), measured


def _measured(traffic: TrafficStatus) -> str:
    of = f" of {traffic.measured_requests} requests" if traffic.measured_requests else ""
    mark = ", which is not what the split says" if traffic.strays else ""
    return f"{_known(traffic.share_percent)}{of}{mark}"


def _known(percent: Percent) -> str:
    return "" if percent is UNSET else f"{percent:g} %"


def warnings(status: MigrationStatus) -> str:
    """Return what holds nothing and should be known."""
    return "\n".join(f"Warning   {w.reason}: {w.message}" for w in status.warnings)


def percent(share_permille: int) -> str:
    """Return a share for people."""
    return f"{share_permille / 10:g} %"


def ago(when: datetime | None, now: datetime) -> str:
    """Return how long ago, "" where that is not known."""
    return "" if when is None else span((now - when).total_seconds())


def span(seconds: float) -> str:
    """Return a stretch of time in at most two units, as kubectl's AGE: ``90s``, ``12m``, ``3h5m``, ``6d``.

    The limits are those of apimachinery's HumanDuration.
    """
    s = max(0, int(seconds))
    m, h, d = s // 60, s // 3600, s // 86400
    if s < 120:
        return f"{s}s"
    if m < 10:
        return _two(m, "m", s % 60, "s")
    if h < 3:
        return f"{m}m"
    if h < 8:
        return _two(h, "h", m % 60, "m")
    if h < 48:
        return f"{h}h"
    return _two(d, "d", h % 24, "h") if d < 8 else f"{d}d"


def _two(big: int, unit: str, small: int, small_unit: str) -> str:
    return f"{big}{unit}{small}{small_unit}" if small else f"{big}{unit}"


def _row(found: Migration, now: datetime) -> tuple[str, ...]:
    status = found.status
    return (
        found.service,
        status.observed.target,
        status.phase,
        status.share,
        status.verdict,
        status.reason,
        status.next,
        ago(found.created, now),
    )


def _wide(found: Migration) -> tuple[str, ...]:
    status = found.status
    wave = f"{status.fleet}/{status.wave}" if status.fleet and status.wave else ""
    return (str(status.observed.attempt), status.asked_target, wave, status.message)


def _facts(found: Migration, now: datetime) -> str:
    status = found.status
    facts: list[tuple[str, str]] = []
    if status.marked_shares and status.observed.target:
        facts.append(("Share", _shares(status)))
    if measured := measured_line(status):
        facts.append(("Measured", measured))
    if status.asks_otherwise:
        stands = status.observed.target or "no target"
        facts.append(("Asked for", f"{status.asked_target}; all else here is about {stands}"))
    facts += said(status)
    if status.as_of is not UNSET:
        facts.append(("As of", f"{rfc3339(status.as_of)}, {ago(status.as_of, now)} ago"))
    return pairs(facts)


def _transition(told: Transition) -> tuple[str, ...]:
    target = "" if told.target is UNSET else told.target
    return (rfc3339(told.at), target, told.phase, told.share, told.reason, told.message)


def _shares(status: MigrationStatus) -> str:
    """Return what of each cluster's calls the target serves; there is nothing to say where the Service is missing."""
    shares = status.marked_shares
    there = ", ".join(f"{name} {share} %" for name, share in shares.items() if share != NO_SERVICE)
    missing = ", ".join(name for name, share in shares.items() if share == NO_SERVICE)
    parts = (
        there and f"{there} of the calls made there go to {status.observed.target}",
        missing and f"there is no such Service in {missing}",
    )
    return "; ".join(filter(None, parts))


def _asked(status: MigrationStatus, now: datetime) -> str:
    asked = status.asked
    if asked is UNSET:
        return ""
    by = asked.by or "somebody"
    when = "" if asked.at is UNSET else f" at {rfc3339(asked.at)}, {ago(asked.at, now)} ago"
    attempt = f"Attempt {status.observed.attempt} to {status.observed.target or '-'}"
    if status.asks_otherwise:
        return f"{attempt}; {status.asked_target} is asked for since, by {by}{when}."
    return f"{attempt}, asked for by {by}{when}."


def _path(status: MigrationStatus, path: PathStatus) -> tuple[str, ...]:
    to = {
        Side.TARGET.value: status.observed.target,
        Side.ORIGIN.value: status.origin,
        Side.APEX.value: "as they are split now",
    }.get(path.side, path.side)
    objective = f" {path.objective}" if path.objective not in ("", "success") else ""
    return (
        path.callers,
        to,
        path.verdict,
        path.reason,
        f"{path.points:.1f}/{path.threshold:.1f}{objective}" if path.threshold else "",
        f"{path.clean}/{path.needed}" if path.needed else "",
        _known(path.bad_percent_3s),
        path.usual_answer,
    )
