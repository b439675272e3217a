"""Whether what callers were seen to do is what their split says: claimed and measured, side by side.

A proxy draws each request's backend by the weights, so of n requests the target's are binomial. The bound is
Chernoff's (1952; Hoeffding 1963, theorem 1): a share as far off as k/n has at most the probability
exp(-n * KL(k/n || p)), whatever n is. It needs no table, and errs towards silence.
"""

from __future__ import annotations

import math

from controller.domain import WHOLE, TrafficEvidence
from controller.evidence.clients.monitor import RECENT_S, STALE_S

CHANCE = 1e-9
"""How likely chance may mark one window. With 460 Services whose two clusters are looked at every 10 s that is one
false mark in four months, if each look were another sample; most requests of a window were in the one before."""

RESOLUTION = 1 / WHOLE
"""A claim is not held to be finer than a weight is: streams and kept connections stay where they began."""

AT_REST_S = RECENT_S + STALE_S
"""So long after a change of the weights nothing of before it is in a window any more."""


def strays(found: TrafficEvidence, claimed_permille: int | None) -> bool:
    """Return whether the measured share is further from the claimed one than chance and resolution explain."""
    if found.share is None or claimed_permille is None:
        return False
    claimed = claimed_permille / WHOLE
    expected = min(max(found.share, claimed - RESOLUTION), claimed + RESOLUTION)
    if expected == found.share:
        return False
    return found.measured_requests * _divergence(found.share, expected) > -math.log(CHANCE / 2)


def _divergence(seen: float, expected: float) -> float:
    """Return the Kullback-Leibler divergence of two coins in nats; ``expected`` is neither 0 nor 1."""
    parts = ((seen, expected), (1 - seen, 1 - expected))
    return sum(one * math.log(one / other) for one, other in parts if one)
