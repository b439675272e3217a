"""Slices, and real traffic, to verdicts: penalty points for FAIL, credit for PASS, one book per way.

Pure arithmetic: no clock, no log, no I/O. Time is an argument, in monotonic seconds. The seam is
what is named in ``__all__``.
"""

from __future__ import annotations

from controller.evidence.clients.judgement import ENOUGH, ClientJudgement, traffic_fails
from controller.evidence.cusum import (
    ALPHA,
    DECIDING_WAYS,
    SLICES_IN_MIGRATION,
    Points,
    allowed_bad,
    alpha_share,
    fail_threshold,
    suspected_shares,
)
from controller.evidence.path import (
    FRESH_S,
    LOST_S,
    PathMonitor,
    Tick,
    cluster_fails,
    origin_is_worse,
)
from controller.evidence.sprt import BETA, MIN_PROBES, Credit

__all__ = [
    "ALPHA",
    "BETA",
    "DECIDING_WAYS",
    "ENOUGH",
    "FRESH_S",
    "LOST_S",
    "MIN_PROBES",
    "SLICES_IN_MIGRATION",
    "ClientJudgement",
    "Credit",
    "PathMonitor",
    "Points",
    "Tick",
    "allowed_bad",
    "alpha_share",
    "cluster_fails",
    "fail_threshold",
    "origin_is_worse",
    "suspected_shares",
    "traffic_fails",
]
