"""A Fleet's turn in the queue: what holds for it now, whom that concerns, what is told, and when to look again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from controller.domain import Key
from controller.runtime.fleet_publisher import FleetPublisher
from controller.runtime.fleets import Fleets, fleet_key
from controller.runtime.queue import Queue, Rank


class FleetLooks:
    """Looks at Fleets. ``now`` is the lease cluster's time; who is ``probed`` may have to be rolled back."""

    def __init__(
        self,
        fleets: Fleets,
        queue: Queue,
        publisher: FleetPublisher,
        now: Callable[[], datetime],
        probed: Callable[[Key], bool],
    ) -> None:
        self._fleets = fleets
        self._queue = queue
        self._publisher = publisher
        self._now = now
        self._probed = probed

    def look(self, key: Key) -> None:
        """See what holds for a Fleet now, tell it, and look again when time alone ends that."""
        name = key.service
        if not self._fleets.has(name):
            self._queue.forget(key)
            self._publisher.forget(name)
            return
        now = self._now()
        found = self._fleets.picture(name, now)
        self.queue_due(looked_at=key)
        again_s = self._publisher.publish(name, found, now)
        if again_s is not None:
            self._queue.add_in(key, again_s)
        if found.changes is not None:
            self._queue.add_in(key, (found.changes - now).total_seconds())

    def queue_all(self) -> None:
        """Have every Fleet looked at: who leads is another."""
        for name in self._fleets.all():
            self._queue.add(fleet_key(name))

    def queue_due(self, looked_at: Key | None = None) -> None:
        """Queue whom it concerns that another word of a Fleet holds; first who may have to be rolled back by it."""
        for key in self._fleets.due() - {looked_at}:
            self._queue.add(key, Rank.WITNESS if self._probed(key) else Rank.ECHO)
