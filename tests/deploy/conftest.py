"""Helm, a real API server with everything that the chart meets in a cluster, and the files of a release."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.servers.kube_apiserver import RealApi
from tests.deploy.rendering import ROOT, tool
from tests.deploy.server import install, known_crds
from tests.parts import missing, need_api_servers

REGISTRY = "registry.example.org/released"
"""Where the images of the release are that is built here."""

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


@pytest.fixture(scope="session")
def dist(helm: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a release is made of, built as `make release-dry-run` does and moved away from the checkout."""
    command = [sys.executable, "-m", "deploy.release", "--registry", REGISTRY]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "nothing is signed and nothing is published" in done.stdout
    return Path(shutil.move(ROOT / "dist", tmp_path_factory.mktemp("release")))
