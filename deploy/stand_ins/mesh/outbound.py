"""How one proxy decides where a request goes. Time comes in as an argument; there is no I/O here.

What a proxy knows lags behind the cluster's objects by a drawn delay, and depends on what was there
when it first used a name; numbers in brackets are those of docs/mesh-facts.md:

- a TrafficSplit made while the proxy was busy with the name is ignored until 5 s without a request to it,
  unless one was there at the first use, or a profile with a route (11, 12); gateways see it at once;
- an HTTPRoute is live where no TrafficSplit, override or route of a profile was there at the first use
  (11, 13), and ignored until 5 s without a request where one was (12); gateways ignore it (9);
- a split with a bad weight freezes who already used the name, and makes others drop connections (15);
  an HTTPRoute whose weights are all zero ends the name's task: every connection is dropped (15);
- a backend that nobody can be reached behind holds its share of requests for up to 3 s and answers
  them 504, is skipped from then on, and when no other is left the answer is 503 (16, 19);
- a connection that is not HTTP, or is taken for opaque, follows overrides and never a route (24, 25).

By a TrafficSplit the overrides are meant that the SMI adaptor makes of it (32).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deploy.stand_ins.mesh.config import (
    Asked,
    ClusterConfig,
    Endpoint,
    Endpoints,
    Key,
    Policy,
    Protocol,
    Route,
    Routed,
    Split,
    SplitFault,
    Topic,
    Weighted,
)

IDLE_S: Final = 5.0
"""After so long without a request to a name, what a proxy knew about it is forgotten (11)."""

FAILFAST_S: Final = 3.0
"""How long a backend without a reachable endpoint holds requests before it is skipped (16)."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds from a write to the proxy's obeying it: half the draws lie on each side of the median."""

    least: float
    median: float
    most: float

    def draw(self, rng: random.Random) -> float:
        """Return seconds."""
        if rng.random() < 0.5:
            return rng.uniform(self.least, self.median)
        return rng.uniform(self.median, self.most)


# mesh-facts.json, propagation_ms; the least delays of the pin were not measured. The last request at
# the old backend was seen at 45 ms: what is missing to that the watch of the API server takes.
SPLIT_DELAY: Final = Delay(0.018, 0.023, 0.043)
ROUTE_DELAY: Final = Delay(0.008, 0.018, 0.047)
PIN_CREATED_DELAY: Final = Delay(0.018, 0.042, 0.095)
PIN_REMOVED_DELAY: Final = Delay(0.005, 0.011, 0.039)


@dataclass(frozen=True, slots=True)
class Hold:
    """No endpoint can be reached now: wait, and ask again at this time or when something changed."""

    until: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """The proxy answers itself."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """The proxy closes the connection without an answer."""


_PLAIN: Final = Asked()

Decision = Endpoint | Hold | Refuse | Drop

_DROP: Final = Drop()
_FQDN: Final = Refuse(500, "backend is not a service of this namespace")
_NONE_LEFT: Final = Refuse(503, "no backend in service")
_NO_ROUTE: Final = Refuse(404, "no route takes this request")
_FAILFAST: Final = Refuse(504, "service in fail-fast")


class _Slices:
    """What the proxy has been told about one Service's addresses, and what is on its way."""

    __slots__ = ("_coming", "told", "value")

    def __init__(self, value: Endpoints) -> None:
        self.value = value
        self.told = value
        self._coming: deque[tuple[float, Endpoints]] = deque()

    def tell(self, due: float, value: Endpoints) -> float:
        """Have it hold from ``due`` on, never before what was told earlier; returns when."""
        if self._coming:
            due = max(due, self._coming[-1][0])
        self._coming.append((due, value))
        self.told = value
        return due

    def settle(self, now: float) -> Endpoints:
        """Return what the proxy knows now."""
        while self._coming and self._coming[0][0] <= now:
            self.value = self._coming.popleft()[1]
        return self.value


