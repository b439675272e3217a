"""What the records, the splits and the pins of one migration say together.

Two records may differ: a write landed on one split only, a split was deleted, somebody edited. This
module settles which attempt is meant and where each cluster stands; gates and plan ask it and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import msgspec

from controller.domain import (
    PREFIX,
    SOAK_SHARE,
    WHOLE,
    Attempt,
    Begun,
    Latch,
    MigrationSpec,
    Observed,
    ObservedCluster,
    Record,
    Reverted,
    Split,
    Unreadable,
)
from controller.domain.probe_checks import unfit


@dataclass(frozen=True)  # without slots: what is worked out of it is kept
class MigrationState:
    """Where one migration stands.

    ``spec`` is the one in force for judging: the annotations', or the record's where these are malformed
    or gone. ``shares`` is by cluster the effective share of the target, None where it is not known.
    ``attempt`` is the newest that any record names, and None where another is to begin: then ``previous``
    is the one that is over, and ``number`` the one to come.

    Where a split consists of several routes, ``written`` has the record of each, and ``records`` what all of them say
    at least: nothing where one has none. ``shares`` is of the one that is furthest, ``lowest`` of the one
    that is left behind. ``begun`` is what the pins know of the attempt: that these objects had its record.
    """

    origin: str
    target: str
    spec: MigrationSpec | None
    number: int
    attempt: Attempt | None
    previous: Attempt | None
    previous_completed: bool
    records: Mapping[str, Record]
    written: Mapping[str, tuple[Record, ...]]
    shares: Mapping[str, int | None]
    lowest: Mapping[str, int | None]
    reverted: Reverted | None
    completed: datetime | None
    begun: Begun | None

    @property
    def baseline(self) -> Mapping[str, int]:
        """Each cluster's share before the attempt (empty: none began)."""
        return self.attempt.baseline if self.attempt else {}

    @property
    def moving(self) -> tuple[str, ...]:
        """The clusters whose callers move: those whose baseline is not the target already."""
        return tuple(c for c, baseline in self.baseline.items() if baseline < WHOLE)

    @property
    def unfinished(self) -> bool:
        """Whether an attempt is under way: begun, not completed, not yet latched."""
        return self.attempt is not None and self.completed is None and self.reverted is None

    @cached_property
    def shifted_clusters(self) -> tuple[str, ...]:
        """The clusters above their baseline while the revert is armed.

        Once a revert is latched only those count that it has not rolled back yet: what a person does to the
        weights after that is theirs.
        """
        if self.attempt is None or (self.completed and not self.reverted):
            return ()
        return tuple(c for c, baseline in self.baseline.items() if self._out(c) > baseline)

    def _out(self, cluster: str) -> int:
        record = self.records.get(cluster)
        if self.reverted and record and record.reverted and self.is_of_attempt(record):
            return max(each.share_permille for each in self.written[cluster])
        return self.shares[cluster] or 0

    def unlatched(self) -> tuple[str, ...]:
        """Return the clusters of which a record does not say yet that the attempt was reverted."""
        return tuple(
            c
            for c, records in self.written.items()
            if self.reverted and not all(self.is_latched(record) for record in records)
        )

    def is_latched(self, record: Record) -> bool:
        """Return whether a record says that the attempt was reverted, and as it was."""
        return self.is_of_attempt(record) and record.reverted == self.reverted

    @cached_property
    def every_record(self) -> tuple[Record, ...]:
        """Every record that there is."""
        return tuple(record for records in self.written.values() for record in records)

    @cached_property
    def shifted(self) -> bool:
        """Whether any caller is served by the target who was not before."""
        return bool(self.shifted_clusters)

    @cached_property
    def step(self) -> int:
        """The share this attempt has reached, by its records: the highest that it raised a cluster to.

        Where callers stood when it began is no step: they may be ahead of the others.
        """
        return max((record.share_permille for record in self._of_steps()), default=0)

    def _of_steps(self) -> list[Record]:
        """Return the records of moving clusters' splits that a step of this attempt wrote."""
        records = (record for c in self.moving for record in self.written.get(c, ()))
        return [record for record in records if self.is_of_attempt(record) and record.since]

    @cached_property
    def soaking(self) -> bool:
        """Whether the attempt has reached the soak's share."""
        return self.unfinished and self.step >= SOAK_SHARE

    @cached_property
    def since(self) -> datetime | None:
        """When the present step was last written on a moving cluster's split."""
        return max((record.since for record in self._of_steps() if record.since), default=None)

    def is_of_attempt(self, record: Record) -> bool:
        """Return whether a record is of the attempt that is meant."""
        return self.attempt is not None and self.attempt.is_same(record.attempt)

    @property
    def attempt_is_recorded(self) -> bool:
        """Whether a record names the attempt, and not only a copy of it on a pin."""
        return any(self.is_of_attempt(record) for record in self.every_record)

    def was_dropped(self, cluster: str, part: Split) -> bool:
        """Return whether an object of a cluster's split was written anew, in an attempt that is under way, without its
        record. A route that somebody adds beside those of the attempt is new, and is taken in."""
        if not self.unfinished or self.begun is None or isinstance(part.record, Unreadable):
            return False
        if part.record is not None and self.is_of_attempt(part.record):
            return False
        known = any(self.is_of_attempt(record) for record in self.written.get(cluster, ()))
        return not known or part.name in self.begun.splits.get(cluster, ())

    def lagging(self) -> tuple[str, ...]:
        """Return the moving clusters whose split, or a part of it, stands below the step: a step made by half."""
        return tuple(c for c in self.moving if (self.lowest[c] or 0) < self.step)


