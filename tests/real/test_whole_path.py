"""The whole path of a migration between two API servers, embedded and real ones held to the same.

The controller is the real process. The probers are stood in for at their socket (``tests/fakes/prober.py``):
behind these API servers there is nothing to probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.observed import weights_of
from deploy.servers.kube_apiserver import RealApi
from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.apiserver.resources import Resource, known_resources
from tests.fakes.prober import Says
from tests.parts import need_api_servers
from tests.real.bare_pair import CLUSTERS, QUICK, BarePair, Server, record_of, running, share_of
from tests.real.client import Events, Json

TRAFFICSPLITS = (
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/trafficsplits.split.smi-spec.io"
)
A = "service-a"
PATH = [0, 100, 500, 999, 1000]


@pytest.fixture(scope="module")
def real_servers() -> Iterator[dict[str, Server]]:
    """Two kube-apiservers for all tests of this module; each test has a namespace of its own."""
    need_api_servers()
    servers = {name: RealApi(name) for name in CLUSTERS}

    async def together(verb: str) -> None:
        await asyncio.gather(*(getattr(server, verb)() for server in servers.values()))

    asyncio.run(together("start"))
    yield dict(servers)
    asyncio.run(together("stop"))


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.real)])
def real(request: pytest.FixtureRequest) -> dict[str, Server] | None:
    """The two real API servers where this run of a test is about them, None where it is not."""
    if request.param == "embedded":
        return None
    found: dict[str, Server] = request.getfixturevalue("real_servers")
    return found


@pytest.fixture(params=["trafficsplit", "httproute"])
async def pair(
    request: pytest.FixtureRequest, real: dict[str, Server] | None, tmp_path: Path
) -> AsyncIterator[BarePair]:
    """A controller over both that makes splits of one kind, and a Service that both export."""
    async with AsyncExitStack() as stack:
        servers = real or await _embedded(stack, known_resources())
        running_pair = running(servers, tmp_path, kind=request.param)
        pair = await stack.enter_async_context(running_pair)
        await pair.exported(A)
        yield pair


@pytest.fixture
async def pair_of_old_splits(
    real: dict[str, Server] | None, tmp_path: Path
) -> AsyncIterator[BarePair]:
    """The same where the clusters serve TrafficSplit as v1alpha1 and as nothing else."""
    async with AsyncExitStack() as stack:
        for server in (real or {}).values():
            assert isinstance(server, RealApi)
            stack.push_async_callback(_serve_v1alpha2, server, served=True)
            await _serve_v1alpha2(server, served=False)
        old = tuple(
            replace(known, versions=("v1alpha1",)) if known.plural == "trafficsplits" else known
            for known in known_resources()
        )
        servers = real or await _embedded(stack, old)
        pair = await stack.enter_async_context(running(servers, tmp_path, kind="trafficsplit"))
        await pair.exported(A)
        yield pair


async def _embedded(stack: AsyncExitStack, resources: tuple[Resource, ...]) -> dict[str, Server]:
    """Two embedded API servers that know these kinds."""
    return {
        name: await stack.enter_async_context(
            EmbeddedApi(name, tokens=("a-token",), resources=resources)
        )
        for name in CLUSTERS
    }


async def _serve_v1alpha2(server: RealApi, *, served: bool) -> None:
    """Have a kube-apiserver serve it or not, and wait until discovery says so."""
    patch = [{"op": "replace", "path": "/spec/versions/1/served", "value": served}]
    headers = {"Content-Type": "application/json-patch+json"}
    async with server.session() as session, asyncio.timeout(20):
        async with session.patch(TRAFFICSPLITS, json=patch, headers=headers) as answer:
            assert answer.status == 200
            assert (await answer.json())["spec"]["versions"][1]["name"] == "v1alpha2"
        while True:
            async with session.get("/apis/split.smi-spec.io") as answer:
                versions = [v["version"] for v in (await answer.json())["versions"]]
            async with session.get("/apis/split.smi-spec.io/v1alpha2/trafficsplits") as answer:
                listed = answer.status == 200
            if ("v1alpha2" in versions, listed) == (served, served):
                return
            await asyncio.sleep(0.1)


async def _states(events: Events) -> list[tuple[int, int, bool]]:
    """Read a watch of legacy's split to the end of a migration: weights, record's share, completed."""
    states: list[tuple[int, int, bool]] = []
    while not (states and states[-1][2]):
        event = await events.next()
        assert event is not None
        found = event["object"]
        if "migrate.tradeshift/record" in found["metadata"].get("annotations", {}):
            record = record_of(found)
            recorded = record["sharePermille"]
            states.append((share_of(found, "legacy"), recorded, "completed" in record))
    return states


def distinct(shares: list[int]) -> list[int]:
    """Leave out what repeats the one before."""
    return [share for n, share in enumerate(shares) if n == 0 or share != shares[n - 1]]


async def test_annotation_to_completed(pair: BarePair) -> None:
    """From the annotation to Completed: pins, splits, and each share with its record in one write."""
    client = pair.clients["legacy"]
    # Each share is held longer than a second only by evidence, so the watch sees them all.
    watched = client.routes() if pair.kind == "httproute" else client.splits()
    async with client.watch(watched, resourceVersion="0", allowWatchBookmarks="false") as w:
        reading = asyncio.create_task(_states(w))
        await pair.split_by_hand("eks", A, local=0, mirror=100)
        await pair.annotate(A, **QUICK, target="eks")
        await pair.fulfilled(A, "Completed")
        states = await reading
    assert distinct([weights for weights, _, _ in states]) == PATH
    assert [weights for weights, _, _ in states] == [recorded for _, recorded, _ in states]
    for cluster in CLUSTERS:
        pin = await pair.pin(cluster, A)
        assert pin["spec"] == {"routes": []}
        found = await pair.split(cluster, A)
        assert found["kind"].lower() == pair.kind
        weights = weights_of(found["spec"])
        assert set(weights) == {A, f"{A}-{'eks' if cluster == 'legacy' else 'legacy'}"}
        assert sum(weights.values()) == 1000
        record = record_of(found)
        assert record["attempt"]["home"] == {"legacy": 0, "eks": 0}
        assert record["attempt"]["originReady"] == 2
        assert (record["sharePermille"], "completed" in record) == (1000, True)
    assert await pair.shares(A) == (1000, 1000)


async def test_migration_object_tells_it(pair: BarePair) -> None:
    """The Migration belongs to the Service; its conditions and columns say how it stands."""
    await pair.annotate(A, **{**QUICK, "dwell": "1h"}, target="eks")
    await pair.stands(A, 100, 1000)
    await pair.fulfilled(A, "Progressing")

    async def told() -> bool:
        return bool((await pair.status(A))["share"] == "10/100")

    await pair.until(told, "the Migration does not tell of the step", A)
    assert await pair.condition(A, "Completed") == "False"
    assert await pair.condition(A, "Reverted") == "False"
    status = await pair.status(A)
    assert (status["service"], status["share"], status["phase"]) == (A, "10/100", "Progressing")
    assert status["observed"] == {"target": "eks", "attempt": 1}
    assert status["next"] == "raise to 50 %"
    warned = {w["reason"] for w in status["warnings"]}
    assert "ServedBefore" in warned
    assert ("CallersMayNotFollow" in warned) is (pair.kind == "trafficsplit")
    await pair.annotate(A, dwell="1s")
    await pair.fulfilled(A, "Completed")
    migration = await pair.migration(A)
    service = await pair.clients["legacy"].get(pair.clients["legacy"].core("services", A))
    (owner,) = migration["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Service", A)
    assert owner["uid"] == service.body["metadata"]["uid"]
    assert await pair.condition(A, "Progressing") == "False"
    phases = [entry["phase"] for entry in migration["status"]["history"]]
    assert phases[-1] == "Completed"
    assert "Soaking" in phases
    assert {"Progressing", "Soaking", "Completed"} <= {e["reason"] for e in await pair.events(A)}


async def test_fault_comes_home_and_another_attempt_completes(pair: BarePair) -> None:
    """A fault at 50 % brings both splits home, latched; only a raised attempt moves it again."""
    await pair.split_by_hand("eks", A, local=0, mirror=100)
    await pair.annotate(A, **{**QUICK, "steps": "50", "dwell": "1h"}, target="eks")
    await pair.stands(A, 500, 500)
    pair.probers["legacy"].says["mirror"] = Says(0.5, "500")
    pair.probers["eks"].says["pods"] = Says(0.5, "500")
    await pair.stands(A, 0, 0)
    await pair.fulfilled(A, "Reverted")
    status = await pair.status(A)
    assert (status["phase"], status["reason"]) == ("Reverted", "TargetBad")
    assert "set attempt to 2" in status["message"]
    for cluster in CLUSTERS:
        reverted = record_of(await pair.split(cluster, A))["reverted"]
        assert reverted["reason"] == "TargetBad"
        latch = (await pair.pin(cluster, A))["metadata"]["annotations"]["migrate.tradeshift/latch"]
        assert '"reason":"TargetBad"' in latch
    warnings = [e["message"] for e in await pair.events(A) if e["type"] == "Warning"]
    assert any("of the probes of callers in" in message for message in warnings)
    for prober in pair.probers.values():
        prober.says.clear()
    baseline = [(await pair.split(c, A))["metadata"]["resourceVersion"] for c in CLUSTERS]
    await pair.controller.kill()
    pair.controller.start()
    await pair.annotate(A, dwell="1s", probe_rate="99")
    await _looked_at(pair)
    still = [(await pair.split(c, A))["metadata"]["resourceVersion"] for c in CLUSTERS]
    assert still == baseline
    await pair.annotate(A, attempt="2")
    await pair.fulfilled(A, "Completed")
    assert await pair.condition(A, "Reverted") == "False"
    assert await pair.shares(A) == (1000, 1000)


async def test_restarted_controller_goes_on(pair: BarePair) -> None:
    """A controller killed in mid-migration leaves shares as they are, and the next one goes on from there."""
    await pair.split_by_hand("eks", A, local=0, mirror=100)
    await pair.annotate(A, **{**QUICK, "dwell": "1h"}, target="eks")
    await pair.stands(A, 100, 100)
    before = record_of(await pair.split("legacy", A))
    await pair.controller.kill()
    assert await pair.shares(A) == (100, 100)
    pair.controller.start()
    await _looked_at(pair)
    await pair.until(lambda: _epoch_above(pair, before["epoch"]), "no newer epoch", A)
    after = record_of(await pair.split("legacy", A))
    assert after["attempt"] == before["attempt"]
    assert (after["sharePermille"], after["since"]) == (100, before["since"])
    await pair.annotate(A, dwell="1s")
    await pair.fulfilled(A, "Completed")
    assert await pair.shares(A) == (1000, 1000)


@pytest.mark.parametrize("pair", ["trafficsplit"], indirect=True)
async def test_three_spellings_of_a_split(pair: BarePair) -> None:
    """A split is found however its spec.service is spelled, and rewritten to the short name that works."""
    spelled = {
        "short": "short",
        "dotted": f"dotted.{pair.namespace}",
        "whole": f"whole.{pair.namespace}.svc.cluster.local",
    }
    for name, spelling in spelled.items():
        await pair.exported(name)
        await pair.split_by_hand("legacy", name, local=100, mirror=0, spelled=spelling)
        await pair.split_by_hand("eks", name, local=100, mirror=0, spelled=spelling)
        await pair.annotate(name, **QUICK, target="eks")
    for name in spelled:
        await pair.fulfilled(name, "Completed")
        for cluster in CLUSTERS:
            found = await pair.split(cluster, name)
            assert found["spec"]["service"] == name
            assert all("." not in b["service"] for b in found["spec"]["backends"])
        assert await pair.shares(name) == (1000, 1000)
        listed = await pair.clients["legacy"].get(pair.clients["legacy"].splits())
        assert listed.names.count(name) == 1
        reasons = {event["reason"] for event in await pair.events(name)}
        assert ("SplitRewritten" in reasons) == (name != "short")


async def test_v1alpha1_alone_is_enough(pair_of_old_splits: BarePair) -> None:
    """Where TrafficSplit is served as v1alpha1 only, splits are made and a migration completes."""
    pair = pair_of_old_splits
    gone = await pair.clients["legacy"].get(pair.clients["legacy"].splits(version="v1alpha2"))
    assert gone.status == 404
    await pair.annotate(A, **QUICK, target="eks")
    await pair.fulfilled(A, "Completed")
    for cluster in CLUSTERS:
        found = await pair.split(cluster, A)
        assert found["apiVersion"] == "split.smi-spec.io/v1alpha1"
    assert await pair.shares(A) == (1000, 1000)


async def _looked_at(pair: BarePair) -> None:
    """Wait until a controller that was started again has the lease and all streams to both probers."""

    async def stands() -> bool:
        log = pair.controller.log.read_text().split('"event": "controller started"')[2:]
        return any('"event": "leading"' in t and t.count("prober stream stands") >= 4 for t in log)

    await pair.until(stands, "it does not lead", A)


async def _epoch_above(pair: BarePair, fencing_token: int) -> bool:
    records: list[Json] = [record_of(await pair.split(cluster, A)) for cluster in CLUSTERS]
    return all(record["epoch"] > fencing_token for record in records)
