"""What a person sees while a story runs: one line whenever something changed, and once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from deploy.local.observed import CLUSTERS
from deploy.local.pair import Pair

LINE_S = 1.0
_POLL_S = 0.05

Say = Callable[[str], None]


class Screen:
    """Follows one Service of a pair and prints; ``say`` takes one line."""

    def __init__(self, pair: Pair, service: str, say: Say) -> None:
        self._pair = pair
        self._service = service
        self._say = say
        self._began = asyncio.get_running_loop().time()
        self._last: tuple[Any, ...] = ()
        self._printed = -LINE_S

    def at(self) -> float:
        """Return the seconds since the story began."""
        return asyncio.get_running_loop().time() - self._began

    def tell(self, text: str) -> None:
        """Print a line of the story itself."""
        self._say(f"{self.at():6.1f} s  {text}")

    async def run(self) -> None:
        """Print until cancelled."""
        while True:
            await asyncio.sleep(_POLL_S)
            self._look()

    def _look(self) -> None:
        status = self._pair.observed.status(self._service)
        seen = tuple(status.get(key, "") for key in ("phase", "share", "reason"))
        if seen == self._last and self.at() - self._printed < LINE_S:
            return
        self._last = seen
        self._printed = self.at()
        self.tell(self._line(status))

    def _line(self, status: Mapping[str, Any]) -> str:
        served = self._pair.served(self._service)
        calls = "  ".join(
            f"{cluster} callers: {served[cluster][CLUSTERS[0]]:>3} by legacy,"
            f" {served[cluster][CLUSTERS[1]]:>3} by eks"
            for cluster in CLUSTERS
        )
        _, failed, by_target = self._pair.totals()
        phase = status.get("phase", "(no Migration)")
        share = status.get("share", "")
        verdict = status.get("verdict", "")
        reason = status.get("reason", "")
        return (
            f"{phase:<14} {share:>9}  {verdict:<7} {reason:<22} {calls}"
            f"  failed: {failed} by the move, {by_target} by the workload"
        )
