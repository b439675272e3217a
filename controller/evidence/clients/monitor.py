"""What is known of one migration's real callers, by cluster, from one answer of Prometheus to the next.

No I/O and no clock; ``now_s`` is monotonic. Evidence is as fresh as the newest sample that Prometheus has of
any Linkerd proxy, by the time at which that sample was first seen here: what Prometheus says of the time is
compared with itself only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from controller.domain import (
    Key,
    ObservedCluster,
    Plan,
    Reason,
    TrafficEvidence,
    TrafficOrder,
    Verdict,
)
from controller.evidence.clients.counters import Increase, Increases
from controller.evidence.clients.judgement import ENOUGH, ClientJudgement
from controller.evidence.clients.served import Reached, past_split
from controller.evidence.source import Evidence, is_pin_missing
from prober.contract import Counts

STALE_S = 130.0
"""Two scrapes of a minute, Prometheus's own default, and some: without a newer sample nothing is known."""

FUTURE_S = 5.0
"""A sample that is so much newer than the answer that holds it: somebody's clock is wrong."""

RECENT_S = 120.0
"""How long a workload that ignored the split is named, and how long nobody may do so until callers follow."""

NO_SAMPLE = "it has no sample of a Linkerd proxy"

AWAY_TICKS = 3
"""A Prometheus that did not answer for so many ticks is away."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One round of questions to one cluster's Prometheus. ``now_s`` is when it was over, ``since_s`` when the
    one before it was: the increases came between (-inf: nothing was known before).

    ``error`` says why there is no answer. ``asked`` is the time as of which it was asked, by Prometheus's own
    clock, and ``newest`` that of its newest sample of a proxy then (None: it has none, and ``empty`` says so), in
    seconds since 1970.
    """

    cluster: str
    now_s: float
    since_s: float = -inf
    error: str = ""
    asked: float = 0.0
    newest: float | None = None
    empty: str = NO_SAMPLE
    increases: Increases = field(default_factory=Increases)

    @property
    def wrong(self) -> str:
        """Return why this tells nothing, "" where it may."""
        return self.error or (self.empty if self.newest is None else "")


class Freshness:
    """One cluster's Prometheus: whether what it says is fresh."""

    def __init__(self, cluster: str, *, tick_s: float) -> None:
        self._cluster = cluster
        self._away_s = AWAY_TICKS * tick_s
        self._answered_s = -inf
        self._advanced_s = -inf
        self._newest: float | None = None
        self._error = "it was not asked yet"

    def apply(self, answered: Answered) -> bool:
        """Take one round in; report whether its figures may be counted."""
        if answered.error:
            self._error = answered.error
            return False
        self._answered_s = answered.now_s
        newest, self._error = answered.newest, ""
        if newest is None:
            self._error = answered.empty
            return False
        age_s = answered.asked - newest
        if age_s < -FUTURE_S:
            self._error = f"its newest sample is {-age_s:.0f} s in its own future"
            return False
        if age_s > STALE_S:
            self._error = f"its newest sample of a Linkerd proxy is {age_s:.0f} s old"
            return False
        if self._newest is None:
            self._advanced_s = answered.now_s - max(0.0, age_s)
        elif newest > self._newest:
            self._advanced_s = answered.now_s
        self._newest = newest
        return answered.now_s - self._advanced_s <= STALE_S

    def unknown(self, now_s: float) -> str:
        """Return why nothing is known now, "" where something is."""
        if now_s - self._answered_s > self._away_s:
            return self._error or f"it has not answered for {now_s - self._answered_s:.0f} s"
        stale_s = now_s - self._advanced_s
        if stale_s > STALE_S:
            return self._error or f"it has had no newer sample for {stale_s:.0f} s"
        return ""


@dataclass(slots=True)
class _Recent:
    """What the callers of one cluster did in the last ``RECENT_S``."""

    ticks: deque[tuple[float, int, int, int]] = field(default_factory=deque)
    to_target: int = 0
    to_origin: int = 0
    unmeshed: int = 0
    ignoring: dict[str, float] = field(default_factory=dict)
    followed: bool = False
    watched_since_s: float = inf

    def add(self, now_s: float, target: Counts, origin: Counts, increase: Increase) -> None:
        to_target, to_origin = (target.sent, origin.sent) if increase.whole else (0, 0)
        self.ticks.append((now_s, to_target, to_origin, increase.unmeshed))
        self.to_target += to_target
        self.to_origin += to_origin
        self.unmeshed += increase.unmeshed
        self.ignoring.update(dict.fromkeys(increase.ignoring, now_s))
        self.followed = self.followed or bool(increase.following)
        self.watched_since_s = min(self.watched_since_s, now_s)

    def forget(self, now_s: float) -> None:
        while self.ticks and now_s - self.ticks[0][0] >= RECENT_S:
            _, to_target, to_origin, unmeshed = self.ticks.popleft()
            self.to_target -= to_target
            self.to_origin -= to_origin
            self.unmeshed -= unmeshed
        for workload in [w for w, at_s in self.ignoring.items() if now_s - at_s >= RECENT_S]:
            del self.ignoring[workload]

    def follow(self, now_s: float) -> bool | None:
        """Return whether callers follow the split: seen to, and nobody past it for as long as is named."""
        if self.ignoring:
            return False
        return True if self.followed and now_s - self.watched_since_s >= RECENT_S else None

    @property
    def requests(self) -> int:
        return self.to_target + self.to_origin

    def share(self) -> float | None:
        return self.to_target / self.requests if self.requests >= ENOUGH else None


