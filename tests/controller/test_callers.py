"""When what a Prometheus tells is fresh, and which growth of counters is a call."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Key, SplitKind, TrafficOrder
from controller.evidence.clients.counters import FORGET_S, Counters, ProxyCounters, Row
from controller.evidence.clients.monitor import FUTURE_S, STALE_S, Answered, Freshness
from prober.contract import Counts
from tests.controller.proxy_metrics import response, route

A = Key("default", "service-a")
EPOCH = 1_700_000_000.0


def source() -> Freshness:
    """A Prometheus that is asked every 10 s."""
    return Freshness("legacy", tick_s=10.0)


def answer(now_s: float, newest: float | None, asked: float = 0.0) -> Answered:
    """One answer; Prometheus's own time is ours unless it is said."""
    return Answered("legacy", now_s, asked=asked or EPOCH + now_s, newest=newest)


def test_nothing_is_known_before_the_first_answer() -> None:
    """A Prometheus that was not asked yet does not tell."""
    assert source().unknown(0.0) == "it was not asked yet"


def test_an_answer_is_good_until_three_ticks_without_one() -> None:
    """After an answer everything is known for 30 s, whatever the ticks between say, and then why not."""
    one = source()
    assert one.apply(answer(0.0, EPOCH))
    assert not one.apply(Answered("legacy", 20.0, error="it answers 503"))
    assert one.unknown(30.0) == ""
    assert one.unknown(30.1) == "it answers 503"


def test_samples_that_do_not_advance_are_stale() -> None:
    """A Prometheus that goes on answering with the same newest sample is stale by our own clock."""
    one = source()
    one.apply(answer(0.0, EPOCH))
    for tick in range(1, 14):
        one.apply(answer(tick * 10.0, EPOCH, asked=EPOCH + 1))
    assert one.unknown(130.0) == ""
    one.apply(answer(140.0, EPOCH, asked=EPOCH + 1))
    assert one.unknown(140.0) == "it has had no newer sample for 140 s"
    assert one.apply(answer(150.0, EPOCH + 1, asked=EPOCH + 2))
    assert one.unknown(150.0) == ""


@pytest.mark.parametrize(
    ("newest", "told"),
    [
        (None, "it has no sample of a Linkerd proxy"),
        (EPOCH - STALE_S - 1, "its newest sample of a Linkerd proxy is 131 s old"),
        (EPOCH + FUTURE_S + 1, "its newest sample is 6 s in its own future"),
    ],
)
def test_an_answer_that_cannot_be_of_now_is_none(newest: float | None, told: str) -> None:
    """No sample, only old ones, or samples from the future: not counted, and it says why."""
    one = source()
    assert not one.apply(answer(0.0, newest))
    assert one.unknown(0.0) == told


@given(st.floats(-1e9, 1e9))
def test_a_wrong_clock_is_no_fault(wrong_by_s: float) -> None:
    """A Prometheus whose clock is wrong, and consistent, tells as well as another."""
    one = source()
    for tick in range(20):
        now_s = tick * 10.0
        there = EPOCH + wrong_by_s + now_s
        assert one.apply(answer(now_s, there - 1, asked=there))
        assert one.unknown(now_s) == ""


def test_a_clock_that_is_set_back_costs_one_answer() -> None:
    """When its clock falls back by an hour nothing new is seen at first, then everything is again."""
    one = source()
    one.apply(answer(0.0, EPOCH))
    for tick in range(1, 30):
        there = EPOCH - 3600 + tick * 10
        one.apply(answer(tick * 10.0, there, asked=there))
        assert one.unknown(tick * 10.0) == ""


# --- counters -----------------------------------------------------------------------------------------


def grown(
    counters: ProxyCounters[str, str], *rows: tuple[str, str, float], at_s: float = 0.0
) -> object:
    """What one answer says has grown, by proxy and series."""
    return {(group, series): by for group, series, by in counters.increase(rows, at_s)}


def test_what_is_first_heard_of_is_only_noted() -> None:
    """A proxy that was not known tells nothing; the next answer tells what came since."""
    one: ProxyCounters[str, str] = ProxyCounters()
    assert grown(one, ("pod", "ok", 1e6)) == {}
    assert grown(one, ("pod", "ok", 1e6 + 3)) == {("pod", "ok"): 3}


def test_a_new_series_of_a_known_proxy_is_counted_from_zero() -> None:
    """A proxy's first failure makes a new series: all of it is new."""
    one: ProxyCounters[str, str] = ProxyCounters()
    grown(one, ("pod", "ok", 10))
    assert grown(one, ("pod", "ok", 10), ("pod", "failed", 2)) == {("pod", "failed"): 2}


def test_a_proxy_that_fell_tells_nothing_once() -> None:
    """When one of a proxy's series falls nothing of it counts, and from the next answer on all does."""
    one: ProxyCounters[str, str] = ProxyCounters()
    grown(one, ("pod", "ok", 100), ("pod", "failed", 5), ("other", "ok", 7))
    assert grown(one, ("pod", "ok", 3), ("pod", "failed", 9), ("other", "ok", 8)) == {
        ("other", "ok"): 1
    }
    assert grown(one, ("pod", "ok", 4), ("pod", "failed", 9)) == {("pod", "ok"): 1}


