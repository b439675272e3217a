"""Objects with missing or wrong fields, all the path: heard of, looked at, decided on and told.

What somebody else wrote into an API server may be of any shape. Nothing of it may break the controller, and
least of all disarm the path back of another Service.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.decide.plan import plan
from controller.domain import PREFIX, Phase, Revert, WriteSplit
from controller.kube.objects import DECODERS, Freshness, Resource, Upserted
from controller.mesh.splits import RECORD
from controller.report import status
from controller.runtime.cluster_store import NEEDED
from controller.runtime.store import Store
from tests.scenarios.world import DOMAIN, GATEWAYS, A, World
from tests.scenarios.world_cluster import Json

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(["service-a", "service-a-eks", "2026-13-01T00:00:00Z", "1e400", "10", "{}"])
)


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2)


JSON = st.recursive(
    LEAVES,
    _branches,
    max_leaves=5,
)
KINDS = [
    Resource.SERVICES,
    Resource.ENDPOINTSLICES,
    Resource.TRAFFICSPLITS,
    Resource.SERVICEPROFILES,
    Resource.MIGRATIONS,
]


def moving() -> World:
    """A Service in mid-migration, and another beside it."""
    world = World(services=(A.service, "service-b"))
    world.begin_on_legacy()
    world.ask()
    world.until_share(250)
    return world


def places(tree: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree."""
    inner = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in inner:
        yield (*here, key)
        yield from places(value, (*here, key))


def spoil(body: Json, place: tuple[Any, ...], value: Any, *, gone: bool) -> Json:
    """Put something else at one place of a copy, or nothing."""
    whole = copy.deepcopy(body)
    *path, last = place
    at: Any = whole
    for key in path:
        at = at[key]
    if gone:
        del at[last]
    else:
        at[last] = value
    return whole


def listed(world: World) -> Store:
    """What a controller that just began knows of the world."""
    store = Store(dict.fromkeys(world.clusters, GATEWAYS), DOMAIN)
    for name, api in world.apis.items():
        for found in api.listed():
            store.apply(found)
        for kind in NEEDED:
            store.apply(Freshness(name, kind, True, ""))
    return store


@given(data=st.data(), cluster=st.sampled_from(["legacy", "eks"]), kind=st.sampled_from(KINDS))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_object_breaks_a_look(data: st.DataObject, cluster: str, kind: Resource) -> None:
    """Whatever is wrong with one object, every Service is decided on and told of, and no share rises by it."""
    world = WORLD
    store = listed(world)
    bodies = world.apis[cluster].bodies(kind)
    for body in data.draw(st.lists(st.sampled_from(bodies or [{}]), min_size=1, max_size=3)):
        place = data.draw(st.sampled_from(list(places(body)) or [("metadata",)]))
        whole = spoil(body, place, data.draw(JSON), gone=bool(body) and data.draw(st.booleans()))
        if isinstance(whole.get("metadata"), dict) and place[-1] != "resourceVersion":
            whole["metadata"]["resourceVersion"] = "99999"
        store.apply(Upserted(cluster, kind, DECODERS[kind](json.dumps(whole).encode())))
    for key in {A, *store.migrations()}:
        observed = store.observe(key, world.replica.observe(A).context, world.now_s, has_slot=True)
        decided = plan(observed, world.now)
        migration = store.views[cluster].migration(key)
        story = status.remember(migration.status) if migration else status.History()
        told = status.tell(story, observed, decided, store.known(key), world.now, world.now_s)
        json.dumps(told.status)
        for action in decided.actions:
            if isinstance(action, WriteSplit) and not action.revert:
                assert action.record.share_permille <= 250


@given(text=st.text(max_size=40) | JSON.map(json.dumps), cluster=st.sampled_from(["legacy", "eks"]))
@settings(max_examples=25, deadline=None)
def test_a_spoiled_record_leaves_the_way_home_armed(text: str, cluster: str) -> None:
    """With anything in one record's place the others still bring everybody home at once."""
    world = moving()
    world.unrecord(cluster, text)
    world.note("legacy", "abort", "true")
    world.run(3)
    assert world.shares() == (0, 0), world.describe()
    assert world.phase in (Phase.REVERTED, Phase.REVERTING)


def test_the_world_can_be_spoiled() -> None:
    """What the properties above spoil is a migration in mid-flight, with every kind of object there."""
    assert all(any(api.bodies(kind) for api in WORLD.apis.values()) for kind in KINDS)
    body = WORLD.split("legacy")
    assert body is not None
    assert (RECORD in body["metadata"]["annotations"], PREFIX in RECORD) == (True, True)
    assert not isinstance(WORLD.decided.ruling, Revert)


WORLD = moving()
