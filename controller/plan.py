"""The product's promise, as one function: what to do next for one migration.

    plan(seen, now) -> Plan(phase, refusal, actions, probes, wake_s)

The laws, above the code:

1.  The way home is asked first. REVERT brings each cluster to its own home, and is latched in both records.
2.  A share rises only when every gate lets it pass, so only on PASS of all four ways, only by the lease's holder.
3.  Forward only raises: a cluster's share becomes max(its own, the step). Home never changes in an attempt.
4.  What exists is mended whatever holds; what does not exist is made only for a wish that can be served.
5.  Planning again after the actions were applied is quiet.

Nothing here reads a clock, logs, awaits or raises on what a user wrote.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import msgspec

from controller import caveats, gates
from controller.model import (
    SLIVER,
    WHOLE,
    Action,
    Answer,
    Attempt,
    ClusterSeen,
    Latch,
    Observed,
    Phase,
    Plan,
    ProbeOrder,
    ReadSplits,
    Record,
    Refusal,
    Reverted,
    Side,
    Split,
    SplitKind,
    Told,
    TrafficOrder,
    Way,
    Wish,
    WritePin,
    WriteSplit,
)
from controller.ports import port_to_probe, protocol_to_probe
from controller.splits.choice import kind_of, port_of
from controller.standing import (
    Standing,
    away_for,
    share_without_split,
    stand,
    stored,
)

WAYS_PER_CLUSTER = 3
"""To the target, home, and the apex."""


def plan(seen: Observed, now: datetime) -> Plan:
    """Say what to do next for one migration, what to probe, and when to look again.

    ``now`` is the lease cluster's clock (UTC). The answer depends on nothing but the arguments.
    """
    st = stand(seen)
    refusal = gates.first(gates.ALL, seen, st, now)
    going_home = refusal is not None and refusal.answer is Answer.REVERT
    if going_home and refusal is not None:
        actions, refusal = _go_home(seen, st, refusal, now)
    elif refusal is None:
        actions = _advance(seen, st, now)
    else:
        actions = _mend(seen, st, now) or _make(seen, st, now) or _begin(seen, st, refusal, now)
    phase = _phase(seen, st, refusal, now, going_home=going_home)
    following = _next(st, phase)
    return Plan(
        phase=phase,
        shares=st.shares,
        refusal=refusal,
        actions=tuple(actions),
        probes=_probes(seen, st),
        traffic=_traffic(seen, st),
        wants_slot=_wants_slot(seen, st, now),
        rate_per_s=WAYS_PER_CLUSTER * float(st.wish.probe.rate_per_s) if st.wish else 0.0,
        number=st.number,
        next=following,
        waiting_for=refusal.message if refusal and following else "",
        warnings=caveats.told(seen, st),
        wake_s=refusal.wake_s if refusal else None,
    )


# --- home -----------------------------------------------------------------------------------------


def _go_home(
    seen: Observed, st: Standing, refusal: Refusal, now: datetime
) -> tuple[list[Action], Refusal]:
    """Bring each cluster home that may go, and latch the revert in both records and on both pins.

    The pins come last, so that the API servers first get what moves the callers. Gives the actions, and
    the refusal that people should see: of who must stay, where somebody does.
    """
    attempt = st.attempt
    if attempt is None or not _may_write_home(seen, st):
        return [], refusal
    latch = st.reverted or Reverted(refusal.reason, refusal.message, now)
    actions: list[Action] = []
    kept: Refusal | None = None
    for name, cluster in seen.clusters.items():
        out = name in st.away_from_home
        record = st.records.get(name)
        if out and (stay := gates.stays(seen, st, name)):
            kept = kept if kept and kept.alert else stay
            out = False
        if not out and record and st.is_of_attempt(record) and record.reverted == latch:
            continue
        if not out and cluster.split is None:
            continue
        share = attempt.home[name] if out else (st.shares[name] or 0)
        latched = _latched_record(seen, st, attempt, cluster, share, latch, now)
        actions.append(_write(seen, cluster, st, latched, share, revert=True))
    actions += _latch_pins(seen, attempt, latch)
    if kept is None:
        return actions, refusal
    return actions, replace(
        refusal, message=f"{refusal.message}; {kept.message}", wake_s=kept.wake_s, alert=kept.alert
    )


def _may_write_home(seen: Observed, st: Standing) -> bool:
    """Going home needs no lease, only that no newer leader has shown itself (design section 5)."""
    newest = max((record.epoch for record in st.records.values()), default=0)
    fleet = seen.fleet
    return fleet.leads or (fleet.may_go_home and (fleet.epoch == 0 or newest <= fleet.epoch))


def _latch_pins(seen: Observed, attempt: Attempt, latch: Reverted) -> list[Action]:
    """Copy the latch to both pins; one that is missing is put back with it."""
    copy = Latch(attempt.target, attempt.number, latch)
    return [
        WritePin(name, seen.key, cluster.pin.resource_version if cluster.pin else None, copy)
        for name, cluster in seen.clusters.items()
        if (cluster.pin.latch != copy if cluster.pin else cluster.current)
    ]


def _latched_record(
    seen: Observed,
    st: Standing,
    attempt: Attempt,
    cluster: ClusterSeen,
    share: int,
    latch: Reverted,
    now: datetime,
) -> Record:
    before = st.records.get(cluster.name)
    return Record(
        kind=_kind(seen, st, cluster),
        epoch=max(before.epoch if before else 0, seen.fleet.epoch if seen.fleet.leads else 0),
        made=before.made if before else None,
        converted=before.converted if before else None,
        attempt=attempt,
        share_permille=share,
        since=now,
        reverted=latch,
    )


# --- forward --------------------------------------------------------------------------------------


def _advance(seen: Observed, st: Standing, now: datetime) -> list[Action]:
    """Raise: first what a half-made step left behind, else by one step."""
    if st.attempt is None or st.wish is None:
        return []
    step = st.step if st.lagging() else next_step(st)
    done = now if step >= WHOLE else None
    actions: list[Action] = []
    for name in seen.clusters:
        if name not in st.moving and not done:
            continue
        share = max(st.shares[name] or 0, step)
        actions += _record_again(seen, st, name, share, now, completed=done)
    return actions


def next_step(st: Standing) -> int:
    """Give the share after the present one that raises anybody: of the steps, the sliver, then everything."""
    wish = st.wish
    if wish is None or not st.moving:
        return WHOLE
    steps = (SLIVER,) if wish.steps == "now" else (*wish.steps, SLIVER)
    lowest = min(st.shares[name] or 0 for name in st.moving)
    return next((step for step in steps if step > max(st.step, lowest)), WHOLE)


def _record_again(
    seen: Observed,
    st: Standing,
    name: str,
    share: int,
    since: datetime | None,
    *,
    completed: datetime | None = None,
) -> list[Action]:
    """Write one split with its record brought up to date; nothing where it says all this already."""
    cluster = seen.clusters[name]
    before = st.records.get(name)
    if st.attempt is None or st.wish is None or cluster.split is None:
        return []
    ours = before is not None and st.is_of_attempt(before)
    same_share = ours and before is not None and before.share_permille == share
    if same_share and before and before.completed:
        completed = before.completed  # else each look completes it anew while the other waits
    record = Record(
        kind=cluster.split.kind,
        epoch=seen.fleet.epoch,
        made=before.made if before else None,
        converted=before.converted if before else None,
        attempt=msgspec.structs.replace(st.attempt, wish=stored(st.wish)),
        share_permille=share,
        since=before.since if same_share and before else since,
        completed=completed,
    )
    if record == before:
        return []
    return [_write(seen, cluster, st, record, share)]


# --- making, mending, beginning -------------------------------------------------------------------


def _mend(seen: Observed, st: Standing, now: datetime) -> list[Action]:
    """Put back what an attempt or a record had and somebody removed: pins always, a split in mid-flight.

    A pin that could not be told of the latch when it was set is told now.
    """
    if not st.records or gates.lease(seen, st, now):
        return []
    latch = _pin_latch(st)
    actions: list[Action] = [
        WritePin(
            name,
            seen.key,
            None,
            latch,
            Told("PinRemade", f"the pin of the gateway in {name} was missing and is put back"),
        )
        for name, cluster in seen.clusters.items()
        if cluster.current and cluster.pin is None
    ]
    actions += [
        WritePin(name, seen.key, cluster.pin.resource_version, latch)
        for name, cluster in seen.clusters.items()
        if latch and cluster.pin and cluster.pin.latch != latch
    ]
    if st.unfinished and st.attempt:
        actions += [
            _remade(seen, st, st.attempt, cluster, now)
            for cluster in seen.clusters.values()
            if cluster.current and cluster.split is None
        ]
    return actions


def _pin_latch(st: Standing) -> Latch | None:
    if st.attempt is None or st.reverted is None:
        return None
    return Latch(st.attempt.target, st.attempt.number, st.reverted)


def _remade(
    seen: Observed, st: Standing, attempt: Attempt, cluster: ClusterSeen, now: datetime
) -> WriteSplit:
    """Make a deleted split anew, never above where its callers are now: the rest waits for PASS."""
    here = share_without_split(is_target=cluster.name == st.target)
    share = max(min(here, st.step), attempt.home[cluster.name])
    record = Record(
        kind=_kind(seen, st, cluster),
        epoch=seen.fleet.epoch,
        made=now,
        attempt=attempt,
        share_permille=share,
        since=now,
    )
    told = Told(
        "SplitRemade",
        f"the split in {cluster.name} was deleted during the attempt and is made anew, at"
        f" {share / 10:g} %",
    )
    return replace(_write(seen, cluster, st, record, share), told=told)


def _make(seen: Observed, st: Standing, now: datetime) -> list[Action]:
    """Make or mend pins and splits for a wish that can be served: enrol the Service."""
    may = (
        gates.lease(seen, st, now) is None
        and st.wish is not None
        and isinstance(seen.wish, Wish)
        and all(cluster.current and cluster.service for cluster in seen.clusters.values())
        and not st.unfinished
        and gates.first((*gates.AT_REST, *gates.WISH), seen, st, now) is None
    )
    if not may:
        return []
    actions: list[Action] = []
    for name, cluster in seen.clusters.items():
        if cluster.pin is None:
            actions.append(WritePin(name, seen.key, None))
        split = cluster.split
        if split is None:
            actions.append(_made(seen, st, cluster, now))
        elif split.flaws and all(flaw.mendable for flaw in split.flaws):
            actions.append(_rewritten(seen, st, cluster, split, now))
    return actions


def _made(seen: Observed, st: Standing, cluster: ClusterSeen, now: datetime) -> WriteSplit:
    """A split at the share that changes nothing: local where somebody is ready, else at the mirror."""
    away = 0 if cluster.endpoints.ready else WHOLE
    record = Record(kind=_kind(seen, st, cluster), epoch=seen.fleet.epoch, made=now)
    told = Told(
        "SplitMade",
        f"made the {record.kind.api_kind} {seen.key.service} in {cluster.name}, which changes nothing yet",
    )
    return replace(_write_away(seen, cluster, record, away), told=told)


def _rewritten(
    seen: Observed, st: Standing, cluster: ClusterSeen, split: Split, now: datetime
) -> WriteSplit:
    """Somebody's split in the one spelling that Linkerd reads, with what it does now as its weights."""
    before = split.record if isinstance(split.record, Record) else None
    record = msgspec.structs.replace(
        before or Record(kind=split.kind), epoch=seen.fleet.epoch, made=now
    )
    what = "; ".join(flaw.message for flaw in split.flaws)
    told = Told(
        "SplitRewritten",
        f"rewrote {split.name} in {cluster.name} without moving traffic: {what}",
    )
    return replace(_write_away(seen, cluster, record, split.away_permille), told=told)


