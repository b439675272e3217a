"""HTTP to one API server: one connection pool, credentials, deadlines, and what answers mean.

The session is our own and not the client library's: that one takes proxies and passwords from the
environment, and a total timeout of five minutes from its default.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import aiohttp
from yarl import URL

from controller.kube.api.access import ClusterAccess, Credentials
from controller.kube.api.clock import ServerClock
from controller.kube.api.errors import Unavailable, failure
from controller.kube.api.expiry import End

DEADLINE_S = 10.0
"""Of every request, and of a watch until it is open."""

CONNECT_S = 5.0
"""Of a connection. A write that ended here was not sent."""

RENEW_RETRY_S = 10.0
"""How soon after credentials could not be renewed that is tried again; the present ones are used."""

WRITES = frozenset({"POST", "PATCH", "DELETE"})

# A peer that vanished without a word is noticed after 5 + 3 * 3 s, on a watch too.
_KEEPALIVE = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))


class Meter(Protocol):
    """What is counted. Telemetry implements it."""

    def api_call(self, cluster: str, verb: str, resource: str, code: str, seconds: float) -> None:
        """Count a request; ``code`` is the HTTP code, ``timeout`` or ``error``."""

    def watch_heard(self, cluster: str, resource: str) -> None:
        """Note that something was heard: the start of the age of a resource's knowledge."""

    def watch_broke(self, cluster: str, resource: str) -> None:
        """Count a list or watch that failed."""


def _socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):  # Linux; elsewhere the system's own times have to do
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


