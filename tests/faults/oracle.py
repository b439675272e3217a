"""What must hold at every change of any object, whoever wrote it; it knows nothing of the controller's code.

It sees three things: what was applied in the two API servers, what each controller sent (at the proxy, before
any fault), and what the probers found. Everything it says follows from those and from docs/mesh-facts.md.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.stand_ins.apiserver import Event
from tests.faults.proxy import Call
from tests.faults.splits import PLURALS, backends_of, is_of_split

CLUSTERS = ("legacy", "eks")
FAR = {"legacy": "eks", "eks": "legacy"}
NAMESPACE = "default"
SERVICE = "service-a"
PIN = f"{SERVICE}.{NAMESPACE}.svc.cluster.local"
LEASE = "migrate-controller"
RECORD = "migrate.tradeshift/record"

ROUTES = ("mirror", "pods")
ENOUGH_PROBES = 100
"""The least that PASS needs on each way (docs/evidence.md, PASS)."""

FRESH_S = 1.0
"""Evidence is fresh while its last probe is younger: a blind way shows after 300 ms."""

BEGUN_S = 0.001
"""What stands there by then was there when the world began: nobody here saw why somebody was rolled back."""

SOAK_FRESH_S = 2.0
"""A share that has passed is asked less often, and each report says that nothing else was due."""

TOGETHER_S = 0.5
"""Writes of one step, to both clusters, are sent within this."""

FAILED_PROBES = 30
"""So many bad ones on a way to the target, of a target that answers badly, are FAIL at the objective in use."""

FAIL_SEEN_S = 0.3
"""From the arrival of the last slice that FAIL needs to the decision: two ticks, and the proxy's own way."""

PIN_OBEYED_S = 1.0
"""Gateways follow a pin in 95 ms at most (mesh facts 8)."""

OVERRIDE_SEEN_S = 0.3
"""From a split that somebody wrote to the last raise that is decided without knowing of it."""

HELD_SEEN_S = 0.3
"""From a word that nobody may rise to the last raise that is sent without knowing of it."""

PIN_BACK_S = 10.0
"""From a pin's deletion, with the controller killed, to its return: a start (1 s), a lease that runs out (6 s)."""

LAG_S = 0.1
"""Proxies follow a write in 45 ms at most (mesh facts 10)."""


@dataclass(slots=True)
class _Way:
    good: int = 0
    bad: int = 0
    last_s: float = -1e9


@dataclass(frozen=True, slots=True)
class _Sent:
    """A write to a split as a controller sent it. ``wrong`` is why it must not raise."""

    by: str
    at_s: float
    wrong: str


@dataclass(slots=True)
class _Lease:
    """The lease of one cluster: who holds it, from when on, who led by it in which order, and by cluster of splits the
    last of them whose write was accepted there."""

    holder: str = ""
    from_s: float = -1e9
    ranks: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)


