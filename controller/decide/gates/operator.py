"""A person, the settings or the queue say stay: HOLD, armed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller.decide.gates.gate import Each, hold, wait
from controller.decide.resolve import MigrationState, of_these_clusters
from controller.domain import (
    MigrationSpec,
    Observed,
    ObservedCluster,
    Record,
    Ruling,
    SplitKind,
    Unreadable,
)


def edited(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Somebody wrote other weights than ours: we never fight a human."""
    if not state.unfinished:
        return None
    for name, record in state.records.items():
        found, recorded = state.shares[name], record.share_permille
        if state.is_of_attempt(record) and found != recorded and found is not None:
            return hold("HandEdited", _hand_edited(name, observed.clusters[name], found, recorded))
    return None


@Each
def unreadable(observed: Observed, _state: MigrationState, _now: datetime) -> Iterator[Ruling]:
    """A record that somebody wrote in, or that a newer controller wrote, is not written over for a raise."""
    for name, cluster in observed.clusters.items():
        record = cluster.split.record if cluster.split else None
        message = record.message if isinstance(record, Unreadable) else ""
        if isinstance(record, Record) and not of_these_clusters(observed, record):
            message = "the record on the split is of clusters with other names"
        if message:
            yield hold("RecordUnreadable", f"in {name} {message}; put it back, or remove it")


def _hand_edited(name: str, cluster: ObservedCluster, found: int, recorded: int) -> str:
    split = cluster.split
    who = (split.editor if split else "") or "somebody"
    spec = "spec.backends" if split and split.kind is SplitKind.TRAFFICSPLIT else "spec.rules"
    return (
        f"{who} set the share in {name} to {found / 10:g} %, the record says {recorded / 10:g} %:"
        f" put the weights back, or set abort; where they are kept in Git, ignore {spec} there"
    )


def paused(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """The owner says: stay."""
    if isinstance(observed.spec, MigrationSpec) and observed.spec.paused:
        share = f"at {state.step / 10:g} %" if state.shifted else "at home, enrolled"
        return hold("Paused", f"the annotation paused is true: it stays {share}")
    return None


def fleet_paused(observed: Observed, _state: MigrationState, _now: datetime) -> Ruling | None:
    """The platform's settings say: nobody rises."""
    if observed.context.paused:
        return hold("FleetPaused", "paused is true in the controller's settings")
    return None


def slot(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Only so many migrations rise at a time."""
    if observed.has_slot or state.soaking:
        return None
    place = f", place {observed.slot_place} in the queue" if observed.slot_place else ""
    return wait("NoSlot", f"all slots are in use{place}")
