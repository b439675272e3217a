"""``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from controller.report.metrics import Metrics
from prober.listening import Site, runner_of

BEAT_S = 0.1
"""How often the event loop beats: the length of a sample, so that lag which matters shows."""

BEAT_LIMIT_S = 5.0
"""A heart silent for longer is dead; a hundred garbage collections do not take so long."""


class Health:
    """Whether the process lives and whether it knows enough to be useful.

    ``unready`` names what is not ready and why, empty when everything is: each watch that has not
    listed yet or is stale, settings that could not be re-read. It is asked at each ``/readyz``, so
    nothing here can be out of date. ``clock`` gives monotonic seconds.
    """

    def __init__(
        self,
        unready: Callable[[], Mapping[str, str]],
        clock: Callable[[], float] = time.monotonic,
        limit_s: float = BEAT_LIMIT_S,
    ) -> None:
        self._unready = unready
        self._clock = clock
        self._limit_s = limit_s
        self._beaten = clock()

    def beat(self) -> None:
        """Note that the event loop came round."""
        self._beaten = self._clock()

    def silent_s(self) -> float:
        """Return the seconds since the last beat."""
        return self._clock() - self._beaten

    def alive(self) -> bool:
        """Report whether the last beat is young."""
        return self.silent_s() <= self._limit_s

    def unready(self) -> dict[str, str]:
        """Return what is not ready, by name, and why; sorted, empty when everything is."""
        return dict(sorted(self._unready().items()))


END_S = 0.5
"""How long requests that are being answered are waited for at the end."""


async def beat_with_loop(health: Health, metrics: Metrics, period_s: float = BEAT_S) -> None:
    """Beat as long as the event loop goes round, and measure how late it does. Ends when cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + period_s
        await asyncio.sleep(period_s)
        metrics.process.loop_lag(max(0.0, loop.time() - due))
        health.beat()


async def serve(listen: tuple[str, int], metrics: Metrics, health: Health) -> web.AppRunner:
    """Serve at (host, port) until the runner's ``cleanup()`` is awaited.

    ``/healthz`` answers 200, or 503 when the loop's beat is late; ``/readyz`` 200, or 503 with what
    is not ready; ``/metrics`` OpenMetrics with exemplars where the scraper accepts it.
    """

    async def healthz(_: web.Request) -> web.Response:
        alive = health.alive()
        body = {"alive": alive, "silentSeconds": round(health.silent_s(), 3)}
        return web.json_response(body, status=200 if alive else 503)

    async def readyz(_: web.Request) -> web.Response:
        unready = health.unready()
        body = {"ready": not unready, "unready": unready}
        return web.json_response(body, status=503 if unready else 200)

    async def show_metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        # In a thread: thousands of lines take longer to write than a sample is long.
        body = await asyncio.to_thread(encode, metrics.shown)
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", show_metrics)
    runner = runner_of(app, END_S)
    await runner.setup()
    try:
        await Site(runner, *listen).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner
