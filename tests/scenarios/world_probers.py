"""The probers of the world, as one controller hears them: its orders in, a report of each stream per tick out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.domain import CallPath, Key, ProbeOrder, probe_checks
from controller.evidence.hearing import Stream
from controller.evidence.probes import ProberReport
from prober.contract import GRPC_STATUSES, OPEN, Counts, Report, Sample
from tests.scenarios.world_mesh import GOOD, SILENT

if TYPE_CHECKING:
    from tests.scenarios.world import World

STREAMS = 2


@dataclass(frozen=True, slots=True)
class _Coming:
    """A sample on its way from a stream."""

    due_s: float
    order: ProbeOrder
    part: Sample


class StandInProbers:
    """What a reconciler asks of ``controller.runtime.probers.Probers``, and what comes of it. ``at``: where it runs."""

    def __init__(self, world: World, at: str) -> None:
        self._world = world
        self._at = at
        self.orders: dict[Key, tuple[ProbeOrder, ...]] = {}
        self.capacities: dict[str, float] = {}
        self._coming: dict[tuple[str, int], list[_Coming]] = {
            (name, stream): [] for name in world.clusters for stream in range(STREAMS)
        }
        self._told: dict[tuple[str, int], set[tuple[Key, CallPath]]] = {
            at: set() for at in self._coming
        }
        self._connections = {at: Stream() for at in self._coming}
        self._numbers = 0

    def order(self, key: Key, orders: tuple[ProbeOrder, ...]) -> None:
        """Have exactly these paths of one migration probed from now on."""
        self.orders[key] = orders

    def spare(self, key: Key, paths: Collection[CallPath]) -> None:
        """Have these paths not probed until they are ordered anew."""
        self.orders[key] = tuple(o for o in self.orders.get(key, ()) if o.path not in paths)

    def caps(self) -> dict[str, float]:
        """Return by cluster how many probes a second can be sent, where somebody set that."""
        return self.capacities

    def probe(self) -> None:
        """Send what is due in this tick."""
        for orders in self.orders.values():
            for order in orders:
                due = self._world.due(order.rate_per_s)
                if due:
                    self._send(order, due)

    def reports(self, now_s: float) -> Iterator[ProberReport]:
        """Yield a report of every stream that is up: the heartbeat, whatever is in it."""
        for (cluster, stream), coming in self._coming.items():
            if self._world.hears(self._at, cluster, stream):
                yield self._report(cluster, stream, coming, now_s)
            else:
                coming.clear()
                self._told[cluster, stream].clear()
                self._connections[cluster, stream] = Stream()

    def _send(self, order: ProbeOrder, probes: int) -> None:
        """One sample: all that one stream sends for this order in this tick."""
        callers, stream = order.path.callers, self._world.ticks % STREAMS
        if callers in self._world.refusing or not self._world.hears(self._at, callers, stream):
            return
        if order.route == "pods" and not order.addresses:
            return
        answers: Counter[str] = Counter()
        faults: Counter[str] = Counter()
        bad = 0
        found = Counter(self._world.mesh.answer(order) for _ in range(probes))
        for (answer, address), count in found.items():
            if answer == GOOD:
                answer = {"grpc": "OK", "tcp": OPEN}.get(order.protocol, GOOD)  # noqa: PLW2901 - in its words
            answers[answer] += count
            if not expected(answer, order):
                bad += count
                if address:
                    faults[address] += count
        self._numbers += 1
        part = Sample(
            assignment=1,
            number=self._numbers,
            age_s=0.0,
            base=Counts(probes, bad, bad),
            answers=dict(answers),
            loops=answers["508"],
            faults={a: (Counts(n, n, n), Counts()) for a, n in faults.items()},
        )
        late = 1.0 if answers.keys() & SILENT else 0.0
        self._coming[callers, stream].append(_Coming(self._world.now_s + late, order, part))

    def _report(
        self, cluster: str, stream: int, coming: list[_Coming], now_s: float
    ) -> ProberReport:
        ripe = [one for one in coming if one.due_s <= now_s]
        coming[:] = [one for one in coming if one.due_s > now_s]
        told = self._told[cluster, stream]
        told.update((one.order.key, one.order.path) for one in ripe)
        busy = {(one.order.key, one.order.path) for one in (*ripe, *coming)}
        here = [
            order
            for orders in self.orders.values()
            for order in orders
            if order.path.callers == cluster
        ]
        ruling = self._world.refusing.get(cluster)
        return ProberReport(
            cluster=cluster,
            stream=stream,
            report=Report(
                number=0,
                samples=tuple(one.part for one in ripe),
                control=Counts(1, int(cluster in self._world.bad_references), 0),
                discarded=self._world.void.get(cluster, ""),
            ),
            samples=tuple((one.order, one.part) for one in ripe),
            connection=self._connections[cluster, stream],
            resting=tuple(
                o for o in here if (o.key, o.path) in told and (o.key, o.path) not in busy
            ),
            awaited=tuple(one.order for one in coming),
            refused=tuple((order, *ruling) for order in here) if ruling else (),
            now_s=now_s,
        )


def expected(answer: str, order: ProbeOrder) -> bool:
    """Report whether an answer is one that the spec calls good."""
    if answer in GRPC_STATUSES:
        answer = str(GRPC_STATUSES.index(answer))
    good = probe_checks.expected(order.probe, order.protocol)
    return answer == OPEN or (answer.isdigit() and any(a <= int(answer) <= b for a, b in good))
