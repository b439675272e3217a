"""What never holds a step and is told all the same: each warning speaks, and is silent where all is well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from controller.decide import warnings
from controller.decide.input import Input
from controller.decide.resolve import resolve
from controller.domain import (
    CallPath,
    Defect,
    Endpoints,
    Malformed,
    PathEvidence,
    Port,
    Reason,
    Side,
    SplitKind,
)
from tests.scenarios.world import A, World
from tests.unit.decide.gates.inputs import (
    EARLIER,
    GOOD,
    NOW,
    PODS,
    SERVICE,
    given,
    spec,
    split,
    traffic,
)

SPELLING = Defect(Reason.SPLIT_IGNORED, "spec.service is long", repairable=True)
HARMFUL = Defect(Reason.WEIGHTS_HARMFUL, "a weight is negative", repairable=False)
MADE = {"made": EARLIER}
DONE = {"completed": NOW}
ROUTES = {"splits": (split(kind=SplitKind.HTTPROUTE),)}


def serves(**changed: Any) -> dict[str, Any]:
    """Return what changes a cluster whose Service is this."""
    return {"service": replace(SERVICE, **changed)}


def speaks(app_protocol: str, name: str = "http") -> dict[str, Any]:
    """Return what changes a cluster whose Service's one port speaks this."""
    return serves(ports=(Port(name, 80, app_protocol=app_protocol),))


def ready(pods: int, **changed: Any) -> dict[str, Any]:
    """Return what changes a cluster with so many ready pods."""
    return {"endpoints": replace(PODS, ready=pods), **changed}


def gateway(domain: str) -> dict[str, Any]:
    """Return what changes a cluster whose mirror leads to a gateway of this trust domain."""
    return {"mirror_endpoints": Endpoints(1, identity=f"gw.ns.serviceaccount.identity.{domain}")}


def answers(apex: str | None, pods: str | None, cluster: str = "legacy", **more: Any) -> Input:
    """Return a Service that answers so under its short name, and so under its full one."""
    own = Side.ORIGIN if cluster == "legacy" else Side.TARGET
    usual = {CallPath(cluster, Side.APEX): apex, CallPath(cluster, own): pods}
    paths: dict[CallPath, PathEvidence] = {
        path: replace(GOOD, usual_answer=answer)
        for path, answer in usual.items()
        if answer is not None
    }
    made = given(0, **more)
    return replace(made, observed=replace(made.observed, paths=paths))


@dataclass(frozen=True, slots=True)
class Row:
    """What a warning is given, and what its message has in it, "" where it is silent."""

    warning: warnings.Check
    given: Input
    told: str = ""

    def __str__(self) -> str:
        """Return what pytest calls the row."""
        return f"{self.warning.__name__}: {self.told or 'silent'}"


PORTS = (Port("http", 80), Port("grpc", 9090), Port("mysql", 3306), Port("dns", 53, "UDP"))
ROUTED = {**ROUTES, **serves(ports=PORTS)}
SPLIT = serves(ports=PORTS)
RETRIES = serves(policies=("retry.linkerd.io/http", "timeout.linkerd.io/request"))

