"""The product's promise, as one function: what to do next for one migration.

    plan(seen, now) -> Plan(phase, ruling, actions, probes, requeue_after_s)

The laws, above the code:

1.  The path back is asked first. REVERT brings each cluster to its own home, and is latched in both records.
2.  A share rises only when every gate lets it pass, so only on PASS of all four paths, only by the lease's holder.
3.  Forward only raises: a cluster's share becomes max(its own, the step). Home never changes in an attempt.
4.  What exists is mended whatever holds; what does not exist is made only for a spec that can be served.
5.  Planning again after the actions were applied is quiet.

Nothing here reads a clock, logs, awaits or raises on what a user wrote.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import msgspec

from controller.decide import gates, warnings
from controller.decide.resolve import MigrationState, away_for, resolve, share_without_split, stored
from controller.decide.split_choice import kind_of, port_of
from controller.domain import (
    SOAK_SHARE,
    WHOLE,
    Action,
    Answer,
    Attempt,
    CallPath,
    EventText,
    Latch,
    MigrationSpec,
    Observed,
    ObservedCluster,
    Phase,
    Plan,
    ProbeOrder,
    ReadSplits,
    Record,
    Reverted,
    Ruling,
    Side,
    Split,
    SplitKind,
    TrafficOrder,
    WritePin,
    WriteSplit,
)
from controller.domain.ports import port_to_probe, protocol_to_probe

PATHS_PER_CLUSTER = 3
"""To the target, home, and the apex."""


def plan(observed: Observed, now: datetime) -> Plan:
    """Return what to do next for one migration, what to probe, and when to look again.

    ``now`` is the lease cluster's clock (UTC). The answer depends on nothing but the arguments.
    """
    state = resolve(observed)
    ruling = gates.first(gates.ALL, observed, state, now)
    rolling_back = ruling is not None and ruling.answer is Answer.REVERT
    if rolling_back and ruling is not None:
        actions, ruling = _roll_back(observed, state, ruling, now)
    elif ruling is None:
        actions = _advance(observed, state, now)
    else:
        actions = (
            _repair(observed, state, now)
            or _make(observed, state, now)
            or _begin(observed, state, ruling, now)
        )
    phase = _phase(observed, state, ruling, now, rolling_back=rolling_back)
    following = _next(state, phase)
    return Plan(
        phase=phase,
        shares=state.shares,
        ruling=ruling,
        actions=tuple(actions),
        probes=_probes(observed, state),
        traffic=_traffic(observed, state),
        wants_slot=_wants_slot(observed, state, now),
        rate_per_s=PATHS_PER_CLUSTER * float(state.spec.probe.rate_per_s) if state.spec else 0.0,
        number=state.number,
        next=following,
        waiting_for=ruling.message if ruling and following else "",
        warnings=warnings.told(observed, state),
        requeue_after_s=ruling.requeue_after_s if ruling else None,
    )


# --- home -----------------------------------------------------------------------------------------


def _roll_back(
    observed: Observed, state: MigrationState, ruling: Ruling, now: datetime
) -> tuple[list[Action], Ruling]:
    """Bring each cluster home that may go, and latch the revert in both records and on both pins.

    The pins come last, so that the API servers first get what moves the callers. Gives the actions, and
    the ruling that people should see: of who must stay, where somebody does.
    """
    attempt = state.attempt
    if attempt is None or not _may_write_rollback(observed, state):
        return [], ruling
    latch = state.reverted or Reverted(ruling.reason, ruling.message, now)
    actions: list[Action] = []
    kept: Ruling | None = None
    for name, cluster in observed.clusters.items():
        out = name in state.shifted_clusters
        record = state.records.get(name)
        if out and (stay := gates.stays(observed, state, name)):
            kept = kept if kept and kept.alert else stay
            out = False
        if not out and record and state.is_of_attempt(record) and record.reverted == latch:
            continue
        if not out and cluster.split is None:
            continue
        share = attempt.baseline[name] if out else (state.shares[name] or 0)
        latched = _latched_record(observed, state, attempt, cluster, share, latch, now)
        actions.append(_write(observed, cluster, state, latched, share, revert=True))
    actions += _latch_pins(observed, attempt, latch)
    if kept is None:
        return actions, ruling
    return actions, replace(
        ruling,
        message=f"{ruling.message}; {kept.message}",
        requeue_after_s=kept.requeue_after_s,
        alert=kept.alert,
    )


def _may_write_rollback(observed: Observed, state: MigrationState) -> bool:
    """Going home needs no lease, only that no newer leader has shown itself (design section 5)."""
    newest = max((record.fencing_token for record in state.records.values()), default=0)
    context = observed.context
    return context.leads or (
        context.may_roll_back and (context.fencing_token == 0 or newest <= context.fencing_token)
    )


def _latch_pins(observed: Observed, attempt: Attempt, latch: Reverted) -> list[Action]:
    """Copy the latch to both pins; one that is missing is put back with it."""
    copy = Latch(attempt.target, attempt.number, latch)
    return [
        WritePin(name, observed.key, cluster.pin.resource_version if cluster.pin else None, copy)
        for name, cluster in observed.clusters.items()
        if (cluster.pin.latch != copy if cluster.pin else cluster.current)
    ]


def _latched_record(
    observed: Observed,
    state: MigrationState,
    attempt: Attempt,
    cluster: ObservedCluster,
    share: int,
    latch: Reverted,
    now: datetime,
) -> Record:
    before = state.records.get(cluster.name)
    return Record(
        kind=_kind(observed, state, cluster),
        fencing_token=max(
            before.fencing_token if before else 0,
            observed.context.fencing_token if observed.context.leads else 0,
        ),
        made=before.made if before else None,
        converted=before.converted if before else None,
        attempt=attempt,
        share_permille=share,
        since=now,
        reverted=latch,
    )


# --- forward --------------------------------------------------------------------------------------


def _advance(observed: Observed, state: MigrationState, now: datetime) -> list[Action]:
    """Raise: first what a half-made step left behind, else by one step."""
    if state.attempt is None or state.spec is None:
        return []
    step = state.step if state.lagging() else next_step(state)
    done = now if step >= WHOLE else None
    actions: list[Action] = []
    for name in observed.clusters:
        if name not in state.moving and not done:
            continue
        share = max(state.shares[name] or 0, step)
        actions += _record_again(observed, state, name, share, now, completed=done)
    return actions


def next_step(state: MigrationState) -> int:
    """Return the share after the present one that raises anybody: of the steps, the soak's share, then everything."""
    spec = state.spec
    if spec is None or not state.moving:
        return WHOLE
    steps = (SOAK_SHARE,) if spec.steps == "now" else (*spec.steps, SOAK_SHARE)
    lowest = min(state.shares[name] or 0 for name in state.moving)
    return next((step for step in steps if step > max(state.step, lowest)), WHOLE)


