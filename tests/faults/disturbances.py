"""What lasts for a while, begun in a phase of the journey: cuts of the network, clocks that are set, and hands on
what the controller tells.

Each is done to the world as a whole, in a child that branched off when the phase was reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tests.faults import hands
from tests.faults.oracle import CLUSTERS
from tests.faults.proxy import Cut
from tests.faults.world import LEASE_CLUSTER, World

CUT_S = 20.0
HOUR_S = 3600.0

NOTICED_S = 5.0
"""From a cut to the last raise that is decided without knowing of it: 3 s until a watch that broke is stale,
0.8 of the lease's 6 s, 0.3 s without a slice."""

Shares = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the journey: in which leg, at which share of the target, per mille, and how its pods are."""

    name: str
    leg: str
    share: int
    bad: bool = False

    def holds(self, leg: str, target: str, world: World) -> bool:
        """Return whether it is now."""
        away = world.oracle.away
        shares = {name: 1000 - away[name] if name == target else away[name] for name in CLUSTERS}
        return (
            leg == self.leg
            and set(shares.values()) == {self.share}
            and bool(world.bad[target]) == self.bad
        )


PHASES = (
    Phase("starting", "move", 0),
    Phase("enrolled, pins young", "move", 0),
    Phase("moving, at 25 %", "move", 250),
    Phase("moving, at 50 %", "move", 500),
    Phase("moving, soaking", "move", 999),
    Phase("completed", "move", 1000),
    Phase("returning, at 25 %", "return", 250),
    Phase("returning, soaking", "return", 999),
    Phase("on again, at 25 %", "revert", 250),
    Phase("at 50 %, target bad", "revert", 500, bad=True),
)
SECOND_OF_A_KIND_S = 2.0
"""The second phase is the first, two seconds later."""

Deed = Callable[[World], None]


def _cut(**what: Cut) -> Deed:
    """Cut these off for a while. ``prober_eks`` is the prober of eks."""

    def deed(world: World) -> None:
        for name, cut in what.items():
            named = name.replace("_", " ")
            fresh = Cut(cut.to, cut.back, cut.refuses, cut.only)
            world.cut(named, fresh)
            asyncio.get_running_loop().call_later(CUT_S, world.mend, named)

    return deed


def _set_clock(cluster: str, by_s: float) -> Deed:
    """Set the clock of an API server, and leave it so."""

    def deed(world: World) -> None:
        world.skew_s[cluster] += by_s

    return deed


FLEETS_CUT = "only Fleets cut off"
BROKEN = Cut(refuses=True)
VANISHED = Cut()
CUTS: Mapping[str, Deed] = MappingProxyType(
    {
        "lease's cluster cut off": _cut(legacy=BROKEN),
        "other cluster cut off": _cut(eks=BROKEN),
        "both clusters cut off": _cut(legacy=BROKEN, eks=BROKEN),
        "lease's cluster vanished": _cut(legacy=VANISHED),
        "other cluster vanished": _cut(eks=VANISHED),
        "only the lease vanished": _cut(legacy=Cut(only="/leases")),
        "calls to lease's cluster lost": _cut(legacy=Cut(back=False)),
        "answers of other cluster lost": _cut(eks=Cut(to=False)),
        "probers cut off": _cut(prober_legacy=BROKEN, prober_eks=BROKEN),
        "one prober vanished": _cut(prober_eks=VANISHED),
        FLEETS_CUT: _cut(legacy=Cut(refuses=True, only="/fleets")),
    }
)
CLOCKS: Mapping[str, Deed] = MappingProxyType(
    {
        "lease's cluster an hour ahead": _set_clock(LEASE_CLUSTER, HOUR_S),
        "lease's cluster an hour behind": _set_clock(LEASE_CLUSTER, -HOUR_S),
        "other cluster an hour ahead": _set_clock("eks", HOUR_S),
        "other cluster an hour behind": _set_clock("eks", -HOUR_S),
    }
)
EDITS: Mapping[str, Deed] = MappingProxyType(
    {
        "status written over": lambda world: world.say_otherwise(),
        "Migration deleted": lambda world: world.delete_migration(),
    }
)
UNREADY_S = 0.3
REPLACED_S = 0.02


def _unready(*clusters: str) -> Deed:
    """Let no pod be seen ready for a moment, though all of them serve."""

    def deed(world: World) -> None:
        for cluster in clusters:
            world.hide_pods(cluster, UNREADY_S)

    return deed


def _replaced(*clusters: str) -> Deed:
    """Replace slices, as a controller of slices does."""

    def deed(world: World) -> None:
        for cluster in clusters:
            world.replace_slice(cluster, REPLACED_S)

    return deed


BLINKS: Mapping[str, Deed] = MappingProxyType(
    {
        "pods of eks unready for 0.3 s": _unready("eks"),
        "pods of legacy unready for 0.3 s": _unready("legacy"),
        "all pods unready for 0.3 s": _unready(*CLUSTERS),
        "slice of eks replaced": _replaced("eks"),
        "all slices replaced": _replaced(*CLUSTERS),
    }
)
LEASES: Mapping[str, Deed] = MappingProxyType(
    {
        "lease deleted": hands.lease_deleted,
        "lease restored lower": hands.lease_restored,
        "lease in the other cluster": hands.lease_moved,
        "lease restored, pin deleted": hands.with_a_pin(hands.lease_restored),
    }
)
"""Every controller is killed with it: one that lives on remembers its own numbers."""

DROPS: Mapping[str, Deed] = MappingProxyType(
    {
        "split replaced": hands.written_anew("legacy"),
        "other split replaced": hands.written_anew("eks"),
        "split deleted and made": hands.written_anew("legacy", deleted=True),
        "other split deleted and made": hands.written_anew("eks", deleted=True, whole=True),
        "both splits replaced": hands.written_anew("legacy", "eks", whole=True),
    }
)
"""What a person does to splits in mid-attempt, without their records."""

DEEDS: Mapping[str, Deed] = MappingProxyType(
    {**CUTS, **CLOCKS, **EDITS, **LEASES, **DROPS, **BLINKS}
)

SECOND = "another controller, another lease"
"""It runs for a while beside the one that is there, misconfigured; then it is taken away."""

SECOND_S = 30.0

FOUND_S = 3.5
"""From its start to its first write on a split, by which the other one knows of it: it takes its lease, lists, and at
its next renewal, a third of 6 s, a token above the records."""
