from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prober.capacity import FLOOR, Capacity, EffectiveCap
from prober.schedule import (
    BASE_SHARE,
    Granted,
    Schedule,
    Wanted,
    base_schedule,
    burst_schedule,
    grant,
    phase_of,
)
from prober.timers import Timers

NOW = 1_780_000_000.0

rates = st.floats(0.01, 1_000)
moments = st.floats(NOW, NOW + 1e6)
keys = st.text(max_size=20)
wanted = st.dictionaries(
    st.integers(0, 50),
    st.builds(Wanted, st.integers(0, 2), st.floats(0.01, 100), st.sampled_from([0.0, 4.0, 40.0])),
    max_size=20,
)


def dues(schedule: Schedule, start: float, seconds: float) -> list[float]:
    """All due times in (start, start + seconds]."""
    found = []
    due = schedule.due_after(start)
    while due <= start + seconds:
        found.append(due)
        due = schedule.due_after(due)
    return found


@given(keys, rates, moments)
def test_the_next_due_time_is_later_and_within_one_period(
    key: str, rate: float, moment: float
) -> None:
    """The next due time is later than now, and at most one period later."""
    due = base_schedule(key, rate).due_after(moment)
    assert moment < due <= moment + 1 / rate + 1e-6


@given(keys, rates, moments, st.integers(2, 4))
def test_the_streams_of_a_way_share_its_schedule(
    key: str, rate: float, moment: float, parts: int
) -> None:
    """The streams of a path together probe each due time of the whole path exactly once."""
    assert_shared(base_schedule(key, rate), moment, 20 / rate, parts)


def assert_shared(schedule: Schedule, moment: float, seconds: float, parts: int) -> None:
    """Each due time of the whole is one of exactly one part, and none else is due."""
    whole = dues(schedule, moment, seconds)
    shared = sorted(
        due for part in range(parts) for due in dues(schedule.part(part, parts), moment, seconds)
    )
    assert all(_near(due, shared) == 1 for due in _inner(whole, moment, seconds))
    assert all(_near(due, whole) for due in _inner(shared, moment, seconds))


def _inner(found: list[float], moment: float, seconds: float) -> list[float]:
    """Leave out what rounding may put on either side of an edge."""
    return [due for due in found if moment + 1e-5 < due < moment + seconds - 1e-5]


def _near(due: float, among: list[float]) -> int:
    return sum(abs(due - other) < 2e-6 for other in among)


@given(keys)
def test_a_phase_lies_in_the_first_period(key: str) -> None:
    """A phase is at least 0 and below 1, and always the same for a key."""
    assert 0 <= phase_of(key) < 1
    assert phase_of(key) == phase_of(key)


def test_phases_spread() -> None:
    """A thousand keys fill every tenth of the period."""
    tenths = {int(10 * phase_of(f"way-{number}")) for number in range(1_000)}
    assert tenths == set(range(10))


@given(keys, st.floats(0.1, 100), moments)
def test_a_burst_puts_four_probes_between_two_base_probes(
    key: str, rate: float, moment: float
) -> None:
    """Between two base probes stand four burst probes, an eighth of a period from them."""
    base = base_schedule(key, rate)
    first = base.due_after(moment)
    between = dues(burst_schedule(base), first, 1 / rate)
    expected = [first + eighth / (8 * rate) for eighth in (1, 3, 5, 7)]
    assert between == pytest.approx(expected, abs=2e-6)


@given(wanted, st.floats(1, 1_000))
def test_a_cap_is_kept(asked: dict[int, Wanted], cap: float) -> None:
    """Never more is granted than the cap, nor to anyone more than they wanted."""
    granted = grant(asked.values(), cap, BASE_SHARE * cap)
    assert granted.keys() == {want.priority for want in asked.values()}
    assert all(0 <= share <= 1 for got in granted.values() for share in (got.base, got.burst))
    total = sum(
        want.base_per_s * granted[want.priority].base
        + want.burst_per_s * granted[want.priority].burst
        for want in asked.values()
    )
    assert total <= cap * (1 + 1e-9)


@given(wanted, st.floats(1, 1_000))
def test_nothing_is_lowered_without_need(asked: dict[int, Wanted], cap: float) -> None:
    """Where everything fits under the cap, everything is granted."""
    total = sum(want.base_per_s + want.burst_per_s for want in asked.values())
    enough = max(cap, total * (1 + 1e-9))
    granted = grant(asked.values(), enough, enough)
    assert all(got == Granted(1.0, 1.0) for got in granted.values())


