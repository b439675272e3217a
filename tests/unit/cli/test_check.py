"""``kubectl migrate check`` on two embedded API servers: what it finds, how it tells it, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import termios
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from controller.cli import look
from controller.cli.exit_codes import Exit
from controller.cli.pair import Pair
from controller.domain import Reason
from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh.objects import link_object, service_object, slice_name, slice_object
from tests.benchmarks.inventory import Inventory, service_name
from tests.unit.cli.cli_cluster import COMMAND, condition, decoded, migration, split, until
from tests.unit.decide.check_pair import GATEWAYS, IDENTITY, CheckPair, Json

Harm = Callable[[CheckPair], None]


def ingress(name: str, *, notes: dict[str, str] | None = None, to: str = "service-a") -> Json:
    """An Ingress of nginx that leads to a Service."""
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": to}}}
    return {
        "metadata": {"name": name, "namespace": "default", "annotations": notes or {}},
        "spec": {"ingressClassName": "nginx", "rules": [{"http": {"paths": [path]}}]},
    }


PROFILE = "service-a.default.svc.cluster.local"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[CheckPair]:
    """Legacy and eks, with service-a ready to migrate."""
    async with EmbeddedApi("legacy") as legacy, EmbeddedApi("eks") as eks:
        made = CheckPair({"legacy": legacy, "eks": eks}, tmp_path / "kubeconfig")
        made.service()
        yield made


async def test_a_service_that_may_migrate(pair: CheckPair) -> None:
    """Where nothing blocks that is said in a sentence, nothing is written, and the command ends with 0."""
    done = await pair.run("check", "service-a")
    assert (done.code, done.err) == (Exit.OK, "")
    assert done.out.splitlines()[-1] == "service-a to eks: nothing blocks it"
    assert pair.apis["legacy"].store.get("trafficsplits", "default", "service-a") is None
    assert pair.apis["eks"].store.get("serviceprofiles", GATEWAYS, PROFILE) is None


async def test_profiles_of_the_other_cluster_are_read_in_its_own_domain(pair: CheckPair) -> None:
    """Where the Link to eks says another DNS domain, a profile in eks is a pin by a name in that domain only."""
    link = link_object("eks", "10.9.9.9", IDENTITY, domain="eks.example.com")
    pair.put("legacy", "links", link)
    overrides = {"dstOverrides": [{"authority": "x", "weight": "1"}]}
    meta = {"namespace": GATEWAYS, "name": PROFILE}
    pair.put("eks", "serviceprofiles", {"metadata": meta, "spec": overrides})
    assert (await pair.run("check", "service-a")).code == Exit.OK
    meta = {"namespace": GATEWAYS, "name": "service-a.default.svc.eks.example.com"}
    pair.put("eks", "serviceprofiles", {"metadata": meta, "spec": overrides})
    done = await pair.run("check", "service-a")
    assert done.code != Exit.OK
    assert "PinForeign" in done.out


# --- findings -------------------------------------------------------------------------------------


def unlabelled(pair: CheckPair) -> None:
    """Nobody exported the Service in eks, so there is no mirror in legacy."""
    pair.put("eks", "services", service_object(("default", "service-a"), exported=False))
    pair.remove("legacy", "services", "service-a-eks")


def only_in_legacy(pair: CheckPair) -> None:
    """The Service, its mirror and its namespace are not in eks."""
    pair.put("legacy", "namespaces", {"metadata": {"name": "shop"}})
    pair.put("legacy", "services", service_object(("shop", "service-b")))


def second_split(pair: CheckPair) -> None:
    """Two splits are about the Service."""
    pair.split("legacy", 1, 0)
    found = pair.get("legacy", "trafficsplits", "service-a")
    found["metadata"]["name"] = "another"
    pair.put("legacy", "trafficsplits", found)


def failover(pair: CheckPair) -> None:
    """linkerd-failover owns a split."""
    pair.split("legacy", 1, 0)
    found = pair.get("legacy", "trafficsplits", "service-a")
    found["metadata"]["labels"] = {"failover.linkerd.io/controlled-by": "linkerd-failover"}
    pair.put("legacy", "trafficsplits", found)


def profile(namespace: str, **spec: object) -> Harm:
    """Somebody's ServiceProfile of service-a in this namespace of legacy."""
    meta = {"name": PROFILE, "namespace": namespace}
    return lambda pair: pair.put("legacy", "serviceprofiles", {"metadata": meta, "spec": spec})


def other_domain(pair: CheckPair) -> None:
    """The gateway of eks has an identity of another trust domain."""
    pair.mirror("eks", "service-a", identity=IDENTITY.replace("cluster.local", "eks.test"))


def unpinned(pair: CheckPair) -> None:
    """The Service is enrolled, and the pins are gone."""
    for cluster in ("legacy", "eks"):
        pair.put(cluster, "trafficsplits", split())


def told(pair: CheckPair) -> None:
    """The controller found that a mirror answers 508."""
    pair.annotate("legacy", "service-a", target="eks")
    body = migration(
        reason="GatewayNotPinned",
        message="the mirror of eks in legacy answers 508",
        conditions=[condition("Blocked", "True")],
        warnings=[{"reason": "HostHeaderMatters", "message": "404 by its full name"}],
    )
    pair.put("legacy", "migrations", body)


def ports(*numbers: int, **more: object) -> list[dict[str, object]]:
    """Ports of a Service."""
    return [{"name": f"p{n}", "port": n, "protocol": "TCP", **more} for n in numbers]


def both_with_ports(*numbers: int) -> Harm:
    """The Service has these ports, in both clusters."""

    def harm(pair: CheckPair) -> None:
        for cluster in pair.apis:
            pair.change(cluster, "services", "service-a", ports=ports(*numbers))

    return harm


