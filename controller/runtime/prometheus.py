"""Real traffic: what each cluster's Prometheus tells, asked once per tick, whatever the number of migrations.

The library blocks, so every cluster has a thread of its own here. A Prometheus that hangs, refuses or answers
nonsense is an ``Answered`` with an error: it delays neither a decision nor a revert, and what
is not known is never taken for none or for all.
"""

from __future__ import annotations

import asyncio
import io
import math
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import requests
import urllib3
from prometheus_api_client.exceptions import PrometheusApiClientException
from prometheus_api_client.prometheus_connect import PrometheusConnect
from structlog.typing import FilteringBoundLogger

from controller.domain import Key, TrafficOrder
from controller.evidence.clients.counters import Counters, Row
from controller.evidence.clients.monitor import Answered
from controller.runtime.settings import Settings

TIMEOUT_S = (1.0, 3.0)
"""To connect, and from one byte to the next."""

ROUND_S = 8.0
"""All questions of one tick together, bodies read to their end."""

_PROBER = re.compile(r"wss?://[^./:]+\.([^./:]+)\.svc[.:/]")

MOST_BYTES = 64 * 1024 * 1024
"""Of one answer: a hundred times what 400 migrations were seen to need."""


class TrafficMeter(Protocol):
    """Where the numbers go."""

    def asked_prometheus(self, cluster: str, outcome: str, seconds: float) -> None:
        """Count one question: ``ok``, or the kind of error."""


