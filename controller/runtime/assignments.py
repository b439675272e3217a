"""What one stream's prober has to probe, and how its reports are read. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from controller.domain import CallPath, Key, ProbeOrder, Side
from controller.domain.probe_checks import expected
from controller.evidence.hearing import Stream
from controller.evidence.probes import ProberReport
from prober import contract

KEEP_WITHDRAWN_S = 3.0
"""A withdrawn assignment's last samples still come: probes in flight end within 1 s."""

Place = tuple[Key, CallPath]
"""What is probed: one path of one migration."""


@dataclass(slots=True)
class Assignments:
    """The assignments of one connection; another connection begins with none.

    It is number ``stream`` of those to ``cluster``. ``_share`` is its part of each path, and of how many.
    ``_ids`` also knows those that were withdrawn lately, until their time.
    """

    cluster: str
    stream: int
    _share: tuple[int, int] = (0, 1)
    _is_old: bool = False
    """Whether the prober knows no bursts of their own: what is slowed for others is asked at its full rate."""
    _assigned: dict[Place, tuple[int, ProbeOrder]] = field(default_factory=dict)
    _ids: dict[int, ProbeOrder] = field(default_factory=dict)
    _expiring: list[tuple[float, int]] = field(default_factory=list)
    _reported: set[int] = field(default_factory=set)
    _pending: set[int] = field(default_factory=set)
    _ended: list[ProbeOrder] = field(default_factory=list)
    _connection: Stream = field(default_factory=Stream)
    _refused: list[tuple[ProbeOrder, str, str]] = field(default_factory=list)

    def follow(
        self,
        wanted: Mapping[Place, ProbeOrder],
        share: tuple[int, int],
        numbers: Iterator[int],
        now_s: float,
        changed: Collection[Place] | None = None,
    ) -> list[contract.ToProber]:
        """Return the messages that turn what is probed into what is wanted, of which this stream has a share.

        Another share is another assignment of the same order: its evidence goes on. Nothing else is wanted otherwise
        than before but what ``changed`` (None: it is not known).
        """
        keeps, self._share = share == self._share, share
        if changed is None or not keeps:
            changed = {**self._assigned, **wanted}
        told = [self._follow_one(at, wanted.get(at) if keeps else None, now_s) for at in changed]
        begun = [self._begin(next(numbers), at, wanted[at]) for at in self._new(changed, wanted)]
        return [*(message for message in told if message is not None), *begun]

    def _new(self, among: Iterable[Place], wanted: Mapping[Place, ProbeOrder]) -> list[Place]:
        return [at for at in among if at in wanted and at not in self._assigned]

    def _follow_one(
        self, at: Place, new: ProbeOrder | None, now_s: float
    ) -> contract.ToProber | None:
        """Return what tells the prober of what it probes already, None where that stays as it is."""
        number, order = self._assigned.get(at, (0, None))
        if order is None or new == order:
            return None
        if new is not None and _but_addresses(new) == _but_addresses(order):
            self._assigned[at] = (number, new)
            self._ids[number] = new
            return contract.Readdress(number, new.addresses)
        self._ended.append(order)
        self._expiring.append((now_s + KEEP_WITHDRAWN_S, number))
        del self._assigned[at]
        return contract.Withdraw(number)

    def _begin(self, number: int, at: Place, order: ProbeOrder) -> contract.Assign:
        self._assigned[at] = (number, order)
        self._ids[number] = order
        return self._assign(number, order)

    def refuse(self, refused: contract.Refused) -> ProbeOrder | None:
        """Take a refusal in; return the order that it is about, if it names one."""
        order = self._ids.get(refused.id) if refused.id is not None else None
        if order is None:
            return None
        if order.burst_per_s is not None and "burst_per_s" in refused.message:
            self._is_old = True
            self._assigned.pop((order.key, order.path), None)
        else:
            self._refused.append((order, refused.reason, refused.message))
        return order

    def read(self, report: contract.Report, now_s: float) -> ProberReport:
        """Put the orders to a report. A path rests only once this stream has reported a sample of it."""
        samples = tuple(
            (order, part)
            for part in report.samples
            if (order := self._ids.get(part.assignment)) is not None
        )
        self._forget(now_s)
        resting, awaited = self._rest(report)
        refused, self._refused = tuple(self._refused), []
        return ProberReport(
            cluster=self.cluster,
            stream=self.stream,
            report=report,
            samples=samples,
            connection=self._connection,
            resting=resting,
            awaited=awaited,
            throttled={
                (order.key, order.path): report.throttled[part.assignment]
                for order, part in samples
                if part.assignment in report.throttled
            },
            refused=refused,
            now_s=now_s,
        )

    def _rest(
        self, report: contract.Report
    ) -> tuple[tuple[ProbeOrder, ...], tuple[ProbeOrder, ...]]:
        """Return of what nothing is under way from now on, and of what something is, or that has ended."""
        came = {part.assignment for part in report.samples if part.assignment in self._ids}
        pending = {number for number in report.pending if number in self._ids}
        over = (came | (self._pending & self._reported)) - pending
        self._reported |= came
        self._pending = pending
        ended, self._ended = self._ended, []
        awaited = (*ended, *(self._ids[number] for number in pending))
        return tuple(self._ids[n] for n in over if self._is_assigned(n)), awaited

    def _is_assigned(self, number: int) -> bool:
        """Return whether the prober goes on with it."""
        order = self._ids.get(number)
        return order is not None and self._assigned.get((order.key, order.path), (0,))[0] == number

    def _forget(self, now_s: float) -> None:
        """Let go of what was withdrawn long enough ago."""
        while self._expiring and self._expiring[0][0] <= now_s:
            gone = self._expiring.pop(0)[1]
            self._ids.pop(gone, None)
            self._reported.discard(gone)

    def _assign(self, number: int, order: ProbeOrder) -> contract.Assign:
        probe = order.probe
        asked = order.mirror_of or order.path.callers
        names_cluster = probe.cluster_header and order.route != "apex"
        return contract.Assign(
            id=number,
            key=f"{order.key}/{order.path.callers}/{order.path.side}",
            namespace=order.key.namespace,
            service=order.key.service,
            route=order.route,
            port=order.port,
            rate_per_s=float(probe.rate_per_s) if self._is_old else order.rate_per_s,
            burst_per_s=None if self._is_old else order.burst_per_s,
            expect=expected(probe, order.protocol),
            path=probe.path,
            mirror_of=order.mirror_of,
            addresses=order.addresses,
            part=self._share[0],
            parts=self._share[1],
            priority=2 if order.path.side is Side.APEX else int(not order.shifted),
            latency_limit_s=order.latency.limit_s if order.latency else None,
            protocol=order.protocol,
            grpc_service=probe.grpc_service,
            header=probe.header,
            body=probe.body,
            cluster=(probe.cluster_header, asked) if names_cluster else None,
        )


def _but_addresses(order: ProbeOrder) -> ProbeOrder:
    return replace(order, addresses=())
