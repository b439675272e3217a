"""What all streams of this prober together may send."""

from __future__ import annotations

from collections.abc import Hashable

from prober.schedule import Granted, Wanted, grant

_NOTHING = Granted(0.0, 0.0)


class Capacity:
    """The cap, who wants how much of it, and what each gets."""

    def __init__(self, cap_per_s: float) -> None:
        self.cap_per_s = cap_per_s
        self.version = 0
        """Rises whenever what is granted may have changed."""
        self._wanted: dict[Hashable, Wanted] = {}
        self._granted: dict[Hashable, Granted] = {}
        self._stale = False

    def want(self, path: Hashable, wanted: Wanted | None) -> None:
        """Ask for a rate, or for none any more. Answered by the next :meth:`settle`."""
        if wanted is None:
            self._wanted.pop(path, None)
        else:
            self._wanted[path] = wanted
        self._stale = True

    def settle(self) -> None:
        """Share the cap again, if anything was asked since the last time."""
        if self._stale:
            self._granted = grant(self._wanted, self.cap_per_s)
            self._stale = False
            self.version += 1

    def granted(self, path: Hashable) -> Granted:
        """Return what a path got when last settled: nothing, where it was not known yet."""
        return self._granted.get(path, _NOTHING)

    def totals(self) -> tuple[float, float]:
        """Return the sums of what is wanted and what is granted, in probes per second."""
        wanted = granted = 0.0
        for path, want in self._wanted.items():
            got = self.granted(path)
            wanted += want.base_per_s + want.burst_per_s
            granted += want.base_per_s * got.base + want.burst_per_s * got.burst
        return wanted, granted
