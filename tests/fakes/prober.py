"""A prober at the socket: says what a script says, and probes nothing.

It stands in for ``python -m prober`` where a test runs the real controller on API servers behind which there
is no mesh, or on more Services than one machine can probe: nothing there would answer a probe. It speaks
``prober.contract`` over a real WebSocket and keeps its beat, so the controller cannot tell it from a prober.
What it does not have: schedules, bursts, a cap, doubts about itself.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from aiohttp import WSMsgType, web

from prober.contract import (
    MAX_MESSAGE_BYTES,
    PATH,
    SAMPLE_S,
    VERSION,
    Assign,
    Counts,
    FromProber,
    Hello,
    Readdress,
    Refused,
    Report,
    Route,
    Sample,
    ToProber,
    Withdraw,
    decode_to_prober,
    encode,
)

AGE_S = 0.15
"""How old a sample says it is: a real one is sent when its last probe has ended."""


@dataclass(frozen=True, slots=True)
class Says:
    """What the probes of a route find: this share of them is bad, and gets ``answer``; the rest ``200``."""

    bad_share: float = 0.0
    answer: str = "500"


GOOD = Says()


@dataclass(slots=True)
class _Path:
    """One assignment: due and bad probes are carried over, so that fractions add up."""

    assign: Assign
    number: int = 0
    due: float = 0.0
    bad: float = 0.0

    def sample(self, says: Says) -> Sample | None:
        """Return the next 100 ms, None where nothing was due in them."""
        self.due += self.assign.rate_per_s / self.assign.parts * SAMPLE_S
        sent = int(self.due)
        self.due -= sent
        number, self.number = self.number, self.number + 1
        if not sent:
            return None
        self.bad += sent * says.bad_share
        bad = int(self.bad)
        self.bad -= bad
        answers = {"200": sent - bad, says.answer: bad}
        return Sample(
            assignment=self.assign.id,
            number=number,
            age_s=AGE_S,
            base=Counts(sent, bad),
            answers={answer: count for answer, count in answers.items() if count},
            loops=bad if says.answer == "508" else 0,
        )


@dataclass(eq=False, slots=True)
class _Stream:
    paths: dict[int, _Path] = field(default_factory=dict)


class FakeProber:
    """The prober of one cluster. ``says`` is by route, or by (Service, route), which wins; else all is well."""

    def __init__(self, cluster: str, token: str, cap_per_s: float = 100_000.0) -> None:
        self.cluster = cluster
        self.url = ""
        self.says: dict[Route | tuple[str, Route], Says] = {}
        self._token = token
        self._cap_per_s = cap_per_s
        self._streams: set[_Stream] = set()
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, on a free port for 0; return the URL for the controller's settings."""
        app = web.Application()
        app.router.add_get(PATH, self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = self._runner.addresses[0]
        self.url = f"ws://{bound[0]}:{bound[1]}"
        return self.url

    async def stop(self) -> None:
        """End every stream and stop listening; a second stop does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def assigned(self) -> list[Assign]:
        """Return what the controller has asked for, on all streams together."""
        return [path.assign for stream in self._streams for path in stream.paths.values()]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.Response(status=401)
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES, compress=False, timeout=0.2)
        await socket.prepare(request)
        stream = _Stream()
        self._streams.add(stream)
        telling = asyncio.create_task(self._tell(socket, stream))
        try:
            async for frame in socket:
                if frame.type is not WSMsgType.TEXT:
                    break
                refused = _obey(stream, frame.data)
                if refused is not None:
                    await _send(socket, refused)
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await telling
            self._streams.discard(stream)
        return socket

    async def _tell(self, socket: web.WebSocketResponse, stream: _Stream) -> None:
        await _send(socket, Hello(VERSION, self.cluster, f"fake-{self.cluster}", self._cap_per_s))
        loop = asyncio.get_running_loop()
        due = loop.time()
        number = 0
        while True:
            due += SAMPLE_S
            await asyncio.sleep(due - loop.time())
            told = []
            for path in stream.paths.values():
                piece = path.sample(self._of(path.assign))
                if piece is not None:
                    told.append(piece)
                    self._told(path.assign, piece)
            await _send(socket, Report(number, tuple(told), Counts(1, 0)))
            number += 1

    def _of(self, assign: Assign) -> Says:
        of_route = self.says.get(assign.route, GOOD)
        return self.says.get((assign.service, assign.route), of_route)

    def _told(self, assign: Assign, part: Sample) -> None:
        """Take note of a sample that is about to be sent: for whoever counts."""


def _obey(stream: _Stream, text: str) -> Refused | None:
    try:
        message: ToProber = decode_to_prober(text)
    except msgspec.DecodeError as error:
        return Refused(f"the message is not of the contract: {error}")
    if isinstance(message, Assign):
        if message.id in stream.paths:
            return Refused(f"assignment {message.id} is still there", id=message.id)
        stream.paths[message.id] = _Path(message)
        return None
    path = stream.paths.get(message.id)
    if path is None:
        return Refused(f"there is no assignment {message.id}", id=message.id)
    if isinstance(message, Readdress):
        path.assign = msgspec.structs.replace(path.assign, addresses=message.addresses)
    elif isinstance(message, Withdraw):
        del stream.paths[message.id]
    return None


async def _send(socket: web.WebSocketResponse, message: FromProber) -> None:
    await socket.send_str(encode(message).decode())
