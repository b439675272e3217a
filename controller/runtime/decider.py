"""What one decision may look at, put together for the key whose turn it is, and the decision on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from controller.decide.decision import Decision, decide
from controller.domain import GlobalContext, Key, Observed
from controller.runtime.settings import Settings
from controller.runtime.slots import Slots
from controller.runtime.store import Store
from controller.runtime.writer import Writer


class Leading(Protocol):
    """What of the lease is decided on."""

    @property
    def leads(self) -> bool:
        """Report whether this process holds the lease."""

    @property
    def may_roll_back(self) -> bool:
        """Report whether no other process is known to hold it."""

    @property
    def fencing_token(self) -> int:
        """Return the highest number of a time of leading that was seen."""


class Timed(Protocol):
    """What of a cluster is decided on."""

    def now(self) -> datetime | None:
        """Return the time of its API server, None where it never answered."""


class Decider:
    """Decides by the ``settings`` in force; as if without the lease once it ``raises`` no more."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clusters: Mapping[str, Timed],
        lease: Leading,
        slots: Slots,
        writer: Writer,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.raises = True
        self._store = store
        self._clusters = clusters
        self._lease = lease
        self._slots = slots
        self._writer = writer
        self._clock = clock
        self._known: tuple[datetime, float] | None = None
        """The lease cluster's time at the last decision, and the monotonic time then."""

    def decide(self, key: Key, *, just_read: bool) -> Decision:
        """Return what is next for one migration; decided anew where that takes or gives back its slot: a rollback
        asks for none.

        ``just_read``: its splits were just read from the API servers themselves.
        """
        now = self.now()
        decision = decide(self._observe(key, now, just_read=just_read), now)
        self._slots.want(decision, self._store.known(key).asked)
        if decision.observed.has_slot != self._slots.holds(key) and not decision.rolls_back:
            decision = decide(self._observe(key, now, just_read=just_read), now)
        self._store.note(decision)
        failures = self._writer.failures(key)
        if not failures:
            return decision
        warned = replace(decision.plan, warnings=decision.plan.warnings + failures)
        return replace(decision, plan=warned)

    def _observe(self, key: Key, now: datetime, *, just_read: bool) -> Observed:
        return self._store.observe(
            key,
            self._context(),
            self._clock(),
            writing=self._writer.writing(key, "split", "pin"),
            has_slot=self._slots.holds(key),
            slot_place=self._slots.place(key),
            just_read=just_read,
            now=now,
        )

    def _context(self) -> GlobalContext:
        settings = self.settings
        return GlobalContext(
            clusters=self._store.clusters,
            paused=settings.paused,
            leads=self._lease.leads and self.raises,
            may_roll_back=self._lease.may_roll_back,
            fencing_token=self._lease.fencing_token,
            lease=settings.lease.full_name,
            split=settings.split,
            traffic=settings.traffic.mode,
            prometheus=frozenset(n for n, c in settings.clusters.items() if c.prometheus.url),
        )

    def now(self) -> datetime:
        """Return the lease cluster's time; another's, or this machine's, only where it never answered.

        It passes no faster than the monotonic clock, so that a server whose clock is set ends no dwell and no soak.
        """
        now, now_s = self._clusters[self.settings.lease.cluster].now(), self._clock()
        if now is None:  # nor does anybody lead by now, who could raise
            times = (cluster.now() for cluster in self._clusters.values())
            return next((time for time in times if time is not None), datetime.now(UTC))
        if self._known is not None:
            known, known_s = self._known
            now = min(now, known + timedelta(seconds=now_s - known_s))
        self._known = now, now_s
        return now
