"""What a probe is answered in the simulated mesh, and what callers would be answered.

Nothing here is random: a share of 250 per mille is every fourth request. Gateways obey their pins, and
without one the split of their own cluster, so that a request may bounce (mesh facts 1 and 7).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from controller.domain import CallPath, Key, ProbeOrder

GOOD = "200"
SILENT = frozenset({"timeout"})
"""Answers that come only with the probe's own timeout of 1 s."""


@dataclass(slots=True)
class Pod:
    """A pod: whether it is ready, and what it answers; ``every``: only each so many-th request so.

    ``leaving`` is a pod that refuses connections and that every balancer has left, as in a rolling deploy.
    """

    address: str
    ready: bool = True
    answer: str = GOOD
    every: int = 1
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """What one path answers, to each ``every``-th probe, whatever the mesh would do."""

    answer: str
    every: int = 1


@dataclass
class Mesh:
    """Pods, gateways, the link and what is wrong with them. ``away`` and ``pinned`` ask the API servers."""

    away: Callable[[str, Key], int]
    pinned: Callable[[str, Key], bool]
    far: dict[str, str]
    link_up: bool = True

    def __post_init__(self) -> None:
        """Begin with everything well."""
        self.pods: dict[tuple[str, Key], list[Pod]] = defaultdict(list)
        self.dead_gateways: set[str] = set()
        self.faults: dict[CallPath, Fault] = {}
        self._turns: dict[Hashable, int] = defaultdict(int)

    def reaches(self, cluster: str, *, origin: str) -> bool:
        """Return whether something in ``origin`` reaches what stands behind the gateway of ``cluster``."""
        return cluster == origin or (self.link_up and cluster not in self.dead_gateways)

    def answer(self, order: ProbeOrder) -> tuple[str, str]:
        """Return what the next probe of this order is answered, and the pod's address where it asked one."""
        fault = self.faults.get(order.path)
        if fault is not None and self._turn(("fault", order.path, order.key), fault.every):
            address = order.addresses[0] if order.addresses else ""
            return fault.answer, address
        callers = order.path.callers
        if order.route == "mirror":
            return self._through_gateway(callers, order.key), ""
        if order.route == "apex":
            return self.call(callers, order.key), ""
        if not order.addresses:
            return "refused", ""
        turn = self._count(("pods", order.path, order.key))
        address = order.addresses[turn % len(order.addresses)]
        pod = next((p for p in self.pods[callers, order.key] if p.address == address), None)
        return ("refused" if pod is None or pod.leaving else self._of_pod(pod)), address

    def call(self, callers: str, key: Key) -> str:
        """Return what a real caller is answered now, by the split of its cluster."""
        if self._share(("call", callers, key), self.away(callers, key)):
            return self._through_gateway(callers, key)
        return self._local(callers, key)

    def _through_gateway(self, callers: str, key: Key) -> str:
        far = self.far[callers]
        if not self.reaches(far, origin=callers):
            return "timeout"
        if not self.pinned(far, key) and self._share(("bounce", callers, key), self.away(far, key)):
            return "508"
        return self._local(far, key)

    def _local(self, cluster: str, key: Key) -> str:
        ready = [pod for pod in self.pods[cluster, key] if pod.ready and not pod.leaving]
        if not ready:
            return "504"
        return self._of_pod(ready[self._count(("local", cluster, key)) % len(ready)])

    def _of_pod(self, pod: Pod) -> str:
        return pod.answer if self._turn(("pod", pod.address), pod.every) else GOOD

    def _count(self, what: Hashable) -> int:
        self._turns[what] += 1
        return self._turns[what]

    def _turn(self, what: Hashable, every: int) -> bool:
        return self._count(what) % every == 0

    def _share(self, what: Hashable, permille: int) -> bool:
        """True for this part of the times asked, spread evenly."""
        turn = self._count(what)
        return turn * permille // 1000 > (turn - 1) * permille // 1000