def _record_again(
    observed: Observed,
    state: MigrationState,
    name: str,
    share: int,
    since: datetime | None,
    *,
    completed: datetime | None = None,
) -> list[Action]:
    """Write one split with its record brought up to date; nothing where it says all this already."""
    cluster = observed.clusters[name]
    before = state.records.get(name)
    if state.attempt is None or state.spec is None or cluster.split is None:
        return []
    ours = before is not None and state.is_of_attempt(before)
    same_share = ours and before is not None and before.share_permille == share
    if same_share and before and before.completed:
        completed = before.completed  # else each look completes it anew while the other waits
    record = Record(
        kind=cluster.split.kind,
        fencing_token=observed.context.fencing_token,
        made=before.made if before else None,
        converted=before.converted if before else None,
        attempt=msgspec.structs.replace(state.attempt, spec=stored(state.spec)),
        share_permille=share,
        since=before.since if same_share and before else since,
        completed=completed,
    )
    if record == before:
        return []
    return [_write(observed, cluster, state, record, share)]


# --- making, mending, beginning -------------------------------------------------------------------


def _repair(observed: Observed, state: MigrationState, now: datetime) -> list[Action]:
    """Put back what an attempt or a record had and somebody removed: pins always, a split in mid-flight.

    A pin that could not be told of the latch when it was set is told now.
    """
    if not state.records or gates.lease(observed, state, now):
        return []
    latch = _pin_latch(state)
    actions: list[Action] = [
        WritePin(
            name,
            observed.key,
            None,
            latch,
            EventText("PinRemade", f"the pin of the gateway in {name} was missing and is put back"),
        )
        for name, cluster in observed.clusters.items()
        if cluster.current and cluster.pin is None
    ]
    actions += [
        WritePin(name, observed.key, cluster.pin.resource_version, latch)
        for name, cluster in observed.clusters.items()
        if latch and cluster.pin and cluster.pin.latch != latch
    ]
    if state.unfinished and state.attempt:
        actions += [
            _recreated(observed, state, state.attempt, cluster, now)
            for cluster in observed.clusters.values()
            if cluster.current and cluster.split is None
        ]
    return actions


