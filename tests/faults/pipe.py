"""The fault proxy of the probers' streams: bytes pass, or they do not."""

from __future__ import annotations

import asyncio
import contextlib

from tests.faults.proxy import Cut


class Pipe:
    """Between one controller and the prober at ``upstream``; knows nothing of what passes."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.url = ""
        self.cut: Cut | None = None
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> str:
        """Listen on a free port of loopback; give the URL."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self.url

    async def stop(self) -> None:
        """Stop listening, and break what is open."""
        if self._server is not None:
            self._server.close()
        self._break()

    def break_off(self, cut: Cut) -> None:
        """Cut from now on."""
        self.cut = cut
        if cut.refuses:
            self._break()

    def mend(self) -> None:
        """Let everything pass again."""
        if self.cut is not None:
            self.cut.mended.set()
        self.cut = None

    def _break(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut is not None and self.cut.refuses:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        self._open |= {writer, up_writer}
        ways = [
            asyncio.create_task(self._pass(reader, up_writer, back=False)),
            asyncio.create_task(self._pass(up_reader, writer, back=True)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, up_writer):
            self._open.discard(end)
            end.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                cut = self.cut
                if cut is not None and (cut.back if back else cut.to):
                    await cut.mended.wait()
                writer.write(data)
                await writer.drain()