class Oracle:
    """Collects ``violations``. ``clock`` gives the world's seconds, ``tell`` takes lines of the story."""

    def __init__(
        self, clock: Callable[[], float], tell: Callable[[str], None], lease_s: float
    ) -> None:
        self.violations: list[str] = []
        self.away: dict[str, int] = dict.fromkeys(CLUSTERS, 0)
        self.target = ""
        self.home_after_s = 0.0
        self.raises = 0
        self.raised_s: list[float] = []
        self._clock = clock
        self._tell = tell
        self._lease_s = lease_s
        self._ways: dict[tuple[str, str], _Way] = defaultdict(_Way)
        self._failed_s: float | None = None
        self._since_step: dict[tuple[str, str], int] = {}
        self._steps: dict[int, tuple[float, str]] = {}
        self._sent: dict[tuple[str, str], list[_Sent]] = defaultdict(list)
        self._identity: dict[str, str] = {}
        self._renewal_sent_s: dict[tuple[str, str], float] = {}
        self._leases = {cluster: _Lease() for cluster in CLUSTERS}
        self._overridden: tuple[str, ...] = ()
        self._overridden_s = 0.0
        self._held = ""
        self._held_s = 0.0
        self._soak_ends = False
        self._pinned_s: dict[str, float] = {}
        self._was_bad = False
        self._has_past = False
        self._unpinned_s: dict[str, float] = {}
        self._was_away: dict[str, list[tuple[float, int]]] = {c: [] for c in CLUSTERS}

    # --- what the story tells ---------------------------------------------------------------------------

    def begin(self, target: str) -> None:
        """Another attempt: towards this cluster."""
        self.target = target
        self._failed_s = None
        self._was_bad = False
        self._steps.clear()
        self._restart_evidence()

    def pinned(self, cluster: str) -> bool:
        """Report whether the gateway of a cluster obeys a pin."""
        return cluster in self._pinned_s

    def by_hand(self, cluster: str, body: dict[str, Any]) -> None:
        """Somebody writes this split by hand: nobody else answers for it."""
        self._sent[cluster, _text(body)].append(_Sent("somebody", self._clock(), ""))

    def overridden(self, clusters: tuple[str, ...]) -> None:
        """The splits of these clusters are as somebody wrote them: until they are put back nobody may rise."""
        self._overridden, self._overridden_s = clusters, self._clock()

    def held(self, why: str, *, soak_ends: bool = False) -> None:
        """Somebody says that nobody may rise, and why ("": they may again). ``soak_ends``: a soak may still end."""
        self._held, self._held_s, self._soak_ends = why, self._clock(), soak_ends

    def unpinned(self, cluster: str) -> None:
        """Somebody is about to delete the pin of a gateway: requests may bounce until it is put back."""
        self._unpinned_s[cluster] = self._clock() + PIN_BACK_S

    # --- what the probers found -------------------------------------------------------------------------

    def probed(self, callers: str, route: str, sent: int, bad: int) -> None:
        """Count probes that a controller can have heard of."""
        way = self._ways[callers, route]
        way.good += sent - bad
        way.bad += bad
        self._was_bad = self._was_bad or bad > 0
        way.last_s = self._clock()
        to_target = (route == "pods") == (callers == self.target)
        above_home = any(share != self._home(c) for c, share in self.away.items())
        if to_target and way.bad >= FAILED_PROBES and above_home and self._failed_s is None:
            self._failed_s = self._clock()
            self._tell(f"FAIL: callers of {callers} to {self.target}")

    def _home(self, cluster: str) -> int:
        return 1000 if cluster == self.target else 0

    def _restart_evidence(self) -> None:
        for way in self._ways.values():
            way.good = way.bad = 0

    # --- what controllers send --------------------------------------------------------------------------

    def sent(self, call: Call) -> None:
        """Take note of a call as it leaves a controller."""
        if not call.is_write:
            return
        if "/leases" in call.path:
            self._lease_sent(call)
        elif is_of_split(call.path):
            document = call.document()
            backends = backends_of(document)
            if backends is not None:
                known = self._sent[call.cluster, _text(document)]
                known.append(_Sent(call.by, call.at_s, self._why_not_raise(call, backends)))

    def _lease_sent(self, call: Call) -> None:
        spec = call.document().get("spec") or {}
        holder = spec.get("holderIdentity")
        if holder:
            self._identity[call.by] = holder
            self._renewal_sent_s[holder, str(spec.get("renewTime"))] = call.at_s

    def _why_not_raise(self, call: Call, backends: list[dict[str, Any]]) -> str:
        """Return why a write that is sent now may not raise anybody, "" where it may."""
        share = self._share(call.cluster, _away_of(backends, call.cluster))
        lease = self._lease_of(call.by)
        if lease is None:
            holders = [held.holder for held in self._leases.values() if held.holder]
            return f"{call.by} does not hold the lease, {' and '.join(holders) or 'nobody'} does"
        if call.at_s > lease.from_s + self._lease_s:
            return f"the lease of {call.by} ran out at {lease.from_s + self._lease_s:.3f} s"
        if self._overridden and call.at_s > self._overridden_s + OVERRIDE_SEEN_S:
            return f"somebody wrote the split in {' and '.join(self._overridden)} anew"
        held = self._held and not (self._soak_ends and share == 1000)
        if held and call.at_s > self._held_s + HELD_SEEN_S:
            return self._held
        if self._failed_s is not None and call.at_s > self._failed_s + FAIL_SEEN_S:
            return f"the target FAILed at {self._failed_s:.3f} s"
        first_s, wrong = self._steps.get(share, (-1e9, ""))
        if call.at_s - first_s > TOGETHER_S:
            wrong = self._missing_evidence(SOAK_FRESH_S if share == 1000 else FRESH_S)
            self._steps[share] = (call.at_s, wrong)
        return wrong

    def _lease_of(self, by: str) -> _Lease | None:
        """Return the lease that a controller holds, of whichever cluster."""
        me = self._identity.get(by, "")
        return next((held for held in self._leases.values() if me and held.holder == me), None)

    def _missing_evidence(self, fresh_s: float) -> str:
        for callers in CLUSTERS:
            for route in ROUTES:
                way = self._ways[callers, route]
                if way.good < ENOUGH_PROBES or way.bad:
                    return (
                        f"only {way.good} good and {way.bad} bad probes of {callers} by {route}"
                        " since the last step"
                    )
                if self._clock() - way.last_s > fresh_s:
                    return f"the last probe of {callers} by {route} is old"
        return ""

    # --- what is applied --------------------------------------------------------------------------------

    def applied(self, cluster: str, event: Event) -> None:
        """Judge a change of an object."""
        stored = event.stored
        plural = stored.resource.plural
        gone = event.type == "DELETED"
        if plural in PLURALS and stored.name == SERVICE:
            self._split(cluster, {} if gone else stored.body)
        elif plural == "serviceprofiles" and stored.name == PIN:
            self._pin(cluster, gone=gone)
        elif plural == "leases" and stored.name == LEASE:
            self._lease(cluster, {} if gone else stored.body)

    def _ground(self, cluster: str, body: dict[str, Any]) -> None:
        """Nobody is rolled back without a bad probe: nothing here ends pods or asks for an abort."""
        record = json.loads((body["metadata"].get("annotations") or {}).get(RECORD) or "{}")
        if record.get("reverted") and self._clock() < BEGUN_S:
            self._has_past = True
        if record.get("reverted") and not (self._was_bad or self._has_past):
            why = record["reverted"].get("reason")
            self.wrong(f"{cluster}: rolled back by {why}, and no probe was bad")

    def wrong(self, what: str) -> None:
        """Keep what must not be."""
        line = f"{self._clock():9.3f} {what}"
        self._tell(f"VIOLATION {what}")
        self.violations.append(line)

    def _lease(self, cluster: str, body: dict[str, Any]) -> None:
        spec, lease = body.get("spec") or {}, self._leases[cluster]
        holder = spec.get("holderIdentity") or ""
        if holder != lease.holder:
            lease.ranks[holder] = max(lease.ranks.values(), default=0) + 1
            self._tell(f"lease in {cluster}: {holder or 'given back'}")
        lease.holder = holder
        renewed = self._renewal_sent_s.get((holder, str(spec.get("renewTime"))))
        lease.from_s = self._clock() if renewed is None else renewed

    def _pin(self, cluster: str, *, gone: bool) -> None:
        if gone:
            self._pinned_s.pop(cluster, None)
        else:
            self._pinned_s.setdefault(cluster, self._clock())
        self.serves()

    def _split(self, cluster: str, body: dict[str, Any]) -> None:
        backends = backends_of(body) or []
        if body:
            self._weights(cluster, backends)
            self._ground(cluster, body)
        before, self.away[cluster] = self.away[cluster], _away_of(backends, cluster)
        away = self.away[cluster]
        by = self._judge_order(cluster, body)
        if away == before:
            return
        self._tell(f"{cluster} callers: {before} -> {away} away")
        self._was_away[cluster].append((self._clock(), away))
        if self._share(cluster, away) > self._share(cluster, before):
            self.raises += 1
            self.raised_s.append(by.at_s if by else self._clock())
            if by is None:
                self.wrong(f"{cluster}: raised by a write that no controller sent")
            elif by.wrong:
                self.wrong(f"{cluster}: raised to {self._share(cluster, away)}: {by.wrong}")
        self._restart_evidence()
        self.serves()
        if self._failed_s is not None and all(a == self._home(c) for c, a in self.away.items()):
            self.home_after_s = max(self.home_after_s, self._clock() - self._failed_s)

    def _weights(self, cluster: str, backends: list[dict[str, Any]]) -> None:
        names = {b.get("service") for b in backends}
        weights: list[Any] = [b.get("weight") for b in backends]
        whole = all(type(w) is int and 0 <= w <= 1000 for w in weights)
        if names != {SERVICE, f"{SERVICE}-{FAR[cluster]}"} or len(backends) != 2:
            self.wrong(f"{cluster}: the backends are {names}")
        if not whole or sum(weights) != 1000:
            self.wrong(f"{cluster}: the weights are {weights}")

    def _judge_order(self, cluster: str, body: dict[str, Any]) -> _Sent | None:
        """No write of an older leader is accepted after a newer one's. Gives who sent this one."""
        sent = self._sent.get((cluster, _text(body)))
        if not sent:
            return None
        # The same text may have been sent twice: the kindest reading is the last good one.
        last = next((s for s in reversed(sent) if not s.wrong), sent[-1])
        for lease in self._leases.values():
            rank = lease.ranks.get(self._identity.get(last.by, ""), 0)
            if rank and rank < lease.accepted.get(cluster, 0):
                self.wrong(f"{cluster}: a write of {last.by}, an older leader, was accepted")
            lease.accepted[cluster] = max(lease.accepted.get(cluster, 0), rank)
        return last

    def _share(self, cluster: str, away: int) -> int:
        return 1000 - away if cluster == self.target else away

    def serves(self) -> None:
        """Every client is served: no request may bounce between the gateways (mesh facts 1, 7 and 8)."""
        now_s = self._clock()
        for cluster, far in FAR.items():
            pinned_s = self._pinned_s.get(far, 1e9)
            if pinned_s + PIN_OBEYED_S <= now_s or now_s < self._unpinned_s.get(far, -1e9):
                continue
            if self._lately(cluster) and self._lately(far):
                self.wrong(f"requests of {cluster} bounce: the gateway of {far} is not pinned")

    def _lately(self, cluster: str) -> int:
        """Return the most that was away within the time in which proxies follow."""
        history = self._was_away[cluster]
        since = self._clock() - LAG_S
        standing = [away for at, away in history if at <= since][-1:]
        return max([*standing, *(away for at, away in history if at > since)], default=0)


def _text(split: dict[str, Any]) -> str:
    """Return what tells one write from another: weights and record."""
    annotations = split.get("metadata", {}).get("annotations") or {}
    return json.dumps([backends_of(split), annotations.get(RECORD)], sort_keys=True)


def _away_of(backends: list[dict[str, Any]], cluster: str) -> int:
    mirror = f"{SERVICE}-{FAR[cluster]}"
    weights = {b.get("service"): int(b.get("weight") or 0) for b in backends}
    total = sum(weights.values()) or 1000
    return 1000 * weights.get(mirror, 0) // total
