"""What the records, the splits and the pins of one migration say together.

Two records may differ: a write landed on one split only, a split was deleted, somebody edited. This
module settles which attempt is meant and where each cluster stands; gates and plan ask it and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controller.model import (
    SLIVER,
    WHOLE,
    Attempt,
    ClusterSeen,
    Latch,
    Observed,
    Record,
    Reverted,
    Wish,
)
from controller.question import unfit


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one migration stands.

    ``wish`` is the one in force for judging: the annotations', or the record's where these are malformed
    or gone. ``shares`` is by cluster the effective share of the target, None where it is not known.
    ``attempt`` is the newest that any record names, and None where another is to begin: then ``previous``
    is the one that is over, and ``number`` the one to come.
    """

    origin: str
    target: str
    wish: Wish | None
    number: int
    attempt: Attempt | None
    previous: Attempt | None
    previous_completed: bool
    records: Mapping[str, Record]
    shares: Mapping[str, int | None]
    reverted: Reverted | None
    completed: datetime | None

    @property
    def home(self) -> Mapping[str, int]:
        """Each cluster's share before the attempt (empty: none began)."""
        return self.attempt.home if self.attempt else {}

    @property
    def moving(self) -> tuple[str, ...]:
        """The clusters whose callers move: those whose home is not the target already."""
        return tuple(c for c, home in self.home.items() if home < WHOLE)

    @property
    def unfinished(self) -> bool:
        """Whether an attempt is under way: begun, not completed, not yet latched."""
        return self.attempt is not None and self.completed is None and self.reverted is None

    @property
    def away_from_home(self) -> tuple[str, ...]:
        """The clusters above their home while the revert is armed.

        Once a revert is latched only those count that it has not brought home yet: what a person does to the
        weights after that is theirs.
        """
        if self.attempt is None or (self.completed and not self.reverted):
            return ()
        return tuple(c for c, home in self.home.items() if self._out(c) > home)

    def _out(self, cluster: str) -> int:
        record = self.records.get(cluster)
        if self.reverted and record and record.reverted and self.is_of_attempt(record):
            return record.share_permille
        return self.shares[cluster] or 0

    def unlatched(self) -> tuple[str, ...]:
        """Give the clusters whose record does not say yet that the attempt was reverted."""
        return tuple(
            c
            for c, record in self.records.items()
            if self.reverted
            and not (self.is_of_attempt(record) and record.reverted == self.reverted)
        )

    @property
    def above_home(self) -> bool:
        """Whether any caller is served by the target who was not before."""
        return bool(self.away_from_home)

    @property
    def step(self) -> int:
        """The share this attempt has reached, by its records: the highest that it raised a cluster to.

        Where callers stood when it began is no step: they may be ahead of the others.
        """
        reached = [
            record.share_permille
            for c in self.moving
            if (record := self.records.get(c)) and self.is_of_attempt(record) and record.since
        ]
        return max(reached, default=0)

    @property
    def soaking(self) -> bool:
        """Whether the attempt has reached the sliver."""
        return self.unfinished and self.step >= SLIVER

    @property
    def since(self) -> datetime | None:
        """When the present step was last written on a moving cluster's split."""
        times = [
            record.since
            for c in self.moving
            if (record := self.records.get(c)) and self.is_of_attempt(record) and record.since
        ]
        return max(times, default=None)

    def is_of_attempt(self, record: Record) -> bool:
        """Tell whether a record is of the attempt that is meant."""
        mine = self.attempt
        other = record.attempt
        return (
            mine is not None
            and other is not None
            and (other.target, other.number, other.started)
            == (mine.target, mine.number, mine.started)
        )

    def lagging(self) -> tuple[str, ...]:
        """Give the moving clusters whose split stands below the step: a step made by half."""
        return tuple(c for c in self.moving if (self.shares[c] or 0) < self.step)


def stand(seen: Observed) -> Standing:
    """Settle what everything that was seen says together."""
    records = {
        name: split.record
        for name, cluster in seen.clusters.items()
        if (split := cluster.split)
        and isinstance(split.record, Record)
        and of_these_clusters(seen, split.record)
    }
    attempts = [record.attempt for record in records.values() if record.attempt]
    attempt = max(attempts, key=lambda a: (a.started, a.number), default=None)
    current = _standing(seen, records, attempt, previous=None, previous_completed=False)
    if attempt is None or current.above_home or not _begins_anew(seen, current):
        return current
    return _standing(
        seen, records, None, previous=attempt, previous_completed=current.completed is not None
    )


