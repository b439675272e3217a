"""What leads from outside the cluster to a Service's pods: Ingresses by the words of their controllers, and routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from controller.cli.entrances import Leads, entrances
from controller.domain import Key

A = Key("default", "service-a")
NGINX = 'nginx.ingress.kubernetes.io/service-upstream: "true"'


def raw(*bodies: object) -> list[msgspec.Raw]:
    """Objects as an API server lists them."""
    return [msgspec.Raw(msgspec.json.encode(body)) for body in bodies]


def ingress(named: str | None, notes: Mapping[str, str] = {}) -> dict[str, Any]:
    """An Ingress of a class that leads to service-a."""
    path = {"backend": {"service": {"name": "service-a", "port": {"number": 80}}}}
    return {
        "metadata": {"name": "shop", "namespace": "default", "annotations": notes},
        "spec": {"ingressClassName": named, "rules": [{"http": {"paths": [path]}}]},
    }


def leads(body: object, service: Mapping[str, str] = {}) -> tuple[Leads, ...]:
    """What leads to service-a where this is the only Ingress."""
    return entrances(raw(body), {}, {A: service}).get(A, ())


@pytest.mark.parametrize(
    ("named", "write"),
    [
        ("nginx", NGINX),
        ("nginx-internal", NGINX),
        ("traefik", 'traefik.ingress.kubernetes.io/service.nativelb: "true" on the Service'),
        ("haproxy", 'haproxy-ingress.github.io/service-upstream: "true"'),
        ("kong", 'ingress.kubernetes.io/service-upstream: "true" on the Service'),
        ("contour", ""),
        ("alb", ""),
    ],
)
def test_a_controller_sends_to_pods_unless_told(named: str, write: str) -> None:
    """An Ingress of any class leads to the pods, with what its controller wants written where there is a word."""
    assert leads(ingress(named)) == (Leads(f"Ingress shop ({named})", write),)


@pytest.mark.parametrize(
    ("named", "notes", "service"),
    [
        ("nginx", {"nginx.ingress.kubernetes.io/service-upstream": "true"}, {}),
        ("nginx", {"nginx.org/use-cluster-ip": "True"}, {}),
        ("haproxy", {"haproxy-ingress.github.io/service-upstream": "true"}, {}),
        ("haproxy", {}, {"haproxy-ingress.github.io/service-upstream": "true"}),
        ("traefik", {}, {"traefik.ingress.kubernetes.io/service.nativelb": "true"}),
        ("kong", {}, {"ingress.kubernetes.io/service-upstream": "true"}),
        ("ambassador", {}, {}),
        (None, {"kubernetes.io/ingress.class": "emissary"}, {}),
        ("nginx", {"nginx.ingress.kubernetes.io/configuration-snippet": "l5d-dst-override a"}, {}),
    ],
)
def test_who_sends_to_the_service_is_no_finding(
    named: str | None, notes: dict[str, str], service: dict[str, str]
) -> None:
    """An Ingress whose controller sends to the Service's address, by its own word for that, leads to no pods."""
    assert leads(ingress(named, notes), service) == ()


@pytest.mark.parametrize(
    "notes",
    [
        {"nginx.ingress.kubernetes.io/service-upstream": "false"},
        {"alb.ingress.kubernetes.io/target-type": "instance"},
    ],
)
def test_a_word_that_is_not_true_counts_for_nothing(notes: dict[str, str]) -> None:
    """A word that is switched off, and one that picks another way to the same pods, change nothing."""
    assert leads(ingress("nginx", notes)) != ()


def test_a_load_balancer_outside_obeys_no_word() -> None:
    """A load balancer that stands outside the cluster has no proxy, whatever is written for another controller."""
    notes = {"nginx.ingress.kubernetes.io/service-upstream": "true"}
    assert leads(ingress("alb", notes)) == (Leads("Ingress shop (alb)"),)


def test_an_ingress_may_lead_by_its_default() -> None:
    """The default backend counts like a path's, a Service is named once, and a resource is none."""
    backend = {"service": {"name": "service-a"}}
    paths = [{"backend": backend}, {"backend": {"resource": {"name": "bucket"}}}]
    spec = {"defaultBackend": backend, "rules": [{"http": {"paths": paths}}, {"host": "x"}]}
    body = {"metadata": {"name": "shop", "namespace": "default"}, "spec": spec}
    assert leads(body) == (Leads("Ingress shop"),)
    elsewhere = {**body, "metadata": {"name": "shop", "namespace": "other"}}
    assert leads(elsewhere) == ()


def route(parent: Mapping[str, str], **backend: str) -> dict[str, Any]:
    """A route with one parent and one backend."""
    refs = [{"name": "service-a", "port": 80, **backend}]
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"parentRefs": [parent], "rules": [{"backendRefs": refs}]},
    }


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute"])
def test_a_gateways_route_leads_to_pods(kind: str) -> None:
    """A route of a Gateway, of any kind, leads to the pods of its backends; who writes no kind means a Gateway."""
    body = route({"name": "public"})
    assert entrances([], {kind: raw(body)}, {})[A] == (Leads(f"{kind} web (Gateway public)"),)


@pytest.mark.parametrize(
    "body",
    [
        route({"name": "service-a", "kind": "Service", "group": ""}),
        route({"name": "public"}, kind="Bucket"),
        route({"name": "public"}, namespace="other"),
    ],
)
def test_a_route_of_a_service_leads_nowhere(body: object) -> None:
    """A Service's own route, one to something else, and one to another namespace, lead not to these pods."""
    assert A not in entrances([], {"HTTPRoute": raw(body)}, {})


def test_a_gateway_of_traefik_may_send_to_the_service() -> None:
    """Traefik's word on the Service counts for routes of a Gateway too."""
    notes = {"traefik.ingress.kubernetes.io/service.nativelb": "true"}
    assert entrances([], {"HTTPRoute": raw(route({"name": "public"}))}, {A: notes}) == {}


def test_what_cannot_be_read_leads_nowhere() -> None:
    """Somebody's broken objects are passed over."""
    broken = [msgspec.Raw(b'{"metadata": 3}'), msgspec.Raw(b"[" * 100_000)]
    assert entrances(broken, {"HTTPRoute": broken}, {}) == {}
