"""Two inventories put together: which cluster is which, which Services are meant, and what is seen of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from controller.cli.arguments import is_label
from controller.cli.exit_codes import Exit, Failure
from controller.cli.inventory import Inventory
from controller.cli.migration import Migration
from controller.cli.service_labels import is_of_others
from controller.decide.preflight import Entrance, Facts, ReportedStatus, Winner, asked_for
from controller.decide.resolve import resolve
from controller.decide.split_choice import kind_of
from controller.domain import (
    PREFIX,
    GlobalContext,
    Key,
    Malformed,
    MigrationSpec,
    Observed,
    Reason,
    SplitKind,
)
from controller.kube.objects import (
    Freshness,
    HTTPRouteObject,
    KubeObject,
    Listed,
    Resource,
    ServiceObject,
    ServiceProfileObject,
)
from controller.mesh import conflicts, pin
from controller.runtime.store import Store


@dataclass(frozen=True)
class Pair:
    """The cluster of the kubeconfig's context and the other one, by the names that their Links give them."""

    here: Inventory
    far: Inventory
    names: tuple[str, str]

    @property
    def inventories(self) -> Mapping[str, Inventory]:
        """Both, by name."""
        return dict(zip(self.names, (self.here, self.far), strict=True))

    def other(self, name: str) -> str:
        """Return the name of the other cluster."""
        return self.names[1] if name == self.names[0] else self.names[0]

    def domain(self, name: str) -> str:
        """Return the DNS domain of a cluster, as the Link to it says, or its mirrors in the other one."""
        return self.store.domain(name)

    @cached_property
    def store(self) -> Store:
        """Everything that was read, taken in as the controller takes in what it watches."""
        gateways = {
            name: inventory.gateway_namespace for name, inventory in self.inventories.items()
        }
        links = {
            name: [
                link.domain
                for link in self.inventories[self.other(name)].links
                if link.cluster == name
            ]
            for name in self.names
        }
        domains = {name: told[0] for name, told in links.items() if told and told[0]}
        store = Store(gateways, "cluster.local", domains=domains, fleets_in=self.fleets_in)
        for name, inventory in self.inventories.items():
            for resource, objects in inventory.objects.items():
                served = resource not in inventory.unserved
                store.apply(Listed(name, resource, tuple(objects), served=served))
                store.apply(Freshness(name, resource, current=True))
        return store

    @property
    def fleets_in(self) -> str:
        """Where the Fleets stand: in the cluster that has one."""
        having = (
            name for name in self.names if self.inventories[name].objects.get(Resource.FLEETS)
        )
        return next(having, self.names[0])

    # --- which Services -------------------------------------------------------------------------------

    def everyone(self, target: str) -> list[Key]:
        """Return the Services that could go to ``target``: those of the other cluster, and annotated ones.

        Mirrors, the API server's own Service and those of Kubernetes, Linkerd and this product are none.
        """
        found = set(self.services(self.other(target)))
        found |= {key for name in self.names for key, asked in self.services(name).items() if asked}
        return sorted(key for key in found if not self._is_of_others(key))

    def _is_of_others(self, key: Key) -> bool:
        return any(
            is_of_others(key, each.labels.get(key, {})) for each in self.inventories.values()
        )

    def services(self, name: str) -> dict[Key, bool]:
        """Return the Services of a cluster, and whether each is annotated."""
        found = self.inventories[name].of(ServiceObject, Resource.SERVICES)
        return {
            Key(each.metadata.namespace, each.metadata.name): any(
                note.startswith(PREFIX) for note in each.metadata.annotations
            )
            for each in found
            if not each.is_mirror
        }

    # --- what is seen of one ----------------------------------------------------------------------------

    def observed(self, key: Key, target: str | None, now: datetime) -> Observed:
        """Return what the controller would observe, were it to lead, with ``target`` (None: as annotated, or as a Fleet
        wishes).

        Whether it has a Prometheus is not known here; the Migration of an enrolled Service tells.
        """
        context = GlobalContext(
            self.names, leads=True, may_roll_back=True, prometheus=frozenset(self.names)
        )
        observed = _as_asked(self.store.observe(key, context, 0.0, now=now))
        own = (
            observed.spec.target if isinstance(observed.spec, (MigrationSpec, Malformed)) else None
        )
        return asked_for(observed, target or own or self.names[1])

    def facts(self, observed: Observed, refused: tuple[str, ...] = ()) -> Facts:
        """Return what else was read about one Service."""
        return Facts(
            no_namespace={
                name: observed.key.namespace
                for name, inventory in self.inventories.items()
                if inventory.namespaces is not None
                and observed.key.namespace not in inventory.namespaces
            },
            unexported=dict(self._unexported(observed)),
            refused=refused,
            winners=tuple(self._winners(observed.key)),
            entrances=tuple(
                Entrance(name, *leads)
                for name, inventory in self.inventories.items()
                for leads in inventory.entrances.get(observed.key, ())
            ),
            reported=_reported(self.migration(observed.key)),
            without_adaptor=tuple(self._without_adaptor(observed)),
            pins_read=all(
                Resource.SERVICEPROFILES not in inventory.unread
                for inventory in self.inventories.values()
            ),
        )

    def _without_adaptor(self, observed: Observed) -> Iterator[str]:
        """Find the clusters where a TrafficSplit is to be made, and nobody is seen who would obey it."""
        state = resolve(observed)
        for name, cluster in observed.clusters.items():
            to_make = cluster.split is None and kind_of(observed, state, cluster)
            asked = self.store.views[name].observed(observed.key, writing=False).unanswered
            unknown = asked.get(SplitKind.TRAFFICSPLIT, observed) is None
            nobody = self.inventories[name].has_adaptor is False
            if to_make is SplitKind.TRAFFICSPLIT and unknown and nobody:
                yield name

    def _unexported(self, observed: Observed) -> Iterator[tuple[str, str]]:
        """Find labels that keep a Service from being mirrored; where there is a mirror, they do not."""
        for name, inventory in self.inventories.items():
            there = self.other(name)
            links = [link for link in self.inventories[there].links if link.cluster == name]
            labels = inventory.labels.get(Key(*observed.key))
            if labels is None or not links or observed.clusters[there].mirror is not None:
                continue
            if not any(link.selector.admits(labels) for link in links):
                yield name, str(links[0].selector)

    def _winners(self, key: Key) -> Iterator[Winner]:
        for name, inventory in self.inventories.items():
            for found in self._aside[name].get(key, ()):
                meta = found.metadata
                if meta.namespace not in (key.namespace, inventory.gateway_namespace):
                    yield Winner(name, _reason(found), meta.namespace, meta.name)

    @cached_property
    def _aside(self) -> Mapping[str, Mapping[Key, list[KubeObject]]]:
        """By cluster and Service: its ServiceProfiles, and routes of it in other namespaces."""
        aside: dict[str, dict[Key, list[KubeObject]]] = {name: {} for name in self.names}
        for name, inventory in self.inventories.items():
            for profile in inventory.of(ServiceProfileObject, Resource.SERVICEPROFILES):
                about = pin.key_of(profile.metadata.name, self.domain(name))
                if about is not None:
                    aside[name].setdefault(about, []).append(profile)
            for route in inventory.of(HTTPRouteObject, Resource.HTTPROUTES):
                for about in conflicts.of(route, self.domain(name)):
                    aside[name].setdefault(about, []).append(route)
        return aside

    def migration(self, key: Key) -> Migration | None:
        """Return the Service's Migration, which the controller keeps in one of the clusters."""
        found = (inventory.migrations.get(key) for inventory in self.inventories.values())
        return next((migration for migration in found if migration), None)

    def told(self, keys: Iterable[Key]) -> dict[Key, Migration]:
        """Return the Migrations of these Services, of those that have one."""
        return {key: found for key in keys if (found := self.migration(key))}


