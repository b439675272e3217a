"""Endpoints are one witness, and the probes of the paths that lead to them the other.

An EndpointSlice that is replaced, a pod that is unready for a moment, or a list that an API server got wrong show
nobody ready where everybody is served. So what slices say is believed once it was read from the API server itself,
and only while no probe that was sent since is answered well. Where probes agree, it is believed at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controller.decide.gates.gate import known_of, target_is_empty
from controller.decide.input import Input
from controller.domain import PathEvidence, Side

FIRST_ANSWER_S = 0.6
"""From a probe's sending until its answer is known here: its sample, the report, a tick, the way, and room."""

LONGEST_DOUBT_S = 1.5
"""A probe that was sent so long ago contradicts nothing, however seldom the path is probed."""

READ_S = 1.0
"""An API server that does not answer is waited for so long, and then what it said before is believed."""

REREAD_S = 5.0
"""Slices that show nobody, where somebody depends on them, are read again so often."""

BEFORE_S = 1.0
"""A bad probe that was sent so long before nobody was seen ready is of the same fault."""

_HEARD_S = 0.3
"""A path of which nothing came for so long says nothing (docs/evidence.md, UNKNOWN)."""


@dataclass(frozen=True, slots=True)
class Emptiness:
    """A side behind which the slices in ``cluster`` have shown nobody ready for ``empty_s``. They were read from the
    API server itself ``read_s`` ago, and ``probes`` are what is known of the paths to that side."""

    cluster: str
    empty_s: float
    read_s: float
    probes: tuple[PathEvidence, ...]

    @property
    def doubted_s(self) -> float:
        """Return for how long it is not believed yet, as far as is known now; 0: it is believed.

        Each good probe that was sent since makes it longer.
        """
        if any(self._is_bad(found) for found in self.probes):
            return 0.0
        doubts = [READ_S - self.empty_s] if self.read_s > self.empty_s else []
        doubts += [_due_s(p) - self.empty_s for p in self.probes if self._was_heard(p)]
        doubts += [_due_s(p) - p.good_sent_s for p in self.probes if self._is_good(p)]
        return max(0.0, *doubts, 0.0)

    @property
    def is_contradicted(self) -> bool:
        """Return whether probes that were sent since are answered well."""
        return self.doubted_s > 0 and any(self._is_good(found) for found in self.probes)

    @property
    def is_to_be_read(self) -> bool:
        """Return whether the API server itself is to be asked, for the first time or again."""
        return self.read_s > self.empty_s or self.read_s >= REREAD_S

    @property
    def rereads_s(self) -> float:
        """Return when the API server is to be asked again."""
        return max(0.0, REREAD_S - self.read_s) or REREAD_S

    def _is_good(self, found: PathEvidence) -> bool:
        return found.good_sent_s < self.empty_s

    def _is_bad(self, found: PathEvidence) -> bool:
        """Return whether the last probe that says anything of it was bad."""
        since = found.bad_sent_s < self.empty_s + BEFORE_S
        return since and found.bad_sent_s <= found.good_sent_s

    def _was_heard(self, found: PathEvidence) -> bool:
        """Return whether samples of a path came when nobody was seen ready, so that more are to be expected."""
        return found.silent_s - self.empty_s < _HEARD_S


def _due_s(found: PathEvidence) -> float:
    """Return how long after any moment a probe that was sent since is known to be good."""
    if not found.rate_per_s:
        return 0.0
    return min(LONGEST_DOUBT_S, FIRST_ANSWER_S + 1 / found.rate_per_s)


def target_emptiness(given: Input) -> Emptiness | None:
    """Return what is known of a target without a ready pod, None where it has one or is not known."""
    if not target_is_empty(given):
        return None
    target = given.observed.clusters[given.state.target]
    probes = _to(given, Side.TARGET, given.state.origin, given.state.target)
    return Emptiness(target.name, target.empty_s, target.endpoints_read_s, probes)


def origin_emptiness(given: Input, callers: str) -> Emptiness | None:
    """Return what is known of an origin in which nobody is ready for these callers, None where somebody is.

    Callers in the target come by the mirror, and it has endpoints of its own.
    """
    cluster, state = given.observed.clusters[callers], given.state
    across = callers == state.target
    behind = cluster.mirror_endpoints if across else cluster.endpoints
    if not cluster.current or behind.ready:
        return None
    empty_s = cluster.mirror_empty_s if across else cluster.empty_s
    others = () if across else (state.origin,)
    probes = _to(given, Side.ORIGIN, state.target, *others)
    return Emptiness(callers, empty_s, cluster.endpoints_read_s, probes)


def emptinesses(given: Input) -> Iterator[Emptiness]:
    """Yield every side without anybody ready that callers above their baseline depend on."""
    if given.state.shifted:
        found = [origin_emptiness(given, callers) for callers in given.state.shifted_clusters]
        yield from (each for each in (target_emptiness(given), *found) if each)


def _to(given: Input, side: Side, *callers: str) -> tuple[PathEvidence, ...]:
    return tuple(known_of(given.observed, each, side) for each in callers)