class Transport:
    """Requests to one cluster. Close it at the end. ``as_user`` is whom to act as, where one may."""

    def __init__(
        self,
        cluster: str,
        access: ClusterAccess,
        meter: Meter,
        *,
        deadline_s: float = DEADLINE_S,
        monotonic: Callable[[], float] = time.monotonic,
        user_agent: str = "migrate-controller",
        as_user: str = "",
    ) -> None:
        self.clock = ServerClock()
        self._cluster = cluster
        self._access = access
        self._meter = meter
        self._deadline_s = deadline_s
        self._monotonic = monotonic
        self._credentials: Credentials | None = None
        self._loading: asyncio.Task[Credentials] | None = None
        self._renew_at_s = math.inf
        self._session: aiohttp.ClientSession | None = None
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}
        if as_user:
            self._headers["Impersonate-User"] = as_user

    async def request(
        self,
        verb: str,
        resource: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """Send one request and give the body of its 2xx answer. Raises an ApiError for all else.

        Once per request a 401 makes the credentials be read anew; nothing else is tried twice.
        """
        started_s = self._monotonic()
        code = "error"
        write = verb in WRITES
        credentials: Credentials | None = None
        try:
            async with asyncio.timeout(self._deadline_s):
                credentials = await self._known()
                answer = await self._open(
                    credentials, verb, path, query or {}, body, content_type, silent_s=None
                )
                async with answer:
                    code = str(answer.status)
                    content = await answer.read()
        except TimeoutError as error:
            code = "timeout"
            if credentials is None:
                raise Unavailable(f"no credentials within {self._deadline_s:g} s") from error
            # aiohttp's own connection timeout is one as well, and then nothing was sent.
            sent = not isinstance(error, aiohttp.ConnectionTimeoutError)
            raise Unavailable(
                f"no answer within {self._deadline_s:g} s", outcome_unknown=write and sent
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            code = "error"
            sent = not isinstance(error, aiohttp.ClientConnectorError)
            raise Unavailable(_sentence(error), outcome_unknown=write and sent) from error
        finally:
            took_s = self._monotonic() - started_s
            self._meter.api_call(self._cluster, verb, resource, code, took_s)
        if not 200 <= answer.status < 300:
            raise failure(answer.status, answer.headers, content, write=write)
        return content

    @contextlib.asynccontextmanager
    async def stream(
        self,
        resource: str,
        path: str,
        query: Mapping[str, str],
        *,
        silent_s: float,
        lifetime_s: float,
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """Open a watch and give its chunks as they come; entered when the server has accepted it.

        Raises Unavailable when nothing comes for ``silent_s``, after ``lifetime_s``, and when it breaks.
        """
        started_s = self._monotonic()
        code = "error"
        try:
            try:
                async with asyncio.timeout(self._deadline_s):
                    known = await self._known()
                    answer = await self._open(
                        known, "GET", path, query, None, None, silent_s=silent_s
                    )
                    code = str(answer.status)
                    if answer.status != 200:
                        async with answer:
                            content = await answer.read()
                        raise failure(answer.status, answer.headers, content, write=False)
            finally:
                took_s = self._monotonic() - started_s
                self._meter.api_call(self._cluster, "WATCH", resource, code, took_s)
            async with asyncio.timeout(lifetime_s):
                async with answer:
                    yield answer.content.iter_any()
        except TimeoutError as error:
            raise Unavailable("nothing was heard in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(_sentence(error)) from error

    async def credentials_end(self) -> End | None:
        """Return when the credentials end: as their files have them now, or as a plugin gave them last."""
        given = self._credentials.end if self._credentials else None
        return given or await asyncio.to_thread(self._access.end)

    async def close(self) -> None:
        """Close all connections, and end what fetches credentials."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _open(
        self,
        credentials: Credentials,
        verb: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        content_type: str | None,
        *,
        silent_s: float | None,
    ) -> aiohttp.ClientResponse:
        answer = await self._send(credentials, verb, path, query, body, content_type, silent_s)
        if answer.status != 401:
            return answer
        answer.release()
        if self._credentials is credentials:
            self._credentials = None
        credentials = await self._known()
        return await self._send(credentials, verb, path, query, body, content_type, silent_s)

    async def _known(self) -> Credentials:
        """Return the credentials, fetched first where there are none. All that wait, wait for one fetching,
        and it goes on when they give up: a plugin may need longer than a request has."""
        if self._credentials is not None:
            if self._monotonic() >= self._renew_at_s:
                self._fetch()
            return self._credentials
        return await asyncio.shield(self._fetch())

    def _fetch(self) -> asyncio.Task[Credentials]:
        if self._loading is None:
            # Where it fails nothing changes, and the next request after this tries again.
            self._renew_at_s = self._monotonic() + RENEW_RETRY_S
            self._loading = asyncio.create_task(self._access.load())
            self._loading.add_done_callback(self._fetched)
        return self._loading

    def _fetched(self, loading: asyncio.Task[Credentials]) -> None:
        self._loading = None
        if not loading.cancelled() and loading.exception() is None:
            self._credentials = loading.result()
            self._renew_at_s = self._monotonic() + self._credentials.renew_in_s

    async def _send(
        self,
        credentials: Credentials,
        verb: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        content_type: str | None,
        silent_s: float | None,
    ) -> aiohttp.ClientResponse:
        headers = dict(self._headers)
        authorization = await credentials.authorization()
        if authorization:
            headers["Authorization"] = authorization
        if body is not None and content_type:
            headers["Content-Type"] = content_type
        sent_s = self._monotonic()
        answer = await self._pool().request(
            verb,
            URL(credentials.server + path, encoded=True).with_query(query),
            headers=headers,
            data=body,
            ssl=credentials.tls or True,
            server_hostname=credentials.tls_name,
            proxy=credentials.proxy,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silent_s),
        )
        self.clock.on_report(answer.headers.get("Date"), sent_s, self._monotonic())
        return answer

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # Each watch holds a connection; what else is in flight is bounded by the queue above,
                # and a revert must never wait for a free one.
                connector=aiohttp.TCPConnector(limit=0, socket_factory=_socket),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


def _sentence(error: Exception) -> str:
    return f"connection: {error or type(error).__name__}"
