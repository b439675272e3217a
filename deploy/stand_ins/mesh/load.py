"""Client load: requests from one caller through its own sidecar, on a schedule, and what became of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from deploy.stand_ins.mesh.exchange import PROXY_ERROR
from deploy.stand_ins.mesh.http1 import (
    BadHeadError,
    Response,
    first,
    parse_response,
    response_body,
)
from deploy.stand_ins.mesh.proxy import OPAQUE

Outcome = Literal["ok", "workload", "mesh", "connection"]
"""Answered below 400; failed by the workload; failed by the mesh; no answer at all."""

_KEPT: Final = 100_000
_RENEW_EVERY: Final = 50
_TIMEOUT_S: Final = 10.0
"""Longer than the proxy's own fail-fast, so that its 504 is seen."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: when it was due (monotonic seconds), how long it took, what came back."""

    at: float
    duration_s: float
    outcome: Outcome
    status: int
    served_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Second:
    """The requests due in one second (monotonic, whole): answers by cluster, failures by kind."""

    second: int
    by_cluster: dict[str, int]
    failed_by_mesh: int
    failed_by_target: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything so far. ``failed_by_mesh`` counts requests without an answer as well."""

    requests: int
    failed_by_mesh: int
    failed_by_target: int
    by_cluster: dict[str, int]
    seconds: tuple[Second, ...]


class Load:
    """Open loop at ``rate_hz``, until as many as ``in_flight`` are unanswered: then it waits.

    ``in_flight=1`` is a closed loop. Connections are kept, and about one request in fifty
    opens a new one.
    ``dial`` tells addresses: each request goes to one of them, and the Service's name is its Host alone.
    ``opaque``: what is sent stands for bytes that are not HTTP.
    """

    def __init__(
        self,
        proxy_url: str,
        url: str,
        *,
        rng: random.Random,
        rate_hz: float = 25.0,
        in_flight: int = 200,
        dial: Callable[[], Sequence[str]] | None = None,
        opaque: bool = False,
    ) -> None:
        proxy = urlsplit(proxy_url)
        self._proxy = (proxy.hostname or "", proxy.port or 80)
        host = urlsplit(url).netloc
        self._dial = dial
        self._url = url
        self._fields = f"host: {host}\r\nuser-agent: load\r\n"
        if opaque:
            self._fields += f"{OPAQUE.decode()}: 1\r\n"
        self._rng = rng
        self._rate_hz = rate_hz
        self._slots = asyncio.Semaphore(in_flight)
        self._idle: list[_Connection] = []
        self._kept: deque[Sent] = deque(maxlen=_KEPT)
        self._seconds: dict[int, Counter[str]] = {}
        self._totals: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Send no more, and wait for the answers under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*self._under_way)
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def sent(self) -> tuple[Sent, ...]:
        """Return the last requests that ended, in that order."""
        return tuple(self._kept)

    def snapshot(self, seconds: int = 60) -> Snapshot:
        """Return the totals and the last so many seconds that had requests."""
        last = sorted(self._seconds)[-seconds:]
        return Snapshot(
            requests=self._totals["requests"],
            failed_by_mesh=self._totals["mesh"] + self._totals["connection"],
            failed_by_target=self._totals["workload"],
            by_cluster=_by_cluster(self._totals),
            seconds=tuple(
                Second(
                    second,
                    _by_cluster(self._seconds[second]),
                    self._seconds[second]["mesh"] + self._seconds[second]["connection"],
                    self._seconds[second]["workload"],
                )
                for second in last
            ),
        )

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._rng.random() / self._rate_hz
        while True:
            await asyncio.sleep(due - loop.time())
            await self._slots.acquire()
            task = loop.create_task(self._one(due))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            due = max(due + 1 / self._rate_hz, loop.time() - 1.0)

    async def _one(self, due: float) -> None:
        try:
            self._note(await self._send(due))
        finally:
            self._slots.release()

    async def _send(self, due: float) -> Sent:
        loop = asyncio.get_running_loop()
        connection = self._idle.pop() if self._idle else _Connection()
        if self._rng.random() * _RENEW_EVERY < 1:
            connection.close()
            connection = _Connection()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                response = await connection.ask(self._proxy, self._request())
        except (OSError, EOFError, BadHeadError) as error:
            connection.close()
            return Sent(due, loop.time() - due, "connection", 0, "", type(error).__name__)
        if response.keep_alive:
            self._idle.append(connection)
        else:
            connection.close()
        return _read(response, due, loop.time() - due)

    def _request(self) -> bytes:
        url = self._url
        if self._dial is not None:
            addresses = self._dial()
            if not addresses:
                raise ConnectionRefusedError("the Service has no endpoint")
            url = f"http://{self._rng.choice(addresses)}/"
        return f"GET {url} HTTP/1.1\r\n{self._fields}\r\n".encode()

    def _note(self, sent: Sent) -> None:
        self._kept.append(sent)
        second = self._seconds.setdefault(int(sent.at), Counter())
        for counter in (second, self._totals):
            counter["requests"] += 1
            counter[sent.outcome] += 1
            if sent.served_by:
                counter["from " + sent.served_by.partition("/")[0]] += 1


def _read(response: Response, at: float, duration_s: float) -> Sent:
    served_by = (first(response.fields, b"x-served-by") or b"").decode("latin-1")
    proxy_error = (first(response.fields, PROXY_ERROR) or b"").decode("latin-1")
    outcome: Outcome = "ok"
    if response.status >= 400:
        # Without a mark of either side it is the mesh that owes the explanation.
        outcome = "workload" if first(response.fields, b"x-fault") else "mesh"
    return Sent(at, duration_s, outcome, response.status, served_by, proxy_error)


def _by_cluster(counter: Counter[str]) -> dict[str, int]:
    return {k.removeprefix("from "): n for k, n in counter.items() if k.startswith("from ")}


class _Connection:
    """One kept connection to the sidecar."""

    def __init__(self) -> None:
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, proxy: tuple[str, int], request: bytes) -> Response:
        """Send the request and read the whole answer. Raises OSError, EOFError, BadHeadError."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*proxy)
        reader, writer = self._streams
        writer.write(request)
        try:
            block = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as error:
            raise BadHeadError("head too long") from error
        response = parse_response(block[:-4])
        body = response_body(response, to_head=False)
        while not body.done:
            data = await reader.read(65536)
            if not data:
                if response.keep_alive:
                    raise EOFError("cut off")
                break
            body.take(data)
        return response

    def close(self) -> None:
        """Close at once."""
        if self._streams is not None:
            self._streams[1].transport.abort()
