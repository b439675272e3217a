"""Lease, fresh views, pins, the record: without them nobody rises."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller.gates.answers import (
    Each,
    hold,
    known_of,
    wait,
)
from controller.model import (
    Observed,
    Refusal,
    Side,
)
from controller.standing import Standing, stored

CLOCKS_DIFFER_S = 2.0
"""What lies further in the future than this was stamped by a clock that was ahead, or has been set back since."""

PIN_AGE_S = 5.0
"""Busy gateways follow a pin in 42 ms, at most 95 (facts 8); this is that with room for a slow control plane."""

LOOP_FREE_S = 1.0
"""How long a mirror must have answered other than 508 before the first step."""

SETTLE_S = 1.0
"""Proxies follow a write in 45 ms at most (facts 10); what is probed before this is of before the step."""


def stale(seen: Observed, _st: Standing, _now: datetime) -> Refusal | None:
    """What is not fresh is not known."""
    for name, cluster in seen.clusters.items():
        if not cluster.current:
            why = cluster.stale_reason or "it was not listed yet"
            return hold("ClusterStale", f"{name} is not known well enough to raise: {why}")
    return None


def lease(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Only one process raises."""
    newest = max((record.epoch for record in st.records.values()), default=0)
    if not seen.fleet.leads:
        return hold("NoLease", "this controller does not hold the lease")
    if newest > seen.fleet.epoch:
        return hold("NoLease", f"a newer leader (epoch {newest}) wrote the record")
    return None


@Each
def made(seen: Observed, _st: Standing, _now: datetime) -> Iterator[Refusal]:
    """Splits and pins are there before anything moves."""
    for name, cluster in seen.clusters.items():
        if cluster.pin is None:
            yield wait("PinMissing", f"the gateway of {name} is not pinned yet")
        if cluster.split is None:
            yield wait("SplitMissing", f"{name} has no split yet")
        elif cluster.split.flaws:
            yield wait("SplitFlawed", f"the split in {name} is being mended")


def begun(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """The attempt stands in both records, of this leader's epoch, with the wish in force."""
    if st.attempt is None:
        return wait("Beginning", "the record of the attempt")
    records = [record for record in st.records.values() if st.is_of_attempt(record)]
    if len(records) < len(seen.clusters):
        return wait("Beginning", "the record of the attempt, on both splits")
    for record in records:
        if record.epoch != seen.fleet.epoch:
            return wait("TakingOver", "this leader's epoch in both records")
        if record.attempt and st.wish and record.attempt.wish != stored(st.wish):
            return wait("Recording", "the changed annotations in both records")
    return None


def pins_old(seen: Observed, _st: Standing, now: datetime) -> Refusal | None:
    """A gateway takes a moment to obey its pin."""
    for name, cluster in seen.clusters.items():
        if cluster.pin is None:
            continue
        left = PIN_AGE_S - (now - cluster.pin.created).total_seconds()
        if left > PIN_AGE_S + CLOCKS_DIFFER_S:  # by a clock that is ahead, or was: ours counts
            left = PIN_AGE_S - min(seen.settled_s, seen.started_s)
        if left > 0:
            return wait("PinYoung", f"the pin in {name} is 5 s old in {left:.1f} s", left)
    return None


def loop_free(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A mirror that answers 508 says that the far gateway is not pinned."""
    for callers, side in ((st.origin, Side.TARGET), (st.target, Side.HOME)):
        found = known_of(seen, callers, side)
        if found.loop_s < LOOP_FREE_S:
            far = st.target if callers == st.origin else st.origin
            return hold(
                "GatewayNotPinned",
                f"the mirror of {far} in {callers} answers 508: the gateway of {far} does not obey"
                " its pin",
            )
    return None


def settling(seen: Observed, _st: Standing, _now: datetime) -> Refusal | None:
    """Proxies are given a second to follow the last write."""
    left = SETTLE_S - seen.settled_s
    return (
        wait("Settling", f"proxies follow the last write, {left:.1f} s", left) if left > 0 else None
    )
