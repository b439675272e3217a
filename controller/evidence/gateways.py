"""What is common to many paths, asked once: the gateway of each cluster, and the link to it.

Its path is the prober of that cluster, asked for its control path through the gateway by the prober of the other. It is
probed often, however seldom each Service is, and its failure speaks for all of them at once.

It must not be fooled: that prober may restart while its gateway is well. So it speaks only while nothing that went
through the gateway since is answered, of whatever Service, and some probes of Services through it were not
answered either. A bounce, a refusal and an error of an application are answers. A path that was never answered (not
exported, not mirrored) says nothing, and every Service has its own verdict as it has without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf
from typing import NamedTuple

from controller.domain import (
    CallPath,
    Key,
    ObservedCluster,
    PathEvidence,
    Plan,
    ProbeOrder,
    ProbeSpec,
    Reason,
    Side,
    Verdict,
)
from controller.evidence.cusum import SAMPLES_IN_MIGRATION, Cusum, allowed_bad, fail_threshold
from controller.evidence.doubt import certain, is_void
from controller.evidence.hearing import LOST_S
from controller.evidence.probes import ProberReport
from controller.evidence.source import Evidence
from controller.evidence.window import GATEWAY_ANSWERS, is_answer
from prober.contract import CONTROL_PATH, LAG, SAMPLE_S, Sample

RATE_PER_S = 10
"""Control probes per second, so that 4 bad samples, 0.4 s, are enough."""

WITNESSES = 3
"""So many probes of Services must have gone unanswered, too: one may be chance."""

OBJECTIVE_PERCENT = Decimal("99.9")

ALPHA = 1e-6
"""Beside the alpha of a migration this is nothing, and no alarm of it counts that any Service contradicts."""


class GatewayPath(NamedTuple):
    """How callers of one cluster reach the gateway of the other."""

    callers: str
    gateway: str


class ControlService(NamedTuple):
    """The Service of the probers, the same in both clusters."""

    key: Key
    port: int


PROBERS = ControlService(Key("migrate", "prober"), 8080)
"""As the chart installs them."""


@dataclass(slots=True)
class _Gateway:
    """What is known of one gateway. ``answered_s`` is when the last probe of any that was answered was due,
    ``since_s`` when the first control probe since that was not (infinite: none)."""

    answered_s: float = -inf
    since_s: float = inf
    control_s: float = -inf
    known: bool = False
    unanswered: int = 0
    witnesses: int = 0
    cusum: Cusum = field(default_factory=lambda: Cusum(allowed_bad(OBJECTIVE_PERCENT)))

    @property
    def threshold(self) -> float:
        """Return the points that mean that it is dead."""
        return fail_threshold(SAMPLES_IN_MIGRATION, len(self.cusum.counters), ALPHA)

    def take(self, part: Sample, now_s: float, *, control: bool, clean: bool) -> None:
        """Take one sample of the control path, or of a Service: an answer is one however ill the prober is, and
        what it may have missed by its own lag is no failure."""
        due_s = now_s - part.age_s
        answered = sum(n for answer, n in part.answers.items() if _is_of_beyond(answer))
        if control:
            self.control_s = now_s
            self.known = self.known or answered > 0
        if answered:
            self._answered(due_s, control=control)
        elif clean and due_s > self.answered_s:
            base, burst = certain(part)
            self._unanswered(base.bad + burst.bad, due_s, control=control)

    def _answered(self, due_s: float, *, control: bool) -> None:
        """Begin anew, unless this probe of a Service may have passed just before the gateway died."""
        self.answered_s = max(self.answered_s, due_s)
        slack_s = 0.0 if control else SAMPLE_S
        if self.since_s == inf or due_s > self.since_s + slack_s:
            self.since_s, self.unanswered, self.witnesses = inf, 0, 0
            self.cusum.restart()

    def _unanswered(self, bad: int, due_s: float, *, control: bool) -> None:
        if control and bad:
            self.since_s = min(self.since_s, due_s)
            self.unanswered += bad
        elif not control:
            self.witnesses += bad

    def fold(self) -> None:
        """Close a tick: what came of the control path is one observation."""
        self.cusum.observe(self.unanswered, self.unanswered)
        self.unanswered = 0

    def is_dead(self, now_s: float) -> bool:
        """Return whether it speaks for all that go through it."""
        return (
            self.known
            and self.cusum.largest >= self.threshold
            and self.witnesses >= WITNESSES
            and now_s - self.control_s < LOST_S
        )

    def evidence(self, now_s: float) -> PathEvidence:
        """Return what a dead gateway says of each path through it."""
        return PathEvidence(
            Verdict.FAIL,
            Reason.GATEWAY_DEAD,
            points=self.cusum.largest,
            threshold=self.threshold,
            silent_s=now_s - self.control_s,
            bad_share_3s=1.0,
            counted="control probes",
        )


class Gateways:
    """A source of evidence: the gateways that the paths of all migrations go through."""

    def __init__(self, control: ControlService) -> None:
        self._control = control
        self._through: dict[Key, dict[CallPath, GatewayPath]] = {}
        self._users: Counter[GatewayPath] = Counter()
        self._gateways: dict[GatewayPath, _Gateway] = {}
        self._dead: frozenset[GatewayPath] = frozenset()
        self._own: tuple[ProbeOrder, ...] = ()
        self._asked: tuple[ProbeOrder, ...] = ()

    # --- what comes in -------------------------------------------------------------------------------

    def order(self, key: Key, plan: Plan, now_s: float) -> None:
        """Watch the gateways that the plan's probes go through, for as long as any does."""
        del now_s
        self._use(
            key,
            {
                order.path: GatewayPath(order.path.callers, order.mirror_of)
                for order in plan.probes
                if order.route == "mirror"
            },
        )

    def notice(
        self, key: Key, clusters: Mapping[str, ObservedCluster], now_s: float, *, settled: bool
    ) -> None:
        """Note nothing: no pod, pin or step changes what a gateway is."""

    def forget(self, key: Key) -> None:
        """Let go of a migration that is none any more."""
        self._use(key, {})

    def _use(self, key: Key, wanted: dict[CallPath, GatewayPath]) -> None:
        known = self._through.pop(key, {})
        if wanted:
            self._through[key] = wanted
        if wanted == known:
            return
        self._users.update(wanted.values())
        self._users.subtract(known.values())
        for at in {*wanted.values(), *known.values()}:
            if self._users[at]:
                self._gateways.setdefault(at, _Gateway())
            else:
                self._gateways.pop(at, None)
                self._dead -= {at}

    def on_report(self, found: ProberReport) -> None:
        """Take one report of a prober in: what went through a gateway, whosever it was."""
        if is_void(found.report.discarded):
            return
        clean = found.report.control.bad == 0 and found.report.discarded != LAG
        for order, part in found.samples:
            gateway = self._gateways.get(GatewayPath(order.path.callers, order.mirror_of))
            if gateway is not None and not is_void(part.discarded):
                control = order.path.side is Side.GATEWAY
                gateway.take(part, found.now_s, control=control, clean=clean)

    def fold(self, now_s: float) -> set[Key]:
        """Close a tick of 100 ms; return the migrations through a gateway of which something else is known."""
        for gateway in self._gateways.values():
            gateway.fold()
        before, self._dead = self._dead, frozenset(self._are_dead(now_s))
        changed = before ^ self._dead
        if not changed:
            return set()
        return {key for key, paths in self._through.items() if changed & set(paths.values())}

    # --- what is known -------------------------------------------------------------------------------

    def evidence(self, key: Key, now_s: float) -> Evidence:
        """Return that the paths through a dead gateway FAIL; nothing of the others."""
        paths = self._through.get(key, {})
        return Evidence(
            paths={
                path: self._gateways[paths[path]].evidence(now_s)
                for path in self.leading_nowhere(key)
            }
        )

    def leading_nowhere(self, key: Key) -> frozenset[CallPath]:
        """Return the paths of a migration that lead through a dead gateway."""
        paths = self._through.get(key, {}) if self._dead else {}
        return frozenset(path for path, at in paths.items() if at in self._dead)

    def dead(self) -> dict[tuple[str, str], bool]:
        """Return of each gateway that is watched, by callers and gateway, whether it is dead."""
        return {at: at in self._dead for at in self._gateways}

    def _are_dead(self, now_s: float) -> Iterator[GatewayPath]:
        return (at for at, gateway in self._gateways.items() if gateway.is_dead(now_s))

    # --- what is asked ------------------------------------------------------------------------------

    def beside(self, key: Key, orders: tuple[ProbeOrder, ...]) -> dict[Key, tuple[ProbeOrder, ...]]:
        """Return what to probe by key: one migration's paths, and the control path through each gateway that is
        watched where that changed. It is the same however many go through it."""
        found = {key: orders}
        if key == self._control.key:
            self._own = found.pop(key)
        asked = self._own + tuple(self._order(at) for at in sorted(self._gateways))
        if asked != self._asked:
            self._asked = found[self._control.key] = asked
        return found

    def _order(self, at: GatewayPath) -> ProbeOrder:
        return ProbeOrder(
            path=CallPath(at.callers, Side.GATEWAY),
            key=self._control.key,
            route="mirror",
            mirror_of=at.gateway,
            port=self._control.port,
            addresses=(),
            protocol="http",
            probe=ProbeSpec(path=CONTROL_PATH, expect=((200, 200),), rate_per_s=RATE_PER_S),
            success_percent=OBJECTIVE_PERCENT,
            latency=None,
            judges=1,
            shifted=True,
            generation=0,
            identity=(at,),
        )


def _is_of_beyond(answer: str) -> bool:
    """Return whether something behind the gateway, or the gateway itself, gave an answer (facts 16 and 19)."""
    return is_answer(answer) and answer not in GATEWAY_ANSWERS
