"""One controller process of the world: the reconciler that ships, in virtual time, with stand-ins around it.

What is real: reconciler, queue, hands, slots, store, metrics, the page's feed. What stands in: the clients of the
API servers (``world_cluster``), the streams to the probers (``world_probers``), Prometheus, and the Lease, which
tests set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import msgspec

from controller.decide.plan import plan
from controller.domain import GlobalContext, Key, Observed, Plan, ProbeOrder, TrafficOrder
from controller.domain.notices import Notice, Notify
from controller.evidence.clients.monitor import Answered
from controller.kube.api import Cluster
from controller.report.metrics import Metrics
from controller.report.tracing import tracing_to
from controller.report.ui import Feed
from controller.runtime.probers import Probers
from controller.runtime.prometheus import Traffic
from controller.runtime.reconciler import Evidence, Reconciler, Telemetry
from controller.runtime.settings import (
    ClusterSettings,
    LeaseSettings,
    ProberSettings,
    PrometheusSettings,
    Settings,
    TrafficSettings,
)
from controller.runtime.store import Store
from controller.runtime.terms import Terms
from tests.faults.virtual import Life, Process
from tests.scenarios.world_cluster import Connection
from tests.scenarios.world_probers import StandInProbers

if TYPE_CHECKING:
    from tests.scenarios.world import World

LEFT_S = 12.0
"""What is left of a Lease of 15 s that is renewed in time, at the least."""

TRACING = tracing_to(None, "test")


class _Log:
    """Keeps what the product calls an error of its own, and drops the rest."""

    def __init__(self, failures: list[BaseException]) -> None:
        self._failures = failures

    def bind(self, **_: object) -> _Log:
        """Return itself."""
        return self

    def info(self, event: str, **_: object) -> None:
        """Drop it."""

    warning = error = info

    def exception(self, event: str, **_: object) -> None:
        """Keep it: the product goes on, the test does not."""
        found = sys.exc_info()[1]
        assert found is not None, event
        self._failures.append(found)


class _Orders:
    """What a reconciler asks of ``controller.runtime.prometheus.Traffic``; the world answers for it."""

    def order(self, key: Key, order: TrafficOrder | None) -> None:
        """Drop it."""


class _Store(Store):
    """The store, and somebody who hears what each decision is made of."""

    def __init__(self, *known: Any, looked: Callable[[Observed], None], **more: Any) -> None:
        super().__init__(*known, **more)
        self._looked = looked

    def observe(self, key: Key, context: GlobalContext, now_s: float, **known: Any) -> Observed:
        """Put it together, and tell."""
        observed = super().observe(key, context, now_s, **known)
        self._looked(observed)
        return observed


class Replica:
    """One controller process in the cluster ``at``; it leads with ``fencing token`` where ``leads`` says so, by a Lease
    in the cluster that ``lease`` names."""

    def __init__(
        self,
        world: World,
        at: str,
        *,
        fencing_token: int = 1,
        leads: bool = True,
        slots: int = 20,
        lease: str = "legacy",
    ) -> None:
        self.world = world
        self.at = at
        self.fencing_token = fencing_token
        self.leads = leads
        self.may_roll_back = True
        self.probers = StandInProbers(world, at)
        self.board = Feed()
        self.metrics = Metrics("test", world.clock)
        self.on_notice: list[Notify] = []
        self.observed: dict[Key, Observed] = {}
        self._made: dict[Key, Plan] = {}
        self._process = Process(world.loop, at)
        self._started = False
        self._settings = Settings(
            clusters={
                name: ClusterSettings(
                    prometheus=PrometheusSettings(url="http://prometheus:9090")
                    if name in world.prometheus
                    else PrometheusSettings()
                )
                for name in world.clusters
            },
            lease=LeaseSettings(cluster=lease),
            prober=ProberSettings(token_file="-"),
            max_in_progress=slots,
            split=world.fleet_split,
            traffic=TrafficSettings(mode=world.traffic),
        )
        self.store = _Store(
            {name: c.gateway_namespace for name, c in self._settings.clusters.items()},
            self._settings.domain,
            prometheus=world.prometheus,
            looked=self._looked,
            terms=Terms(self._settings.lease.full_name, self._settings.lease.duration_s),
            fleets_in=lease,
        )
        self._connections = {
            name: Connection(api, world.clock, self._hears(name), world)
            for name, api in world.apis.items()
        }
        for api in world.apis.values():
            api.watchers.append(lambda: world.loop.call_soon(self.watch))
        self.reconciler = Reconciler(
            self._settings,
            self.store,
            cast("dict[str, Cluster]", self._connections),
            Evidence(cast("Probers", self.probers), cast("Traffic", _Orders())),
            self,
            Telemetry(
                self.metrics,
                TRACING,
                cast("Any", _Log(world.failures)),
                self.board,
                self._notify,
            ),
            world.clock,
        )

    def _notify(self, subject: str, notice: Notice | None) -> None:
        if notice is not None:
            self.world.notices.append((self.world.now_s, self.at, notice))
        for tell in self.on_notice:
            tell(subject, notice)

    def _hears(self, name: str) -> Callable[[], bool]:
        return lambda: (name, self.at) not in self.world.deaf

    # --- its life -----------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.life is Life.RUNNING

    def kill(self) -> None:
        """End it as a kernel does: its writes on the path land, and nobody hears of it."""
        self._process.kill()

    def revive(self) -> None:
        """Let it clean up after all, at the end of the world."""
        self._process.life = Life.STOPPED
        self._process.go_on()

    def start(self) -> None:
        """Begin to run, where it does not."""
        if not self._started:
            self._started = True
            self._process.start(self.reconciler.run).add_done_callback(self._ended)

    def _ended(self, task: Any) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.world.failures.append(task.exception())

    # --- what it is told ----------------------------------------------------------------------------

    @property
    def left_s(self) -> float:
        """Seconds for which it still leads."""
        return LEFT_S if self.leads else 0.0

    def lead(self, *, leads: bool) -> None:
        """Return it the lease, or take it away."""
        self.leads = leads
        self.reconciler.requeue_all()

    def settle(self, **changed: Any) -> None:
        """Change what of the settings may change while it runs."""
        self._settings = msgspec.structs.replace(self._settings, **changed)
        self.reconciler.resettle(self._settings)

    def watch(self) -> None:
        """Take in what the API servers tell, or that they tell nothing."""
        if self.alive:
            for connection in self._connections.values():
                connection.watch(self.reconciler.apply)

    def beat(self) -> None:
        """Have the probers send what is due in this tick, and report."""
        if self.alive:
            self.probers.probe()
            for on_report in self.probers.reports(self.world.clock()):
                self.reconciler.on_report(on_report)

    def answered(self, answered: Answered) -> None:
        """Take what a Prometheus says in."""
        self.reconciler.answered(answered)

    # --- what it decides ----------------------------------------------------------------------------

    def _looked(self, observed: Observed) -> None:
        """Keep what it looks at, and the plan: a function of that and the time, so the one that is carried out."""
        self.observed[observed.key] = observed
        self._made[observed.key] = decided = plan(observed, self.world.now)
        self.world.looked(self, observed, decided)

    def decided(self, key: Key) -> Plan | None:
        """Return what it decided last for a Service."""
        return self._made.get(key)

    def observe(self, key: Key) -> Observed:
        """Return what a decision would look at now."""
        before = self.observed.get(key)
        context = GlobalContext(
            clusters=self.world.clusters,
            paused=self._settings.paused,
            leads=self.leads,
            may_roll_back=self.may_roll_back,
            fencing_token=self.fencing_token,
            lease=self._settings.lease.full_name,
            split=self._settings.split,
            traffic=self._settings.traffic.mode,
            prometheus=self.world.prometheus,
        )
        has_slot = before is not None and before.has_slot
        return Store.observe(self.store, key, context, self.world.clock(), has_slot=has_slot)

    @property
    def holders(self) -> set[Key]:
        """Who has a slot, as last looked at."""
        return {key for key, observed in self.observed.items() if observed.has_slot}

    def orders(self, key: Key) -> tuple[ProbeOrder, ...]:
        """Return what it has probed for a Service."""
        return self.probers.orders.get(key, ())