HARMS: dict[str, tuple[Harm, str]] = {
    "ServiceMissing": (lambda p: p.remove("eks", "services", "service-a"), "no Service"),
    "PortsDiffer": (
        lambda p: p.change("eks", "services", "service-a", ports=ports(81)),
        "the ports differ",
    ),
    "AppProtocolDiffers": (
        lambda p: p.change(
            "eks",
            "services",
            "service-a",
            ports=[{"name": "http", "port": 80, "appProtocol": "http"}],
        ),
        "in eks only",
    ),
    "SessionAffinity": (
        lambda p: p.change("eks", "services", "service-a", sessionAffinity="ClientIP"),
        "in eks only",
    ),
    "KindUnfit": (
        lambda p: p.change("eks", "services", "service-a", clusterIP="None"),
        "in eks default/service-a is headless",
    ),
    "MirrorMissing": (
        lambda p: p.remove("legacy", "services", "service-a-eks"),
        "legacy has no mirror",
    ),
    "MirrorEmpty": (
        lambda p: p.mirror("eks", "service-a", reach="empty"),
        "mirror service-a-eks in legacy",
    ),
    "GatewayNotAlive": (
        lambda p: p.mirror("eks", "service-a", reach="not ready"),
        "the gateway of eks",
    ),
    "NotExported": (unlabelled, "selector, mirror.linkerd.io/exported=true"),
    "MirrorUnproven": (other_domain, "cluster.local and eks.test"),
    "TargetWithoutEndpoints": (lambda p: p.pods("eks", "service-a", 0), "ready in eks"),
    "NoPodsToProbe": (lambda p: p.pods("legacy", "service-a", 0), "legacy has no ready pod"),
    "FewerEndpoints": (lambda p: p.pods("eks", "service-a", 1), "eks has fewer ready pods (1)"),
    "NoPortToProbe": (
        both_with_ports(7001, 7002),
        "name one in probe-port",
    ),
    "ConnectionsStay": (
        both_with_ports(80, 5432),
        "port 5432",
    ),
    "SplitIgnored": (
        lambda p: p.split("legacy", 1, 1, service="service-a.default.svc.cluster.local"),
        "spec.service is service-a.default",
    ),
    "SplitWillBeRewritten": (
        lambda p: p.split("legacy", 1, 0, service="service-a.default.svc.cluster.local"),
        "rewritten when",
    ),
    "BackendNotShort": (
        lambda p: p.split(
            "legacy",
            1,
            0,
            backends=[{"service": "service-a.default.svc.cluster.local", "weight": 1}],
        ),
        "is not a short name",
    ),
    "WeightsHarmful": (lambda p: p.split("legacy", 500_000, 0), "429,496"),
    "BackendForeign": (
        lambda p: p.split("legacy", 1, 0, backends=[{"service": "other", "weight": 1}]),
        "neither service-a nor",
    ),
    "SecondSplit": (second_split, "the TrafficSplit another and the TrafficSplit service-a"),
    "ForeignOwner": (failover, "linkerd-failover"),
    "PinForeign": (
        profile(GATEWAYS, dstOverrides=[{"authority": "x", "weight": "1"}]),
        "dstOverrides",
    ),
    "ProfileWins": (profile("migrate", routes=[]), "callers of default/service-a there"),
    "PinMissing": (unpinned, "the gateway of"),
    "Malformed": (lambda p: p.annotate("legacy", "service-a", target="gke"), "gke"),
    "GatewayNotPinned": (told, "answers 508"),
    "HostHeaderMatters": (told, "404 by its full name"),
}


@pytest.mark.parametrize("reason", HARMS)
async def test_each_harm_is_found(pair: CheckPair, reason: str) -> None:
    """What is wrong is found by its reason, at its level, with a sentence; a BLOCK ends with a code of its own."""
    harm, sentence = HARMS[reason]
    assert reason not in await pair.found()
    harm(pair)
    level, message = (await pair.found())[reason]
    assert (level, sentence in message) == (Reason(reason).meaning.level, True), message
    if level == "BLOCK":
        assert (await pair.run("check", "service-a")).code == Exit.BLOCKED


@pytest.mark.parametrize(
    ("kind", "reason"), [("trafficsplit", "RouteWins"), ("httproute", "TwoMechanisms")]
)
async def test_a_route_in_the_callers_namespace(pair: CheckPair, kind: str, reason: str) -> None:
    """A route in the callers' namespace is a warning beside a TrafficSplit, and a gate beside an HTTPRoute."""
    pair.annotate("legacy", "service-a", target="eks", split=kind)
    assert await pair.found() == {}
    pair.put("legacy", "httproutes", named("mine", "migrate"))
    level, message = (await pair.found())[reason]
    assert (level, "the HTTPRoute mine in" in message) == (Reason(reason).meaning.level, True)
    assert {"RouteWins", "TwoMechanisms"} - set(await pair.found()) != set()


def beside(name: str, **spec: object) -> Harm:
    """Another Service in legacy that has the pods of service-a."""

    def harm(pair: CheckPair) -> None:
        service = service_object(("default", name), selects="service-a", exported=False)
        pair.put("legacy", "services", {**service, "spec": {**service["spec"], **spec}})
        pods = pair.get("legacy", "endpointslices", slice_name("service-a"))
        pods["metadata"] = slice_object(("default", name), (), 8080)["metadata"]
        pair.put("legacy", "endpointslices", pods)

    return harm


def labelled(pair: CheckPair) -> None:
    """The Service in legacy is a member of a federated one."""
    found = pair.get("legacy", "services", "service-a")
    found["metadata"]["labels"]["mirror.linkerd.io/federated"] = "member"
    pair.put("legacy", "services", found)


PAST: dict[str, tuple[str, Harm, str]] = {
    "a twin": ("SamePods", beside("twin"), "to the same pods: twin; who"),
    "a headless one": ("SamePods", beside("pods", clusterIP="None"), "pods: pods (headless);"),
    "a headless one without ports": ("SamePods", beside("p", clusterIP="None"), "p (headless)"),
    "one by hand": ("SamePods", beside("by-hand", selector=None), "pods: by-hand;"),
    "a load balancer's": (
        "SamePods",
        beside("public", type="LoadBalancer"),
        "public (type LoadBalancer)",
    ),
    "LoadBalancer": (
        "ServiceExposed",
        lambda p: p.change("legacy", "services", "service-a", type="LoadBalancer"),
        "has type LoadBalancer",
    ),
    "NodePort": (
        "ServiceExposed",
        lambda p: p.change("legacy", "services", "service-a", type="NodePort"),
        "has type NodePort",
    ),
    "externalIPs": (
        "ServiceExposed",
        lambda p: p.change("legacy", "services", "service-a", externalIPs=["192.0.2.1"]),
        "has externalIPs",
    ),
    "federated": ("FederatedMember", labelled, "a member of service-a-federated"),
}


