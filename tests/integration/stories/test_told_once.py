"""Two controllers, and what they tell Prometheus, and a webhook, of the same migration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml
from aiohttp import web
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.pair import Plan
from deploy.servers.processes import Program
from tests.integration.stories.scene import Scene, playing

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

A = "service-a"
INFO = "migrate_controller_migration_info"


class Replica:
    """A second controller of the same settings, which listens elsewhere."""

    def __init__(self, scene: Scene) -> None:
        settings = yaml.safe_load((scene.pair.folder / "controller.yaml").read_text())
        host = "127." + scene.pair.mesh.addresses.take()[3:]
        config = scene.pair.folder / "replica.yaml"
        config.write_text(yaml.safe_dump(settings | {"listen": f"{host}:9990"}))
        self.url = f"http://{host}:9990"
        self.program = Program("controller", config, scene.pair.folder / "replica.log")


@asynccontextmanager
async def webhooks(folder: Path) -> AsyncIterator[tuple[Path, list[dict[str, Any]]]]:
    """A webhook that hears, and one that hangs: the file that names both, and what the first has heard."""
    heard: list[dict[str, Any]] = []

    async def hear(request: web.Request) -> web.Response:
        if request.path == "/hangs":
            await asyncio.Event().wait()
        heard.append(await request.json())
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/{path}", hear)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    receivers = [{"name": name, "url": f"{url}/{name}"} for name in ("hangs", "hears")]
    path = folder / "receivers.yaml"
    path.write_text(yaml.safe_dump({"receivers": receivers}))
    try:
        yield path, heard
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Scene, list[dict[str, Any]]]]:
    """A pair with one Service in the middle of its migration, and what a webhook heard of it."""
    async with (
        webhooks(tmp_path_factory.mktemp("notifications")) as (path, heard),
        playing(Plan(notifications=str(path))) as scene,
    ):
        await scene.service(A)
        await scene.rise(A, "25")
        yield scene, heard


@pytest.fixture(scope="module")
def scene(played: tuple[Scene, list[dict[str, Any]]]) -> Scene:
    """The pair."""
    return played[0]


@pytest.fixture(scope="module")
def events(played: tuple[Scene, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What the webhook has heard so far."""
    return played[1]


async def told(url: str) -> dict[str, Metric]:
    """Everything that a controller tells, by metric; nothing while it does not listen."""
    async with aiohttp.ClientSession() as session:
        with suppress(aiohttp.ClientError):
            async with session.get(f"{url}/metrics") as answer:
                text = await answer.text()
                return {family.name: family for family in text_string_to_metric_families(text)}
    return {}


def of_service(found: dict[str, Metric]) -> set[str]:
    """The metrics that have a series of the Service."""
    return {
        name
        for name, family in found.items()
        if any(sample.labels.get("migration_service") == A for sample in family.samples)
    }


def leads(found: dict[str, Metric]) -> bool:
    """Whether it says that it holds the lease."""
    family = found.get("migrate_controller_leader")
    return family is not None and family.samples[0].value == 1


def looks(found: dict[str, Metric]) -> float:
    """How often it has looked at a migration."""
    family = found.get("migrate_controller_reconcile_seconds")
    samples = family.samples if family else []
    return sum(sample.value for sample in samples if sample.name.endswith("_count"))


async def until(
    scene: Scene, url: str, holds: Callable[[dict[str, Metric]], object]
) -> dict[str, Metric]:
    """Wait until what a controller tells is so; give it."""
    patience = scene.patience(30.0)
    while not holds(found := await told(url)):
        await patience.wait()
    return found


async def test_a_webhook_hears_of_a_step(scene: Scene, events: list[dict[str, Any]]) -> None:
    """Beside one that hangs, a webhook has heard that the attempt began, and of its step, each once."""
    patience = scene.patience(30.0)
    while not (events and events[-1]["data"]["share"].startswith("25/25")):
        await patience.wait()
    kinds = [event["type"].removeprefix("tradeshift.migrate.") for event in events]
    assert (kinds[0], kinds[-1]) == ("Started", "StepRaised")
    assert len({event["id"] for event in events}) == len(events)
    assert kinds.count("Started") == kinds.count("StepRaised") == 1


async def test_only_who_may_act_tells_of_a_migration(scene: Scene) -> None:
    """A replica without the lease has no series of any Service, and has them once it leads."""
    replica = Replica(scene)
    replica.program.start()
    try:
        other = await until(scene, replica.url, looks)
        assert not leads(other)
        assert of_service(other) == set()
        assert INFO in of_service(await told(scene.pair.controller_url))
        await scene.pair.controller.kill()
        other = await until(scene, replica.url, lambda found: INFO in of_service(found))
        assert leads(other)
    finally:
        await replica.program.stop()