@dataclass(frozen=True, slots=True)
class Access:
    """How one cluster's Prometheus is reached."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None


class PrometheusError(Exception):
    """An answer that cannot be used; the text says why, as the end of "Prometheus does not tell: ..."."""


class Prometheus:
    """One cluster's Prometheus. It blocks, and belongs to one thread."""

    def __init__(
        self,
        access: Access,
        counters: Counters,
        meter: TrafficMeter,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._access = access
        self._counters = counters
        self._meter = meter
        self._clock = clock
        self._session = _Session(clock)
        if access.ca_file is not None:
            self._session.verify = str(access.ca_file)
        self._before_s = -math.inf

    def query(self, orders: Mapping[Key, TrafficOrder]) -> Answered:
        """Ask every question of one tick; the answers are counted together, or not at all."""
        cluster = self._counters.cluster
        self._session.deadline_s = self._clock() + ROUND_S
        try:
            connection = self._connect()
            found = {
                name: self._ask(connection, query)
                for name, query in self._counters.queries(orders).items()
            }
        except PrometheusError as error:
            return Answered(cluster, self._clock(), error=str(error))
        now_s = self._clock()
        increases = self._counters.count(
            {name: rows for name, (_, rows) in found.items()}, orders, now_s
        )
        since_s, self._before_s = self._before_s, now_s
        asked, newest = found["newest"]
        return Answered(
            cluster,
            now_s,
            since_s,
            asked=asked,
            newest=next((value for _, value in newest if math.isfinite(value)), None),
            increases=increases,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def _connect(self) -> PrometheusConnect:
        headers = {}
        if self._access.token_file is not None:
            try:
                token = self._access.token_file.read_text().strip()
            except OSError as error:
                raise PrometheusError(f"its token cannot be read: {error}") from error
            headers["Authorization"] = f"Bearer {token}"
        return PrometheusConnect(
            self._access.url.rstrip("/"),
            headers=headers,
            retry=urllib3.Retry(0),
            session=self._session,
            timeout=TIMEOUT_S,  # type: ignore[arg-type]  # passed on to requests, which takes a pair
            method="POST",
        )

    def _ask(self, connection: PrometheusConnect, query: str) -> tuple[float, list[Row]]:
        """Ask one question; return the time of the answer by Prometheus's clock, and its samples."""
        began_s, outcome = self._clock(), "ok"
        try:
            return _read(connection.custom_query(query))
        except requests.Timeout as error:
            outcome = "timeout"
            raise PrometheusError(f"it did not answer within {TIMEOUT_S[1]:g} s") from error
        except requests.ConnectionError as error:
            outcome = "unreachable"
            raise PrometheusError(f"it cannot be reached at {self._access.url}") from error
        except PrometheusApiClientException as error:
            outcome = "refused"
            raise PrometheusError(f"it answers {_shortened(str(error))}") from error
        except (requests.RequestException, ValueError, TypeError, KeyError, IndexError) as error:
            outcome = "unreadable"
            raise PrometheusError(f"its answer cannot be read: {error!r}") from error
        except PrometheusError:
            outcome = "timeout"
            raise
        finally:
            self._meter.asked_prometheus(self._counters.cluster, outcome, self._clock() - began_s)


def _read(result: Any) -> tuple[float, list[Row]]:
    """Return the time of an instant vector (0 where it is empty) and its samples; raises what a wrong shape does."""
    rows: list[Row] = []
    asked = 0.0
    for sample in result:
        at, text = sample["value"]
        asked = float(at)
        rows.append((dict(sample["metric"]), float(text)))
    return asked, rows


def _shortened(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[:most]} ..."


class _Session(requests.Session):
    """A session that puts the query into the body, as its length needs, and bounds what it reads.

    The timeout of requests is from byte to byte: a server that drips would hold the thread for ever.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self.trust_env = False
        self.deadline_s = math.inf

    def request(self, method: Any, url: Any, **asked: Any) -> requests.Response:  # type: ignore[override]  # requests lists 15 arguments, of which the library uses these
        """Send one request and read all of the answer."""
        if self._clock() >= self.deadline_s:
            raise PrometheusError(f"it has not answered all questions within {ROUND_S:g} s")
        asked["data"] = asked.pop("params", None)
        response = super().request(method, url, stream=True, **asked)
        with response:
            body = bytearray()
            while part := response.raw.read1(65536, decode_content=True):
                body += part
                if len(body) > MOST_BYTES:
                    raise PrometheusError(f"its answer has more than {MOST_BYTES} bytes")
                if self._clock() >= self.deadline_s:
                    raise PrometheusError(f"its answer was not complete within {ROUND_S:g} s")
        response.raw = io.BytesIO(bytes(body))
        return response


def prometheus_of(settings: Settings, meter: TrafficMeter) -> dict[str, Prometheus]:
    """Return the Prometheus of each cluster that has one.

    What the gateways and our own programs call is left out: the namespaces are those of the settings.
    """
    found: dict[str, Prometheus] = {}
    ours = {settings.lease.namespace}
    for cluster in settings.clusters.values():
        if named := _PROBER.match(cluster.prober):
            ours.add(named[1])
    for name, cluster in settings.clusters.items():
        asked = cluster.prometheus
        if asked.url is None:
            continue
        far = next(other for other in settings.clusters if other != name)
        counters = Counters(name, far, gateways=cluster.gateway_namespace, apart=frozenset(ours))
        access = Access(
            asked.url,
            Path(asked.token_file) if asked.token_file else None,
            Path(asked.ca_file) if asked.ca_file else None,
        )
        found[name] = Prometheus(access, counters, meter)
    return found


class Traffic:
    """The Prometheus of each cluster that has one, each asked every ``tick_s`` by a thread of its own."""

    def __init__(
        self,
        sources: Mapping[str, Prometheus],
        *,
        tick_s: float,
        answered: Callable[[Answered], None],
        log: FilteringBoundLogger,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._sources = sources
        self._tick_s = tick_s
        self._answered = answered
        self._log = log
        self._clock = clock
        self._orders: dict[Key, TrafficOrder] = {}
        self._errors: dict[str, str] = {}

    def order(self, key: Key, order: TrafficOrder | None) -> None:
        """Count exactly this for one migration from now on (None: nothing)."""
        if order is None:
            self._orders.pop(key, None)
        else:
            self._orders[key] = order

    async def run(self) -> None:
        """Ask at every tick, until cancelled."""
        if not self._sources:
            await asyncio.Event().wait()
        executor = ThreadPoolExecutor(len(self._sources), thread_name_prefix="prometheus")
        try:
            async with asyncio.TaskGroup() as tasks:
                for cluster, source in self._sources.items():
                    tasks.create_task(self._keep(cluster, source, executor))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    async def _keep(self, cluster: str, source: Prometheus, executor: ThreadPoolExecutor) -> None:
        """Have one round under way at most; one that is late is reported as late, and waited for."""
        loop = asyncio.get_running_loop()
        due_s = self._clock()
        asking: asyncio.Future[Answered] | None = None
        while True:
            if self._orders or asking is not None:
                asking = asking or loop.run_in_executor(executor, source.query, dict(self._orders))
                done, _ = await asyncio.wait({asking}, timeout=ROUND_S)
                if done:
                    self._pass_on(asking.result())
                    asking = None
                else:
                    late = f"it has not answered for {ROUND_S:g} s"
                    self._pass_on(Answered(cluster, self._clock(), error=late))
            due_s = max(due_s + self._tick_s, self._clock())  # late ticks are not caught up
            await asyncio.sleep(due_s - self._clock())

    def _pass_on(self, answered: Answered) -> None:
        """Pass an answer on, and log where what is wrong has changed."""
        before = self._errors.get(answered.cluster, "")
        self._errors[answered.cluster] = answered.error
        if answered.error and answered.error != before:
            self._log.warning(
                "prometheus does not tell", cluster=answered.cluster, error=answered.error
            )
        elif before and not answered.error:
            self._log.info("prometheus tells again", cluster=answered.cluster)
        self._answered(answered)
