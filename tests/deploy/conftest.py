"""Helm, and a real API server with everything that the chart meets in a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from deploy.servers.kube_apiserver import RealApi
from tests.deploy.rendering import tool
from tests.deploy.server import install, known_crds
from tests.parts import missing, need_api_servers

NO_TOOL = "is missing: `make check-deploy` builds it into .tools/bin with Go, or put it on PATH"


@pytest.fixture(scope="session")
def helm() -> None:
    """The helm that tools/go.mod names, for everything here that renders the chart."""
    if tool("helm") is None:
        missing(f"helm {NO_TOOL}")


@pytest.fixture(scope="session")
def kubeconform() -> None:
    """The kubeconform that tools/go.mod names."""
    if tool("kubeconform") is None:
        missing(f"kubeconform {NO_TOOL}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealApi]:
    """A kube-apiserver with the kinds of Linkerd and of the Gateway API; each module has its own."""
    need_api_servers()
    server = RealApi("chart")

    async def start() -> None:
        await server.start()
        async with server.session() as session:
            await install(session, known_crds())

    asyncio.run(start())
    yield server
    asyncio.run(server.stop())