class Backend:
    """One backend of one name in one proxy: its addresses in turn, and whether it is skipped."""

    __slots__ = ("_dead", "_port", "_slices", "_turn", "failing_since", "name")

    def __init__(self, name: str, slices: _Slices, port: int, dead: set[Endpoint]) -> None:
        self.name = name
        self._slices = slices
        self._port = port
        self._dead = dead
        self._turn = 0
        self.failing_since: float | None = None

    def endpoints(self, now: float) -> tuple[Endpoint, ...]:
        """Return the addresses that are ready and not known to be out of reach."""
        ready = self._slices.settle(now).get(self._port, ())
        if self._dead and not self._dead.isdisjoint(ready):
            ready = tuple(e for e in ready if e not in self._dead)
        if ready:
            self.failing_since = None
        return ready

    def skipped(self, now: float) -> bool:
        """Whether it has been out of reach for so long that others serve its share."""
        return (
            not self.endpoints(now)
            and self.failing_since is not None
            and now >= self.failing_since + FAILFAST_S
        )

    def next(self, now: float, waiting_since: float) -> Decision:
        """Return the next address in turn, else Hold, or 504 at the end of it."""
        ready = self.endpoints(now)
        if ready:
            self._turn += 1
            return ready[self._turn % len(ready)]
        if self.failing_since is None:
            self.failing_since = waiting_since
        until = self.failing_since + FAILFAST_S
        return Hold(until) if now < until else _FAILFAST

    def wants(self, endpoint: Endpoint) -> bool:
        """Whether this address is one of the ready ones, reachable or not."""
        return endpoint in self._slices.value.get(self._port, ())


class _Name:
    """What one proxy holds about one name it uses: ``split`` is the one it obeys.

    ``live``: it follows TrafficSplits, else HTTPRoutes; decided at the first use.
    """

    __slots__ = ("backends", "coming", "frozen", "last_used", "live", "split", "told")

    def __init__(self, policy: Policy, *, live: bool, now: float) -> None:
        self.told = policy
        self.coming: deque[tuple[float, Policy]] = deque()
        self.last_used = now
        self.backends: dict[str, Backend] = {}
        self.live = live or policy.split is not None or policy.has_route
        split = self._followed(policy)
        # A proxy that starts on a TrafficSplit that is all zero serves locally and is stuck with it (15).
        self.frozen = split is SplitFault.ALL_ZERO
        self.split: Route | None = None if self.frozen and self.live else split

    def _followed(self, policy: Policy) -> Route | None:
        if not self.live:
            return policy.route
        return None if policy.pinned else policy.split

    def settle(self, now: float) -> None:
        """Obey what has arrived by now."""
        while self.coming and self.coming[0][0] <= now:
            self._obey(self.coming.popleft()[1])

    def _obey(self, policy: Policy) -> None:
        if self.frozen:
            return
        split = self._followed(policy)
        if split is SplitFault.ALL_ZERO and not self.live:
            self.split, self.frozen = split, True
        elif split is None or split is SplitFault.ALL_ZERO:
            self.split = None
        elif split is SplitFault.OUT_OF_RANGE and self.split is not SplitFault.OUT_OF_RANGE:
            self.frozen = True
        else:
            self.split = split


