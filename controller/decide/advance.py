"""Forward: an attempt begins on splits that were just read, and rises a step at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import msgspec

from controller.decide import gates
from controller.decide.input import Input
from controller.decide.resolve import MigrationState, asked_by, part_share, split_parts, stored
from controller.decide.writes import kind_for, together, write_share
from controller.domain import (
    SOAK_SHARE,
    WHOLE,
    Action,
    Attempt,
    EventText,
    MigrationSpec,
    ReadSplits,
    Reason,
    Record,
    Split,
    WriteSplit,
)


def advance(given: Input) -> list[Action]:
    """Raise: first what a half-made step left behind, else by one step."""
    state = given.state
    if state.attempt is None or state.spec is None:
        return []
    step = state.step if state.lagging() else next_step(state)
    done = given.now if step >= WHOLE else None
    actions: list[Action] = []
    for name in given.observed.clusters if done else state.moving:
        actions += rewrite_records(
            given, name, lambda _part, share: max(share, step), given.now, completed=done
        )
    return actions


def next_step(state: MigrationState) -> int:
    """Return the share after the present one that raises anybody, per mille.

    Of the steps, the soak's share, then everything.
    """
    spec = state.spec
    if spec is None or not state.moving:
        return WHOLE
    steps = (SOAK_SHARE,) if spec.steps == "now" else (*spec.steps, SOAK_SHARE)
    lowest = min(state.shares[name] or 0 for name in state.moving)
    return next((step for step in steps if step > max(state.step, lowest)), WHOLE)


def begin(given: Input) -> list[Action]:
    """Write the attempt into both records, on splits that were just read."""
    observed, state = given.observed, given.state
    if state.spec is None or any(cluster.writing for cluster in observed.clusters.values()):
        return []  # a latch on its way to a pin may still end the attempt that seems to be over
    if not observed.just_read:
        return [ReadSplits(observed.key)]
    attempt = state.attempt or _new_attempt(given, state.spec)
    begun = replace(given, state=replace(state, attempt=attempt))
    since = _stood_since(begun.state, given.now)
    return [
        _written_again(given, write)
        for name in observed.clusters
        for write in rewrite_records(
            begun, name, lambda part, share: None if _is_of(begun.state, part) else share, since
        )
    ]


def take_over(given: Input) -> list[Action]:
    """Write this leader's fencing token, and the spec in force, into both records; not over what a person changed.

    To another Lease's leader that is the answer by which it learns of this one.
    """
    if gates.no_lease(given) or not given.state.unfinished:
        return []
    return [
        write
        for name in given.observed.clusters
        for write in rewrite_records(given, name, _as_recorded, given.now)
    ]


def _new_attempt(given: Input, spec: MigrationSpec) -> Attempt:
    observed, state = given.observed, given.state
    return Attempt(
        number=state.number,
        origin=state.origin,
        target=state.target,
        baseline={name: WHOLE if share == WHOLE else 0 for name, share in state.shares.items()},
        origin_ready=observed.clusters[state.origin].endpoints.ready,
        spec=stored(spec),
        started=given.now,
        kinds={name: kind_for(given, cluster) for name, cluster in observed.clusters.items()},
        asked_by=asked_by(observed),
    )


def _is_of(begun: MigrationState, part: Split) -> bool:
    return isinstance(part.record, Record) and begun.is_of_attempt(part.record)


def _as_recorded(part: Split, share: int) -> int | None:
    """Return the share of an object that stands as its record says, None where it does not."""
    recorded = isinstance(part.record, Record) and part.record.share_permille == share
    return share if recorded else None


def _written_again(given: Input, write: WriteSplit) -> WriteSplit:
    """Return a write, which tells where it puts a record back that somebody dropped."""
    name = write.cluster
    parts = split_parts(given.observed.clusters[name])
    dropped = [part for part in parts if given.state.was_dropped(name, part)]
    if not dropped:
        return write
    names = " and ".join(part.name for part in dropped)
    return replace(
        write,
        event=EventText(
            Reason.RECORD_REMADE,
            f"{dropped[0].editor or 'somebody'} wrote {names} in {name} anew without the record: it is"
            " written again, and nobody moves",
        ),
    )


def _stood_since(begun: MigrationState, now: datetime) -> datetime | None:
    """Where callers stand when an attempt begins is no step of it, unless all of them stand at its end.

    A record that was lost in mid-flight is another thing: nobody knows how long its share has stood.
    """
    under_way = any(r.since for r in begun.every_record if begun.is_of_attempt(r))
    at_the_end = all((begun.shares[name] or 0) >= SOAK_SHARE for name in begun.moving)
    return now if under_way or at_the_end else None


def rewrite_records(
    given: Input,
    name: str,
    share_of_part: Callable[[Split, int], int | None],
    since: datetime | None,
    *,
    completed: datetime | None = None,
) -> list[WriteSplit]:
    """Write one cluster's split with its records brought up to date; nothing of what says all this already.

    ``share_of_part`` tells the share that an object of it is to have, of the object and the share that it has; None
    leaves that object alone.
    """
    cluster, is_target = given.observed.clusters[name], name == given.state.target
    writes: list[WriteSplit] = []
    for part in split_parts(cluster):
        share = share_of_part(part, part_share(part, is_target=is_target))
        record = None if share is None else _record(given, part, share, since, completed)
        if record is not None and share is not None and record != part.record:
            writes.append(write_share(given, cluster, record, share, part=part))
    return together(writes)


def _record(
    given: Input, part: Split, share: int, since: datetime | None, completed: datetime | None
) -> Record | None:
    """Return an object's record with this share, up to date; None where no attempt is known."""
    state = given.state
    if state.attempt is None or state.spec is None:
        return None
    before = part.record if isinstance(part.record, Record) else Record(kind=part.kind)
    stays = state.is_of_attempt(before) and before.share_permille == share
    return Record(
        kind=part.kind,
        fencing_token=given.observed.context.fencing_token,
        lease=given.observed.context.lease,
        made=before.made,
        converted=before.converted,
        attempt=msgspec.structs.replace(state.attempt, spec=stored(state.spec)),
        share_permille=share,
        since=before.since if stays else since,
        # Else each decision completes it anew while the other cluster's write is under way.
        completed=before.completed if stays and before.completed else completed,
    )
