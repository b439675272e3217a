"""The mesh over two real kube-apiservers: what it writes is accepted, what it reads is understood."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from deploy.servers.kube_apiserver import RealApi
from deploy.stand_ins.mesh import EKS, LEGACY, ApiAccess, Mesh
from deploy.stand_ins.mesh.config import GATEWAY_IDENTITY
from deploy.stand_ins.mesh.gateway import NAMESPACE
from deploy.stand_ins.mesh.kube import PROFILES, SERVICES, SLICES, SPLITS
from deploy.stand_ins.mesh.objects import service_object, slice_name
from tests.integration.local.mesh_pair import WEB, profile_object, split_object, until
from tests.integration.local.test_mesh_world import QUICK, answered
from tests.parts import need_api_servers

pytestmark = pytest.mark.real


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """Yield a mesh over two real API servers."""
    need_api_servers()
    async with RealApi(LEGACY) as legacy, RealApi(EKS) as eks:
        access = [ApiAccess(a.url, a.tokens[0], a.ca_pem().decode()) for a in (legacy, eks)]
        running = Mesh(*access, probing=QUICK)
        await running.start()
        yield running
        await running.stop()


async def test_a_real_api_server_takes_all_that_the_mesh_writes(mesh: Mesh) -> None:
    """Mirrors, slices and their changes are accepted; splits and pins are obeyed."""
    legacy, eks = mesh.clusters[LEGACY], mesh.clusters[EKS]
    for cluster in (legacy, eks):
        await cluster.api.apply(SERVICES, service_object(WEB))
    pods = await mesh.workload(WEB, EKS)
    await mesh.workload(WEB, LEGACY)
    mirror = ("default", "web-eks")
    await until(lambda: any(legacy.config.endpoints(mirror).values()))
    await legacy.api.apply(SPLITS, split_object([("web", 0), ("web-eks", 1000)]))
    await eks.api.apply(SPLITS, split_object([("web", 0), ("web-legacy", 1000)]))
    for cluster in (legacy, eks):
        await cluster.api.apply(PROFILES, profile_object(NAMESPACE))
    await until(lambda: legacy.config.policy(WEB, "default").split is not None)
    await until(lambda: eks.config.policy(WEB, NAMESPACE).pinned)
    load = await legacy.load(WEB, caller="shop", rate_hz=100)
    await answered(load, EKS)
    await pods.roll()
    await load.stop()
    assert [s for s in load.sent() if s.outcome != "ok"] == []
    slices, _ = await legacy.api.list(SLICES)
    (piece,) = [s for s in slices if s["metadata"]["name"] == slice_name("web-eks")]
    assert piece["metadata"]["annotations"][GATEWAY_IDENTITY] == mesh.gateway(EKS).identity
    await mesh.gateway(EKS).die()
    await until(lambda: not any(legacy.config.endpoints(mirror).values()))
    await eks.api.delete(SERVICES, WEB)
    await until(lambda: legacy.config.endpoints(mirror) == {})
    async with asyncio.timeout(10):
        await mesh.mirrored()
