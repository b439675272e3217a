"""Who may raise shares: a Lease in one cluster, held by one replica at a time.

Three laws. A replica stops leading by its own monotonic clock, before anybody else may begin: its time is
counted from the *sending* of its last renewal that succeeded, theirs from when they *saw* it. Whether
another's lease has run out is judged by how long its text was seen unchanged, never by comparing clocks.
And the fencing token never goes down: each acquisition is one more than every number seen before, in the Lease and
in the records, which outlive it. Where a record that came to light later is above it, it is taken anew, by a write
that only the holder can make.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from controller.kube.api import (
    AlreadyExists,
    ApiError,
    Backoff,
    Chance,
    Conflict,
    NotFound,
    Unavailable,
)
from controller.kube.objects import KubeObject, LeaseObject, Resource
from controller.runtime.settings import LeaseSettings

MARGIN = 0.2
"""Part of the duration by which leading ends before the lease does: clocks that run unevenly, and a stop."""

RELEASE_S = 1.0
"""How long a stop waits for the lease to be given back."""

LONGEST_S = 3600.0
"""A holder's recorded duration above this is not believed."""


class LeaseStore(Protocol):
    """What of a Cluster is used."""

    def now(self) -> datetime | None:
        """Return the API server's time."""

    async def get(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        """Read an object."""

    async def create(self, resource: Resource, namespace: str, body: dict[str, Any]) -> KubeObject:
        """Make an object."""

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: dict[str, Any]
    ) -> KubeObject:
        """Merge into an object."""


@dataclass(frozen=True, slots=True)
class ObservedLease:
    """The Lease as last read (None: there is none), since when its text is the same, and what we hold.

    All times are monotonic seconds. ``held_until_s`` is the end of our own leading (0: none), ``highest`` the
    highest fencing token seen in this process, and ``duration_s`` our own, for a holder who recorded none. ``newest``
    is the least token that no record is above, and ``climbed_s`` when ours was last taken anew for its sake.
    """

    lease: LeaseObject | None
    unchanged_since_s: float
    held_until_s: float
    highest: int
    duration_s: float
    newest: int = 0
    climbed_s: float = -math.inf

    def climbs(self, now_s: float) -> bool:
        """Report whether what we hold is to be taken anew above the records: once in a duration, lest two Leases'
        leaders climb above each other without end."""
        mine = self.lease.transitions if self.lease else 0
        return mine < self.newest and now_s >= self.climbed_s + self.duration_s


@dataclass(frozen=True, slots=True)
class Acquire:
    """Take the lease as this fencing token."""

    fencing_token: int


@dataclass(frozen=True, slots=True)
class Renew:
    """Hold on to it: the fencing token stays."""


@dataclass(frozen=True, slots=True)
class Wait:
    """It is somebody's for ``for_s`` seconds more, if he says nothing."""

    for_s: float


Step = Acquire | Renew | Wait


def step(observed: ObservedLease, me: str, now_s: float) -> Step:
    """Return what to do with the lease now. Pure; the write that follows is guarded by resourceVersion."""
    lease = observed.lease
    fencing_token = max(observed.highest, lease.transitions if lease else 0, observed.newest) + 1
    if lease is None or not lease.holder:
        return Acquire(fencing_token)
    if lease.holder == me:
        # Ours by name, but out of our time: others may have led meanwhile, so it is a new fencing token.
        held = now_s < observed.held_until_s and not observed.climbs(now_s)
        return Renew() if held else Acquire(fencing_token)
    recorded_s = lease.duration_s or 0.0
    duration_s = recorded_s if 1.0 <= recorded_s <= LONGEST_S else observed.duration_s
    left_s = observed.unchanged_since_s + duration_s - now_s
    return Wait(left_s) if left_s > 0 else Acquire(fencing_token)


