"""Lease, fresh caches, pins, the record: without them nobody rises."""

from __future__ import annotations

from collections.abc import Iterator

from controller.decide.gates.gate import SETTLE_S, Each, Gate, hold, known_of
from controller.decide.input import Input
from controller.decide.resolve import split_parts, stored
from controller.domain import Hold, Reason, Side

CLOCKS_DIFFER_S = 2.0
"""What lies further in the future than this was stamped by a clock that was ahead, or has been set back since."""

PIN_AGE_S = 5.0
"""Busy gateways follow a pin in 42 ms, at most 95 (facts 8); this is that with room for a slow control plane."""

LOOP_FREE_S = 1.0
"""How long a mirror must have answered other than 508 before the first step."""


def cluster_stale(given: Input) -> Hold | None:
    """What is not fresh is not known."""
    for name, cluster in given.observed.clusters.items():
        if not cluster.current:
            why = cluster.stale_reason or "it was not listed yet"
            message = f"{name} is not known well enough to raise: {why}"
            return hold(Reason.CLUSTER_STALE, message)
    return None


def two_leases(given: Input) -> Hold | None:
    """Two controllers that lead by two Leases both think that they are the only one: then neither raises."""
    ours, other = given.observed.context.lease, given.observed.other_lease
    if not other:
        return None
    one, another = sorted(
        (ours, other)
    )  # both tell the same, so that neither writes over the other's word
    return hold(
        Reason.TWO_LEASES,
        f"two controllers lead, one by the lease {one} and one by {another}, and neither raises: stop one, or write"
        " the same lease in the settings of both",
    )


@Each
def object_unreadable(given: Input) -> Iterator[Hold]:
    """What is there and cannot be read is not known."""
    for name, cluster in given.observed.clusters.items():
        if cluster.unreadable:
            yield hold(Reason.OBJECT_UNREADABLE, f"in {name} {cluster.unreadable}")


def no_lease(given: Input) -> Hold | None:
    """Only one process raises."""
    context = given.observed.context
    if not context.leads:
        return hold(Reason.NO_LEASE, "this controller does not hold the lease")
    for record in given.state.every_record:
        mine = context.fencing_token - (not record.is_under(context.lease))
        if record.fencing_token > mine:
            newest = record.fencing_token
            return hold(
                Reason.NO_LEASE,
                f"a newer leader (fencing token {newest}) wrote the record; where there is none, this one takes a"
                " higher token when it renews its lease",
            )
    return None


@Each
def pin_missing(given: Input) -> Iterator[Hold]:
    """Both gateways are pinned before anything moves."""
    for name, cluster in given.observed.clusters.items():
        if cluster.pin is None:
            yield hold(Reason.PIN_MISSING, f"the gateway of {name} is not pinned yet")


@Each
def split_missing(given: Input) -> Iterator[Hold]:
    """Both splits are there before anything moves."""
    for name, cluster in given.observed.clusters.items():
        if cluster.split is None:
            yield hold(Reason.SPLIT_MISSING, f"{name} has no split yet")
        for port in cluster.missing:
            yield hold(Reason.SPLIT_MISSING, f"{name} has no HTTPRoute for port {port} yet")


@Each
def split_flawed(given: Input) -> Iterator[Hold]:
    """Both splits are as Linkerd reads them before anything moves."""
    for name, cluster in given.observed.clusters.items():
        if any(part.defects for part in split_parts(cluster)):
            yield hold(Reason.SPLIT_FLAWED, f"the split in {name} is being repaired")


def beginning(given: Input) -> Hold | None:
    """The attempt stands in both records."""
    state = given.state
    if state.attempt is None:
        return hold(Reason.BEGINNING, "the record of the attempt")
    records = [record for record in state.records.values() if state.is_of_attempt(record)]
    if len(records) < len(given.observed.clusters):
        return hold(Reason.BEGINNING, "the record of the attempt, on both splits")
    return None


def taking_over(given: Input) -> Hold | None:
    """Both records are of this leader's fencing token; another Lease's leader had time to answer that."""
    context, left = given.observed.context, given.observed.listens_s
    for record in given.state.every_record:
        if record.fencing_token != context.fencing_token or not record.is_under(context.lease):
            return hold(Reason.TAKING_OVER, "this leader's fencing token in both records")
    if left > 0:
        message = f"whether the leader of the lease that the records named is gone, {left:.0f} s"
        return hold(Reason.TAKING_OVER, message, requeue_after_s=left)
    return None


def recording(given: Input) -> Hold | None:
    """Both records have the spec in force."""
    spec = given.state.spec
    if spec is None:
        return None
    for record in given.state.every_record:
        if record.attempt and record.attempt.spec != stored(spec):
            return hold(Reason.RECORDING, "the changed annotations in both records")
    return None


def pin_young(given: Input) -> Hold | None:
    """A gateway takes a moment to obey its pin."""
    observed = given.observed
    for name, cluster in observed.clusters.items():
        if cluster.pin is None:
            continue
        left = PIN_AGE_S - (given.now - cluster.pin.created).total_seconds()
        if left > PIN_AGE_S + CLOCKS_DIFFER_S:  # by a clock that is ahead, or was: ours counts
            left = PIN_AGE_S - min(observed.settled_s, observed.started_s)
        if left > 0:
            message = f"the pin in {name} is 5 s old in {left:.1f} s"
            return hold(Reason.PIN_YOUNG, message, requeue_after_s=left)
    return None


def gateway_not_pinned(given: Input) -> Hold | None:
    """A mirror that answers 508 says that the far gateway is not pinned."""
    origin, target = given.state.origin, given.state.target
    for callers, far, side in ((origin, target, Side.TARGET), (target, origin, Side.ORIGIN)):
        if known_of(given.observed, callers, side).loop_s < LOOP_FREE_S:
            return hold(
                Reason.GATEWAY_NOT_PINNED,
                f"the mirror of {far} in {callers} answers 508: the gateway of {far} does not obey"
                " its pin",
            )
    return None


def settling(given: Input) -> Hold | None:
    """Proxies are given a second to follow the last write."""
    left = SETTLE_S - given.observed.settled_s
    if left <= 0:
        return None
    return hold(
        Reason.SETTLING, f"proxies follow the last write, {left:.1f} s", requeue_after_s=left
    )


ENROLLED: tuple[Gate, ...] = (pin_missing, split_missing, split_flawed)
"""What an enrolled Service has."""

GATES: tuple[Gate, ...] = (
    object_unreadable,
    cluster_stale,
    two_leases,
    no_lease,
    *ENROLLED,
    beginning,
    taking_over,
    recording,
    pin_young,
    gateway_not_pinned,
    settling,
)