def _begin(seen: Observed, st: Standing, refusal: Refusal, now: datetime) -> list[Action]:
    """Write the attempt into both records, on splits that were just read; or this leader's epoch."""
    if refusal.reason in ("TakingOver", "Recording"):
        return [
            action
            for name in seen.clusters
            for action in _record_again(seen, st, name, st.records[name].share_permille, now)
        ]
    if refusal.reason != "Beginning" or st.wish is None:
        return []
    if any(cluster.writing for cluster in seen.clusters.values()):
        return []  # a latch on its way to a pin may still end the attempt that seems to be over
    if not seen.just_read:
        return [ReadSplits(seen.key)]
    attempt = st.attempt or Attempt(
        number=st.number,
        origin=st.origin,
        target=st.target,
        home={name: WHOLE if share == WHOLE else 0 for name, share in st.shares.items()},
        origin_ready=seen.clusters[st.origin].endpoints.ready,
        wish=stored(st.wish),
        started=now,
        kinds={name: _kind(seen, st, cluster) for name, cluster in seen.clusters.items()},
    )
    begun = replace(st, attempt=attempt)
    return [
        action
        for name in seen.clusters
        if not ((record := st.records.get(name)) and begun.is_of_attempt(record))
        for action in _record_again(
            seen, begun, name, st.shares[name] or 0, _stood_since(begun, now)
        )
    ]


