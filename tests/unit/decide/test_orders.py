"""What is asked for: which paths are probed, and of whose calls it is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from controller.decide import orders
from controller.domain import Endpoints, Port, Record, Side, SplitKind, TrafficOrder, Verdict
from tests.unit.decide.gates.inputs import SERVICE, given, spec, split

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


SOAKING = 999


def asked(share: int, **observed: Any) -> dict[Side, set[tuple[float, float | None]]]:
    """Return by side how often its paths are asked, and what a bad probe adds."""
    found: dict[Side, set[tuple[float, float | None]]] = {}
    for order in orders.probes(given(share, asked=None, **observed)):
        found.setdefault(order.path.side, set()).add((order.rate_per_s, order.burst_per_s))
    return found


EARNED = {"clean": 764, "needed": 764, "verdict": Verdict.UNKNOWN}
"""Not heard for a moment, as after each change of what is asked."""

FOUR = tuple(
    (callers, side) for callers in ("legacy", "eks") for side in (Side.TARGET, Side.ORIGIN)
)


@pytest.mark.parametrize(
    ("share", "short", "settled_s", "deciding", "each"),
    [
        (0, None, 5.0, (10.0, None), 21.0),
        (250, FOUR[0], 5.0, (10.0, None), 21.0),
        (250, None, 5.0, (3.0, 47.0), 7.0),
        (SOAKING, FOUR[0], 5.0, (10.0, None), 21.0),
        (SOAKING, FOUR[3], 5.0, (10.0, None), 21.0),
        (SOAKING, None, 0.9, (10.0, None), 21.0),
        (SOAKING, None, 5.0, (3.0, 47.0), 7.0),
    ],
)
def test_a_share_is_asked_less_often_once_it_has_passed(
    share: int,
    short: tuple[str, Side] | None,
    settled_s: float,
    deciding: tuple[float, float | None],
    each: float,
) -> None:
    """A share is asked ten times a second until all is earned, then three times; a burst reaches 50 in both.

    The apex decides nothing and is asked once a second. What a migration costs is the sum. One that
    rises may ask for all of it at the next step.
    """
    paths = {at: EARNED if at != short else {**EARNED, "clean": 763} for at in FOUR}
    found = asked(share, paths=paths, settled_s=settled_s)
    assert found == {
        Side.TARGET: {deciding},
        Side.ORIGIN: {deciding},
        Side.APEX: {(1.0, None)},
    }
    now = given(share, paths=paths, settled_s=settled_s)
    assert orders.probe_rate(now) == each
    assert orders.probe_rate(now, rises=True) == 21.0


def test_what_is_asked_seldom_is_never_asked_more() -> None:
    """Less than that stays so, on all paths; without a spec nothing is asked."""
    seldom = spec(probe={"rate_per_s": 1})
    assert orders.probe_rate(given(asked=seldom)) == 3.0
    assert orders.probe_rate(given(asked=None)) == 0.0


def test_a_step_made_by_half_is_asked_as_often_as_any() -> None:
    """While one cluster stands below the soak it is no soak yet: the other half is a raise like every other."""
    earned = dict.fromkeys(FOUR, EARNED)
    soaking = given(SOAKING, paths=earned, settled_s=5.0)
    lower = soaking.observed.clusters["eks"].splits[0]
    assert isinstance(lower.record, Record)
    record = msgspec.structs.replace(lower.record, share_permille=500)
    behind = {"splits": (split(500, record),)}
    assert orders.probe_rate(soaking) == 7.0
    assert orders.probe_rate(given(SOAKING, paths=earned, settled_s=5.0, eks=behind)) == 21.0
