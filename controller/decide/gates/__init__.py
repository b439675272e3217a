"""The gates: every reason why a migration does not advance, in order; the first that speaks wins.

The path back comes first, so that nothing a person writes, breaks or forgets disarms it. What a cluster
that is not listed, or stale, holds is unknown: a gate never takes unknown for absent.

    ROLLBACK       callers are shifted, and are to be rolled back    Revert
    FINISHED       this attempt is over, or may not start            Hold
    SPEC           the spec cannot be served as it is                Hold, nothing is made
    PRECONDITIONS  the Service is not fit to move now                Hold
    OPERATOR       a person, the settings or the queue say stay      Hold, armed
    SAFETY         lease, fresh caches, pins, the record             Hold
    EVIDENCE       what probes and real traffic say, and the time    Hold

Each group has its module, and a gate is named by what it finds: ``HandEdited`` is ``hand_edited``. A new gate is
a function there, its place in that module's ``GATES``, and its row in domain/reasons.py. ``stays`` says who may
be rolled back in a revert.
"""

from __future__ import annotations

from controller.decide.gates import (
    evidence,
    finished,
    operator,
    preconditions,
    rollback,
    safety,
    spec,
)
from controller.decide.gates.evidence import rests
from controller.decide.gates.finished import pin_latched
from controller.decide.gates.gate import SETTLE_S, Each, Gate, first, four_paths, unproven, unseen
from controller.decide.gates.rollback_guard import stays
from controller.decide.gates.safety import no_lease, two_leases
from controller.decide.gates.spec import asking, traffic_mode

__all__ = [
    "ALL",
    "BEFORE_SLOT",
    "SERVABLE",
    "SETTLE_S",
    "Each",
    "Gate",
    "asking",
    "first",
    "four_paths",
    "no_lease",
    "pin_latched",
    "rests",
    "stays",
    "traffic_mode",
    "two_leases",
    "unproven",
    "unseen",
]

SERVABLE: tuple[Gate, ...] = (*finished.GATES, *spec.GATES)
"""What lets pins and splits be made for a spec."""

BEFORE_SLOT: tuple[Gate, ...] = (*SERVABLE, *preconditions.GATES, *operator.GATES)
ALL: tuple[Gate, ...] = (
    *rollback.GATES,
    *BEFORE_SLOT,
    operator.no_slot,
    *safety.GATES,
    *evidence.GATES,
)