@pytest.mark.parametrize("way", PAST)
async def test_each_way_past_the_split_is_found(pair: CheckPair, way: str) -> None:
    """What leads to the origin's pods past the split is a warning that names it, and nothing else is found."""
    reason, harm, sentence = PAST[way]
    harm(pair)
    found = await pair.found()
    assert list(found) == [reason]
    assert (found[reason][0], sentence in found[reason][1]) == ("WARN", True), found[reason][1]


async def test_a_service_of_other_ports_of_the_pods_is_no_twin(pair: CheckPair) -> None:
    """A Service of the same pods at another port, as for metrics, takes no call past the split."""
    beside("metrics")(pair)
    pods = pair.get("legacy", "endpointslices", slice_name("metrics"))
    pods["ports"] = [{"name": "metrics", "port": 9090, "protocol": "TCP"}]
    pair.put("legacy", "endpointslices", pods)
    assert await pair.found() == {}


async def test_what_leads_past_the_split_in_the_target_is_not_told(pair: CheckPair) -> None:
    """Who reaches the target's pods is where callers are to be, so neither twin nor Ingress there is a finding."""
    beside("twin")(pair)
    pair.put("legacy", "ingresses", ingress("shop"))
    assert list(await pair.found("service-a", "--to", "eks")) == ["SamePods", "IngressDialsPods"]
    assert await pair.found("service-a", "--to", "legacy") == {}


async def test_ingresses_are_told_together(pair: CheckPair) -> None:
    """All Ingresses of a Service in the origin are one warning, with their names and what to write."""
    for name in ("shop", "api"):
        pair.put("legacy", "ingresses", ingress(name))
    upstream = {"nginx.ingress.kubernetes.io/service-upstream": "true"}
    pair.put("legacy", "ingresses", ingress("meshed", notes=upstream))
    pair.put("eks", "ingresses", ingress("shop"))
    level, message = (await pair.found())["IngressDialsPods"]
    assert level == "WARN"
    assert message == (
        "in legacy these send to the Service's pods, past the split: Ingress api (nginx), Ingress shop"
        ' (nginx); write nginx.ingress.kubernetes.io/service-upstream: "true"'
    )


async def test_nothing_leads_past_the_article_s_services(pair: CheckPair) -> None:
    """Of the article's 460 Services, each with pods, a mirror that shares its gateway with all others and an Ingress
    that sends to the Service, none is said to be called past its split."""
    upstream = {"nginx.ingress.kubernetes.io/service-upstream": "true"}
    article = Inventory(409, 51)
    for cluster, api in pair.apis.items():
        for resource, body in article.objects(cluster):
            api.put({"apiVersion": resource.api, "kind": resource.kind, **body})
    for number in range(409):
        name = service_name(number)
        pair.put("legacy", "ingresses", ingress(name, notes=upstream, to=name))
    told = decoded((await pair.run("check", "--all", "-o", "json")).out)
    found = {each["reason"] for one in told["services"] for each in one["findings"]}
    assert told["checked"] == 409 + 1
    assert found.isdisjoint(reason for reason, _, _ in PAST.values())
    assert "IngressDialsPods" not in found


async def test_a_gateway_s_routes_are_told(pair: CheckPair) -> None:
    """An HTTPRoute of a Gateway, wherever it is, leads to the pods; a Service's own route does not."""
    backend = {"name": "service-a", "namespace": "default", "port": 80}
    spec = {"parentRefs": [{"name": "public"}], "rules": [{"backendRefs": [backend]}]}
    meta = {"name": "web", "namespace": "edge"}
    pair.put("legacy", "namespaces", {"metadata": {"name": "edge"}})
    pair.put("legacy", "httproutes", {"metadata": meta, "spec": spec})
    assert (await pair.found())["IngressDialsPods"][1].endswith(
        "HTTPRoute edge/web (Gateway public)"
    )


class Shy(EmbeddedApi):
    """An API server that lets nobody list Ingresses."""

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("/ingresses"):
            return web.json_response({"kind": "Status", "message": "not for you"}, status=403)
        return await super()._answer(request)


async def test_what_may_not_be_read_is_said(tmp_path: Path) -> None:
    """Where Ingresses may not be listed a note says so, and nothing ends with an error."""
    async with Shy("legacy") as legacy, EmbeddedApi("eks") as eks:
        made = CheckPair({"legacy": legacy, "eks": eks}, tmp_path / "kubeconfig")
        made.service()
        done = await made.run("check", "service-a")
    assert (done.code, "Note: context legacy: ingresses were not read" in done.out) == (0, True)


def named(name: str, namespace: str = "default", **meta: str) -> dict[str, Any]:
    """A route of the Service that takes every request."""
    parent = {"group": "core", "kind": "Service", "name": "service-a", "namespace": "default"}
    metadata = {"name": name, "namespace": namespace, **meta}
    return {"metadata": metadata, "spec": {"parentRefs": [parent], "rules": [{}]}}


@pytest.mark.parametrize("namespace", ["default", "migrate"])
@pytest.mark.parametrize(
    ("plural", "kind"),
    [
        ("grpcroutes", "the GRPCRoute"),
        ("httproutes.policy.linkerd.io", "the HTTPRoute of policy.linkerd.io"),
    ],
)
async def test_a_route_that_beats_ours_is_found(
    pair: CheckPair, plural: str, kind: str, namespace: str
) -> None:
    """A GRPCRoute, and a route of Linkerd's own group, are named before anything is made; beside a TrafficSplit not."""
    pair.put("legacy", plural, named("mine", namespace))
    level, message = (await pair.found())["TwoMechanisms"]
    assert (level, f"in legacy {kind} mine in {namespace}" in message) == ("BLOCK", True)
    pair.annotate("legacy", "service-a", target="eks", split="trafficsplit")
    assert "TwoMechanisms" not in await pair.found()


