"""A person, the settings or the queue say stay: HOLD, armed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller.gates.answers import (
    Each,
    hold,
    wait,
)
from controller.model import (
    ClusterSeen,
    Observed,
    Record,
    Refusal,
    SplitKind,
    Unreadable,
    Wish,
)
from controller.standing import Standing, of_these_clusters


def edited(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Somebody wrote other weights than ours: we never fight a human."""
    if not st.unfinished:
        return None
    for name, record in st.records.items():
        found, recorded = st.shares[name], record.share_permille
        if st.is_of_attempt(record) and found != recorded and found is not None:
            return hold("HandEdited", _hand_edited(name, seen.clusters[name], found, recorded))
    return None


@Each
def unreadable(seen: Observed, _st: Standing, _now: datetime) -> Iterator[Refusal]:
    """A record that somebody wrote in, or that a newer controller wrote, is not written over for a raise."""
    for name, cluster in seen.clusters.items():
        record = cluster.split.record if cluster.split else None
        message = record.message if isinstance(record, Unreadable) else ""
        if isinstance(record, Record) and not of_these_clusters(seen, record):
            message = "the record on the split is of clusters with other names"
        if message:
            yield hold("RecordUnreadable", f"in {name} {message}; put it back, or remove it")


def _hand_edited(name: str, cluster: ClusterSeen, found: int, recorded: int) -> str:
    split = cluster.split
    who = (split.editor if split else "") or "somebody"
    spec = "spec.backends" if split and split.kind is SplitKind.TRAFFICSPLIT else "spec.rules"
    return (
        f"{who} set the share in {name} to {found / 10:g} %, the record says {recorded / 10:g} %:"
        f" put the weights back, or set abort; where they are kept in Git, ignore {spec} there"
    )


def paused(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """The owner says: stay."""
    if isinstance(seen.wish, Wish) and seen.wish.paused:
        share = f"at {st.step / 10:g} %" if st.above_home else "at home, enrolled"
        return hold("Paused", f"the annotation paused is true: it stays {share}")
    return None


def fleet_paused(seen: Observed, _st: Standing, _now: datetime) -> Refusal | None:
    """The platform's settings say: nobody rises."""
    if seen.fleet.paused:
        return hold("FleetPaused", "paused is true in the controller's settings")
    return None


def slot(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Only so many migrations rise at a time."""
    if seen.has_slot or st.soaking:
        return None
    place = f", place {seen.slot_place} in the queue" if seen.slot_place else ""
    return wait("NoSlot", f"all slots are in use{place}")
