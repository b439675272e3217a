"""Probes: the monitors of each migration's paths, fed by samples, asked by the plan.

No I/O and no clock; ``now_s`` is monotonic. This is where samples become observations: what the streams of a path
report within one tick is added up, what nobody stands behind is discarded, and what a rollout explains is no
fault.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf

from controller.domain import (
    CallPath,
    Key,
    ObservedCluster,
    PathEvidence,
    Plan,
    ProbeOrder,
    Record,
    Side,
    Verdict,
)
from controller.evidence.doubt import is_void
from controller.evidence.excuses import without_faults, without_loops
from controller.evidence.hearing import FRESH_S, LOST_S, Hearing, Heartbeat, Stream
from controller.evidence.looks import WAIT_S, Known, Look, Looks
from controller.evidence.path import origin_is_worse
from controller.evidence.source import Evidence, is_pin_missing
from controller.evidence.watched_path import POD_GRACE_S, WatchedPath, opened
from prober.contract import Report, Sample


@dataclass(frozen=True, slots=True)
class ProberReport:
    """One report of one stream, with the orders that it answers. ``now_s`` is monotonic.

    ``connection`` is the same for every report of one. ``resting`` are orders of which it has nothing under way until
    they are ``awaited``: of these something is under way, or they are this stream's no more. ``throttled`` is, for
    those of ``samples`` that the prober's cap slows down, the rate per second that the whole path has then. ``refused``
    are orders that the prober does not carry out, each with a reason, which may be empty, and a sentence.
    """

    cluster: str
    stream: int
    report: Report
    samples: tuple[tuple[ProbeOrder, Sample], ...]
    now_s: float
    connection: Stream = field(default_factory=Stream)
    resting: tuple[ProbeOrder, ...] = ()
    awaited: tuple[ProbeOrder, ...] = ()
    throttled: Mapping[tuple[Key, CallPath], float] = field(default_factory=dict)
    refused: tuple[tuple[ProbeOrder, str, str], ...] = ()


class Probes:
    """A source of evidence: probes of each migration's paths, as the probers of both clusters report them."""

    def __init__(self) -> None:
        self._monitors: dict[Key, ProbeMonitor] = {}
        self._hearing = Hearing()

    def order(self, key: Key, plan: Plan, now_s: float) -> None:
        """Watch exactly the paths that the plan has probed."""
        del now_s
        if plan.probes or key in self._monitors:
            self._monitors.setdefault(key, ProbeMonitor(self._hearing.heartbeats)).order(
                plan.probes
            )

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
        monitor.vacant(any(_is_vacant(cluster) for cluster in clusters.values()))
        target = _target(clusters)
        for name, cluster in clusters.items():
            ready = frozenset(a for pods in cluster.endpoints.pods.values() for a in pods)
            monitor.pods(name, ready, now_s, is_target=name == target)

    def on_report(self, found: ProberReport) -> None:
        """Take one report of a prober in: its samples count at the next tick."""
        report, monitors = found.report, self._monitors
        clean = report.control.bad == 0
        self._hearing.heartbeats[found.cluster].beat(found.now_s)
        self._hear(found)
        for order, sample in found.samples:
            if order.key in monitors:
                monitor = monitors[order.key]
                monitor.take(
                    order, sample, found.now_s, discarded=report.discarded, control_clean=clean
                )
                monitor.throttled(order, found.throttled.get((order.key, order.path)))
        for order in found.resting:
            if order.key in monitors:
                monitors[order.key].rests(order, found.connection, found.now_s)
        for order, reason, message in found.refused:
            if order.key in monitors:
                monitors[order.key].refused(order, reason, message)

    def _hear(self, found: ProberReport) -> None:
        """Note what the report says of all that its stream has nothing under way of."""
        for order in found.awaited:
            if order.key in self._monitors:
                self._monitors[order.key].awaits(order, found.connection)
        if is_void(found.report.discarded):
            return
        if found.now_s - found.connection.said_s >= LOST_S:
            for monitor in self._monitors.values():
                monitor.pass_time(found.now_s)
        self._hearing.said(found.connection, found.now_s)

    def fold(self, now_s: float) -> dict[Key, Look]:
        """Close a tick of 100 ms; return the migrations of which a decision may be another because of what came,
        or did not."""
        wait_s = max(WAIT_S, len(self._monitors) / LOOKS_PER_S)
        turned = self._hearing.turned(now_s)
        found = {
            key: monitor.fold(now_s, wait_s, turned=turned)
            for key, monitor in self._monitors.items()
            if turned or monitor.is_due(now_s)
        }
        return {key: look for key, look in found.items() if look}

    def wait(self, key: Key) -> None:
        """Ask for no decision on a migration before the next is made: it is coming anyway."""
        if key in self._monitors:
            self._monitors[key].looks.wait()

    def evidence(self, key: Key, now_s: float) -> Evidence:
        """Return what is known of each path now."""
        monitor = self._monitors.get(key)
        return Evidence(paths=monitor.evidence(now_s)) if monitor else Evidence()

    def proven_bad(self, key: Key, elsewhere: frozenset[CallPath]) -> tuple[CallPath, ...]:
        """Return the paths of which no further probe changes anything until the migration is decided on, where some
        are known to fail from ``elsewhere``, too."""
        monitor = self._monitors.get(key)
        return monitor.proven_bad(elsewhere) if monitor else ()

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


