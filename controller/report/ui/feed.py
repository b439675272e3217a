"""What the page shows now, and what each of its readers has not received yet.

A change is a note that a row may be another; the row itself is made when somebody reads. So changes that come
faster than they are read become one, a reader that is slow costs a set of names, and nobody reading costs
next to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec

from controller.domain import Key
from controller.domain.status import rfc3339
from controller.report.ui.rows import Shown, details, fleet_row, row

Source = Callable[[], Shown]

FleetSource = Callable[[], Any]
"""Gives a Fleet's status as it is written: a mapping or a msgspec struct of it."""


class Feed:
    """The rows of all migrations, and the Fleets. Everything is called on one event loop.

    ``target`` is the cluster that the page tells somebody to move a first Service to.
    """

    def __init__(self, target: str = "") -> None:
        self._target = target
        self._sources: dict[Key, Source] = {}
        self._fleets: dict[str, FleetSource] = {}
        self._rows: dict[Key, bytes] = {}
        self._readers: set[Reader] = set()
        self.leads = False
        """Whether this replica is the one that moves: then what is shown is of this moment."""
        self._leader = ""
        self._reach = ""
        self._ends: dict[str, str] = {}

    def lead(self, leads: bool, leader: str, reach: str) -> None:
        """Note whether this replica leads, the Pod of the one that does ("": none is known), and the command by which
        its page is reached."""
        self.leads, self._leader, self._reach = leads, leader, reach
        self._note_head()

    def credentials_end(self, cluster: str, at: datetime | None) -> None:
        """Note when somebody has to have renewed the credentials for a cluster (None: nobody has to)."""
        told = "" if at is None else rfc3339(at)
        if told != self._ends.get(cluster, ""):
            self._ends[cluster] = told
            self._note_head()

    def _note_head(self) -> None:
        for reader in self._readers:
            reader.changed.set()

    def head(self) -> dict[str, Any]:
        """Return what is told beside rows and Fleets: who leads, and when credentials end, by cluster."""
        ends = {cluster: at for cluster, at in self._ends.items() if at}
        return {
            "leads": self.leads,
            "leader": self._leader,
            "reach": self._reach,
            "ends": ends,
            "target": self._target,
        }

    def put(self, key: Key, source: Source) -> None:
        """Note that a migration may be shown otherwise from now on; ``source`` is asked when it is read."""
        self._sources[key] = source
        for reader in self._readers:
            reader.note(key)

    def drop(self, key: Key) -> None:
        """Note that a Service is no migration any more."""
        if self._sources.pop(key, None) is None:
            return
        self._rows.pop(key, None)
        for reader in self._readers:
            reader.note(key)

    def put_fleet(self, name: str, source: FleetSource) -> None:
        """Note that a Fleet may be shown otherwise from now on; ``source`` is asked when it is read."""
        self._fleets[name] = source
        for reader in self._readers:
            reader.note_fleets()

    def drop_fleet(self, name: str) -> None:
        """Note that a Fleet is no more."""
        if self._fleets.pop(name, None) is not None:
            for reader in self._readers:
                reader.note_fleets()

    def fleets(self) -> bytes:
        """Return all Fleets by their names, as a list in JSON."""
        return msgspec.json.encode(
            [fleet_row(name, source()) for name, source in sorted(self._fleets.items())]
        )

    def details(self, key: Key) -> bytes | None:
        """Return all that is known of one migration as JSON, None where there is no such migration."""
        source = self._sources.get(key)
        return None if source is None else msgspec.json.encode(details(key, source()))

    def row(self, key: Key) -> bytes | None:
        """Return one migration's row as JSON; the very same object while it says the same."""
        source = self._sources.get(key)
        if source is None:
            return None
        made = msgspec.json.encode(row(key, source()))
        known = self._rows.get(key)
        if made != known:
            self._rows[key] = known = made
        return known

    @property
    def readers(self) -> int:
        """How many read now."""
        return len(self._readers)

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Read everything, and then what changes, until the block ends."""
        reader = Reader(self, self._sources)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)


class Reader:
    """One who reads: which rows and Fleets may have changed since, and what was read of each."""

    def __init__(self, feed: Feed, keys: dict[Key, Source]) -> None:
        self._feed = feed
        self._dirty = set(keys)
        self._told: dict[Key, bytes] = {}
        self._fleets_dirty = True
        self._told_fleets = b""
        self._told_head: dict[str, Any] = {}
        self.changed = asyncio.Event()

    def note(self, key: Key) -> None:
        """Something about this migration may be another."""
        self._dirty.add(key)
        self.changed.set()

    def note_fleets(self) -> None:
        """Something about a Fleet may be another."""
        self._fleets_dirty = True
        self.changed.set()

    def take_fleets(self) -> bytes | None:
        """Return all Fleets as a list in JSON; None where it says what it said the last time."""
        if not self._fleets_dirty:
            return None
        self._fleets_dirty = False
        made = self._feed.fleets()
        if made == self._told_fleets:
            return None
        self._told_fleets = made
        return made

    def take_head(self) -> dict[str, Any] | None:
        """Return who leads, and when credentials end; None where it says what it said the last time."""
        head = self._feed.head()
        if head == self._told_head:
            return None
        self._told_head = head
        return head

    async def take(self, at_once: int = 50) -> tuple[list[bytes], list[Key]]:
        """Return the rows that changed, and the migrations that are none any more; the loop gets its turn
        after each ``at_once`` rows."""
        self.changed.clear()
        dirty, self._dirty = sorted(self._dirty), set()
        rows: list[bytes] = []
        gone: list[Key] = []
        for number, key in enumerate(dirty, start=1):
            made = self._feed.row(key)
            if made is None:
                if self._told.pop(key, None) is not None:
                    gone.append(key)
            elif self._told.get(key) is not made:
                self._told[key] = made
                rows.append(made)
            if number % at_once == 0:
                await asyncio.sleep(0)
        return rows, gone