@given(wanted, st.floats(1, 1_000))
def test_the_least_important_is_lowered_first(asked: dict[int, Wanted], cap: float) -> None:
    """A base rate is throttled only when those of higher numbers get nothing."""
    granted = grant(asked.values(), cap, BASE_SHARE * cap)
    for priority, got in granted.items():
        if got.base < 1:
            assert all(less.base == 0 for other, less in granted.items() if other > priority)


@given(wanted, st.floats(1, 1_000))
def test_little_is_left_of_a_cap_that_does_not_suffice(
    asked: dict[int, Wanted], cap: float
) -> None:
    """Whoever is lowered first gets at least nine tenths of what could have been had."""
    granted = grant(asked.values(), cap, cap)
    total = sum(want.base_per_s for want in asked.values() if want.priority == 0)
    if total > cap:
        assert 0.9 * cap * (1 - 1e-6) <= total * granted[0].base <= cap * (1 + 1e-6)


def test_a_burst_takes_nothing_from_evidence_but_from_the_apex() -> None:
    """A burst stands behind the base rates of paths above and at the baseline, and ahead of the apex."""
    granted = grant((Wanted(0, 10, 40), Wanted(1, 10), Wanted(2, 10)), 40, 32)
    assert granted[0].base == granted[1].base == 1.0
    assert 0.45 < granted[0].burst <= 0.5
    assert granted[2].base == 0.0


@given(wanted, st.floats(1, 1_000))
def test_a_herd_of_bursts_costs_no_other_path_its_base_rate(
    asked: dict[int, Wanted], cap: float
) -> None:
    """Above and at the baseline the base rates are the same, however many burst."""
    calm = [Wanted(want.priority, want.base_per_s) for want in asked.values()]
    bursting = grant(asked.values(), cap, BASE_SHARE * cap)
    before = grant(calm, cap, BASE_SHARE * cap)
    for priority in {0, 1} & bursting.keys():
        assert bursting[priority].base == before[priority].base


def test_a_part_of_the_cap_is_kept_for_bursts() -> None:
    """Where base rates want all of the cap they get their part, and those that fail above the baseline the rest."""
    asked = (Wanted(0, 50, 200), Wanted(1, 30, 120), Wanted(1, 20))
    granted = grant(asked, 100, 80)
    assert granted[0].base == 1.0
    assert 0.09 < granted[0].burst <= 0.125
    assert 0.54 < granted[1].base <= 0.6
    assert granted[1].burst == 0
    assert grant(asked, 100, 80, bursts=False)[0] == Granted(1.0, 0.0)


@given(keys, st.floats(0.1, 100), moments, st.integers(2, 4))
def test_the_parts_of_a_path_share_its_burst(
    key: str, rate: float, moment: float, parts: int
) -> None:
    """The bursts of the parts together are that of the whole path: no two of its probes are due at once."""
    assert_shared(burst_schedule(base_schedule(key, rate)), moment, 2 / rate, parts)


def test_of_many_bursts_all_together_get_no_more_than_enough() -> None:
    """As long as all bursts fit they get what they want; where they do not, no more than is worth it, and the rest is
    nobody's."""
    few = grant([Wanted(0, 3, 40, 15)] * 10, 1_000, 400)
    many = grant([Wanted(0, 3, 40, 15)] * 30, 1_000, 400)
    too_many = grant([Wanted(0, 3, 40, 15)] * 100, 1_000, 400)
    assert few[0] == Granted(1.0, 1.0)
    assert 40 * many[0].burst == pytest.approx(15)
    assert 40 * too_many[0].burst == pytest.approx(7)


def test_bursts_that_do_not_all_fit_come_in_turn() -> None:
    """As many as fit get what is enough, and the others nothing; who ends makes room for the next. Of the parts of one
    path one has the turn."""
    capacity = Capacity(100)
    for path in "abcdef":
        capacity.want(path, Wanted(0, 5, 40, 20, whole=path))
    capacity.want("a2", Wanted(0, 5, 40, 20, whole="a"))
    capacity.settle(NOW)
    assert [path for path in (*"abcdef", "a2") if capacity.granted(path).burst] == ["a", "b", "c"]
    assert capacity.granted("a").burst == 0.5
    capacity.want("a", None)
    capacity.settle(NOW)
    assert [path for path in ("b", "c", "d", "e", "f", "a2") if capacity.granted(path).burst] == [
        "b",
        "c",
        "d",
    ]
    capacity.strain(NOW + 0.1)
    capacity.settle(NOW + 0.1)
    assert not any(capacity.granted(path).burst for path in "bcdef")
    assert capacity.granted("nobody") == Granted(0.0, 0.0)