def resolve(observed: Observed) -> MigrationState:
    """Settle what everything that was seen says together."""
    attempt = attempt_of(observed)
    current = _resolved(observed, attempt, previous=None, previous_completed=False)
    if attempt is None or current.shifted or not _begins_anew(observed, current):
        return current
    return _resolved(
        observed, None, previous=attempt, previous_completed=current.completed is not None
    )


def attempt_of(observed: Observed) -> Attempt | None:
    """Return the newest attempt that any record names; where one was dropped, or cannot be read, also of those of which
    the pins have a copy."""
    records = (record for records in _written(observed).values() for record in records)
    attempts = [record.attempt for record in records if record.attempt]
    if _lacks_record(observed):
        attempts += [begun.attempt for begun in _copies(observed)]
    return max(attempts, key=lambda a: (a.started, a.number), default=None)


def _lacks_record(observed: Observed) -> bool:
    """Return whether an object of a split has no record that can be read."""
    parts = (part for cluster in observed.clusters.values() for part in split_parts(cluster))
    return any(not isinstance(part.record, Record) for part in parts)


def _copies(observed: Observed) -> list[Begun]:
    """Return the attempts of these clusters that the pins remember."""
    found = [c.pin.begun for c in observed.clusters.values() if c.pin and c.pin.begun]
    return [b for b in found if set(b.attempt.baseline) == set(observed.context.clusters)]


def _written(observed: Observed) -> dict[str, tuple[Record, ...]]:
    """Return by cluster the record of each object that its split consists of, as far as they have one."""
    found = {
        name: tuple(
            part.record
            for part in cluster.split.each()
            if isinstance(part.record, Record) and of_these_clusters(observed, part.record)
        )
        for name, cluster in observed.clusters.items()
        if cluster.split
    }
    return {name: records for name, records in found.items() if records}


def _agreed(
    observed: Observed, written: Mapping[str, tuple[Record, ...]], attempt: Attempt | None
) -> dict[str, Record]:
    """Return by cluster what every object of its split says at least: a write may have landed on some of them only."""

    def so_far(record: Record) -> tuple[bool, bool, bool, int, int]:
        of_it = attempt is not None and attempt.is_same(record.attempt)
        over = (record.reverted is not None, record.completed is not None)
        return (of_it, *over, record.fencing_token, record.share_permille)

    whole = {n: len(c.split.each()) for n, c in observed.clusters.items() if c.split}
    return {n: min(found, key=so_far) for n, found in written.items() if len(found) == whole[n]}


def _resolved(
    observed: Observed,
    attempt: Attempt | None,
    *,
    previous: Attempt | None,
    previous_completed: bool,
) -> MigrationState:
    written = _written(observed)
    spec = spec_in_force(observed, attempt)
    origin, target = _ends(observed, attempt)
    records = [record for found in written.values() for record in found]
    copies = [copy for copy in _copies(observed) if copy.attempt.is_same(attempt)]
    return MigrationState(
        origin=origin,
        target=target,
        spec=spec,
        number=attempt.number if attempt else _number(observed, spec, previous),
        attempt=attempt,
        previous=previous,
        previous_completed=previous_completed,
        records=_agreed(observed, written, attempt),
        written=written,
        shares={n: share_of(c, is_target=n == target) for n, c in observed.clusters.items()},
        lowest={n: lowest_of(c, is_target=n == target) for n, c in observed.clusters.items()},
        reverted=_latch(observed, attempt, records),
        completed=_completed(records, attempt, copies),
        begun=next(iter(copies), None),
    )


def _completed(
    records: Sequence[Record], attempt: Attempt | None, copies: Sequence[Begun]
) -> datetime | None:
    """Return when an attempt was completed: every record of it must say so, or the pins where none is left."""
    mine: list[Record | Begun] = [r for r in records if attempt and attempt.is_same(r.attempt)]
    finished = [found.completed for found in mine or copies if found.completed]
    return max(finished) if len(finished) >= max(len(mine), 1) else None


def share_of(cluster: ObservedCluster, *, is_target: bool) -> int | None:
    """Return the target's share of one cluster's calls, None where that is not known.

    In the target itself that is the local part. Without a split all callers reach the local Service. Of several
    objects it is the share of the one that is furthest.
    """
    return max(_shares(cluster, is_target=is_target), default=None)