def _stood_since(begun: Standing, now: datetime) -> datetime | None:
    """Where callers stand when an attempt begins is no step of it, unless all of them stand at its end.

    A record that was lost in mid-flight is another thing: nobody knows how long its share has stood.
    """
    under_way = any(r.since for r in begun.records.values() if begun.is_of_attempt(r))
    at_the_end = all((begun.shares[name] or 0) >= SLIVER for name in begun.moving)
    return now if under_way or at_the_end else None


# --- writes ---------------------------------------------------------------------------------------


def _write(
    seen: Observed,
    cluster: ClusterSeen,
    st: Standing,
    record: Record,
    share: int,
    *,
    revert: bool = False,
) -> WriteSplit:
    away = away_for(share, is_target=cluster.name == st.target)
    return replace(_write_away(seen, cluster, record, away), revert=revert)


def _write_away(seen: Observed, cluster: ClusterSeen, record: Record, away: int) -> WriteSplit:
    split, key = cluster.split, seen.key
    return WriteSplit(
        cluster=cluster.name,
        key=key,
        kind=record.kind,
        away_permille=away,
        record=record,
        resource_version=split.resource_version if split else None,
        name=split.name if split else key.service,
        port=port_of(seen, cluster) if record.kind is SplitKind.HTTPROUTE else None,
        carried=split.carried if split else "",
    )


