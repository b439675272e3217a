"""The real Prometheus as a tenant of this machine: found, started, shown when it fails, and gone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.servers import prometheus
from deploy.servers.processes import ServerFailed
from deploy.servers.prometheus import Prometheus


async def test_it_scrapes_what_it_was_given(real_prometheus: None) -> None:
    """A started Prometheus answers queries, and scrapes the targets of its jobs (here: one that is away)."""
    up: list[dict[str, Any]] = []
    async with (
        asyncio.timeout(20),
        Prometheus({"nobody": ["127.0.0.1:1"]}, every_s=0.1) as server,
        aiohttp.ClientSession(server.url) as session,
    ):
        while not up:
            async with session.get("/api/v1/query", params={"query": "up"}) as response:
                up = (await response.json())["data"]["result"]
    assert [(sample["metric"]["job"], sample["value"][1]) for sample in up] == [("nobody", "0")]


async def test_missing_binaries_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no prometheus is found, a start says how to get one."""
    monkeypatch.setattr(prometheus, "_REPOSITORY", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerFailed, match="`make tools` puts Debian's"):
        await Prometheus({}).start()


async def test_a_server_that_ends_shows_its_log(real_prometheus: None, tmp_path: Path) -> None:
    """When it ends before it is ready, the error has the end of its log."""
    wrong = tmp_path / "rules.yaml"
    wrong.write_text("groups: nonsense")
    with pytest.raises(ServerFailed, match=r"(?s)prometheus ended with 1\n.*nonsense"):
        await Prometheus({}, rules=[wrong]).start()


async def test_lifetime_bounds_it(real_prometheus: None) -> None:
    """After its lifetime it is killed, whatever its owner does."""
    server = Prometheus({}, lifetime_s=0.01)
    with pytest.raises(ServerFailed, match="ended with -9"):
        await server.start()
