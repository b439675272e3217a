"""Who may rise: a slot is held from the last gate before the first raise until the soak, or until it is rolled back.

Pure: who wants and who holds come in, who holds now goes out. Slots bound how many migrations are at risk
at once, and how many probes the probers must send for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.domain import Key

HOLD_LIMIT_S = 1800.0
"""A migration that holds this long gives its slot up and queues again (docs/how-it-works.md)."""

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Want:
    """One migration that wants a slot, or wants to keep it.

    ``asked`` is when its annotation was written. ``rates`` is how many probes a second each cluster's prober
    would send for it. ``held_up_s`` is for how long something other than the ordinary course has held it. ``limits``
    are its Fleet's: under each name only so many hold a slot at once.
    """

    key: Key
    asked: datetime | None
    rates: Mapping[str, float]
    shifted: bool = False
    held_up_s: float = 0.0
    limits: tuple[tuple[str, int], ...] = ()

    @property
    def is_late(self) -> bool:
        """Whether it was held up for so long that it gives its slot up."""
        return self.held_up_s >= HOLD_LIMIT_S


def grant(
    wants: Mapping[Key, Want], holders: frozenset[Key], size: int, caps: Mapping[str, float]
) -> tuple[frozenset[Key], tuple[Key, ...]]:
    """Return who holds a slot now, and who waits, in order.

    ``caps`` is what each cluster's prober can send (a cluster that is not in it has told no limit).
    Holders keep theirs unless they were held up too long. Then the namespaces take turns, first those that hold
    fewest, so that many Services of one keep nobody else out. Within a turn come those above the baseline, then the
    earliest asked, then by name. A migration whose probes would exceed a cap does not block a smaller one behind it.
    """
    kept = {key for key in holders if key in wants and not wants[key].is_late}
    left, held = _left(caps, wants, kept), _held(wants, kept)
    waiting = [wants[key] for key in wants.keys() - kept]
    queue: list[Key] = []
    for want in _in_turn(waiting, kept):
        if len(kept) < size and _is_below(held, want) and _begins(left, want):
            kept.add(want.key)
            held.update(name for name, _ in want.limits)
        else:
            queue.append(want.key)
    return frozenset(kept), tuple(queue)


def _in_turn(waiting: Collection[Want], kept: Iterable[Key]) -> list[Want]:
    """Return who waits in the order in which they come, where each namespace in turn gets a slot beside those kept."""
    held = Counter(key.namespace for key in kept)
    turns: dict[Key, int] = {}
    for want in sorted(waiting, key=_order):
        turns[want.key] = held[want.key.namespace]
        held[want.key.namespace] += 1
    return sorted(waiting, key=lambda want: (want.is_late, turns[want.key], _order(want)))


def _order(want: Want) -> tuple[bool, bool, datetime, Key]:
    return (want.is_late, not want.shifted, want.asked or NEVER, want.key)


def _held(wants: Mapping[Key, Want], kept: Iterable[Key]) -> Counter[str]:
    """Return how many hold a slot under each name of a limit."""
    return Counter(name for key in kept for name, _ in wants[key].limits)


def _is_below(held: Mapping[str, int], want: Want) -> bool:
    """Return whether its Fleet's limits leave one a slot."""
    return all(held[name] < most for name, most in want.limits)


def _begins(left: dict[str, float], want: Want) -> bool:
    """Return whether one may have a slot, and take what its probes need of what is ``left``."""
    if want.is_late:
        return False
    if want.shifted:
        return True
    fits = all(left.get(cluster, rate) >= rate for cluster, rate in want.rates.items())
    if fits:
        _take(left, want)
    return fits


def _left(
    caps: Mapping[str, float], wants: Mapping[Key, Want], kept: Collection[Key]
) -> dict[str, float]:
    """Return what the caps leave beside those who are probed in any case: who holds, or is above the baseline."""
    left = dict(caps)
    for key, want in wants.items():
        if key in kept or want.shifted:
            _take(left, want)
    return left


def _take(left: dict[str, float], want: Want) -> None:
    for cluster, rate in want.rates.items():
        if cluster in left:
            left[cluster] -= rate
