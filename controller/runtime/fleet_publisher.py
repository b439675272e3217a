"""What is published of a Fleet: its status, Events on it, its metrics, and its lane on the page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from structlog.typing import FilteringBoundLogger

from controller.decide.fleet.progress import Picture
from controller.domain.fleet_status import FleetStatus, encoded, patch_of, readable
from controller.domain.notices import Notify
from controller.kube.api import ApiError, Cluster, Conflict, Events, NotFound, ServiceRef
from controller.kube.objects import FleetObject, Resource, Upserted
from controller.report.fleet_status import Told, events_of, progressed, status_of
from controller.report.metrics import Metrics
from controller.report.notices import of_fleet
from controller.report.status import Event
from controller.report.ui import Feed
from controller.runtime.fleets import Fleets, fleet_key
from controller.runtime.objects import ObjectName, Objects
from controller.runtime.publisher import Voice
from controller.runtime.writer import Place, Writer

REFRESH_S = 2.0
"""A Fleet is shown this often at most, but for what opens, closes or ends: in a herd every Service changes it."""

EVENTS_IN = "default"
"""The namespace of the Events of what has none, as Kubernetes has it."""


class FleetPublisher:
    """Publishes how Fleets stand, in the ``cluster`` that has them."""

    def __init__(  # noqa: PLR0913 - each is told something else
        self,
        fleets: Fleets,
        cluster: Cluster,
        objects: Objects,
        writer: Writer,
        lease: Voice,
        *,
        metrics: Metrics,
        page: Feed,
        notify: Notify,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
    ) -> None:
        self._fleets = fleets
        self._cluster = cluster
        self._objects = objects
        self._writer = writer
        self._lease = lease
        self._metrics = metrics
        self._page = page
        self._notify = notify
        self._log = log
        self._clock = clock
        self._events = Events(cluster, monotonic=clock)
        self._shown: dict[str, tuple[float, tuple[object, ...]]] = {}
        self._stands: dict[str, tuple[Any, Any]] = {}
        """By Fleet what was written last, and what stood then: an older CRD drops what it does not know."""

    def publish(self, name: str, picture: Picture, now: datetime) -> float | None:
        """Show how a Fleet stands, and write it where it is another than before; return after how many seconds to come
        again, None: at the next change."""
        sign = (picture.sign, *((view.sign, view.state) for view in picture.waves))
        shown_s, shown = self._shown.get(name, (float("-inf"), ()))
        if shown == sign and (wait_s := shown_s + REFRESH_S - self._clock()) > 0:
            return wait_s
        self._shown[name] = self._clock(), sign
        self._show(name, picture, now)
        return None

    def _show(self, name: str, picture: Picture, now: datetime) -> None:
        """Show a Fleet, and write it. The leader's word is the word: what another replica has it does not show."""
        found = self._fleets.written(name)
        if not self._lease.may_roll_back:
            self._metrics.fleets.forget(name)
            self._page.put_fleet(name, lambda: readable(found.status))
            return
        told = Told(self._fleets.programme(name), picture, self._fleets.unplaced())
        before = readable(found.status)
        after = status_of(told, before, now)
        body = encoded(after)
        self._page.put_fleet(name, lambda: body)
        self._metrics.fleets.show(
            name, body, self._fleets.waves_of(name), progressed(told.programme, picture)
        )
        stands = body == found.status or self._stands.get(name) == (body, found.status)
        if stands or not self._lease.leads or self._fleets.is_unknown(name):
            return
        place = Place(fleet_key(name), self._fleets.at, "status")
        if not self._writer.busy(place):
            self._writer.submit(place, lambda: self._write(found, before, after, now))

    def forget(self, name: str) -> None:
        """Let go of a Fleet that is no more."""
        self._page.drop_fleet(name)
        self._metrics.fleets.forget(name)
        self._shown.pop(name, None)
        self._stands.pop(name, None)
        self._writer.forget(fleet_key(name))

    async def _write(
        self, found: FleetObject, before: FleetStatus, after: FleetStatus, now: datetime
    ) -> None:
        """Write a status with the version that it was made of, then tell what came to be otherwise."""
        meta = found.metadata
        body: dict[str, Any] = {
            "metadata": {"resourceVersion": meta.resource_version},
            "status": patch_of(found.status, encoded(after)),
        }
        try:
            answer = await self._cluster.patch(
                Resource.FLEETS, meta.namespace, meta.name, body, subresource="status"
            )
        except (Conflict, NotFound):
            await self._objects.read(
                ObjectName(self._fleets.at, Resource.FLEETS, meta.namespace, meta.name)
            )
            raise
        if isinstance(answer, FleetObject):
            self._stands[meta.name] = encoded(after), answer.status
        self._objects.take(Upserted(self._fleets.at, Resource.FLEETS, answer))
        events = list(events_of(before, after, meta.name))
        for event in events:
            notice = of_fleet(meta.name, event, now)
            self._notify(notice.subject, notice)
        for event in events:
            await self._tell(meta.name, meta.uid, event)

    async def _tell(self, name: str, uid: str, event: Event) -> None:
        """Post an Event on a Fleet. It is for people: losing one decides nothing."""
        self._log.info("fleet", fleet=name, reason=event.reason, message=event.message)
        about = ServiceRef(name, uid, "Fleet")
        try:
            await self._events.tell(
                EVENTS_IN,
                about,
                event.reason,
                event.message,
                "Warning" if event.kind == "Warning" else "Normal",
            )
        except ApiError as error:
            self._log.warning("event lost", fleet=name, reason=event.reason, error=str(error))
