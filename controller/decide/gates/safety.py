"""Lease, fresh views, pins, the record: without them nobody rises."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller.decide.gates.gate import Each, hold, known_of, wait
from controller.decide.resolve import MigrationState, stored
from controller.domain import Observed, Ruling, Side

CLOCKS_DIFFER_S = 2.0
"""What lies further in the future than this was stamped by a clock that was ahead, or has been set back since."""

PIN_AGE_S = 5.0
"""Busy gateways follow a pin in 42 ms, at most 95 (facts 8); this is that with room for a slow control plane."""

LOOP_FREE_S = 1.0
"""How long a mirror must have answered other than 508 before the first step."""

SETTLE_S = 1.0
"""Proxies follow a write in 45 ms at most (facts 10); what is probed before this is of before the step."""


def stale(observed: Observed, _state: MigrationState, _now: datetime) -> Ruling | None:
    """What is not fresh is not known."""
    for name, cluster in observed.clusters.items():
        if not cluster.current:
            why = cluster.stale_reason or "it was not listed yet"
            return hold("ClusterStale", f"{name} is not known well enough to raise: {why}")
    return None


def lease(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Only one process raises."""
    newest = max((record.fencing_token for record in state.records.values()), default=0)
    if not observed.context.leads:
        return hold("NoLease", "this controller does not hold the lease")
    if newest > observed.context.fencing_token:
        return hold("NoLease", f"a newer leader (epoch {newest}) wrote the record")
    return None


@Each
def made(observed: Observed, _state: MigrationState, _now: datetime) -> Iterator[Ruling]:
    """Splits and pins are there before anything moves."""
    for name, cluster in observed.clusters.items():
        if cluster.pin is None:
            yield wait("PinMissing", f"the gateway of {name} is not pinned yet")
        if cluster.split is None:
            yield wait("SplitMissing", f"{name} has no split yet")
        elif cluster.split.defects:
            yield wait("SplitFlawed", f"the split in {name} is being mended")


def begun(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """The attempt stands in both records, of this leader's fencing token, with the spec in force."""
    if state.attempt is None:
        return wait("Beginning", "the record of the attempt")
    records = [record for record in state.records.values() if state.is_of_attempt(record)]
    if len(records) < len(observed.clusters):
        return wait("Beginning", "the record of the attempt, on both splits")
    for record in records:
        if record.fencing_token != observed.context.fencing_token:
            return wait("TakingOver", "this leader's epoch in both records")
        if record.attempt and state.spec and record.attempt.spec != stored(state.spec):
            return wait("Recording", "the changed annotations in both records")
    return None


def pins_old(observed: Observed, _state: MigrationState, now: datetime) -> Ruling | None:
    """A gateway takes a moment to obey its pin."""
    for name, cluster in observed.clusters.items():
        if cluster.pin is None:
            continue
        left = PIN_AGE_S - (now - cluster.pin.created).total_seconds()
        if left > PIN_AGE_S + CLOCKS_DIFFER_S:  # by a clock that is ahead, or was: ours counts
            left = PIN_AGE_S - min(observed.settled_s, observed.started_s)
        if left > 0:
            return wait("PinYoung", f"the pin in {name} is 5 s old in {left:.1f} s", left)
    return None


def loop_free(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """A mirror that answers 508 says that the far gateway is not pinned."""
    for callers, side in ((state.origin, Side.TARGET), (state.target, Side.HOME)):
        found = known_of(observed, callers, side)
        if found.loop_s < LOOP_FREE_S:
            far = state.target if callers == state.origin else state.origin
            return hold(
                "GatewayNotPinned",
                f"the mirror of {far} in {callers} answers 508: the gateway of {far} does not obey"
                " its pin",
            )
    return None


def settling(observed: Observed, _state: MigrationState, _now: datetime) -> Ruling | None:
    """Proxies are given a second to follow the last write."""
    left = SETTLE_S - observed.settled_s
    return (
        wait("Settling", f"proxies follow the last write, {left:.1f} s", left) if left > 0 else None
    )
