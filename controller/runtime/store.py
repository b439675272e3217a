"""What each source reported last, by migration. No I/O and no clock: ``now_s`` is monotonic.

``apply`` takes what the clusters say and returns the migrations that it is about; ``on_report`` and ``answered``
take what the probers and Prometheus say; ``observe`` puts together what one decision may use. Memory is a cache of
what stands on the splits: whatever is lost here comes back from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf

from controller.decide.decision import Decision
from controller.decide.gates import SETTLE_S
from controller.domain import (
    PREFIX,
    CallPath,
    GlobalContext,
    Key,
    Malformed,
    MigrationKnown,
    MigrationSpec,
    Observed,
    ObservedCluster,
    Plan,
)
from controller.domain.annotations import read
from controller.evidence.clients.monitor import Answered, Clients
from controller.evidence.gateways import PROBERS, ControlService, Gateways
from controller.evidence.looks import Look
from controller.evidence.probes import ProberReport, Probes
from controller.evidence.source import Source, together
from controller.kube.objects import Change
from controller.runtime.cluster_store import ClusterStore
from controller.runtime.fleets import Fleets
from controller.runtime.terms import Terms


@dataclass(slots=True)
class _Migration:
    """What is remembered of one migration between two decisions."""

    first_seen_s: float
    weights: dict[str, tuple[int, ...]] = field(default_factory=dict)
    changed_s: float = -inf
    generation: int = 0
    settled: bool = True
    asked: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    spec: MigrationSpec | Malformed | None = None
    empty_from_s: dict[tuple[str, str], float] = field(default_factory=dict)
    endpoints_read_s: dict[str, float] = field(default_factory=dict)
    splits_read_s: float = -inf

    def empty_s(self, cluster: str, whose: str, *, empty: bool, now_s: float) -> float:
        """Return for how long nobody was seen ready behind one Service of a cluster, 0 where somebody is."""
        if not empty:
            self.empty_from_s.pop((cluster, whose), None)
            return 0.0
        return now_s - self.empty_from_s.setdefault((cluster, whose), now_s)


class Store:
    """Both clusters and all migrations. ``gateways`` are the namespaces of the gateways by the two clusters'
    names. ``domains`` are the DNS domains of clusters by which each is said; another's is what the mirrors of its
    Services say, and ``domain`` until there are some.

    ``prometheus`` are the clusters that have one, ``tick_s`` how often it is asked. ``further`` are the sources of
    evidence beside the probes and real traffic. ``terms`` are told of every record. ``control`` is asked through each
    gateway. ``fleets_in`` is the cluster whose Fleets are followed ("": none's).
    """

    def __init__(  # noqa: PLR0913 - what is not of both clusters alike is said by name
        self,
        gateways: Mapping[str, str],
        domain: str,
        *,
        domains: Mapping[str, str] | None = None,
        prometheus: Iterable[str] = (),
        tick_s: float = 10.0,
        further: Iterable[Source] = (),
        terms: Terms | None = None,
        control: ControlService = PROBERS,
        fleets_in: str = "",
    ) -> None:
        one, other = gateways
        self.clusters = (one, other)
        self._domains = domains or {}
        self.views = {
            name: ClusterStore(name, far, self._domains.get(name, domain), gateways[name])
            for name, far in ((one, other), (other, one))
        }
        self.fleets = Fleets(self.views, gateways, fleets_in)
        self._known: dict[Key, _Migration] = {}
        self._probes = Probes()
        self._clients = Clients(prometheus, tick_s=tick_s)
        self.gateways = Gateways(control)
        self._further = tuple(further)
        self.terms = terms or Terms("", inf)
        self._sources: tuple[Source, ...] = (
            self._probes,
            self._clients,
            self.gateways,
            *self._further,
        )

    # --- what comes in -------------------------------------------------------------------------------

    def apply(self, change: Change) -> set[Key]:
        """Take a change of a cluster in; return the migrations it is about, also one that just ended."""
        names = self.fleets.names_in(change)
        keys = self.views[change.cluster].apply(change) | self._renamed(change.cluster)
        named = self.fleets.apply(change, names)
        return {k for k in keys | named if k in self._known or self.is_migration(k)} | {
            key for key in named if not key.namespace
        }

    def _renamed(self, by: str) -> set[Key]:
        """Take the DNS domain of the other cluster from its mirrors in this one, unless it was said."""
        far = next(name for name in self.clusters if name != by)
        told = self.views[by].domains[1]
        if far in self._domains or told in ("", self.domain(far)):
            return set()
        return self.views[far].rename(told)

    def on_report(self, report: ProberReport) -> None:
        """Take one report of a prober in: its samples count at the next tick."""
        self._probes.on_report(report)
        self.gateways.on_report(report)

    def fold(self, now_s: float) -> dict[Key, Look]:
        """Close a tick of 100 ms; return the migrations to reconcile because of what came, and how soon."""
        found = self._probes.fold(now_s)
        by_gateway = self.gateways.fold(now_s)
        for key in by_gateway:
            self.wait(key)
        return found | dict.fromkeys(by_gateway, Look.NOW)

    def wait(self, key: Key) -> None:
        """Have the probes of a migration ask for no decision before the next is made."""
        self._probes.wait(key)

    def proven_bad(self, key: Key) -> tuple[CallPath, ...]:
        """Return the paths of a migration of which no further probe changes anything until it is decided on."""
        return self._probes.proven_bad(key, self.gateways.leading_nowhere(key))

    def answered(self, answered: Answered) -> set[Key]:
        """Take what one cluster's Prometheus says in; return the migrations to reconcile because of it."""
        return self._clients.answered(answered)

    def order(self, key: Key, plan: Plan, now_s: float) -> None:
        """Have each source watch exactly what the plan asks for."""
        for source in self._sources:
            source.order(key, plan, now_s)

    def note(self, decision: Decision) -> None:
        """Have Fleets know where a Service stands by its last decision; what is seen of stale clusters says nothing."""
        if self.current:
            self.fleets.note(decision)

    def forget(self, key: Key) -> None:
        """Let go of a migration that is none any more."""
        self._known.pop(key, None)
        self.terms.forget(key)
        for source in self._sources:
            source.forget(key)

    # --- what is asked ------------------------------------------------------------------------------

    def domain(self, cluster: str) -> str:
        """Return a cluster's DNS domain, by which its gateway asks for Services."""
        return self.views[cluster].domains[0]

    def is_migration(self, key: Key) -> bool:
        """Return whether a Service is annotated or a Fleet's, or has a record on a split."""
        return self.fleets.names(key) or any(
            view.is_annotated(key) or view.has_record(key) for view in self.views.values()
        )

    def migrations(self) -> set[Key]:
        """Return every migration."""
        annotated = {key for view in self.views.values() for key in view.annotated()}
        return annotated.union(self.fleets.members())

    @property
    def current(self) -> bool:
        """Report whether both clusters are listed and fresh."""
        return all(view.current for view in self.views.values())

    def endpoints_read(self, key: Key, cluster: str, now_s: float) -> None:
        """Note that the slices of a Service and of its mirror were just read from the API server itself."""
        if key in self._known:
            self._known[key].endpoints_read_s[cluster] = now_s

    def splits_read(self, key: Key, now_s: float) -> None:
        """Note that both splits, and what answers them, were just read from the API servers themselves."""
        if key in self._known:
            self._known[key].splits_read_s = now_s

    def known(self, key: Key) -> MigrationKnown:
        """Return where the Service of this migration is annotated, by whom and when it was asked for."""
        annotated = tuple(name for name, view in self.views.items() if view.is_annotated(key))
        annotated = annotated or self._where_it_stands(key)
        services = [service for name in annotated if (service := self.views[name].service(key))]
        last = max(services, key=lambda s: str(s.asked), default=None)
        return MigrationKnown(
            annotated=annotated,
            asked=last.asked if last else None,
            asked_by=last.asked_by if last else "",
        )

    def _where_it_stands(self, key: Key) -> tuple[str, ...]:
        """Return where a Service is told of that says nothing itself, and that a Fleet names: where it was before, else
        where it comes from."""
        if not self.fleets.names(key):
            return ()
        origin = self.fleets.origin(key)
        there = [name for name, view in self.views.items() if view.service(key)]
        told = [name for name in there if self.views[name].migration(key)]
        return tuple(sorted(told or there, key=lambda name: name != origin)[:1])

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
        now: datetime | None = None,
    ) -> Observed:
        """Put together what one decision may look at; Fleets are heard where ``now``, the lease cluster's time, is
        known."""
        word = self.fleets.word(key, now) if now is not None else None
        busy = frozenset(writing)
        observed = {n: view.observed(key, writing=n in busy) for n, view in self.views.items()}
        migration = self._known.get(key)
        if migration is None:
            migration = self._known[key] = _Migration(now_s)
        settled = self._watch_weights(migration, observed, now_s)
        self.terms.notice(key, observed, now_s)
        for source in self._sources:
            source.notice(key, observed, now_s, settled=settled)
        evidence = together(source.evidence(key, now_s) for source in self._sources)
        return Observed(
            key=key,
            context=context,
            clusters={n: _emptied(migration, c, now_s) for n, c in observed.items()},
            spec=self._spec(migration, observed, word.wish if word else {}),
            paths=evidence.paths,
            has_slot=has_slot,
            slot_place=slot_place,
            just_read=just_read,
            settled_s=now_s - migration.changed_s,
            splits_read_s=now_s - migration.splits_read_s,
            started_s=now_s - migration.first_seen_s,
            generation=migration.generation,
            traffic=evidence.traffic,
            judges=1 + len(self._further),
            other_lease=self.terms.other_lease(now_s),
            listens_s=self.terms.listens_s(key, now_s),
            fleet=word,
        )

    # --- how it is done ------------------------------------------------------------------------------

    @staticmethod
    def _watch_weights(
        migration: _Migration, observed: dict[str, ObservedCluster], now_s: float
    ) -> bool:
        """Notice a change of the weights, and report when, a second later, it has settled: a new generation."""
        weights = {
            n: tuple(part.away_permille for part in c.split.each()) if c.split else ()
            for n, c in observed.items()
        }
        if weights != migration.weights:
            migration.weights = weights
            migration.changed_s = now_s
            migration.settled = False
        if migration.settled or now_s - migration.changed_s < SETTLE_S:
            return False
        migration.settled = True
        migration.generation += 1
        return True

    def _spec(
        self,
        migration: _Migration,
        observed: dict[str, ObservedCluster],
        wish: Mapping[str, str],
    ) -> MigrationSpec | Malformed | None:
        """Read the annotations of both clusters, and what a Fleet wishes beside them; the same text is read once."""
        texts = {
            name: dict(cluster.service.annotations)
            for name, cluster in observed.items()
            if cluster.service and any(a.startswith(PREFIX) for a in cluster.service.annotations)
        }
        asked = tuple((name, tuple(sorted(found.items()))) for name, found in texts.items())
        asked += (("", tuple(sorted(wish.items()))),) if wish else ()
        if asked != migration.asked:
            migration.asked = asked
            migration.spec = read(texts, self.clusters, wish)
        return migration.spec


def _emptied(migration: _Migration, cluster: ObservedCluster, now_s: float) -> ObservedCluster:
    """Return a cluster with the times since which nobody is seen ready in it; of one that is not current nothing is
    known."""
    name = cluster.name
    own = cluster.current and not cluster.endpoints.ready
    mirror = cluster.current and not cluster.mirror_endpoints.ready
    return replace(
        cluster,
        empty_s=migration.empty_s(name, "own", empty=own, now_s=now_s),
        mirror_empty_s=migration.empty_s(name, "mirror", empty=mirror, now_s=now_s),
        endpoints_read_s=now_s - migration.endpoints_read_s.get(name, -inf),
    )
