"""The way back: each cluster to its baseline, the revert latched in both records and on both pins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from controller.decide import gates
from controller.decide.input import Input
from controller.decide.resolve import part_share, share_without_split, split_parts
from controller.decide.writes import kind_for, made_anew, together, write_share
from controller.domain import (
    Action,
    Attempt,
    Hold,
    Latch,
    ObservedCluster,
    Record,
    Revert,
    Reverted,
    Split,
    SplitKind,
    Unreadable,
    WritePin,
    WriteSplit,
)


def roll_back(given: Input, ruling: Revert) -> tuple[list[Action], Revert]:
    """Roll back each cluster that may go, and latch the revert in both records and on both pins.

    The pins come last, so that the API servers first get what moves the callers. Returns the actions, and
    the ruling that people should see: of who must stay, where somebody does.
    """
    attempt = given.state.attempt
    if attempt is None or not may_roll_back(given):
        return [], ruling
    latch = given.state.reverted or Reverted(ruling.reason.value, ruling.message, given.now)
    stays = _who_stays(given)
    actions: list[Action] = [
        write
        for cluster in given.observed.clusters.values()
        for write in _split_back(given, attempt, cluster, latch, stays=cluster.name in stays)
    ]
    actions += _latch_pins(given, attempt, latch)
    return actions, _told(ruling, stays)


def may_roll_back(given: Input) -> bool:
    """Return whether this process may write a revert.

    That needs no lease, only that no newer leader of it has shown itself (docs/how-it-works.md): with another Lease's
    both may, they write the same.
    """
    context = given.observed.context
    ours = (r for r in given.state.every_record if r.is_under(context.lease))
    newest = max((record.fencing_token for record in ours), default=0)
    mine = context.fencing_token
    return context.leads or (context.may_roll_back and (mine == 0 or newest <= mine))


def _who_stays(given: Input) -> dict[str, Hold]:
    """Return, by cluster that is shifted, why its callers are not sent back now."""
    asked = {name: gates.stays(given, name) for name in given.state.shifted_clusters}
    return {name: ruling for name, ruling in asked.items() if ruling is not None}


def _told(ruling: Revert, stays: dict[str, Hold]) -> Revert:
    """Return the revert's ruling with the words of who must stay: of one that asks for a person, if any."""
    if not stays:
        return ruling
    kept = next((stay for stay in stays.values() if stay.alert), list(stays.values())[-1])
    return replace(
        ruling,
        message=f"{ruling.message}; {kept.message}",
        requeue_after_s=kept.requeue_after_s,
        alert=kept.alert,
    )


def _split_back(
    given: Input, attempt: Attempt, cluster: ObservedCluster, latch: Reverted, *, stays: bool
) -> Iterator[WriteSplit]:
    """Yield the write that brings one cluster to its baseline, or only latches its record where it is."""
    name, is_target = cluster.name, cluster.name == given.state.target
    baseline = attempt.baseline[name]
    goes = name in given.state.shifted_clusters and not stays
    writes: list[WriteSplit] = []
    for part in split_parts(cluster):
        stands = part_share(part, is_target=is_target)
        share = baseline if goes else stands
        if share != stands or not _is_latched(given, part, latch, share if goes else None):
            record = _latched_record(given, attempt, part.kind, part.record, share, latch)
            writes.append(write_share(given, cluster, record, share, part=part, revert=True))
    if goes and _is_made(cluster) and share_without_split(is_target=is_target) != baseline:
        record = _latched_record(given, attempt, kind_for(given, cluster), None, baseline, latch)
        write = write_share(given, cluster, record, baseline, revert=True)
        writes += made_anew(given, cluster, write).each()
    yield from together(writes)


def _is_made(cluster: ObservedCluster) -> bool:
    """Return whether an object that is not there must be made to roll its callers back."""
    return cluster.split is None or bool(cluster.missing)


def _is_latched(given: Input, part: Split, latch: Reverted, share: int | None) -> bool:
    """Return whether an object's record says that it was rolled back, and to this share (None: to any)."""
    record = part.record if isinstance(part.record, Record) else None
    if record is None or not given.state.is_of_attempt(record) or record.reverted != latch:
        return False
    return share in (None, record.share_permille)


def _latched_record(
    given: Input,
    attempt: Attempt,
    kind: SplitKind,
    found: Record | Unreadable | None,
    share: int,
    latch: Reverted,
) -> Record:
    known = found if isinstance(found, Record) and found in given.state.every_record else None
    before = known or Record(kind=kind)
    context = given.observed.context
    token, lease = before.fencing_token, before.lease
    if context.leads and context.fencing_token > token:
        token, lease = context.fencing_token, context.lease
    return Record(
        kind=kind,
        fencing_token=token,
        lease=lease,
        made=before.made,
        converted=before.converted,
        attempt=attempt,
        share_permille=share,
        since=given.now,
        reverted=latch,
    )


def _latch_pins(given: Input, attempt: Attempt, latch: Reverted) -> list[Action]:
    """Copy the latch to both pins; one that is missing is put back with it."""
    copy = Latch(attempt.target, attempt.number, latch)
    return [
        WritePin(
            name, given.observed.key, cluster.pin.resource_version if cluster.pin else None, copy
        )
        for name, cluster in given.observed.clusters.items()
        if (cluster.pin.latch != copy if cluster.pin else cluster.current)
    ]
