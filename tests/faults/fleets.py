"""What people do to a Fleet while it moves a Service: each as it is typed, and undone after a while.

While a Fleet says stay, or is gone, nobody rises; a bad target is left all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tests.faults.oracle import NAMESPACE, SERVICE
from tests.faults.proxy import Cut
from tests.faults.servers import Embedded
from tests.faults.world import FLEET, LEASE_CLUSTER, PREFIX, World, fleet_object

Json = dict[str, Any]
Deed = Callable[[World], None]
Change = Callable[[Json], None]

SAID_S = 12.0
"""From a deed to its being undone."""

NAMED = {"namespace": NAMESPACE, "names": [SERVICE]}
GONE_S = 0.1
"""From the deletion of a kind's objects, of which watches tell, to its own."""

WINDOW = "window begins on the way"
"""Of a write: what is on its way is done."""

CLOSED = {"kind": "deny", "from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}


def _says(change: Change) -> Deed:
    """Write the Fleet otherwise, and write it as it was a while later."""

    def deed(world: World) -> None:
        body = fleet_object(world.fleet_target)
        change(body)
        _put(world, body)
        _undo_later(world)

    return deed


def _stays(deed: Deed, why: str, *, soak_ends: bool = False) -> Deed:
    """Do it; while it is so nobody may rise, but by the end of a soak where that may come."""

    def both(world: World) -> None:
        deed(world)
        world.oracle.held(f"the Fleet {why}", soak_ends=soak_ends)

    return both


def _undo_later(world: World) -> None:
    asyncio.get_running_loop().call_later(SAID_S, _undo, world)


def _undo(world: World) -> None:
    world.oracle.held("")
    _put(world, fleet_object(world.fleet_target))


def _put(world: World, body: Json) -> None:
    world.tell(f"somebody writes the Fleet: {body['spec']} {body['metadata']}")
    world.apis[LEASE_CLUSTER].put(body, manager="kubectl-apply")


def _server(world: World) -> Embedded:
    server = world.apis[LEASE_CLUSTER]
    assert isinstance(server, Embedded)
    return server


def _deleted(world: World) -> None:
    """``kubectl delete fleet``; it is applied again later."""
    _server(world).remove("fleets", "", FLEET)
    _undo_later(world)


def _kind_deleted(world: World) -> None:
    """``kubectl delete crd``: its objects go first, and then whoever watches is cut off."""
    server, loop = _server(world), asyncio.get_running_loop()
    server.remove("fleets", "", FLEET)
    kind = server.store.resources["fleets"]

    def gone() -> None:
        del server.store.resources["fleets"]
        world.cut(LEASE_CLUSTER, Cut(refuses=True, only="/fleets"))
        world.mend(LEASE_CLUSTER)

    def back() -> None:
        server.store.resources["fleets"] = kind
        _undo(world)

    loop.call_later(GONE_S, gone)
    loop.call_later(SAID_S, back)


def _twin(world: World) -> None:
    """Apply another Fleet that names the same Service, and delete it later."""
    body = fleet_object(world.fleet_target)
    body["metadata"]["name"] = "another"
    _put(world, body)

    def gone() -> None:
        world.oracle.held("")
        _server(world).remove("fleets", "", "another")

    asyncio.get_running_loop().call_later(SAID_S, gone)


def _emptied(body: Json) -> None:
    body["spec"]["waves"] = []


def _renamed(body: Json) -> None:
    body["spec"]["waves"][0]["name"] = "renamed"


def _without(body: Json) -> None:
    body["spec"]["waves"][0]["services"] = [{**NAMED, "names": ["somebody-else"]}]


def _in_two_waves(body: Json) -> None:
    body["spec"]["waves"][1]["services"].append(NAMED)


def _by_hand(body: Json) -> None:
    body["spec"]["waves"][0]["opens"] = "byHand"


def _opens_by_hand(world: World) -> None:
    """Have a person open the wave; one that has begun is open."""
    begun = world.oracle.raised_s
    deed = _says(_by_hand)
    (deed if begun else _stays(deed, "has it in a wave that waits"))(world)


def _aimed_at_nobody(body: Json) -> None:
    body["spec"]["target"] = "nowhere"


def _closed(body: Json) -> None:
    body["spec"]["windows"] = [CLOSED]


def _paused(body: Json) -> None:
    body["metadata"]["annotations"] = {PREFIX + "paused": "true"}


def window_begins(world: World) -> None:
    """A deny window is on from now, for a while: what was sent before is done."""
    _stays(_says(_closed), "has a window closed", soak_ends=True)(world)


FLEETS: Mapping[str, Deed] = MappingProxyType(
    {
        "Fleet deleted": _stays(_deleted, "is gone"),
        "Fleet's kind deleted": _stays(_kind_deleted, "is gone, and its kind"),
        "Fleet emptied": _stays(_says(_emptied), "has no wave"),
        "wave renamed": _says(_renamed),
        "Service taken out": _stays(_says(_without), "names it no more"),
        "Service in two waves": _stays(_says(_in_two_waves), "names it twice"),
        "Service in two Fleets": _stays(_twin, "is not its only one"),
        "wave opens by hand": _opens_by_hand,
        "target is no cluster": _stays(_says(_aimed_at_nobody), "aims at nobody"),
        "window closed": window_begins,
        "Fleet paused": _stays(_says(_paused), "is paused"),
    }
)
