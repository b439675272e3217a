"""In place of sidecars, gateways and workloads: one HTTP proxy for each cluster's prober.

It answers 200 to everything but, for a Service that is told to fail, 500 to every probe that reaches the
target, and keeps the time of the first. The apex is answered 200: it decides nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from time import monotonic

from deploy.stand_ins.mesh import EKS, LEGACY

_GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
_BAD = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nbad\n"
_UNREACHED = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 4\r\n\r\nbad\n"
_LONGEST_HEAD = 16384

HEALTHY = 20
"""Probes that are answered on each path before something is measured."""

_HEALTHY_S = 240.0


class StandIn:
    """The way of probes in both clusters, to target eks. Use it as an async context manager."""

    def __init__(self) -> None:
        self.urls: dict[str, str] = {}
        self.failing: set[str] = set()
        self.first_bad_s: dict[str, float] = {}
        """By Service: when the first probe since it fails was answered 500, monotonic."""
        self.dead_gateways: set[str] = set()
        """Clusters whose gateway serves nobody: what is asked across is answered 504, as a sidecar does."""
        self._answered: Counter[tuple[str, str]] = Counter()
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> StandIn:
        """Listen."""
        loop = asyncio.get_running_loop()
        for cluster in (LEGACY, EKS):
            server = await loop.create_server(partial(_Answers, self, cluster), "127.0.0.1", 0)
            self._servers.append(server)
            self.urls[cluster] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening; connections end with their clients."""
        for server in self._servers:
            server.close()

    async def until_healthy(self, service: str, probes: int = HEALTHY) -> None:
        """Wait until so many probes were answered on each of the four paths."""
        async with asyncio.timeout(_HEALTHY_S):
            while self._least(service) < probes:  # noqa: ASYNC110 - another process sends them
                await asyncio.sleep(0.05)

    def _least(self, service: str) -> int:
        return min(
            self._answered[service, f"{callers}/{side}"]
            for callers in (LEGACY, EKS)
            for side in ("target", "home")
        )

    def answer(self, callers: str, head: bytes) -> bytes:
        """Answer one probe of a prober in the cluster of these callers."""
        if any(_name(head).endswith(f"-{far}") for far in self.dead_gateways - {callers}):
            return _UNREACHED
        path = _path(callers, head)
        if path is None:
            return _GOOD
        service, side = path
        self._answered[service, f"{callers}/{side}"] += 1
        if side == "home" or service not in self.failing:
            return _GOOD
        self.first_bad_s.setdefault(service, monotonic())
        return _BAD


class _Answers(asyncio.Protocol):
    """One connection; its client waits for each answer."""

    def __init__(self, stand_in: StandIn, callers: str) -> None:
        self._stand_in = stand_in
        self._callers = callers
        self._read = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, rest = self._read.partition(b"\r\n\r\n")
        if end:
            self._read = rest
            self._transport.write(self._stand_in.answer(self._callers, head))
        elif len(self._read) > _LONGEST_HEAD:
            self._transport.abort()


def _name(head: bytes) -> str:
    """Return the first label of the host that is asked for."""
    return head.split(b"/", 3)[2].partition(b".")[0].decode("latin-1")


def _path(callers: str, head: bytes) -> tuple[str, str] | None:
    """Return the Service that is probed and the side that answers; None for the apex and the reference."""
    name = _name(head)
    if name.isdigit():  # a pod's own address: the Service is in Host
        lines = head.decode("latin-1").split("\r\n")
        host = next(line for line in lines[1:] if line.lower().startswith("host:"))
        side = "target" if callers == EKS else "home"
        return host.partition(":")[2].strip().partition(".")[0], side
    far = EKS if callers == LEGACY else LEGACY
    if name.endswith(f"-{far}"):
        return name.removesuffix(f"-{far}"), "target" if far == EKS else "home"
    return None
