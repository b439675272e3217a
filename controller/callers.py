"""What is known of one migration's real callers: by cluster, from one answer of Prometheus to the next.

No I/O and no clock; ``now_s`` is monotonic. Evidence is as fresh as the newest sample that Prometheus has of
any Linkerd proxy, by the time at which that sample was first seen here: what Prometheus says of the time is
compared with itself only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

from controller.evidence import ENOUGH, TrafficBook
from controller.model import Calls, Key, TrafficEvidence, TrafficOrder, Verdict
from controller.tally import Counted, Growth

STALE_S = 130.0
"""Two scrapes of a minute, Prometheus's own default, and some: without a newer sample nothing is known."""

FUTURE_S = 5.0
"""A sample that is so much newer than the answer that holds it: somebody's clock is wrong."""

RECENT_S = 120.0
"""How long a workload that ignored the split is named, and how long nobody may do so until callers follow."""

AWAY_TICKS = 3
"""A Prometheus that did not answer for so many ticks is away."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One round of questions to one cluster's Prometheus. ``now_s`` is when it was over, ``since_s`` when the
    one before it was: growth is what came between (-inf: nothing was known before).

    ``error`` says why there is no answer. ``asked`` is the time of the answer by Prometheus's own clock and
    ``newest`` that of its newest sample of a proxy (None: it has none), in seconds of the epoch.
    """

    cluster: str
    now_s: float
    since_s: float = -inf
    error: str = ""
    asked: float = 0.0
    newest: float | None = None
    counted: Counted = field(default_factory=Counted)


class Source:
    """One cluster's Prometheus: whether what it tells is fresh."""

    def __init__(self, cluster: str, *, tick_s: float) -> None:
        self._cluster = cluster
        self._away_s = AWAY_TICKS * tick_s
        self._answered_s = -inf
        self._advanced_s = -inf
        self._newest: float | None = None
        self._error = "it was not asked yet"

    def absorb(self, answered: Answered) -> bool:
        """Take one round in; tell whether its figures may be counted."""
        if answered.error:
            self._error = answered.error
            return False
        self._answered_s = answered.now_s
        newest, self._error = answered.newest, ""
        if newest is None:
            self._error = "it has no sample of a Linkerd proxy"
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
        """Say why nothing is known now, "" where something is."""
        if now_s - self._answered_s > self._away_s:
            return self._error or f"it has not answered for {now_s - self._answered_s:.0f} s"
        if self._error and self._answered_s == -inf:
            return self._error
        stale_s = now_s - self._advanced_s
        if stale_s > STALE_S:
            return self._error or f"it has had no newer sample for {stale_s:.0f} s"
        return ""


@dataclass(slots=True)
class _Recent:
    """What the callers of one cluster did in the last ``RECENT_S``."""

    ticks: deque[tuple[float, Calls, Calls, int]] = field(default_factory=deque)
    ignoring: dict[str, float] = field(default_factory=dict)
    followed: bool = False
    watched_since_s: float = inf

    def add(self, now_s: float, target: Calls, home: Calls, growth: Growth) -> None:
        self.ticks.append((now_s, target, home, growth.unmeshed))
        self.ignoring.update(dict.fromkeys(growth.ignoring, now_s))
        self.followed = self.followed or bool(growth.following)
        self.watched_since_s = min(self.watched_since_s, now_s)

    def forget(self, now_s: float) -> None:
        while self.ticks and now_s - self.ticks[0][0] >= RECENT_S:
            self.ticks.popleft()
        for workload in [w for w, at_s in self.ignoring.items() if now_s - at_s >= RECENT_S]:
            del self.ignoring[workload]

    def follow(self, now_s: float) -> bool | None:
        """Tell whether callers follow the split: seen to, and nobody past it for as long as is named."""
        if self.ignoring:
            return False
        return True if self.followed and now_s - self.watched_since_s >= RECENT_S else None

    def share(self) -> float | None:
        target = sum(tick[1].requests for tick in self.ticks)
        home = sum(tick[2].requests for tick in self.ticks)
        return target / (target + home) if target + home >= ENOUGH else None