async def test_a_trafficsplit_that_nobody_would_obey_is_found_before(pair: CheckPair) -> None:
    """Where a TrafficSplit is to be made and no SMI extension is seen, that blocks; an HTTPRoute needs none."""
    pair.apis["legacy"].remove("namespaces", "", "linkerd-smi")
    assert "SplitUnanswered" not in await pair.found()
    pair.annotate("legacy", "service-a", target="eks", split="trafficsplit")
    level, message = (await pair.found())["SplitUnanswered"]
    assert (level, message.startswith("legacy serves TrafficSplit, but no namespace")) == (
        "BLOCK",
        True,
    )


async def test_a_split_that_is_not_in_force_is_found(pair: CheckPair) -> None:
    """Somebody's TrafficSplit that no ServiceProfile has the weights of blocks, and says where its callers are."""
    pair.split("legacy", 90, 10)
    level, message = (await pair.found())["SplitNotInForce"]
    assert (level, "every call stays with the local Service" in message) == ("BLOCK", True)


@pytest.mark.parametrize("namespace", ["default", "migrate"])
async def test_a_route_that_loses_to_ours_is_told(pair: CheckPair, namespace: str) -> None:
    """A younger route of Linkerd's own group is a warning, and so is one of the callers' namespace."""
    body = named("service-a")
    body["spec"]["rules"] = [{"backendRefs": [{"name": "service-a", "port": 80}]}]
    pair.put("legacy", "httproutes", body)
    plural = "httproutes.policy.linkerd.io" if namespace == "default" else "httproutes"
    pair.put("legacy", plural, named("zz-mine", namespace))
    found = await pair.found()
    assert found["RoutesMerged"][0] == "WARN"
    assert "zz-mine" in found["RoutesMerged"][1]
    assert set(found) & {"TwoMechanisms", "RouteWins"} == set()


async def test_warnings_end_well(pair: CheckPair) -> None:
    """What should be known and does not block is told, and the command ends with 0."""
    pair.pods("eks", "service-a", 1)
    done = await pair.run("check", "service-a")
    assert done.code == Exit.OK
    assert "WARN    FewerEndpoints" in done.out
    assert "nothing blocks it, and some things should be known" in done.out


async def test_all_that_blocks_is_told_at_once(pair: CheckPair) -> None:
    """Both clusters' findings, and those of several gates, come in one answer."""
    for cluster, mirror in (("legacy", "service-a-eks"), ("eks", "service-a-legacy")):
        pair.remove(cluster, "services", mirror)
    pair.change("eks", "services", "service-a", ports=ports(81))
    done = await pair.run("check", "service-a", "-o", "json")
    (only,) = decoded(done.out)["services"]
    assert [f["reason"] for f in only["findings"]] == [
        "PortsDiffer",
        "MirrorMissing",
        "MirrorMissing",
        "NoPodsToProbe",
    ]
    assert all(f["means"] and f["do"] for f in only["findings"])


async def test_a_namespace_that_is_missing(pair: CheckPair) -> None:
    """A namespace that one cluster does not have is told beside the Service that is missing for it."""
    only_in_legacy(pair)
    found = await pair.found("service-b", "-n", "shop", name="service-b")
    assert found["NamespaceMissing"] == ("BLOCK", "there is no namespace shop in eks")
    assert found["ServiceMissing"][0] == "BLOCK"


async def test_probers_that_are_not_mirrored(pair: CheckPair) -> None:
    """Where probers run, each is to be mirrored in the other cluster, so that its gateway has a path of its own."""
    for cluster in ("legacy", "eks"):
        pair.put(cluster, "services", service_object(("migrate", "prober")))
    pair.mirror("legacy", "prober", "migrate")
    found = await pair.found("service-a", name="")
    level, message = found["MirrorMissing"]
    assert level == "WARN"
    assert "no mirror prober-eks in namespace migrate of legacy" in message
    assert message.endswith("export the Service prober of eks")
    pair.mirror("eks", "prober", "migrate")
    assert "MirrorMissing" not in await pair.found("service-a", name="")


async def test_the_gateways_namespace_is_missing(pair: CheckPair) -> None:
    """Without the gateway's namespace no pin can be made: that is of the clusters, not of a Service."""
    pair.apis["eks"].remove("links", GATEWAYS, "legacy")
    pair.apis["eks"].remove("namespaces", "", GATEWAYS)
    found = await pair.found("service-a", name="")
    assert found["NamespaceMissing"][1].startswith(f"there is no namespace {GATEWAYS}")
    assert (await pair.run("check", "service-a")).code == Exit.BLOCKED


async def test_mirrors_of_a_cluster_of_another_name(pair: CheckPair) -> None:
    """A mirror that leads to a cluster of another name than the Link's is found."""
    found = pair.get("legacy", "services", "service-a-eks")
    found["metadata"]["labels"]["mirror.linkerd.io/cluster-name"] = "eks-test"
    pair.put("legacy", "services", found)
    assert "leads to eks-test, not to eks" in (await pair.found())["MirrorOtherCluster"][1]


async def test_an_attempt_that_was_reverted_is_told(pair: CheckPair) -> None:
    """The latch of a reverted attempt is a gate like the others: nothing starts before a retry."""
    latch = (
        '{"target":"eks","attempt":1,"reverted":'
        '{"reason":"TargetBad","message":"500s","at":"2026-01-01T10:00:00Z"}}'
    )
    meta = {
        "name": PROFILE,
        "namespace": GATEWAYS,
        "annotations": {"migrate.tradeshift/latch": latch},
    }
    pair.put("eks", "serviceprofiles", {"metadata": meta, "spec": {"routes": []}})
    level, message = (await pair.found())["TargetBad"]
    assert (level, "set attempt to 2" in message) == ("BLOCK", True)


async def test_paused_is_not_to_be_mended(pair: CheckPair) -> None:
    """A Service that is enrolled and paused, as it should be for a while, is not blocked by that."""
    pair.annotate("legacy", "service-a", target="eks", paused="true")
    blocked = condition("Blocked", "True")
    pair.put("legacy", "migrations", migration(reason="Paused", conditions=[blocked], warnings=[]))
    assert await pair.found() == {}


async def test_a_mirror_is_answered_with_the_service(pair: CheckPair) -> None:
    """A mirror is no Service to check: the answer names the one to use."""
    done = await pair.run("check", "service-a-eks")
    assert (done.code, "use service-a" in done.err) == (Exit.USAGE, True)


