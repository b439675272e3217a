"""The arithmetic of FAIL and PASS against published vectors and its own laws."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.evidence import (
    ALPHA,
    SAMPLES_IN_MIGRATION,
    Cusum,
    Sprt,
    allowed_bad,
    alpha_share,
    fail_threshold,
    suspected_shares,
)
from controller.evidence.cusum import CAP
from controller.evidence.sprt import MIN_PROBES

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "data" / "verdict-vectors.json").read_text(), parse_float=Decimal
)
PRECISION = 1e-6
"""The vectors are written to six decimals."""

PERCENTS = st.decimals(min_value=50, max_value=Decimal("99.99"), places=2)


@dataclass
class Run:
    """What a series of samples came to: first sample of FAIL, of PASS, and of PASS lost, and the ends."""

    points: Cusum
    credit: Sprt
    fail: int | None = None
    passed: int | None = None
    lost: int | None = None


def run(vector: dict[str, Any]) -> Run:
    """Feed a vector's samples to points and SPRT that have the vector's own parameters."""
    q0 = Decimal(vector["q0"])
    done = Run(Cusum(q0), Sprt(q0, beta=float(vector["beta"])))
    threshold = fail_threshold(
        vector["slices_in_migration"], len(done.points.counters), float(vector["alpha"])
    )
    for index, (sent, bad) in enumerate(vector["slices"]):
        done.points.observe(sent, bad)
        done.credit.observe(sent, bad)
        if done.fail is None and done.points.largest >= threshold:
            done.fail = index
        if done.passed is None and done.credit.passed:
            done.passed = index
        if done.passed is not None and done.lost is None and not done.credit.passed:
            done.lost = index
    return done


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_vector_is_reproduced(vector: dict[str, Any]) -> None:
    """Every published vector comes out to its six decimals and to the sample."""
    done = run(vector)

    assert vector["counters"] == len(done.points.counters)
    assert float(vector["fail_threshold"]) == pytest.approx(
        fail_threshold(vector["slices_in_migration"], vector["counters"], float(vector["alpha"])),
        abs=PRECISION,
    )
    assert float(vector["pass_threshold"]) == pytest.approx(done.credit.threshold, abs=PRECISION)
    assert [float(p) for p in vector["points_at_end"]] == pytest.approx(
        list(done.points.counters), abs=PRECISION
    )
    assert float(vector["credit_at_end"]) == pytest.approx(done.credit.earned, abs=PRECISION)
    assert (
        vector["first_fail_slice"],
        vector["first_pass_slice"],
        vector["first_slice_pass_is_lost"],
    ) == (done.fail, done.passed, done.lost)


def test_there_are_vectors() -> None:
    """The vectors are there: a parametrisation over nothing would pass."""
    assert len(VECTORS) == 15


def test_default_threshold_is_21_27() -> None:
    """With real traffic on and one objective a path of 99.9 % FAILs at 21.27 points."""
    counters = len(suspected_shares(allowed_bad(Decimal("99.9"))))

    assert fail_threshold(SAMPLES_IN_MIGRATION, counters, alpha_share(2, 1)) == pytest.approx(
        21.27, abs=0.005
    )


@pytest.mark.parametrize(
    ("judges", "objectives", "parts"),
    [(2, 1, 4), (2, 2, 8), (1, 1, 2), (1, 2, 4), (3, 1, 6)],
)
def test_alpha_is_shared_out(judges: int, objectives: int, parts: int) -> None:
    """Two paths, their objectives, and the sources that judge share alpha evenly."""
    assert ALPHA / parts == alpha_share(judges, objectives)


@pytest.mark.parametrize(
    ("percent", "allowed"),
    [("99.9", "0.001"), ("99.99", "0.0001"), ("97", "0.03"), ("50", "0.5"), ("90", "0.1")],
)
def test_allowed_bad_is_decimal(percent: str, allowed: str) -> None:
    """The allowed bad share is exact, as no float is."""
    assert Decimal(allowed) == allowed_bad(Decimal(percent))


@pytest.mark.parametrize(
    ("allowed", "shares"),
    [
        ("0.001", ["0.003", "0.01", "0.03", "0.1", "0.3", "0.9"]),
        ("0.0001", ["0.0003", "0.001", "0.003", "0.01", "0.03", "0.09", "0.9"]),
        ("0.03", ["0.09", "0.3", "0.9"]),
        ("0.3", ["0.9"]),
        ("0.29", ["0.87", "0.9"]),
        ("0.5", ["0.9"]),
    ],
)
def test_suspected_shares(allowed: str, shares: list[str]) -> None:
    """Counters stand at the multiples below the cap and at the cap, coinciding ones once."""
    assert tuple(Decimal(s) for s in shares) == suspected_shares(Decimal(allowed))


@pytest.mark.parametrize("allowed", ["0", "0.9", "1", "-0.1"])
def test_what_cannot_be_judged_is_refused(allowed: str) -> None:
    """An objective that allows nothing or nearly everything raises instead of dividing by zero."""
    with pytest.raises(ValueError, match="cannot be judged"):
        suspected_shares(Decimal(allowed))


@pytest.mark.parametrize(
    ("percent", "judges", "samples"),
    [
        ("99.99", 2, 3),
        ("99.9", 2, 4),
        ("99", 2, 5),
        ("90", 1, 9),
        ("90", 2, 10),
        ("50", 1, 32),
        ("50", 2, 34),
    ],
)
def test_wholly_bad_slices_to_fail(percent: str, judges: int, samples: int) -> None:
    """A dead target FAILs after this many wholly bad samples; real traffic on costs a lax one more."""
    points = Cusum(allowed_bad(Decimal(percent)))
    threshold = fail_threshold(SAMPLES_IN_MIGRATION, len(points.counters), alpha_share(judges, 1))
    needed = 0
    while points.largest < threshold:
        points.observe(1, 1)
        needed += 1

    assert samples == needed


@pytest.mark.parametrize(("percent", "probes"), [("99.9", 764), ("99", 100), ("99.99", 7672)])
def test_clean_probes_to_pass(percent: str, probes: int) -> None:
    """PASS takes exactly this many clean probes, and people are told so from the start."""
    credit = Sprt(allowed_bad(Decimal(percent)))
    assert (0, probes) == (credit.clean, credit.needed)

    credit.observe(probes - 1, 0)
    assert (False, probes - 1) == (credit.passed, credit.clean)

    credit.observe(1, 0)
    assert (True, probes, probes) == (credit.passed, credit.clean, credit.needed)


def test_one_bad_probe_costs_255_clean_ones() -> None:
    """After a long good time one bad probe at 99.9 % takes PASS away for 255 clean ones."""
    credit = Sprt(Decimal("0.001"))
    credit.observe(50_000, 0)

    credit.observe(1, 1)
    assert (credit.clean, credit.needed) == (764 - 255, 764)
    credit.observe(254, 0)
    assert not credit.passed
    credit.observe(1, 0)
    assert credit.passed


def test_long_bad_time_costs_twice() -> None:
    """A long bad time is forgotten after twice the clean probes, and the display says how many."""
    credit = Sprt(Decimal("0.001"))
    credit.observe(5_000, 5_000)

    assert (credit.clean, credit.needed) == (0, 1527)
    credit.observe(1527, 0)
    assert credit.passed


def test_credit_that_equals_the_threshold_passes() -> None:
    """At 90 % a bad and a clean probe cancel out exactly, whatever the floats make of it."""
    credit = Sprt(Decimal("0.1"))
    credit.observe(1_000, 0)
    for _ in range(50):
        credit.observe(1, 1)
        assert not credit.passed
        credit.observe(1, 0)
        assert credit.passed


@pytest.mark.parametrize(("sent", "bad"), [(1, 2), (-1, 0), (3, -1)])
def test_impossible_counts_raise(sent: int, bad: int) -> None:
    """Counts that no prober can mean raise, and change nothing."""
    points, credit = Cusum(Decimal("0.001")), Sprt(Decimal("0.001"))
    with pytest.raises(ValueError, match="cannot be bad"):
        points.observe(sent, bad)
    with pytest.raises(ValueError, match="cannot be bad"):
        credit.observe(sent, bad)
    assert (points.largest, credit.earned) == (0.0, 0.0)


@st.composite
def observations(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Up to 60 samples as (sent, bad), empty ones among them."""
    sents = draw(st.lists(st.integers(0, 50), max_size=60))
    return [(sent, draw(st.integers(0, sent))) for sent in sents]


