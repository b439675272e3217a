"""What never holds a step and is told all the same: each warning speaks, and is silent where all is well."""

from __future__ import annotations

from typing import Any

import pytest

from controller.decide import warnings
from controller.decide.resolve import resolve
from controller.domain import Port
from controller.domain.ports import is_opaque
from controller.kube.objects import Resource
from tests.controller.world import A, World
from tests.controller.world_mesh import Pod


def told(world: World) -> dict[str, str]:
    """The warnings of service-a now, by reason; of two of one reason the last."""
    world.run(1)
    observed = world.shell.observe(A)
    return dict(warnings.told(observed, resolve(observed)))


def asking() -> World:
    """A world in which everything is well, and eks is asked for."""
    world = World()
    world.ask(paused="true")
    return world


def spec(world: World, cluster: str, **changed: Any) -> None:
    """Change the Service of one cluster."""
    world.apis[cluster].patch(Resource.SERVICES, *A, {"spec": changed}, manager="kubectl")


def test_where_all_is_well_only_a_new_split_is_told() -> None:
    """Two equal Services with as many pods have no warning but that of the split we have just made."""
    assert set(told(asking())) == {"CallersMayNotFollow"}


def test_fewer_endpoints() -> None:
    """A target with fewer ready pods than the origin is told with both numbers; with none it is a gate."""
    world = asking()
    world.set_pods("eks", [Pod("10.9.0.1:8080")])
    assert told(world)["FewerEndpoints"].startswith("eks has fewer ready pods (1) than legacy (3)")
    world.set_pods("eks", [])
    assert "FewerEndpoints" not in told(world)


def test_fewer_endpoints_are_none_after_completion() -> None:
    """Once every call is served by the target nothing is about to move, however many pods there are."""
    world = World()
    world.ask()
    world.until_share(1000)
    world.set_pods("eks", [Pod("10.9.0.1:8080")])
    assert "FewerEndpoints" not in told(world)


@pytest.mark.parametrize(
    ("sticky", "where"),
    [(("legacy",), "in legacy only:"), (("legacy", "eks"), "in legacy and eks:")],
)
def test_session_affinity(sticky: tuple[str, ...], where: str) -> None:
    """A Service that asks to keep callers on a pod is told that a split does not, and where it asks."""
    world = asking()
    for cluster in sticky:
        spec(world, cluster, sessionAffinity="ClientIP")
    assert f"sessionAffinity is ClientIP {where}" in told(world)["SessionAffinity"]


def test_a_protocol_told_in_one_cluster_only() -> None:
    """A port whose protocol one cluster tells and the other does not is told, wherever it is."""
    for cluster in ("legacy", "eks"):
        world = asking()
        spec(world, cluster, ports=[{"name": "http", "port": 80, "appProtocol": "http"}])
        assert f"appProtocol (http) in {cluster} only" in told(world)["AppProtocolDiffers"]


def test_opaque_ports() -> None:
    """A port that Linkerd takes for TCP is told: its connections stay where they began."""
    world = asking()
    note = {"metadata": {"annotations": {"config.linkerd.io/opaque-ports": "80"}}}
    world.apis["eks"].patch(Resource.SERVICES, *A, note, manager="kubectl")
    assert "in eks Linkerd takes port 80 for TCP" in told(world)["ConnectionsStay"]


def test_a_split_that_will_be_rewritten() -> None:
    """Somebody's split that is mended without moving traffic is told before it is rewritten, not after."""
    world = World()
    backends = [{"service": A.service, "weight": 1000}, {"service": "service-a-eks", "weight": 0}]
    world.put_split("legacy", backends, service="service-a.default.svc.cluster.local")
    world.run(1)
    assert "spec.service is service-a.default" in told(world)["SplitWillBeRewritten"]
    world.ask(paused="true")
    assert "SplitWillBeRewritten" not in told(world)


@pytest.mark.parametrize(("apex", "own"), [("200", "404"), ("404", "200")])
def test_an_application_that_depends_on_its_host(apex: str, own: str) -> None:
    """Two answers to two Hosts, of which one is good, are told with both; the proxy's own answers are not."""
    world = World()
    world.ask()
    world.until(lambda: world.shell.observe(A).paths)
    world.fault("legacy", "apex", apex)
    world.fault("legacy", "home", own)
    assert f"answers {apex} where its Host is service-a, and {own}" in told_later(world)
    world.heal()
    world.fault("legacy", "apex", "503")
    assert "HostHeaderMatters" not in told(world)


def told_later(world: World) -> str:
    """What is said of the Host once the probes of the last seconds say so alike."""
    world.until(lambda: "HostHeaderMatters" in told(world), limit_s=30)
    return told(world)["HostHeaderMatters"]


@pytest.mark.parametrize(
    ("port", "annotation", "opaque"),
    [
        (Port("http", 80), None, False),
        (Port("mysql", 3306), None, True),
        (Port("mysql", 3306), "80", False),
        (Port("mysql", 3306), "", False),
        (Port("http", 80), "25, 80", True),
        (Port("http", 80), "79-81", True),
        (Port("http", 80), "81-90", False),
        (Port("http", 80), "http", True),
        (Port("", 80), ",", False),
        (Port("http", 80), "80-", True),
        (Port("http", 80), "²", False),
        (Port("http", 80), "9" * 400, False),
        (Port("http", 80, app_protocol="linkerd.io/opaque"), "", True),
        (Port("http", 80, app_protocol="kubernetes.io/h2c"), None, False),
    ],
)
def test_what_is_opaque(port: Port, annotation: str | None, opaque: bool) -> None:
    """A port is opaque by its appProtocol, by the Service's annotation, else by Linkerd's defaults."""
    assert is_opaque(port, annotation) is opaque
