"""Stories of Services that speak more than HTTP/1.1, and of answers that are held to more than a status."""

from __future__ import annotations

from typing import Any

import pytest

from controller.domain import CallPath, Phase, Port, ProbeSpec, Side
from controller.domain.probe_checks import rejection, unfit
from tests.scenarios.world import A, World
from tests.scenarios.world_mesh import Fault

GRPC_PORT = {"name": "grpc", "port": 9000}
HTTP_PORT = {"name": "http", "port": 80}
TO_EKS = CallPath("legacy", Side.TARGET)
WAYS = tuple(
    CallPath(callers, side) for callers in ("legacy", "eks") for side in (Side.TARGET, Side.ORIGIN)
)


def asked(port: dict[str, Any], **annotations: str) -> World:
    """A world whose Service has this port, and is asked to move to eks."""
    world = World()
    world.begin_on_legacy()
    world.set_port(port)
    world.ask()
    for note, value in annotations.items():
        world.note("legacy", note.replace("_", "-"), value)
    world.run(1)
    return world


def everywhere(world: World, answer: str) -> None:
    """Let every path be answered so."""
    for path in WAYS:
        world.mesh.faults[path] = Fault(answer)


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        ({"name": "grpc", "port": 9000}, "grpc"),
        ({"name": "api", "port": 9000, "appProtocol": "kubernetes.io/h2c"}, "h2c"),
        ({"name": "tcp-queue", "port": 5672}, "tcp"),
    ],
)
def test_a_port_says_how_it_is_probed(port: dict[str, Any], protocol: str) -> None:
    """A Service moves to its end by the protocol that its port names, and every path is probed by it."""
    world = asked(port)
    world.until_share(500)
    probed = world.decided.probes
    assert [order.protocol for order in probed] == [protocol] * 6
    world.until_phase(Phase.COMPLETED)


def test_connecting_alone_is_told() -> None:
    """A Service that is only connected to moves, and its status warns that this is all that was seen."""
    world = asked({"name": "tcp", "port": 5672})
    world.until_share(10)
    assert "ConnectOnly" in dict(world.decided.warnings)
    world.note("legacy", "probe-expect-body", "220 ")
    world.run(1)
    assert "ConnectOnly" not in dict(world.decided.warnings)


def test_another_cluster_that_answers_holds_at_home() -> None:
    """A mirror that is answered by the wrong cluster is told before anything moves."""
    world = asked(HTTP_PORT, probe_cluster_header="x-cluster")
    world.mesh.faults[TO_EKS] = Fault("wrong-cluster")
    world.until(lambda: world.reason == "WrongCluster")
    assert "callers in legacy who ask eks" in world.message
    assert world.shares()[0] == 0


def test_another_cluster_that_answers_brings_home() -> None:
    """Above the baseline it is a bad probe like any other, and the reason says who answered."""
    world = asked(HTTP_PORT, probe_cluster_header="x-cluster")
    world.until_share(100)
    world.mesh.faults[TO_EKS] = Fault("wrong-cluster")
    world.until_phase(Phase.REVERTED)
    assert world.reason == "TargetBad"
    assert "of them answered by another cluster" in world.message


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        ("UNIMPLEMENTED", "probe-expect=OK,UNIMPLEMENTED"),
        ("NOT_SERVING", "probe-grpc-service"),
        ("404", "probe-protocol"),
        ("garbled", "probe-protocol"),
    ],
)
def test_a_question_that_every_way_rejects_is_told(answer: str, advice: str) -> None:
    """Where every path gives the same unexpected answer, the status says what to ask instead."""
    world = asked(GRPC_PORT)
    everywhere(world, answer)
    world.until(lambda: world.reason == "ProbeRejected")
    assert advice in world.message


def test_a_prober_without_the_protocol_holds_with_what_to_install() -> None:
    """A prober that cannot speak the protocol holds the migration, and it goes on when it can."""
    world = asked(GRPC_PORT)
    world.refusing["eks"] = ("ProtocolUnserved", "install mesh-migrate[http2] in its image")
    world.until(lambda: world.reason == "ProtocolUnserved")
    assert "the prober in eks does not probe" in world.message
    assert "install mesh-migrate[http2]" in world.message
    del world.refusing["eks"]
    world.until_share(10)


def test_what_cannot_be_probed_never_takes_the_evidence_away() -> None:
    """Annotations that cannot be probed stop the rise above the baseline; a bad target is left all the same."""
    world = asked(GRPC_PORT)
    world.until_share(100)
    world.note("legacy", "probe-path", "/healthz")
    world.until(lambda: world.reason == "ProbeUnfit")
    assert "/package.Service/Method" in world.message
    world.mesh.faults[TO_EKS] = Fault("UNAVAILABLE")
    world.until_phase(Phase.REVERTED, limit_s=10)
    assert world.reason == "TargetBad"