@given(PERCENTS, observations())
def test_points_that_count_are_never_negative(
    percent: Decimal, slices: list[tuple[int, int]]
) -> None:
    """A good past leaves nothing below zero that a new fault would first have to fill."""
    points = Cusum(allowed_bad(percent))
    for sent, bad in slices:
        points.observe(sent, bad)
        assert points.largest >= 0
    fresh = Cusum(allowed_bad(percent))
    points.observe(1, 1)
    fresh.observe(1, 1)
    assert points.largest >= fresh.largest


@given(PERCENTS, observations(), st.data())
def test_more_bad_never_means_fewer_points(
    percent: Decimal, slices: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Turning good probes bad lowers no counter and earns no SPRT, on any sample after."""
    allowed = allowed_bad(percent)
    points, worse = Cusum(allowed), Cusum(allowed)
    credit, less = Sprt(allowed), Sprt(allowed)
    for sent, bad in slices:
        extra = data.draw(st.integers(0, sent - bad))
        points.observe(sent, bad)
        worse.observe(sent, bad + extra)
        credit.observe(sent, bad)
        less.observe(sent, bad + extra)
        assert all(w >= p - 1e-9 for p, w in zip(points.counters, worse.counters, strict=True))
        assert less.earned <= credit.earned + 1e-9


@given(PERCENTS, observations())
def test_empty_slices_count_for_nothing(percent: Decimal, slices: list[tuple[int, int]]) -> None:
    """Points and SPRT with empty samples anywhere are those without them, to the last bit."""
    allowed = allowed_bad(percent)
    points, dense = Cusum(allowed), Cusum(allowed)
    credit, dense_credit = Sprt(allowed), Sprt(allowed)
    for sent, bad in slices:
        points.observe(sent, bad)
        credit.observe(sent, bad)
        if sent:
            dense.observe(sent, bad)
            dense_credit.observe(sent, bad)
    assert dense.counters == points.counters
    assert (dense_credit.earned, dense_credit.missing) == (credit.earned, credit.missing)


@given(PERCENTS, observations())
def test_the_display_keeps_its_word(percent: Decimal, slices: list[tuple[int, int]]) -> None:
    """After ``needed - clean`` clean probes there is PASS, one fewer is not enough, and full is PASS."""
    credit = Sprt(allowed_bad(percent))
    for sent, bad in slices:
        credit.observe(sent, bad)
        assert credit.passed == (credit.clean == credit.needed)
        assert 0 <= credit.clean <= credit.needed
        assert abs(credit.earned) <= credit.threshold
    missing = credit.needed - credit.clean
    if missing:
        credit.observe(missing - 1, 0)
        assert not credit.passed
        credit.observe(1, 0)
    assert credit.passed


@given(PERCENTS)
def test_restart_is_zero(percent: Decimal) -> None:
    """After a restart points and SPRT are those of a new account."""
    allowed = allowed_bad(percent)
    points, credit = Cusum(allowed), Sprt(allowed)
    for _ in range(40):
        points.observe(3, 2)
        credit.observe(300, 2)
    points.restart()
    credit.restart()
    assert Cusum(allowed).counters == points.counters
    new = Sprt(allowed)
    assert (new.earned, new.missing, new.needed, new.lost) == (
        credit.earned,
        credit.missing,
        credit.needed,
        credit.lost,
    )


@given(PERCENTS, st.integers(1, 20), st.integers(0, 20))
def test_a_bet_is_fair(percent: Decimal, sent: int, bad: int) -> None:
    """One observation's bet at the suspected share is the published formula."""
    bad = min(bad, sent)
    allowed = allowed_bad(percent)
    points = Cusum(allowed)
    points.observe(sent, bad)
    q0 = float(allowed)
    expected = [
        math.log(1 + (float(q) - q0) / (q0 * (1 - q0)) * (bad / sent - q0))
        for q in suspected_shares(allowed)
    ]
    assert expected == pytest.approx(list(points.counters), abs=1e-9)


@st.composite
def spells(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Observations as they come: clean for long enough to pass, wholly bad, and now and then between the two."""
    sent = st.integers(0, 400)
    clean, dead = sent.map(lambda n: (n, 0)), st.integers(0, 9).map(lambda n: (n, n))
    return draw(st.lists(clean | dead | st.just((9, 4)), max_size=40))


@given(PERCENTS, spells())
def test_what_is_left_out_for_speed_changes_no_number(
    percent: Decimal, slices: list[tuple[int, int]]
) -> None:
    """To the last bit each counter, and what is earned, are those of the published formulas, step by step."""
    allowed = allowed_bad(percent)
    points, credit = Cusum(allowed), Sprt(allowed)
    bets = [float((q - allowed) / (allowed * (1 - allowed))) for q in suspected_shares(allowed)]
    expected = [0.0 for _ in bets]
    suspected = min(10 * allowed, CAP)
    step, loss = math.log((1 - allowed) / (1 - suspected)), math.log(allowed / suspected)
    earned, sent_in_all = 0.0, 0
    for sent, bad in slices:
        points.observe(sent, bad)
        credit.observe(sent, bad)
        if sent:
            excess = bad / sent - float(allowed)
            expected = [
                max(0.0, known) + math.log1p(bet * excess)
                for known, bet in zip(expected, bets, strict=True)
            ]
        earned = earned + (sent - bad) * step + bad * loss
        earned = max(-credit.threshold, min(earned, credit.threshold))
        sent_in_all += sent
        short = math.ceil((credit.threshold - earned) / step)
        assert list(points.counters) == expected
        assert points.largest == max(0.0, *expected)
        assert credit.earned == earned
        assert credit.missing == max(0, short, MIN_PROBES - sent_in_all)