ROWS = [
    Row(
        warnings.ports_stay,
        given(eks=ROUTED),
        "in eks calls to these ports of default/service-a stay local: 53 dns (Linkerd carries no UDP);"
        " 3306 mysql (port 3306",
    ),
    Row(
        warnings.ports_stay,
        given(asked=spec(ports=("http", 9090)), legacy=ROUTED),
        "3306 mysql (the annotation ports does not name it)",
    ),
    Row(warnings.ports_stay, given(eks=SPLIT), "stay local: 53 dns (Linkerd carries no UDP)"),
    Row(warnings.ports_stay, given()),
    Row(warnings.ports_stay, given(asked=None, eks=ROUTED)),
    Row(warnings.ports_stay, given(eks={**ROUTED, "service": None})),
    Row(
        warnings.ports_not_probed,
        given(legacy=ROUTED, eks=ROUTED),
        "probes ask port 80 http only, and with it move 9090 grpc: what those answer",
    ),
    Row(
        warnings.ports_not_probed,
        given(legacy=SPLIT, eks=ROUTED),
        "with it move 9090 grpc, 3306 mysql:",
    ),
    Row(warnings.ports_not_probed, given()),
    Row(warnings.ports_not_probed, given(asked=None, eks=ROUTED)),
    Row(warnings.ports_not_probed, given(eks={"service": None})),
    Row(warnings.ports_not_probed, given(asked=spec(ports=("http",)), legacy=ROUTED, eks=ROUTED)),
    Row(
        warnings.policies_off,
        given(legacy=RETRIES),
        "in legacy the TrafficSplit switches off retry.linkerd.io/http, timeout.linkerd.io/request of",
    ),
    Row(warnings.policies_off, given(legacy={**ROUTES, **RETRIES})),
    Row(warnings.policies_off, given(asked=None, legacy=RETRIES)),
    Row(warnings.policies_off, given(legacy={"service": None})),
    Row(
        warnings.callers_do_not_follow,
        given(100, traffic={"legacy": traffic(ignoring=("web", "shop"))}),
        "in legacy these callers do not follow the split, so the share is not theirs: web, shop;",
    ),
    Row(
        warnings.callers_do_not_follow,
        given(1000, record=DONE, traffic={"eks": traffic(ignoring=tuple("abcdefg"))}),
        "a, b, c, d, e and 2 more; restart them, or let them be idle for 5 s; do not scale legacy down",
    ),
    Row(warnings.callers_do_not_follow, given(100, traffic={"legacy": traffic()})),
    Row(
        warnings.callers_do_not_follow,
        given(legacy=ROUTES, traffic={"legacy": traffic(ignoring=("web",))}),
        "in legacy these callers do not follow the split",
    ),
    Row(
        warnings.callers_do_not_follow,
        given(legacy={"splits": ()}, traffic={"legacy": traffic(ignoring=("web",))}),
    ),
    Row(
        warnings.callers_bypass,
        given(
            1000,
            traffic={"legacy": traffic(reached={"shop/web": 1, "ingress/nginx": 4})},
        ),
        "5 requests of these callers reached the pods in legacy, more than the split sends there:"
        " ingress/nginx, shop/web;",
    ),
    Row(
        warnings.callers_bypass,
        given(100, traffic={"legacy": traffic(reached={"shop/web": 90}, sent={"other/web": 90})}),
        "shop/web;",
    ),
    Row(
        warnings.callers_bypass,
        given(100, traffic={"legacy": traffic(reached={"shop/web": 90}, sent={"shop/web": 90})}),
    ),
    Row(
        warnings.callers_bypass,
        given(1000, settled_s=249.0, traffic={"legacy": traffic(reached={"shop/web": 1})}),
    ),
    Row(
        warnings.callers_bypass,
        given(1000, traffic={"legacy": traffic(reached={"shop/web": 90}, unknown="away")}),
    ),
    Row(warnings.callers_bypass, given(1000, traffic={"eks": traffic(reached={"shop/web": 90})})),
    Row(
        warnings.same_pods,
        given(legacy={"twins": ("pods (headless)", "twin")}),
        "in legacy other Services lead to the same pods: pods (headless), twin; who calls those",
    ),
    Row(warnings.same_pods, given(eks={"twins": ("twin",)})),
    Row(warnings.same_pods, given(legacy={"twins": ("twin",), "current": False})),
    Row(
        warnings.service_exposed,
        given(legacy=serves(exposed="type NodePort")),
        "in legacy the Service has type NodePort",
    ),
    Row(warnings.service_exposed, given(eks=serves(exposed="type NodePort"))),
    Row(warnings.service_exposed, given(legacy={"service": None})),
    Row(
        warnings.service_exposed,
        given(legacy={**serves(exposed="type NodePort"), "current": False}),
    ),
    Row(
        warnings.federated_member,
        given(legacy=serves(federated=True)),
        "in legacy the Service is a member of service-a-federated",
    ),
    Row(warnings.federated_member, given(eks=serves(federated=True))),
    Row(warnings.federated_member, given(legacy={"service": None})),
    Row(warnings.federated_member, given(legacy={**serves(federated=True), "current": False})),
    Row(
        warnings.callers_may_not_follow,
        given(100, record=MADE),
        "the split in legacy was made or rewritten at 2026-01-01T00:00:00Z",
    ),
    Row(
        warnings.callers_may_not_follow,
        given(record={"converted": EARLIER}, legacy={"splits": ()}, eks={"splits": ()}),
    ),
    Row(warnings.callers_may_not_follow, given(100)),
    Row(
        warnings.callers_may_not_follow,
        given(
            100,
            record=MADE,
            traffic={"legacy": traffic(follow=True), "eks": traffic(ignoring=("web",))},
        ),
    ),
    Row(
        warnings.callers_unmeshed,
        given(traffic={"legacy": traffic(unmeshed=12)}),
        "12 requests of the last 2 minutes reached the pods in legacy from outside the mesh",
    ),
    Row(warnings.callers_unmeshed, given(traffic={"eks": traffic(unmeshed=12)})),
    Row(
        warnings.traffic_ambiguous,
        given(
            traffic=dict.fromkeys(("legacy", "eks"), traffic()),
            legacy={"also_in": ("shop",)},
            eks={"also_in": tuple("abcdefg")},
        ),
        "have a Service service-a too (in legacy shop; in eks a, b, c, d, e and 2 more)",
    ),
    Row(warnings.traffic_ambiguous, given(traffic={"legacy": traffic()})),
    Row(
        warnings.traffic_ambiguous,
        given(traffic={"legacy": traffic()}, eks={"also_in": ("shop",)}),
    ),
    Row(
        warnings.mirror_unproven,
        given(legacy=gateway("linkerd.one.local"), eks=gateway("linkerd.two.local")),
        "different trust domains (one.local and two.local)",
    ),
    Row(
        warnings.mirror_unproven,
        given(legacy=gateway("linkerd.one.local"), eks=gateway("linkerd.one.local")),
    ),
    Row(warnings.mirror_unproven, given()),
    Row(
        warnings.served_before,
        given(0, begun={"baseline": {"legacy": 0, "eks": 1000}}),
        "eks callers were on eks before and stay there",
    ),
    Row(warnings.served_before, given(100)),
    Row(
        warnings.served_before,
        given(1000, begun={"baseline": {"legacy": 0, "eks": 1000}}, record=DONE),
    ),
    Row(
        warnings.moved_since,
        given(500, record=DONE),
        "since completion the share in legacy was set to 50 % by hand",
    ),
    Row(warnings.moved_since, given(1000, record=DONE)),
    Row(warnings.moved_since, given(500)),
    Row(
        warnings.attempt_waits,
        given(100, asked=spec(attempt=2)),
        "attempt 2 begins when attempt 1 is over",
    ),
    Row(warnings.attempt_waits, given(100, asked=spec(attempt=1))),
    Row(warnings.attempt_waits, given(asked=spec(attempt=2))),
    Row(warnings.attempt_waits, given(100, asked=Malformed(()))),
    Row(
        warnings.probes_lowered,
        given(paths={("eks", Side.ORIGIN): {"throttled_per_s": 2.5}}),
        "the prober in eks is at its cap: the path to legacy has 2.5 probes a second",
    ),
    Row(warnings.probes_lowered, given()),
    Row(
        warnings.connect_only,
        given(asked=spec(probe={"protocol": "tcp"})),
        "probes only connect to port 80",
    ),
    Row(warnings.connect_only, given(asked=spec(probe={"protocol": "tcp", "body": "220"}))),
    Row(warnings.connect_only, given()),
    Row(warnings.connect_only, given(asked=None)),
    Row(
        warnings.routes_merged,
        given(
            eks={"splits": (split(kind=SplitKind.HTTPROUTE),), "overruled": ("the HTTPRoute mine",)}
        ),
        "in eks the HTTPRoute mine is for the calls to default/service-a too",
    ),
    Row(warnings.routes_merged, given(eks={"overruled": ("the HTTPRoute mine",)})),
    Row(warnings.routes_merged, given(eks={"splits": (), "overruled": ("the HTTPRoute mine",)})),
    Row(
        warnings.split_will_be_rewritten,
        given(eks={"splits": (split(defects=(SPELLING,)),)}),
        "the trafficsplit service-a in eks is rewritten when the Service is enrolled: spec.service is long",
    ),
    Row(warnings.split_will_be_rewritten, given(eks={"splits": (split(defects=(HARMFUL,)),)})),
    Row(warnings.split_will_be_rewritten, given(100)),
    Row(
        warnings.fewer_endpoints,
        given(eks=ready(1)),
        "eks has fewer ready pods (1) than legacy (3)",
    ),
    Row(warnings.fewer_endpoints, given(eks=ready(0))),
    Row(warnings.fewer_endpoints, given(eks=ready(1, current=False))),
    Row(warnings.fewer_endpoints, given(1000, record=DONE, eks=ready(1))),
    Row(
        warnings.session_affinity,
        given(legacy=serves(session_affinity="ClientIP")),
        "sessionAffinity is ClientIP in legacy only:",
    ),
    Row(
        warnings.session_affinity,
        given(legacy=serves(session_affinity="ClientIP"), eks=serves(session_affinity="ClientIP")),
        "sessionAffinity is ClientIP in legacy and eks:",
    ),
    Row(warnings.session_affinity, given(eks={"service": None})),
    Row(
        warnings.app_protocol_differs,
        given(legacy=speaks("http")),
        "port 80 has an appProtocol (http) in legacy only",
    ),
    Row(
        warnings.app_protocol_differs,
        given(eks=speaks("grpc")),
        "port 80 has an appProtocol (grpc) in eks only, where it is TCP to Linkerd",
    ),
    Row(warnings.app_protocol_differs, given(legacy=speaks("http"), eks=speaks("grpc"))),
    Row(warnings.app_protocol_differs, given(legacy=speaks("http", "web"))),
    Row(warnings.app_protocol_differs, given(eks={"service": None})),
    Row(
        warnings.connections_stay,
        given(eks=serves(ports=(Port("mysql", 3306),))),
        "in eks Linkerd takes port 3306 for TCP",
    ),
    Row(
        warnings.connections_stay,
        given(eks=speaks("grpc")),
        "in eks Linkerd takes port 80 for TCP",
    ),
    Row(
        warnings.connections_stay,
        given(eks=serves(ports=(Port("tcp-web", 80),)), asked=None),
        "in eks Linkerd takes port 80 for TCP",
    ),
    Row(
        warnings.connections_stay,
        given(eks=serves(ports=(Port("tcp-web", 80),)), asked=spec(probe={"protocol": "http"})),
    ),
    Row(warnings.connections_stay, given(legacy={"service": None})),
    Row(
        warnings.host_header_matters,
        answers("200", "404"),
        "in legacy the application answers 200 where its Host is service-a, and 404 where",
    ),
    Row(
        warnings.host_header_matters,
        answers("404", "200", "eks", eks={"splits": ()}),
        "in eks the application answers 404",
    ),
    Row(warnings.host_header_matters, answers("200", "204")),
    Row(warnings.host_header_matters, answers("200", "503")),
    Row(warnings.host_header_matters, answers("timeout", "404")),
    Row(warnings.host_header_matters, answers("200", None)),
    Row(warnings.host_header_matters, answers("200", "404", "eks")),
    Row(warnings.host_header_matters, given(asked=None)),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_row_has_its_warning(row: Row) -> None:
    """What is observed is told, or not, as the row says, and under the reason that names the warning."""
    found = list(row.warning(row.given.observed, row.given.state))
    assert bool(found) is bool(row.told)
    for warned in found[:1]:
        assert row.told in warned.message
        assert warned.reason.name == row.warning.__name__.upper()


def test_each_warning_speaks_and_is_silent() -> None:
    """Every warning has a row in which it speaks, and one in which it is silent."""
    for told in (True, False):
        assert {row.warning for row in ROWS if bool(row.told) is told} == set(warnings.ALL)


def test_a_converted_split_may_not_be_followed() -> None:
    """Callers that were busy when an HTTPRoute took a TrafficSplit's place are told of, with when it did."""
    made = given(record={"converted": EARLIER})
    splits = {
        name: replace(cluster, splits=(replace(cluster.splits[0], kind=SplitKind.HTTPROUTE),))
        for name, cluster in made.observed.clusters.items()
    }
    observed = replace(made.observed, clusters=splits)
    first, _ = warnings.callers_may_not_follow(observed, made.state)
    assert "in legacy was converted to an HTTPRoute at 2026-01-01T00:00:00Z" in first.message


def test_where_all_is_well_only_a_new_split_is_told() -> None:
    """Two equal Services with as many pods have no warning but that of the split we have just made."""
    world = World()
    world.ask(paused="true")
    world.run(1)
    assert {warned for warned, _ in world.decided.warnings} == {Reason.CALLERS_MAY_NOT_FOLLOW}


def test_a_split_is_told_of_before_it_is_rewritten() -> None:
    """Somebody's split that is repaired without moving traffic is told before it is rewritten, not after."""
    world = World()
    backends = [{"service": A.service, "weight": 1000}, {"service": "service-a-eks", "weight": 0}]
    world.put_split("legacy", backends, service="service-a.default.svc.cluster.local")
    world.run(1)
    observed = world.replica.observe(A)
    before = {warned for warned, _ in warnings.found(observed, resolve(observed))}
    world.ask(paused="true")
    world.run(1)
    after = {warned for warned, _ in world.decided.warnings}
    assert Reason.SPLIT_WILL_BE_REWRITTEN in before - after