def test_a_proxy_that_was_not_scraped_for_a_while_is_caught_up_with() -> None:
    """Series that vanish and return higher tell all that was missed; lower ones have begun anew."""
    one: ProxyCounters[str, str] = ProxyCounters()
    grown(one, ("pod", "ok", 100), ("pod", "failed", 5))
    grown(one)
    assert grown(one, ("pod", "ok", 130), ("pod", "failed", 2)) == {
        ("pod", "ok"): 30,
        ("pod", "failed"): 2,
    }


def test_a_proxy_is_forgotten_in_the_end() -> None:
    """A name that comes back after a quarter of an hour is another proxy: only noted."""
    one: ProxyCounters[str, str] = ProxyCounters()
    grown(one, ("pod", "ok", 100))
    grown(one, at_s=FORGET_S + 1)
    assert grown(one, ("pod", "ok", 200), at_s=FORGET_S + 2) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_what_is_no_count_is_left_out(value: float) -> None:
    """NaN, infinities and negative values are no samples: neither noted nor counted."""
    one: ProxyCounters[str, str] = ProxyCounters()
    grown(one, ("pod", "ok", 10))
    assert grown(one, ("pod", "ok", value)) == {}
    assert grown(one, ("pod", "ok", 12)) == {("pod", "ok"): 2}


@given(
    st.lists(
        st.dictionaries(
            st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), st.integers(0, 50)
        ),
        max_size=20,
    )
)
def test_no_count_is_told_twice(steps: list[dict[tuple[str, str], int]]) -> None:
    """Whatever comes, goes and falls: growth is never negative, and never more than was counted."""
    one: ProxyCounters[str, str] = ProxyCounters()
    increases: dict[tuple[str, str], int] = {}
    before: dict[tuple[str, str], int] = {}
    for step in steps:
        told = one.increase(
            [(group, series, value) for (group, series), value in step.items()], 0.0
        )
        for group, series, by in told:
            assert 0 < by <= step[group, series]
            if before.get((group, series), 0) <= step[group, series]:
                increases[group, series] = increases.get((group, series), 0) + by
        before |= step
    assert all(count >= 0 for count in increases.values())


# --- rows -----------------------------------------------------------------------------------------------


def rows(*series: tuple[tuple[str, dict[str, str]], float]) -> list[Row]:
    """Samples as an answer has them."""
    return [(labels, value) for (_, labels), value in series]


def answers(**told: Iterable[Row]) -> dict[str, Iterable[Row]]:
    """All answers of one tick; what is not said is empty."""
    return {name: told.get(name, ()) for name in ("responses", "routes", "loops", "unmeshed")}


def tally() -> Counters:
    """Of legacy."""
    return Counters("legacy", "eks", gateways="linkerd-multicluster", apart=frozenset({"migrate"}))


def orders(kind: SplitKind = SplitKind.TRAFFICSPLIT) -> dict[Key, TrafficOrder]:
    """One Service."""
    return {A: TrafficOrder(A, "eks", {"legacy": kind}, {}, {})}


def test_the_way_back_counts_the_other_side() -> None:
    """The mirror is the far cluster's backend, whoever is the target: here eks's gateway answered."""
    one = tally()
    one.count(answers(responses=rows((response("service-a"), 0))), orders(), 0.0)
    increases = one.count(
        answers(responses=rows((response("service-a"), 4), (response("service-a-eks", 500), 2))),
        orders(),
        10.0,
    )
    assert increases.services[A].here == Counts(4, 0)
    assert increases.services[A].across == Counts(2, 2)


def test_other_services_are_no_ones() -> None:
    """Rows of another namespace, another Service or another backend are left out."""
    one = tally()
    strange = [
        (response("service-a")[0], {**response("service-a")[1], "dst_namespace": "other"}),
        response("service-b"),
        route("elsewhere"),
    ]
    one.count(answers(responses=rows((response("service-a"), 1))), orders(), 0.0)
    for value in (1.0, 5.0):
        told = answers(
            responses=rows(*((series, value) for series in strange[:2])),
            routes=rows((strange[2], value)),
        )
        increases = one.count(told, orders(), 10.0)
    assert (increases.services[A].here, increases.services[A].across) == (Counts(), Counts())
    assert increases.services[A].ignoring == frozenset()


@pytest.mark.parametrize("labels", [{"deployment": ""}, {}])
def test_a_pod_without_an_owner_is_named_itself(labels: dict[str, str]) -> None:
    """Where no label names the owner of a pod, the pod is the workload."""
    name, told = response("service-a")
    bare = {k: v for k, v in told.items() if k != "deployment"} | labels
    one = tally()
    for value in (1.0, 2.0):
        increases = one.count(answers(responses=rows(((name, bare), value))), orders(), value)
    assert increases.services[A].following == {"shop/pod web-1"}


def test_the_questions_name_every_service_and_its_mirror() -> None:
    """All migrations' Services and mirrors are in one question each, our own and the gateways' pods in none."""
    b = Key("other", "service-b")
    asked = tally().queries({**orders(), b: TrafficOrder(b, "eks", {}, {}, {})})
    assert set(asked) == {"responses", "routes", "loops", "unmeshed", "newest"}
    assert 'dst_service=~"service-a|service-b|service-a-eks|service-b-eks"' in asked["responses"]
    assert 'parent_name=~"service-a|service-b"' in asked["routes"]
    assert 'namespace!~"linkerd-multicluster|migrate"' in asked["responses"]
    assert 'namespace=~"default|other"' in asked["unmeshed"]
