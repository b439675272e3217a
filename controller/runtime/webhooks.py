"""One call of a receiver over HTTP: bounded, to where its file says and nowhere else, and told without a secret."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict

from controller.runtime.receivers import Receiver

DEADLINE_S = 10.0
"""One call, to the end of its answer."""

LONGEST_ASKED_S = 300.0
"""More than this of a ``Retry-After`` is not waited for."""

MOST_BYTES = 2048
"""Of an answer; it is read for what it says of an error."""

AGAIN = frozenset({408, 425, 429})
"""With 5xx, the answers after which the same may be accepted."""

LOOKUPS = 4
"""Names that are looked up at a time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call: why it failed ("" where it did not), whether to try again, and after how many seconds."""

    why: str = ""
    again: bool = False
    asked_s: float | None = None


Post = Callable[[Receiver, bytes, str], Awaitable[Answer]]
"""Posts a body of this Content-Type once; whatever comes of it is an answer."""


@asynccontextmanager
async def webhooks(deadline_s: float = DEADLINE_S) -> AsyncIterator[Post]:
    """Post over HTTP until the block ends. A proxy that the environment names (HTTPS_PROXY, NO_PROXY) is used."""
    threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="notifications")
    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=_Names(threads)),
            trust_env=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as session:
            yield partial(_post, session, deadline_s)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


class _Names(AbstractResolver):
    """Looks names up in threads of its own: in the common ones a DNS that hangs would keep those of API servers."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name. Raises OSError."""
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host,
                host=str(where[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=numeric,
            )
            for kind, _, proto, _, where in found
        ]

    async def close(self) -> None:
        """The threads are their owner's to end."""


async def _post(
    session: aiohttp.ClientSession,
    deadline_s: float,
    receiver: Receiver,
    body: bytes,
    content_type: str,
) -> Answer:
    headers = CIMultiDict(receiver.headers)
    headers["Content-Type"] = content_type
    try:
        async with (
            asyncio.timeout(deadline_s),
            session.post(
                receiver.url, data=body, headers=headers, allow_redirects=False
            ) as response,
        ):
            said = await response.content.read(MOST_BYTES)
            return _answer(response, receiver.credentials.told(said.decode(errors="replace")))
    except TimeoutError:
        return Answer(f"no answer within {deadline_s:g} s", again=True)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Answer(_why(error), again=not isinstance(error, ValueError))


def _answer(response: aiohttp.ClientResponse, said: str) -> Answer:
    status = response.status
    if 200 <= status < 300:
        return Answer()
    if 300 <= status < 400:
        return Answer(f"it redirects (HTTP {status}), which is not followed: write where it leads")
    asked = response.headers.get("Retry-After", "").strip()
    asked_s = min(float(asked), LONGEST_ASKED_S) if asked.isdecimal() else None
    why = f"it answers HTTP {status}{': ' if said else ''}{said}"
    return Answer(why, status in AGAIN or status >= 500, asked_s)


def _why(error: Exception) -> str:
    """Return why nothing came, without the address: what the library says may have it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"it cannot be reached: {error.os_error.strerror or 'no connection'}"
    return f"it gives no answer: {type(error).__name__}"
