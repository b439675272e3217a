"""The streams to the probers: one WebSocket each, several per cluster, dialled by the controller.

The stream is the assignment (docs/decisions.md, 7): a stream that is dialled again is sent everything again, and
what it was sent before has ended with its connection. The streams that stand share the paths of their cluster:
each has a part of every path's probes, so one more or less costs no evidence. What arrives goes to ``on_report``
in the order in which it came; nothing is decided here.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Protocol

import aiohttp
import msgspec
from structlog.typing import FilteringBoundLogger

from controller.domain import CallPath, Key, ProbeOrder
from controller.domain.annotation_schema import shortened
from controller.evidence.probes import ProberReport
from controller.kube.api import Backoff
from controller.runtime.assignments import Assignments, Place
from controller.runtime.heard import LONGEST_SENTENCE, heard, is_cap
from prober import contract

DIAL_DEADLINE_S = 5.0
SILENT_CLOSE_S = 3.0
"""A stream that says nothing for this long, 30 heartbeats, is dead: it is closed and dialled again."""

SEND_DEADLINE_S = 5.0
GATHER_S = 0.02
"""What changes so soon one after the other is told together."""

PAUSE_S, LONGEST_PAUSE_S = 0.4, 5.0


class StreamMeter(Protocol):
    """Where the numbers go."""

    def prober_streams(self, cluster: str, connected: int) -> None:
        """Take how many streams to this cluster's prober stand."""


@dataclass(slots=True, eq=False)
class _Stream:
    """One stream: number ``part`` of those to ``cluster``. ``hello`` is there while it stands; its prober may
    have said that it is ending. ``changed`` is what was asked otherwise since it was told (None: all may have been)."""

    cluster: str
    part: int
    hello: contract.Hello | None = None
    is_ending: bool = False
    changed: set[Place] | None = None
    roused: asyncio.Event = field(default_factory=asyncio.Event)

    def rouse(self, *changed: Place) -> None:
        """Have it told what has changed; without a name: everything."""
        if not changed:
            self.changed = None
        elif self.changed is not None:
            self.changed.update(changed)
        self.roused.set()

    def take(self) -> set[Place] | None:
        """Return what has changed, and begin anew."""
        changed, self.changed = self.changed, set()
        return changed


