"""The gates: every reason why a migration does not advance, in order; the first that speaks wins.

The way home comes first, so that nothing a person writes, breaks or forgets disarms it. What a cluster
that is not listed, or stale, holds is unknown: a gate never takes unknown for absent.

    WAY_HOME   above home, a reason to go home          REVERT
    AT_REST    this attempt is over, or nothing is asked HOLD
    WISH       the wish cannot be served as it is        HOLD, nothing is made
    GROUND     the Service is not fit to move now        HOLD
    HAND       a person, the settings or the queue say   HOLD, armed
    FOOTING    lease, fresh views, pins, the record      HOLD
    EVIDENCE   what the probes say                       HOLD

Each has its module. A new gate is one function there and one line in these lists; ``stays`` says who may go
home in a revert.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from controller.gates.answers import Each, Gate
from controller.gates.at_rest import abort_asked, completed, over, remembered
from controller.gates.evidence import (
    bad_at_home,
    blind,
    collecting,
    dwell,
    home_bad,
    rejected,
    traffic_away,
    unprobed,
    wrong_cluster,
)
from controller.gates.footing import (
    SETTLE_S,
    begun,
    lease,
    loop_free,
    made,
    pins_old,
    settling,
    stale,
)
from controller.gates.going_home import stays
from controller.gates.ground import (
    flawed,
    mirrors,
    origin_floor,
    own_pods,
    pin_foreign,
    target_unready,
)
from controller.gates.hand import edited, fleet_paused, paused, slot, unreadable
from controller.gates.way_home import (
    asked_home,
    latched,
    link_lost,
    loops,
    target_bad,
    target_gone,
    traffic_bad,
    traffic_loops,
)
from controller.gates.wish import (
    attempt_number,
    foreign,
    kind_of_service,
    malformed,
    missing,
    no_target,
    now_allowed,
    ports_differ,
    probe_port,
    route_fits,
    split_kind,
    traffic_known,
    traffic_mode,
)
from controller.model import Observed, Refusal
from controller.standing import Standing

__all__ = [
    "ALL",
    "AT_REST",
    "BEFORE_SLOT",
    "EVIDENCE",
    "FOOTING",
    "GROUND",
    "HAND",
    "SETTLE_S",
    "WAY_HOME",
    "WISH",
    "Each",
    "Gate",
    "abort_asked",
    "edited",
    "first",
    "lease",
    "made",
    "over",
    "remembered",
    "stays",
    "traffic_mode",
    "unreadable",
]

WAY_HOME: tuple[Gate, ...] = (
    latched,
    asked_home,
    loops,
    target_gone,
    target_bad,
    traffic_bad,
    traffic_loops,
    link_lost,
)
AT_REST: tuple[Gate, ...] = (over, completed, remembered, abort_asked)
WISH: tuple[Gate, ...] = (
    foreign,
    malformed,
    no_target,
    attempt_number,
    now_allowed,
    kind_of_service,
    ports_differ,
    probe_port,
    split_kind,
    route_fits,
    traffic_known,
    missing,
)
GROUND: tuple[Gate, ...] = (
    flawed,
    pin_foreign,
    target_unready,
    mirrors,
    own_pods,
    origin_floor,
)
HAND: tuple[Gate, ...] = (unreadable, edited, paused, fleet_paused)
FOOTING: tuple[Gate, ...] = (stale, lease, made, begun, pins_old, loop_free, settling)
EVIDENCE: tuple[Gate, ...] = (
    unprobed,
    rejected,
    wrong_cluster,
    bad_at_home,
    blind,
    home_bad,
    traffic_away,
    dwell,
    collecting,
)
BEFORE_SLOT: tuple[Gate, ...] = (*AT_REST, *WISH, *GROUND, *HAND)
ALL: tuple[Gate, ...] = (*WAY_HOME, *BEFORE_SLOT, slot, *FOOTING, *EVIDENCE)


def first(gates: Iterable[Gate], seen: Observed, st: Standing, now: datetime) -> Refusal | None:
    """Give the answer of the first gate that speaks, None where all let the migration pass."""
    for gate in gates:
        refusal = gate(seen, st, now)
        if refusal is not None:
            return refusal
    return None
