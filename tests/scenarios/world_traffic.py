"""Real callers of the simulated world, as the Prometheus of each cluster tells of them, every 10 s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from controller.evidence.clients.counters import Increase, Increases
from controller.evidence.clients.monitor import Answered
from prober.contract import Counts
from tests.scenarios.world import A, World

TICK_S = 10.0
BOTH = frozenset({"legacy", "eks"})


@dataclass
class ClientMonitor:
    """What callers do from now on. ``per_tick`` requests in each cluster go where its split sends them.

    ``bad`` is by serving cluster how many of a thousand requests fail; ``error`` by cluster why its
    Prometheus does not answer; ``extra`` by cluster what else has grown.
    """

    world: World
    per_tick: int = 1000
    bad: Mapping[str, int] = field(default_factory=dict)
    error: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    looped: set[str] = field(default_factory=set)
    frozen: set[str] = field(default_factory=set)
    newest: dict[str, float] = field(default_factory=dict)
    since_s: dict[str, float] = field(default_factory=dict)
    due_s: float = 0.0

    def run(self, seconds: float) -> None:
        """Let this time pass, with a look at each Prometheus every 10 s."""
        end = self.world.now_s + seconds
        while self.world.now_s < end - 1e-6:
            self.world.tick()
            self.tick()

    def until(self, reached: Any, limit_s: float = 900.0) -> None:
        """The same until something is so."""
        end = self.world.now_s + limit_s
        while not reached():
            assert self.world.now_s < end, f"not within {limit_s} s: {self.world.describe()}"
            self.run(0.1)

    def tick(self) -> None:
        """Answer, where it is time."""
        if self.world.now_s < self.due_s:
            return
        self.due_s = self.world.now_s + TICK_S
        for cluster in sorted(self.world.prometheus):
            self.answer(cluster)
        self.world.rest()

    def answer(self, cluster: str) -> None:
        """Return one answer."""
        now_s = self.world.now_s
        if error := self.error.get(cluster):
            self.world.replica.answered(Answered(cluster, now_s, error=error))
            return
        if cluster not in self.frozen:
            self.newest[cluster] = now_s - 1
        since_s, self.since_s[cluster] = self.since_s.get(cluster, -inf), now_s
        increases = Increases({A: self._growth(cluster)}, looped=cluster in self.looped)
        answered = Answered(
            cluster, now_s, since_s, asked=now_s, newest=self.newest[cluster], increases=increases
        )
        self.world.replica.answered(answered)

    def _growth(self, cluster: str) -> Increase:
        far = "eks" if cluster == "legacy" else "legacy"
        away = self.world.aways()[0 if cluster == "legacy" else 1]
        across = self.per_tick * away // 1000
        found = Increase(
            proxied=100,
            reached={"shop/web": self.per_tick - across} if across < self.per_tick else {},
            sent={"shop/web": self.per_tick - across},
            here=self._calls(self.per_tick - across, cluster),
            across=self._calls(across, far),
            following=frozenset({"shop/deployment web"}),
        )
        return replace(found, **self.extra.get(cluster, {}))

    def _calls(self, requests: int, served_by: str) -> Counts:
        return Counts(requests, requests * self.bad.get(served_by, 0) // 1000)
