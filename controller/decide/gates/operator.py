"""A person, the settings or the queue say stay: HOLD, armed."""

from __future__ import annotations

from collections.abc import Iterator

from controller.decide.gates.evidence import rests
from controller.decide.gates.gate import Each, Gate, hold
from controller.decide.input import Input
from controller.decide.resolve import of_these_clusters, part_share, split_parts
from controller.domain import (
    Hold,
    MigrationSpec,
    Reason,
    Record,
    Split,
    SplitKind,
    Unreadable,
)


@Each
def record_unreadable(given: Input) -> Iterator[Hold]:
    """A record that somebody wrote in, or that a newer controller wrote, is not written over for a raise."""
    for name, cluster in given.observed.clusters.items():
        for record in (part.record for part in split_parts(cluster)):
            message = record.message if isinstance(record, Unreadable) else ""
            if isinstance(record, Record) and not of_these_clusters(given.observed, record):
                message = "the record on the split is of clusters with other names"
            if message:
                message = f"in {name} {message}; put it back, or remove it"
                yield hold(Reason.RECORD_UNREADABLE, message)


def hand_edited(given: Input) -> Hold | None:
    """Somebody wrote other weights than ours: we never fight a human."""
    state = given.state
    if not state.unfinished:
        return None
    for name, cluster in given.observed.clusters.items():
        for part in split_parts(cluster):
            found = part_share(part, is_target=name == state.target)
            record = part.record if isinstance(part.record, Record) else None
            if record and state.is_of_attempt(record) and found != record.share_permille:
                of = f" of the HTTPRoute {part.name}" if cluster.has_parts else ""
                drift = _drift(f"{of} in {name}", part, found, record.share_permille)
                return hold(Reason.HAND_EDITED, drift)
    return None


def _drift(where: str, split: Split, found: int, recorded: int) -> str:
    who = split.editor or "somebody"
    spec = "spec.backends" if split.kind is SplitKind.TRAFFICSPLIT else "spec.rules"
    return (
        f"{who} set the share{where} to {found / 10:g} %, the record says {recorded / 10:g} %:"
        f" put the weights back, or set abort; where they are kept in Git, ignore {spec} there"
    )


def paused(given: Input) -> Hold | None:
    """The owner says: stay."""
    state = given.state
    if isinstance(given.observed.spec, MigrationSpec) and given.observed.spec.paused:
        share = f"at {state.step / 10:g} %" if state.shifted else "at the baseline, enrolled"
        return hold(Reason.PAUSED, f"the annotation paused is true: it stays {share}")
    return None


def fleet_paused(given: Input) -> Hold | None:
    """The platform's settings say: nobody rises."""
    if given.observed.context.paused:
        return hold(Reason.FLEET_PAUSED, "paused is true in the controller's settings")
    return None


def no_slot(given: Input) -> Hold | None:
    """Only so many migrations rise at a time."""
    observed = given.observed
    if observed.has_slot or given.state.soaking or rests(given):
        return None
    place = f", place {observed.slot_place} in the queue" if observed.slot_place else ""
    return hold(Reason.NO_SLOT, f"all slots are in use{place}")


GATES: tuple[Gate, ...] = (record_unreadable, hand_edited, paused, fleet_paused)
"""All but the slot, which is asked for once these let the migration pass."""
