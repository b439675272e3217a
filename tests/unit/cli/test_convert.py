"""``kubectl migrate convert``: what it makes, what it refuses, and what a crash half-way leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from controller.domain import Key, Record, Reverted, SplitKind
from controller.kube.objects import DECODERS, HTTPRouteObject, Resource
from controller.mesh.splits import RECORD, decode_record, encode_record, httproute
from deploy.stand_ins.apiserver import EmbeddedApi, known_resources
from tests.unit.cli.cli_cluster import CommandCluster, service
from tests.unit.cli.cli_cluster import split as one_with_attempt

KEY = Key("default", "service-a")
LATCH = Reverted("TargetBad", "bad", datetime(2026, 1, 1, 11, tzinfo=UTC))


def attempted(**changed: Any) -> Record:
    """The record of an attempt."""
    record = decode_record(one_with_attempt()["metadata"]["annotations"])
    assert isinstance(record, Record)
    return msgspec.structs.replace(record, **changed)


OVER = attempted(reverted=LATCH, fencing_token=7)


def split(record: Record | None = OVER, local: Any = 1000, mirror: Any = 0) -> dict[str, Any]:
    """A TrafficSplit of service-a."""
    notes = {RECORD: encode_record(record)} if record else {}
    backends = [
        {"service": "service-a", "weight": local},
        {"service": "service-a-eks", "weight": mirror},
    ]
    return {
        "apiVersion": "split.smi-spec.io/v1alpha2",
        "kind": "TrafficSplit",
        "metadata": {"name": "service-a", "namespace": "default", "annotations": notes},
        "spec": {"service": "service-a", "backends": backends},
    }


def speaking(app_protocol: str) -> dict[str, Any]:
    """The Service, with this appProtocol."""
    made = service("service-a")
    made["spec"]["ports"][0]["appProtocol"] = app_protocol
    return made


def of_two_ports(second: int = 81) -> dict[str, Any]:
    """The Service, with a second port."""
    made = service("service-a")
    made["spec"]["ports"].append({"name": "admin", "port": second})
    return made


def of_udp() -> dict[str, Any]:
    """The Service, with a port of UDP alone."""
    made = service("service-a")
    made["spec"]["ports"] = [{"name": "dns", "port": 53, "protocol": "UDP"}]
    return made


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[CommandCluster]:
    """A cluster with service-a."""
    async with EmbeddedApi("legacy") as api:
        made = CommandCluster(api, tmp_path / "kubeconfig")
        made.put(service("service-a"))
        yield made


def stands(cluster: CommandCluster, plural: str) -> dict[str, Any] | None:
    """What stands there as service-a."""
    found = cluster.api.store.get(plural, "default", "service-a")
    return None if found is None else found.body


def route(cluster: CommandCluster) -> tuple[int, Record]:
    """The mirror's part and the record of the HTTPRoute."""
    body = stands(cluster, "httproutes")
    found = DECODERS[Resource.HTTPROUTES](msgspec.json.encode(body))
    assert isinstance(found, HTTPRouteObject)
    read = httproute.read(found, KEY, "service-a-eks", None)
    assert read is not None
    assert read.defects == ()
    assert isinstance(read.record, Record)
    return read.away_permille, read.record


@pytest.mark.parametrize("record", [OVER, attempted(completed=LATCH.at), None])
async def test_a_route_takes_the_splits_place(
    cluster: CommandCluster, record: Record | None
) -> None:
    """The HTTPRoute is all local and carries the record, latch included; the TrafficSplit is gone."""
    cluster.put(split(record))
    done = await cluster.run("convert", "service-a")
    assert (done.code, "all calls local as before" in done.out) == (0, True), done.err
    away, found = route(cluster)
    assert away == 0
    assert (found.kind, found.converted is not None) == (SplitKind.HTTPROUTE, True)
    kept = msgspec.structs.replace(found, kind=SplitKind.TRAFFICSPLIT, converted=None)
    assert kept == (record or Record(kind=SplitKind.TRAFFICSPLIT))
    assert stands(cluster, "trafficsplits") is None


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (split(local=999, mirror=1), "serves 99.9 % of its calls"),
        (split(local=0, mirror=1000), "serves 0 % of its calls"),
        (split(attempted()), "attempt 1 to eks is under way"),
        (split(local=-1, mirror=0), "negative"),
        (service("service-a", split="trafficsplit"), "says trafficsplit"),
        (speaking("grpc"), "write kubernetes.io/h2c, or none; or keep the TrafficSplit"),
        (service("service-a", probe_protocol="tcp"), "port 80 (http) is probed by tcp"),
        (of_two_ports(3306), "port 3306 is one that Linkerd takes for TCP"),
        (of_udp(), "has no TCP port"),
    ],
)
async def test_what_would_move_somebody_is_refused(
    cluster: CommandCluster, found: dict[str, Any], told: str
) -> None:
    """Where calls go to the mirror, or an attempt is under way, nothing is written, and the answer says why."""
    cluster.put(split(), found)
    done = await cluster.run("convert", "service-a")
    assert (done.code, told in done.err) == (1, True), done.err
    assert stands(cluster, "httproutes") is None
    assert stands(cluster, "trafficsplits") is not None