def test_a_capacity_shares_anew_only_when_asked() -> None:
    """Settling twice without a new wish changes nothing, nor does one that takes next to nothing."""
    capacity = Capacity(10)
    capacity.want("a", Wanted(0, 16))
    capacity.settle(NOW)
    shares = capacity.shares
    assert 0.9 * 0.25 < shares[0].base <= 0.25
    capacity.settle(NOW + 60)
    assert capacity.shares is shares
    capacity.want("b", Wanted(0, 0.1))
    capacity.settle(NOW + 60)
    assert capacity.shares == shares
    for path in ("a", "b"):
        capacity.want(path, None)
    capacity.settle(NOW + 60)
    assert capacity.shares == {}


def test_a_lag_ends_bursts_for_a_second_and_a_second_lag_lowers_what_is_sent() -> None:
    """The first lag takes a part of the cap, the next a part of what was sent, at most every half second; calm brings
    it back, bursts first."""
    capacity = Capacity(100)
    capacity.want("a", Wanted(0, 40, 200))
    capacity.settle(NOW)
    assert 90 < capacity.totals()[1] <= 100
    for since_s in (0.0, 0.1, 0.2):
        capacity.strain(NOW + since_s)
        capacity.settle(NOW + since_s)
    assert capacity.shares[0] == Granted(1.0, 0.0)
    capacity.settle(NOW + 1.3)
    assert 0.9 * 0.15 < capacity.shares[0].burst <= 0.15
    capacity.strain(NOW + 1.4)
    capacity.settle(NOW + 1.4)
    capacity.strain(NOW + 2.0)
    capacity.settle(NOW + 2.0)
    assert 0.9 * 0.5 < capacity.shares[0].base < 0.55
    capacity.settle(NOW + 60)
    assert 0.9 * 0.3 < capacity.shares[0].burst <= 0.3


@given(
    st.lists(st.tuples(st.floats(0, 2), st.booleans(), st.floats(0, 2_000)), max_size=60),
    st.floats(1, 1_000),
)
def test_an_effective_cap_stays_between_floor_and_cap(
    events: list[tuple[float, bool, float]], cap: float
) -> None:
    """Whatever happens it is a tenth of the cap at least; a lag never raises it, and time never lowers it."""
    effective, now = EffectiveCap(cap), NOW
    for pause_s, strained, used in events:
        now += pause_s
        before = effective.per_s
        if strained:
            effective.strain(now, used)
            assert effective.per_s <= before
        else:
            effective.pass_time(now)
            assert effective.per_s >= before
        assert FLOOR * cap <= effective.per_s <= cap
    effective.pass_time(now + 60)
    assert effective.per_s == pytest.approx(cap)


@given(st.lists(st.tuples(keys, st.floats(0.5, 50)), min_size=1, max_size=5), st.floats(0.1, 3))
def test_an_agenda_gives_each_due_time_once_and_in_order(
    paths: list[tuple[str, float]], seconds: float
) -> None:
    """What an timers gives is every item's due times, each once, ordered by time."""
    timers: Timers[int] = Timers()
    schedules = [base_schedule(key, rate) for key, rate in paths]
    for item, schedule in enumerate(schedules):
        timers.pace(item, schedule, NOW)
    taken = list(timers.take(NOW + seconds))
    expected = sorted(
        (due, item)
        for item, schedule in enumerate(schedules)
        for due in dues(schedule, NOW, seconds)
    )
    assert sorted(taken) == expected
    assert [due for due, _ in taken] == [due for due, _ in expected]
    assert list(timers.take(NOW + seconds)) == []


def test_an_agenda_forgets_what_is_paced_no_more() -> None:
    """An item without a schedule is not given again; one with a new schedule only by that."""
    timers: Timers[str] = Timers()
    timers.pace("gone", Schedule(10, 0.5), NOW)
    timers.pace("slower", Schedule(10, 0.5), NOW)
    timers.pace("gone", None, NOW)
    timers.pace("slower", Schedule(1, 0.5), NOW)
    assert [item for _, item in timers.take(NOW + 3)] == ["slower"] * 3
    assert timers.next_due == pytest.approx(NOW + 3.5)