class _Cluster:
    """The callers of one cluster. ``opened_s``: growth that began before it is not of this attempt."""

    def __init__(self, book: TrafficBook | None, now_s: float) -> None:
        self.book = book
        self.opened_s = now_s
        self.recent = _Recent()
        self.own_loop_s = -inf
        self.gateway_loop_s = -inf
        self.loops_void_until_s = -inf

    def absorb(self, growth: Growth, answered: Answered, *, is_target: bool) -> None:
        target, home = growth.across, growth.here
        if is_target:
            target, home = home, target
        now_s = answered.now_s
        self.recent.add(now_s, target, home, growth)
        if self.book is None or answered.since_s < self.opened_s:
            return
        self.book.absorb(target, home)
        if now_s < self.loops_void_until_s:
            return
        if growth.loops:
            self.own_loop_s = now_s
        if answered.counted.looped:
            self.gateway_loop_s = now_s

    def evidence(self, unknown: str, now_s: float) -> TrafficEvidence:
        self.recent.forget(now_s)
        found = TrafficEvidence(
            Verdict.UNKNOWN,
            "Away" if unknown else "NotJudged",
            unknown=unknown,
            share=self.recent.share(),
            ignoring=tuple(sorted(self.recent.ignoring)),
            follow=self.recent.follow(now_s),
            unmeshed=sum(tick[3] for tick in self.recent.ticks),
        )
        if self.book is None:
            return found
        verdict, reason = self.book.verdict()
        if unknown and verdict is not Verdict.FAIL:
            verdict, reason = Verdict.UNKNOWN, "Away"
        return replace(
            found,
            verdict=verdict,
            reason=reason,
            judged=True,
            points=self.book.points,
            threshold=self.book.threshold,
            requests=self.book.requests,
            failures=self.book.failures,
            bad_share=self.book.bad_share,
            home_bad_share=self.book.home_bad_share,
            looped=now_s - max(self.own_loop_s, self.gateway_loop_s) < STALE_S
            and abs(self.own_loop_s - self.gateway_loop_s) < STALE_S,
        )


class Callers:
    """The callers of one migration in both clusters, as far as these have a Prometheus."""

    def __init__(self, *, tick_s: float) -> None:
        self._tick_s = tick_s
        self._order: TrafficOrder | None = None
        self._clusters: dict[str, _Cluster] = {}
        self._said: object = None

    def order(self, order: TrafficOrder | None, now_s: float) -> None:
        """Count for exactly this. Another attempt begins at zero; what is known of who follows stays, until
        the split is made anew."""
        before, self._order = self._order, order
        if order is None:
            self._clusters = {}
            return
        for name in order.kinds:
            known = self._clusters.get(name)
            if known is None or before is None or before.identity != order.identity:
                opened = _Cluster(self._book(order), now_s)
                if known is not None:
                    opened.recent = known.recent
                self._clusters[name] = opened
            if before is not None and before.made.get(name) != order.made.get(name):
                self._clusters[name].recent = _Recent()
        for name in self._clusters.keys() - order.kinds.keys():
            del self._clusters[name]

    def _book(self, order: TrafficOrder) -> TrafficBook | None:
        if order.success_percent is None:
            return None
        return TrafficBook(order.success_percent, tick_s=self._tick_s)

    def absorb(self, key: Key, answered: Answered, *, fresh: bool) -> None:
        """Take what one round says of this migration in."""
        cluster = self._clusters.get(answered.cluster)
        growth = answered.counted.growth.get(key)
        if self._order is None or cluster is None or growth is None or not fresh:
            return
        cluster.absorb(growth, answered, is_target=answered.cluster == self._order.target)

    def void_loops(self, now_s: float) -> None:
        """A pin is missing: the loops that it lets happen are explained, as far as they are told later."""
        for cluster in self._clusters.values():
            cluster.own_loop_s = cluster.gateway_loop_s = -inf
            cluster.loops_void_until_s = now_s + STALE_S

    def evidence(
        self, sources: Mapping[str, Source], now_s: float
    ) -> Mapping[str, TrafficEvidence]:
        """Say what is known of the callers of each cluster that has a Prometheus."""
        return {
            name: cluster.evidence(sources[name].unknown(now_s), now_s)
            for name, cluster in self._clusters.items()
            if name in sources
        }

    def notable(self, sources: Mapping[str, Source], now_s: float) -> bool:
        """Tell whether it says something else than when this was asked last."""
        said = {
            name: (
                e.verdict,
                e.reason,
                e.unknown == "",
                e.looped,
                e.ignoring,
                e.follow,
                e.unmeshed > 0,
            )
            for name, e in self.evidence(sources, now_s).items()
        }
        before, self._said = self._said, said
        failing = any(said[name][0] is Verdict.FAIL for name in said)
        return failing or said != before
