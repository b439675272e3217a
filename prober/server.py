"""The HTTP side: the stream, the control probe, ``/metrics``, ``/healthz`` and ``/readyz``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from prober.capacity import Capacity
from prober.contract import CONTROL_PATH, MAX_MESSAGE_BYTES, PATH, VERSION, Hello
from prober.engine import Engine
from prober.probe import Client
from prober.protocols.http1 import Connections
from prober.schedule import BASE_SHARE
from prober.self_check import LoopLag
from prober.settings import Settings
from prober.stream import Stream
from prober.target import control_ask
from prober.telemetry import Metrics
from prober.tokens import TokenFile

MAX_STREAMS = 32
"""Eight a controller at most; room for every replica of a controller that is being rolled."""

PING_S = 5.0
"""A peer that is gone without a word is dropped after one and a half of these."""

TOKENS_S = 1.0
"""How often the token file is looked at while streams stand."""

BEAT_S = 0.02
"""How often the event loop is seen to come round."""

READY_S = 3.0
"""How long after a lag the prober is not ready for another stream."""

DRAIN_S = 2.0
"""Longest time from SIGTERM to the last report: a probe's timeout, a sample, and room."""

CLOSE_S = 0.5
"""Longest wait for the other side's closing frame."""


@dataclass(frozen=True, slots=True)
class _Peer:
    """Who holds a stream: since when, on the engines' clock, and by what it was let in."""

    opened_s: float
    authorization: str


class Server:
    """One prober: its streams share a cap and an event loop, and nothing else."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._tokens = TokenFile(Path(settings.token_file))
        self._capacity = Capacity(settings.cap_per_s)
        # Unix time at the start, monotonic since: see prober.engine.
        self._epoch = time.time() - time.monotonic()
        self._connections = Connections(settings.proxy_url)
        self._lag = LoopLag(BEAT_S, self._clock(), self._capacity.strain)
        self._streams: dict[Stream, _Peer] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._log = structlog.get_logger()

    def app(self) -> web.Application:
        """Return the application; its event loop is watched while it runs."""
        app = web.Application()
        app.router.add_get(PATH, self._stream)
        app.router.add_get(CONTROL_PATH, self._well)
        app.router.add_get("/healthz", self._well)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_page)
        app.cleanup_ctx.append(self._watch_loop)
        return app

    async def drain(self) -> None:
        """Take no stream any more and end those there are, each with a last report."""
        self._draining = True
        for stream in self._streams:
            stream.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._idle.wait()

    def _clock(self) -> float:
        return self._epoch + time.monotonic()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if not self._tokens.accepts(request.headers.get("Authorization", "")):
            return web.Response(
                status=401,
                headers={"WWW-Authenticate": "Bearer"},
                text="The bearer token is not in this prober's token file.\n",
            )
        if self._draining:
            return web.Response(status=503, text="This prober is ending: dial again.\n")
        if len(self._streams) >= MAX_STREAMS:
            return web.Response(status=503, text=f"{MAX_STREAMS} streams are open already.\n")
        socket = web.WebSocketResponse(
            heartbeat=PING_S,
            max_msg_size=MAX_MESSAGE_BYTES,
            compress=False,
            timeout=CLOSE_S,
        )
        await socket.prepare(request)
        structlog.contextvars.bind_contextvars(peer=request.remote)
        settings, aims = self._settings, self._settings.aims
        engine = Engine(
            client=Client(self._connections, self._clock, aims),
            control=control_ask(
                settings.reference_service, settings.reference_port, settings.domain
            ),
            domain=settings.domain,
            capacity=self._capacity,
            lag=self._lag,
            metrics=self._metrics,
            aims=aims,
        )
        await self._serve(request, socket, engine)
        return socket

    async def _serve(
        self, request: web.Request, socket: web.WebSocketResponse, engine: Engine
    ) -> None:
        stream = Stream(socket, engine, self._clock, self._metrics.refused.inc)
        authorization = request.headers.get("Authorization", "")
        self._streams[stream] = _Peer(self._clock(), authorization)
        self._idle.clear()
        self._metrics.streams.set(len(self._streams))
        self._log.info("stream_opened", streams=len(self._streams))
        for_base_per_s = BASE_SHARE * self._settings.cap_per_s
        hello = Hello(VERSION, self._settings.cluster, self._settings.name, for_base_per_s)
        code = None
        try:
            code = await stream.serve(hello)
            if code is not None:
                await socket.close(code=code)
        finally:
            # A peer that does not read would keep the connection, and what waits in it, for ever.
            if code is None and request.transport is not None:
                request.transport.abort()
            del self._streams[stream]
            if not self._streams:
                self._idle.set()
            self._metrics.streams.set(len(self._streams))
            self._log.info("stream_closed", code=socket.close_code, streams=len(self._streams))

    async def _well(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text="well\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        del request
        now = self._clock()
        if self._draining:
            reason = "This prober is ending.\n"
        elif not self._tokens.is_usable():
            reason = "The token file is missing or empty.\n"
        elif self._lag.self_check.between(now - READY_S, now):
            reason = "The event loop lags.\n"
        else:
            return web.Response(text="ready\n")
        return web.Response(status=503, text=reason)

    async def _metrics_page(self, request: web.Request) -> web.Response:
        wanted, granted = self._capacity.totals()
        self._metrics.wanted.set(wanted)
        self._metrics.granted.set(granted)
        self._tell_age()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        # In a thread: thousands of lines take longer to write than a sample is long.
        body = await asyncio.to_thread(encode, self._metrics.shown)
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _tell_age(self) -> None:
        """Without a stream there is no age, and no series."""
        self._metrics.stream_age.clear()
        now = self._clock()
        ages = [now - peer.opened_s for peer in self._streams.values()]
        if ages:
            self._metrics.stream_age.labels("youngest").set(min(ages))
            self._metrics.stream_age.labels("oldest").set(max(ages))

    async def _watch_loop(self, app: web.Application) -> AsyncIterator[None]:
        del app
        watches = [asyncio.create_task(self._beat()), asyncio.create_task(self._watch_tokens())]
        with self._connections:
            yield
        for watch in watches:
            watch.cancel()
        await asyncio.wait(watches)

    async def _watch_tokens(self) -> None:
        """End the streams whose token was rotated out: what was in flight is reported, and their peer dials anew."""
        while True:
            await asyncio.sleep(TOKENS_S)
            for stream, peer in self._streams.items():
                if self._tokens.revokes(peer.authorization):
                    self._log.warning("token_revoked", age_s=round(self._clock() - peer.opened_s))
                    stream.drain()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self._metrics.lag.observe(self._lag.beat(self._clock()))
