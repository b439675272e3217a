"""A Fleet for the story, told in the product's metrics from what is observed of its Services.

Its words are made here, at each scrape: the Services of the story are moved by their own annotations.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from deploy.local.observed import Observed

FLEET = "to-eks"
STATES = {
    "Completed": "completed",
    "Reverted": "reverted",
    "Progressing": "underWay",
    "Soaking": "underWay",
    "Reverting": "underWay",
    "Holding": "blocked",
    "Pending": "waiting",
}


class Programme:
    """The Fleet: its waves by name, the first of which is open. One revert stops its line."""

    def __init__(self, observed: Observed, waves: Mapping[str, Sequence[str]]) -> None:
        self._observed = observed
        self._waves = waves
        self._shares: list[str] = []
        self._progress_s = time.time()
        self.closed = False
        """Whether a window keeps everybody from rising."""

    def text(self) -> str:
        """Return how it stands now, as Prometheus scrapes it."""
        return "".join(
            f'migrate_controller_fleet_{name}{{fleet="{FLEET}"{labels}}} {value}\n'
            for name, labels, value in self._series()
        )

    def _series(self) -> Iterator[tuple[str, str, float]]:
        """Yield each series: its name, its labels after the Fleet's, and its value."""
        opened, *_ = self._waves
        reverts = 0
        for wave, names in self._waves.items():
            states = [STATES.get(self._told(name, "phase"), "waiting") for name in names]
            reverts += states.count("reverted")
            for state in dict.fromkeys(STATES.values()):
                yield "services", f',wave="{wave}",state="{state}"', states.count(state)
            for state in ("Open", "Waiting"):
                stands = (state == "Open") == (wave == opened)
                yield "wave_state", f',wave="{wave}",state="{state}"', float(stands)
            for name in names:
                yield "member", f',wave="{wave}",namespace="default",service="{name}"', 1.0
        yield "window_closed", "", float(self.closed)
        yield "line_stopped", "", float(reverts > 0)
        yield "reverts", "", reverts
        shares = [self._told(name, "share") for name in self._waves[opened]]
        if shares != self._shares:
            self._shares, self._progress_s = shares, time.time()
        yield "wave_last_progress_timestamp_seconds", f',wave="{opened}"', self._progress_s

    def _told(self, service: str, key: str) -> str:
        return str(self._observed.status(service).get(key, ""))


@asynccontextmanager
async def told(programme: Programme) -> AsyncIterator[str]:
    """Serve its metrics inside the ``with`` block; give the address (host:port) to scrape."""

    async def tell(_: web.Request) -> web.Response:
        return web.Response(text=programme.text())

    app = web.Application()
    app.router.add_get("/metrics", tell)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()
