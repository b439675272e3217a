"""What routes the calls to a Service past its HTTPRoute."""

from __future__ import annotations

from decimal import Decimal

import pytest

from controller.domain import Key
from controller.kube.objects import Backend, HTTPRouteObject, KubeObject, ServiceProfileObject
from controller.kube.objects.values import Metadata as Meta
from controller.kube.objects.values import MigrationObject, ParentRef
from controller.mesh.conflicts import of

A = Key("default", "service-a")
PROFILE = Meta("service-a.default.svc.cluster.local", "shop")


def profile(
    name: str = PROFILE.name, *, overrides: bool = False, routes: bool = False
) -> KubeObject:
    """A ServiceProfile in a client's namespace."""
    backends = (Backend("b.default.svc.cluster.local", Decimal(1), "1"),) if overrides else ()
    return ServiceProfileObject(Meta(name, "shop"), backends, routes)


def route(*parents: ParentRef) -> KubeObject:
    """An HTTPRoute in a client's namespace."""
    return HTTPRouteObject(Meta("mine", "shop"), parents, (), "[]", "[]")


@pytest.mark.parametrize(
    ("found", "keys", "what"),
    [
        (profile(routes=True), [A], "the ServiceProfile {} in shop, with routes"),
        (profile(overrides=True), [A], "the ServiceProfile {} in shop, with dstOverrides"),
        (profile(), [A], ""),
        (
            profile("other.example", routes=True),
            [],
            "the ServiceProfile other.example in shop, with routes",
        ),
        (
            route(
                ParentRef("core", "Service", "default", "service-a", None),
                ParentRef("", "Service", "shop", "own", None),
                ParentRef("policy.linkerd.io", "Server", "default", "service-a", None),
            ),
            [A],
            "the HTTPRoute mine in shop, for callers there,",
        ),
        (MigrationObject(PROFILE, {}), [], ""),
    ],
)
def test_who_takes_the_calls_of_which_services(
    found: KubeObject, keys: list[Key], what: str
) -> None:
    """A profile with routes or overrides takes its Service's calls, a route those of Services elsewhere."""
    taken, named = of(found, "cluster.local")
    assert (list(taken), named) == (keys, what.format(PROFILE.name))