def lowest_of(cluster: ObservedCluster, *, is_target: bool) -> int | None:
    """Return the same of the object that is left furthest behind."""
    return min(_shares(cluster, is_target=is_target), default=None)


def _shares(cluster: ObservedCluster, *, is_target: bool) -> list[int]:
    """Return the shares that the callers of one cluster have, by port; none where that is not known."""
    shares = [part_share(part, is_target=is_target) for part in split_parts(cluster)]
    if cluster.missing or (cluster.split is None and cluster.current):
        shares.append(share_without_split(is_target=is_target))
    return shares


def split_parts(cluster: ObservedCluster) -> tuple[Split, ...]:
    """Return every object that a cluster's split consists of."""
    return cluster.split.each() if cluster.split else ()


def part_share(part: Split, *, is_target: bool) -> int:
    """Return the target's share of the calls that one object is for."""
    return WHOLE - part.away_permille if is_target else part.away_permille


def away_for(share_permille: int, *, is_target: bool) -> int:
    """Return the mirror's weight that makes the target's share this."""
    return WHOLE - share_permille if is_target else share_permille


def share_without_split(*, is_target: bool) -> int:
    """Return the target's share where a cluster has no split: its callers reach the local Service."""
    return WHOLE if is_target else 0


def stored(spec: MigrationSpec) -> MigrationSpec:
    """Return the spec as the record keeps it: what only a present annotation can ask is left out."""
    return msgspec.structs.replace(spec, attempt=None, paused=False, abort=False)


def _begins_anew(observed: Observed, current: MigrationState) -> bool:
    """Return whether another attempt is asked for now that this one is over and nobody is above the baseline.

    After Completed another target is enough; after a revert only a higher number is (docs/concepts.md).
    """
    over = current.attempt
    spec = observed.spec
    if over is None or not isinstance(spec, MigrationSpec) or spec.target is None:
        return False
    raised = spec.attempt is not None and spec.attempt > over.number
    if current.reverted:
        return raised
    return current.completed is not None and (raised or spec.target != over.target)


def _number(observed: Observed, spec: MigrationSpec | None, previous: Attempt | None) -> int:
    if spec and spec.attempt is not None:
        return spec.attempt
    known = [previous.number] if previous else []
    known += [latch.attempt for latch in latches(observed)]
    return max(known, default=1)


def of_these_clusters(observed: Observed, record: Record) -> bool:
    """Return whether a record is about the two clusters of the settings: they may have had other names."""
    attempt = record.attempt
    return attempt is None or set(attempt.baseline) == set(observed.context.clusters)


def latches(observed: Observed) -> list[Latch]:
    """Return the latches that the pins remember."""
    return [c.pin.latch for c in observed.clusters.values() if c.pin and c.pin.latch]


def spec_in_force(observed: Observed, attempt: Attempt | None) -> MigrationSpec | None:
    """Return what is asked for, else what the attempt began with or took on later.

    Also of a spec that cannot be probed: nothing that a person writes takes the evidence away.
    """
    spec = observed.spec
    if not isinstance(spec, MigrationSpec) or spec.target is None:
        return attempt.spec if attempt else None
    service = observed.clusters[attempt.target].service if attempt else None
    if attempt and service and unfit(observed.key, service.ports, spec.probe):
        return attempt.spec
    return spec


def asked_target(observed: Observed) -> str:
    """Return the cluster that the annotations ask for, "" where they name none or no single one."""
    return (observed.spec.target if observed.spec else None) or ""


def asked_by(observed: Observed) -> str:
    """Return the Fleet and the wave that name the target, as ``fleet/to-eks/checkout``; "" where its owner does."""
    word = observed.fleet
    if word is None or not word.wish.get("target"):
        return ""
    services = (cluster.service for cluster in observed.clusters.values())
    own = any(service and f"{PREFIX}target" in service.annotations for service in services)
    return "" if own else word.source


def _ends(observed: Observed, attempt: Attempt | None) -> tuple[str, str]:
    """Return the name of origin and target: of the attempt while it matters, else of what is asked for.

    Where nothing names one it is the second cluster, so that there always is one to ask about.
    """
    one, other = observed.context.clusters
    target = attempt.target if attempt else asked_target(observed) or other
    return (other if target == one else one), target


def _latch(
    observed: Observed, attempt: Attempt | None, records: Sequence[Record]
) -> Reverted | None:
    """Find the latch of an attempt, by its target and number alone.

    Two controllers may have begun it at once, each on one split, so that the records differ in when it
    started: what ended the one ended the other.
    """
    if attempt is None:
        return None
    latched = [
        record.reverted
        for record in records
        if record.attempt
        and record.reverted
        and (record.attempt.target, record.attempt.number) == (attempt.target, attempt.number)
    ]
    latched += [
        latch.reverted
        for latch in latches(observed)
        if (latch.target, latch.attempt) == (attempt.target, attempt.number)
    ]
    return min(latched, key=lambda reverted: reverted.at, default=None)
