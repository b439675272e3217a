"""A Fleet's turn in the queue: what holds for it now, whom that concerns, and when it is looked at again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from controller.domain import Key
from controller.runtime.fleets import Fleets
from controller.runtime.queue import Queue, Rank


class FleetLooks:
    """Looks at Fleets. ``now`` is the lease cluster's time; who is ``probed`` may have to be rolled back."""

    def __init__(
        self,
        fleets: Fleets,
        queue: Queue,
        now: Callable[[], datetime],
        probed: Callable[[Key], bool],
    ) -> None:
        self._fleets = fleets
        self._queue = queue
        self._now = now
        self._probed = probed

    def look(self, key: Key) -> None:
        """See what holds for a Fleet now, and look again when time alone ends that."""
        if not self._fleets.has(key.service):
            self._queue.forget(key)
            return
        now = self._now()
        found = self._fleets.picture(key.service, now)
        self.queue_due(looked_at=key)
        if found.changes is not None:
            self._queue.add_in(key, (found.changes - now).total_seconds())

    def queue_due(self, looked_at: Key | None = None) -> None:
        """Queue whom it concerns that another word of a Fleet holds; first who may have to be rolled back by it."""
        for key in self._fleets.due() - {looked_at}:
            self._queue.add(key, Rank.WITNESS if self._probed(key) else Rank.ECHO)
