"""What is asked for: which paths are probed, and of whose calls it is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.decide import orders
from controller.domain import Endpoints, Port, SplitKind, TrafficOrder
from tests.unit.decide.gates.inputs import SERVICE, given, split

HTTP, ADMIN = Port("http", 80), Port("admin", 9990)
ROUTE = split(kind=SplitKind.HTTPROUTE, port=80, parent_port=80)
ADMINS = replace(ROUTE, name="admin", port=9990, parent_port=9990)


def ordered(*ports: Port, **legacy: Any) -> TrafficOrder:
    """Return what is to be counted of a Service that has these ports in legacy."""
    context = {"prometheus": frozenset({"legacy"})}
    service = {"service": replace(SERVICE, ports=ports), **legacy}
    order = orders.traffic(given(context=context, legacy=service))
    assert order is not None
    return order


def test_a_namesake_shares_the_name_in_its_cluster() -> None:
    """Another namespace with a Service of that name is said of the cluster in which it is."""
    assert ordered(HTTP).shared_names == frozenset()
    assert ordered(HTTP, also_in=("shop",)).shared_names == {"legacy"}


@pytest.mark.parametrize(
    ("ports", "splits", "shares"),
    [
        ((HTTP,), (ROUTE,), False),
        ((HTTP, ADMIN), (ROUTE,), True),
        ((HTTP, ADMIN), (replace(ROUTE, beside=(ADMINS,)),), False),
        ((HTTP, ADMIN), (replace(ROUTE, parent_port=None),), False),
        ((HTTP, ADMIN), (split(),), False),
        ((HTTP, Port("db", 5432), Port("dns", 53, protocol="UDP")), (ROUTE,), False),
    ],
    ids=["one port", "one of two", "each has a route", "of all", "a TrafficSplit", "no HTTP"],
)
def test_a_port_that_no_route_moves_is_said(
    ports: tuple[Port, ...], splits: tuple[Any, ...], shares: bool
) -> None:
    """Where HTTPRoutes move some of the ports that may have series of routes, the counts are shared."""
    assert ordered(*ports, splits=splits).shared_ports == ({"legacy"} if shares else frozenset())


def test_without_a_service_no_port_is_known() -> None:
    """A route whose Service is gone shares no port."""
    assert ordered(splits=(ROUTE,), service=None).shared_ports == frozenset()


STRANGE = Endpoints(
    3, pods={"http": ("10.0.0.1:8080",)}, strange="100.100.100.200, a cloud's metadata service"
)
HANDMADE = Endpoints(3, pods={"http": ("10.0.0.1:8080",)}, handmade="mine")
FAR = Endpoints(3, identity="gateway", handmade="by-linkerd")


@pytest.mark.parametrize(
    ("found", "probed"),
    [
        ({}, {"legacy pods", "legacy mirror", "legacy apex", "eks pods", "eks mirror", "eks apex"}),
        ({"legacy": {"endpoints": STRANGE}}, {"legacy pods", "legacy mirror", "eks pods"}),
        ({"eks": {"endpoints": HANDMADE}}, {"legacy pods", "eks pods", "eks mirror"}),
        (
            {"legacy": {"mirror_endpoints": replace(FAR, strange="10.1.0.9, a Pod")}},
            {"legacy pods", "eks pods", "eks mirror", "eks apex"},
        ),
        (
            {"legacy": {"mirror_endpoints": FAR}},
            {"legacy pods", "legacy mirror", "legacy apex", "eks pods", "eks mirror", "eks apex"},
        ),
    ],
    ids=["all", "an address", "by hand", "a mirror", "a mirror as Linkerd makes it"],
)
def test_no_probe_goes_where_somebody_aimed_it(found: dict[str, Any], probed: set[str]) -> None:
    """Of a Service with a strange endpoint only its own Pods are asked, and no path that may end there."""
    orders_ = orders.probes(given(100, **found))
    assert {f"{order.path.callers} {order.route}" for order in orders_} == probed
