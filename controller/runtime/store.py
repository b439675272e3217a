"""What each source reported last, by migration. No I/O and no clock: ``now_s`` is monotonic.

``apply`` takes a change of a cluster and returns the migrations that it is about; ``on_report`` takes what the
probers report; ``observe`` puts together what one decision may look at. Memory is a cache of what stands on the
splits: whatever is lost here comes back from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from controller.decide.gates import SETTLE_S
from controller.domain import (
    PREFIX,
    GlobalContext,
    Key,
    Malformed,
    MigrationKnown,
    MigrationSpec,
    Observed,
    ObservedCluster,
    ProbeOrder,
    TrafficOrder,
)
from controller.domain.annotations import read
from controller.evidence.clients.monitor import Answered, ClientMonitor, Source
from controller.evidence.probes import ProbeMonitor, ProberReport
from controller.kube.objects import Change
from controller.runtime.cluster_store import ClusterStore


@dataclass(slots=True)
class _Migration:
    """What is remembered of one migration between two decisions."""

    first_seen_s: float
    callers: ClientMonitor
    monitor: ProbeMonitor = field(default_factory=ProbeMonitor)
    weights: dict[str, int | None] = field(default_factory=dict)
    changed_s: float = -inf
    generation: int = 0
    settled: bool = True
    asked: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    spec: MigrationSpec | Malformed | None = None


class Store:
    """Both clusters and all migrations. ``gateways`` are the namespaces of the gateways by the two clusters'
    names, ``domain`` is the DNS domain.

    ``prometheus`` are the clusters that have one, ``tick_s`` how often it is asked.
    """

    def __init__(
        self,
        gateways: Mapping[str, str],
        domain: str,
        *,
        prometheus: Iterable[str] = (),
        tick_s: float = 10.0,
    ) -> None:
        one, other = gateways
        self.clusters = (one, other)
        self.views = {
            one: ClusterStore(one, other, domain, gateways[one]),
            other: ClusterStore(other, one, domain, gateways[other]),
        }
        self._known: dict[Key, _Migration] = {}
        self._tick_s = tick_s
        self._sources = {name: Source(name, tick_s=tick_s) for name in prometheus}

    # --- what comes in -------------------------------------------------------------------------------

    def apply(self, change: Change) -> set[Key]:
        """Take a change of a cluster in; return the migrations it is about, also one that just ended."""
        keys = self.views[change.cluster].apply(change)
        return {key for key in keys if key in self._known or self.is_migration(key)}

    def on_report(self, on_report: ProberReport) -> None:
        """Take one report of a prober in: its samples count at the next tick."""
        report = on_report.report
        clean = report.reference.bad == 0
        for migration in self._known.values():
            if migration.monitor.active:
                migration.monitor.on_report(on_report.cluster, on_report.now_s)
        for order, part in on_report.slices:
            if order.key in self._known:
                monitor = self._known[order.key].monitor
                monitor.take(order, part, on_report.now_s, void=report.void, reference_clean=clean)
                monitor.lowered(order, on_report.lowered.get((order.key, order.path)))
        for order, reason, message in on_report.refused:
            if order.key in self._known:
                self._known[order.key].monitor.refused(order, reason, message)
        for order in () if report.void else on_report.idle:
            if order.key in self._known:
                self._known[order.key].monitor.idle(order)

    def fold(self, now_s: float) -> set[Key]:
        """Close a tick of 100 ms; return the migrations to reconcile because of what came."""
        return {
            key
            for key, migration in self._known.items()
            if migration.monitor.active and (migration.monitor.fold(now_s) or not migration.settled)
        }

    def answered(self, answered: Answered) -> set[Key]:
        """Take what one cluster's Prometheus says in; return the migrations to reconcile because of it."""
        source = self._sources[answered.cluster]
        fresh = source.apply(answered)
        notable: set[Key] = set()
        for key, migration in self._known.items():
            migration.callers.apply(key, answered, fresh=fresh)
            if migration.callers.notable(source, answered.cluster, answered.now_s):
                notable.add(key)
        return notable

    def order(self, key: Key, orders: tuple[ProbeOrder, ...]) -> None:
        """Monitor exactly these paths."""
        if key in self._known or orders:
            self._known[key].monitor.order(orders)

    def order_traffic(self, key: Key, order: TrafficOrder | None, now_s: float) -> None:
        """Count real traffic for exactly this."""
        if key in self._known:
            self._known[key].callers.order(order, now_s)

    def forget(self, key: Key) -> None:
        """Let go of a migration that is none any more."""
        self._known.pop(key, None)

    # --- what is asked ------------------------------------------------------------------------------

    def is_migration(self, key: Key) -> bool:
        """Return whether a Service is annotated, or has a record on a split."""
        return any(view.is_annotated(key) or view.has_record(key) for view in self.views.values())

    def migrations(self) -> set[Key]:
        """Return every migration."""
        return {key for view in self.views.values() for key in view.annotated()}

    @property
    def current(self) -> bool:
        """Report whether both clusters are listed and fresh."""
        return all(view.current for view in self.views.values())

    def known(self, key: Key) -> MigrationKnown:
        """Return where the Service of this migration is annotated, by whom and when it was asked for."""
        annotated = tuple(name for name, view in self.views.items() if view.is_annotated(key))
        services = [service for name in annotated if (service := self.views[name].service(key))]
        last = max(services, key=lambda s: str(s.asked), default=None)
        return MigrationKnown(
            annotated=annotated,
            asked=last.asked if last else None,
            asked_by=last.asked_by if last else "",
        )

    def observe(
        self,
        key: Key,
        context: GlobalContext,
        now_s: float,
        *,
        writing: Iterable[str] = (),
        has_slot: bool = False,
        slot_place: int = 0,
        just_read: bool = False,
    ) -> Observed:
        """Put together what one decision may look at."""
        busy = frozenset(writing)
        observed = {n: view.observed(key, writing=n in busy) for n, view in self.views.items()}
        migration = self._known.get(key)
        if migration is None:
            migration = _Migration(now_s, ClientMonitor(tick_s=self._tick_s))
            self._known[key] = migration
        self._watch_weights(migration, observed, now_s)
        self._watch_pods_and_pins(migration, observed, now_s)
        return Observed(
            key=key,
            context=context,
            clusters=observed,
            spec=self._spec(migration, observed),
            paths=migration.monitor.evidence(now_s),
            has_slot=has_slot,
            slot_place=slot_place,
            just_read=just_read,
            settled_s=now_s - migration.changed_s,
            started_s=now_s - migration.first_seen_s,
            generation=migration.generation,
            traffic=migration.callers.evidence(self._sources, now_s),
        )

    # --- how it is done ------------------------------------------------------------------------------

    @staticmethod
    def _watch_weights(
        migration: _Migration, observed: dict[str, ObservedCluster], now_s: float
    ) -> None:
        """Notice a change of the weights, and a second later that it has settled: a new generation."""
        weights = {n: c.split.away_permille if c.split else None for n, c in observed.items()}
        if weights != migration.weights:
            migration.weights = weights
            migration.changed_s = now_s
            migration.settled = False
        if not migration.settled and now_s - migration.changed_s >= SETTLE_S:
            migration.settled = True
            migration.generation += 1
            migration.monitor.settled(now_s)

    def _watch_pods_and_pins(
        self, migration: _Migration, observed: dict[str, ObservedCluster], now_s: float
    ) -> None:
        """Notice pods and pins that come and go."""
        monitor = migration.monitor
        missing = any(cluster.current and cluster.pin is None for cluster in observed.values())
        if missing:
            migration.callers.void_loops(now_s)
        if not monitor.active:
            return
        monitor.pins(missing=missing, now_s=now_s)
        target = self._target(observed)
        for name, cluster in observed.items():
            ready = frozenset(a for pods in cluster.endpoints.pods.values() for a in pods)
            monitor.pods(name, ready, now_s, is_target=name == target)

    @staticmethod
    def _target(observed: dict[str, ObservedCluster]) -> str:
        for cluster in observed.values():
            record = cluster.split.record if cluster.split else None
            attempt = getattr(record, "attempt", None)
            if attempt is not None:
                return str(attempt.target)
        return ""

    def _spec(
        self, migration: _Migration, observed: dict[str, ObservedCluster]
    ) -> MigrationSpec | Malformed | None:
        """Read the annotations of both clusters; the same text is read once."""
        texts = {
            name: dict(cluster.service.annotations)
            for name, cluster in observed.items()
            if cluster.service and any(a.startswith(PREFIX) for a in cluster.service.annotations)
        }
        asked = tuple((name, tuple(sorted(found.items()))) for name, found in texts.items())
        if asked != migration.asked:
            migration.asked = asked
            migration.spec = read(texts, self.clusters)
        return migration.spec