class _Cluster:
    """The callers of one cluster. ``opened_s``: increase that began before it is not of this attempt."""

    def __init__(self, judgement: ClientJudgement | None, now_s: float) -> None:
        self.judgement = judgement
        self.opened_s = now_s
        self.recent = _Recent()
        self.reached = Reached(RECENT_S)
        self.proxied = 0
        self.own_loop_s = -inf
        self.gateway_loop_s = -inf
        self.loops_discarded_until_s = -inf
        self.said_before: object = None

    def apply(self, increase: Increase, answered: Answered, *, is_target: bool) -> None:
        target, origin = increase.across, increase.here
        if is_target:
            target, origin = origin, target
        now_s = answered.now_s
        self.recent.add(now_s, target, origin, increase)
        self.proxied = increase.proxied
        self.reached.add(now_s, increase.reached, increase.sent if increase.whole else None)
        if self.judgement is None or answered.since_s < self.opened_s:
            return
        self.judgement.apply(target, origin)
        if now_s < self.loops_discarded_until_s:
            return
        if increase.loops:
            self.own_loop_s = now_s
        if answered.increases.looped:
            self.gateway_loop_s = now_s

    def evidence(self, unknown: str, now_s: float) -> TrafficEvidence:
        recent, judgement = self.recent, self.judgement
        recent.forget(now_s)
        self.reached.forget(now_s)
        verdict, reason = self._verdict(unknown)
        return TrafficEvidence(
            verdict,
            reason,
            unknown=unknown,
            judged=judgement is not None,
            points=judgement.points if judgement else 0.0,
            threshold=judgement.threshold if judgement else 0.0,
            requests=judgement.counts.sent if judgement else 0,
            failures=judgement.counts.bad if judgement else 0,
            bad_share=judgement.bad_share if judgement else None,
            origin_bad_share=judgement.origin_bad_share if judgement else None,
            share=recent.share(),
            measured_requests=recent.requests,
            looped=self._looped(now_s),
            ignoring=tuple(sorted(recent.ignoring)),
            follow=recent.follow(now_s),
            unmeshed=recent.unmeshed,
            to_origin=recent.to_origin,
            counted=not unknown and self.reached.counted(now_s),
            reached=dict(self.reached.callers),
            sent=dict(self.reached.sent),
            proxied=self.proxied,
        )

    def said(self, unknown: str, now_s: float) -> object:
        """Return what makes a migration worth a reconcile when it changes."""
        recent = self.recent
        recent.forget(now_s)
        self.reached.forget(now_s)
        reached = self.reached.callers
        return (
            self._verdict(unknown),
            unknown == "",
            self._looped(now_s),
            frozenset(recent.ignoring),
            recent.follow(now_s),
            recent.unmeshed > 0,
            recent.to_origin > 0,
            self.reached.counted(now_s),
            self.proxied,
            frozenset(reached),
            frozenset(past_split(reached, self.reached.sent, exact=False)),
        )

    @property
    def failed(self) -> bool:
        return self.judgement is not None and self.judgement.verdict()[0] is Verdict.FAIL

    def _verdict(self, unknown: str) -> tuple[Verdict, Reason]:
        judged = (
            self.judgement.verdict() if self.judgement else (Verdict.UNKNOWN, Reason.NOT_JUDGED)
        )
        if unknown and judged[0] is not Verdict.FAIL:
            return Verdict.UNKNOWN, Reason.AWAY
        return judged

    def _looped(self, now_s: float) -> bool:
        latest = max(self.own_loop_s, self.gateway_loop_s)
        together = abs(self.own_loop_s - self.gateway_loop_s) < STALE_S
        return now_s - latest < STALE_S and together


