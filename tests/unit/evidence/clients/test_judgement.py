"""Real traffic's arithmetic: its own points, its own windows, and what both say together."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import PathEvidence, Reason, TrafficEvidence, Verdict
from controller.evidence import ENOUGH, ClientJudgement, Cusum, traffic_fails
from controller.evidence.clients.judgement import LastWindow
from prober.contract import Counts

NINES = Decimal("99.9")
CLEAN = PathEvidence(
    Verdict.PASS, Reason.MET, points=0.0, threshold=21.27, bad_share_3s=0.0, silent_s=0.0
)

calls = st.integers(0, 500).flatmap(
    lambda requests: st.builds(Counts, st.just(requests), st.integers(0, requests))
)


def monitor() -> ClientJudgement:
    """A monitor of the default objective and tick."""
    return ClientJudgement(NINES, judges=2, tick_s=10.0)


def found(**kinds: float | None) -> TrafficEvidence:
    """Evidence whose points have reached the threshold."""
    given = {"points": 20.0, "threshold": 16.3, "bad_share": 0.05, **kinds}
    return TrafficEvidence(Verdict.FAIL, Reason.SUCCESS_MISSED, judged=True, **given)  # type: ignore[arg-type]  # floats by name


def test_the_threshold_is_of_two_hours_of_ticks() -> None:
    """Over 720 ticks of 10 s, six counters and a quarter of alpha a healthy target FAILs once in 4,000."""
    assert monitor().threshold == pytest.approx(math.log(720 * 6 / 0.00025))
    assert ClientJudgement(NINES, judges=2, tick_s=5.0).threshold == pytest.approx(
        math.log(1440 * 6 / 0.00025)
    )


@pytest.mark.parametrize(("requests", "ticks"), [(1, 3), (50, 3), (10_000, 3)])
def test_an_outage_takes_three_ticks(requests: int, ticks: int) -> None:
    """When every request fails real traffic FAILs at the third tick, however many there were."""
    one = monitor()
    verdicts = []
    for _ in range(ticks):
        one.apply(Counts(requests, requests), Counts())
        verdicts.append(one.verdict()[0])
    assert verdicts == [Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.FAIL]


def test_pass_needs_fifty_requests_and_nothing_against_them() -> None:
    """49 clean requests are too few, 50 pass, and one failure more takes PASS away."""
    one = monitor()
    one.apply(Counts(ENOUGH - 1), Counts())
    assert one.verdict() == (Verdict.UNKNOWN, "TooFew")
    one.apply(Counts(1), Counts())
    assert one.verdict() == (Verdict.PASS, "Met")
    one.apply(Counts(10, 1), Counts())
    assert one.verdict() == (Verdict.UNKNOWN, "Recovering")


@given(st.lists(calls, max_size=30))
def test_no_request_is_no_observation(ticks: list[Counts]) -> None:
    """Ticks without a request change nothing, wherever they stand."""
    with_silence, without = monitor(), monitor()
    for tick in ticks:
        without.apply(tick, tick)
        with_silence.apply(tick, tick)
        with_silence.apply(Counts(), Counts())
    assert with_silence.points == without.points
    assert with_silence.verdict() == without.verdict()
    assert with_silence.bad_share == without.bad_share


@given(st.lists(calls, max_size=60))
def test_points_are_those_of_the_probes_rule(ticks: list[Counts]) -> None:
    """Each tick is one observation of the same penalty points, and of nothing else."""
    one, points = monitor(), Cusum(Decimal("0.001"))
    for tick in ticks:
        one.apply(tick, Counts())
        points.observe(tick.sent, tick.bad)
    assert one.points == points.largest
    assert one.counts == sum(ticks, Counts())


@given(st.lists(calls, max_size=60))
def test_a_window_is_the_latest_ticks_that_are_enough(ticks: list[Counts]) -> None:
    """A window holds the fewest latest ticks with 50 requests together, or all where there are fewer."""
    window = LastWindow()
    for tick in ticks:
        window.add(tick)
    asked = [tick for tick in ticks if tick.sent]
    kept: list[Counts] = []
    for tick in reversed(asked):
        if sum(c.sent for c in kept) >= ENOUGH:
            break
        kept.append(tick)
    requests, failures = sum(c.sent for c in kept), sum(c.bad for c in kept)
    assert window.counts.sent == requests
    assert window.bad_share == (failures / requests if requests else None)


def test_a_small_window_of_the_origin_compares_nothing() -> None:
    """The origin's bad share is not known before 50 of its requests, the target's from the first on."""
    one = monitor()
    one.apply(Counts(3, 1), Counts(ENOUGH - 1, 0))
    assert (one.bad_share, one.origin_bad_share) == (1 / 3, None)
    one.apply(Counts(), Counts(1, 1))
    assert one.origin_bad_share == 1 / ENOUGH


@pytest.mark.parametrize(
    ("origin_bad_share", "fails"), [(0.0, True), (0.039, True), (0.041, False), (0.2, False)]
)
def test_the_target_must_be_worse_than_home(origin_bad_share: float, fails: bool) -> None:
    """At 5 % a FAIL stands only while the origin's backend is below four fifths of it."""
    assert traffic_fails(found(origin_bad_share=origin_bad_share), CLEAN) is fails


@pytest.mark.parametrize(
    ("share", "fails"), [(0.0, True), (0.03, True), (0.05, False), (1.0, False)]
)
def test_probes_stand_in_for_an_origin_without_requests(share: float, fails: bool) -> None:
    """Without a window of the origin, a path back that FAILed by its probes and is no better keeps callers."""
    baseline = PathEvidence(
        Verdict.FAIL,
        Reason.SUCCESS_MISSED,
        points=22.0,
        threshold=21.27,
        bad_share_3s=share,
        silent_s=0.0,
    )
    assert traffic_fails(found(), baseline) is fails
    assert traffic_fails(found(), CLEAN)


def test_points_below_the_threshold_fail_nobody() -> None:
    """However bad the last requests were, without the points there is no FAIL; nor without a judgement."""
    assert not traffic_fails(found(points=16.2, bad_share=1.0), CLEAN)
    assert not traffic_fails(found(points=0.0, threshold=0.0, bad_share=1.0), CLEAN)
    assert not traffic_fails(found(bad_share=None), CLEAN)
