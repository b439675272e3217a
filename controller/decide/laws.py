"""The laws of ``plan`` as functions of what it was given and what it answered.

They are asked at run time of each plan that acts (one that breaks a law raises nothing and pages), by the
properties, and by the model checker. They do not ask the gates again: a law reads the evidence, the records
and the weights themselves, so that a defect in a gate is one that a law can see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from controller.decide.input import Input
from controller.decide.resolve import part_share, share_without_split, split_parts
from controller.domain import (
    WHOLE,
    Attempt,
    MigrationSpec,
    ObservedCluster,
    Pin,
    Plan,
    Side,
    Split,
    Verdict,
    WritePin,
    WriteSplit,
)

Law = Callable[[Input, Plan], bool]
"""Whether a plan keeps it."""

PATHS_THAT_DECIDE = 4
"""To the target and to the origin, of the callers of both clusters (docs/evidence.md)."""


def broken(given: Input, plan: Plan) -> tuple[str, ...]:
    """Return the names of the laws that a plan breaks, in their order; none where it keeps them all."""
    if not plan.actions:
        return ()
    return tuple(name for name, keeps in LAWS.items() if not keeps(given, plan))


def raises(given: Input, write: WriteSplit) -> bool:
    """Return whether a write gives the target more of a cluster's calls than it has now, as far as is known.

    A split made where no local pod is ready takes nothing from anybody: it sends the calls to who is there.
    """
    cluster = given.observed.clusters[write.cluster]
    made = _part(given, write) is None
    if made and not cluster.endpoints.ready and write.record.attempt is None:
        return False
    return _after(given, write) > _before(given, write)


def rolls_back_first(given: Input, plan: Plan) -> bool:
    """Law 1: a revert takes a cluster to its baseline or leaves it where it is, and is latched in the record.

    While one is latched, nothing else is written to a split of that attempt.
    """
    for write in _splits(plan):
        attempt = write.record.attempt
        if write.revert:
            stays = _after(given, write) == _before(given, write)
            if attempt is None or write.record.reverted is None:
                return False
            if not stays and _after(given, write) != attempt.baseline[write.cluster]:
                return False
        elif attempt is not None and _is_over(given, attempt):
            return False
    return True


def rises_on_proof(given: Input, plan: Plan) -> bool:
    """Law 2: a share rises only with the lease, no other lease's leader about, both clusters current and their splits
    in force, and PASS of all four paths."""
    if not any(raises(given, write) for write in _splits(plan) if not write.revert):
        return True
    clusters = given.observed.clusters.values()
    found = [e.verdict for path, e in given.observed.paths.items() if path.side is not Side.APEX]
    return (
        _leads_alone(given)
        and all(_is_known_in_force(cluster) for cluster in clusters)
        and found == [Verdict.PASS] * PATHS_THAT_DECIDE
        and plan.ruling is None
    )


def _leads_alone(given: Input) -> bool:
    """Return whether this process leads, and no other is seen to lead by another Lease."""
    return given.observed.context.leads and not given.observed.other_lease


def _is_known_in_force(cluster: ObservedCluster) -> bool:
    """Return whether a cluster is current, and all that its split consists of in force."""
    return cluster.current and not any(part.not_in_force for part in split_parts(cluster))


def only_raises(given: Input, plan: Plan) -> bool:
    """Law 3: forward lowers no share and changes no baseline, and is written by the lease's holder alone.

    A split that is recreated in mid-attempt stands no higher than its callers are, and may stand lower.
    """
    for write in _splits(plan):
        if write.revert:
            continue
        existed = _part(given, write) is not None
        if existed and _after(given, write) < _before(given, write):
            return False
        if not given.observed.context.leads or not _same_baseline(given, write):
            return False
    return True


def makes_what_can_be_served(given: Input, plan: Plan) -> bool:
    """Law 4: a split is made only for an attempt that has begun, or for a spec and a Service in both clusters."""
    makes = any(write.resource_version is None for write in _splits(plan) if not write.revert)
    if not makes or given.state.unfinished:
        return True
    clusters = given.observed.clusters.values()
    return isinstance(given.observed.spec, MigrationSpec) and all(c.service for c in clusters)


def settles(given: Input, plan: Plan) -> bool:
    """Law 5: no write says what already stands, so that planning again after it was applied is quiet."""
    for write in _splits(plan):
        split = _part(given, write)
        same = (write.away_permille, write.record)
        if split and not split.defects and (split.away_permille, split.record) == same:
            return False
    for action in plan.actions:
        if isinstance(action, WritePin):
            pin = given.observed.clusters[action.cluster].pin
            if pin and _says(pin, action):
                return False
    return True


def _says(pin: Pin, write: WritePin) -> bool:
    """Return whether a pin says already what a write puts on it."""
    return write.latch in (None, pin.latch) and write.begun in (None, pin.begun)


LAWS: Mapping[str, Law] = MappingProxyType(
    {
        law.__name__: law
        for law in (
            rolls_back_first,
            rises_on_proof,
            only_raises,
            makes_what_can_be_served,
            settles,
        )
    }
)
"""By name, in the order of ``plan``'s docstring."""


def _splits(plan: Plan) -> Iterator[WriteSplit]:
    """Yield the writes of single objects."""
    for action in plan.actions:
        if isinstance(action, WriteSplit):
            yield from action.each()


def _part(given: Input, write: WriteSplit) -> Split | None:
    """Return the object that a write is about, None where it makes one."""
    parts = split_parts(given.observed.clusters[write.cluster])
    return next((part for part in parts if part.name == write.name), None)


def _is_target(given: Input, write: WriteSplit) -> bool:
    attempt = write.record.attempt
    return write.cluster == (attempt.target if attempt else given.state.target)


def _before(given: Input, write: WriteSplit) -> int:
    """Return the share before a write; of a split that was never seen, what its cluster's own pods serve."""
    is_target, part = _is_target(given, write), _part(given, write)
    if part is None:
        return share_without_split(is_target=is_target)
    return part_share(part, is_target=is_target)


def _after(given: Input, write: WriteSplit) -> int:
    away = write.away_permille
    return WHOLE - away if _is_target(given, write) else away


def _is_over(given: Input, attempt: Attempt) -> bool:
    """Return whether any record or pin says that this attempt was reverted."""
    over = {
        (record.attempt.target, record.attempt.number)
        for record in given.state.every_record
        if record.attempt and record.reverted
    }
    over |= {
        (cluster.pin.latch.target, cluster.pin.latch.attempt)
        for cluster in given.observed.clusters.values()
        if cluster.pin and cluster.pin.latch
    }
    return (attempt.target, attempt.number) in over


def _same_baseline(given: Input, write: WriteSplit) -> bool:
    attempt = write.record.attempt
    known = (record.attempt for record in given.state.written.get(write.cluster, ()))
    same = [before for before in known if before and attempt and attempt.is_same(before)]
    return all(attempt is not None and before.baseline == attempt.baseline for before in same)
