"""Which objects of one cluster are about which Service. No I/O and no clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from controller.domain import PREFIX, Key, Port, SplitKind
from controller.kube.objects import (
    MIRROR_CLUSTER,
    MIRROR_OF,
    EndpointSliceObject,
    HTTPRouteObject,
    MigrationObject,
    OtherRouteObject,
    Resource,
    ServiceObject,
    ServiceProfileObject,
    identify,
)
from controller.mesh import conflicts, pin
from controller.mesh.splits.kinds import PROVIDER_OF
from controller.runtime.addresses import Addresses, behind

API = Key("default", "kubernetes")
"""The Service of the API server itself: its endpoints are where the API servers of this cluster listen."""

_ByService = defaultdict[Key, dict[Any, Any]]


class _Entry(NamedTuple):
    """One thing that an object says of one Service, under a name of its own."""

    table: _ByService
    key: Key
    name: Any
    value: Any


class ServiceIndex:
    """By Service: its slices, its splits, its pin, its ServiceProfile, what conflicts with it, its mirrors of other
    clusters, and the namespaces that have one of its name.

    ``far`` is the other cluster, whose mirrors are here, ``domain`` this cluster's DNS domain, by which
    ServiceProfiles name Services, and ``gateways`` the namespace of its gateway, where they are pins.
    """

    def __init__(self, far: str, domain: str, gateways: str) -> None:
        self._far = far
        self.domain = domain
        self._gateways = gateways
        self.slices: _ByService = defaultdict(dict)
        self.splits: _ByService = defaultdict(dict)
        self.pins: _ByService = defaultdict(dict)
        self.profiles: _ByService = defaultdict(dict)
        self.conflicts: _ByService = defaultdict(dict)
        self.other_mirrors: _ByService = defaultdict(dict)
        self._addresses = Addresses()
        self._namespaces: defaultdict[str, set[str]] = defaultdict(set)
        self._far_domains: Counter[str] = Counter()

    def add(self, resource: Resource, found: Any) -> set[Key]:
        """Take an object in; return the Services that it is about."""
        keys = self._about(found)
        if isinstance(found, ServiceObject):
            self._namespaces[found.metadata.name].add(found.metadata.namespace)
            self._far_domains[self._far_domain_of(found)] += 1
        for table, key, name, value in self._entries(resource, found):
            table[key][name] = value
            keys.add(key)
        if isinstance(found, EndpointSliceObject):
            keys |= self._addresses.add(found)
        return keys

    def judged(self, key: Key, ports: Sequence[Port]) -> conflicts.Judged:
        """Judge what else routes the calls to a Service of these ports beside the HTTPRoutes that split it."""
        found = [each for _, each in sorted(self.conflicts.get(key, {}).items())]
        splits = self.splits.get(key, {}).values() if found else ()
        own = [split for split in splits if isinstance(split, HTTPRouteObject)]
        return conflicts.judge(found, own, ports)

    def remove(self, resource: Resource, found: Any) -> set[Key]:
        """Let go of an object; return the Services that it was about."""
        keys = self._about(found)
        if isinstance(found, ServiceObject):
            self._namespaces[found.metadata.name].discard(found.metadata.namespace)
            self._far_domains[self._far_domain_of(found)] -= 1
        for table, key, name, _ in self._entries(resource, found):
            table[key].pop(name, None)
            if not table[key]:
                del table[key]
            keys.add(key)
        if isinstance(found, EndpointSliceObject):
            keys |= self._addresses.remove(found)
        return keys

    def twins(self, key: Key) -> set[Key]:
        """Return the other Services of which an endpoint is this one's too."""
        return self._addresses.shared(self.slices.get(key, {}).values()) - {key}

    def trespass(self, key: Key) -> str:
        """Return an endpoint of a Service that is somebody else's, and whose, "" where there is none.

        What Kubernetes wrote may be the API server's where Pods use its node's network; what others wrote, as the
        endpoints of a mirror, must lead to no Pod of this cluster.
        """
        api = {e.address for part in self.slices.get(API, {}).values() for e in part.endpoints}
        for name, part in sorted(self.slices.get(key, {}).items()):
            for address in (endpoint.address for endpoint in part.endpoints):
                if address in api:
                    return f"{address} in the EndpointSlice {name}, the API server"
                if not part.by_controller and self._addresses.is_pod(address):
                    return f"{address} in the EndpointSlice {name}, a Pod of another Service"
        return ""

    def rename(self, domain: str, profiles: Collection[ServiceProfileObject]) -> set[Key]:
        """Take this for the cluster's DNS domain; return the Services of which one of the profiles tells, or told."""
        resource, keys = Resource.SERVICEPROFILES, set[Key]()
        for found in profiles:
            keys |= self.remove(resource, found)
        self.domain = domain
        for found in profiles:
            keys |= self.add(resource, found)
        return keys

    def has_record(self, key: Key) -> bool:
        """Return whether a split of the Service carries our record."""
        return any(
            annotation.startswith(PREFIX)
            for found in self.splits.get(key, {}).values()
            for annotation in found.metadata.annotations
        )

    def kinds(self, key: Key) -> set[SplitKind]:
        """Return the kinds of the splits of a Service."""
        return {PROVIDER_OF[resource].KIND for _, resource in self.splits.get(key, ())}

    def also_in(self, key: Key) -> tuple[str, ...]:
        """Return the other namespaces that have a Service of this name, mirrors too: proxies call those alike."""
        return tuple(sorted(self._namespaces.get(key.service, set()) - {key.namespace}))

    @property
    def far_domain(self) -> str:
        """Return the other cluster's DNS domain, as most mirrors of its Services say it, and so does their Link;
        "" where there is none."""
        told = {domain: n for domain, n in self._far_domains.items() if domain and n}
        return max(sorted(told), key=lambda domain: told[domain], default="")

    def _far_domain_of(self, found: ServiceObject) -> str:
        meta = found.metadata
        if not found.is_mirror or meta.labels.get(MIRROR_CLUSTER) != self._far:
            return ""
        return meta.annotations.get(MIRROR_OF, "").partition(f".{meta.namespace}.svc.")[2]

    def _entries(self, resource: Resource, found: Any) -> Iterator[_Entry]:
        """Yield what an object says of Services, the same when it comes and when it goes."""
        if isinstance(found, EndpointSliceObject):
            yield _Entry(self.slices, behind(found), found.metadata.name, found)
        elif isinstance(found, ServiceObject):
            yield from self._mirrors(found)
        elif provider := PROVIDER_OF.get(resource):
            for key in provider.services_of(found):
                yield _Entry(self.splits, key, (found.metadata.name, resource), found)
            yield from self._conflicting(resource, found)
        elif isinstance(found, OtherRouteObject):
            yield from self._conflicting(resource, found)
        elif isinstance(found, ServiceProfileObject):
            yield from self._profiled(resource, found)

    def _profiled(self, resource: Resource, found: ServiceProfileObject) -> Iterator[_Entry]:
        """Yield whose pin a profile is, or whose calls it takes, and the one that stands beside its Service."""
        name, namespace = found.metadata.name, found.metadata.namespace
        about = pin.key_of(name, self.domain)
        if about and about.namespace == namespace:
            yield _Entry(self.profiles, about, name, found)
        if namespace != self._gateways:
            yield from self._conflicting(resource, found)
        elif about:
            yield _Entry(self.pins, about, name, found)

    def _conflicting(self, resource: Resource, found: Any) -> Iterator[_Entry]:
        """Yield what an object takes from an HTTPRoute of the Services themselves."""
        for key, conflict in conflicts.of(found, self.domain).items():
            yield _Entry(self.conflicts, key, (resource, identify(found)[:2]), conflict)

    def _mirrors(self, found: ServiceObject) -> Iterator[_Entry]:
        """Yield of which Service this is the mirror, and to which cluster, where that is not the far one."""
        cluster = found.metadata.labels.get(MIRROR_CLUSTER, "")
        if found.is_mirror and cluster not in ("", self._far):
            name = found.metadata.name
            key = Key(found.metadata.namespace, name.removesuffix(f"-{cluster}"))
            yield _Entry(self.other_mirrors, key, name, cluster)

    def _about(self, found: Any) -> set[Key]:
        """Return the Services of which this is a part, whatever it says: itself, and what it mirrors."""
        if isinstance(found, EndpointSliceObject):
            return self._with_origin(behind(found))
        if isinstance(found, (ServiceObject, MigrationObject)):
            key = Key(found.metadata.namespace, found.metadata.name)
            # A Service is also about its namesakes: what is counted of them may be its own from now on.
            return self._with_origin(key) | {Key(n, key.service) for n in self.also_in(key)}
        return set()

    def _with_origin(self, key: Key) -> set[Key]:
        """Return the Service and what it mirrors: a change of a mirror is a change of that."""
        suffix = f"-{self._far}"
        if key.service.endswith(suffix):
            return {key, Key(key.namespace, key.service.removesuffix(suffix))}
        return {key}
