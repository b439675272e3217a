"""Lists of one resource that nobody is gone by, and nothing is unreadable by, unless two of them say so.

An API server that is restored, or reads from a store that lost its way, may answer a list without what is there, or
with what is not of its shape; what a list says stays until the next one, minutes later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from controller.kube.api.discovery import Places
from controller.kube.api.errors import ApiError, NotServed, Unavailable
from controller.kube.api.paging import whole
from controller.kube.api.timings import Chance, Pace
from controller.kube.api.transport import Transport
from controller.kube.objects import DECODERS, KubeObject, Resource, Undecodable, identify


class Found(NamedTuple):
    """All that there is, of one moment, and the version to watch from."""

    objects: tuple[KubeObject | Undecodable, ...]
    version: str


class Lister:
    """Lists one resource of one cluster. ``asks`` is called before a list is asked for, ``heard`` with each page."""

    def __init__(
        self,
        resource: Resource,
        transport: Transport,
        places: Places,
        *,
        pace: Pace,
        chance: Chance,
        log: Any,
        asks: Callable[[], None],
        heard: Callable[[], None],
    ) -> None:
        self._resource = resource
        self._transport = transport
        self._places = places
        self._pace = pace
        self._chance = chance
        self._log = log
        self._asks = asks
        self._heard = heard

    async def read(self, known: Collection[tuple[str, str]]) -> Found:
        """List, and once more where that lacks what is known, and nobody saw deleted, or holds what cannot be read."""
        found = await self._once()
        missing = set(known) - {identify(each)[:2] for each in found.objects}
        odd = sum(isinstance(each, Undecodable) for each in found.objects)
        if not missing and not odd:
            return found
        self._log.warning("a list is doubted: listing again", missing=len(missing), undecodable=odd)
        await self._chance.sleep(self._pace.doubt_s)
        return await self._once()

    async def is_served(self) -> bool:
        """Ask again, a moment later, whether a kind of which objects are known is served; unknown counts as yes."""
        await self._chance.sleep(self._pace.doubt_s)
        try:
            await self._places.path(self._resource)
        except NotServed:
            return False
        except ApiError as error:
            self._log.warning("whether it is served is not known", reason=str(error))
        return True

    async def _once(self) -> Found:
        """List all pages. Without a resource version each is a quorum read, of one and the same moment."""
        path = await self._places.path(self._resource)
        self._asks()
        answer = await whole(
            lambda query: self._transport.request("GET", self._resource.value, path, query=query),
            {"limit": str(self._pace.page)},
            heard=self._heard,
        )
        if not answer.version:
            raise Unavailable("a list without a resourceVersion")
        found = tuple(map(DECODERS[self._resource], answer.items))
        if not all(identify(each)[1] for each in found):
            raise Unavailable("a list with an object without a name")
        return Found(found, answer.version)
