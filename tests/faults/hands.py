"""What people do to the lease and to splits: each as it is typed, at once, whatever the controllers do.

A split that is written anew without its record is held, as it was put, until the person who did it puts it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.faults.oracle import FAR, LEASE, NAMESPACE, PIN, PIN_BACK_S, SERVICE
from tests.faults.servers import Embedded
from tests.faults.world import GATEWAYS, LEASE_CLUSTER, World
from tests.real import client

Json = dict[str, Any]

LEASES = "migrate"
"""The namespace of the lease."""

HELD_S = 10.0
"""From a split that is written anew to its being put back."""

TOLD_S = 8.0
"""From then until it must have been told."""

ANEW = 100
"""The share of the target, per mille, at which a split is written anew: as a manifest in Git may have it."""

Deed = Callable[[World], None]


# --- the lease ----------------------------------------------------------------------------------------


def lease_deleted(world: World) -> None:
    """``kubectl delete lease``, or a namespace that was made anew."""
    if world.apis[LEASE_CLUSTER].store.get("leases", LEASES, LEASE) is not None:
        _embedded(world, LEASE_CLUSTER).remove("leases", LEASES, LEASE)


def lease_restored(world: World) -> None:
    """A lease from a backup: of a holder who is long gone, and with a lower number."""
    stored = world.apis[LEASE_CLUSTER].store.get("leases", LEASES, LEASE)
    if stored is not None:
        body = stored.decoded("v1")
        old = {"leaseTransitions": 0, "holderIdentity": "of-a-backup"}
        body["spec"] = {**body["spec"], **old, "renewTime": "2026-01-01T00:00:00.000000Z"}
        world.apis[LEASE_CLUSTER].put(body, manager="velero")


def lease_moved(world: World) -> None:
    """Other settings for whoever starts from now on: ``lease.cluster`` is the other one."""
    world.lease_cluster = FAR[LEASE_CLUSTER]


def with_a_pin(deed: Deed) -> Deed:
    """Do that, and delete a pin."""

    def both(world: World) -> None:
        deed(world)
        if world.apis["eks"].store.get("serviceprofiles", GATEWAYS, PIN) is None:
            return
        world.oracle.unpinned("eks")
        _embedded(world, "eks").remove("serviceprofiles", GATEWAYS, PIN)
        asyncio.get_running_loop().call_later(PIN_BACK_S, world.oracle.serves)

    return both


# --- splits -------------------------------------------------------------------------------------------


def written_anew(*clusters: str, deleted: bool = False, whole: bool = False) -> Deed:
    """Write the splits of these clusters anew without their records; ``deleted``: delete them just before. Put them
    back later: their weights, or ``whole`` as they were."""

    def deed(world: World) -> None:
        kept = {cluster: _split(world, cluster) for cluster in clusters}
        for cluster, body in kept.items():
            if deleted:
                world.oracle.by_hand(cluster, {})
                _embedded(world, cluster).remove(f"{body['kind'].lower()}s", NAMESPACE, SERVICE)
            _put(world, cluster, _anew(world, cluster))
        world.oracle.overridden(clusters)
        loop = asyncio.get_running_loop()
        loop.call_later(TOLD_S, _is_told, world)
        loop.call_later(HELD_S, _put_back, world, kept, whole)

    return deed


def _is_told(world: World) -> None:
    said = world.migration().get("reason")
    if not any(world.bad.values()) and said != "HandEdited":
        world.oracle.wrong(f"a split was written anew, and the Migration says {said}")


def _put_back(world: World, kept: dict[str, Json], whole: bool) -> None:
    """Put the splits back, unless the target was bad: then everybody is rolled back, and they are nobody's."""
    if any(world.bad.values()):
        return
    world.oracle.overridden(())
    for cluster, before in kept.items():
        body = before
        if not whole:
            body = _split(world, cluster)
            body["spec"] = before["spec"]
        _put(world, cluster, body)


def _split(world: World, cluster: str) -> Json:
    plural = "httproutes" if world.routes else "trafficsplits"
    stored = world.apis[cluster].store.get(plural, NAMESPACE, SERVICE)
    assert stored is not None
    body = stored.decoded(stored.resource.versions[0])
    for made_by_the_server in ("resourceVersion", "uid", "creationTimestamp", "managedFields"):
        body["metadata"].pop(made_by_the_server, None)
    return body


def _anew(world: World, cluster: str) -> Json:
    """Return the split of a cluster as somebody has it in Git."""
    away = 1000 - ANEW if cluster == world.oracle.target else ANEW
    made = client.route if world.routes else client.split
    weights = ((SERVICE, 1000 - away), (f"{SERVICE}-{FAR[cluster]}", away))
    return made(SERVICE, *weights, namespace=NAMESPACE)


def _put(world: World, cluster: str, body: Json) -> None:
    """Write a split by hand: no controller sent it."""
    world.tell(f"somebody writes the split in {cluster}")
    world.oracle.by_hand(cluster, body)
    world.apis[cluster].put(body, manager="kubectl-replace")


def _embedded(world: World, cluster: str) -> Embedded:
    api = world.apis[cluster]
    assert isinstance(api, Embedded)
    return api