class ClientMonitor:
    """The callers of one migration in both clusters, as far as these have a Prometheus."""

    def __init__(self, *, tick_s: float) -> None:
        self._tick_s = tick_s
        self._order: TrafficOrder | None = None
        self._clusters: dict[str, _Cluster] = {}

    def order(self, order: TrafficOrder | None, now_s: float) -> None:
        """Count for exactly this. Another attempt begins at zero; what is known of who follows stays, until
        the split is recreated, or its Service is not the only one any more of whom that may be told."""
        before, self._order = self._order, order
        if order is None:
            self._clusters = {}
            return
        for name in order.kinds:
            known = self._clusters.get(name)
            if known is None or before is None or before.identity != order.identity:
                opened = _Cluster(self._judgement(order), now_s)
                if known is not None:
                    opened.recent, opened.reached = known.recent, known.reached
                self._clusters[name] = opened
            if before is not None and _told_of(before, name) != _told_of(order, name):
                self._clusters[name].recent = _Recent()
        for name in self._clusters.keys() - order.kinds.keys():
            del self._clusters[name]

    def _judgement(self, order: TrafficOrder) -> ClientJudgement | None:
        if order.success_percent is None:
            return None
        return ClientJudgement(order.success_percent, judges=order.judges, tick_s=self._tick_s)

    def apply(self, key: Key, answered: Answered, *, fresh: bool) -> None:
        """Take what one round says of this migration in."""
        cluster = self._clusters.get(answered.cluster)
        increase = answered.increases.services.get(key)
        if self._order is None or cluster is None or increase is None or not fresh:
            return
        cluster.apply(increase, answered, is_target=answered.cluster == self._order.target)

    def discard_loops(self, now_s: float) -> None:
        """Discard the loops that a missing pin lets happen, as far as they are reported later."""
        for cluster in self._clusters.values():
            cluster.own_loop_s = cluster.gateway_loop_s = -inf
            cluster.loops_discarded_until_s = now_s + STALE_S

    def evidence(
        self, prometheus: Mapping[str, Freshness], now_s: float
    ) -> Mapping[str, TrafficEvidence]:
        """Return what is known of the callers of each cluster that has a Prometheus."""
        return {
            name: cluster.evidence(prometheus[name].unknown(now_s), now_s)
            for name, cluster in self._clusters.items()
            if name in prometheus
        }

    def notable(self, source: Freshness, cluster: str, now_s: float) -> bool:
        """Return whether what is said of one cluster's callers is other than before, or FAIL: that is
        reconciled at every tick, because whether the origin is any better may change."""
        known = self._clusters.get(cluster)
        if known is None:
            return False
        said = known.said(source.unknown(now_s), now_s)
        before, known.said_before = known.said_before, said
        return said != before or known.failed


def _told_of(order: TrafficOrder, cluster: str) -> tuple[object, ...]:
    """Return of what it is known who follows: another split, or other certainty, and it is found out anew."""
    return (
        order.made.get(cluster),
        cluster in order.shared_names,
        cluster in order.shared_ports,
    )


class Clients:
    """A source of evidence: what the callers' own requests say, by the Prometheus of each cluster that has one.

    ``tick_s`` is how often each is asked.
    """

    def __init__(self, prometheus: Iterable[str], *, tick_s: float) -> None:
        self._tick_s = tick_s
        self._prometheus = {name: Freshness(name, tick_s=tick_s) for name in prometheus}
        self._monitors: dict[Key, ClientMonitor] = {}

    def order(self, key: Key, plan: Plan, now_s: float) -> None:
        """Count exactly what the plan has counted."""
        if plan.traffic is not None or key in self._monitors:
            monitor = self._monitors.setdefault(key, ClientMonitor(tick_s=self._tick_s))
            monitor.order(plan.traffic, now_s)

    def notice(
        self, key: Key, clusters: Mapping[str, ObservedCluster], now_s: float, *, settled: bool
    ) -> None:
        """Note a pin that is missing; a step that settles changes nothing here."""
        del settled
        if key in self._monitors and is_pin_missing(clusters):
            self._monitors[key].discard_loops(now_s)

    def answered(self, answered: Answered) -> set[Key]:
        """Take what one cluster's Prometheus says in; return the migrations to reconcile because of it."""
        source = self._prometheus[answered.cluster]
        fresh = source.apply(answered)
        notable: set[Key] = set()
        for key, monitor in self._monitors.items():
            monitor.apply(key, answered, fresh=fresh)
            if monitor.notable(source, answered.cluster, answered.now_s):
                notable.add(key)
        return notable

    def evidence(self, key: Key, now_s: float) -> Evidence:
        """Return what is known of the callers of each cluster that has a Prometheus."""
        monitor = self._monitors.get(key)
        return (
            Evidence(traffic=monitor.evidence(self._prometheus, now_s)) if monitor else Evidence()
        )

    def forget(self, key: Key) -> None:
        """Let go of a migration that is none any more."""
        self._monitors.pop(key, None)
