"""Whose terms of leading the records on the splits tell of: a lease that was lost, and another leader's.

A record carries the fencing token of its writer, and the name of the Lease that counted it. Tokens outlive the Lease
(it is deleted, restored from a backup, ``lease.cluster`` changes), so a leader takes one above every record that it
sees. And nobody writes under another Lease than ours but a second controller with other settings: a record that
*changes* into one of another Lease is a sign of life of its leader, one that was always there is not. No I/O and no
clock: ``now_s`` is monotonic.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from controller.decide.resolve import split_parts
from controller.domain import BELIEVED_TOKEN, Key, ObservedCluster, Record

QUIET_DURATIONS = 2.0
"""So many durations of a lease without a sign of life, and its leader is gone: it answers each takeover, with a token
that it takes at a renewal (a third of the duration), once in a duration at most."""


def _of_another_pair(record: Record, clusters: Mapping[str, ObservedCluster]) -> bool:
    """Return whether a record is of a pair that shares a cluster with ours: its leader leads something else."""
    return record.attempt is not None and set(record.attempt.baseline) != set(clusters)


class Terms:
    """What all records together say. ``lease`` names the Lease of this controller, ``duration_s`` is its duration."""

    def __init__(self, lease: str, duration_s: float) -> None:
        self._lease = lease
        self._quiet_s = QUIET_DURATIONS * duration_s
        self._known: dict[Key, dict[str, Mapping[str, Record]]] = {}
        self._taken_s: dict[Key, float] = {}
        self._highest = 0
        self._other = ""
        self._seen_s = -inf

    @property
    def newest(self) -> int:
        """Return the least fencing token of which no record is newer, and none of another Lease as new."""
        return self._highest

    def notice(self, key: Key, clusters: Mapping[str, ObservedCluster], now_s: float) -> None:
        """Take in the records of one migration as they stand now, in the clusters that are known as they stand."""
        for name, cluster in clusters.items():
            if not cluster.current:
                continue
            records = {
                p.name: p.record
                for p in split_parts(cluster)
                if isinstance(p.record, Record) and not _of_another_pair(p.record, clusters)
            }
            known = self._known.setdefault(key, {}).get(name)
            self._known[key][name] = records
            for part, record in records.items():
                foreign = not record.is_under(self._lease)
                if record.fencing_token <= BELIEVED_TOKEN:
                    self._highest = max(self._highest, record.fencing_token + foreign)
                if known is not None and known.get(part) != record:
                    self._changed(key, known.get(part), record, now_s)

    def _changed(self, key: Key, before: Record | None, record: Record, now_s: float) -> None:
        """Take note of a record that changed since it was last seen."""
        if not record.is_under(self._lease):
            self._other, self._seen_s = record.lease, now_s
        elif before is not None and not before.is_under(self._lease):
            self._taken_s[key] = now_s

    def other_lease(self, now_s: float) -> str:
        """Return the name of another Lease under which a record was written lately, "" where there is none."""
        return self._other if now_s - self._seen_s < self._quiet_s else ""

    def listens_s(self, key: Key, now_s: float) -> float:
        """Return for how long the leader of another Lease may still answer that its records were taken over."""
        return max(0.0, self._taken_s.get(key, -inf) + self._quiet_s - now_s)

    def forget(self, key: Key) -> None:
        """Let go of a migration that is none any more."""
        self._known.pop(key, None)
        self._taken_s.pop(key, None)
