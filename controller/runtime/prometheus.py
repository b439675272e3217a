"""Real traffic: what each cluster's Prometheus tells, asked once per tick, whatever the number of migrations.

The library blocks, so every cluster has a thread of its own here. A Prometheus that hangs, refuses or answers
nonsense is an ``Answered`` with an error: it delays neither a decision nor a revert, and what
is not known is never taken for none or for all.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, Protocol

import requests
import urllib3
from prometheus_api_client.prometheus_connect import PrometheusConnect
from structlog.typing import FilteringBoundLogger

from controller.domain import Key, TrafficOrder
from controller.evidence.clients.counters import Counters, Row
from controller.evidence.clients.monitor import NO_SAMPLE, Answered
from controller.runtime import prometheus_session
from controller.runtime.prometheus_session import (
    PrometheusError,
    RefusedError,
    Session,
    credentials,
)
from controller.runtime.settings import PrometheusSettings, Settings

TIMEOUT_S = (1.0, 3.0)
"""To connect, and from one byte to the next."""

SETTLED_S = 1.0
"""All questions of one tick are asked as of a time that is so far gone. A scrape's samples bear the time at which it
began and are stored when it is over: of the present, two questions would be answered before and after that, and what
one proxy counted at one time would be taken for what it counted at two."""

_CLOCK = "vector(time())"

_PROBER = re.compile(r"wss?://[^./:]+\.([^./:]+)\.svc[.:/]")


class TrafficMeter(Protocol):
    """Where the numbers go."""

    def asked_prometheus(self, cluster: str, outcome: str, seconds: float) -> None:
        """Count one question: ``ok``, or the kind of error."""


class Prometheus:
    """One cluster's Prometheus. It blocks, and belongs to one thread."""

    def __init__(
        self,
        settings: PrometheusSettings,
        counters: Counters,
        meter: TrafficMeter,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._meter = meter
        self._clock = clock
        self._session = Session(settings, clock)
        self._before_s = -math.inf

    def query(self, orders: Mapping[Key, TrafficOrder]) -> Answered:
        """Ask every question of one tick; the answers are counted together, or not at all."""
        cluster = self._counters.cluster
        self._session.deadline_s = self._clock() + prometheus_session.ROUND_S
        try:
            connection = self._connect()
            asked = self._clock_of(connection) - SETTLED_S
            found = {
                name: self._ask(connection, query, asked)
                for name, query in self._counters.queries(orders).items()
            }
            newest = _finite(found["newest"])
            empty = NO_SAMPLE if newest is not None else self._why_empty(connection, asked)
        except PrometheusError as error:
            return Answered(cluster, self._clock(), error=str(error))
        now_s = self._clock()
        increases = self._counters.count(found, orders, now_s)
        since_s, self._before_s = self._before_s, now_s
        return Answered(
            cluster, now_s, since_s, asked=asked, newest=newest, empty=empty, increases=increases
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def _connect(self) -> PrometheusConnect:
        self._session.known = known = credentials(self._settings)
        return PrometheusConnect(
            (self._settings.url or "").rstrip("/"),
            headers=dict(known.headers),
            retry=urllib3.Retry(0),
            session=self._session,
            timeout=TIMEOUT_S,  # type: ignore[arg-type]  # passed on to requests, which takes a pair
            method="POST",
        )

    def _why_empty(self, connection: PrometheusConnect, at: float) -> str:
        """Return what to say where no sample of a proxy was found: by matchers, what there is to match."""
        if not self._counters.matchers:
            return NO_SAMPLE
        told = self._session.known.told
        others = self._ask(connection, self._counters.others(), at)
        return self._counters.why_empty(
            [({label: told(text) for label, text in labels.items()}, n) for labels, n in others]
        )

    def _clock_of(self, connection: PrometheusConnect) -> float:
        """Return what time it is by Prometheus's own clock, in seconds since 1970."""
        found = _finite(self._ask(connection, _CLOCK))
        if found is None:
            raise PrometheusError(f"it does not say what time it is: {_CLOCK} has no value")
        return found

    def _ask(self, connection: PrometheusConnect, query: str, at: float | None = None) -> list[Row]:
        """Ask one question, as of ``at`` (seconds since 1970; None: now); return the samples."""
        began_s, outcome = self._clock(), "ok"
        asked = {} if at is None else {"time": f"{at:.3f}"}
        try:
            return _read(connection.custom_query(query, params=asked))
        except _FAILURES as error:
            outcome, said = self._failure(error)
            raise PrometheusError(said) from None  # what it came from may quote what was sent
        finally:
            self._meter.asked_prometheus(self._counters.cluster, outcome, self._clock() - began_s)

    def _failure(self, error: Exception) -> tuple[str, str]:
        """Return the kind of an error, and the sentence for it."""
        told = self._session.known.told
        match error:
            case RefusedError():
                return "refused", str(error)
            case PrometheusError():
                return "timeout", str(error)
            case requests.Timeout() | urllib3.exceptions.TimeoutError():
                return "timeout", f"it did not answer within {TIMEOUT_S[1]:g} s"
            case requests.exceptions.SSLError():
                return "unreachable", f"TLS with it fails: {told(_inner(error))}"
            case requests.ConnectionError():
                return "unreachable", f"it cannot be reached at {self._settings.url}"
            case OSError() if not isinstance(error, requests.RequestException):
                return "unreachable", f"a file for it cannot be used: {told(str(error))}"
        return "unreadable", f"its answer cannot be read: {told(str(error) or repr(error))}"


_FAILURES = (
    PrometheusError,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
)
"""What the library, what it is made of, and a body of another shape raise; those of requests are OSErrors."""


def _inner(error: Exception) -> str:
    """Return what TLS itself said, out of what wraps it."""
    cause: Any = error
    while cause.args and isinstance(getattr(cause.args[0], "reason", None), Exception):
        cause = cause.args[0].reason
    return str(cause)


def _finite(rows: list[Row]) -> float | None:
    """Return the first value that is a number; None: there is none."""
    return next((value for _, value in rows if math.isfinite(value)), None)


def _read(result: Any) -> list[Row]:
    """Return the samples of an instant vector; raises what a wrong shape does."""
    return [(dict(sample["metric"]), float(sample["value"][1])) for sample in result]


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
        counters = Counters(
            name,
            far,
            gateways=cluster.gateway_namespace,
            apart=frozenset(ours),
            matchers=asked.matchers,
        )
        found[name] = Prometheus(asked, counters, meter)
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
                done, _ = await asyncio.wait({asking}, timeout=prometheus_session.ROUND_S)
                if done:
                    self._pass_on(asking.result())
                    asking = None
                else:
                    late = f"it has not answered for {prometheus_session.ROUND_S:g} s"
                    self._pass_on(Answered(cluster, self._clock(), error=late))
            due_s = max(due_s + self._tick_s, self._clock())  # late ticks are not caught up
            await asyncio.sleep(due_s - self._clock())

    def _pass_on(self, answered: Answered) -> None:
        """Pass an answer on, and log where what is wrong has changed."""
        before = self._errors.get(answered.cluster, "")
        self._errors[answered.cluster] = wrong = answered.wrong
        if wrong and wrong != before:
            self._log.warning("prometheus does not tell", cluster=answered.cluster, error=wrong)
        elif before and not wrong:
            self._log.info("prometheus tells again", cluster=answered.cluster)
        self._answered(answered)