def _kind(seen: Observed, st: Standing, cluster: ClusterSeen) -> SplitKind:
    """Where neither kind is served nothing is made: a gate holds that. Only a revert may still write."""
    return kind_of(seen, st, cluster) or SplitKind.TRAFFICSPLIT


# --- what to probe --------------------------------------------------------------------------------


def _probes(seen: Observed, st: Standing) -> tuple[ProbeOrder, ...]:
    """Probe every way of a migration that has a slot or stands above home, and of no other."""
    attempt, wish = st.attempt, st.wish
    wanted = st.above_home or (seen.has_slot and st.unfinished)
    if not (wanted and attempt and wish and seen.fleet.may_go_home):
        return ()
    orders: list[ProbeOrder] = []
    for callers, far in ((st.origin, st.target), (st.target, st.origin)):
        service = seen.clusters[callers].service
        port = port_to_probe(service.ports, wish.probe) if service else None
        protocol = protocol_to_probe(port, wish.probe) if port else None
        if port is None or protocol is None:
            continue
        pods = tuple(sorted(seen.clusters[callers].endpoints.pods.get(port.name, ())))
        own, across = Side.HOME, Side.TARGET
        if callers == st.target:
            own, across = across, own
        for side, route, mirror_of in (
            (own, "pods", ""),
            (across, "mirror", far),
            (Side.APEX, "apex", ""),
        ):
            way = Way(callers, side)
            orders.append(
                ProbeOrder(
                    way=way,
                    key=seen.key,
                    route=route,  # type: ignore[arg-type]  # a Literal, widened by the tuple
                    mirror_of=mirror_of,
                    port=port.number,
                    addresses=pods if route == "pods" else (),
                    protocol=protocol,
                    probe=wish.probe,
                    success_percent=wish.success_percent,
                    latency=wish.latency,
                    traffic_on=_traffic_on(seen, wish),
                    above_home=st.above_home,
                    generation=seen.generation,
                    identity=(*identity(seen, attempt, wish, way), protocol),
                )
            )
    return tuple(orders)


