"""What is published of a decision: the Migration's status, and Events on the Service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from controller.decide.decision import Decision
from controller.domain import EventText, Key, Reason, WritePin, WriteSplit
from controller.domain.notices import Notify
from controller.domain.status import readable
from controller.kube.api import (
    AlreadyExists,
    ApiError,
    Cluster,
    Conflict,
    Events,
    NotFound,
    ServiceRef,
)
from controller.kube.objects import Resource, Upserted
from controller.report import status
from controller.report.gauges import gauges
from controller.report.notices import of_migration
from controller.report.ui import Shown
from controller.runtime.objects import ObjectName, Objects
from controller.runtime.store import Store
from controller.runtime.writer import Place, Writer

START_GRACE_S = 5.0
"""What is stale or unheld this soon after the start is not worth an Event."""

REWRITE_S = 2.0
"""A status that somebody wrote over is written again this long after ours, at the earliest."""


class Voice(Protocol):
    """What of the lease says who tells."""

    @property
    def leads(self) -> bool:
        """Report whether this process holds the lease."""

    @property
    def may_roll_back(self) -> bool:
        """Report whether no other process is known to hold it."""


class Publisher:
    """Publishes statuses and Events. ``moved`` is called with each transition and the status that tells it, ``notify``
    with what others are told, once its status is written."""

    def __init__(  # noqa: PLR0913 - each is told something else
        self,
        store: Store,
        clusters: Mapping[str, Cluster],
        objects: Objects,
        writer: Writer,
        lease: Voice,
        *,
        moved: Callable[[Decision, Mapping[str, Any]], None],
        notify: Notify,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._clusters = clusters
        self._objects = objects
        self._writer = writer
        self._lease = lease
        self._moved = moved
        self._notify = notify
        self._log = log
        self._clock = clock
        self._events = {n: Events(cluster, monotonic=clock) for n, cluster in clusters.items()}
        self._histories: dict[Key, status.History] = {}
        self._noted: dict[Key, status.Note | None] = {}

    def publish(self, decision: Decision) -> None:
        """Write the status and the Event of a transition, once its writes are done."""
        key, cluster = decision.key, self._status_cluster(decision.key)
        if cluster is None or not self._lease.may_roll_back or _starting(decision):
            return
        known = self._history(key, cluster)
        if known is None:
            return
        asked = self._store.known(key)
        telling = status.tell(
            known, decision.observed, decision.plan, asked, decision.now, self._clock()
        )
        if telling.status is None or self._waits(decision, known, telling):
            return
        place = Place(key, cluster, "status")
        if self._writer.busy(place) or self._rests(place):
            return
        if telling.events:
            self._note(decision, telling.history.note, telling.status)
        self._writer.submit(place, lambda: self._write_status(key, cluster, telling))

    def shown(self, decision: Decision) -> Shown:
        """Return what the page shows: what was decided here, else what the replica that decides has published."""
        key = decision.key
        cluster = self._status_cluster(key)
        told = self._told(key, cluster) if cluster else {}
        if not self._lease.may_roll_back:
            return Shown(readable(told))
        history = self._histories.get(key) or status.remember(told)
        body = status.body_of(
            decision.observed,
            decision.plan,
            self._store.known(key),
            history.transitions,
            history.conditions,
        )
        return Shown(body, gauges(decision).due)

    def wrote(self, action: WriteSplit | WritePin) -> None:
        """Log a write that was made, and have its Event posted."""
        if isinstance(action, WriteSplit):
            self._log.info(
                "wrote split",
                migration=str(action.key),
                cluster=action.cluster,
                share=action.record.share_permille / 10,
                away=action.away_permille / 10,
                revert=action.revert,
            )
        else:
            self._log.info(
                "wrote pin",
                migration=str(action.key),
                cluster=action.cluster,
                made=action.resource_version is None,
            )
        if text := action.event:
            told_in = self._status_cluster(action.key) or action.cluster
            self._writer.tell(told_in, lambda: self.emit(action.key, text))

    async def emit(self, key: Key, text: EventText, *, kind: str = "Normal") -> None:
        """Post an Event on the annotated Service. It is for people: losing one decides nothing."""
        cluster = self._status_cluster(key)
        service = self._store.views[cluster].service(key) if cluster else None
        if cluster is None or service is None:
            return
        try:
            await self._events[cluster].tell(
                key.namespace,
                ServiceRef(key.service, service.uid),
                text.reason,
                text.message,
                "Warning" if kind == "Warning" else "Normal",
            )
        except ApiError as error:
            self._log.warning(
                "event lost", migration=str(key), reason=text.reason, error=str(error)
            )

    def forget(self, key: Key) -> None:
        """Let go of a migration that is none any more."""
        self._histories.pop(key, None)
        self._noted.pop(key, None)

    def _waits(self, decision: Decision, known: status.History, telling: status.Telling) -> bool:
        """Return whether splits are being written, or are about to be: what stands then is published then.

        That callers are rolled back is published at once.
        """
        before, after = known.note, telling.history.note
        moved = after is not None and (before is None or before.phase != after.phase)
        if decision.rolls_back and moved:
            return False
        return bool(decision.plan.actions) or bool(self._writer.writing(decision.key, "split"))

    def _history(self, key: Key, cluster: str) -> status.History | None:
        """Return the history to go on from, None where another replica goes on with it.

        What others wrote since is part of it. Only the leader writes over that: of two who may both roll
        back, each would write over the other without end.
        """
        known, told = self._histories.get(key), self._told(key, cluster)
        if known is None:
            return status.remember(told)
        if status.stands(told, known):
            return known
        if not self._lease.leads:
            return None
        return status.remember(told) if told else replace(known, written=None)

    def _note(self, decision: Decision, note: status.Note | None, told: Mapping[str, Any]) -> None:
        """Tell of a transition once, however often its status is tried."""
        if self._noted.get(decision.key) != note:
            self._noted[decision.key] = note
            self._moved(decision, told)

    def _rests(self, place: Place) -> bool:
        """Let what somebody wrote over our status stand for a moment, and report whether it does: two leaders, of two
        Leases, would write over each other's without end."""
        known = self._histories.get(place.key)
        if known is None or status.stands(self._told(place.key, place.cluster), known):
            return False
        rest_s = known.written_s + REWRITE_S - self._clock()
        return rest_s > 0 and self._writer.submit(place, lambda: asyncio.sleep(rest_s))

    def _told(self, key: Key, cluster: str) -> Mapping[str, Any]:
        """Return what the Migration says now, whoever wrote it; {} where there is none."""
        migration = self._store.views[cluster].migration(key)
        return migration.status if migration else {}

    def _status_cluster(self, key: Key) -> str | None:
        """Return where the Migration stands: beside the annotated Service; of two, the first that has one."""
        annotated = self._store.known(key).annotated
        having = [n for n, view in self._store.views.items() if view.migration(key) is not None]
        both = [name for name in annotated if name in having]
        return next(iter([*both, *annotated, *having]), None)

    async def _write_status(self, key: Key, cluster: str, telling: status.Telling) -> None:
        """Write the status, then its Events. Only what was written counts as published.

        With the version of what it replaces: one that was held up on its way must not bury a newer one.
        """
        view = self._store.views[cluster]
        if view.migration(key) is None:
            await self._create_migration(key, cluster)
        known = view.migration(key)
        version = {"resourceVersion": known.metadata.resource_version} if known else {}
        try:
            found = await self._clusters[cluster].patch(
                Resource.MIGRATIONS,
                key.namespace,
                key.service,
                {"metadata": version, "status": telling.status},
                subresource="status",
            )
        except (Conflict, NotFound):
            await self._objects.read(ObjectName(cluster, Resource.MIGRATIONS, *key))
            raise
        self._histories[key] = telling.history
        self._store.apply(Upserted(cluster, Resource.MIGRATIONS, found))
        written = telling.history.written
        if telling.events and written:
            self._notify(str(key), of_migration(key, written))
        for event in telling.events:
            await self.emit(key, EventText(event.reason, event.message), kind=event.kind)

    async def _create_migration(self, key: Key, cluster: str) -> None:
        service = self._store.views[cluster].service(key)
        metadata: dict[str, Any] = {"name": key.service, "namespace": key.namespace}
        if service is not None:
            metadata["ownerReferences"] = [
                {"apiVersion": "v1", "kind": "Service", "name": key.service, "uid": service.uid}
            ]
        api = self._clusters[cluster]
        try:
            found = await api.create(Resource.MIGRATIONS, key.namespace, {"metadata": metadata})
        except AlreadyExists:
            found = await api.get(Resource.MIGRATIONS, key.namespace, key.service)
        self._store.apply(Upserted(cluster, Resource.MIGRATIONS, found))


def _starting(decision: Decision) -> bool:
    """Return whether this is only the blindness of a process that has just begun."""
    blind = decision.reason in (Reason.CLUSTER_STALE, Reason.NO_LEASE)
    return blind and decision.observed.started_s < START_GRACE_S
