"""Whether what is known of a migration's paths is worth a decision: most of the time it is as it was. No clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import inf

from controller.domain import CallPath

WAIT_S = 1.0
"""How long what neither may be a rollback nor lets anybody rise must have stood before it is worth a look."""


class Look(IntEnum):
    """Whether a migration is to be looked at because of its evidence."""

    NONE = 0
    SOON = 1
    NOW = 2


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision was made on, or could be: the paths that FAIL and that PASS, what else may be a rollback, and
    what neither is one nor lets anybody rise."""

    failed: frozenset[CallPath] = frozenset()
    passed: frozenset[CallPath] = frozenset()
    pressing: tuple[object, ...] = ()
    other: tuple[object, ...] = ()

    def look(self, known: Known, *, waited: bool) -> Look:
        """Return whether what is known now is worth a look; what is not pressing must have ``waited``."""
        if known.failed != self.failed or known.pressing != self.pressing:
            return Look.NOW
        if not known.passed <= self.passed:
            return Look.SOON
        return Look.SOON if waited and self.differs(known) else Look.NONE

    def differs(self, known: Known) -> bool:
        """Return whether anything else is not as it was told."""
        return (known.passed, known.other) != (self.passed, self.other)


class Looks:
    """What a migration was decided on last, and whether what is known since asks for another decision."""

    def __init__(self) -> None:
        self.known = Known()
        self._decided = Known()
        self._differs_s = inf
        self._asked = Look.NONE

    @property
    def waits(self) -> bool:
        """Report whether a decision is coming, and not made yet."""
        return self._asked is Look.NOW

    def decided(self) -> None:
        """Note that a decision is made on what is known."""
        self._decided, self._differs_s, self._asked = self.known, inf, Look.NONE

    def wait(self) -> None:
        """Note that a decision is coming anyway, so that there is nothing to ask for."""
        self._asked = Look.NOW

    def ask(self, now_s: float, wait_s: float) -> Look:
        """Return whether a decision is due: what is not pressing must have been otherwise for ``wait_s``."""
        if not self._decided.differs(self.known):
            self._differs_s = inf
        elif self._differs_s == inf:
            self._differs_s = now_s
        look = self._decided.look(self.known, waited=now_s - self._differs_s >= wait_s)
        if look:
            self.decided()
            self._asked = look
        return look

    def due_s(self, wait_s: float) -> float:
        """Return when one will be due, if all stays as it is (infinite: never)."""
        return self._differs_s + wait_s
