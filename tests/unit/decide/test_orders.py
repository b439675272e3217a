"""Of whose calls it is asked: what may be another's is said to those that count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.decide import orders
from controller.domain import Port, SplitKind, TrafficOrder
from tests.unit.decide.gates.inputs import SERVICE, given, split

HTTP, ADMIN = Port("http", 80), Port("admin", 9990)
ROUTE = split(kind=SplitKind.HTTPROUTE, port=80)


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
        ((HTTP, ADMIN), (ROUTE, replace(ROUTE, name="admin", port=9990)), False),
        ((HTTP, ADMIN), (split(),), False),
        ((HTTP, Port("db", 5432), Port("dns", 53, protocol="UDP")), (ROUTE,), False),
    ],
    ids=["one port", "one of two", "each has a route", "a TrafficSplit", "no HTTP"],
)
def test_a_port_that_no_route_moves_is_said(
    ports: tuple[Port, ...], splits: tuple[Any, ...], shares: bool
) -> None:
    """Where HTTPRoutes move some of the ports that may have series of routes, the counts are shared."""
    assert ordered(*ports, splits=splits).shared_ports == ({"legacy"} if shares else frozenset())


def test_without_a_service_no_port_is_known() -> None:
    """A route whose Service is gone shares no port."""
    assert ordered(splits=(ROUTE,), service=None).shared_ports == frozenset()
