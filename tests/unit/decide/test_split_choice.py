"""Which kind of split a Service gets, and by which port an HTTPRoute sends its calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.decide.split_choice import kind_of, port_of, why_no_route
from controller.domain import Port, SplitKind
from controller.kube.api.discovery import PLACES
from controller.kube.objects import Resource
from tests.unit.decide.gates.inputs import SERVICE, given, spec, split

ROUTE, SPLIT = SplitKind.HTTPROUTE, SplitKind.TRAFFICSPLIT
BARE: dict[str, Any] = {"splits": ()}
TWO_PORTS = replace(SERVICE, ports=(Port("http", 80), Port("admin", 81)))
HALF = replace(SERVICE, ports=(Port("http", 80), Port("mysql", 3306)))
MYSQL = replace(SERVICE, ports=(Port("mysql", 3306),))
GRPC = replace(SERVICE, ports=(Port("grpc", 80, app_protocol="grpc"),))
QUEUE = replace(SERVICE, ports=(Port("tcp-amqp", 80),))


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"eks": BARE}, ROUTE),
        ({"eks": {**BARE, "split_kinds": frozenset({SPLIT})}}, SPLIT),
        ({"eks": {**BARE, "split_kinds": frozenset()}}, None),
        ({"eks": {**BARE, "service": TWO_PORTS}}, ROUTE),
        ({"eks": {**BARE, "service": HALF}}, SPLIT),
        ({"eks": {**BARE, "service": HALF}, "asked": spec(ports=("http",))}, ROUTE),
        ({"eks": {**BARE, "service": HALF}, "asked": spec(ports=("mysql",))}, SPLIT),
        ({"eks": {**BARE, "service": replace(HALF, policies=("retry.linkerd.io/http",))}}, ROUTE),
        ({"eks": {**BARE, "service": None}, "legacy": {"service": None}}, ROUTE),
        ({"eks": {**BARE, "service": GRPC}}, SPLIT),
        ({"eks": {**BARE, "service": GRPC, "split_kinds": frozenset({ROUTE})}}, ROUTE),
        ({"eks": BARE, "legacy": {"service": GRPC}}, ROUTE),
        ({"eks": {**BARE, "service": None}, "legacy": {"service": GRPC}}, SPLIT),
        ({"eks": BARE, "asked": spec(split="trafficsplit")}, SPLIT),
        ({"eks": BARE, "context": {"split": "trafficsplit"}}, SPLIT),
        ({"eks": BARE, "asked": None, "context": {"split": "trafficsplit"}}, SPLIT),
        ({"share": 100, "begun": {"kinds": {"eks": SPLIT}}, "eks": BARE}, SPLIT),
        ({"asked": spec(split="httproute")}, SPLIT),
    ],
)
def test_the_kind_of_a_split(changed: dict[str, Any], kind: SplitKind | None) -> None:
    """A split that is there, or that the attempt began on, keeps its kind; else what is asked and served."""
    made = given(**changed)
    assert kind_of(made.observed, made.state, made.observed.clusters["eks"]) is kind


@pytest.mark.parametrize(
    ("eks", "asked", "why"),
    [
        ({}, {}, ""),
        ({"service": None}, {}, ""),
        ({"service": TWO_PORTS}, {}, ""),
        ({"service": HALF}, {}, ""),
        ({"service": TWO_PORTS, "splits": (split(kind=ROUTE, port=80, parent_port=80),)}, {}, ""),
        (
            {"service": TWO_PORTS, "splits": (split(kind=ROUTE, name="mine", port=80),)},
            {},
            "the HTTPRoute mine names no port in its parentRefs, so it takes the calls to each of 80, 81 to port 80",
        ),
        ({"service": HALF, "splits": (split(kind=ROUTE, port=80),)}, {}, ""),
        ({"service": TWO_PORTS, "splits": (split(),)}, {}, ""),
        (
            {"service": replace(SERVICE, ports=())},
            {},
            "service-a has no port that could be carried",
        ),
        ({"service": replace(SERVICE, ports=(Port("dns", 53, "UDP"),))}, {}, "has no port"),
        ({"service": MYSQL}, {}, "port 3306 is one that Linkerd takes for TCP"),
        ({"service": GRPC}, {}, "write kubernetes.io/h2c, or none"),
        ({"service": QUEUE}, {}, "port 80 (tcp-amqp) speaks no HTTP"),
        ({"service": QUEUE}, {"protocol": "http"}, ""),
        ({"service": SERVICE}, {"protocol": "tcp"}, "port 80 (http) is probed by tcp"),
    ],
)
def test_why_a_route_cannot_carry_a_service(
    eks: dict[str, Any], asked: dict[str, Any], why: str
) -> None:
    """HTTPRoutes carry what is not TCP to Linkerd, each one port; where they carry any, nothing is said."""
    made = given(eks=eks, asked=spec(probe=asked))
    found = why_no_route(made.observed, made.state, made.observed.clusters["eks"])
    assert (why in found, bool(found)) == (True, bool(why))


def test_ports_that_are_not_named_do_not_say_why() -> None:
    """Where the annotation names no port that there is, the reason is not that the others were left out."""
    made = given(asked=spec(ports=("gone",)))
    found = why_no_route(made.observed, made.state, made.observed.clusters["eks"])
    assert found == "default/service-a has no port that could be carried"


def test_without_the_service_nothing_is_against_a_route() -> None:
    """Where neither cluster has the Service, and nobody asks for anything, nothing is known to be wrong."""
    nowhere = given(legacy={"service": None}, eks={"service": None}, asked=None)
    assert why_no_route(nowhere.observed, nowhere.state, nowhere.observed.clusters["eks"]) == ""
    unasked = given(eks={"service": QUEUE}, asked=None)
    cluster = unasked.observed.clusters["eks"]
    assert "tcp-amqp" in why_no_route(unasked.observed, unasked.state, cluster)


@pytest.mark.parametrize(
    ("changed", "port"),
    [
        ({}, 80),
        ({"eks": {"splits": (split(kind=ROUTE, port=8080),)}}, 8080),
        ({"legacy": {"service": None}, "eks": {"service": MYSQL}}, 3306),
        ({"legacy": {"service": None}, "eks": {"service": None}}, None),
    ],
)
def test_the_port_of_a_route(changed: dict[str, Any], port: int | None) -> None:
    """A route keeps its port; else it gets the first TCP port of a Service that is there."""
    observed = given(**changed).observed
    assert port_of(observed, observed.clusters["eks"]) == port


@pytest.mark.parametrize(
    ("kind", "resource"), [(SPLIT, Resource.TRAFFICSPLITS), (ROUTE, Resource.HTTPROUTES)]
)
def test_a_kind_is_told_as_the_client_asks_for_it(kind: SplitKind, resource: Resource) -> None:
    """The group and the kind that people are told to install are those that the API client asks for."""
    place = PLACES[resource]
    assert (kind.api_group, kind.api_kind) == (place.group, place.kind)
