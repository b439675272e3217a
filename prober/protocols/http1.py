"""HTTP/1.1, by aiohttp. Connections are kept for a moment, as clients keep theirs."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp

from prober.aims import CLOSED, Aims
from prober.contract import USER_AGENT
from prober.outcome import Answer
from prober.protocols.names import TTL_S, BoundedResolver
from prober.target import MAX_BODY_BYTES, Ask

KEEPALIVE_S = 1.0
"""How long an idle connection is used again.

Servers close idle connections after 2 s and more; as nothing is retried, a probe sent just then
would be a fault that no client sees.
"""

Session = aiohttp.ClientSession


def new_session(proxy_url: str | None, aims: Aims = CLOSED) -> Session:
    """Return a session that keeps nothing but connections. Close it after use.

    A proxy is the settings' own choice, and resolves names by itself.
    """
    connector = aiohttp.TCPConnector(
        limit=0,
        ttl_dns_cache=TTL_S,
        keepalive_timeout=KEEPALIVE_S,
        resolver=BoundedResolver(None if proxy_url else aims),
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


async def answer(ask: Ask, session: Session, clock: Callable[[], float]) -> Answer:
    """Ask once. The status says when it was answered; the body must then end, or be long, in time."""
    response = await session.request(
        ask.method, ask.url, headers=ask.headers, allow_redirects=False
    )
    try:
        answered_s = clock()
        body = bytearray()
        read = 0
        while read < MAX_BODY_BYTES:
            chunk = await response.content.readany()
            if not chunk:
                response.release()
                break
            read += len(chunk)
            if ask.expect.body:
                body += chunk[: MAX_BODY_BYTES - len(body)]
        headers = response.headers
        word, bad = ask.expect.judge(
            response.status, lambda name: headers.getall(name, ()), bytes(body)
        )
        return Answer(word, bad, answered_s)
    finally:
        response.close()  # does nothing where the answer was read to its end