PORT = Port("web", 80)


@pytest.mark.parametrize(
    ("port", "probe", "advice"),
    [
        (Port("https", 443), ProbeSpec(port=443), "probe-protocol=tcp"),
        (PORT, ProbeSpec(grpc_service="a"), "remove probe-grpc-service"),
        (PORT, ProbeSpec(expect=((0, 0),)), "codes such as 200-399"),
        (PORT, ProbeSpec(protocol="grpc", path="/healthz"), "/package.Service/Method"),
        (PORT, ProbeSpec(protocol="grpc", path="/a.B/C", grpc_service="a"), "remove probe-path"),
        (PORT, ProbeSpec(protocol="grpc", expect=((200, 200),)), "OK,NOT_FOUND"),
        (
            PORT,
            ProbeSpec(protocol="tcp", path="/a", header=("a", "b")),
            "probe-path and probe-expect-header",
        ),
        (PORT, ProbeSpec(port="x"), "probe-port is x"),
        (Port("web", 70), ProbeSpec(protocol="grpc"), None),
        (PORT, ProbeSpec(protocol="grpc", path="/a.v1.B/C"), None),
        (
            PORT,
            ProbeSpec(protocol="grpc", grpc_service="a", path="/grpc.health.v1.Health/Check"),
            None,
        ),
        (PORT, ProbeSpec(protocol="tcp", body="220"), None),
        (PORT, ProbeSpec(protocol="h2c", path="/healthz", cluster_header="a"), None),
    ],
)
def test_unfit(port: Port, probe: ProbeSpec, advice: str | None) -> None:
    """What a port's protocol cannot do is told with what to write instead, and nothing else is."""
    found = unfit(A, [port], probe)
    assert (found is None) is (advice is None)
    if found and advice:
        assert advice in found[1]


BROKEN = [str(status) for status in (408, 421, 424, 425, 429, 499, *range(500, 600))]
BROKEN_GRPC = ["UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "ABORTED", "CANCELLED"]
BROKEN_GRPC += ["DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "502", "503", "429"]


@pytest.mark.parametrize(
    ("protocol", "answers"), [("http", BROKEN), ("h2c", BROKEN), ("grpc", BROKEN_GRPC)]
)
def test_what_a_broken_application_answers_is_never_called_good(
    protocol: Any, answers: list[str]
) -> None:
    """No advice takes the evidence away: for such an answer probe-expect is not offered, and repair is."""
    for answer in answers:
        found = rejection(answer, ProbeSpec(), protocol)
        assert found is not None, answer
        assert "probe-expect" not in found, answer
        assert "repair it, or set probe-path" in found, answer


@pytest.mark.parametrize("answer", ["PERMISSION_DENIED", "UNAUTHENTICATED", "INVALID_ARGUMENT"])
def test_what_an_application_that_works_may_answer_is_offered(answer: str) -> None:
    """A method that refuses an empty message, or callers without credentials, works."""
    found = rejection(answer, ProbeSpec(path="/shop.Cart/Get"), "grpc")
    assert found is not None
    assert found.endswith(f"probe-expect=OK,{answer}")


@pytest.mark.parametrize(
    ("answer", "probe", "protocol", "advice"),
    [
        (
            "404",
            ProbeSpec(path="/x"),
            "http",
            "GET /x is answered 404 on every way: set probe-path, or probe-expect=200-399,404",
        ),
        ("200", ProbeSpec(), "h2c", None),
        ("timeout", ProbeSpec(), "http", None),
        ("OK", ProbeSpec(), "grpc", None),
        ("NOT_FOUND", ProbeSpec(expect=((0, 0), (5, 5))), "grpc", None),
        ("NOT_FOUND", ProbeSpec(path="/a.B/C"), "grpc", "a.B/C is answered NOT_FOUND"),
        ("SERVICE_UNKNOWN", ProbeSpec(grpc_service="a"), "grpc", "Check of a is answered"),
        ("refused", ProbeSpec(), "grpc", None),
        ("open", ProbeSpec(), "tcp", None),
        ("wrong-body", ProbeSpec(body="220"), "tcp", 'connecting is answered without "220"'),
        ("wrong-header", ProbeSpec(header=("a", "b")), "http", "without the header a=b"),
        ("wrong-cluster", ProbeSpec(cluster_header="x-cluster"), "http", "in the header x-cluster"),
    ],
)
def test_rejection(answer: str, probe: ProbeSpec, protocol: Any, advice: str | None) -> None:
    """Each unexpected answer that all paths give has its advice; good ones and failures have none."""
    found = rejection(answer, probe, protocol)
    assert (found is None) is (advice is None)
    if found and advice:
        assert advice in found
