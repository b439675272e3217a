"""A preflight: everything that would hold a migration of one Service, before its first step. Pure.

    findings(seen, facts, now) -> (Finding, ...)

What holds is asked of the gates themselves, on the same Observed, so that a preflight and the controller
cannot disagree; and unlike the controller, which needs the first refusal, people get all of them. What is
told and never holds is asked of the caveats. What neither can see (namespaces, Links, refused writes) comes in
as :class:`Facts`. BLOCK where a gate speaks or a write would fail; WARN never gates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from controller import caveats, gates
from controller.meanings import MEANINGS, TOLD_ELSEWHERE, Level, Meaning
from controller.model import Malformed, Observed, Refusal, Wish
from controller.standing import Standing, stand

ASKED: tuple[gates.Gate, ...] = (
    gates.over,
    gates.remembered,
    gates.abort_asked,
    *gates.WISH,
    *gates.GROUND,
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
class Told:
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
    told: Told | None = None
    pins_read: bool = True


def asked_for(seen: Observed, target: str) -> Observed:
    """Give the same Service as if its owner had asked for ``target``; malformed annotations stay so."""
    if isinstance(seen.wish, Malformed):
        return seen
    wish = msgspec.structs.replace(seen.wish or Wish(), target=target)
    return replace(seen, wish=wish)


def findings(seen: Observed, facts: Facts, now: datetime) -> tuple[Finding, ...]:
    """Say everything that would hold this migration, then what should be known; each once."""
    st = stand(seen)
    blocks = [
        Finding(Level.BLOCK, refusal.reason, refusal.message)
        for refusal in held(seen, st, now, pins_read=facts.pins_read)
    ]
    blocks += [Finding(Level.BLOCK, *found) for found in _from_facts(seen, facts)]
    warns = [Finding(Level.WARN, *found) for found in caveats.told(seen, st)]
    if not any(finding.reason == "TwoMechanisms" for finding in blocks):  # which names them already
        warns += [Finding(Level.WARN, w.reason, _wins(seen, w)) for w in facts.winners]
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
    seen: Observed, st: Standing, now: datetime, *, pins_read: bool = True
) -> Iterator[Refusal]:
    """Give every refusal of the gates that a preflight asks; what an enrolled Service lacks, too."""
    enrolled: tuple[gates.Gate, ...] = (gates.made,) if st.records and pins_read else ()
    for gate in (*ASKED, *enrolled):
        if isinstance(gate, gates.Each):
            yield from gate.every(seen, st, now)
        elif refusal := gate(seen, st, now):
            yield refusal


def _from_facts(seen: Observed, facts: Facts) -> Iterable[tuple[str, str]]:
    for cluster, namespace in facts.no_namespace.items():
        yield "NamespaceMissing", f"there is no namespace {namespace} in {cluster}"
    for cluster, selector in facts.unexported.items():
        yield (
            "NotExported",
            f"the labels of {seen.key} in {cluster} do not meet the Link's selector, {selector}",
        )
    for sentence in facts.refused:
        yield "WriteRefused", sentence


def _wins(seen: Observed, winner: Winner) -> str:
    kind = "ServiceProfile" if winner.reason == "ProfileWins" else "HTTPRoute"
    return (
        f"in {winner.cluster} the {kind} {winner.name} in namespace {winner.namespace} decides for the"
        f" callers of {seen.key} there"
    )


def document(found: Iterable[Finding]) -> list[dict[str, Any]]:
    """Give findings as JSON has them."""
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