class Outbound:
    """The routing of one proxy. Names are (Service, port), as a proxy keys what it was asked for.

    ``now`` is asked only when an object changes; ``sees_new_splits``: this is a gateway.
    ``on_change`` hears when (monotonic seconds) a change of the cluster will hold here.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        namespace: str,
        sees_new_splits: bool,
        now: Callable[[], float],
        rng: random.Random,
        on_change: Callable[[float], None],
    ) -> None:
        self._config = config
        self._namespace = namespace
        self._sees_new_splits = sees_new_splits
        self._now = now
        self._rng = rng
        self._on_change = on_change
        self._names: dict[Key, dict[int, _Name]] = {}
        self._slices: dict[Key, _Slices] = {}
        self._dead: set[Endpoint] = set()
        self.close = config.subscribe(self._changed)

    def decide(
        self, service: Key, port: int, now: float, asked: Asked | None = _PLAIN
    ) -> tuple[Backend | None, Decision]:
        """Return where a request of now goes, and which backend was drawn for it (None: none was).

        ``asked`` None: it is an opaque connection.
        """
        name = self._use(service, port, now)
        split = name.split if name.live or asked is not None else None
        if isinstance(split, Routed):
            rule = split.rule_for(asked or _PLAIN)
            if rule is None:
                return None, _NO_ROUTE
            split = rule.split
        return self._by_split(name, split, service, port, now)

    def _by_split(
        self, name: _Name, split: Split | None, service: Key, port: int, now: float
    ) -> tuple[Backend | None, Decision]:
        if split is None:
            backend = self._backend(name, service, port)
            return backend, _NONE_LEFT if backend.skipped(now) else backend.next(now, now)
        if not isinstance(split, Weighted):
            return None, _FQDN if split is SplitFault.BACKEND_IS_FQDN else _DROP
        drawn = self._draw(name, split, service[0], port, now)
        return (drawn, _NONE_LEFT) if drawn is None else (drawn, drawn.next(now, now))

    def is_opaque(self, service: Key, port: int, now: float) -> bool:
        """Return whether connections to this name are taken for opaque, whatever they carry (24)."""
        return self._use(service, port, now).told.protocol is Protocol.OPAQUE

    def by_profile(self, service: Key, port: int) -> bool:
        """Whether the proxy routes a name in use by profile and TrafficSplit, not by policy (11)."""
        return self._names[service][port].live

    def mark_dead(self, endpoint: Endpoint) -> None:
        """Take an address out of turn: it could not be connected to."""
        self._dead.add(endpoint)

    def mark_alive(self, endpoint: Endpoint) -> None:
        """Put an address back in turn."""
        self._dead.discard(endpoint)

    def wants(self, endpoint: Endpoint, now: float) -> bool:
        """Whether a name in use could send to this address."""
        return any(
            backend.wants(endpoint)
            for by_port in self._names.values()
            for name in by_port.values()
            if now - name.last_used < IDLE_S
            for backend in name.backends.values()
        )

    def _draw(
        self, name: _Name, split: Weighted, namespace: str, port: int, now: float
    ) -> Backend | None:
        usable: list[tuple[Backend, float]] = []
        total = 0.0
        for short, weight in split.backends:
            if weight <= 0:
                continue
            backend = self._backend(name, (namespace, short), port)
            if not backend.skipped(now):
                usable.append((backend, weight))
                total += weight
        at = self._rng.random() * total
        for backend, weight in usable:
            at -= weight
            if at < 0:
                return backend
        return usable[-1][0] if usable else None

    def _use(self, service: Key, port: int, now: float) -> _Name:
        by_port = self._names.setdefault(service, {})
        name = by_port.get(port)
        if name is None or now - name.last_used >= IDLE_S:
            policy = self._config.policy(service, self._namespace, port)
            name = _Name(policy, live=self._sees_new_splits, now=now)
            by_port[port] = name
        else:
            name.settle(now)
            name.last_used = now
        return name

    def _backend(self, name: _Name, service: Key, port: int) -> Backend:
        backend = name.backends.get(service[1])
        if backend is None:
            slices = self._slices.get(service)
            if slices is None:
                slices = _Slices(self._config.endpoints(service))
                self._slices[service] = slices
            backend = name.backends[service[1]] = Backend(service[1], slices, port, self._dead)
        return backend

    def _changed(self, topic: Topic) -> None:
        about, service = topic
        if about == "endpoints":
            slices = self._slices.get(service)
            if slices is not None:
                endpoints = self._config.endpoints(service)
                if endpoints != slices.told:
                    due = self._now() + SPLIT_DELAY.draw(self._rng)
                    self._on_change(slices.tell(due, endpoints))
            return
        for port, name in self._names.get(service, {}).items():
            policy = self._config.policy(service, self._namespace, port)
            if policy != name.told:
                self._tell(name, policy)

    def _tell(self, name: _Name, policy: Policy) -> None:
        delay = SPLIT_DELAY if name.live else ROUTE_DELAY
        if policy.pinned != name.told.pinned:
            delay = PIN_CREATED_DELAY if policy.pinned else PIN_REMOVED_DELAY
        due = self._now() + delay.draw(self._rng)
        if name.coming:
            due = max(due, name.coming[-1][0])
        name.coming.append((due, policy))
        name.told = policy
        self._on_change(due)
