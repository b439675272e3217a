"""The real servers that tests may ask for; the contract suite's tests run on the embedded one too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.servers import prometheus
from deploy.servers.kube_apiserver import RealApi
from deploy.stand_ins.apiserver import EmbeddedApi
from tests.parts import missing, need_api_servers
from tests.real.client import Client, connected


@pytest.fixture(scope="session")
def real_prometheus() -> None:
    """Skip where there is no Prometheus, or fail where nothing may be left out."""
    if None in map(prometheus.find_binary, ("prometheus", "promtool", "alertmanager")):
        missing(prometheus.MISSING)


@pytest.fixture(scope="session")
def real_server() -> Iterator[RealApi]:
    """One kube-apiserver for the whole run; it takes seconds to start, so tests share it."""
    need_api_servers()
    server = RealApi("contract")
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.real)])
def server(request: pytest.FixtureRequest) -> EmbeddedApi | RealApi:
    """Return the kind of server that this run of a test is about."""
    if request.param == "real":
        real: RealApi = request.getfixturevalue("real_server")
        return real
    return EmbeddedApi("contract", tokens=("a-token",), bookmark_every_s=0.2)


@pytest.fixture
async def api(server: EmbeddedApi | RealApi) -> AsyncIterator[Client]:
    """Return a client in a namespace that no other test uses."""
    if isinstance(server, RealApi):
        async with connected(server) as client:
            yield client
    else:
        async with server, connected(server) as client:
            yield client
