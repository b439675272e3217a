"""Probes: the monitors of each migration's paths, fed by samples, asked by the plan.

No I/O and no clock; ``now_s`` is monotonic. This is where samples become observations: what the streams of a path
report within one tick is added up, what nobody stands behind is discarded, and what a rollout explains is no
fault.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from math import inf

from controller.domain import (
    CallPath,
    Key,
    ObservedCluster,
    PathEvidence,
    Plan,
    ProbeOrder,
    Reason,
    Record,
    Side,
    Verdict,
)
from controller.evidence.doubt import is_void
from controller.evidence.path import Heartbeat, Outlook, PathMonitor, Tick, origin_is_worse
from controller.evidence.source import Evidence, is_pin_missing
from prober.contract import LOOP, Counts, Report, Sample


@dataclass(frozen=True, slots=True)
class ProberReport:
    """One report of one stream, with the orders that it answers. ``now_s`` is monotonic.

    ``idle`` are the orders of which nothing was due. ``throttled`` is, for the paths that the prober's cap
    slows down, the rate per second that the whole path has then. ``refused`` are orders that the prober does
    not carry out, each with a reason, which may be empty, and a sentence.
    """

    cluster: str
    stream: int
    report: Report
    samples: tuple[tuple[ProbeOrder, Sample], ...]
    now_s: float
    idle: tuple[ProbeOrder, ...] = ()
    throttled: Mapping[tuple[Key, CallPath], float] = field(default_factory=dict)
    refused: tuple[tuple[ProbeOrder, str, str], ...] = ()


class Probes:
    """A source of evidence: probes of each migration's paths, as the probers of both clusters report them."""

    def __init__(self) -> None:
        self._monitors: dict[Key, ProbeMonitor] = {}
        self._heartbeats: defaultdict[str, Heartbeat] = defaultdict(Heartbeat)

    def order(self, key: Key, plan: Plan, now_s: float) -> None:
        """Watch exactly the paths that the plan has probed."""
        del now_s
        if plan.probes or key in self._monitors:
            self._monitors.setdefault(key, ProbeMonitor(self._heartbeats)).order(plan.probes)

    def notice(
        self, key: Key, clusters: Mapping[str, ObservedCluster], now_s: float, *, settled: bool
    ) -> None:
        """Note pods and pins that come and go, and a step that has settled."""
        monitor = self._monitors.get(key)
        if monitor is not None and settled:
            monitor.settled(now_s)
        if monitor is None or not monitor.active:
            return
        monitor.pins(missing=is_pin_missing(clusters), now_s=now_s)
        target = _target(clusters)
        for name, cluster in clusters.items():
            ready = frozenset(a for pods in cluster.endpoints.pods.values() for a in pods)
            monitor.pods(name, ready, now_s, is_target=name == target)

    def on_report(self, found: ProberReport) -> None:
        """Take one report of a prober in: its samples count at the next tick."""
        report = found.report
        clean = report.control.bad == 0
        self._heartbeats[found.cluster].beat(found.now_s)
        for order, sample in found.samples:
            if order.key in self._monitors:
                monitor = self._monitors[order.key]
                monitor.take(
                    order, sample, found.now_s, discarded=report.discarded, control_clean=clean
                )
                monitor.throttled(order, found.throttled.get((order.key, order.path)))
        for order, reason, message in found.refused:
            if order.key in self._monitors:
                self._monitors[order.key].refused(order, reason, message)
        for order in () if is_void(report.discarded) else found.idle:
            if order.key in self._monitors:
                self._monitors[order.key].idle(order, found.now_s)

    def fold(self, now_s: float) -> dict[Key, Look]:
        """Close a tick of 100 ms; return the migrations of which a decision may be another because of what came,
        or did not."""
        wait_s = max(WAIT_S, len(self._monitors) / LOOKS_PER_S)
        found = {key: monitor.fold(now_s, wait_s) for key, monitor in self._monitors.items()}
        return {key: look for key, look in found.items() if look}

    def evidence(self, key: Key, now_s: float) -> Evidence:
        """Return what is known of each path now."""
        monitor = self._monitors.get(key)
        return Evidence(paths=monitor.evidence(now_s)) if monitor else Evidence()

    def forget(self, key: Key) -> None:
        """Let go of a migration that is none any more."""
        self._monitors.pop(key, None)


def _target(clusters: Mapping[str, ObservedCluster]) -> str:
    """Return the target of the attempt that a split's record names, "" without one."""
    for cluster in clusters.values():
        record = cluster.split.record if cluster.split else None
        if isinstance(record, Record) and record.attempt is not None:
            return record.attempt.target
    return ""