async def test_a_service_that_is_nowhere(pair: CheckPair) -> None:
    """A Service that neither cluster has is a sentence."""
    done = await pair.run("check", "service-x")
    assert (done.code, done.err) == (
        Exit.FAILED,
        "kubectl migrate: there is no Service service-x in namespace default of legacy or eks\n",
    )


async def test_uppercase_is_answered(pair: CheckPair) -> None:
    """The article's spelling is answered with a name that Kubernetes takes."""
    done = await pair.run("check", "serviceA")
    assert done.code == Exit.USAGE
    assert "Kubernetes refuses uppercase letters in Service names" in done.err
    assert "use service-a" in done.err


async def test_the_way_back(pair: CheckPair) -> None:
    """``--to`` asks about the other direction: then legacy is the target that must be ready."""
    pair.pods("legacy", "service-a", 0)
    assert "TargetWithoutEndpoints" in await pair.found("service-a", "--to", "legacy")
    assert "TargetWithoutEndpoints" not in await pair.found("service-a")
    done = await pair.run("check", "service-a", "--to", "gke")
    assert (done.code, "the clusters are legacy and eks" in done.err) == (Exit.USAGE, True)


# --- many -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["observed", "facts"])
async def test_an_error_in_one_service_ends_no_report(
    pair: CheckPair, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """What goes wrong while one Service is looked at blocks that one, with the place, and all others are told."""
    pair.service("service-b")
    plain = getattr(Pair, part)

    def broken(self: Pair, about: Any, *more: Any) -> Any:
        if "service-b" in str(about):
            raise KeyError("planted")
        return plain(self, about, *more)

    monkeypatch.setattr(Pair, part, broken)
    done = await pair.run("check", "--all")
    assert (done.code, done.err) == (Exit.BLOCKED, "")
    (line,) = (line for line in done.out.splitlines() if "BLOCK" in line)
    assert line.startswith("service-b   BLOCK   NotChecked   could not be checked: KeyError:")
    assert "(test_check.py:" in line
    assert done.out.splitlines()[-1] == "2 Services: 1 clear, 0 with warnings, 1 blocked"


async def test_an_error_in_what_would_be_written_leaves_the_findings(
    pair: CheckPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the writes of a Service cannot be made up, what its gates find is told beside that."""
    pair.pods("eks", "service-a", 0)

    def broken(*_given: Any) -> Any:
        raise TypeError

    monkeypatch.setattr(look, "writes_of", broken)
    found = await pair.found("service-a")
    assert {"NotChecked", "TargetWithoutEndpoints"} <= set(found)


async def test_the_products_own_services_are_none(pair: CheckPair) -> None:
    """Controller and probers are never checked by ``--all``, by the labels that the chart gives them."""
    manifests = Path(__file__).parents[3] / "deploy" / "manifests" / "legacy.yaml"
    own = [
        body
        for body in yaml.safe_load_all(manifests.read_text(encoding="utf-8"))
        if body and body["kind"] == "Service"
    ]
    assert len(own) == 2
    for body in own:
        pair.put("legacy", "services", body)
    found = decoded((await pair.run("check", "-A", "-o", "json")).out)
    assert [s["service"] for s in found["services"]] == ["service-a"]


async def test_what_was_measured_stands_beside_what_is_claimed(pair: CheckPair) -> None:
    """Where the controller has a Prometheus, its Migrations tell what callers did, and the check shows both."""
    traffic = [
        {"callers": "legacy", "claimedPercent": 25.0, "sharePercent": 3.0, "strays": True}
        | {"measuredRequests": 812},
        {"callers": "eks", "claimedPercent": 100.0},
    ]
    pair.put("legacy", "migrations", migration(traffic=traffic))
    done = await pair.run("check", "service-a")
    (line,) = (line for line in done.out.splitlines() if line.startswith("service-a   legacy"))
    assert [" ".join(cell.split()) for cell in re.split(" {3,}", line)] == [
        "service-a",
        "legacy",
        "eks",
        "25 %",
        "3 % of 812 requests, which is not what the split says",
    ]
    (service,) = decoded((await pair.run("check", "service-a", "-o", "json")).out)["services"]
    assert service["shares"] == [
        {"callers": "legacy", "target": "eks", "claimedPercent": 25.0, "measuredPercent": 3.0}
        | {"measuredRequests": 812, "strays": True},
        {"callers": "eks", "target": "eks", "claimedPercent": 100.0, "measuredPercent": None}
        | {"measuredRequests": 0, "strays": False},
    ]


async def test_all_of_a_namespace_and_of_every_namespace(pair: CheckPair) -> None:
    """``--all`` checks one namespace, ``-A`` all; mirrors and the clusters' own Services are none."""
    for cluster in pair.apis:
        pair.put(cluster, "namespaces", {"metadata": {"name": "shop"}})
        pair.put(cluster, "services", service_object(("kube-system", "dns")))
        pair.put(cluster, "services", service_object(("default", "kubernetes")))
    pair.service("service-b")
    pair.service("basket", "shop")
    pair.put("eks", "services", service_object(("shop", "only-in-eks")))
    own = decoded((await pair.run("check", "--all", "-o", "json")).out)
    every = decoded((await pair.run("check", "-A", "-o", "json")).out)
    assert [s["service"] for s in own["services"]] == ["service-a", "service-b"]
    assert [(s["namespace"], s["service"]) for s in every["services"]] == [
        ("default", "service-a"),
        ("default", "service-b"),
        ("shop", "basket"),
    ]
    assert (every["checked"], every["blocked"], every["clusters"]) == (3, 0, ["legacy", "eks"])


async def test_lists_are_read_page_by_page(
    pair: CheckPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is more than a page is read to its end: nothing on a later page is taken for missing."""
    monkeypatch.setattr("controller.kube.api.client.PAGE", 2)
    for name in ("service-b", "service-c"):
        pair.service(name)
    told = decoded((await pair.run("check", "--all", "-o", "json")).out)
    assert [(s["service"], s["findings"]) for s in told["services"]] == [
        ("service-a", []),
        ("service-b", []),
        ("service-c", []),
    ]


async def test_an_annotated_service_is_checked_wherever_it_is(pair: CheckPair) -> None:
    """A Service that asks for a migration is among all, also where only the target has it, for its own target."""
    pair.put("eks", "services", service_object(("default", "service-b")))
    pair.annotate("eks", "service-b", target="legacy")
    told = decoded((await pair.run("check", "--all", "-o", "json")).out)
    assert [(s["service"], s["target"]) for s in told["services"]] == [
        ("service-a", "eks"),
        ("service-b", "legacy"),
    ]


async def test_the_table_puts_what_blocks_first(pair: CheckPair) -> None:
    """The table names each Service, BLOCK before WARN, says each meaning once, and counts."""
    pair.service("service-b")
    pair.service("service-c")
    pair.remove("eks", "services", "service-b")
    pair.pods("eks", "service-a", 1)
    done = await pair.run("check", "--all")
    lines = done.out.splitlines()
    assert lines[0].split() == ["SERVICE", "LEVEL", "REASON", "FOUND"]
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["service-b", "BLOCK", "ServiceMissing"],
        ["service-a", "WARN", "FewerEndpoints"],
        [],
        ["REASON", "MEANS", "DO"],
    ]
    assert lines[-1] == "3 Services: 1 clear, 1 with warnings, 1 blocked"
    assert done.code == Exit.BLOCKED


def found_by(out: str) -> dict[str, tuple[str, str]]:
    """By reason, whom a page of causes names and what it says of them."""
    lines = [re.split(r" {3,}", line) for line in out.splitlines()]
    return {line[2]: (line[0], line[3]) for line in lines if len(line) == 4 and line[1] != "LEVEL"}


async def test_one_missing_export_of_forty_is_one_finding(pair: CheckPair) -> None:
    """What is wrong with forty Services alike is one finding, with three names and how many more; JSON names each."""
    for number in range(40):
        pair.service(name := f"s{number:02}")
        pair.put("eks", "services", service_object(("default", name), exported=False))
        pair.remove("legacy", "services", f"{name}-eks")
    done = await pair.run("check", "--all")
    assert found_by(done.out) == {
        "NotExported": (
            "s00, s01, s02 and 37 more",
            "the labels of SERVICE in eks do not meet the Link's selector, mirror.linkerd.io/exported=true",
        )
    }
    told = decoded((await pair.run("check", "--all", "-o", "json")).out)
    (cause,) = told["causes"]
    assert cause["services"] == [f"default/s{number:02}" for number in range(40)]
    assert "has no mirror s07-eks" in told["services"][7]["findings"][0]["message"]


async def test_what_differs_in_more_than_the_name_is_told_apart(pair: CheckPair) -> None:
    """Causes are told apart, the one of most Services first; numbers alone make none of their own. Who is called as
    a word of the sentence is told for itself, and as it is."""
    for name, pods in (("b", 3), ("c", 4), ("eks", 5)):
        pair.service(name)
        pair.pods("legacy", name, pods)
    pair.change("eks", "services", "service-a", sessionAffinity="ClientIP")
    done = await pair.run("check", "--all")
    fewer = "eks has fewer ready pods ({}) than legacy ({}): is that enough for every call?"
    rows = [re.split(r" {3,}", line)[::3] for line in done.out.splitlines()[1:4]]
    assert rows[:2] == [["b and c", fewer.format("N", "N")], ["eks", fewer.format(2, 5)]]
    assert rows[2][0] == "service-a"


async def test_a_missing_mirror_is_told_beside_one_that_is_explained(pair: CheckPair) -> None:
    """Where one mirror is missing for want of an export and the other for another reason, both are told."""
    unlabelled(pair)
    assert set(found_by((await pair.run("check", "service-a")).out)) == {"NotExported"}
    assert set(await pair.found()) == {"NotExported", "MirrorMissing"}
    pair.remove("eks", "services", "service-a-legacy")
    told = found_by((await pair.run("check", "service-a")).out)
    assert set(told) == {"NotExported", "MirrorMissing"}


async def test_check_of_names_and_of_labels(pair: CheckPair) -> None:
    """``check`` takes several names, and a selector that is asked of both clusters."""
    for name in ("b", "c"):
        pair.service(name)
    found = pair.get("eks", "services", "b")
    found["metadata"]["labels"]["team"] = "shop"
    pair.put("eks", "services", found)
    for argv, names in (
        (("c", "b"), ["c", "b"]),
        (("-l", "team=shop"), ["b"]),
        (("-l", "team!=shop"), ["b", "c", "service-a"]),
        (("-A", "-l", "team=shop"), ["b"]),
    ):
        told = decoded((await pair.run("check", *argv, "-o", "json")).out)
        assert [each["service"] for each in told["services"]] == names
    nobody = await pair.run("check", "-l", "team=bank")
    assert nobody.code == Exit.FAILED
    assert "there is no Service with team=bank in namespace default of context legacy" in nobody.err


def fleet(name: str = "to-eks", **spec: object) -> Json:
    """A Fleet to eks whose first wave is b and c of default, and whose second all of namespace migrate."""
    named = {"namespace": "default", "names": ["b", "c", "off"]}
    waves = [
        {"name": "first", "services": [named]},
        {"name": "second", "services": [{"namespace": "migrate"}], "opens": "byHand"},
        {"name": "nobody", "services": [{"namespace": "nowhere"}]},
    ]
    return {"metadata": {"name": name}, "spec": {"target": "eks", "waves": waves, **spec}}


@pytest.mark.parametrize("at", ["legacy", "eks"])
async def test_check_of_a_wave(pair: CheckPair, at: str) -> None:
    """``check --wave`` looks at the Services that a wave moves, and ``--fleet`` at all of a Fleet's, wherever it is."""
    for name, namespace in (("b", "default"), ("c", "default"), ("d", "migrate")):
        pair.service(name, namespace)
    pair.service("off")
    pair.annotate("legacy", "off", excluded="true")
    pair.put(at, "fleets", fleet())
    for argv, keys in (
        (("--wave", "first"), ["default/b", "default/c"]),
        (("--wave", "second", "--fleet", "to-eks"), ["migrate/d"]),
        (("--fleet", "to-eks"), ["default/b", "default/c", "migrate/d"]),
    ):
        told = decoded((await pair.run("check", *argv, "-o", "json")).out)
        found = [f"{each['namespace']}/{each['service']}" for each in told["services"]]
        assert (found, {each["target"] for each in told["services"]}) == (keys, {"eks"})
    page = await pair.run("check", "--wave", "first")
    assert page.out.splitlines()[-1] == "2 Services: 2 clear, 0 with warnings, 0 blocked"


async def test_a_wave_that_is_not_there(pair: CheckPair) -> None:
    """A wave or Fleet that is not there, or more than one Fleet without a name, is a sentence."""
    pair.put("legacy", "fleets", fleet())
    for argv, code, sentence in (
        (("--wave", "frist"), Exit.USAGE, "Fleet to-eks has no wave frist: did you mean first?"),
        (("--wave", "nobody"), Exit.FAILED, "wave nobody names no Service that can be moved"),
        (("--fleet", "to-aks"), Exit.USAGE, "there is no Fleet to-aks in context legacy"),
        (("--wave", "first", "service-a"), Exit.USAGE, "a Fleet says which Services, in every"),
        (("--wave", "first", "-A"), Exit.USAGE, "a Fleet says which Services, in every"),
        (("--wave", "first", "-n", "default"), Exit.USAGE, "leave out names, -l, --all, -A and -n"),
    ):
        done = await pair.run("check", *argv)
        assert (done.code, done.err.count("\n")) == (code, 1)
        assert sentence in done.err
    pair.put("legacy", "fleets", fleet("other"))
    several = await pair.run("check", "--wave", "first")
    assert (several.code, "there are 2 Fleets, other and to-eks" in several.err) == (2, True)
    for name in ("other", "to-eks"):
        pair.remove("legacy", "fleets", name, "")
    none = await pair.run("check", "--wave", "first")
    assert (none.code, "there is no Fleet in context legacy" in none.err) == (1, True)


async def test_what_a_fleet_wishes_is_checked(pair: CheckPair) -> None:
    """A Service that says nothing is checked as its Fleet wishes, so that a default that does not fit it is found."""
    pair.service("b")
    pair.put("legacy", "fleets", fleet(defaults={"probe-port": "nope"}))
    assert set(await pair.found("--wave", "first", name="b")) == {"NoPortToProbe"}


@pytest.mark.parametrize(
    "argv",
    [(), ("service-a", "--all"), ("service-a", "-A"), ("--all", "-l", "a=b"), ("-A", "-n", "b")],
)
async def test_one_way_of_saying_which(pair: CheckPair, argv: tuple[str, ...]) -> None:
    """Which Services are meant is said in one path; none or two is wrong usage, in a sentence."""
    done = await pair.run("check", *argv)
    assert (done.code, done.err.count("\n")) == (Exit.USAGE, 1)


# --- which clusters -------------------------------------------------------------------------------


async def test_a_cluster_that_is_not_reached(pair: CheckPair) -> None:
    """A cluster that does not answer is one sentence and an exit code of its own, whatever was asked."""
    await pair.apis["eks"].stop()
    for argv in (("service-a",), ("--all",), ("-A", "--other-context", "eks")):
        done = await pair.run("check", *argv)
        assert (done.code, done.out) == (Exit.UNREACHED, "")
        assert done.err.startswith("kubectl migrate: context eks is not reached: connection")
        assert done.err.count("\n") == 1


async def test_both_clusters_are_not_reached(pair: CheckPair) -> None:
    """Where both were named and neither answers, each is a sentence."""
    await pair.apis["eks"].stop()
    await pair.apis["legacy"].stop()
    done = await pair.run("check", "--all", "--other-context", "eks")
    assert done.code == Exit.UNREACHED
    assert [line.split()[3] for line in done.err.splitlines()] == ["legacy", "eks"]


async def test_contexts_that_are_not_called_as_the_links_say(pair: CheckPair) -> None:
    """The names of the clusters come from the Links, so that contexts may be called anything."""
    text = pair.kubeconfig.read_text()
    pair.kubeconfig.write_text(text.replace(": eks\n", ": arn:aws:eks:eu\n"))
    unsaid = await pair.run("check", "service-a")
    assert unsaid.code == Exit.USAGE
    assert "is linked to eks, and no context is called so" in unsaid.err
    said = await pair.run("check", "service-a", "--other-context", "arn:aws:eks:eu")
    assert (said.code, said.out.splitlines()[-1]) == (0, "service-a to eks: nothing blocks it")


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ("gke", "there is no context gke; there are: legacy, eks"),
        ("legacy", "which is this cluster"),
    ],
)
async def test_an_other_context_that_is_none(pair: CheckPair, context: str, sentence: str) -> None:
    """A context that is not there, or is this one, is answered with what to give."""
    done = await pair.run("check", "service-a", "--other-context", context)
    assert (done.code, sentence in done.err) == (Exit.USAGE, True)


async def test_without_links_the_mirrors_name_the_clusters(pair: CheckPair) -> None:
    """Where no Link is to be seen, the mirrors' labels name the other cluster."""
    for cluster, far in (("legacy", "eks"), ("eks", "legacy")):
        pair.remove(cluster, "links", far, GATEWAYS)
    assert (await pair.run("check", "service-a")).code == Exit.OK


async def test_clusters_that_are_not_linked(pair: CheckPair) -> None:
    """Two clusters without Link or mirror go by their contexts' names, and lack every mirror."""
    for cluster, far in (("legacy", "eks"), ("eks", "legacy")):
        pair.remove(cluster, "links", far, GATEWAYS)
        pair.remove(cluster, "services", f"service-a-{far}")
    unsaid = await pair.run("check", "service-a")
    assert "is linked to no other cluster" in unsaid.err
    assert "MirrorMissing" in await pair.found("service-a", "--other-context", "eks")


async def test_of_several_links_the_context_says_which(pair: CheckPair) -> None:
    """A cluster that is linked to several is paired with the one whose context is named."""
    pair.put("legacy", "links", link_object("dr", "10.9.9.8", IDENTITY))
    assert (await pair.run("check", "service-a")).code == Exit.OK
    assert (await pair.run("check", "service-a", "--other-context", "eks")).code == Exit.OK


@pytest.mark.parametrize("ours", [False, True])
async def test_a_split_that_is_there_is_tried_as_it_stands(
    pair: CheckPair,
    ours: bool,
) -> None:
    """A split, somebody's or with a record, is tried with what it says, and stays as it is."""
    name = "own" if ours else "service-a"
    if ours:
        pair.put("legacy", "trafficsplits", split())
    else:
        pair.split("legacy", 1, 0)
    before = pair.get("legacy", "trafficsplits", name)
    done = await pair.run("check", "service-a")
    assert pair.get("legacy", "trafficsplits", name) == before
    tried = {
        (r.verb, r.resource, r.name)
        for r in pair.apis["legacy"].requests
        if r.user_agent == "kubectl-migrate" and r.verb in ("create", "patch")
    }
    assert ("patch", "trafficsplits", name) in tried
    assert "legacy: writes were tried as you: there is no service account migrate/" in done.out


async def test_a_route_that_is_there_is_tried_as_it_stands(pair: CheckPair) -> None:
    """A Service that an HTTPRoute splits already is checked like any other: its route is tried, whole, as it is."""
    refs = [("service-a", 1), ("service-a-eks", 0)]
    backends = [
        {"group": "", "kind": "Service", "name": n, "port": 80, "weight": w} for n, w in refs
    ]
    parent = {"group": "", "kind": "Service", "name": "service-a", "port": 80}
    rules = [{"backendRefs": backends, "timeouts": {"request": "5s"}}]
    spec = {"parentRefs": [parent], "rules": rules}
    meta = {"name": "service-a", "namespace": "default"}
    pair.put("legacy", "httproutes", {"metadata": meta, "spec": spec})
    before = pair.get("legacy", "httproutes", "service-a")
    done = await pair.run("check", "service-a")
    assert (done.err, pair.get("legacy", "httproutes", "service-a")) == ("", before)
    tried = [r for r in pair.apis["legacy"].requests if r.resource == "httproutes"]
    assert ("patch", "service-a") in [(r.verb, r.name) for r in tried]


class Dying(EmbeddedApi):
    """An API server that is read from, and breaks off whatever is to be written."""

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST" and request.transport is not None:
            request.transport.abort()
        return await super()._answer(request)


class Moody(EmbeddedApi):
    """An API server whose admission webhook answers 503 to whatever is made for service-b."""

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST" and b"service-b" in await request.read():
            said = {"kind": "Status", "code": 503, "message": "admission webhook: come back later"}
            return web.json_response(said, status=503)
        return await super()._answer(request)


async def test_a_webhook_that_says_503_blocks_one_service(tmp_path: Path) -> None:
    """An answer to one write is about that write: the cluster is reached, and the other Services are told."""
    async with EmbeddedApi("legacy") as legacy, Moody("eks") as eks:
        pair = CheckPair({"legacy": legacy, "eks": eks}, tmp_path / "kubeconfig")
        for name in ("service-a", "service-b"):
            pair.service(name)
        done = await pair.run("check", "--all")
    assert (done.code, done.err) == (Exit.BLOCKED, "")
    assert "eks refuses a new HTTPRoute default/service-b: 503 admission webhook" in done.out
    assert done.out.splitlines()[-1] == "2 Services: 1 clear, 0 with warnings, 1 blocked"


async def test_a_cluster_that_dies_in_between(tmp_path: Path) -> None:
    """A cluster that is gone when writes are tried is one sentence and the same exit code, however many writes."""
    async with EmbeddedApi("legacy") as legacy, Dying("eks") as eks:
        pair = CheckPair({"legacy": legacy, "eks": eks}, tmp_path / "kubeconfig")
        for letter in "abcdefgh":
            pair.service(f"service-{letter}")
        done = await pair.run("check", "--all")
    assert (done.code, done.out, done.err.count("\n")) == (Exit.UNREACHED, "", 1)
    assert done.err.startswith("kubectl migrate: eks is not reached any more: connection")


async def test_on_a_terminal_the_table_fits(pair: CheckPair) -> None:
    """On a terminal the table is no wider than it, and what is being done is shown meanwhile."""
    pair.remove("eks", "services", "service-a")
    traffic = [{"callers": "legacy", "claimedPercent": 25.0, "sharePercent": 24.0}]
    pair.put("legacy", "migrations", migration(traffic=traffic))
    controlling, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (50, 90))
    os.set_blocking(controlling, False)
    environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("check", "service-a", "--kubeconfig", str(pair.kubeconfig)),
        stdout=terminal,
        stderr=terminal,
        env={**environ, "TERM": "xterm"},
    )
    os.close(terminal)
    drawn = bytearray()

    def ended() -> bool:
        with contextlib.suppress(BlockingIOError, OSError):  # EIO: nobody has the terminal any more
            drawn.extend(os.read(controlling, 65536))
        return process.returncode is not None

    try:
        waiting = asyncio.create_task(process.wait())
        await until(ended)
        ended()
        assert await waiting == Exit.BLOCKED
    finally:
        os.close(controlling)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode())
    # Drawn a few times a second: on a quick machine not every word of it is.
    assert re.search("reading context|looking at|trying writes|asking for", text)
    assert "service-a to eks: something blocks it" in text
    assert "24 %" in text
    table = [line for line in text.splitlines() if line.startswith("service-a ")]
    assert table
    assert max(map(len, table)) <= 90


NAMES = ["http", "", "web", "grpc", "h2c", "metrics", "redis-metrics", "http-kafka"]
"""What ports are called that speak HTTP, one way or another."""


async def test_no_false_finding_among_460_services(pair: CheckPair) -> None:
    """Of as many Services as the article has, all well, under the names that ports have, none has a finding."""
    for cluster in pair.apis:
        pair.remove(cluster, "services", "service-a")
        for resource, body in Inventory(460, 460).objects(cluster):
            number = int(re.findall("[0-9]+", body["metadata"]["name"])[0])
            for port in body.get("ports") or body["spec"]["ports"]:
                port["name"] = NAMES[number % len(NAMES)]
            pair.put(cluster, resource.plural, body)
    done = await pair.run("check", "--all", "-o", "json")
    found = decoded(done.out)["services"]
    assert {each["service"]: each["findings"] for each in found if each["findings"]} == {}
    assert (done.code, len(found)) == (Exit.OK, 460)