def _as_asked(observed: Observed) -> Observed:
    """Return the same, as if what no canary asks yet were answered: the controller asks before it makes a split.

    What a canary asks was just read."""
    return replace(
        observed,
        clusters={
            name: replace(
                cluster,
                unanswered={kind: at for kind, at in cluster.unanswered.items() if at is not None},
                silent=frozenset(cluster.unanswered),
            )
            for name, cluster in observed.clusters.items()
        },
    )


def _reason(winner: KubeObject) -> Reason:
    return Reason.PROFILE_WINS if isinstance(winner, ServiceProfileObject) else Reason.ROUTE_WINS


def _reported(found: Migration | None) -> ReportedStatus | None:
    if found is None:
        return None
    status = found.status
    return ReportedStatus(
        blocked=status.blocked,
        reason=Reason(status.reason),
        message=status.message,
        warnings=tuple((Reason(warned.reason), warned.message) for warned in status.warnings),
    )


def paired(here: Inventory, far: Inventory) -> Pair:
    """Return both clusters with their names. Raises Failure where their Links, mirrors and Migrations leave it open."""
    told = {
        name
        for inventory in (here, far)
        for migration in inventory.migrations.values()
        for name in migration.status.pair or ()
    }
    names = (_named(here, far.linked, told), _named(far, here.linked, told))
    if names[0] == names[1]:
        raise Failure(
            f"{here.place} and {far.place} are both called {names[0]} by the other's Link: give"
            " --other-context the context of the other cluster",
            code=Exit.USAGE,
        )
    return Pair(here, far, names)


def _named(inventory: Inventory, by_the_other: tuple[str, ...], told: set[str]) -> str:
    """Return the name of a cluster as the other one's Links do; of several, as Migrations or its own context do."""
    context = inventory.place.context or ""
    names = [name for name in by_the_other if name in told] or list(by_the_other)
    if len(names) == 1:
        return names[0]
    if context in names if names else is_label(context):
        return context
    known = ", ".join(names) or "no Link and no mirror"
    raise Failure(
        f"the name of {inventory.place} is not known: in the other cluster there are {known}; name its"
        " context as the Link there names the cluster",
        code=Exit.USAGE,
    )
