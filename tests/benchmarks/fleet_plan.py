"""How long a change of a Fleet of 1,000 Services takes to be decided, in this process and without any I/O.

    python -m tests.benchmarks fleet_plan

The store that ships holds both clusters. Each change counts from when it is taken in until it is known whom the Fleet
names, which waves are open, and what it says to each of its Services. Half of the changes are annotations, half are
another spec, in which one Service more is in the first wave and one less in the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import perf_counter

import msgspec

from controller.domain import PREFIX, Key
from controller.kube.objects import (
    DECODERS,
    Freshness,
    KubeObject,
    Listed,
    Resource,
    Undecodable,
    Upserted,
)
from controller.runtime.cluster_store import NEEDED
from controller.runtime.store import Store
from tests.benchmarks.product import Progress
from tests.benchmarks.result import Result, spread, spread_line

SIZE = 1_000
WAVES = 7
CHANGES = 40
NAMESPACE = "shop"
TARGET_MS = 100
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


async def measure(say: Progress) -> Result:
    """Measure each change of a Fleet that is known already."""
    say(f"changing a Fleet of {SIZE:,} Services {CHANGES} times")
    found = [*_changes()]
    how = f"{CHANGES} changes; until each Service of {WAVES} waves has its word, without I/O"
    line = spread_line(f"Fleet of {SIZE:,} decided", found, f"p99 < {TARGET_MS} ms", how)
    return Result((line,), {"fleet_plan_ms": spread(found)})


def _changes() -> Iterator[float]:
    store = _filled()
    for number in range(CHANGES + 2):
        change = Upserted("legacy", Resource.FLEETS, _fleet(number))
        began_s = perf_counter()
        store.apply(change)
        heard = [store.fleets.word(key, NOW) for key in store.fleets.members()]
        took_s = perf_counter() - began_s
        assert len(heard) == SIZE
        assert all(heard)
        if number >= 2:  # the first fills caches
            yield took_s


def _filled() -> Store:
    """Return a store of both clusters with every Service in each, and no Fleet."""
    store = Store(
        dict.fromkeys(("legacy", "eks"), "linkerd-multicluster"),
        "cluster.local",
        fleets_in="legacy",
    )
    services = [_service(number) for number in range(SIZE)]
    space = _decoded(Resource.NAMESPACES, {"metadata": {"name": NAMESPACE}})
    for cluster in ("legacy", "eks"):
        for resource in NEEDED:
            listed = tuple(services) if resource is Resource.SERVICES else ()
            store.apply(Listed(cluster, resource, listed, version="1"))
            store.apply(Freshness(cluster, resource, True))
        store.apply(Listed(cluster, Resource.NAMESPACES, (space,), version="1"))
    return store


def _service(number: int) -> KubeObject | Undecodable:
    labels = {"mirror.linkerd.io/exported": "true", "wave": str(number % WAVES)}
    metadata = {
        "name": _name(number),
        "namespace": NAMESPACE,
        "resourceVersion": "1",
        "labels": labels,
    }
    ports = [{"name": "http", "port": 80}]
    return _decoded(
        Resource.SERVICES,
        {"metadata": metadata, "spec": {"clusterIP": "10.0.0.1", "ports": ports}},
    )


def _name(number: int) -> str:
    return Key(NAMESPACE, f"service-{number:04}").service


def _fleet(number: int) -> KubeObject | Undecodable:
    """Return the Fleet after so many changes: in turn an annotation, and who is in the first wave."""
    size = SIZE // WAVES + number // 2
    bounds = [0, size, *(SIZE * n // WAVES for n in range(2, WAVES)), SIZE]
    waves = [
        {
            "name": f"wave-{n + 1}",
            "services": [{"namespace": NAMESPACE, "names": [_name(i) for i in range(low, high)]}],
        }
        for n, (low, high) in enumerate(pairwise(bounds))
    ]
    resumed = (NOW - timedelta(days=1, minutes=number)).isoformat()
    return _decoded(
        Resource.FLEETS,
        {
            "metadata": {
                "name": "to-eks",
                "resourceVersion": str(number + 2),
                "annotations": {f"{PREFIX}resumed-at": resumed},
            },
            "spec": {
                "target": "eks",
                "defaults": {"steps": "1,10,25,50", "soak": "2h"},
                "windows": [
                    {
                        "kind": "deny",
                        "schedule": "0 16 * * FRI",
                        "duration": "64h",
                        "timeZone": "Europe/Copenhagen",
                    }
                ],
                "stopTheLine": {"reverts": 3, "within": "24h"},
                "waves": waves,
            },
        },
    )


def _decoded(resource: Resource, body: object) -> KubeObject | Undecodable:
    return DECODERS[resource](msgspec.Raw(msgspec.json.encode(body)))
