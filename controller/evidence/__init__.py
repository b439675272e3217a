"""Samples, and real traffic, to verdicts: a CUSUM for FAIL, an SPRT for PASS, one monitor per path.

Pure arithmetic: no clock, no log, no I/O. Time is an argument, in monotonic seconds. What a source of evidence is
stands in :mod:`controller.evidence.source`. What decisions ask of all this is named in ``__all__``.
"""

from __future__ import annotations

from controller.evidence.clients.judgement import ENOUGH, ClientJudgement, traffic_fails
from controller.evidence.cusum import (
    ALPHA,
    DECIDING_PATHS,
    SAMPLES_IN_MIGRATION,
    Cusum,
    allowed_bad,
    alpha_share,
    fail_threshold,
    suspected_shares,
)
from controller.evidence.hearing import FRESH_S, LOST_S
from controller.evidence.path import PathMonitor, Tick, cluster_fails, origin_is_worse
from controller.evidence.sprt import BETA, MIN_PROBES, Sprt

__all__ = [
    "ALPHA",
    "BETA",
    "DECIDING_PATHS",
    "ENOUGH",
    "FRESH_S",
    "LOST_S",
    "MIN_PROBES",
    "SAMPLES_IN_MIGRATION",
    "ClientJudgement",
    "Cusum",
    "PathMonitor",
    "Sprt",
    "Tick",
    "allowed_bad",
    "alpha_share",
    "cluster_fails",
    "fail_threshold",
    "origin_is_worse",
    "suspected_shares",
    "traffic_fails",
]