POD_GRACE_S = 1.0
"""A bad probe of a pod that was not ready, or left, this long around it is discarded."""

PROBE_LIFE_S = 2.0
"""From a probe's due time to the arrival of its sample: its timeout, the beat, and some of the path."""

WAIT_S = 1.0
"""How long what neither may be a rollback nor lets anybody rise waits for a look, since the last one."""

LOOKS_PER_S = 50
"""No more of them than this in all: of a large fleet whose samples are discarded now and then each waits longer."""

PIN_GRACE_S = 1.0
"""A 508 this soon after a pin was recreated is discarded."""


@dataclass(slots=True)
class _Path:
    order: ProbeOrder
    monitor: PathMonitor
    pending: Tick = field(default_factory=Tick)
    discarded: bool = False
    throttled_per_s: float | None = None
    refused: tuple[str, str] | None = None
    held: list[tuple[float, Sample, bool, bool]] = field(default_factory=list)
    eager: PathMonitor | None = None
    eager_pending: Tick = field(default_factory=Tick)

    def close(self, now_s: float) -> None:
        """Close a tick: what came is one observation."""
        tick, self.pending = self.pending, Tick()
        if tick.samples:
            self.monitor.apply(tick, now_s)
        elif self.discarded:
            self.monitor.discard(now_s)
        self.discarded = False
        if self.eager is not None and self.eager_pending.samples:
            self.eager.apply(self.eager_pending, now_s)
            self.eager_pending = Tick()

    @property
    def eventful(self) -> bool:
        """Whether what is known may change from one tick to the next though nothing comes."""
        return bool(self.held) or self.monitor.faulty

    def outlook(self, now_s: float) -> Outlook:
        """Return what a decision may turn on."""
        found = self.monitor.outlook(now_s)
        eager = self.eager.outlook(now_s) if self.eager and self.eager.faulty else None
        return Outlook(
            Verdict.UNKNOWN if self.held and found.verdict is Verdict.PASS else found.verdict,
            (found.pressing, eager and (eager.verdict, eager.pressing)),
            (found.other, bool(self.held), self.refused, self.throttled_per_s is None),
        )


class Look(IntEnum):
    """Whether a migration is to be looked at because of its evidence."""

    NONE = 0
    SOON = 1
    NOW = 2


@dataclass(frozen=True, slots=True)
class _Told:
    """What a look was asked for last, and when."""

    at_s: float = -inf
    failed: frozenset[CallPath] = frozenset()
    passed: frozenset[CallPath] = frozenset()
    pressing: tuple[object, ...] = ()
    other: tuple[object, ...] = ()

    def look(self, known: _Told, wait_s: float) -> Look:
        """Return whether what is known now is worth a look; what is not pressing waits for ``wait_s``."""
        if known.failed != self.failed or known.pressing != self.pressing:
            return Look.NOW
        if not known.passed <= self.passed:
            return Look.SOON
        waited = known.at_s - self.at_s >= wait_s
        return Look.SOON if waited and self.differs(known) else Look.NONE

    def differs(self, known: _Told) -> bool:
        """Return whether anything else is not as it was told."""
        return (known.passed, known.other) != (self.passed, self.other)


