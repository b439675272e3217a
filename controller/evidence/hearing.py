"""When the probers were heard, whatever they said: what all paths of a cluster, or of a stream, have in common.

A path is not touched for each report in which nothing of it stands: it shares the time of its stream's last word.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from math import inf

FRESH_S = 0.3
"""Three missed heartbeats: from here on a path is silent."""

LOST_S = 3.0
"""A silence this long restarts the SPRT; so long without a word there is no stream."""

GAP_S = 1.0
"""A prober that was not heard for so long may have been behind a link that was lost."""

NOTABLE_S = (FRESH_S, 1.0, 2.5, LOST_S, 30.0)
"""How old a last word may be before a decision turns on it; every age that a gate asks for is one of these."""


def age_class(age_s: float) -> int:
    """Return how many of the ages on which a decision turns were reached."""
    return bisect_right(NOTABLE_S, age_s)


@dataclass(slots=True)
class Heartbeat:
    """When anything at all was heard from one cluster's probers, whatever was in it; all its paths share it."""

    heard_s: float = -inf
    back_s: float = -inf

    def beat(self, now_s: float) -> None:
        """Note that a report came; after a second of silence they are back from now on."""
        if GAP_S <= now_s - self.heard_s < inf:
            self.back_s = now_s
        self.heard_s = now_s


@dataclass(slots=True, eq=False)
class Stream:
    """One connection to a prober. ``said_s`` is when its last report came that it stands behind: of whatever it has
    nothing under way, that report is as good as a sample."""

    said_s: float = -inf


class Hearing:
    """The heartbeats by cluster, and every stream that said something lately."""

    def __init__(self) -> None:
        self.heartbeats: defaultdict[str, Heartbeat] = defaultdict(Heartbeat)
        self._streams: dict[Stream, int] = {}
        self._ages: tuple[tuple[int, int], ...] = ()

    def said(self, stream: Stream, now_s: float) -> None:
        """Note a report that its prober stands behind."""
        stream.said_s = now_s
        self._streams.setdefault(stream, 0)

    def turned(self, now_s: float) -> bool:
        """Return whether an age on which a decision turns was reached, or left, since this was asked last: then every
        path may be another though nothing came of it."""
        ages = tuple(
            (age_class(now_s - beat.heard_s), age_class(now_s - beat.back_s))
            for beat in self.heartbeats.values()
        )
        turned = ages != self._ages
        self._ages = ages
        for stream, known in list(self._streams.items()):
            age = age_class(now_s - stream.said_s)
            turned |= age != known
            if age < len(NOTABLE_S):
                self._streams[stream] = age
            else:
                del self._streams[stream]
        return turned
