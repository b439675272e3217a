"""One request, one :class:`Outcome`. Never raises, except that it can be cancelled.

The promises, each with its test:

- one request is sent at most: no retry (aiohttp's hidden one is off), no redirect, no second try;
- nothing is kept between probes but connections: no cookies, no credentials from the environment;
- at most 64 KiB of a body are read, and none of it is kept;
- the answer is due 1 s after the probe was *due*, not after it was sent;
- what is the prober's own fault (no socket, no answer from DNS) is ``unsent``, never bad.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult

from prober.contract import USER_AGENT
from prober.doubts import LAG_S
from prober.outcome import Outcome
from prober.target import Ask

TIMEOUT_S = 1.0
"""From the due time to the end of the answer. The proxy's own fail-fast takes 3 s."""

MAX_BODY_BYTES = 64 << 10
"""Longest body that is read to its end, so that the connection can be used again."""

KEEPALIVE_S = 1.0
"""How long an idle connection is used again.

Servers close idle connections after 2 s and more; as nothing is retried, a probe sent just then
would be a fault that no client sees.
"""

DNS_TTL_S = 5
"""How long an address is remembered: CoreDNS says 5 s for Services by default."""

DNS_TIMEOUT_S = 0.7
"""After this, it is DNS that did not answer, and not yet the probe that timed out."""

Clock = Callable[[], float]

_OWN_FAULTS = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,  # no local port left
        errno.EPERM,  # forbidden by our own packet filter
        socket.EAI_AGAIN,
        socket.EAI_SYSTEM,
        socket.EAI_MEMORY,
    }
)
_KINDS_BY_ERRNO: dict[int | None, str] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ECONNABORTED: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "timeout",
}
_KINDS_BY_TYPE: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "dns"),
    (TimeoutError, "timeout"),
    (aiohttp.ServerDisconnectedError, "reset"),
    (ConnectionResetError, "reset"),
    (aiohttp.ClientPayloadError, "truncated"),
    (aiohttp.ClientResponseError, "garbled"),
)


class BoundedResolver(AbstractResolver):
    """Looks names up, and tells "no such name" from "DNS does not answer"."""

    def __init__(self) -> None:
        self._lookup = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve ``host``. Raises ``gaierror(EAI_AGAIN)`` when DNS takes too long."""
        try:
            async with asyncio.timeout(DNS_TIMEOUT_S):
                return await self._lookup.resolve(host, port, family)
        except TimeoutError as error:
            raise socket.gaierror(socket.EAI_AGAIN, "DNS did not answer") from error

    async def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True, slots=True)
class Client:
    """A session for probes, and the clock that due times are counted on."""

    session: aiohttp.ClientSession
    clock: Clock

    async def probe(self, ask: Ask, due_s: float) -> Outcome:
        """Send one probe and wait for its answer until ``due_s + TIMEOUT_S``."""
        started_s = self.clock()
        if started_s - due_s > LAG_S:
            # Its slice is void anyway, and sending it would make the next ones late.
            return Outcome(due_s, started_s, started_s, unsent="late")
        try:
            async with asyncio.timeout(due_s + TIMEOUT_S - started_s):
                status, answered_s = await self._answer(ask)
        except TimeoutError as error:
            return self._failed(due_s, started_s, _kind_of(error))
        except (aiohttp.ClientError, OSError) as error:
            return self._failed(due_s, started_s, _kind_of(error))
        except Exception:  # noqa: BLE001  an unknown error is the prober's own: void, not bad
            structlog.get_logger().exception("probe_broke", url=str(ask.url))
            return self._failed(due_s, started_s, "")
        return Outcome(due_s, started_s, self.clock(), status=status, answered_s=answered_s)

    async def _answer(self, ask: Ask) -> tuple[int, float]:
        """Return the status and when it came; the body must then end, or be long, in time."""
        response = await self.session.request(
            ask.method, ask.url, headers=ask.headers, allow_redirects=False
        )
        try:
            answered_s = self.clock()
            left = MAX_BODY_BYTES
            while left > 0:
                chunk = await response.content.readany()
                if not chunk:
                    response.release()
                    break
                left -= len(chunk)
            return response.status, answered_s
        finally:
            response.close()  # does nothing where the answer was read to its end

    def _failed(self, due_s: float, started_s: float, kind: str) -> Outcome:
        """Make the outcome of a probe without an answer; no kind means the fault is our own."""
        if kind:
            return Outcome(due_s, started_s, self.clock(), error=kind)
        return Outcome(due_s, started_s, self.clock(), unsent="unsent")


def new_session(proxy_url: str | None) -> aiohttp.ClientSession:
    """Open a session that keeps nothing but connections. Close it after use."""
    connector = aiohttp.TCPConnector(
        limit=0,
        ttl_dns_cache=DNS_TTL_S,
        keepalive_timeout=KEEPALIVE_S,
        resolver=BoundedResolver(),
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
        proxy=proxy_url,
    )
    # aiohttp sends a GET again when a kept connection was dropped, and has no public switch for it.
    session._retry_connection = False  # noqa: SLF001
    return session


def _kind_of(error: BaseException) -> str:
    """Name the kind of failure, as reports count them; nothing for the prober's own faults."""
    code = getattr(error, "errno", None)
    if code in _OWN_FAULTS:
        return ""
    for kinds, kind in _KINDS_BY_TYPE:
        if isinstance(error, kinds):
            return kind
    return _KINDS_BY_ERRNO.get(code, "connection")