def _pin_latch(state: MigrationState) -> Latch | None:
    if state.attempt is None or state.reverted is None:
        return None
    return Latch(state.attempt.target, state.attempt.number, state.reverted)


def _recreated(
    observed: Observed,
    state: MigrationState,
    attempt: Attempt,
    cluster: ObservedCluster,
    now: datetime,
) -> WriteSplit:
    """Make a deleted split anew, never above where its callers are now: the rest waits for PASS."""
    here = share_without_split(is_target=cluster.name == state.target)
    share = max(min(here, state.step), attempt.baseline[cluster.name])
    record = Record(
        kind=_kind(observed, state, cluster),
        fencing_token=observed.context.fencing_token,
        made=now,
        attempt=attempt,
        share_permille=share,
        since=now,
    )
    told = EventText(
        "SplitRemade",
        f"the split in {cluster.name} was deleted during the attempt and is made anew, at"
        f" {share / 10:g} %",
    )
    return replace(_write(observed, cluster, state, record, share), told=told)


def _make(observed: Observed, state: MigrationState, now: datetime) -> list[Action]:
    """Make or mend pins and splits for a spec that can be served: enrol the Service."""
    may = (
        gates.lease(observed, state, now) is None
        and state.spec is not None
        and isinstance(observed.spec, MigrationSpec)
        and all(cluster.current and cluster.service for cluster in observed.clusters.values())
        and not state.unfinished
        and gates.first((*gates.FINISHED, *gates.SPEC), observed, state, now) is None
    )
    if not may:
        return []
    actions: list[Action] = []
    for name, cluster in observed.clusters.items():
        if cluster.pin is None:
            actions.append(WritePin(name, observed.key, None))
        split = cluster.split
        if split is None:
            actions.append(_made(observed, state, cluster, now))
        elif split.defects and all(defect.repairable for defect in split.defects):
            actions.append(_rewritten(observed, state, cluster, split, now))
    return actions


def _made(
    observed: Observed, state: MigrationState, cluster: ObservedCluster, now: datetime
) -> WriteSplit:
    """A split at the share that changes nothing: local where somebody is ready, else at the mirror."""
    away = 0 if cluster.endpoints.ready else WHOLE
    record = Record(
        kind=_kind(observed, state, cluster), fencing_token=observed.context.fencing_token, made=now
    )
    told = EventText(
        "SplitMade",
        f"made the {record.kind.api_kind} {observed.key.service} in {cluster.name}, which changes nothing yet",
    )
    return replace(_write_away(observed, cluster, record, away), told=told)


def _rewritten(
    observed: Observed, state: MigrationState, cluster: ObservedCluster, split: Split, now: datetime
) -> WriteSplit:
    """Somebody's split in the one spelling that Linkerd reads, with what it does now as its weights."""
    before = split.record if isinstance(split.record, Record) else None
    record = msgspec.structs.replace(
        before or Record(kind=split.kind), fencing_token=observed.context.fencing_token, made=now
    )
    what = "; ".join(defect.message for defect in split.defects)
    told = EventText(
        "SplitRewritten",
        f"rewrote {split.name} in {cluster.name} without moving traffic: {what}",
    )
    return replace(_write_away(observed, cluster, record, split.away_permille), told=told)


