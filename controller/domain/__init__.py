"""The words of the product as frozen values. No I/O, no clock, no log: everything imports this.

Times that outlive the process are aware ``datetime`` (UTC, from an API server's clock).
"""

from __future__ import annotations

from controller.domain.decision import (
    Action,
    Answer,
    EventText,
    Plan,
    ProbeOrder,
    ReadSplits,
    Ruling,
    TrafficOrder,
    WritePin,
    WriteSplit,
)
from controller.domain.evidence import CallPath, Calls, PathEvidence, Side, TrafficEvidence, Verdict
from controller.domain.identity import PREFIX, SOAK_SHARE, WHOLE, Key, Phase, SplitKind
from controller.domain.observed import (
    Defect,
    Endpoints,
    GlobalContext,
    MigrationKnown,
    Observed,
    ObservedCluster,
    ObservedService,
    Pin,
    Port,
    Split,
    Weights,
)
from controller.domain.record import Attempt, Latch, Record, Reverted, Unreadable
from controller.domain.spec import (
    Frozen,
    LatencySpec,
    Malformed,
    MigrationSpec,
    Moment,
    ProbeSpec,
    Problem,
    SplitChoice,
    Stretch,
    TrafficMode,
)

__all__ = [
    "PREFIX",
    "SOAK_SHARE",
    "WHOLE",
    "Action",
    "Answer",
    "Attempt",
    "CallPath",
    "Calls",
    "Defect",
    "Endpoints",
    "EventText",
    "Frozen",
    "GlobalContext",
    "Key",
    "Latch",
    "LatencySpec",
    "Malformed",
    "MigrationKnown",
    "MigrationSpec",
    "Moment",
    "Observed",
    "ObservedCluster",
    "ObservedService",
    "PathEvidence",
    "Phase",
    "Pin",
    "Plan",
    "Port",
    "ProbeOrder",
    "ProbeSpec",
    "Problem",
    "ReadSplits",
    "Record",
    "Reverted",
    "Ruling",
    "Side",
    "Split",
    "SplitChoice",
    "SplitKind",
    "Stretch",
    "TrafficEvidence",
    "TrafficMode",
    "TrafficOrder",
    "Unreadable",
    "Verdict",
    "Weights",
    "WritePin",
    "WriteSplit",
]