def identity(seen: Observed, attempt: Attempt, wish: Wish, way: Way) -> tuple[object, ...]:
    """Give what evidence is keyed by (design section 7): another identity starts at zero."""
    return (
        seen.key,
        attempt.origin,
        attempt.target,
        attempt.number,
        attempt.started,
        way,
        wish.success_percent,
        wish.latency,
        wish.probe,
        _traffic_on(seen, wish),
    )


def _traffic_on(seen: Observed, wish: Wish) -> bool:
    return bool(seen.fleet.prometheus) and gates.traffic_mode(seen, wish) != "off"


def _traffic(seen: Observed, st: Standing) -> TrafficOrder | None:
    """Count real traffic of every Service that has splits, and judge it while an attempt is under way."""
    kinds = {name: c.split.kind for name, c in seen.clusters.items() if c.split}
    if not (seen.fleet.prometheus and kinds):
        return None
    attempt, wish = st.attempt, st.wish
    judged = st.unfinished and wish is not None and _traffic_on(seen, wish)
    return TrafficOrder(
        key=seen.key,
        target=st.target,
        kinds=kinds,
        made={name: record.made for name, record in st.records.items()},
        pods={
            name: tuple(address for pods in c.endpoints.pods.values() for address in pods)
            for name, c in seen.clusters.items()
        },
        success_percent=wish.success_percent if judged and wish else None,
        identity=(attempt.number, attempt.target, attempt.started, wish.success_percent)
        if judged and attempt and wish
        else (),
    )


def _wants_slot(seen: Observed, st: Standing, now: datetime) -> bool:
    """A slot is held from the last gate before the first raise until the soak begins, or until home."""
    if st.attempt is not None and (st.completed or st.reverted or st.soaking):
        return False
    if st.above_home:
        return True
    return gates.first(gates.BEFORE_SLOT, seen, st, now) is None


# --- what to tell ---------------------------------------------------------------------------------


def _phase(
    seen: Observed, st: Standing, refusal: Refusal | None, now: datetime, *, going_home: bool
) -> Phase:
    flowing = refusal is None or refusal.waits
    if going_home:
        return Phase.REVERTING
    if st.reverted or gates.remembered(seen, st, now):
        return Phase.REVERTED
    if st.completed:
        return Phase.COMPLETED
    if st.above_home and st.soaking:
        return Phase.SOAKING
    if st.above_home:
        return Phase.PROGRESSING if flowing else Phase.HOLDING
    return Phase.PROGRESSING if st.unfinished and seen.has_slot and flowing else Phase.PENDING


def _next(st: Standing, phase: Phase) -> str:
    if phase is Phase.REVERTING:
        return "bring every caller home"
    if phase in (Phase.COMPLETED, Phase.REVERTED) or st.wish is None:
        return ""
    if st.attempt is None:
        return f"begin attempt {st.number} to {st.target}"
    step = st.step if st.lagging() else next_step(st)
    return "complete: 100 %" if step >= WHOLE else f"raise to {step / 10:g} %"
