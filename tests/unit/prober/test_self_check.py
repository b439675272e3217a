from __future__ import annotations

import pytest

from prober.self_check import KEEP_S, LAG_S, LoopLag, SelfCheck, worst


def test_a_stretch_is_doubted_where_it_touches() -> None:
    """A doubt covers what overlaps it, and neither what ended before nor what began after."""
    self_check = SelfCheck()
    self_check.failed(10.0, 10.2, "lag")
    assert self_check.between(10.1, 10.15) == "lag"
    assert self_check.between(9.0, 10.05) == "lag"
    assert self_check.between(10.19, 11.0) == "lag"
    assert self_check.between(9.0, 10.0) == ""
    assert self_check.between(10.2, 11.0) == ""


def test_old_doubts_are_forgotten_when_new_ones_come() -> None:
    """What is remembered is bounded: a stretch older than what is judged is dropped."""
    self_check = SelfCheck()
    for number in range(1_000):
        self_check.failed(float(number), number + 0.5, "lag")
    assert len(self_check._stretches) <= KEEP_S + 2
    assert self_check.between(999.0, 999.1) == "lag"


def test_a_loop_that_comes_round_late_is_doubted_for_all_that_time() -> None:
    """Lag beyond the bound is a doubt from the last beat to this; up to the bound it is none."""
    heard: list[float] = []
    lag = LoopLag(0.02, 100.0, heard.append)
    assert lag.beat(100.02) == 0
    lag.beat(100.02 + 0.02 + LAG_S - 0.001)
    assert lag.self_check.between(100.0, 200.0) == ""
    late_s = lag.beat(100.5)
    assert late_s > LAG_S
    assert lag.self_check.between(100.2, 100.3) == "lag"
    assert lag.self_check.between(100.6, 100.7) == ""
    assert heard == [100.5]


def test_a_short_lag_doubts_times_alone_and_a_long_one_answers_too() -> None:
    """Up to 0.2 s a lag is ``untimed``; of all that a stretch touches the worst reason is given."""
    lag = LoopLag(0.02, 100.0, lambda _: None)
    lag.beat(100.1)
    assert lag.self_check.between(100.0, 100.2) == "untimed"
    lag.beat(100.4)
    assert lag.self_check.between(100.0, 100.2) == "lag"
    assert lag.self_check.lost_s(100.05, 100.3) == pytest.approx(0.25)
    assert worst("untimed", "reference", "lag") == "reference"
    assert worst("untimed", "") == "untimed"


def test_late_probes_are_more_than_a_hiccup_in_the_third_sample_of_a_second() -> None:
    """However many are late in one stretch of 100 ms, that is one hiccup; three in a second are too much asked for."""
    heard: list[float] = []
    lag = LoopLag(0.02, 100.0, heard.append)
    for at_s in (100.01, 100.02, 100.03, 100.15, 101.2, 101.55):
        lag.late(at_s)
    assert heard == []
    lag.late(101.95)
    assert heard == [101.95]
