"""What a prober's own lag may have faked counts for neither side, and what was answered stays true."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import LatencySpec, Verdict
from controller.evidence.doubt import certain, is_void
from controller.evidence.path import PathMonitor, Tick
from prober.contract import Counts, Sample

NONE = Counts()
LIMIT = LatencySpec(0.3, Decimal(95))


def sample(discarded: str, base: Counts, answers: dict[str, int], burst: Counts = NONE) -> Sample:
    """One sample of a prober that lagged."""
    return Sample(1, 0, 0.0, base, burst, discarded=discarded, answers=answers)


def verdict(part: Sample, ticks: int = 60, latency: LatencySpec | None = None) -> Verdict:
    """What comes of a path that is told the same sample at every tick."""
    monitor = PathMonitor(Decimal(99), latency, judges=1)
    for number in range(ticks):
        tick = Tick()
        tick.add(part, earns=True, control_clean=True)
        monitor.apply(tick, 100.0 + number / 10)
    return monitor.verdict(100.0 + (ticks - 1) / 10)[0]


@pytest.mark.parametrize(
    ("discarded", "void"),
    [
        ("", False),
        ("untimed", False),
        ("lag", False),
        ("late", True),
        ("reference", True),
        ("unsent", True),
        ("draining", True),
        ("a word of tomorrow", True),
    ],
)
def test_only_a_lag_leaves_a_sample_in_part(discarded: str, void: bool) -> None:
    """Every other reason, known or not, takes all of a sample away."""
    assert is_void(discarded) is void


@pytest.mark.parametrize("discarded", ["untimed", "lag"])
@pytest.mark.parametrize(
    ("base", "answers", "expected"),
    [
        (Counts(5), {"200": 5}, Verdict.PASS),
        (Counts(5, 5), {"500": 5}, Verdict.FAIL),
        (Counts(5, 1), {"200": 4, "wrong-cluster": 1}, Verdict.FAIL),
        (Counts(5, 0, 5), {"200": 5}, Verdict.UNKNOWN),
    ],
)
def test_what_was_answered_is_true_however_late(
    discarded: str, base: Counts, answers: dict[str, int], expected: Verdict
) -> None:
    """Under a lag a good target passes and a bad one fails; one that only looks slow does neither."""
    assert verdict(sample(discarded, base, answers), latency=LIMIT) is expected


@pytest.mark.parametrize(
    ("discarded", "expected"), [("untimed", Verdict.FAIL), ("lag", Verdict.UNKNOWN)]
)
@pytest.mark.parametrize("word", ["timeout", "refused", "503", "UNAVAILABLE"])
def test_what_was_not_answered_is_doubted_after_a_long_lag_alone(
    word: str, discarded: str, expected: Verdict
) -> None:
    """A target of which half hangs gets no FAIL from a prober that may have missed the answers, and no PASS."""
    half = sample(discarded, Counts(4, 2), {"200": 2, word: 2})
    assert verdict(half) is expected


def test_of_bad_answers_beside_missing_ones_only_they_count() -> None:
    """What was not answered is taken from base and burst together, and never from what was sent."""
    part = sample("lag", Counts(3, 2, 3), {"timeout": 3, "500": 1, "200": 1}, burst=Counts(2, 2))
    assert certain(part) == (Counts(3), Counts(2, 1))


def test_without_answers_nothing_bad_is_certain() -> None:
    """Where a pod's faults took the answers out, nothing that is left bad counts towards FAIL."""
    assert certain(sample("lag", Counts(3, 2), {}, burst=Counts(1, 1))) == (Counts(3), Counts(1))


@given(
    st.sampled_from(["untimed", "lag"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.dictionaries(st.sampled_from(["200", "500", "timeout", "503"]), st.integers(0, 20)),
)
def test_a_lag_never_adds_a_fault(
    discarded: str, base_bad: int, burst_bad: int, answers: dict[str, int]
) -> None:
    """Whatever is told, as many were sent, and no more of them count as bad than were told as bad."""
    base, burst = Counts(9, base_bad, base_bad), Counts(9, burst_bad)
    true_base, true_burst = certain(sample(discarded, base, answers, burst))
    assert (true_base.sent, true_burst.sent) == (9, 9)
    assert true_base.bad + true_burst.bad <= base_bad + burst_bad
    assert true_base.slow == true_burst.slow == 0