def _standing(
    seen: Observed,
    records: Mapping[str, Record],
    attempt: Attempt | None,
    *,
    previous: Attempt | None,
    previous_completed: bool,
) -> Standing:
    wish = _in_force(seen, attempt)
    origin, target = _ends(seen, attempt, wish)
    mine = [r for r in records.values() if attempt and r.attempt and _same(r.attempt, attempt)]
    finished = [record.completed for record in mine if record.completed]
    return Standing(
        origin=origin,
        target=target,
        wish=wish,
        number=attempt.number if attempt else _number(seen, wish, previous),
        attempt=attempt,
        previous=previous,
        previous_completed=previous_completed,
        records=records,
        shares={
            name: share_of(cluster, is_target=name == target)
            for name, cluster in seen.clusters.items()
        },
        reverted=_latch(seen, attempt, records),
        completed=max(finished) if finished and len(finished) == len(mine) else None,
    )


def share_of(cluster: ClusterSeen, *, is_target: bool) -> int | None:
    """Give the target's share of one cluster's calls, None where that is not known.

    In the target itself that is the local part. Without a split all callers reach the local Service.
    """
    if cluster.split is None:
        return share_without_split(is_target=is_target) if cluster.current else None
    away = cluster.split.away_permille
    return WHOLE - away if is_target else away


def away_for(share_permille: int, *, is_target: bool) -> int:
    """Give the mirror's weight that makes the target's share this."""
    return WHOLE - share_permille if is_target else share_permille


def share_without_split(*, is_target: bool) -> int:
    """Give the target's share where a cluster has no split: its callers reach the local Service."""
    return WHOLE if is_target else 0


def stored(wish: Wish) -> Wish:
    """Give the wish as the record keeps it: what only a present annotation can ask is left out."""
    return Wish(
        target=wish.target,
        steps=wish.steps,
        dwell_s=wish.dwell_s,
        soak_s=wish.soak_s,
        probe=wish.probe,
        success_percent=wish.success_percent,
        latency=wish.latency,
        origin_floor_percent=wish.origin_floor_percent,
        split=wish.split,
        traffic=wish.traffic,
    )


def _same(one: Attempt, other: Attempt) -> bool:
    return (one.target, one.number, one.started) == (other.target, other.number, other.started)


def _begins_anew(seen: Observed, current: Standing) -> bool:
    """Tell whether another attempt is asked for now that this one is over and nobody is above home.

    After Completed another target is enough; after a revert only a higher number is (design section 5).
    """
    over = current.attempt
    wish = seen.wish
    if over is None or not isinstance(wish, Wish) or wish.target is None:
        return False
    raised = wish.attempt is not None and wish.attempt > over.number
    if current.reverted:
        return raised
    return current.completed is not None and (raised or wish.target != over.target)


def _number(seen: Observed, wish: Wish | None, previous: Attempt | None) -> int:
    if wish and wish.attempt is not None:
        return wish.attempt
    known = [previous.number] if previous else []
    known += [latch.attempt for latch in latches(seen)]
    return max(known, default=1)


def of_these_clusters(seen: Observed, record: Record) -> bool:
    """Tell whether a record is about the two clusters of the settings: they may have had other names."""
    attempt = record.attempt
    return attempt is None or set(attempt.home) == set(seen.fleet.clusters)


def latches(seen: Observed) -> list[Latch]:
    """Give the latches that the pins remember."""
    return [c.pin.latch for c in seen.clusters.values() if c.pin and c.pin.latch]


def _in_force(seen: Observed, attempt: Attempt | None) -> Wish | None:
    """Give what is asked for, else what the attempt began with or took on later.

    Also of a wish that cannot be probed: nothing that a person writes takes the evidence away.
    """
    wish = seen.wish
    if not isinstance(wish, Wish) or wish.target is None:
        return attempt.wish if attempt else None
    service = seen.clusters[attempt.target].service if attempt else None
    if attempt and service and unfit(seen.key, service.ports, wish.probe):
        return attempt.wish
    return wish


def _ends(seen: Observed, attempt: Attempt | None, wish: Wish | None) -> tuple[str, str]:
    """Name origin and target: of the attempt while it matters, else of the wish."""
    one, other = seen.fleet.clusters
    target = attempt.target if attempt else (wish.target if wish and wish.target else other)
    return (other if target == one else one), target


def _latch(
    seen: Observed, attempt: Attempt | None, records: Mapping[str, Record]
) -> Reverted | None:
    """Find the latch of an attempt, by its target and number alone.

    Two controllers may have begun it at once, each on one split, so that the records differ in when it
    started: what ended the one ended the other.
    """
    if attempt is None:
        return None
    latched = [
        record.reverted
        for record in records.values()
        if record.attempt
        and record.reverted
        and (record.attempt.target, record.attempt.number) == (attempt.target, attempt.number)
    ]
    latched += [
        latch.reverted
        for latch in latches(seen)
        if (latch.target, latch.attempt) == (attempt.target, attempt.number)
    ]
    return min(latched, key=lambda reverted: reverted.at, default=None)
