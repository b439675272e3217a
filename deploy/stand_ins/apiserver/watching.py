"""Watches: the events of one resource as a stream of JSON lines, with bookmarks and 410."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec

from deploy.stand_ins.apiserver import failures
from deploy.stand_ins.apiserver.reads import asked_version, predicates
from deploy.stand_ins.apiserver.selectors import Predicate
from deploy.stand_ins.apiserver.store import (
    Event,
    Store,
    Stored,
    Subscription,
    VersionExpired,
    with_version,
)
from deploy.stand_ins.apiserver.tables import Tables
from deploy.stand_ins.apiserver.writes import Target

# kube-apiserver's --min-request-timeout: a watch without timeoutSeconds lasts this or up to twice.
_LEAST_LENGTH_S = 1800.0
# A last bookmark goes out this long before the end, so that the client can go on from it.
_BOOKMARK_BEFORE_END_S = 2.0


@dataclass(slots=True)
class Watch:
    """One watch; `lines` is its stream. Iterate or `close` it, else it collects events for ever."""

    target: Target
    store: Store
    subscription: Subscription
    wanted: list[Predicate]
    initial: list[Stored]
    after: int
    """Events up to this version are not for this watch."""
    bookmarks_s: float | None
    """Seconds between bookmarks; None when the client did not ask for any."""
    initial_bookmark: bool
    length_s: float
    tables: Tables | None = None
    """How each object is printed; None where it is told as it is."""

    def close(self) -> None:
        """Stop collecting events."""
        self.store.unsubscribe(self.target.resource.key, self.subscription)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield bytes to send: one or more lines each."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.length_s
        last_bookmark = end - _BOOKMARK_BEFORE_END_S
        try:
            first = b"".join(self._line("ADDED", stored) for stored in self.initial)
            self.initial = []
            if self.initial_bookmark:
                first += self._bookmark(initial_end=True)
            if first:
                yield first
            bookmark_at = self._next_bookmark(loop.time(), last_bookmark)
            while loop.time() < end and not self.subscription.closed:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(min(bookmark_at, end)):
                        await self.subscription.ready()
                told = b"".join(self._told(event) for event in self.subscription.take())
                if loop.time() >= bookmark_at:
                    # In the same step as the take: nothing this bookmark covers is still pending. A watch from
                    # a version that is yet to come hears none (kube-apiserver's cacheWatcher).
                    told += self._bookmark() if self.store.version >= self.after else b""
                    bookmark_at = self._next_bookmark(loop.time(), last_bookmark)
                if told:
                    yield told
        finally:
            self.close()

    def _next_bookmark(self, now: float, last: float) -> float:
        if self.bookmarks_s is None:
            return float("inf")
        due = now + self.bookmarks_s
        return min(due, last) if now < last else due

    def _told(self, event: Event) -> bytes:
        """Return an event as seen through the selectors: what leaves them is DELETED."""
        if event.stored.version <= self.after or not self._in_namespace(event.stored):
            return b""
        if not self.wanted:
            return self._line(event.type, event.stored)
        before = event.previous is not None and self._is_wanted(event.previous)
        after = event.type != "DELETED" and self._is_wanted(event.stored)
        if after:
            return self._line("MODIFIED" if before else "ADDED", event.stored)
        if before and event.previous is not None:
            return self._line("DELETED", with_version(event.previous, event.stored.version))
        return b""

    def _in_namespace(self, stored: Stored) -> bool:
        return self.target.namespace in ("", stored.namespace)

    def _is_wanted(self, stored: Stored) -> bool:
        return all(holds(stored.body) for holds in self.wanted)

    def _line(self, kind: str, stored: Stored) -> bytes:
        encoded = stored.encoded(self.target.version)
        if self.tables is not None:
            version = {"resourceVersion": str(stored.version)}
            encoded = msgspec.json.encode(self.tables.table([stored], version))
        return b'{"type":"%s","object":%s}\n' % (kind.encode(), encoded)

    def _bookmark(self, *, initial_end: bool = False) -> bytes:
        """Return a bookmark of now; only right when everything pending was told."""
        resource = self.target.resource
        metadata: dict[str, object] = {"resourceVersion": str(self.store.version)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        content = {
            "type": "BOOKMARK",
            "object": {
                "kind": resource.kind,
                "apiVersion": resource.api_version(self.target.version),
                "metadata": metadata,
            },
        }
        return msgspec.json.encode(content) + b"\n"


def open_watch(
    store: Store,
    target: Target,
    query: Mapping[str, str],
    bookmark_every_s: float,
    tables: Tables | None = None,
) -> Watch:
    """Start a watch; raises ApiError, the 410 of a version that is too old included."""
    key = target.resource.key
    wanted = predicates(target, query)
    version = asked_version(query)
    send_initial = query.get("sendInitialEvents") in ("true", "1")
    from_start = send_initial or not version
    try:
        subscription = store.subscribe(key, None if from_start else version)
    except VersionExpired as expired:
        raise failures.expired_version(expired.asked, expired.oldest) from None
    objects = store.objects(key, target.namespace or None) if from_start else []
    length_s = float(query.get("timeoutSeconds") or 0)
    bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
    return Watch(
        target=target,
        store=store,
        subscription=subscription,
        wanted=wanted,
        initial=[stored for stored in objects if all(holds(stored.body) for holds in wanted)],
        after=version or 0,
        bookmarks_s=bookmark_every_s if bookmarks else None,
        initial_bookmark=send_initial and bookmarks,
        length_s=length_s or _LEAST_LENGTH_S * random.uniform(1, 2),
        tables=tables,
    )


def error_line(failure: failures.ApiError) -> bytes:
    """Return a failure as the only line of a stream, as a client of a watch meets a 410."""
    return msgspec.json.encode({"type": "ERROR", "object": failure.body}) + b"\n"
