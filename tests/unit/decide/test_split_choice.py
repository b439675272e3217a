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
MYSQL = replace(SERVICE, ports=(Port("mysql", 3306),))


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"eks": BARE}, ROUTE),
        ({"eks": {**BARE, "split_kinds": frozenset({SPLIT})}}, SPLIT),
        ({"eks": {**BARE, "split_kinds": frozenset()}}, None),
        ({"eks": {**BARE, "service": TWO_PORTS}}, SPLIT),
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
    ("eks", "why"),
    [
        ({}, ""),
        ({"service": None}, ""),
        ({"service": TWO_PORTS}, "has the ports 80, 81 in eks"),
        ({"service": replace(SERVICE, ports=())}, "has the ports none in eks"),
        ({"service": MYSQL}, "port 3306 of default/service-a is TCP to Linkerd in eks"),
    ],
)
def test_why_a_route_cannot_carry_a_service(eks: dict[str, Any], why: str) -> None:
    """An HTTPRoute carries one port, and none that is TCP to Linkerd; where it can, nothing is said."""
    found = why_no_route(given(eks=eks).observed)
    assert (why in found, bool(found)) == (True, bool(why))


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
