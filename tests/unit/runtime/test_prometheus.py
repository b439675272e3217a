"""The shell of real traffic against servers that only pretend to be a Prometheus, and misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web

from controller.domain import Key, SplitKind, TrafficOrder
from controller.evidence.clients.counters import Counters
from controller.evidence.clients.monitor import Answered
from controller.runtime import prometheus, prometheus_session
from controller.runtime.prometheus import Prometheus, Traffic, prometheus_of
from controller.runtime.settings import PrometheusSettings, load

A = Key("default", "service-a")
ORDER = TrafficOrder(A, "eks", {"legacy": SplitKind.TRAFFICSPLIT}, {}, {})
NEWEST = {"metric": {}, "value": [1_700_000_000.5, "1700000000"]}

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Meter:
    """Keeps what became of each question."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def asked_prometheus(self, cluster: str, outcome: str, seconds: float) -> None:
        """Keep one."""
        self.outcomes.append(outcome)


def vector(*samples: object) -> web.Response:
    """An answer in the right shape."""
    data = {"resultType": "vector", "result": list(samples)}
    return web.json_response({"status": "success", "data": data})


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    """Serve every question so; the URL."""
    app = web.Application()
    app.router.add_route("*", "/api/v1/query", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def client(url: str, meter: Meter | None = None, **settings: Any) -> Prometheus:
    """The product's client of it."""
    asked = PrometheusSettings(url=url, **settings)
    counters = Counters(
        "legacy",
        "eks",
        gateways="linkerd-multicluster",
        apart=frozenset(),
        matchers=asked.matchers,
    )
    return Prometheus(asked, counters, meter or Meter())


async def reconcile(found: Prometheus) -> Answered:
    """One tick."""
    return await asyncio.to_thread(found.query, {A: ORDER})


async def good(_: web.Request) -> web.Response:
    """Answer that there is a sample of now, and nothing else."""
    return vector(NEWEST)


async def test_a_good_answer_is_dated_by_its_own_clock() -> None:
    """The time of the answer and of its newest sample are Prometheus's, and every question is counted."""
    meter = Meter()
    async with server(good) as url:
        found = await reconcile(client(url, meter))
    assert (found.error, found.asked, found.newest) == ("", 1_699_999_999.0, 1_700_000_000.0)
    assert meter.outcomes == ["ok"] * 8


async def test_all_questions_of_a_tick_are_asked_as_of_one_time_that_is_gone() -> None:
    """Prometheus's own clock is asked first, and then everything as of a second before that."""
    asked: list[tuple[str, str | None]] = []

    async def note(request: web.Request) -> web.Response:
        form = await request.post()
        asked.append((str(form["query"]), form.get("time")))  # type: ignore[arg-type]
        return vector(NEWEST)

    async with server(note) as url:
        await reconcile(client(url))
    assert asked[0] == ("vector(time())", None)
    assert {at for _, at in asked[1:]} == {"1699999999.000"}


async def test_a_prometheus_that_does_not_know_the_time_is_told() -> None:
    """Where the question after the time has no answer, nothing else is asked, and the reason is a sentence."""

    async def empty(_: web.Request) -> web.Response:
        return vector()

    async with server(empty) as url:
        found = await reconcile(client(url))
    assert found.error == "it does not say what time it is: vector(time()) has no value"


async def unavailable(_: web.Request) -> web.Response:
    """Answer 503, as a proxy in front does."""
    return web.Response(status=503, text="no healthy upstream")


async def nonsense(_: web.Request) -> web.Response:
    """Answer a page where an answer is due."""
    return web.Response(text="<html>login</html>", content_type="text/html")


async def shapeless(_: web.Request) -> web.Response:
    """Answer JSON that no Prometheus would."""
    return web.json_response({"data": {"result": [{"metric": {}, "value": 7}]}})


async def moved(_: web.Request) -> web.Response:
    """Send the question elsewhere."""
    return web.Response(status=302, headers={"Location": "/login"})


@pytest.mark.parametrize(
    ("serve", "told", "outcome"),
    [
        (unavailable, "it answers HTTP 503: no healthy upstream", "refused"),
        (nonsense, "its answer cannot be read", "unreadable"),
        (shapeless, "its answer cannot be read", "unreadable"),
        (moved, "it redirects (HTTP 302), which is not followed: write in", "refused"),
    ],
)
async def test_what_cannot_be_read_is_an_error(serve: Serve, told: str, outcome: str) -> None:
    """A status, a page or a shape that is no answer is told in a sentence, asked once, and counted as that."""
    meter = Meter()
    async with server(serve) as url:
        found = await reconcile(client(url, meter))
    assert found.error.startswith(told)
    assert (found.newest, dict(found.increases.services)) == (None, {})
    assert meter.outcomes == [outcome]


async def test_nobody_there_is_an_error() -> None:
    """A Prometheus that refuses connections cannot be reached, and is not tried again within the tick."""
    meter = Meter()
    async with server(good) as url:
        pass
    found = await reconcile(client(url, meter))
    assert found.error == f"it cannot be reached at {url}"
    assert meter.outcomes == ["unreachable"]


async def test_a_hung_prometheus_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Prometheus that takes the question and says nothing is a timeout after the first question."""
    monkeypatch.setattr(prometheus, "TIMEOUT_S", (0.2, 0.2))
    meter = Meter()
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await over.wait()
        return vector()

    async with server(hang) as url:
        found = await reconcile(client(url, meter))
        over.set()
    assert found.error == "it did not answer within 0.2 s"
    assert meter.outcomes == ["timeout"]


async def test_a_dripping_prometheus_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that comes byte by byte, each in time, is given up when the round is over."""
    monkeypatch.setattr(prometheus_session, "ROUND_S", 0.3)

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    async with server(drip) as url:
        found = await reconcile(client(url))
    assert found.error == "its answer was not complete within 0.3 s"


async def test_an_endless_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is larger than any could be is not read to its end."""
    monkeypatch.setattr(prometheus_session, "MOST_BYTES", 1000)

    async def flood(_: web.Request) -> web.Response:
        return vector(*[NEWEST] * 1000)

    async with server(flood) as url:
        found = await reconcile(client(url))
    assert found.error == "its answer has more than 1000 bytes"


async def test_the_query_is_in_the_body_and_the_token_is_read_anew(tmp_path: Path) -> None:
    """Questions are POSTed in the body, however long, with the token that the file has at the time."""
    observed: list[tuple[str, str, str]] = []

    async def note(request: web.Request) -> web.Response:
        form = await request.post()
        observed.append(
            (request.query_string, str(form["query"])[:4], request.headers["Authorization"])
        )
        return vector(NEWEST)

    token = tmp_path / "token"
    async with server(note) as url:
        found = client(url, token_file=str(token))
        assert (await reconcile(found)).error.startswith("its token cannot be read")
        for text in ("one\n", "two\n"):
            token.write_text(text)
            assert (await reconcile(found)).error == ""
    assert observed[0] == ("", "vect", "Bearer one")
    assert observed[-1] == ("", "max(", "Bearer two")


# --- the ticks ------------------------------------------------------------------------------------------


async def told_by(source: Prometheus, count: int, tick_s: float = 0.01) -> list[Answered]:
    """Run it until so many rounds were told."""
    told: list[Answered] = []
    enough = asyncio.Event()

    def take(answered: Answered) -> None:
        told.append(answered)
        if len(told) >= count:
            enough.set()

    found = Traffic({"legacy": source}, tick_s=tick_s, answered=take, log=structlog.get_logger())
    found.order(A, ORDER)
    task = asyncio.create_task(found.run())
    try:
        async with asyncio.timeout(20):
            await enough.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return told


async def test_a_late_round_is_told_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one round hangs ticks tell that there is no answer, and nothing else is asked meanwhile."""
    monkeypatch.setattr(prometheus_session, "ROUND_S", 0.05)
    monkeypatch.setattr(prometheus, "TIMEOUT_S", (5.0, 5.0))
    asked = 0
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        await over.wait()
        return vector(NEWEST)

    async with server(hang) as url:
        told = await told_by(client(url), 3)
        over.set()
    assert [found.error for found in told] == ["it has not answered for 0.05 s"] * 3
    assert asked == 1


async def test_nothing_is_asked_without_a_migration() -> None:
    """Where no Service migrates no question is asked, and the first order is asked about."""
    asked: list[str] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(str((await request.post())["query"]))
        return vector(NEWEST)

    async with server(note) as url:
        told: list[Answered] = []
        on_report = asyncio.Event()

        def take(answered: Answered) -> None:
            told.append(answered)
            on_report.set()

        found = Traffic(
            {"legacy": client(url)}, tick_s=0.01, answered=take, log=structlog.get_logger()
        )
        task = asyncio.create_task(found.run())
        found.order(A, ORDER)
        found.order(A, None)
        for _ in range(20):
            await asyncio.sleep(0)
        assert (asked, told) == ([], [])
        found.order(A, ORDER)
        async with asyncio.timeout(20):
            await on_report.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(asked) >= 6
    assert "service-a" in asked[1]


def test_the_settings_name_who_is_asked_and_who_is_left_out(tmp_path: Path) -> None:
    """A cluster with a URL is asked; the gateway's namespace and those of our programs are left out."""
    file = tmp_path / "controller.yaml"
    file.write_text(
        json.dumps(
            {
                "clusters": {
                    "legacy": {
                        "kubeconfig": "/legacy",
                        "gateway_namespace": "mc",
                        "prober": "ws://prober.probing.svc.cluster.local:8080",
                        "prometheus": {"url": "http://127.0.0.1:1"},
                    },
                    "eks": {"prober": "ws://127.0.0.1:8080"},
                },
                "lease": {"cluster": "legacy", "namespace": "ours"},
                "prober": {"token_file": "/token"},
            }
        )
    )
    found = prometheus_of(load(file, {}), Meter())
    assert set(found) == {"legacy"}
    asked = found["legacy"]._counters.queries({A: ORDER})
    assert 'namespace!~"mc|ours|probing"' in asked["responses"]
