"""Forward: an attempt begins on splits that were just read, and rises a step at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import msgspec

from controller.decide.input import Input
from controller.decide.resolve import MigrationState, stored
from controller.decide.writes import kind_for, write_share
from controller.domain import (
    SOAK_SHARE,
    WHOLE,
    Action,
    Attempt,
    MigrationSpec,
    ReadSplits,
    Record,
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
        share = max(state.shares[name] or 0, step)
        actions += rewrite_record(given, name, share, given.now, completed=done)
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
    return [
        write
        for name in observed.clusters
        if not _is_of(begun.state, name)
        for write in rewrite_record(
            begun, name, state.shares[name] or 0, _stood_since(begun.state, given.now)
        )
    ]


def take_over(given: Input) -> list[Action]:
    """Write this leader's fencing token, and the spec in force, into both records."""
    return [
        write
        for name in given.observed.clusters
        for write in rewrite_record(
            given, name, given.state.records[name].share_permille, given.now
        )
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
    )


def _is_of(begun: MigrationState, cluster: str) -> bool:
    record = begun.records.get(cluster)
    return record is not None and begun.is_of_attempt(record)


def _stood_since(begun: MigrationState, now: datetime) -> datetime | None:
    """Where callers stand when an attempt begins is no step of it, unless all of them stand at its end.

    A record that was lost in mid-flight is another thing: nobody knows how long its share has stood.
    """
    under_way = any(r.since for r in begun.records.values() if begun.is_of_attempt(r))
    at_the_end = all((begun.shares[name] or 0) >= SOAK_SHARE for name in begun.moving)
    return now if under_way or at_the_end else None


def rewrite_record(
    given: Input,
    name: str,
    share_permille: int,
    since: datetime | None,
    *,
    completed: datetime | None = None,
) -> list[WriteSplit]:
    """Write one split with its record brought up to date; nothing where it says all this already."""
    cluster, state = given.observed.clusters[name], given.state
    if state.attempt is None or state.spec is None or cluster.split is None:
        return []
    before = state.records.get(name) or Record(kind=cluster.split.kind)
    stays = state.is_of_attempt(before) and before.share_permille == share_permille
    record = Record(
        kind=cluster.split.kind,
        fencing_token=given.observed.context.fencing_token,
        made=before.made,
        converted=before.converted,
        attempt=msgspec.structs.replace(state.attempt, spec=stored(state.spec)),
        share_permille=share_permille,
        since=before.since if stays else since,
        # Else each decision completes it anew while the other cluster's write is under way.
        completed=before.completed if stays and before.completed else completed,
    )
    if record == state.records.get(name):
        return []
    return [write_share(given, cluster, record, share_permille)]
