"""Objects that somebody spoiled in mid-migration: unknown and named, and nothing is concluded from them."""

from __future__ import annotations

from typing import Any

import pytest

from controller.domain import Phase, Reason
from controller.kube.objects import Resource
from controller.mesh import pin
from tests.scenarios.test_rollback import HOME, latches, risen
from tests.scenarios.test_witnesses import SLICE
from tests.scenarios.world import GATEWAYS, A, World
from tests.scenarios.world_kinds import ROUTES, SMI, told_with

kinds = told_with([SMI, ROUTES])

WHAT = ("Service", "slice", "split", "pin")


def place(world: World, what: str) -> tuple[Resource, str, str]:
    """Return where an object stands."""
    if what == "Service":
        return (Resource.SERVICES, *A)
    if what == "slice":
        return (Resource.ENDPOINTSLICES, A.namespace, SLICE)
    if what == "split":
        return (world.resource("eks"), *A)
    return (Resource.SERVICEPROFILES, GATEWAYS, pin.name(A, "cluster.local"))


def spoiled(body: dict[str, Any]) -> dict[str, Any]:
    """Return a split with a backend whose name is no text, and anything else with such a label."""
    spec = body.get("spec") or {}
    if "backends" in spec:
        return {
            **body,
            "spec": {**spec, "backends": [*spec["backends"], {"service": 7, "weight": 0}]},
        }
    if "rules" in spec:
        [rule] = spec["rules"]
        odd = {**rule, "backendRefs": [*rule["backendRefs"], {"name": 7, "weight": 0}]}
        return {**body, "spec": {**spec, "rules": [odd]}}
    return {**body, "metadata": {**body["metadata"], "labels": {"odd": 7}}}


def spoil(world: World, what: str) -> dict[str, Any]:
    """Let an object in eks be of no shape that there is; return it as it was."""
    resource, namespace, name = place(world, what)
    before = world.apis["eks"].get(resource, namespace, name)
    world.apis["eks"].put_as_it_is(resource, spoiled(before))
    return before


@pytest.mark.parametrize("what", WHAT)
def test_what_cannot_be_read_moves_nobody(what: str) -> None:
    """A spoiled object holds, names itself, and is left alone; once it is mended the migration goes on to its end."""
    world = risen()
    before = spoil(world, what)
    written = len(world.writes)
    world.run(30)
    assert world.recorded()[0] == 250
    assert (world.phase, world.reason) == (Phase.HOLDING, Reason.OBJECT_UNREADABLE)
    assert f"{place(world, what)[2]} in {place(world, what)[1]} cannot be read" in world.message
    assert len(world.writes) == written
    world.apis["eks"].put_as_it_is(place(world, what)[0], before)
    world.until_phase(Phase.COMPLETED)
    assert not any(write.revert for write in world.writes)


@pytest.mark.parametrize("what", WHAT)
def test_what_cannot_be_read_disarms_nothing(what: str) -> None:
    """With a spoiled object in one cluster a target that fails is left by the callers of both."""
    world = risen()
    spoil(world, what)
    world.run(1)
    world.fault("legacy", "target")
    world.until(lambda: world.aways() == HOME, limit_s=4)
    assert all(latches(world))


def test_nothing_is_made_beside_what_cannot_be_read() -> None:
    """A Service whose split cannot be read gets no second one, and says which it is."""
    world = World()
    world.put_split("eks", [{"service": "service-a", "weight": 1}], name="odd")
    found = world.apis["eks"].get(world.resource("eks"), A.namespace, "odd")
    world.apis["eks"].put_as_it_is(world.resource("eks"), spoiled(found))
    world.ask()
    world.run(20)
    assert world.writes == []
    assert world.reason == Reason.OBJECT_UNREADABLE
    assert "odd in default cannot be read" in world.message
