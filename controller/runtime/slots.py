"""Who holds a slot and who waits for one; who is granted it, ``controller.decide.slots`` decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from controller.decide.decision import Decision
from controller.decide.slots import Want, grant
from controller.domain import Key


class SlotsMeter(Protocol):
    """Where the numbers go."""

    def slots(self, in_use: int, waiting: int) -> None:
        """Take how many slots are held, and how many migrations wait for one."""


class Slots:
    """The slots of all migrations, ``size`` of them, and the probes a second that each migration takes.

    ``caps`` tells what each cluster's probers can send; ``changed`` is called with each migration that gained
    or lost a slot, or another place in the queue for one.
    """

    def __init__(
        self,
        size: int,
        caps: Callable[[], Mapping[str, float]],
        changed: Callable[[Key], None],
        meter: SlotsMeter,
        clock: Callable[[], float],
    ) -> None:
        self._size = size
        self._caps = caps
        self._changed = changed
        self._meter = meter
        self._clock = clock
        self._wants: dict[Key, Want] = {}
        self._rates: dict[Key, float] = {}
        self._held_up_since_s: dict[Key, float] = {}
        self._holders: frozenset[Key] = frozenset()
        self._given_back = False
        self._waiting: tuple[Key, ...] = ()

    def holds(self, key: Key) -> bool:
        """Return whether a migration holds a slot."""
        return key in self._holders

    def place(self, key: Key) -> int:
        """Return a migration's place in the queue for a slot, from 1 (0: not queued)."""
        return self._waiting.index(key) + 1 if key in self._waiting else 0

    def probed(self, key: Key) -> bool:
        """Return whether a migration is probed, so that it may have to be rolled back."""
        return key in self._rates

    @property
    def all_probed(self) -> int:
        """How many migrations are probed."""
        return len(self._rates)

    def want(self, decision: Decision, asked: datetime | None) -> None:
        """Take in whether a migration wants a slot; ``asked`` is when its annotation was written."""
        key, decided = decision.key, decision.plan
        if decision.held_up and self.holds(key):
            self._held_up_since_s.setdefault(key, self._clock())
        else:
            self._held_up_since_s.pop(key, None)
        if decided.probes:
            self._rates[key] = decided.rate_per_s
        else:
            self._rates.pop(key, None)
        if not decided.wants_slot:
            self._want_none(key)
            return
        want = Want(
            key,
            asked,
            dict.fromkeys(decision.observed.context.clusters, decided.rate_per_s),
            shifted=decision.state.shifted,
            limits=word.limits if (word := decision.observed.fleet) else (),
        )
        if self._wants.get(key) != want:
            self._wants[key] = want
            self.regrant()

    def forget(self, key: Key) -> None:
        """Let go of a migration that is none any more."""
        self._held_up_since_s.pop(key, None)
        self._rates.pop(key, None)
        self._want_none(key)

    def resize(self, size: int) -> None:
        """Have so many slots from now on."""
        self._size = size
        self.regrant()

    def settle(self) -> None:
        """Share out what was given back. Not at once: a herd that is rolled back gives back one after the other."""
        if self._given_back:
            self.regrant()

    def regrant(self) -> None:
        """Share out the slots anew."""
        self._given_back = False
        now_s = self._clock()
        wants = {
            key: replace(want, held_up_s=now_s - self._held_up_since_s.get(key, now_s))
            for key, want in self._wants.items()
        }
        before, queued = self._holders, self._waiting
        soaking_per_s = sum(rate for key, rate in self._rates.items() if key not in self._wants)
        caps = {name: cap - soaking_per_s for name, cap in self._caps().items()}
        self._holders, self._waiting = grant(wants, before, self._size, caps)
        for key in (before ^ self._holders) | (set(queued) ^ set(self._waiting)):
            self._changed(key)
        self._meter.slots(len(self._holders), len(self._waiting))

    def _want_none(self, key: Key) -> None:
        if self._wants.pop(key, None) is not None:
            self._holders -= {key}
            self._given_back = True
