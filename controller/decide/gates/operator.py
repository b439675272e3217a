"""A person, the settings or the queue say stay: HOLD, armed."""

from __future__ import annotations

from collections.abc import Iterator

from controller.decide.gates.gate import Each, Gate, hold
from controller.decide.input import Input
from controller.decide.resolve import of_these_clusters, part_share, split_parts
from controller.domain import (
    BELIEVED_TOKEN,
    Hold,
    MigrationSpec,
    ObservedCluster,
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
            if isinstance(record, Record):
                message = _not_ours(given, record)
            if message:
                message = f"in {name} {message}; put it back, or remove it"
                yield hold(Reason.RECORD_UNREADABLE, message)


def _not_ours(given: Input, record: Record) -> str:
    """Return what is wrong with a record that can be read, "" where nothing is."""
    token = record.fencing_token
    if not of_these_clusters(given.observed, record):
        return "the record on the split is of clusters with other names"
    if token > max(BELIEVED_TOKEN, given.observed.context.fencing_token):
        return f"the record on the split has the fencing token {token}, to which no controller has counted"
    return ""


def hand_edited(given: Input) -> Hold | None:
    """Somebody wrote other weights than ours, or a split anew without its record: we never fight a human."""
    if not given.state.unfinished:
        return None
    found = (
        message
        for cluster in given.observed.clusters.values()
        for part in split_parts(cluster)
        if (message := _overridden(given, cluster, part))
    )
    message = next(found, "")
    return hold(Reason.HAND_EDITED, message) if message else None


def _overridden(given: Input, cluster: ObservedCluster, part: Split) -> str:
    """Return what somebody did to an object, and what to do about it; "" where it is as it was written."""
    state = given.state
    found = part_share(part, is_target=cluster.name == state.target)
    if state.was_dropped(cluster.name, part):
        return _dropped(given, cluster, part, found)
    record = part.record if isinstance(part.record, Record) else None
    if record is None or not state.is_of_attempt(record) or found == record.share_permille:
        return ""
    of = f" of the HTTPRoute {part.name}" if cluster.has_parts else ""
    return _drift(f"{of} in {cluster.name}", part, found, record.share_permille)


def _dropped(given: Input, cluster: ObservedCluster, part: Split, found: int) -> str:
    """Return the same of one without its record, "" where it stands where the attempt has it anyway."""
    state, name = given.state, cluster.name
    if state.attempt_is_recorded:
        due = max(state.step, state.baseline[name])
        if found == due:
            return ""
        weights = f"set its weights to {due / 10:g} %"
    else:
        weights = "put the record of one of the splits back"
    what = f"the HTTPRoute {part.name}" if cluster.has_parts else "the split"
    return (
        f"{part.editor or 'somebody'} wrote {what} in {name} anew, at {found / 10:g} %, without the record of"
        f" attempt {state.number}: {weights}, or set abort; where it is kept in Git, ignore {_field_of(part)}"
        " and the annotation there"
    )


def _field_of(split: Split) -> str:
    return "spec.backends" if split.kind is SplitKind.TRAFFICSPLIT else "spec.rules"


def _drift(where: str, split: Split, found: int, recorded: int) -> str:
    who = split.editor or "somebody"
    return (
        f"{who} set the share{where} to {found / 10:g} %, the record says {recorded / 10:g} %:"
        f" put the weights back, or set abort; where they are kept in Git, ignore {_field_of(split)} there"
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
