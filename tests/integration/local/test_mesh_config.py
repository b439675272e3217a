"""What objects mean to proxies: pure readings of dicts."""

from __future__ import annotations

import pytest

from deploy.stand_ins.mesh.config import (
    ClusterConfig,
    Endpoint,
    Policy,
    Split,
    SplitFault,
    Topic,
    Weighted,
    service_of_name,
    weight_of,
)
from deploy.stand_ins.mesh.gateway import NAMESPACE
from deploy.stand_ins.mesh.mirror import RemoteGateway, mirror_service, mirror_slice
from deploy.stand_ins.mesh.objects import Pod, service_object, slice_object
from tests.integration.local.mesh_pair import (
    WEB,
    profile_object,
    route_object,
    split_object,
    write_split,
)


def split_of(*weights: tuple[str, float], service: str = "web") -> Split | None:
    """Return what proxies get of a TrafficSplit, by way of the SMI adaptor."""
    config = ClusterConfig()
    write_split(config, split_object(weights, service))
    return config.policy(WEB, "default").split


def test_a_split_counts_only_with_the_short_name() -> None:
    """A TrafficSplit whose service is an FQDN has no effect (fact 17)."""
    assert split_of(("web-eks", 1), service="web.default.svc.cluster.local") is None
    assert split_of(("web", 1), ("web-eks", 1)) == Weighted((("web", 1.0), ("web-eks", 1.0)))


@pytest.mark.parametrize(
    ("weights", "fault"),
    [
        ([("web", 0), ("web-eks", 0)], SplitFault.ALL_ZERO),
        ([("web", 1), ("web-eks", -1)], SplitFault.OUT_OF_RANGE),
        ([("web", 429_496), ("web-eks", 1)], SplitFault.OUT_OF_RANGE),
        ([("web", 1), ("web-eks.default.svc.cluster.local", 1)], SplitFault.BACKEND_IS_FQDN),
    ],
)
def test_bad_weights_and_names_are_findings(
    weights: list[tuple[str, float]], fault: SplitFault
) -> None:
    """What the CRD accepts and the proxies do not like is told apart (facts 15, 17)."""
    assert split_of(*weights) is fault


def test_the_greatest_sum_still_works() -> None:
    """429,496 is good, and so are fractions (fact 15)."""
    assert split_of(("web", 429_496)) == Weighted((("web", 429_496.0),))
    assert split_of(("web", 0.25)) == Weighted((("web", 0.25),))


def test_weights_of_v1alpha1_are_quantities() -> None:
    """``"500m"`` is half, a bare number in a string is itself, and none is zero."""
    assert [weight_of(w) for w in ("500m", "2", 3, None)] == [0.5, 2.0, 3.0, 0.0]


def test_ports_meet_by_name_and_only_ready_addresses_count() -> None:
    """An address is found by the Service's port number at the port its slice gives that name."""
    config = ClusterConfig()
    config.put("Service", service_object(WEB, 80))
    pods = [Pod("a", "10.1.0.1"), Pod("b", "10.1.0.2", ready=False)]
    config.put("EndpointSlice", slice_object(WEB, pods, 8080))
    assert config.endpoints(WEB) == {80: (Endpoint("10.1.0.1", 8080),)}
    config.put("EndpointSlice", slice_object(WEB, pods, 8080, port_name="other"))
    assert config.endpoints(WEB) == {80: ()}


def test_an_absent_ready_condition_is_ready() -> None:
    """discovery.k8s.io/v1: nil is to be interpreted as true."""
    config = ClusterConfig()
    config.put("Service", service_object(WEB))
    piece = slice_object(WEB, [Pod("a", "10.1.0.1")], 8080)
    del piece["endpoints"][0]["conditions"]
    config.put("EndpointSlice", piece)
    assert config.endpoints(WEB)[80] == (Endpoint("10.1.0.1", 8080),)


def test_a_mirror_leads_to_the_gateway_and_names_the_remote_service() -> None:
    """A slice with a gateway's identity gives endpoints that stand for a remote name."""
    config = ClusterConfig()
    mirror = mirror_service(service_object(WEB), "eks")
    config.put("Service", mirror)
    gateway = RemoteGateway("eks", "10.1.9.9", "identity")
    config.put("EndpointSlice", mirror_slice(mirror, gateway, "ready"))
    remote = Endpoint("10.1.9.9", 4143, "web.default.svc.cluster.local")
    assert config.endpoints(("default", "web-eks")) == {80: (remote,)}
    config.put("EndpointSlice", mirror_slice(mirror, gateway, "not ready"))
    assert config.endpoints(("default", "web-eks")) == {80: ()}


def test_a_profile_pins_proxies_of_its_own_namespace_alone() -> None:
    """In the gateway's namespace it pins the gateway, and no client elsewhere (fact 7)."""
    config = ClusterConfig()
    config.put("ServiceProfile", profile_object(NAMESPACE))
    assert config.policy(WEB, NAMESPACE) == Policy(pinned=True)
    assert config.policy(WEB, "default") == Policy()


def test_a_profile_beside_the_service_does_not_pin() -> None:
    """There the SMI adaptor writes into it; a route in it makes later splits live (fact 11)."""
    config = ClusterConfig()
    config.put("ServiceProfile", profile_object("default", routes=[{"name": "all"}]))
    assert config.policy(WEB, "default") == Policy(has_route=True)


def test_a_change_touches_only_its_own_service() -> None:
    """Listeners hear the topic of an object, and both when it moved from one Service to another."""
    config = ClusterConfig()
    heard: list[Topic] = []
    config.subscribe(heard.append)
    config.put("HTTPRoute", route_object([("web", 1)]))
    config.put("HTTPRoute", route_object([("web", 1)], "api", name="web"))
    config.drop("HTTPRoute", WEB)
    config.drop("HTTPRoute", WEB)
    web, api = ("policy", WEB), ("policy", ("default", "api"))
    assert heard == [web, web, api, api]
    assert config.policy(WEB, "default") == Policy()


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("web.default.svc.cluster.local", ("default", "web")),
        ("a.web.default.svc.cluster.local", None),
        ("web.default", None),
        (".default.svc.cluster.local", None),
    ],
)
def test_only_full_names_are_names(host: str, service: tuple[str, str] | None) -> None:
    """``<name>.<namespace>.svc.cluster.local`` and nothing else."""
    assert service_of_name(host) == service
