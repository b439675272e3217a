"""The gates: every reason why a migration does not advance, in order; the first that speaks wins.

The path back comes first, so that nothing a person writes, breaks or forgets disarms it. What a cluster
that is not listed, or stale, holds is unknown: a gate never takes unknown for absent.

    ROLLBACK   above the baseline, a reason to go home          REVERT
    FINISHED    this attempt is over, or nothing is asked HOLD
    WISH       the spec cannot be served as it is        HOLD, nothing is made
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

from controller.decide.gates.evidence import (
    bad_at_baseline,
    blind,
    collecting,
    dwell,
    origin_bad,
    rejected,
    traffic_away,
    unprobed,
    wrong_cluster,
)
from controller.decide.gates.finished import abort_asked, completed, over, remembered
from controller.decide.gates.gate import Each, Gate
from controller.decide.gates.operator import edited, fleet_paused, paused, slot, unreadable
from controller.decide.gates.preconditions import (
    defective,
    mirrors,
    origin_floor,
    own_pods,
    pin_foreign,
    target_unready,
)
from controller.decide.gates.rollback import (
    asked_back,
    latched,
    link_lost,
    loops,
    target_bad,
    target_gone,
    traffic_bad,
    traffic_loops,
)
from controller.decide.gates.rollback_guard import stays
from controller.decide.gates.safety import (
    SETTLE_S,
    begun,
    lease,
    loop_free,
    made,
    pins_old,
    settling,
    stale,
)
from controller.decide.gates.spec import (
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
from controller.decide.resolve import MigrationState
from controller.domain import Observed, Ruling

__all__ = [
    "ALL",
    "BEFORE_SLOT",
    "EVIDENCE",
    "FINISHED",
    "OPERATOR",
    "PRECONDITIONS",
    "ROLLBACK",
    "SAFETY",
    "SETTLE_S",
    "SPEC",
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

ROLLBACK: tuple[Gate, ...] = (
    latched,
    asked_back,
    loops,
    target_gone,
    target_bad,
    traffic_bad,
    traffic_loops,
    link_lost,
)
FINISHED: tuple[Gate, ...] = (over, completed, remembered, abort_asked)
SPEC: tuple[Gate, ...] = (
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
PRECONDITIONS: tuple[Gate, ...] = (
    defective,
    pin_foreign,
    target_unready,
    mirrors,
    own_pods,
    origin_floor,
)
OPERATOR: tuple[Gate, ...] = (unreadable, edited, paused, fleet_paused)
SAFETY: tuple[Gate, ...] = (stale, lease, made, begun, pins_old, loop_free, settling)
EVIDENCE: tuple[Gate, ...] = (
    unprobed,
    rejected,
    wrong_cluster,
    bad_at_baseline,
    blind,
    origin_bad,
    traffic_away,
    dwell,
    collecting,
)
BEFORE_SLOT: tuple[Gate, ...] = (*FINISHED, *SPEC, *PRECONDITIONS, *OPERATOR)
ALL: tuple[Gate, ...] = (*ROLLBACK, *BEFORE_SLOT, slot, *SAFETY, *EVIDENCE)


def first(
    gates: Iterable[Gate], observed: Observed, state: MigrationState, now: datetime
) -> Ruling | None:
    """Return the answer of the first gate that speaks, None where all let the migration pass."""
    for gate in gates:
        ruling = gate(observed, state, now)
        if ruling is not None:
            return ruling
    return None
