"""A preflight: everything that would hold a migration of one Service, before its first step. Pure.

    findings(seen, facts, now) -> (Finding, ...)

What holds is asked of the gates themselves, on the same Observed, so that a preflight and the controller
cannot disagree; and unlike the controller, which needs the first ruling, people get all of them. What is
told and never holds is asked of the warnings. What neither can see (namespaces, Links, refused writes) comes in
as :class:`Facts`. BLOCK where a gate speaks or a write would fail; WARN never gates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from controller.decide import gates, warnings
from controller.decide.resolve import MigrationState, resolve
from controller.domain import Malformed, MigrationSpec, Observed, Ruling
from controller.domain.reasons import MEANINGS, TOLD_ELSEWHERE, Level, Meaning

ASKED: tuple[gates.Gate, ...] = (
    gates.over,
    gates.remembered,
    gates.abort_asked,
    *gates.SPEC,
    *gates.PRECONDITIONS,
    gates.unreadable,
    gates.edited,
)
"""The gates that a preflight asks: those that need no probe, no lease, no slot and no clock."""

BY_WISH = frozenset({"NoTarget", "Paused", "FleetPaused", "NoSlot"})
"""What a Migration holds for because a person, the settings or the queue said so, or nobody asked yet."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. ``message`` says what and where, with its numbers."""

    level: Level
    reason: str
    message: str

    @property
    def meaning(self) -> Meaning:
        """What the reason means, and what to do."""
        return MEANINGS.get(self.reason, TOLD_ELSEWHERE)


@dataclass(frozen=True, slots=True)
class EventText:
    """What the Migration of an enrolled Service says: the one place where what the probes found is seen.

    ``blocked``: it holds, and not only for a while. ``warnings`` are (reason, message).
    """

    blocked: bool
    reason: str
    message: str
    warnings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Winner:
    """An object in a namespace of callers that decides for them in the split's place."""

    cluster: str
    reason: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one Service beside what the controller observes.

    ``no_namespace`` names, by cluster, the namespace that is missing there; ``unexported`` the selector of the
    Link that the Service's labels there do not meet. ``refused`` are sentences about writes that would
    fail. ``pins_read`` is false where it is not known whether there are pins.
    """

    no_namespace: Mapping[str, str] = field(default_factory=dict)
    unexported: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    winners: tuple[Winner, ...] = ()
    told: EventText | None = None
    pins_read: bool = True


def asked_for(observed: Observed, target: str) -> Observed:
    """Return the same Service as if its owner had asked for ``target``; malformed annotations stay so."""
    if isinstance(observed.spec, Malformed):
        return observed
    spec = msgspec.structs.replace(observed.spec or MigrationSpec(), target=target)
    return replace(observed, spec=spec)


def findings(observed: Observed, facts: Facts, now: datetime) -> tuple[Finding, ...]:
    """Return everything that would hold this migration, then what should be known; each once."""
    state = resolve(observed)
    blocks = [
        Finding(Level.BLOCK, ruling.reason, ruling.message)
        for ruling in held(observed, state, now, pins_read=facts.pins_read)
    ]
    blocks += [Finding(Level.BLOCK, *found) for found in _from_facts(observed, facts)]
    warns = [Finding(Level.WARN, *found) for found in warnings.told(observed, state)]
    if not any(finding.reason == "TwoMechanisms" for finding in blocks):  # which names them already
        warns += [Finding(Level.WARN, w.reason, _wins(observed, w)) for w in facts.winners]
    told = facts.told
    if told is not None:
        known = {finding.reason for finding in (*blocks, *warns)}
        if told.blocked and told.reason not in known | BY_WISH:
            blocks.append(Finding(Level.BLOCK, told.reason, told.message))
        warns += [
            Finding(Level.WARN, reason, message)
            for reason, message in told.warnings
            if reason not in known
        ]
    return tuple(dict.fromkeys((*blocks, *warns)))


def held(
    observed: Observed, state: MigrationState, now: datetime, *, pins_read: bool = True
) -> Iterator[Ruling]:
    """Return every ruling of the gates that a preflight asks; what an enrolled Service lacks, too."""
    enrolled: tuple[gates.Gate, ...] = (gates.made,) if state.records and pins_read else ()
    for gate in (*ASKED, *enrolled):
        if isinstance(gate, gates.Each):
            yield from gate.every(observed, state, now)
        elif ruling := gate(observed, state, now):
            yield ruling


def _from_facts(observed: Observed, facts: Facts) -> Iterable[tuple[str, str]]:
    for cluster, namespace in facts.no_namespace.items():
        yield "NamespaceMissing", f"there is no namespace {namespace} in {cluster}"
    for cluster, selector in facts.unexported.items():
        yield (
            "NotExported",
            f"the labels of {observed.key} in {cluster} do not meet the Link's selector, {selector}",
        )
    for sentence in facts.refused:
        yield "WriteRefused", sentence


def _wins(observed: Observed, winner: Winner) -> str:
    kind = "ServiceProfile" if winner.reason == "ProfileWins" else "HTTPRoute"
    return (
        f"in {winner.cluster} the {kind} {winner.name} in namespace {winner.namespace} decides for the"
        f" callers of {observed.key} there"
    )


def document(found: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return findings as JSON has them."""
    return [
        {
            "level": finding.level.value,
            "reason": finding.reason,
            "message": finding.message,
            "means": finding.meaning.means,
            "do": finding.meaning.do,
        }
        for finding in found
    ]
