"""Keep one resource of one cluster known: list, watch, and say when the knowledge is no longer current.

The law of freshness. A resource is current from the moment a watch is open that continues a complete
list. It stops being current when no watch is open for ``stale_after_s`` (a watch that was silent for
``silent_s``, bookmarks included, is cut and counts as not open), and then only a new quorum list makes it
current again: a watch that merely opens proves nothing about what was missed. A planned list, while no
request failed, does not count as time without a watch, because its pages are being heard. A watch that was cut
for its silence is followed by such a list: after a restore of etcd a server takes a version that it has not
reached again, and says nothing until it has (kubernetes#107457).

The law of deletions. Who is not in a new list, nor in another a second later, is reported deleted, so none is lost
while no watch is open, and nobody is gone because one list was wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from controller.kube.api.backoff import Backoff
from controller.kube.api.discovery import Places
from controller.kube.api.errors import (
    ApiError,
    Expired,
    NotFound,
    NotServed,
    Unavailable,
    read_status,
)
from controller.kube.api.framing import Lines, LineTooLongError
from controller.kube.api.lister import Lister
from controller.kube.api.timings import Chance, Pace
from controller.kube.api.transport import Meter, Transport
from controller.kube.objects import (
    DECODERS,
    Change,
    Deleted,
    Freshness,
    KubeObject,
    Listed,
    Listing,
    Resource,
    Undecodable,
    Upserted,
    head,
    identify,
)

Absorb = Callable[[Change], None]

OVERTIME_S = 15.0
"""A watch that the server does not end by itself is cut this long after it should have."""


class _BadLineError(ApiError):
    """A watch said what cannot be read. It would say it again, so only a list leads on."""


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_EVENT = msgspec.json.Decoder(_Event)


class Reflector:
    """One resource of one cluster, in all namespaces. ``run`` it until cancelled."""

    def __init__(  # noqa: PLR0913 - each part is replaced by tests or differs by resource
        self,
        cluster: str,
        resource: Resource,
        transport: Transport,
        places: Places,
        apply: Absorb,
        *,
        meter: Meter,
        log: Any,
        pace: Pace,
        chance: Chance,
    ) -> None:
        self._cluster = cluster
        self._resource = resource
        self._transport = transport
        self._places = places
        self._absorb = apply
        self._meter = meter
        self._log = log.bind(cluster=cluster, resource=resource.value)
        self._pace = pace
        self._chance = chance
        self._decode = DECODERS[resource]
        self._lister = Lister(
            resource,
            transport,
            places,
            pace=pace,
            chance=chance,
            log=self._log,
            asks=lambda: apply(Listing(cluster, resource)),
            heard=self._page_heard,
        )
        self._backoff = Backoff(pace.backoff_s, pace.backoff_cap_s, draw=chance.draw)
        self._known: dict[tuple[str, str], str] = {}
        self._version = ""  # to watch from; "" demands a list
        self._relist_at_s = 0.0
        self._opened_s: float | None = None
        self._heard = False
        self._current = False
        self._lapse: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """List and watch for ever; every failure is followed by a wait with jitter and a log line."""
        self._absorb(Freshness(self._cluster, self._resource, False, "not listed yet"))
        try:
            while True:
                error = await self._turn()
                if error is None:
                    continue
                asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
                pause_s = self._backoff.after_failure_s(asked_s)
                self._meter.watch_broke(self._cluster, self._resource.value)
                self._log.warning("watch broke", reason=str(error), retry_s=round(pause_s, 3))
                await self._chance.sleep(pause_s)
        finally:
            self._cancel_lapse()

    async def _turn(self) -> ApiError | None:
        """List if need be, then watch until it ends; give what went wrong, None when it ended in good order."""
        error: ApiError | None = None
        self._opened_s = None
        try:
            if not self._version:
                await self._list()
            elif self._relist_at_s - self._chance.monotonic() < 2 * self._pace.settled_s:
                # So near that a watch until then would look like one that was closed at once.
                await self._list_again()
            await self._watch()
        except NotServed:
            await self._wait_until_served()
            return None
        except (Expired, NotFound, _BadLineError) as gone:
            self._places.forget(self._resource)
            self._version = ""
            error = gone
        except ApiError as broken:
            error = broken
        opened_s = self._opened_s
        if opened_s is not None and (self._chance.monotonic() - opened_s >= self._pace.settled_s):
            self._backoff.reset()
        elif error is None:
            error = Unavailable("the watch was closed as soon as it was open")
        self._down(str(error or "between two watches"))
        return error

    async def _wait_until_served(self) -> None:
        """A kind that the cluster does not know is a list of nothing, and that is current knowledge; where objects of
        it were known, it is asked twice."""
        if self._known and await self._lister.is_served():
            return
        self._absorb(Listing(self._cluster, self._resource))
        self._replace((), "", served=False)
        self._version = ""
        self._cancel_lapse()
        self._tell(True)
        await self._chance.sleep(self._pace.recheck_s * (0.5 + self._chance.draw()))

    # --- listing ---------------------------------------------------------------------------------

    async def _list(self) -> None:
        """List, and go on from there."""
        found, self._version = await self._lister.read(self._known)
        self._replace(found, self._version, served=True)
        self._relist_at_s = self._chance.monotonic() + self._pace.relist_s * (
            0.8 + 0.4 * self._chance.draw()
        )
        self._log.info("listed", objects=len(found))

    async def _list_again(self) -> None:
        """Compare with a quorum, as planned. What is watched stays true where that is refused for now."""
        try:
            await self._list()
        except Unavailable as error:
            if not self._version:  # lapsed meanwhile
                raise
            self._relist_at_s = self._chance.monotonic() + self._pace.relist_retry_s
            self._log.warning("planned list failed", reason=str(error))

    def _replace(
        self, found: tuple[KubeObject | Undecodable, ...], version: str, *, served: bool
    ) -> None:
        before, self._known = self._known, {}
        for thing in found:
            self._remember(thing)
        for (namespace, name), last in before.items():
            if (namespace, name) not in self._known:
                self._absorb(Deleted(self._cluster, self._resource, namespace, name, last))
        self._absorb(Listed(self._cluster, self._resource, found, served, version))

    def _remember(self, thing: KubeObject | Undecodable) -> str:
        namespace, name, version = identify(thing)
        if isinstance(thing, Undecodable):
            self._log.warning("undecodable", namespace=namespace, name=name, reason=thing.message)
        self._known[namespace, name] = version
        return version

    # --- watching --------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Follow the changes since the list or the last event, until the server ends it or it breaks."""
        path = await self._places.path(self._resource)
        life_s = self._watch_life_s()
        query = {
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(life_s),
        }
        async with self._transport.stream(
            self._resource.value,
            path,
            query,
            silent_s=self._pace.silent_s,
            lifetime_s=life_s + OVERTIME_S,
        ) as chunks:
            self._opened_s, self._heard = self._chance.monotonic(), False
            self._up()
            lines = Lines(self._pace.line_limit_bytes)
            async for chunk in chunks:
                self._heard = True
                self._meter.watch_heard(self._cluster, self._resource.value)
                try:
                    complete = lines.feed(chunk)
                except LineTooLongError as error:
                    raise _BadLineError(str(error)) from error
                for line in complete:
                    self._take(line)

    def _watch_life_s(self) -> int:
        jittered_s = self._pace.watch_s * (0.8 + 0.4 * self._chance.draw())
        until_relist_s = self._relist_at_s - self._chance.monotonic()
        return max(1, round(min(jittered_s, until_relist_s)))

    def _take(self, line: bytes) -> None:
        try:
            event = _EVENT.decode(line)
        except (ValueError, RecursionError) as error:
            raise _BadLineError(f"a watch line that is no event: {error}") from error
        if event.type in {"ADDED", "MODIFIED", "DELETED"}:
            self._changed(event)
        elif event.type == "BOOKMARK":
            self._version = head(event.object)[2] or self._version
        elif event.type == "ERROR":
            status = read_status(event.object)
            message = f"{status.code} {status.message}"
            if status.code == 410:
                raise Expired(message, status=410)
            raise Unavailable(message, status=status.code)
        else:
            self._log.warning("unknown watch event", type=event.type[:40])

    def _changed(self, event: _Event) -> None:
        namespace, name, version = head(event.object)
        if not name:
            raise _BadLineError("an event about an object without a name")
        if event.type == "DELETED":
            self._known.pop((namespace, name), None)
            self._absorb(Deleted(self._cluster, self._resource, namespace, name, version))
        else:
            thing = self._decode(event.object)
            self._remember(thing)
            self._absorb(Upserted(self._cluster, self._resource, thing))
        self._version = version or self._version

    # --- freshness -------------------------------------------------------------------------------

    def _up(self) -> None:
        if not self._version:
            raise Unavailable("the watch opened too late to continue the list")
        self._cancel_lapse()
        self._meter.watch_heard(self._cluster, self._resource.value)
        self._tell(True)

    def _down(self, reason: str) -> None:
        now_s = self._chance.monotonic()
        if not self._heard and self._opened_s and now_s - self._opened_s >= self._pace.silent_s:
            self._relist_at_s = now_s
        if self._current and self._lapse is None:
            self._arm_lapse(reason)

    def _page_heard(self) -> None:
        if self._lapse is not None and self._backoff.failures == 0:
            self._cancel_lapse()
            self._arm_lapse("a list takes too long")

    def _arm_lapse(self, reason: str) -> None:
        loop = asyncio.get_running_loop()
        self._lapse = loop.call_later(self._pace.stale_after_s, self._lapsed, reason)

    def _cancel_lapse(self) -> None:
        if self._lapse is not None:
            self._lapse.cancel()
            self._lapse = None

    def _lapsed(self, reason: str) -> None:
        self._lapse = None
        self._version = ""
        self._tell(False, f"no watch for {self._pace.stale_after_s:g} s: {reason}")

    def _tell(self, current: bool, reason: str = "") -> None:
        if current != self._current:
            self._current = current
            log = self._log.info if current else self._log.warning
            log("current" if current else "stale", reason=reason)
            self._absorb(Freshness(self._cluster, self._resource, current, reason))
