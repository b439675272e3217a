"""Claimed and measured: what chance explains is not marked, and what it does not explain is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from controller.domain import Reason, TrafficEvidence, Verdict
from controller.evidence.clients.claimed import strays

UNKNOWN = TrafficEvidence(Verdict.UNKNOWN, Reason.TOO_FEW)


def measured(to_target: int, requests: int) -> TrafficEvidence:
    """Return what was measured: so many of these requests were served by the target."""
    return replace(UNKNOWN, share=to_target / requests, measured_requests=requests)


@pytest.mark.parametrize(
    ("claimed", "to_target", "requests", "marked"),
    [
        (500, 0, 50, True),
        (500, 25, 50, False),
        (500, 15, 50, False),
        (250, 0, 50, False),
        (250, 0, 100, True),
        (100, 0, 100, False),
        (100, 0, 1000, True),
        (100, 130, 1000, False),
        (100, 200, 1000, True),
        (1000, 0, 50, True),
        (1000, 49, 50, False),
        (1000, 9990, 10_000, False),
        (1000, 9000, 10_000, True),
        (0, 1, 50, False),
        (0, 50, 50, True),
        (0, 0, 100_000, False),
        (999, 100_000, 100_000, False),
    ],
)
def test_a_difference_is_marked_beyond_chance(
    claimed: int, to_target: int, requests: int, marked: bool
) -> None:
    """A few requests mark nothing but what is plain, and many mark what is off by more than a weight's grain."""
    assert strays(measured(to_target, requests), claimed) is marked


def test_what_is_not_known_is_not_marked() -> None:
    """Too few requests, or a share that nobody knows, are no difference."""
    assert not strays(UNKNOWN, 1000)
    assert not strays(measured(0, 1000), None)


def test_a_split_that_is_obeyed_is_never_marked() -> None:
    """Of 2,000 windows drawn by the weights none is marked: the bound errs towards silence."""
    draw = random.Random(11)
    for _ in range(2000):
        claimed, requests = draw.choice((10, 100, 250, 500, 999)), draw.randint(50, 400)
        found = sum(draw.random() < claimed / 1000 for _ in range(requests))
        assert not strays(measured(found, requests), claimed)
