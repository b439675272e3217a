"""Names to addresses, with a bound in time, and a memory as short as that of DNS itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from prober.aims import Aims, parsed

TTL_S = 5
"""How long an address is remembered: CoreDNS says 5 s for Services by default."""

TIMEOUT_S = 0.7
"""After this, it is DNS that did not answer, and not yet the probe that timed out."""


class BoundedResolver(AbstractResolver):
    """Looks names up, and tells "no such name" from "DNS does not answer". ``aims`` is where names may lead."""

    def __init__(self, aims: Aims | None) -> None:
        self._aims = aims
        self._lookup = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve ``host``; what is returned is what is connected to.

        Raises ``gaierror(EAI_AGAIN)`` when DNS takes too long, and :class:`prober.aims.ForbiddenError` when any of
        the addresses must not be asked.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await self._lookup.resolve(host, port, family)
        except TimeoutError as error:
            raise socket.gaierror(socket.EAI_AGAIN, "DNS did not answer") from error
        if self._aims is not None:
            for each in found:
                self._aims.check(host, each["host"])
        return found

    async def close(self) -> None:
        """Nothing to close."""


class Names:
    """The addresses of the names that one stream's probes go to; names of Services, so there is an end."""

    def __init__(self, clock: Callable[[], float], aims: Aims) -> None:
        self._clock = clock
        self._resolver = BoundedResolver(aims)
        self._known: dict[str, tuple[float, str]] = {}
        self._asked: dict[str, asyncio.Task[str]] = {}

    async def address(self, url: URL) -> tuple[str, int]:
        """Return where to connect for ``url``: one lookup at a time for a name. Raises ``OSError``."""
        host, port = url.host or "", url.port or 80
        if parsed(host):
            return host, port
        until, known = self._known.get(host, (0.0, ""))
        if self._clock() < until:
            return known, port
        asked = self._asked.get(host)
        if asked is None:
            asked = self._asked[host] = asyncio.create_task(self._look_up(host))
            asked.add_done_callback(lambda _: self._asked.pop(host))
        # Shielded: a probe that gives up must not take the answer from the others.
        return await asyncio.shield(asked), port

    async def _look_up(self, host: str) -> str:
        found = await self._resolver.resolve(host, 0, socket.AF_UNSPEC)
        address = found[0]["host"]
        self._known[host] = (self._clock() + TTL_S, address)
        return address
