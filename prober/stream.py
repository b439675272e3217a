"""One WebSocket: the controller's messages in, a report out every 100 ms."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from prober import contract
from prober.contract import SAMPLE_S, Assign, FromProber, Hello, Readdress, Refused
from prober.engine import Engine
from prober.probe import Clock
from prober.target import NotServedError

SEND_S = 2.0
"""A controller that does not take a message within this is gone; it will dial again."""

TICK_AFTER_S = 0.001
"""How long after the end of a sample its report is made: the last answers are being read."""


TURN_S = 0.002
"""How long messages are obeyed without a pause. One at a time would be starved by a thousand probes."""


class Stream:
    """Serves one controller until either side ends it."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        engine: Engine,
        clock: Clock,
        on_refused: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._engine = engine
        self._clock = clock
        self._on_refused = on_refused
        self._log = structlog.get_logger()

    async def serve(self, hello: Hello) -> WSCloseCode | None:
        """Serve until either side ends it.

        Returns the code to close with, or None when the controller did not take what was sent.
        """
        jobs = [
            asyncio.create_task(self._engine.run(), name="engine"),
            asyncio.create_task(self._read(), name="read"),
            asyncio.create_task(self._report(hello), name="report"),
        ]
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            ends = await asyncio.gather(*jobs, return_exceptions=True)
            await self._engine.close()
        code: WSCloseCode | None = WSCloseCode.OK
        if self._engine.is_drained:
            code = WSCloseCode.GOING_AWAY
        for job, end in zip(jobs, ends, strict=True):
            if isinstance(end, TimeoutError | ConnectionError):
                return None
            if isinstance(end, Exception):
                self._log.error("stream_broke", part=job.get_name(), exc_info=end)
                code = WSCloseCode.INTERNAL_ERROR
        return code

    def drain(self) -> None:
        """Send no more probes; end when everything in flight was reported."""
        self._engine.drain()

    async def _report(self, hello: Hello) -> None:
        await self._send(hello)
        number = 0
        while not self._engine.is_drained:
            now = self._clock()
            await asyncio.sleep(SAMPLE_S - now % SAMPLE_S + TICK_AFTER_S)
            await self._send(self._engine.report(number))
            number += 1

    async def _read(self) -> None:
        turn_s = self._clock()
        async for frame in self._socket:
            if frame.type is WSMsgType.ERROR:  # too long, or not a WebSocket's: closed already
                return
            if frame.type is WSMsgType.TEXT:
                refused = self._obey(frame.data)
            else:
                refused = Refused("a message is one text frame that holds one JSON object")
            if refused is not None:
                self._on_refused()
                self._log.warning("refused", assignment=refused.id, message=refused.message)
                await self._send(refused)
            # Frames that are there already come without a pause; the probes need their turn.
            if self._clock() - turn_s > TURN_S:
                await asyncio.sleep(0)
                turn_s = self._clock()

    def _obey(self, text: str) -> Refused | None:
        try:
            message = contract.decode_to_prober(text)
        except msgspec.DecodeError as error:
            return Refused(f"the message is not of the contract: {error}", id=_id_in(text))
        try:
            if isinstance(message, Assign):
                self._engine.assign(message)
            elif isinstance(message, Readdress):
                self._engine.readdress(message)
            else:
                self._engine.withdraw(message)
        except NotServedError as error:
            return Refused(str(error), id=message.id, reason=error.reason)
        return None

    async def _send(self, message: FromProber) -> None:
        async with asyncio.timeout(SEND_S):
            await self._socket.send_frame(contract.encode(message), WSMsgType.TEXT)


class _Named(msgspec.Struct):
    id: int


_decode_named = msgspec.json.Decoder(_Named).decode


def _id_in(text: str) -> int | None:
    """Read the id of a message that is otherwise unreadable, so that its sender knows which."""
    try:
        return _decode_named(text).id
    except msgspec.DecodeError:
        return None