class ProbeMonitor:
    """All paths of one migration. An order of another identity starts its monitor at zero."""

    def __init__(self, heartbeats: Mapping[str, Heartbeat] | None = None) -> None:
        self._heartbeats = defaultdict(Heartbeat) if heartbeats is None else heartbeats
        self._touched = False
        self._due_s = -inf
        self._told = _Told()
        self._paths: dict[CallPath, _Path] = {}
        self._ready: dict[str, frozenset[str]] = {}
        self._ready_since: dict[tuple[str, str], float] = {}
        self._sprt_pods: frozenset[str] = frozenset()
        self._pin_missing = False
        self._pin_made_s = -inf

    # --- what comes in -------------------------------------------------------------------------------

    def order(self, orders: Iterable[ProbeOrder]) -> None:
        """Watch exactly these paths."""
        wanted = {order.path: order for order in orders}
        for path in [path for path in self._paths if path not in wanted]:
            del self._paths[path]
        for path, order in wanted.items():
            known = self._paths.get(path)
            if known is None or known.order.identity != order.identity:
                self._paths[path] = _opened(order, self._heartbeats[path.callers])
                self._touched = True
            else:
                known.order = order
                known.monitor.at_baseline(not order.shifted)

    def take(
        self, order: ProbeOrder, part: Sample, now_s: float, *, discarded: str, control_clean: bool
    ) -> None:
        """Take one sample. Discarded ones count for nothing; faults of own pods wait for what explains them."""
        path = self._paths.get(order.path)
        if path is None or path.order.identity != order.identity:
            return
        path.refused = None
        self._touched = True
        if is_void(part.discarded) or is_void(discarded):
            path.discarded = True
            return
        earns = order.generation == path.order.generation
        counted = self._unlooped(part, now_s)
        if path.eager is not None:
            path.eager_pending.add(counted, earns=earns, control_clean=control_clean)
        if part.faults:
            path.held.append((now_s, part, earns, control_clean))
        else:
            path.pending.add(counted, earns=earns, control_clean=control_clean)

    def idle(self, order: ProbeOrder, now_s: float) -> None:
        """Note that nothing was due on a path: it counts for nothing, but the path is not silent."""
        path = self._paths.get(order.path)
        if path is not None and path.order.identity == order.identity:
            path.monitor.idle(now_s)
            if path.eager is not None:
                path.eager.idle(now_s)

    def throttled(self, order: ProbeOrder, rate_per_s: float | None) -> None:
        """Note that the prober's cap slows a path down, or does not any more (None)."""
        path = self._paths.get(order.path)
        if path is not None:
            self._touched |= (path.throttled_per_s is None) != (rate_per_s is None)
            path.throttled_per_s = rate_per_s

    def refused(self, order: ProbeOrder, reason: str, message: str) -> None:
        """Note that a prober does not probe a path, until a sample of it comes."""
        path = self._paths.get(order.path)
        if path is not None and path.order.identity == order.identity:
            path.refused = (reason, message)
            self._touched = True

    def fold(self, now_s: float, wait_s: float = WAIT_S) -> Look:
        """Close a tick: each path's sum is one observation.

        Returns whether a decision may be another than at the last look. A path that goes on collecting, passing,
        failing or being silent decides nothing new, and most of a migration's life is that. What may be a
        rollback, or lets it rise, is looked at at once; whatever else flickers, once in ``wait_s``.
        """
        if not self._touched and now_s < self._due_s:
            return Look.NONE
        self._touched = False
        for at, path in self._paths.items():
            self._release(at, path, now_s)
            path.close(now_s)
        known = self._known(now_s)
        look = self._told.look(known, wait_s)
        if look:
            self._told = known
        self._due_s = self._next_due_s(now_s, known, wait_s)
        return look

    def settled(self, now_s: float) -> None:
        """Note that a step has settled: the SPRT starts from zero, by the pods that are ready now."""
        for path in self._paths.values():
            path.monitor.settle(now_s)
        self._sprt_pods = frozenset()

    def pods(self, cluster: str, ready: frozenset[str], now_s: float, *, is_target: bool) -> None:
        """Note which own pods are ready now, by address."""
        before = self._ready.get(cluster)
        self._ready[cluster] = ready
        if before is not None:
            for address in ready - before:
                self._ready_since[cluster, address] = now_s
            self._forget(now_s)
        if is_target:
            self._watch_sprt_pods(ready)

    def pins(self, *, missing: bool, now_s: float) -> None:
        """Note whether a pin is known missing; after one was recreated, the SPRT starts from zero."""
        if self._pin_missing and not missing:
            self._pin_made_s = now_s
            for path in self._paths.values():
                path.monitor.restart_sprt()
        self._pin_missing = missing

    # --- what is known ------------------------------------------------------------------------------

    def evidence(self, now_s: float) -> Mapping[CallPath, PathEvidence]:
        """Return what is known of each path now."""
        return {at: _said(path, now_s) for at, path in self._paths.items()}

    @property
    def active(self) -> bool:
        """Whether any path is probed."""
        return bool(self._paths)

    # --- how it is done ------------------------------------------------------------------------------

    def _known(self, now_s: float) -> _Told:
        found = {at: path.outlook(now_s) for at, path in self._paths.items()}
        return _Told(
            now_s,
            frozenset(at for at, one in found.items() if one.verdict is Verdict.FAIL),
            frozenset(at for at, one in found.items() if one.verdict is Verdict.PASS),
            (*((at, one.pressing) for at, one in found.items()), *self._worse_back(now_s)),
            tuple(one.other for one in found.values()),
        )

    def _worse_back(self, now_s: float) -> Iterator[bool]:
        """Tell of each cluster's callers whether their path back is worse: that is a matter of shares, too."""
        for at, path in self._paths.items():
            back = self._paths.get(CallPath(at.callers, Side.ORIGIN))
            if at.side is Side.TARGET and back is not None and back.monitor.faulty:
                yield origin_is_worse(_said(path, now_s), _said(back, now_s))

    def _next_due_s(self, now_s: float, known: _Told, wait_s: float) -> float:
        """Return when to look again though nothing comes: at the next tick while anything is bad."""
        if any(path.eventful for path in self._paths.values()):
            return now_s
        due_s = min((path.monitor.due_s(now_s) for path in self._paths.values()), default=inf)
        return min(due_s, self._told.at_s + wait_s) if self._told.differs(known) else due_s

    def _release(self, at: CallPath, path: _Path, now_s: float) -> None:
        while path.held and path.held[0][0] + POD_GRACE_S <= now_s:
            came_s, part, earns, clean = path.held.pop(0)
            explained = [a for a in part.faults if self._rolled(at.callers, a, came_s)]
            kept = without_faults(part, explained)
            path.pending.add(
                self._unlooped(kept, now_s),
                earns=earns,
                control_clean=clean,
                since_s=now_s - came_s,
            )

    def _rolled(self, cluster: str, address: str, came_s: float) -> bool:
        """Return whether the pod was not ready around the probe: it is not now, or came only since.

        Who left and came back has come since.
        """
        if address not in self._ready.get(cluster, frozenset()):
            return True
        began = came_s - PROBE_LIFE_S - POD_GRACE_S
        return self._ready_since.get((cluster, address), -inf) >= began

    def _unlooped(self, part: Sample, now_s: float) -> Sample:
        """Take out the answers 508 of a time in which a pin was missing or had just been recreated."""
        excused = self._pin_missing or now_s - self._pin_made_s < PIN_GRACE_S
        if not (part.loops and excused):
            return part
        from_base = min(part.loops, part.base.bad)
        from_burst = min(part.loops - from_base, part.burst.bad)
        return _recreated(
            part,
            base=part.base - Counts(from_base, from_base),
            burst=part.burst - Counts(from_burst, from_burst),
            answers={a: n for a, n in part.answers.items() if a != LOOP},
            loops=0,
        )

    def _watch_sprt_pods(self, ready: frozenset[str]) -> None:
        if not self._sprt_pods:
            self._sprt_pods = ready
        elif 2 * len(self._sprt_pods & ready) < len(self._sprt_pods):
            self._sprt_pods = ready
            for at, path in self._paths.items():
                if at.side is Side.TARGET:
                    path.monitor.restart_sprt()

    def _forget(self, now_s: float) -> None:
        old = now_s - 10 * (PROBE_LIFE_S + POD_GRACE_S)
        for at in [at for at, when in self._ready_since.items() if when < old]:
            del self._ready_since[at]


