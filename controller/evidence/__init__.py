"""Slices, and real traffic, to verdicts: penalty points for FAIL, credit for PASS, one book per way.

Pure arithmetic: no clock, no log, no I/O. Time is an argument, in monotonic seconds. The seam is
what is named in ``__all__``.
"""

from __future__ import annotations

from controller.evidence.credit import BETA, MIN_PROBES, Credit
from controller.evidence.points import (
    ALPHA,
    DECIDING_WAYS,
    SLICES_IN_MIGRATION,
    Points,
    allowed_bad,
    alpha_share,
    fail_threshold,
    suspected_shares,
)
from controller.evidence.traffic import ENOUGH, TrafficBook, traffic_fails
from controller.evidence.way import (
    FRESH_S,
    LOST_S,
    Tick,
    WayBook,
    cluster_fails,
    home_is_worse,
)

__all__ = [
    "ALPHA",
    "BETA",
    "DECIDING_WAYS",
    "ENOUGH",
    "FRESH_S",
    "LOST_S",
    "MIN_PROBES",
    "SLICES_IN_MIGRATION",
    "Credit",
    "Points",
    "Tick",
    "TrafficBook",
    "WayBook",
    "allowed_bad",
    "alpha_share",
    "cluster_fails",
    "fail_threshold",
    "home_is_worse",
    "suspected_shares",
    "traffic_fails",
]
