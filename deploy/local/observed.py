"""Splits, Migrations and Fleets as people make them and watch them, with kubectl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from deploy.stand_ins.mesh import EKS, LEGACY
from deploy.stand_ins.mesh.kube import ROUTES, SPLITS, Resource

CLUSTERS = (LEGACY, EKS)
PREFIX = "migrate.tradeshift/"
MIGRATIONS = Resource("Migration", "migrate.tradeshift/v1alpha1", "migrations")  # type: ignore[arg-type]  # not a kind of the mesh
FLEETS = Resource("Fleet", "migrate.tradeshift/v1alpha1", "fleets")  # type: ignore[arg-type]  # as MIGRATIONS

SplitKind = Literal["trafficsplit", "httproute"]
SPLIT_RESOURCES: Mapping[SplitKind, Resource] = {"trafficsplit": SPLITS, "httproute": ROUTES}


class Observed:
    """What was last seen of the splits, Migrations and Fleets in both clusters, and how often the product wrote."""

    def __init__(self) -> None:
        self.migrations: dict[str, Mapping[str, Any]] = {}
        self.fleets: dict[str, Mapping[str, Any]] = {}
        self.splits: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.split_kinds: dict[tuple[str, str], str] = {}
        self.writes: dict[str, int] = dict.fromkeys(CLUSTERS, 0)
        self._versions: set[tuple[str, str]] = set()

    def put(self, cluster: str, resource: Resource, found: Mapping[str, Any]) -> None:
        """Take an object of a cluster as it is now."""
        name = found["metadata"]["name"]
        if resource is MIGRATIONS:
            self.migrations[name] = found.get("status") or {}
            return
        if resource is FLEETS:
            self.fleets[name] = found.get("status") or {}
            return
        self.splits[cluster, name] = found
        self.split_kinds[cluster, name] = resource.kind
        ours = PREFIX + "record" in found["metadata"].get("annotations", {})
        version = (cluster, found["metadata"]["resourceVersion"])
        if ours and version not in self._versions:
            self._versions.add(version)
            self.writes[cluster] += 1

    def drop(self, cluster: str, resource: Resource, key: tuple[str, str]) -> None:
        """Forget a Fleet or a split that is gone, but not a split that was converted."""
        if resource is FLEETS:
            self.fleets.pop(key[1], None)
        at = (cluster, key[1])
        if self.split_kinds.get(at) == resource.kind:
            self.splits.pop(at, None)
            self.split_kinds.pop(at, None)

    def status(self, service: str) -> Mapping[str, Any]:
        """Return the status of a Service's Migration, empty while there is none."""
        return self.migrations.get(service, {})

    def share(self, cluster: str, service: str = "service-a") -> float:
        """Return the percentage of a cluster's calls that eks serves by its split, -1 without one."""
        split = self.splits.get((cluster, service))
        if split is None:
            return -1.0
        weights = weights_of(split["spec"])
        mine = f"{service}-eks" if cluster == LEGACY else service
        total = sum(weights.values())
        return 100.0 * weights.get(mine, 0.0) / total if total else -1.0

    def splits_known(self) -> bool:
        """Return whether both splits were seen."""
        return all((cluster, "service-a") in self.splits for cluster in CLUSTERS)


def split_object(
    kind: SplitKind, name: str, weights: Mapping[str, int], *, fqdn: bool, port: int = 80
) -> dict[str, Any]:
    """Return a split of this kind with these weights by Service; ``fqdn``: it names its Service in full, ``port``:
    whose calls an HTTPRoute is for."""
    spec: dict[str, Any]
    if kind == "trafficsplit":
        backends = [{"service": s, "weight": weight} for s, weight in weights.items()]
        spelled = f"{name}.default.svc.cluster.local" if fqdn else name
        spec = {"service": spelled, "backends": backends}
    else:
        refs = [{"name": s, "port": port, "weight": weight} for s, weight in weights.items()]
        parent = {"group": "", "kind": "Service", "name": name, "port": port}
        spec = {"parentRefs": [parent], "rules": [{"backendRefs": refs}]}
        name = name if port == 80 else f"{name}-{port}"
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def weights_of(spec: Mapping[str, Any]) -> dict[str, float]:
    """Return the weights in the spec of a split of either kind, by Service."""
    if "backends" in spec:
        return {b["service"]: float(b["weight"]) for b in spec["backends"]}
    rules = spec.get("rules") or [{}]
    return {b["name"]: float(b["weight"]) for b in rules[0].get("backendRefs") or ()}
