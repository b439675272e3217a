"""A preflight: everything that would hold a migration of one Service, before its first step. Pure.

    findings(observed, facts, now) -> (Finding, ...)

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
from controller.decide.gates import finished, operator, preconditions, safety, spec
from controller.decide.input import Input, input_of
from controller.domain import Malformed, MigrationSpec, Observed, Reason, Ruling
from controller.domain.reasons import Level, Meaning

ASKED: tuple[gates.Gate, ...] = (
    *(gate for gate in finished.GATES if gate is not finished.completed),
    *spec.GATES,
    *preconditions.GATES,
    operator.record_unreadable,
    operator.hand_edited,
)
"""The gates that a preflight asks: those that need no probe, no lease, no slot and no clock."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. ``message`` says what and where, with its numbers."""

    level: Level
    reason: Reason
    message: str

    @property
    def meaning(self) -> Meaning:
        """What the reason means, and what to do."""
        return self.reason.meaning


@dataclass(frozen=True, slots=True)
class ReportedStatus:
    """What the Migration of an enrolled Service says: the one place where what the probes found is seen.

    ``blocked``: it holds, and not only for a while. ``warnings`` are (reason, message).
    """

    blocked: bool
    reason: Reason
    message: str
    warnings: tuple[tuple[Reason, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Winner:
    """An object in a namespace of callers that decides for them in the split's place."""

    cluster: str
    reason: Reason
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Entrance:
    """Something that leads to the pods of a Service from outside the cluster. ``write`` is what would have it send
    to the Service's address, "" where nothing would."""

    cluster: str
    name: str
    write: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one Service beside what the controller observes.

    ``no_namespace`` names, by cluster, the namespace that is missing there; ``unexported`` the selector of the
    Link that the Service's labels there do not meet. ``refused`` are sentences about writes that would
    fail. ``without_adaptor`` are the clusters where a TrafficSplit is to be made and nobody is seen who would obey it.
    ``pins_read`` is false where it is not known whether there are pins.
    """

    no_namespace: Mapping[str, str] = field(default_factory=dict)
    unexported: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    winners: tuple[Winner, ...] = ()
    entrances: tuple[Entrance, ...] = ()
    reported: ReportedStatus | None = None
    without_adaptor: tuple[str, ...] = ()
    pins_read: bool = True


def asked_for(observed: Observed, target: str) -> Observed:
    """Return the same Service as if its owner had asked for ``target``; malformed annotations stay so."""
    if isinstance(observed.spec, Malformed):
        return observed
    asked = msgspec.structs.replace(observed.spec or MigrationSpec(), target=target)
    return replace(observed, spec=asked)


def findings(observed: Observed, facts: Facts, now: datetime) -> tuple[Finding, ...]:
    """Return everything that would hold this migration, then what should be known; each once."""
    given = input_of(observed, now)
    blocks = [(ruling.reason, ruling.message) for ruling in held(given, pins_read=facts.pins_read)]
    blocks += _from_facts(observed, facts)
    warns: list[tuple[Reason, str]] = [*warnings.found(given.observed, given.state)]
    warns += _winners(observed, facts, _reasons([*blocks, *warns]))
    warns += _dials(facts.entrances, given.state.origin)
    if facts.reported is not None:
        known = _reasons([*blocks, *warns])
        blocks += _holds_for(facts.reported, known)
        warns += [warned for warned in facts.reported.warnings if warned[0] not in known]
    found = [Finding(Level.BLOCK, *block) for block in blocks]
    found += [Finding(Level.WARN, *warned) for warned in warns]
    return tuple(dict.fromkeys(found))


def _winners(observed: Observed, facts: Facts, known: set[Reason]) -> Iterator[tuple[Reason, str]]:
    """Return what decides for the callers of a namespace, and was not named already."""
    for winner in facts.winners:
        merged = winner.reason is Reason.ROUTE_WINS and Reason.ROUTES_MERGED in known
        if Reason.TWO_MECHANISMS not in known and not merged:
            yield winner.reason, _wins(observed, winner)


def held(given: Input, *, pins_read: bool = True) -> Iterator[Ruling]:
    """Return every ruling of the gates that a preflight asks; what an enrolled Service lacks, too."""
    enrolled = safety.ENROLLED if given.state.records and pins_read else ()
    for gate in (*ASKED, *enrolled):
        if isinstance(gate, gates.Each):
            yield from gate.every(given)
        elif ruling := gate(given):
            yield ruling


def _reasons(found: Iterable[tuple[Reason, str]]) -> set[Reason]:
    return {reason for reason, _ in found}


def _holds_for(reported: ReportedStatus, known: set[Reason]) -> Iterator[tuple[Reason, str]]:
    """Return what a Migration holds for that is not known already, and that nobody has chosen."""
    reason = reported.reason
    if reported.blocked and reason not in known and not reason.meaning.chosen:
        yield reason, reported.message


def _from_facts(observed: Observed, facts: Facts) -> Iterator[tuple[Reason, str]]:
    for cluster, namespace in facts.no_namespace.items():
        yield Reason.NAMESPACE_MISSING, f"there is no namespace {namespace} in {cluster}"
    for cluster, selector in facts.unexported.items():
        yield (
            Reason.NOT_EXPORTED,
            f"the labels of {observed.key} in {cluster} do not meet the Link's selector, {selector}",
        )
    for cluster in facts.without_adaptor:
        message = (
            f"{cluster} serves TrafficSplit, but no namespace there has the label linkerd.io/extension=smi, so"
            " nobody is seen who would obey one: install Linkerd's SMI extension"
        )
        yield Reason.SPLIT_UNANSWERED, message
    for sentence in facts.refused:
        yield Reason.WRITE_REFUSED, sentence


def _wins(observed: Observed, winner: Winner) -> str:
    kind = "ServiceProfile" if winner.reason is Reason.PROFILE_WINS else "HTTPRoute"
    return (
        f"in {winner.cluster} the {kind} {winner.name} in namespace {winner.namespace} decides for the"
        f" callers of {observed.key} there"
    )


def _dials(entrances: Iterable[Entrance], origin: str) -> Iterator[tuple[Reason, str]]:
    """Tell of everything that leads to the origin's pods at once; who reaches the target already need not move."""
    found = [entrance for entrance in entrances if entrance.cluster == origin]
    if found:
        names = warnings.listed(tuple(dict.fromkeys(entrance.name for entrance in found)))
        words = dict.fromkeys(entrance.write for entrance in found if entrance.write)
        write = f"; write {' and '.join(words)}" if words else ""
        yield (
            Reason.INGRESS_DIALS_PODS,
            f"in {origin} these send to the Service's pods, past the split: {names}{write}",
        )


def document(found: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return findings as JSON has them."""
    return [
        {
            "level": finding.level.value,
            "reason": finding.reason.value,
            "message": finding.message,
            "means": finding.meaning.means,
            "do": finding.meaning.do,
        }
        for finding in found
    ]