def _begin(
    observed: Observed, state: MigrationState, ruling: Ruling, now: datetime
) -> list[Action]:
    """Write the attempt into both records, on splits that were just read; or this leader's fencing token."""
    if ruling.reason in ("TakingOver", "Recording"):
        return [
            action
            for name in observed.clusters
            for action in _record_again(
                observed, state, name, state.records[name].share_permille, now
            )
        ]
    if ruling.reason != "Beginning" or state.spec is None:
        return []
    if any(cluster.writing for cluster in observed.clusters.values()):
        return []  # a latch on its way to a pin may still end the attempt that seems to be over
    if not observed.just_read:
        return [ReadSplits(observed.key)]
    attempt = state.attempt or Attempt(
        number=state.number,
        origin=state.origin,
        target=state.target,
        baseline={name: WHOLE if share == WHOLE else 0 for name, share in state.shares.items()},
        origin_ready=observed.clusters[state.origin].endpoints.ready,
        spec=stored(state.spec),
        started=now,
        kinds={
            name: _kind(observed, state, cluster) for name, cluster in observed.clusters.items()
        },
    )
    begun = replace(state, attempt=attempt)
    return [
        action
        for name in observed.clusters
        if not ((record := state.records.get(name)) and begun.is_of_attempt(record))
        for action in _record_again(
            observed, begun, name, state.shares[name] or 0, _stood_since(begun, now)
        )
    ]


def _stood_since(begun: MigrationState, now: datetime) -> datetime | None:
    """Where callers stand when an attempt begins is no step of it, unless all of them stand at its end.

    A record that was lost in mid-flight is another thing: nobody knows how long its share has stood.
    """
    under_way = any(r.since for r in begun.records.values() if begun.is_of_attempt(r))
    at_the_end = all((begun.shares[name] or 0) >= SOAK_SHARE for name in begun.moving)
    return now if under_way or at_the_end else None


# --- writes ---------------------------------------------------------------------------------------


def _write(
    observed: Observed,
    cluster: ObservedCluster,
    state: MigrationState,
    record: Record,
    share: int,
    *,
    revert: bool = False,
) -> WriteSplit:
    away = away_for(share, is_target=cluster.name == state.target)
    return replace(_write_away(observed, cluster, record, away), revert=revert)


def _write_away(
    observed: Observed, cluster: ObservedCluster, record: Record, away: int
) -> WriteSplit:
    split, key = cluster.split, observed.key
    return WriteSplit(
        cluster=cluster.name,
        key=key,
        kind=record.kind,
        away_permille=away,
        record=record,
        resource_version=split.resource_version if split else None,
        name=split.name if split else key.service,
        port=port_of(observed, cluster) if record.kind is SplitKind.HTTPROUTE else None,
        carried=split.carried if split else "",
    )


def _kind(observed: Observed, state: MigrationState, cluster: ObservedCluster) -> SplitKind:
    """Where neither kind is served nothing is made: a gate holds that. Only a revert may still write."""
    return kind_of(observed, state, cluster) or SplitKind.TRAFFICSPLIT


# --- what to probe --------------------------------------------------------------------------------


def _probes(observed: Observed, state: MigrationState) -> tuple[ProbeOrder, ...]:
    """Probe every path of a migration that has a slot or stands above the baseline, and of no other."""
    attempt, spec = state.attempt, state.spec
    wanted = state.shifted or (observed.has_slot and state.unfinished)
    if not (wanted and attempt and spec and observed.context.may_roll_back):
        return ()
    orders: list[ProbeOrder] = []
    for callers, far in ((state.origin, state.target), (state.target, state.origin)):
        service = observed.clusters[callers].service
        port = port_to_probe(service.ports, spec.probe) if service else None
        protocol = protocol_to_probe(port, spec.probe) if port else None
        if port is None or protocol is None:
            continue
        pods = tuple(sorted(observed.clusters[callers].endpoints.pods.get(port.name, ())))
        own, across = Side.HOME, Side.TARGET
        if callers == state.target:
            own, across = across, own
        for side, route, mirror_of in (
            (own, "pods", ""),
            (across, "mirror", far),
            (Side.APEX, "apex", ""),
        ):
            path = CallPath(callers, side)
            orders.append(
                ProbeOrder(
                    path=path,
                    key=observed.key,
                    route=route,  # type: ignore[arg-type]  # a Literal, widened by the tuple
                    mirror_of=mirror_of,
                    port=port.number,
                    addresses=pods if route == "pods" else (),
                    protocol=protocol,
                    probe=spec.probe,
                    success_percent=spec.success_percent,
                    latency=spec.latency,
                    judges=_judges(observed, spec),
                    shifted=state.shifted,
                    generation=observed.generation,
                    identity=(*identity(observed, attempt, spec, path), protocol),
                )
            )
    return tuple(orders)