@pytest.mark.parametrize(
    "found", [speaking("kubernetes.io/h2c"), service("service-a", probe_protocol="h2c")]
)
async def test_a_port_that_is_http_to_linkerd_is_converted(
    cluster: CommandCluster, found: dict[str, Any]
) -> None:
    """HTTP/2 in clear text is routed as HTTP/1.1 is."""
    cluster.put(split(), found)
    done = await cluster.run("convert", "service-a")
    assert done.code == 0, done.err
    assert stands(cluster, "httproutes") is not None


async def test_each_port_gets_a_route(cluster: CommandCluster) -> None:
    """A TrafficSplit of two ports is replaced by a route for each with its record; cut off between them it goes on."""
    cluster.put(split(), of_two_ports())
    assert (await cluster.run("convert", "service-a")).code == 0
    routes = cluster.api.store.objects("httproutes")
    found = {each.name: each.body["spec"]["parentRefs"][0]["port"] for each in routes}
    assert found == {"service-a": 80, "service-a.81": 81}
    assert all(each.body["metadata"]["annotations"][RECORD] for each in routes)
    cluster.api.remove("httproutes", "default", "service-a.81")
    cluster.put(split())
    assert (await cluster.run("convert", "service-a")).code == 0
    assert {each.name for each in cluster.api.store.objects("httproutes")} == set(found)
    assert stands(cluster, "trafficsplits") is None


async def test_without_a_split_there_is_nothing_to_convert(cluster: CommandCluster) -> None:
    """A Service without a split, or with an HTTPRoute already, is told so."""
    assert "no split" in (await cluster.run("convert", "service-a")).err
    cluster.put(split())
    assert (await cluster.run("convert", "service-a")).code == 0
    again = await cluster.run("convert", "service-a")
    assert (again.code, "an HTTPRoute already" in again.err) == (1, True)


async def test_a_crash_half_way_is_finished_by_running_it_again(cluster: CommandCluster) -> None:
    """Cut off after the route was made, both stand; run again, the newest record is carried and the split goes."""
    cluster.put(split())
    assert (await cluster.run("convert", "service-a")).code == 0
    newer = msgspec.structs.replace(OVER, fencing_token=9)
    cluster.put(split(newer))  # as if it had never been deleted, and a new leader had written
    done = await cluster.run("convert", "service-a")
    assert done.code == 0, done.err
    assert route(cluster)[1].fencing_token == 9
    assert stands(cluster, "trafficsplits") is None


async def test_somebody_elses_route_is_left_alone(cluster: CommandCluster) -> None:
    """An HTTPRoute that convert did not make is named, and both stay."""
    parent = {"group": "", "kind": "Service", "name": "service-a"}
    body = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "service-a", "namespace": "default"},
        "spec": {"parentRefs": [parent]},
    }
    cluster.put(split(), body)
    done = await cluster.run("convert", "service-a")
    assert (done.code, "is not of convert" in done.err) == (1, True)
    assert stands(cluster, "trafficsplits") is not None


async def test_a_cluster_without_routes_is_told(tmp_path: Path) -> None:
    """Where the Gateway API is not installed nothing is written."""
    resources = known_resources(http_routes=False)
    async with EmbeddedApi("legacy", resources=resources) as api:
        cluster = CommandCluster(api, tmp_path / "kubeconfig")
        cluster.put(service("service-a"), split())
        done = await cluster.run("convert", "service-a")
        assert (done.code, "serves no HTTPRoute" in done.err) == (1, True), done.err
        assert stands(cluster, "trafficsplits") is not None
