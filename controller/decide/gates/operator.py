"""A person, the settings or the queue say stay: HOLD, armed."""

from __future__ import annotations

from collections.abc import Iterator

from controller.decide.gates.gate import Each, Gate, hold
from controller.decide.input import Input
from controller.decide.resolve import of_these_clusters
from controller.domain import (
    Hold,
    MigrationSpec,
    ObservedCluster,
    Reason,
    Record,
    SplitKind,
    Unreadable,
)


@Each
def record_unreadable(given: Input) -> Iterator[Hold]:
    """A record that somebody wrote in, or that a newer controller wrote, is not written over for a raise."""
    for name, cluster in given.observed.clusters.items():
        record = cluster.split.record if cluster.split else None
        message = record.message if isinstance(record, Unreadable) else ""
        if isinstance(record, Record) and not of_these_clusters(given.observed, record):
            message = "the record on the split is of clusters with other names"
        if message:
            yield hold(Reason.RECORD_UNREADABLE, f"in {name} {message}; put it back, or remove it")


def hand_edited(given: Input) -> Hold | None:
    """Somebody wrote other weights than ours: we never fight a human."""
    observed, state = given.observed, given.state
    if not state.unfinished:
        return None
    for name, record in state.records.items():
        found, recorded = state.shares[name], record.share_permille
        if state.is_of_attempt(record) and found != recorded and found is not None:
            drift = _drift(name, observed.clusters[name], found, recorded)
            return hold(Reason.HAND_EDITED, drift)
    return None


def _drift(name: str, cluster: ObservedCluster, found: int, recorded: int) -> str:
    split = cluster.split
    who = (split.editor if split else "") or "somebody"
    spec = "spec.backends" if split and split.kind is SplitKind.TRAFFICSPLIT else "spec.rules"
    return (
        f"{who} set the share in {name} to {found / 10:g} %, the record says {recorded / 10:g} %:"
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
    if observed.has_slot or given.state.soaking:
        return None
    place = f", place {observed.slot_place} in the queue" if observed.slot_place else ""
    return hold(Reason.NO_SLOT, f"all slots are in use{place}")


GATES: tuple[Gate, ...] = (record_unreadable, hand_edited, paused, fleet_paused)
"""All but the slot, which is asked for once these let the migration pass."""
