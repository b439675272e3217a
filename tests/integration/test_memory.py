"""Memory stays flat: what breaks and comes back again and again leaves nothing behind.

What is counted are objects and traced bytes of the controller's own code, not the process's size: that
depends on the allocator and the day.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

import controller
from controller.domain import Key
from controller.kube.api import Backoff, Chance, Cluster, Events, Pace, ServiceRef
from controller.runtime import probers
from controller.runtime.cluster_store import WATCHED
from controller.runtime.queue import Queue
from controller.runtime.store import Store
from controller.runtime.writer import Place, Writer
from prober.contract import Report
from tests.scenarios.world import DOMAIN, GATEWAYS
from tests.unit.kube.scripted_api import (
    LOG,
    Server,
    Silent,
    answer,
    event,
    kubeconfig,
    page,
    service,
    serving,
    status,
    until,
)
from tests.unit.runtime.test_probers import HELLO, A, Far, Near, far, order, say

OURS = str(Path(controller.__file__).parent / "*")
SLACK_BYTES = 32 << 10
"""Caches of formats, regular expressions and the like; a leak in each round is far above."""


async def grown_bytes(rounds: Callable[[int], Awaitable[None]], few: int, many: int) -> int:
    """Return by how much the memory that our code holds grows from ``few`` rounds to ``many`` more."""

    def held() -> int:
        gc.collect()
        snapshot = tracemalloc.take_snapshot()
        ours = snapshot.filter_traces([tracemalloc.Filter(True, OURS)])
        return sum(found.size for found in ours.statistics("filename"))

    tracemalloc.start()
    try:
        await rounds(few)
        before = held()
        await rounds(many)
        return held() - before
    finally:
        tracemalloc.stop()


class Forgetful(Silent):
    """A meter that keeps nothing."""

    def api_call(self, *_: object) -> None:
        """Forget it."""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """An API server that forgets what it was asked."""
    async with serving() as made:
        yield made


def breaking(server: Server) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Lists, and watches that say something and end in every path there is, one after the other."""
    turns, names = itertools.count(), itertools.count()

    async def handle(request: web.Request) -> web.StreamResponse:
        server.asked.clear()
        server.bodies.clear()
        if "watch" not in request.query:
            return await page(service("a"), version=10)(request)
        turn = next(turns) % 5
        if turn == 0:
            return await status(410, "Expired")(request)
        if turn == 1:
            return await status(503, "ServiceUnavailable")(request)
        response = web.StreamResponse()
        await response.prepare(request)
        name = f"s{next(names)}"
        await response.write(event("ADDED", service(name, 11)))
        await response.write(event("DELETED", service(name, 12)))
        if turn == 2:
            await response.write(b"no event\n")
        if turn == 3 and request.transport is not None:
            request.transport.close()
        return response

    return handle


async def test_watches_that_break_again_and_again(server: Server, tmp_path: Path) -> None:
    """Five watches that end, break, expire and talk garbage, for thousands of changes, hold what they held,
    and so does what is known of the clusters."""
    server.always = breaking(server)
    store = Store(dict.fromkeys(("legacy", "eks"), GATEWAYS), DOMAIN)
    on_report = 0

    def apply(change: object) -> None:
        nonlocal on_report
        on_report += 1
        store.apply(change)  # type: ignore[arg-type]  # the reflectors' own

    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    cluster = Cluster(
        "eks",
        kubeconfig(tmp_path, server.url),
        meter=Forgetful(),
        log=LOG,
        pace=Pace(settled_s=0.0, stale_after_s=0.0),
        chance=Chance(sleep=at_once),
    )

    async def rounds(count: int) -> None:
        end = on_report + count
        await until(lambda: on_report >= end, within_s=60)

    async with cluster, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(cluster.run(apply, WATCHED))
        assert await grown_bytes(rounds, 500, 2000) < SLACK_BYTES
        running.cancel()


async def test_streams_that_break_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prober that hangs up after each report, hundreds of times, leaves nothing of its streams behind."""
    monkeypatch.setattr(probers, "Backoff", lambda *bounds: Backoff(*bounds, draw=lambda: 0.0))

    async def hang_up(socket: web.WebSocketResponse, there: Far) -> None:
        await say(socket, HELLO, Report(0))
        there.said.clear()

    async with far(hang_up) as there:
        near = Near(there.url, tmp_path)
        near.probers.order(A, (order(addresses=("10.0.0.1:80",)),))

        async def rounds(count: int) -> None:
            end = there.dials + count
            await until(lambda: there.dials >= end, within_s=60)
            near.on_report.clear()
            near.standing.clear()
            near.log.calls.clear()

        async with near.running():
            assert await grown_bytes(rounds, 100, 500) < SLACK_BYTES


async def test_events_are_remembered_up_to_a_bound(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many different Events leave no more behind than those that can still be counted."""
    monkeypatch.setattr("controller.kube.api.events.REMEMBERED", 100)

    async def made(request: web.Request) -> web.StreamResponse:
        server.asked.clear()
        server.bodies.clear()
        return await answer({"metadata": {"name": "e", "namespace": "n"}})(request)

    server.always = made
    async with Cluster(
        "eks", kubeconfig(tmp_path, server.url), meter=Forgetful(), log=LOG
    ) as cluster:
        events = Events(cluster)
        numbers = itertools.count()

        async def rounds(count: int) -> None:
            for _ in range(count):
                await events.tell("n", ServiceRef("a", "uid"), "Reason", f"message {next(numbers)}")

        assert await grown_bytes(rounds, 150, 600) < SLACK_BYTES


async def test_services_that_come_and_go_leave_no_queue(tmp_path: Path) -> None:
    """Migrations that began and ended leave nothing in the queue and in the hands."""
    now_s = 0.0
    queue = Queue(lambda: now_s)
    hands = Writer(lambda key, _urgent: queue.add(key), LOG)
    numbers = itertools.count()

    async def nothing() -> None:
        await asyncio.sleep(0)

    async def rounds(count: int) -> None:
        nonlocal now_s
        for _ in range(count):
            key = Key("default", f"service-{next(numbers)}")
            queue.add_in(key, 1.0)
            hands.submit(Place(key, "eks", "split"), nothing)
            await hands.drain(1.0)
            queue.forget(key)
            hands.forget(key)
            now_s += 2.0
            await queue.get()

    assert await grown_bytes(rounds, 300, 2000) < SLACK_BYTES