class Leader:
    """A candidate for a Lease. ``identity`` is unique per process, not per Pod.

    ``newest`` returns the least fencing token that no record is above. ``changed`` is called, synchronously, whenever
    ``leads`` or ``fencing_token`` has changed, at the latest when the time of leading ends.
    """

    def __init__(
        self,
        cluster: LeaseStore,
        lease: LeaseSettings,
        identity: str,
        *,
        newest: Callable[[], int],
        changed: Callable[[], None],
        log: Any,
        chance: Chance | None = None,
    ) -> None:
        self._cluster = cluster
        self._namespace = lease.namespace
        self._name = lease.name
        self._me = identity
        self._duration_s = lease.duration_s
        self._newest = newest
        self._climbed_s = -math.inf
        self._changed = changed
        self._log = log.bind(lease=lease.full_name, identity=identity)
        self._chance = chance or Chance()
        self._backoff = Backoff(lease.duration_s / 15, lease.duration_s / 3, draw=self._chance.draw)
        self._lease: LeaseObject | None = None
        self._was_read = False
        self._unchanged_since_s = self._chance.monotonic()
        self._held_until_s = 0.0
        self._highest = 0
        self._announced = (False, 0)
        self._acquired = asyncio.Event()

    @property
    def leads(self) -> bool:
        """Report whether shares may be raised now. Ends by itself before the lease can run out."""
        return self._chance.monotonic() < self._held_until_s

    @property
    def fencing_token(self) -> int:
        """Return the highest number of a time of leading that was seen (leaseTransitions), 0 before any.

        While ``leads`` it is ours; another number afterwards says that somebody led since.
        """
        return self._highest

    @property
    def holder(self) -> str:
        """Return the identity of whoever holds the Lease, as last read; "" where nobody does."""
        return self._lease.holder if self._lease else ""

    @property
    def left_s(self) -> float:
        """Return the seconds for which this process still leads: what is begun under the lease ends by then."""
        return max(0.0, self._held_until_s - self._chance.monotonic())

    @property
    def may_roll_back(self) -> bool:
        """Report whether nobody else is known to lead: then callers may be rolled back without the lease.

        Another's lease counts as held until it was seen unchanged for its duration; one that was never
        read, for our own duration after the start.
        """
        if self.leads:
            return True
        lease = self._lease
        if lease is not None and not lease.holder:
            return True
        mine = lease is not None and lease.holder == self._me
        recorded_s = (lease.duration_s if lease else None) or self._duration_s
        unchanged_s = self._chance.monotonic() - self._unchanged_since_s
        return mine or unchanged_s > min(recorded_s, LONGEST_S)

    async def run(self) -> None:
        """Take part until cancelled; then give the lease back, within a second."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._notice_the_end())
                group.create_task(self._take_part())
        finally:
            await self._release()

    async def _take_part(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._duration_s / 3):
                    pause_s = await self._turn()
            except (ApiError, TimeoutError) as error:
                asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
                pause_s = self._backoff.after_failure_s(asked_s)
                self._was_read = False
                reason = str(error) or "no answer in time"
                self._log.warning("lease", reason=reason, retry_s=round(pause_s, 3))
            else:
                self._backoff.reset()
            await self._chance.sleep(pause_s)

    async def _turn(self) -> float:
        """Read where that is needed, act, and return the seconds until the next turn. Raises ApiError."""
        if not self._was_read:
            await self._read()
        action = self._step()
        try:
            await self._act(action)
        except (Conflict, AlreadyExists, NotFound):
            # Somebody wrote, made or deleted it: read once more, and act on what is there now.
            await self._read()
            action = self._step()
            await self._act(action)
        jittered_s = self._duration_s / 3 * (0.8 + 0.4 * self._chance.draw())
        if isinstance(action, Wait):
            self._was_read = False
            # Everybody waits for the same end: jitter keeps them from arriving together.
            end_s = action.for_s + self._chance.draw() * self._duration_s / 15
            return min(jittered_s, end_s)
        return jittered_s

    def _step(self) -> Step:
        observed = ObservedLease(
            self._lease,
            self._unchanged_since_s,
            self._held_until_s,
            self._highest,
            self._duration_s,
            self._newest(),
            self._climbed_s,
        )
        return step(observed, self._me, self._chance.monotonic())

    async def _read(self) -> None:
        try:
            found = await self._cluster.get(Resource.LEASES, self._namespace, self._name)
        except NotFound:
            self._note(None)
        else:
            self._note(_lease(found))
        self._was_read = True
        if self._lease is None or self._lease.holder != self._me:
            self._stop_leading()
        self._announce()

    def _note(self, lease: LeaseObject | None) -> None:
        if _text(lease) != _text(self._lease):
            self._unchanged_since_s = self._chance.monotonic()
        self._lease = lease
        self._highest = max(self._highest, lease.transitions if lease else 0)

    async def _act(self, action: Step) -> None:
        if isinstance(action, Wait):
            return
        now = self._cluster.now()
        if now is None:  # then renewals could not be told apart by others
            raise Unavailable("the API server tells no time")
        spec: dict[str, Any] = {
            "holderIdentity": self._me,
            "leaseDurationSeconds": max(1, math.ceil(self._duration_s)),
            "renewTime": _micro(now),
        }
        if isinstance(action, Acquire):
            spec |= {"leaseTransitions": action.fencing_token, "acquireTime": _micro(now)}
        sent_s = self._chance.monotonic()
        if isinstance(action, Acquire) and self.leads:
            self._climbed_s = sent_s
        self._note(await self._write(spec))
        self._held_until_s = sent_s + self._duration_s * (1.0 - MARGIN)
        if isinstance(action, Acquire):
            self._log.info("leading", fencing_token=self._highest)
        self._acquired.set()
        self._announce()

    async def _write(self, spec: dict[str, Any]) -> LeaseObject:
        if self._lease is None:
            body = {"metadata": {"name": self._name, "namespace": self._namespace}, "spec": spec}
            return _lease(await self._cluster.create(Resource.LEASES, self._namespace, body))
        version = self._lease.metadata.resource_version
        body = {"metadata": {"resourceVersion": version}, "spec": spec}
        return _lease(await self._cluster.patch(Resource.LEASES, self._namespace, self._name, body))

    async def _notice_the_end(self) -> None:
        """Announce the end of leading when its time comes, even while a renewal hangs."""
        while True:
            await self._acquired.wait()
            left_s = self._held_until_s - self._chance.monotonic()
            if left_s > 0:
                await self._chance.sleep(left_s)
            else:
                self._stop_leading()

    def _stop_leading(self) -> None:
        self._held_until_s = 0.0
        self._acquired.clear()
        self._announce()

    def _announce(self) -> None:
        now = (self.leads, self._highest)
        if now == self._announced:
            return
        if self._announced[0] and not now[0]:
            self._log.warning("not leading any more", fencing_token=self._announced[1])
        self._announced = now
        self._changed()

    async def _release(self) -> None:
        """Stop leading first, then let the others know at once; they need not wait if that fails."""
        held = self.leads
        self._stop_leading()
        if not held or self._lease is None:
            return
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._write({"holderIdentity": ""})
        except (ApiError, TimeoutError) as error:
            self._log.warning("lease not given back", reason=str(error) or "no answer in time")


def _lease(found: KubeObject) -> LeaseObject:
    if not isinstance(found, LeaseObject):
        raise TypeError(f"a Lease, not {type(found).__name__}")
    return found


def _text(lease: LeaseObject | None) -> tuple[object, ...]:
    if lease is None:
        return ()
    return (
        lease.holder,
        lease.duration_s,
        lease.transitions,
        lease.acquire_time,
        lease.renew_time,
    )


def _micro(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
