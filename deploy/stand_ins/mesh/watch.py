"""One kind of object of one cluster, followed: list, watch, and again after what breaks."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

import aiohttp

from deploy.stand_ins.mesh.config import Key, Object, key_of
from deploy.stand_ins.mesh.kube import ApiError, KubeClient, Resource

BACKOFF_S: Final = (0.1, 5.0)
"""Least and greatest pause after a failure."""

_GONE: Final = 410
_NOT_SERVED: Final = 404

log = logging.getLogger(__name__)


class Follow:
    """Tells ``put`` and ``drop`` of every object. ``listed`` is set once all of them were told.

    :meth:`run` goes on until cancelled: a world without its objects is of no use. ``optional``: a cluster
    that does not serve this kind has none of it, until it does.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        *,
        put: Callable[[Object], None],
        drop: Callable[[Key], None],
        rng: random.Random,
        optional: bool = False,
    ) -> None:
        self.listed = asyncio.Event()
        self._client = client
        self._resource = resource
        self._put = put
        self._drop = drop
        self._rng = rng
        self._optional = optional
        self._known: set[Key] = set()
        self._version: str | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        pause, longest = BACKOFF_S
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
                pause = BACKOFF_S[0]
            except (ApiError, aiohttp.ClientError, OSError) as error:
                # What the server said may be a version it no longer knows: begin anew.
                self._version = None
                if self._optional and isinstance(error, ApiError) and error.status == _NOT_SERVED:
                    self.listed.set()
                    pause = longest
                log.info("following %s failed: %r", self._resource.plural, error)
                await asyncio.sleep(pause * self._rng.uniform(0.5, 1.0))
                pause = min(longest, pause * 2)

    async def _list(self) -> None:
        items, version = await self._client.list(self._resource)
        gone = self._known - {key_of(obj) for obj in items}
        for obj in items:
            self._take(obj)
        for key in gone:
            self._forget(key)
        self._version = version
        self.listed.set()

    async def _watch(self) -> None:
        if self._version is None:
            return
        async for event, obj in self._client.watch(self._resource, self._version):
            if event == "ERROR":
                if obj.get("code") == _GONE:
                    self._version = None
                    return
                raise ApiError(int(obj.get("code") or 500), str(obj.get("message")))
            self._version = obj["metadata"]["resourceVersion"]
            if event == "DELETED":
                self._forget(key_of(obj))
            elif event != "BOOKMARK":
                self._take(obj)

    def _take(self, obj: Object) -> None:
        self._known.add(key_of(obj))
        self._put(obj)

    def _forget(self, key: Key) -> None:
        self._known.discard(key)
        self._drop(key)
