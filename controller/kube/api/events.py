"""Events on Services, for ``kubectl describe``; what is told again is counted and not repeated."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from controller.domain import FIELD_MANAGER
from controller.kube.api.cluster import Cluster
from controller.kube.api.errors import NotFound
from controller.kube.objects import Resource

SAME_WITHIN_S = 600.0
"""The same word within this time is the same Event."""

REMEMBERED = 1000
"""Events that can still be counted on; the one told longest ago is forgotten first."""

LONGEST_MESSAGE = 1024
"""Of an Event, in characters, as the API has it."""


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """The Service that an Event is about, or a ``kind`` of ours, which is of no namespace."""

    name: str
    uid: str
    kind: str = "Service"

    @property
    def api_version(self) -> str:
        """Return the version of its API."""
        return "v1" if self.kind == "Service" else "migrate.tradeshift/v1alpha1"


@dataclass(slots=True)
class _Told:
    event: str
    count: int
    at_s: float


class Events:
    """Events of one cluster."""

    def __init__(
        self, cluster: Cluster, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster = cluster
        self._monotonic = monotonic
        self._told: OrderedDict[tuple[str, str, str, str], _Told] = OrderedDict()

    async def tell(
        self,
        namespace: str,
        service: ServiceRef,
        reason: str,
        message: str,
        type: Literal["Normal", "Warning"] = "Normal",  # noqa: A002 - the API's own word
    ) -> None:
        """Post an Event, or count up the one that said the same. Raises the ApiError family."""
        message = message[:LONGEST_MESSAGE]
        key = (namespace, service.uid, reason, message)
        now_s = self._monotonic()
        told = self._told.get(key)
        if told is not None and now_s - told.at_s <= SAME_WITHIN_S:
            try:
                await self._count(namespace, told)
            except NotFound:  # the server keeps Events for an hour, or somebody deleted it
                del self._told[key]
            else:
                told.count, told.at_s = told.count + 1, now_s
                self._told.move_to_end(key)
                return
        name = f"{service.name}.{secrets.token_hex(8)}"
        await self._cluster.create(
            Resource.EVENTS, namespace, self._body(name, namespace, service, reason, message, type)
        )
        self._told[key] = _Told(name, 1, now_s)
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    async def _count(self, namespace: str, told: _Told) -> None:
        patch = {"count": told.count + 1, "lastTimestamp": _text(self._cluster.now())}
        await self._cluster.patch(Resource.EVENTS, namespace, told.event, patch)

    def _body(
        self,
        name: str,
        namespace: str,
        service: ServiceRef,
        reason: str,
        message: str,
        type: str,  # noqa: A002 - as tell
    ) -> dict[str, Any]:
        now = _text(self._cluster.now())
        return {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": service.api_version,
                "kind": service.kind,
                **({"namespace": namespace} if service.kind == "Service" else {}),
                "name": service.name,
                "uid": service.uid,
            },
            "reason": reason,
            "message": message,
            "type": type,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": FIELD_MANAGER},
        }


def _text(moment: datetime | None) -> str | None:
    """Return RFC 3339 to the second, as core/v1 Events have it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