def identity(
    observed: Observed, attempt: Attempt, spec: MigrationSpec, path: CallPath
) -> tuple[object, ...]:
    """Return what evidence is keyed by (design section 7): another identity starts at zero."""
    return (
        observed.key,
        attempt.origin,
        attempt.target,
        attempt.number,
        attempt.started,
        path,
        spec.success_percent,
        spec.latency,
        spec.probe,
        _judges(observed, spec),
    )


def _traffic_on(observed: Observed, spec: MigrationSpec) -> bool:
    return bool(observed.context.prometheus) and gates.traffic_mode(observed, spec) != "off"


def _judges(observed: Observed, spec: MigrationSpec) -> int:
    """Return how many sources of evidence judge, and share alpha."""
    return observed.judges + _traffic_on(observed, spec)


def _traffic(observed: Observed, state: MigrationState) -> TrafficOrder | None:
    """Count real traffic of every Service that has splits, and judge it while an attempt is under way."""
    kinds = {name: c.split.kind for name, c in observed.clusters.items() if c.split}
    if not (observed.context.prometheus and kinds):
        return None
    attempt, spec = state.attempt, state.spec
    judged = state.unfinished and spec is not None and _traffic_on(observed, spec)
    return TrafficOrder(
        key=observed.key,
        target=state.target,
        kinds=kinds,
        made={name: record.made for name, record in state.records.items()},
        pods={
            name: tuple(address for pods in c.endpoints.pods.values() for address in pods)
            for name, c in observed.clusters.items()
        },
        success_percent=spec.success_percent if judged and spec else None,
        identity=(attempt.number, attempt.target, attempt.started, spec.success_percent)
        if judged and attempt and spec
        else (),
        judges=_judges(observed, spec) if spec else 1,
    )


def _wants_slot(observed: Observed, state: MigrationState, now: datetime) -> bool:
    """A slot is held from the last gate before the first raise until the soak begins, or until home."""
    if state.attempt is not None and (state.completed or state.reverted or state.soaking):
        return False
    if state.shifted:
        return True
    return gates.first(gates.BEFORE_SLOT, observed, state, now) is None


# --- what to tell ---------------------------------------------------------------------------------


def _phase(
    observed: Observed,
    state: MigrationState,
    ruling: Ruling | None,
    now: datetime,
    *,
    rolling_back: bool,
) -> Phase:
    flowing = ruling is None or ruling.waits
    if rolling_back:
        return Phase.REVERTING
    if state.reverted or gates.remembered(observed, state, now):
        return Phase.REVERTED
    if state.completed:
        return Phase.COMPLETED
    if state.shifted and state.soaking:
        return Phase.SOAKING
    if state.shifted:
        return Phase.PROGRESSING if flowing else Phase.HOLDING
    return (
        Phase.PROGRESSING if state.unfinished and observed.has_slot and flowing else Phase.PENDING
    )


def _next(state: MigrationState, phase: Phase) -> str:
    if phase is Phase.REVERTING:
        return "bring every caller home"
    if phase in (Phase.COMPLETED, Phase.REVERTED) or state.spec is None:
        return ""
    if state.attempt is None:
        return f"begin attempt {state.number} to {state.target}"
    step = state.step if state.lagging() else next_step(state)
    return "complete: 100 %" if step >= WHOLE else f"raise to {step / 10:g} %"