def _is_vacant(cluster: ObservedCluster) -> bool:
    return not (cluster.endpoints.ready and cluster.mirror_endpoints.ready)


PROBE_LIFE_S = 2.0
"""From a probe's due time to the arrival of its sample: its timeout, the beat, and some of the path."""

LOOKS_PER_S = 50
"""No more of them than this in all: of a large fleet whose samples are discarded now and then each waits longer."""

PIN_GRACE_S = 1.0
"""A 508 this soon after a pin was recreated is discarded."""


class ProbeMonitor:
    """All paths of one migration. An order of another identity starts its monitor at zero."""

    def __init__(self, heartbeats: Mapping[str, Heartbeat] | None = None) -> None:
        self._heartbeats = defaultdict(Heartbeat) if heartbeats is None else heartbeats
        self._touched = False
        self._due_s = -inf
        self.looks = Looks()
        self._worse: tuple[bool, ...] = ()
        self._paths: dict[CallPath, WatchedPath] = {}
        self._ready: dict[str, frozenset[str]] = {}
        self._ready_since: dict[tuple[str, str], float] = {}
        self._sprt_pods: frozenset[str] = frozenset()
        self._pin_missing = False
        self._pin_made_s = -inf
        self._vacant = False

    # --- what comes in -------------------------------------------------------------------------------

    def order(self, orders: Iterable[ProbeOrder]) -> None:
        """Watch exactly these paths."""
        wanted = {order.path: order for order in orders}
        for path in [path for path in self._paths if path not in wanted]:
            del self._paths[path]
            self._touched = True
        for path, order in wanted.items():
            known = self._paths.get(path)
            if known is None or known.order.identity != order.identity:
                self._paths[path] = opened(order, self._heartbeats[path.callers])
                self._touched = True
            else:
                if known.order.shifted != order.shifted:
                    self._touched = known.touched = True
                known.order = order
                known.monitor.at_baseline(not order.shifted)

    def take(
        self, order: ProbeOrder, part: Sample, now_s: float, *, discarded: str, control_clean: bool
    ) -> None:
        """Take one sample. Discarded ones count for nothing; faults of own pods wait for what explains them."""
        path = self._paths.get(order.path)
        if path is None or path.order.identity != order.identity:
            return
        if path.refused is not None:
            path.refused, path.touched = None, True
        self._touched = True
        if is_void(part.discarded) or is_void(discarded):
            path.discarded = True
            return
        earns = order.generation == path.order.generation
        counted = self._unlooped(part, now_s)
        if path.eager is not None:
            eager = path.eager_pending.of(now_s - part.age_s)
            eager.add(counted, earns=earns, control_clean=control_clean)
        if part.faults:
            path.held.append((now_s, part, earns, control_clean))
            path.touched = True
        else:
            tick = path.pending.of(now_s - part.age_s)
            tick.add(counted, earns=earns, control_clean=control_clean)

    def rests(self, order: ProbeOrder, stream: Stream, now_s: float) -> None:
        """Note that a stream has nothing under way on a path until that is awaited: it is as fresh as the stream."""
        path = self._paths.get(order.path)
        if path is not None and path.order.identity == order.identity:
            for monitor in path.monitors():
                monitor.rests(stream, now_s)

    def awaits(self, order: ProbeOrder, stream: Stream) -> None:
        """Note that a stream owes a sample of a path, or probes it no more: it is no fresher than that stream was."""
        path = self._paths.get(order.path)
        if path is not None and path.order.identity == order.identity:
            self._touched = path.touched = True  # from now on its age has a time of its own
            for monitor in path.monitors():
                monitor.awaits(stream)

    def pass_time(self, now_s: float) -> None:
        """Let what was proven before a silence that has just ended go, where the silence was too long."""
        for path in self._paths.values():
            for monitor in path.monitors():
                monitor.pass_time(now_s)

    def throttled(self, order: ProbeOrder, rate_per_s: float | None) -> None:
        """Note that the prober's cap slows a path down, or does not any more (None)."""
        path = self._paths.get(order.path)
        if path is not None and path.throttled_per_s != rate_per_s:
            path.throttled_per_s = rate_per_s
            self._touched = path.touched = True

    def refused(self, order: ProbeOrder, reason: str, message: str) -> None:
        """Note that a prober does not probe a path, until a sample of it comes."""
        path = self._paths.get(order.path)
        if path is not None and path.order.identity == order.identity:
            path.refused = (reason, message)
            self._touched = path.touched = True

    def is_due(self, now_s: float) -> bool:
        """Return whether anything came, or has changed by the passing of time."""
        return self._touched or now_s >= self._due_s

    def fold(self, now_s: float, wait_s: float = WAIT_S, *, turned: bool = False) -> Look:
        """Close a tick: each path's sum is one observation. ``turned``: what all paths share may have changed.

        Returns whether a decision may be another than the last one. A path that goes on collecting, passing, failing or
        being silent decides nothing new, and mostly it does. What may be a rollback, or lets it rise, is looked at at
        once; whatever else has changed, once that has stood for ``wait_s``: a fault mostly is a rollback by then. Who
        waits for a look at once is decided on what is known then.
        """
        self._touched = False
        for at, path in self._paths.items():
            if path.held:
                self._release(at, path, now_s)
            if path.came:
                path.close(now_s)
        if self.looks.waits:
            self._due_s = inf
            return Look.NONE
        self._see(now_s, turned=turned)
        if not self._paths:
            self.looks.decided()
        look = self.looks.ask(now_s, wait_s)
        self._due_s = min(self.looks.due_s(wait_s), *(p.due_s for p in self._paths.values()), inf)
        return look

    def settled(self, now_s: float) -> None:
        """Note that a step has settled: the SPRT starts from zero, by the pods that are ready now."""
        for path in self._paths.values():
            path.monitor.settle(now_s)
            path.touched = self._touched = True
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
                path.touched = self._touched = True
        self._pin_missing = missing

    def vacant(self, vacant: bool) -> None:
        """Note whether nobody is seen ready somewhere: then a decision turns on whether the last probe was good."""
        if vacant != self._vacant:
            self._vacant = vacant
            self._due_s = -inf
            for path in self._paths.values():
                path.touched = True

    # --- what is known ------------------------------------------------------------------------------

    def evidence(self, now_s: float) -> Mapping[CallPath, PathEvidence]:
        """Return what is known of each path now, for a decision: what is as it is now needs no look."""
        self._see(now_s, turned=True)
        self.looks.decided()
        self._due_s = now_s
        return {at: path.evidence(now_s) for at, path in self._paths.items()}

    @property
    def active(self) -> bool:
        """Whether any path is probed."""
        return bool(self._paths)

    def proven_bad(self, elsewhere: frozenset[CallPath] = frozenset()) -> tuple[CallPath, ...]:
        """Return, once a path to the target FAILs above the baseline, what needs no further probe."""
        failed = (self._paths.get(at) for at in self.looks.known.failed | elsewhere)
        proven = any(path and path.leads_shifted_to_target for path in failed)
        return tuple(at for at, path in self._paths.items() if proven and not path.may_be_worse)

    # --- how it is done ------------------------------------------------------------------------------

    def _see(self, now_s: float, *, turned: bool) -> None:
        """Look at each path that was touched, or whose time has come."""
        changed = len(self.looks.known.other) != len(self._paths)
        muted = any(now_s - beat.heard_s >= FRESH_S for beat in self._heartbeats.values())
        for path in self._paths.values():
            if turned or path.touched or now_s >= path.due_s:
                changed |= path.look(now_s, vacant=self._vacant, muted=muted)
        worse_back = tuple(self._worse_back(now_s))
        if changed or worse_back != self._worse:
            self._worse = worse_back
            self.looks.known = self._put_together()

    def _put_together(self) -> Known:
        found = {at: path.outlook for at, path in self._paths.items() if path.outlook}
        return Known(
            frozenset(at for at, one in found.items() if one.verdict is Verdict.FAIL),
            frozenset(at for at, one in found.items() if one.verdict is Verdict.PASS),
            (*((at, one.pressing) for at, one in found.items()), *self._worse),
            tuple(one.other for one in found.values()),
        )

    def _worse_back(self, now_s: float) -> Iterator[bool]:
        """Tell of each cluster's callers whether their path back is worse: that is a matter of shares, too."""
        for at, back in self._paths.items():
            if at.side is Side.ORIGIN and back.monitor.faulty:
                path = self._paths.get(CallPath(at.callers, Side.TARGET))
                if path is not None:
                    yield origin_is_worse(path.evidence(now_s), back.evidence(now_s))

    def _release(self, at: CallPath, path: WatchedPath, now_s: float) -> None:
        while path.held and path.held[0][0] + POD_GRACE_S <= now_s:
            came_s, part, earns, clean = path.held.pop(0)
            explained = [a for a in part.faults if self._rolled(at.callers, a, came_s)]
            kept = without_faults(part, explained)
            path.pending.of(came_s - part.age_s).add(
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
        return without_loops(part) if part.loops and excused else part

    def _watch_sprt_pods(self, ready: frozenset[str]) -> None:
        if not self._sprt_pods:
            self._sprt_pods = ready
        elif 2 * len(self._sprt_pods & ready) < len(self._sprt_pods):
            self._sprt_pods = ready
            for at, path in self._paths.items():
                if at.side is Side.TARGET:
                    path.monitor.restart_sprt()
                    path.touched = self._touched = True

    def _forget(self, now_s: float) -> None:
        kept_s = 10 * (PROBE_LIFE_S + POD_GRACE_S)
        self._ready_since = {at: s for at, s in self._ready_since.items() if now_s - s <= kept_s}
