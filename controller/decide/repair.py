"""What must exist: pins and splits are put back for an attempt, and made for a spec that can be served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec

from controller.decide import gates
from controller.decide.input import Input
from controller.decide.resolve import share_without_split, split_parts
from controller.decide.roll_back import may_roll_back
from controller.decide.writes import kind_for, made_anew, together, write_away, write_share
from controller.domain import (
    WHOLE,
    Action,
    Attempt,
    Begun,
    EventText,
    Latch,
    MigrationSpec,
    ObservedCluster,
    ReadEndpoints,
    Reason,
    Record,
    Split,
    WritePin,
    WriteSplit,
)


def repair(given: Input) -> list[Action]:
    """Put back what an attempt or a record had and somebody removed: pins always, a split in mid-flight.

    A pin needs no lease: without it requests bounce, and it moves nobody. One that could not be given its copies when
    it was due is given them now.
    """
    if given.state.attempt is None and not given.state.every_record:
        return []
    pins = [*_pins_put_back(given)] if may_roll_back(given) else []
    if not _leads(given):
        return [*pins]
    return [*pins, *_pins_without_copy(given), *_splits_put_back(given)]


def make(given: Input) -> list[Action]:
    """Make or rewrite pins and splits for a spec that can be served: enrol the Service."""
    if not _may_make(given):
        return []
    actions: list[Action] = []
    for name, cluster in given.observed.clusters.items():
        if cluster.pin is None:
            actions.append(WritePin(name, given.observed.key, None))
        if cluster.split is None or cluster.missing:
            actions.append(_made(given, cluster))
        else:
            actions += together(
                _rewritten(given, cluster, part)
                for part in cluster.split.each()
                if part.defects and all(defect.repairable for defect in part.defects)
            )
    return actions


def ask(given: Input) -> list[Action]:
    """Ask by a canary whether anybody obeys the kind of split that the Service would get, the best first."""
    if not _leads(given):
        return []
    clusters = given.observed.clusters.values()
    return [action for cluster in clusters if (action := gates.asking(given, cluster))]


def _leads(given: Input) -> bool:
    return gates.first((gates.two_leases, gates.no_lease), given) is None


def _pins_put_back(given: Input) -> Iterator[WritePin]:
    latch, begun = _latch_of_pins(given), _begun_of_pins(given)
    for name, cluster in given.observed.clusters.items():
        if cluster.current and cluster.pin is None:
            event = EventText(
                Reason.PIN_REMADE, f"the pin of the gateway in {name} was missing and is put back"
            )
            yield WritePin(name, given.observed.key, None, latch, event, begun)


def _pins_without_copy(given: Input) -> Iterator[WritePin]:
    """Yield the writes that put on a pin what it does not say yet of the attempt."""
    latch, begun = _latch_of_pins(given), _begun_of_pins(given)
    for name, cluster in given.observed.clusters.items():
        pin = cluster.pin
        if pin is None or not cluster.current:
            continue
        latched = latch if pin.latch != latch else None
        copied = begun if not _is_copied(begun, pin.begun) else None
        if latched or copied:
            version = pin.resource_version
            yield WritePin(name, given.observed.key, version, latched, begun=copied)


def _is_copied(begun: Begun | None, found: Begun | None) -> bool:
    """Return whether a pin knows of the attempt; its spec may have changed since."""
    if begun is None or found is None:
        return begun is None
    same = (begun.completed, begun.splits) == (found.completed, found.splits)
    return same and begun.attempt.is_same(found.attempt)


def _begun_of_pins(given: Input) -> Begun | None:
    """Return what pins are to know of the attempt: once every record names it, one that does not was dropped."""
    state, clusters = given.state, given.observed.clusters
    if state.attempt is None:
        return None
    if not all(_is_recorded(given, cluster) for cluster in clusters.values()):
        return state.begun
    names = {n: tuple(sorted(part.name for part in split_parts(c))) for n, c in clusters.items()}
    return Begun(state.attempt, names, state.completed)


def _is_recorded(given: Input, cluster: ObservedCluster) -> bool:
    """Return whether a cluster is known to have a split, all of whose records name the attempt."""
    parts, state = split_parts(cluster), given.state
    named = (isinstance(p.record, Record) and state.is_of_attempt(p.record) for p in parts)
    return cluster.current and bool(parts) and all(named)


def _latch_of_pins(given: Input) -> Latch | None:
    state = given.state
    if state.attempt is None or state.reverted is None:
        return None
    return Latch(state.attempt.target, state.attempt.number, state.reverted)


def _splits_put_back(given: Input) -> Iterator[WriteSplit]:
    attempt = given.state.attempt
    if attempt is None or not given.state.unfinished:
        return
    for cluster in given.observed.clusters.values():
        if cluster.current and (cluster.split is None or cluster.missing):
            yield _recreated(given, attempt, cluster)


def _recreated(given: Input, attempt: Attempt, cluster: ObservedCluster) -> WriteSplit:
    """Recreate a deleted split, never above where its callers are now: the rest waits for PASS."""
    here = share_without_split(is_target=cluster.name == given.state.target)
    share = max(min(here, given.state.step), attempt.baseline[cluster.name])
    record = Record(
        kind=kind_for(given, cluster),
        fencing_token=given.observed.context.fencing_token,
        lease=given.observed.context.lease,
        made=given.now,
        attempt=attempt,
        share_permille=share,
        since=given.now,
    )
    what = "the split" if cluster.split is None else f"the HTTPRoute of {_shown(cluster.missing)}"
    event = EventText(
        Reason.SPLIT_REMADE,
        f"{what} in {cluster.name} was deleted during the attempt and is made anew, at"
        f" {share / 10:g} %",
    )
    write = made_anew(given, cluster, write_share(given, cluster, record, share))
    return replace(write, event=event)


def _shown(ports: Sequence[int]) -> str:
    return f"port {' and '.join(str(port) for port in ports)}"


def _may_make(given: Input) -> bool:
    observed, state = given.observed, given.state
    if not _leads(given) or state.spec is None or state.unfinished:
        return False
    if not isinstance(observed.spec, MigrationSpec):
        return False
    if not all(cluster.current and cluster.service for cluster in observed.clusters.values()):
        return False
    return gates.first(gates.SERVABLE, given) is None


def _is_sure(cluster: ObservedCluster) -> bool:
    """Return whether it is known whom a new split is to send the calls to: that nobody is ready here was read."""
    return bool(cluster.endpoints.ready) or cluster.endpoints_read_s <= cluster.empty_s


def _made(given: Input, cluster: ObservedCluster) -> Action:
    """A split at the share that changes nothing: local where somebody is ready, else at the mirror."""
    if not _is_sure(cluster):
        return ReadEndpoints(cluster.name, given.observed.key)
    away = 0 if cluster.endpoints.ready else WHOLE
    context = given.observed.context
    record = Record(
        kind=kind_for(given, cluster),
        fencing_token=context.fencing_token,
        lease=context.lease,
        made=given.now,
    )
    write = made_anew(given, cluster, write_away(given, cluster, record, away))
    names = " and ".join(each.name for each in write.each())
    event = EventText(
        Reason.SPLIT_MADE,
        f"made the {record.kind.api_kind} {names} in {cluster.name}, which changes nothing yet",
    )
    return replace(write, event=event)


def _rewritten(given: Input, cluster: ObservedCluster, split: Split) -> WriteSplit:
    """Somebody's split in the one spelling that Linkerd reads, with what it does now as its weights."""
    before = split.record if isinstance(split.record, Record) else Record(kind=split.kind)
    context = given.observed.context
    record = msgspec.structs.replace(
        before, fencing_token=context.fencing_token, lease=context.lease, made=given.now
    )
    what = "; ".join(defect.message for defect in split.defects)
    event = EventText(
        Reason.SPLIT_REWRITTEN,
        f"rewrote {split.name} in {cluster.name} without moving traffic: {what}",
    )
    write = write_away(given, cluster, record, split.away_permille, part=split)
    return replace(write, event=event)
