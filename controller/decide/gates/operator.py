"""A person, the settings or the queue say stay: HOLD, armed."""

from __future__ import annotations

from collections.abc import Iterator

from controller.decide.gates.evidence import rests
from controller.decide.gates.gate import Each, Gate, hold, wait
from controller.decide.input import Input
from controller.decide.resolve import of_these_clusters, part_share, split_parts
from controller.domain import (
    BELIEVED_TOKEN,
    SOAK_SHARE,
    Hold,
    MigrationSpec,
    ObservedCluster,
    Reason,
    Record,
    Split,
    SplitKind,
    Unreadable,
)
from controller.domain.fleet import FleetWord


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
    """The platform says: nobody rises, by the settings or by its Fleet."""
    word = given.observed.fleet
    if given.observed.context.paused:
        return hold(Reason.FLEET_PAUSED, "paused is true in the controller's settings")
    if word and word.paused:
        return _stay(given, Reason.FLEET_PAUSED, word.paused)
    return None


def _stay(given: Input, reason: Reason, message: str) -> Hold:
    """Return a decision to stay by a Fleet's word: nothing new for who has not begun, and that it stands still for who
    is shifted."""
    return hold(reason, message) if given.state.shifted else wait(reason, message)


def wave_waits(given: Input) -> Hold | None:
    """Its wave is not open. Who is shifted goes on: half-way is no place to wait for others.

    Of a wave that moves together, nobody goes on without the one that was rolled back.
    """
    word = given.observed.fleet
    if word is None or given.state.shifted:
        return None
    message = word.waits or word.fallen or (_way_back(given, word) if word.returns else "")
    return _stay(given, Reason.WAVE_WAITS, message) if message else None


def _way_back(given: Input, word: FleetWord) -> str:
    """Return why a Service does not go back with its wave, "" where it does: it never moved, or too few pods are ready
    where it came from."""
    state, before = given.state, given.state.previous
    if state.attempt is not None:
        return ""
    asked = word.wish.get("target", "")
    if before is None or not state.previous_completed or before.origin != asked:
        return f"wave {word.wave} goes back to {asked}, and this Service did not complete a move from there"
    ready = given.observed.clusters[asked].endpoints.ready
    needed = -(-before.origin_ready * before.spec.origin_floor_percent // 100)
    if ready >= needed:
        return ""
    return f"{ready} of {before.origin_ready} pods are ready in {asked}, and {needed} have to be"


def window_closed(given: Input) -> Hold | None:
    """A window of its Fleet is closed; a soak goes on, and ends."""
    word = given.observed.fleet
    if word and word.closed and not _ends_soak(given):
        return _stay(given, Reason.WINDOW_CLOSED, word.closed)
    return None


def line_stopped(given: Input) -> Hold | None:
    """Too many of its Fleet were rolled back; a soak goes on, and ends."""
    word = given.observed.fleet
    if word and word.stopped and not _ends_soak(given):
        return _stay(given, Reason.LINE_STOPPED, word.stopped)
    return None


def _ends_soak(given: Input) -> bool:
    """Return whether all that is left to do is to end the soak."""
    state = given.state
    return state.soaking and all((state.lowest[c] or 0) >= SOAK_SHARE for c in state.moving)


def no_slot(given: Input) -> Hold | None:
    """Only so many migrations rise at a time."""
    observed = given.observed
    if observed.has_slot or given.state.soaking or rests(given):
        return None
    place = f", place {observed.slot_place} in the queue" if observed.slot_place else ""
    return hold(Reason.NO_SLOT, f"all slots are in use{place}")


GATES: tuple[Gate, ...] = (
    record_unreadable,
    hand_edited,
    paused,
    fleet_paused,
    wave_waits,
    window_closed,
    line_stopped,
)
"""All but the slot, which is asked for once these let the migration pass."""