def without_faults(part: Sample, addresses: Iterable[str]) -> Sample:
    """Take the faults of these pods out of a sample, as if their probes had not been sent."""
    base, burst = part.base, part.burst
    faults = dict(part.faults)
    for address in addresses:
        from_base, from_burst = faults.pop(address)
        base -= from_base
        burst -= from_burst
    answers = dict(part.answers) if len(faults) == len(part.faults) else {}
    return _recreated(
        part, base=base, burst=burst, answers=answers, loops=part.loops, faults=faults
    )


def _recreated(
    part: Sample,
    *,
    base: Counts,
    burst: Counts,
    answers: dict[str, int],
    loops: int,
    faults: dict[str, tuple[Counts, Counts]] | None = None,
) -> Sample:
    return Sample(
        assignment=part.assignment,
        number=part.number,
        age_s=part.age_s,
        base=base,
        burst=burst,
        discarded=part.discarded,
        answers=answers,
        loops=loops,
        faults=part.faults if faults is None else faults,
    )


def _opened(order: ProbeOrder, heartbeat: Heartbeat) -> _Path:
    """Return a new path's monitor. Own pods as a path back have a second, which counts faults without waiting."""
    waits = order.route == "pods" and order.path.side is Side.ORIGIN
    eager = _monitor(order, heartbeat) if waits else None
    return _Path(order, _monitor(order, heartbeat), eager=eager)


def _monitor(order: ProbeOrder, heartbeat: Heartbeat) -> PathMonitor:
    return PathMonitor(
        order.success_percent,
        order.latency,
        judges=order.judges,
        shifted=order.shifted,
        heartbeat=heartbeat,
    )


def _said(path: _Path, now_s: float) -> PathEvidence:
    """Return what is known of a path: a fault that waits for its explanation takes PASS away, and no more yet."""
    found = replace(
        path.monitor.evidence(now_s), throttled_per_s=path.throttled_per_s, refused=path.refused
    )
    if path.eager is not None:
        found = replace(found, suspected=path.eager.evidence(now_s))
    if path.held and found.verdict is Verdict.PASS:
        return replace(found, verdict=Verdict.UNKNOWN, reason=Reason.RECOVERING)
    return found
