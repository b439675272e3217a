"""What a plan asks of the API servers, submitted to the writer: splits, pins, and reads of splits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Protocol

from controller.domain import (
    Action,
    Key,
    ReadCanary,
    ReadEndpoints,
    ReadSplits,
    SplitKind,
    WriteCanary,
    WritePin,
    WriteSplit,
)
from controller.kube.api import AlreadyExists, Unavailable
from controller.kube.objects import Resource
from controller.mesh import pin
from controller.mesh.splits import canary, mirror_name
from controller.mesh.splits.kinds import PROVIDERS
from controller.report.tracing import Tracing
from controller.runtime.objects import ObjectName, Objects
from controller.runtime.settings import Settings
from controller.runtime.store import Store
from controller.runtime.writer import Place, Writer


class LeaseTime(Protocol):
    """What of the lease bounds a raise."""

    @property
    def left_s(self) -> float:
        """Return the seconds for which this process still leads."""


class Writes:
    """Submits actions. ``read`` is called with each read that was just made, and ``report`` with each write."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        objects: Objects,
        writer: Writer,
        lease: LeaseTime,
        *,
        read: Callable[[ReadSplits | ReadEndpoints], None],
        report: Callable[[WriteSplit | WritePin], None],
        tracing: Tracing,
    ) -> None:
        self._settings = settings
        self._store = store
        self._objects = objects
        self._writer = writer
        self._lease = lease
        self._was_read = read
        self._report = report
        self._tracing = tracing

    def submit(self, actions: Iterable[Action]) -> None:
        """Have each action done, unless its object is being written already."""
        for action in actions:
            self._submit(action)

    def _submit(self, action: Action) -> None:
        if isinstance(action, ReadSplits):
            place = Place(action.key, "", "read")
            self._writer.submit(place, lambda: self._read_splits(action))
        elif isinstance(action, WritePin):
            place = Place(action.key, action.cluster, "pin")
            self._writer.submit(place, lambda: self._write_pin(action))
        elif isinstance(action, WriteCanary):
            place = Place(action.key, action.cluster, "canary")
            self._writer.submit(place, lambda: self._write_canary(action))
        elif isinstance(action, ReadEndpoints):
            place = Place(action.key, action.cluster, "read")
            self._writer.submit(place, lambda: self._read_endpoints(action))
        elif isinstance(action, ReadCanary):
            place = Place(action.key, action.cluster, "read")
            self._writer.submit(place, lambda: self._read_canary(action))
        else:
            place = Place(action.key, action.cluster, "split")
            self._writer.submit(place, lambda: self._write_split(action), urgent=action.revert)

    async def _write_split(self, action: WriteSplit) -> None:
        """Write weights and record in one patch. A raise must be over before the lease can be lost."""
        limit_s = None if action.revert else self._lease.left_s
        with self._span(action):
            try:
                async with asyncio.timeout(limit_s):
                    written = await self._put_split(action)
            except TimeoutError:
                raise Unavailable(
                    "the lease ran out before the answer came", outcome_unknown=True
                ) from None
        if written:
            self._report(action)

    async def _put_split(self, action: WriteSplit) -> bool:
        """Write every object of a split at once; report whether any was written. Raises what the first that failed
        raised: the others are written all the same, and the next decision sees what is left."""
        if not action.beside:
            return await self._put_part(action)
        found = await asyncio.gather(
            *(self._put_part(write) for write in action.each()), return_exceptions=True
        )
        for outcome in found:
            if isinstance(outcome, BaseException):
                raise outcome
        return any(found)

    async def _put_part(self, action: WriteSplit) -> bool:
        """Write one object; report whether that was done, and not left out because another split stands there."""
        create = action.resource_version is None
        if create and await self._has_another(action):
            return False
        provider = PROVIDERS[action.kind]
        far = next(name for name in self._store.clusters if name != action.cluster)
        at = ObjectName(action.cluster, provider.RESOURCE, action.key.namespace, action.name)
        body = provider.body(action, mirror_name(action.key.service, far))
        await self._objects.put(at, body, create=create)
        return True

    async def _has_another(self, action: WriteSplit) -> bool:
        """Return whether there is a split of another kind, or of the same port, of which the streams did not know.

        Each kind has a stream of its own, so a split that was converted may be seen to go before its
        successor is seen to come.
        """
        for kind, provider in PROVIDERS.items():
            if kind is not action.kind:
                await self._objects.read(ObjectName(action.cluster, provider.RESOURCE, *action.key))
        there = self._store.views[action.cluster].splits(action.key)
        return any(s.kind is not action.kind or s.parent_port in (None, action.port) for s in there)

    def _span(self, action: WriteSplit) -> AbstractContextManager[object]:
        """Trace a write of an attempt; one that only enrols belongs to none."""
        attempt = action.record.attempt
        if attempt is None:
            return nullcontext()
        return self._tracing.span(
            action.key,
            attempt,
            "revert" if action.revert else "step",
            cluster=action.cluster,
            share_permille=action.record.share_permille,
        )

    async def _write_pin(self, action: WritePin) -> None:
        namespace = self._settings.clusters[action.cluster].gateway_namespace
        domain = self._store.domain(action.cluster)
        create = action.resource_version is None
        name = pin.name(action.key, domain)
        at = ObjectName(action.cluster, Resource.SERVICEPROFILES, namespace, name)
        await self._objects.put(at, pin.body(action, namespace, domain), create=create)
        self._report(action)

    async def _write_canary(self, action: WriteCanary) -> None:
        """Make the canary; that another migration has made it meanwhile is as good."""
        namespace = self._settings.clusters[action.cluster].gateway_namespace
        resource = PROVIDERS[action.kind].RESOURCE
        at = ObjectName(action.cluster, resource, namespace, canary.CANARY)
        with suppress(AlreadyExists):
            await self._objects.put(at, canary.body(action.kind, namespace), create=True)

    async def _read_canary(self, action: ReadCanary) -> None:
        """Read the canary and its answer from the API server itself: a stream may have withheld either."""
        namespace = self._settings.clusters[action.cluster].gateway_namespace
        asked = Key(namespace, canary.CANARY)
        await self._read_with_answer(action.cluster, asked, action.kind, canary.CANARY)
        self._store.views[action.cluster].canary_read(action.kind)

    async def _read_with_answer(self, cluster: str, key: Key, kind: SplitKind, name: str) -> None:
        """Read a split of a Service, and what says whether it is obeyed: of an HTTPRoute its own status does."""
        found = [ObjectName(cluster, PROVIDERS[kind].RESOURCE, key.namespace, name)]
        if kind is SplitKind.TRAFFICSPLIT:
            profile = pin.name(key, self._store.domain(cluster))
            found.append(ObjectName(cluster, Resource.SERVICEPROFILES, key.namespace, profile))
        await asyncio.gather(*(self._objects.read(at) for at in found))

    async def _read_endpoints(self, action: ReadEndpoints) -> None:
        """List the slices of the Service and of its mirror: what is not there is gone, as if a stream said so."""
        cluster, key = action.cluster, action.key
        far = next(name for name in self._store.clusters if name != cluster)
        for service in (key.service, mirror_name(key.service, far)):
            known = self._store.views[cluster].slice_names(Key(key.namespace, service))
            await self._objects.list_slices(cluster, Key(key.namespace, service), known)
        self._was_read(action)

    async def _read_splits(self, action: ReadSplits) -> None:
        """Read both splits from the API servers themselves: what is decided next is decided on that."""
        key = action.key
        await asyncio.gather(
            *(
                self._objects.read(
                    ObjectName(cluster, PROVIDERS[split.kind].RESOURCE, key.namespace, split.name)
                )
                for cluster, view in self._store.views.items()
                for split in view.splits(key)
            )
        )
        self._was_read(action)
