"""One write at a time for each (migration, cluster, object), and nothing decided here.

A write that fails is not repeated: its place rests for a moment (backoff, full jitter, ``Retry-After``), then
the migration is reconciled again, and what is right by then is written. A revert replaces whatever is under
way at its place: the old write carries an older resourceVersion, so it meets a conflict if it still lands.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal, NamedTuple

from structlog.typing import FilteringBoundLogger

from controller.domain import Key, Reason
from controller.kube.api import ApiError, Backoff, NotFound, Unavailable
from controller.runtime.lane import Lane, Pressing

What = Literal["split", "pin", "canary", "read", "status", "event"]
Work = Callable[[], Coroutine[Any, Any, None]]

PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
LONGEST_URGENT_PAUSE_S = 1.0
"""A revert that an API server refuses is tried again at least once a second, as long as it takes."""


PRESSING: Mapping[What, Pressing] = {
    "pin": Pressing.PIN,
    "status": Pressing.TELL,
    "event": Pressing.TELL,
}
"""What else than a rollback goes before or after a move."""

TOO_MANY = 429

STALE_S = 0.3
"""What was decided longer ago is no ground for a move: evidence is fresh for as long."""


class Place(NamedTuple):
    """What is written: one object of one migration in one cluster."""

    key: Key
    cluster: str
    what: What


@dataclass(slots=True)
class _Write:
    """A write under way, or resting after a failure."""

    task: asyncio.Task[None]
    urgent: bool


@dataclass(slots=True)
class Failure:
    """Why the last write at a place failed, and how often in a row."""

    message: str
    count: int = 1
    backoff: Backoff = field(default_factory=lambda: Backoff(PAUSE_S, LONGEST_PAUSE_S))


class Writer:
    """All writes in flight. ``done`` is called with the key, and whether it was urgent, after each."""

    def __init__(
        self,
        done: Callable[[Key, bool], None],
        log: FilteringBoundLogger,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._done = done
        self._log = log
        self._clock = clock
        self._lanes: defaultdict[str, Lane] = defaultdict(lambda: Lane(clock))
        self._telling: set[asyncio.Task[None]] = set()
        self._writes: dict[Place, _Write] = {}
        self._failures: dict[Place, Failure] = {}

    def busy(self, place: Place) -> bool:
        """Return whether a write is under way or resting here."""
        return place in self._writes

    def writing(self, key: Key, *what: What) -> frozenset[str]:
        """Return the clusters in which such objects of this migration are being written."""
        return frozenset(p.cluster for p in self._writes if p.key == key and p.what in what)

    def failures(self, key: Key) -> tuple[tuple[Reason, str], ...]:
        """Return what an API server refused last for this migration, until it succeeds, as warnings.

        Nobody sees a log line from the outside.
        """
        failed = sorted((p, f.message) for p, f in self._failures.items() if p.key == key)
        return tuple(
            (Reason.WRITE_FAILED, f"{_undone(place)}: {message}") for place, message in failed
        )

    def submit(self, place: Place, work: Work, *, urgent: bool = False) -> bool:
        """Begin this work, unless its place is busy; urgent work replaces what is not."""
        held = self._writes.get(place)
        if held is not None:
            if held.urgent or not urgent:
                return False
            held.task.cancel()
        task = asyncio.create_task(self._run(place, work, urgent=urgent), name=f"{place}")
        self._writes[place] = _Write(task, urgent)
        return True

    def tell(self, cluster: str, work: Work) -> None:
        """Have something told that decides nothing, when it is its turn; nobody waits for it."""
        task = asyncio.create_task(self._tell(cluster, work))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, cluster: str, work: Work) -> None:
        async with self._lanes[cluster].turn(Pressing.TELL):
            await work()

    async def drain(self, deadline_s: float) -> None:
        """Let what is in flight finish, then end what did not."""
        tasks = [*(write.task for write in self._writes.values()), *self._telling]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=deadline_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def drop_raises(self) -> None:
        """End every write that is not a revert: the lease is lost."""
        for place, write in list(self._writes.items()):
            if place.what == "split" and not write.urgent:
                write.task.cancel()

    async def _run(self, place: Place, work: Work, *, urgent: bool) -> None:
        me = asyncio.current_task()
        try:
            await self._in_turn(place, work, urgent=urgent)
            self._failures.pop(place, None)
        except ApiError as error:
            await self._rest(place, error, urgent=urgent)
        except Exception as error:  # noqa: BLE001 - an error of ours: logged, and tried again like any other
            self._log.exception("write failed by an error of ours", migration=str(place.key))
            await self._rest(place, ApiError(repr(error)), urgent=urgent)
        finally:
            held = self._writes.get(place)
            if held is not None and held.task is me:
                del self._writes[place]
            self._done(place.key, urgent)

    async def _in_turn(self, place: Place, work: Work, *, urgent: bool) -> None:
        """Do the work in its turn. A move that waited too long for it is left out: it is decided on anew."""
        lane, came_s = self._lanes[place.cluster], self._clock()
        pressing = Pressing.ROLLBACK if urgent else PRESSING.get(place.what, Pressing.MOVE)
        try:
            async with lane.turn(pressing):
                if pressing is Pressing.MOVE and self._clock() - came_s > STALE_S:
                    return
                await work()
        except Unavailable as error:
            if error.status == TOO_MANY and error.retry_after_s:
                lane.pause(error.retry_after_s)
            raise
        if urgent:
            lane.landed()

    async def _rest(self, place: Place, error: ApiError, *, urgent: bool) -> None:
        """Rest after a failure; what the server asked for is honoured, for a revert up to a second."""
        known = self._failures.get(place)
        failure = known or Failure(str(error), count=0)
        failure.message, failure.count = str(error), failure.count + 1
        self._failures[place] = failure
        asked = error.retry_after_s if isinstance(error, Unavailable) else None
        pause = failure.backoff.after_failure_s(asked)
        if urgent:
            pause = min(pause, LONGEST_URGENT_PAUSE_S)
        if not isinstance(error, NotFound) or failure.count > 1:
            self._log.warning(
                "write failed",
                migration=str(place.key),
                cluster=place.cluster,
                what=place.what,
                error=str(error),
                tries=failure.count,
                again_in_s=round(pause, 2),
            )
        await asyncio.sleep(pause)

    def forget(self, key: Key) -> None:
        """Let go of what is remembered of a migration that ended."""
        for place in [place for place in self._failures if place.key == key]:
            del self._failures[place]


def _undone(place: Place) -> str:
    if place.what == "read":
        return f"{place.cluster or 'a split'} was not read"
    return f"in {place.cluster} the {place.what} was not written"
