"""The streams to the probers: one WebSocket each, several per cluster, dialled by the controller.

The stream is the assignment (docs/decisions.md, 7): a stream that is made anew is told everything again, and
what it was told before has ended with its connection. What arrives goes to ``heard`` in the order in which it
came; nothing is decided here.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Protocol

import aiohttp
import msgspec
from structlog.typing import FilteringBoundLogger

from controller.domain import CallPath, Key, ProbeOrder, Side
from controller.domain.probe_checks import expected
from controller.evidence.probes import ProberReport
from controller.kube.api import Backoff
from prober import contract

DIAL_DEADLINE_S = 5.0
SILENT_CLOSE_S = 3.0
"""A stream that says nothing for this long, 30 heartbeats, is dead: it is closed and dialled again."""

SEND_DEADLINE_S = 5.0
KEEP_WITHDRAWN_S = 3.0
"""A withdrawn assignment's last samples still come: probes in flight end within 1 s."""

PAUSE_S, LONGEST_PAUSE_S = 0.4, 5.0


class StreamMeter(Protocol):
    """Where the numbers go."""

    def prober_streams(self, cluster: str, connected: int) -> None:
        """Return how many streams to this cluster's prober stand."""


@dataclass(slots=True)
class _Stream:
    """One connection's assignments. ``ids`` also knows those withdrawn lately, until their time."""

    part: int
    socket: aiohttp.ClientWebSocketResponse | None = None
    assigned: dict[tuple[Key, CallPath], tuple[int, ProbeOrder]] = field(default_factory=dict)
    ids: dict[int, ProbeOrder] = field(default_factory=dict)
    expiring: list[tuple[float, int]] = field(default_factory=list)
    told: set[int] = field(default_factory=set)
    refused: list[tuple[ProbeOrder, str, str]] = field(default_factory=list)
    hello: contract.Hello | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


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
        self._heard = on_report
        self._meter = meter
        self._log = log
        self._clock = clock
        self._orders: dict[str, dict[tuple[Key, CallPath], ProbeOrder]] = {
            name: {} for name in urls
        }
        self._streams = {name: [_Stream(part) for part in range(streams)] for name in urls}
        self._ids = itertools.count(1)

    def order(self, key: Key, orders: tuple[ProbeOrder, ...]) -> None:
        """Have exactly these paths of one migration probed from now on (none: stop)."""
        wanted = {(order.key, order.path): order for order in orders}
        for cluster, known in self._orders.items():
            mine = {at: order for at, order in wanted.items() if at[1].callers == cluster}
            before = {at: order for at, order in known.items() if at[0] == key}
            if mine == before:
                continue
            for at in before:
                del known[at]
            known.update(mine)
            for stream in self._streams[cluster]:
                stream.changed.set()

    def caps(self) -> dict[str, float]:
        """Give, by cluster, how many probes a second its probers can send together, where they said so."""
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
                    tasks.create_task(self._keep(session, cluster, stream))

    async def _keep(self, session: aiohttp.ClientSession, cluster: str, stream: _Stream) -> None:
        """Dial, serve until it breaks, and dial again: with full jitter, 5 s at the longest."""
        backoff = Backoff(PAUSE_S, LONGEST_PAUSE_S)
        while True:
            began = self._clock()
            reason = await self._once(session, cluster, stream)
            if self._clock() - began > LONGEST_PAUSE_S:
                backoff.reset()
            pause = backoff.after_failure_s()
            self._log.warning(
                "prober stream ended",
                cluster=cluster,
                stream=stream.part,
                error=reason,
                again_in_s=round(pause, 2),
            )
            await asyncio.sleep(pause)

    async def _once(self, session: aiohttp.ClientSession, cluster: str, stream: _Stream) -> str:
        """Serve one connection until it ends; say why it did."""
        try:
            async with asyncio.timeout(DIAL_DEADLINE_S):
                token = self._token()
                socket = await session.ws_connect(
                    self._urls[cluster].rstrip("/") + contract.PATH,
                    headers={"Authorization": f"Bearer {token}"},
                    proxy=self._proxy,
                    max_msg_size=contract.MAX_MESSAGE_BYTES,
                    autoping=True,
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        stream.socket = socket
        try:
            return await self._serve(cluster, stream, socket)
        finally:
            stream.socket, stream.hello = None, None
            stream.assigned, stream.ids, stream.expiring, stream.told = {}, {}, [], set()
            stream.refused = []
            self._count(cluster)
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await socket.close()

    def _token(self) -> str:
        """Return the first token of the file, read anew for each dial so that it can be rotated."""
        lines = self._token_file.read_text().split()
        if not lines:
            raise ValueError(f"{self._token_file} holds no token: write one line into it")
        return lines[0]

    async def _serve(
        self, cluster: str, stream: _Stream, socket: aiohttp.ClientWebSocketResponse
    ) -> str:
        stream.changed.set()
        teller = asyncio.create_task(self._tell(cluster, stream, socket))
        try:
            while True:
                try:
                    async with asyncio.timeout(SILENT_CLOSE_S):
                        message = await socket.receive()
                except TimeoutError:
                    return f"nothing was heard for {SILENT_CLOSE_S:g} s"
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return f"the prober closed it ({message.type.name}, {message.data})"
                ended = self._take(cluster, stream, message.data)
                if ended:
                    return ended
                if teller.done():
                    return "an assignment could not be sent"
        finally:
            teller.cancel()
            await asyncio.wait([teller])  # unlike awaiting it, this tells its end from our own

    def _take(self, cluster: str, stream: _Stream, text: str) -> str:
        """Take one message; a reason to end the stream, or ""."""
        now_s = self._clock()
        try:
            message = contract.decode_from_prober(text)
        except (msgspec.MsgspecError, ValueError) as error:
            return f"a message that is not of the contract: {error}"
        if isinstance(message, contract.Hello):
            if message.version != contract.VERSION or message.cluster != cluster:
                return (
                    f"a prober of {message.cluster}, contract {message.version}, where {cluster},"
                    f" contract {contract.VERSION}, is due"
                )
            stream.hello = message
            self._count(cluster)
            self._log.info(
                "prober stream stands", cluster=cluster, stream=stream.part, prober=message.prober
            )
        elif isinstance(message, contract.Refused):
            order = stream.ids.get(message.id) if message.id is not None else None
            about = str(order.key) if order else ""
            self._log.error(
                "prober refused", cluster=cluster, migration=about, message=message.message
            )
            if order is not None:
                stream.refused.append((order, message.reason, message.message))
        else:
            return self._hear_safely(self._read(cluster, stream, message, now_s))
        return ""

    def _hear_safely(self, on_report: ProberReport) -> str:
        """Pass on; an error of ours over one report must not disarm the path back of everybody."""
        try:
            self._heard(on_report)
        except Exception:  # noqa: BLE001 - see the docstring; it is logged, and the stream made anew
            self._log.exception(
                "report not taken", cluster=on_report.cluster, stream=on_report.stream
            )
            return "an error of ours"
        return ""

    def _read(
        self, cluster: str, stream: _Stream, report: contract.Report, now_s: float
    ) -> ProberReport:
        """Put the orders to a report. A path is idle only once this stream has told a sample of it."""
        samples = tuple(
            (order, part)
            for part in report.samples
            if (order := stream.ids.get(part.assignment)) is not None
        )
        self._forget(stream, now_s)
        busy = {part.assignment for part in report.samples}
        stream.told |= busy
        busy.update(report.pending)
        mine = [(n, order) for n, order in stream.assigned.values() if n in stream.told]
        refused, stream.refused = tuple(stream.refused), []
        return ProberReport(
            cluster=cluster,
            stream=stream.part,
            report=report,
            samples=samples,
            idle=tuple(order for number, order in mine if number not in busy),
            throttled={
                (order.key, order.path): report.throttled[number]
                for number, order in mine
                if number in report.throttled
            },
            refused=refused,
            now_s=now_s,
        )

    @staticmethod
    def _forget(stream: _Stream, now_s: float) -> None:
        while stream.expiring and stream.expiring[0][0] <= now_s:
            gone = stream.expiring.pop(0)[1]
            stream.ids.pop(gone, None)
            stream.told.discard(gone)

    def _count(self, cluster: str) -> None:
        standing = sum(1 for stream in self._streams[cluster] if stream.hello)
        self._meter.prober_streams(cluster, standing)

    async def _tell(
        self, cluster: str, stream: _Stream, socket: aiohttp.ClientWebSocketResponse
    ) -> None:
        """Return the prober what has changed, whenever something has."""
        try:
            while True:
                await stream.changed.wait()
                stream.changed.clear()
                for message in self._changes(cluster, stream):
                    async with asyncio.timeout(SEND_DEADLINE_S):
                        await socket.send_str(contract.encode(message).decode())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._log.warning("prober not told", cluster=cluster, error=repr(error))
            await socket.close()

    def _changes(self, cluster: str, stream: _Stream) -> list[contract.ToProber]:
        """Return the messages that turn what this stream probes into what it should probe."""
        wanted = self._orders[cluster]
        messages: list[contract.ToProber] = []
        for at, (number, order) in list(stream.assigned.items()):
            new = wanted.get(at)
            if new == order:
                continue
            if new is not None and _but_addresses(new) == _but_addresses(order):
                messages.append(contract.Readdress(number, new.addresses))
                stream.assigned[at] = (number, new)
                stream.ids[number] = new
                continue
            messages.append(contract.Withdraw(number))
            stream.expiring.append((self._clock() + KEEP_WITHDRAWN_S, number))
            del stream.assigned[at]
        for at, order in wanted.items():
            if at not in stream.assigned:
                number = next(self._ids)
                stream.assigned[at] = (number, order)
                stream.ids[number] = order
                messages.append(self._assign(number, order, stream.part, cluster))
        return messages

    def _assign(self, number: int, order: ProbeOrder, part: int, cluster: str) -> contract.Assign:
        probe = order.probe
        asked = order.mirror_of or order.path.callers
        names_cluster = probe.cluster_header and order.route != "apex"
        return contract.Assign(
            id=number,
            key=f"{order.key}/{order.path.callers}/{order.path.side}",
            namespace=order.key.namespace,
            service=order.key.service,
            route=order.route,
            port=order.port,
            rate_per_s=float(probe.rate_per_s),
            expect=expected(probe, order.protocol),
            path=probe.path,
            mirror_of=order.mirror_of,
            addresses=order.addresses,
            part=part,
            parts=len(self._streams[cluster]),
            priority=2 if order.path.side is Side.APEX else int(not order.shifted),
            latency_limit_s=order.latency.limit_s if order.latency else None,
            protocol=order.protocol,
            grpc_service=probe.grpc_service,
            header=probe.header,
            body=probe.body,
            cluster=(probe.cluster_header, asked) if names_cluster else None,
        )


def _but_addresses(order: ProbeOrder) -> ProbeOrder:
    return replace(order, addresses=())