class Probers:
    """All streams to all probers. ``urls`` is by cluster, ``ws://host:port``."""

    def __init__(
        self,
        urls: Mapping[str, str],
        *,
        token_file: Path,
        streams: int,
        proxy_url: str | None,
        on_report: Callable[[ProberReport], None],
        meter: StreamMeter,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._urls = urls
        self._token_file = token_file
        self._proxy = proxy_url
        self._on_report = on_report
        self._meter = meter
        self._log = log
        self._clock = clock
        self._orders: dict[str, dict[Place, ProbeOrder]] = {name: {} for name in urls}
        self._asked: dict[Key, dict[CallPath, ProbeOrder]] = {}
        self._streams = {name: [_Stream(name, part) for part in range(streams)] for name in urls}
        self._numbers = itertools.count(1)

    def order(self, key: Key, orders: tuple[ProbeOrder, ...]) -> None:
        """Have exactly these paths of one migration probed from now on (none: stop)."""
        self._order(key, {order.path: order for order in orders})

    def spare(self, key: Key, paths: Collection[CallPath]) -> None:
        """Have these paths of a migration not probed until they are ordered anew: the probers have others to ask."""
        known = self._asked.get(key, {})
        if not known.keys().isdisjoint(paths):
            self._order(key, {path: order for path, order in known.items() if path not in paths})

    def _order(self, key: Key, wanted: dict[CallPath, ProbeOrder]) -> None:
        known = self._asked.pop(key, {})
        if wanted:
            self._asked[key] = wanted
        changed = [path for path in {**known, **wanted} if known.get(path) != wanted.get(path)]
        for path in changed:
            here = self._orders[path.callers]
            if path in wanted:
                here[key, path] = wanted[path]
            else:
                del here[key, path]
        for path in changed:
            for stream in self._streams[path.callers]:
                stream.rouse((key, path))

    def caps(self) -> dict[str, float]:
        """Return, by cluster, how many probes a second its probers can send together, where they said so."""
        found: dict[str, float] = {}
        for cluster, streams in self._streams.items():
            hellos = {s.hello.prober: s.hello.cap_per_s for s in streams if s.hello}
            if hellos:
                found[cluster] = sum(hellos.values())
        return found

    async def run(self) -> None:
        """Keep every stream up until cancelled."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=DIAL_DEADLINE_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for cluster, streams in self._streams.items():
                self._count(cluster)
                for stream in streams:
                    tasks.create_task(self._keep(session, stream))

    async def _keep(self, session: aiohttp.ClientSession, stream: _Stream) -> None:
        """Dial, serve until it breaks, and dial again: with full jitter, 5 s at the longest."""
        backoff = Backoff(PAUSE_S, LONGEST_PAUSE_S)
        while True:
            began = self._clock()
            reason = await self._once(session, stream)
            if self._clock() - began > LONGEST_PAUSE_S:
                backoff.reset()
            pause = backoff.after_failure_s()
            self._log.warning(
                "prober stream ended",
                cluster=stream.cluster,
                stream=stream.part,
                error=reason,
                again_in_s=round(pause, 2),
            )
            await asyncio.sleep(pause)

    async def _once(self, session: aiohttp.ClientSession, stream: _Stream) -> str:
        """Serve one connection until it ends; return why it did."""
        try:
            async with asyncio.timeout(DIAL_DEADLINE_S):
                token = self._token()
                socket = await session.ws_connect(
                    self._urls[stream.cluster].rstrip("/") + contract.PATH,
                    headers={"Authorization": f"Bearer {token}"},
                    proxy=self._proxy,
                    max_msg_size=contract.MAX_MESSAGE_BYTES,
                    autoping=True,
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        try:
            return await self._serve(stream, socket)
        finally:
            stream.hello, stream.is_ending = None, False
            self._count(stream.cluster)
            self._share_anew(stream.cluster)
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await socket.close()

    def _token(self) -> str:
        """Return the first token of the file, read anew for each dial so that it can be rotated."""
        lines = self._token_file.read_text().split()
        if not lines:
            raise ValueError(f"{self._token_file} holds no token: write one line into it")
        return lines[0]

    async def _serve(self, stream: _Stream, socket: aiohttp.ClientWebSocketResponse) -> str:
        """Send what changes and take what comes, until the connection breaks; return why it did."""
        assigned = Assignments(stream.cluster, stream.part)
        stream.rouse()
        sender = asyncio.create_task(self._send(stream, assigned, socket))
        try:
            while True:
                try:
                    async with asyncio.timeout(SILENT_CLOSE_S):
                        message = await socket.receive()
                except TimeoutError:
                    return f"nothing was heard for {SILENT_CLOSE_S:g} s"
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return f"the prober closed it ({message.type.name}, {message.data})"
                ended = self._take(stream, assigned, message.data)
                if ended:
                    return ended
                if sender.done():
                    return "an assignment could not be sent"
        finally:
            sender.cancel()
            await asyncio.wait([sender])  # unlike awaiting it, this tells its end from our own

    def _take(self, stream: _Stream, assigned: Assignments, text: str) -> str:
        """Take one message; return a reason to end the stream, or ""."""
        now_s = self._clock()
        try:
            message = heard(contract.decode_from_prober(text))
        except (msgspec.MsgspecError, ValueError) as error:
            return (
                f"a message that is not of the contract: {shortened(str(error), LONGEST_SENTENCE)}"
            )
        if isinstance(message, contract.Hello):
            return self._greet(stream, message)
        if isinstance(message, contract.Refused):
            order = assigned.refuse(message)
            self._log.error(
                "prober refused",
                cluster=stream.cluster,
                migration=str(order.key) if order else "",
                message=message.message,
            )
            stream.rouse()
            return ""
        if message.discarded == contract.DRAINING and not stream.is_ending:
            stream.is_ending = True
            self._share_anew(stream.cluster)
        return self._pass_on(assigned.read(message, now_s))

    def _greet(self, stream: _Stream, hello: contract.Hello) -> str:
        if hello.version != contract.VERSION or hello.cluster != stream.cluster:
            return (
                f"a prober of {shortened(hello.cluster)}, contract {hello.version}, where {stream.cluster},"
                f" contract {contract.VERSION}, is due"
            )
        if not is_cap(hello):
            return f"a prober of {hello.cluster} that can send {hello.cap_per_s:g} probes a second"
        stream.hello = hello
        self._count(stream.cluster)
        self._share_anew(stream.cluster)
        self._log.info(
            "prober stream stands", cluster=stream.cluster, stream=stream.part, prober=hello.prober
        )
        return ""

    def _pass_on(self, on_report: ProberReport) -> str:
        """Pass on; an error of ours over one report must not disarm the path back of everybody."""
        try:
            self._on_report(on_report)
        except Exception:  # noqa: BLE001 - see the docstring; it is logged, and the stream made anew
            self._log.exception(
                "report not taken", cluster=on_report.cluster, stream=on_report.stream
            )
            return "an error of ours"
        return ""

    def _sharing(self, cluster: str) -> list[_Stream]:
        """Return the streams that share the paths of a cluster: those that stand, and are not ending."""
        return [s for s in self._streams[cluster] if s.hello and not s.is_ending]

    def _share_anew(self, cluster: str) -> None:
        """Let the streams that stand take over what another probed, or give it a part, at once."""
        for stream in self._streams[cluster]:
            stream.rouse()

    def _count(self, cluster: str) -> None:
        standing = sum(1 for stream in self._streams[cluster] if stream.hello)
        self._meter.prober_streams(cluster, standing)

    async def _send(
        self, stream: _Stream, assigned: Assignments, socket: aiohttp.ClientWebSocketResponse
    ) -> None:
        """Send the prober what has changed, whenever something has."""
        try:
            while True:
                await stream.roused.wait()
                await asyncio.sleep(GATHER_S)
                stream.roused.clear()
                sharing = self._sharing(stream.cluster)
                if stream not in sharing:
                    continue
                wanted = self._orders[stream.cluster]
                share = sharing.index(stream), len(sharing)
                messages = assigned.follow(
                    wanted, share, self._numbers, self._clock(), stream.take()
                )
                async with asyncio.timeout(SEND_DEADLINE_S):
                    for message in messages:
                        await socket.send_frame(contract.encode(message), aiohttp.WSMsgType.TEXT)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._log.warning("prober not told", cluster=stream.cluster, error=repr(error))
            await socket.close()
