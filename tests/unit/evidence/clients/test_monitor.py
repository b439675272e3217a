"""When what a Prometheus tells is fresh, and which growth of counters is a call."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Key, SplitKind, TrafficEvidence, TrafficOrder
from controller.evidence.clients.counters import (
    FORGET_S,
    Counters,
    Increase,
    Increases,
    ProxyCounters,
    Row,
)
from controller.evidence.clients.monitor import (
    FUTURE_S,
    RECENT_S,
    STALE_S,
    Answered,
    ClientMonitor,
    Freshness,
)
from prober.contract import Counts
from tests.unit.runtime.proxy_metrics import response, route, stranger

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
    return {
        name: told.get(name, ())
        for name in ("responses", "routes", "loops", "unmeshed", "served", "proxies")
    }


def legacy() -> Counters:
    """The counters of legacy."""
    return Counters("legacy", "eks", gateways="linkerd-multicluster", apart=frozenset({"migrate"}))


def orders(kind: SplitKind = SplitKind.TRAFFICSPLIT) -> dict[Key, TrafficOrder]:
    """One Service."""
    return {A: TrafficOrder(A, "eks", {"legacy": kind}, {}, {})}


def test_the_way_back_counts_the_other_side() -> None:
    """The mirror is the far cluster's backend, whoever is the target: here eks's gateway answered."""
    one = legacy()
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
    one = legacy()
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
    one = legacy()
    for value in (1.0, 2.0):
        increases = one.count(answers(responses=rows(((name, bare), value))), orders(), value)
    assert increases.services[A].following == {"shop/pod web-1"}


def test_the_questions_name_every_service_and_its_mirror() -> None:
    """All migrations' Services and mirrors are in one question each, our own and the gateways' pods in none."""
    b = Key("other", "service-b")
    asked = legacy().queries({**orders(), b: TrafficOrder(b, "eks", {}, {}, {})})
    assert set(asked) == {"responses", "routes", "loops", "unmeshed", "served", "proxies", "newest"}
    assert 'dst_service=~"service-a|service-b|service-a-eks|service-b-eks"' in asked["responses"]
    assert 'parent_name=~"service-a|service-b"' in asked["routes"]
    assert 'namespace!~"linkerd-multicluster|migrate"' in asked["responses"]
    assert 'namespace=~"default|other"' in asked["unmeshed"]


def routed(backend: str, status: int = 200, pod: str = "web-1") -> tuple[str, dict[str, str]]:
    """One series of the HTTPRoute path, as the question has its answer classified."""
    name, labels = route(backend, status, pod=pod, deployment=pod.partition("-")[0])
    return name, {**labels, "classification": "success" if status < 500 else "failure"}


def test_by_an_httproute_callers_follow_who_are_routed() -> None:
    """Callers of a Service with an HTTPRoute are counted by route: those follow, whatever else their proxies count."""
    one = legacy()
    for value in (1.0, 5.0):
        told = answers(
            responses=rows((response("service-a"), 10 * value)),
            routes=rows((routed("service-a"), value), (routed("service-a-eks", 500), value)),
        )
        increases = one.count(told, orders(SplitKind.HTTPROUTE), value)
    found = increases.services[A]
    assert (found.here, found.across) == (Counts(4, 0), Counts(4, 4))
    assert found.following == {"shop/deployment web"}
    assert found.ignoring == frozenset()


def test_past_an_httproute_call_those_who_have_no_series_of_a_route() -> None:
    """A pod that stayed busy while a TrafficSplit was converted ignores the route, and its calls are local ones.

    Whoever has a series of a route is routed, though it has not grown yet; and whoever calls the mirror by its own
    name is no caller of the Service.
    """
    one = legacy()
    busy = response("service-a", pod="busy-1", deployment="busy")
    direct = response("service-a-eks", pod="direct-1", deployment="direct")
    for value in (1.0, 5.0):
        told = answers(
            responses=rows((response("service-a"), value), (busy, value), (direct, value)),
            routes=rows((routed("service-a"), 7.0)),
        )
        increases = one.count(told, orders(SplitKind.HTTPROUTE), value)
    found = increases.services[A]
    assert (found.here, found.across) == (Counts(4, 0), Counts())
    assert found.ignoring == {"shop/deployment busy"}


def test_past_a_trafficsplit_only_those_are_routed_who_ignore_it() -> None:
    """A pod that is routed by policy where there is a TrafficSplit ignores it; its calls are counted once."""
    one = legacy()
    busy = response("service-a", pod="busy-1", deployment="busy")
    for value in (1.0, 5.0):
        told = answers(
            responses=rows((response("service-a"), value), (busy, value)),
            routes=rows((routed("service-a", pod="busy-1"), 2 * value)),
        )
        increases = one.count(told, orders(), value)
    found = increases.services[A]
    assert found.here == Counts(4 + 8, 0)
    assert found.following == {"shop/deployment web"}
    assert found.ignoring == {"shop/deployment busy"}


@pytest.mark.parametrize("kind", SplitKind)
def test_what_may_be_a_namesakes_judges_nobody(kind: SplitKind) -> None:
    """Where another namespace has a Service of that name, only responses count, which name the namespace;
    nobody is told to follow, or not to."""
    one, asked = legacy(), orders(kind)
    shared = {A: replace(asked[A], shared_names=frozenset({"legacy"}))}
    busy = response("service-a", pod="busy-1", deployment="busy")
    for value in (1.0, 5.0):
        told = answers(
            responses=rows((response("service-a-eks", 500), value), (busy, value)),
            routes=rows((routed("service-a", pod="busy-1"), 7 * value)),
            unmeshed=rows((stranger("10.0.0.1:80"), value)),
        )
        found = one.count(told, shared, value).services[A]
    assert found == Increase(
        here=Counts(4, 0), across=Counts(4, 4), sent={"shop/busy": 4, "shop/web": 0}
    )


def test_what_may_be_of_a_port_that_stays_is_left_out() -> None:
    """Where an HTTPRoute moves one port of several, what the own pods answered may be of another one: only
    what went to the mirror counts, and nobody is told to follow. A TrafficSplit moves all ports."""
    told = [
        answers(
            responses=rows((response("service-a"), value)),
            routes=rows((routed("service-a", 500), value), (routed("service-a-eks"), value)),
        )
        for value in (1.0, 5.0)
    ]
    found = {}
    for kind in SplitKind:
        asked = {A: replace(orders(kind)[A], shared_ports=frozenset({"legacy"}))}
        one = legacy()
        found[kind] = [one.count(answer, asked, 0.0) for answer in told][-1].services[A]
    assert found[SplitKind.HTTPROUTE] == Increase(across=Counts(4, 0), whole=False)
    assert found[SplitKind.TRAFFICSPLIT].ignoring == {"shop/deployment web"}


def test_requests_from_outside_the_mesh_are_those_to_the_services_own_pods() -> None:
    """A request without an identity counts for the Service whose pod got it, and for no other."""
    one = legacy()
    asked = {
        A: TrafficOrder(
            A, "eks", {"legacy": SplitKind.TRAFFICSPLIT}, {}, {"legacy": ("10.0.0.1:80",)}
        )
    }
    for value in (1.0, 4.0):
        told = answers(
            unmeshed=rows((stranger("10.0.0.1:80"), value), (stranger("10.0.0.9:80"), value))
        )
        increases = one.count(told, asked, value)
    assert increases.services[A].unmeshed == 3


# --- one migration's callers ----------------------------------------------------------------------------


def judged(number: int = 1, made: datetime | None = None) -> TrafficOrder:
    """Count for both clusters, and judge an attempt to eks."""
    kinds = dict.fromkeys(("legacy", "eks"), SplitKind.TRAFFICSPLIT)
    return TrafficOrder(
        A, "eks", kinds, {"legacy": made}, {}, Decimal("99.9"), ("attempt", number), judges=2
    )


def increased(now_s: float, increase: Increase, *, looped: bool = False) -> Answered:
    """What came in legacy in the 10 s until then."""
    return Answered("legacy", now_s, now_s - 10, increases=Increases({A: increase}, looped=looped))


def evidence(monitor: ClientMonitor, now_s: float) -> TrafficEvidence:
    """What is known of legacy's callers by a Prometheus that has just answered."""
    fresh = source()
    fresh.apply(answer(now_s, EPOCH + now_s))
    return monitor.evidence({"legacy": fresh}, now_s)["legacy"]


def test_another_attempt_begins_at_zero_and_knows_who_follows() -> None:
    """What was counted is of its attempt; who follows the split is known until the split is another."""
    monitor = ClientMonitor(tick_s=10.0)
    monitor.order(judged(), 0.0)
    ignoring = Increase(across=Counts(60, 6), ignoring=frozenset({"shop/deployment busy"}))
    monitor.apply(A, increased(20.0, ignoring), fresh=True)
    assert evidence(monitor, 20.0).requests == 60

    monitor.order(judged(2), 20.0)
    assert evidence(monitor, 20.0).requests == 0
    assert evidence(monitor, 20.0).ignoring == ("shop/deployment busy",)

    monitor.order(judged(2, datetime(2026, 1, 1, tzinfo=UTC)), 20.0)
    assert evidence(monitor, 20.0).ignoring == ()


@pytest.mark.parametrize("shared", ["shared_names", "shared_ports"])
def test_what_was_known_of_who_follows_ends_with_its_certainty(shared: str) -> None:
    """When calls cannot be told from another's any more, what was said of the callers before is not known."""
    monitor = ClientMonitor(tick_s=10.0)
    monitor.order(judged(), 0.0)
    monitor.apply(A, increased(20.0, Increase(ignoring=frozenset({"busy"}))), fresh=True)
    less = replace(judged(), **{shared: frozenset({"eks"})})  # type: ignore[arg-type]
    monitor.order(less, 20.0)
    assert evidence(monitor, 20.0).follow is False
    monitor.order(replace(less, **{shared: frozenset({"eks", "legacy"})}), 20.0)  # type: ignore[arg-type]
    assert evidence(monitor, 20.0).follow is None


def test_half_of_what_was_called_tells_no_share() -> None:
    """Where what the own pods answered was left out, what went across is judged, and no share is told."""
    monitor = ClientMonitor(tick_s=10.0)
    monitor.order(judged(), 0.0)
    monitor.apply(A, increased(20.0, Increase(across=Counts(60), whole=False)), fresh=True)
    assert (evidence(monitor, 20.0).requests, evidence(monitor, 20.0).share) == (60, None)


def test_who_ignored_the_split_is_named_for_two_minutes() -> None:
    """A workload is named until it has not been seen for so long."""
    monitor = ClientMonitor(tick_s=10.0)
    monitor.order(judged(), 0.0)
    monitor.apply(A, increased(20.0, Increase(ignoring=frozenset({"busy"}))), fresh=True)
    assert evidence(monitor, 20.0 + RECENT_S - 1).ignoring == ("busy",)
    assert evidence(monitor, 20.0 + RECENT_S).ignoring == ()


def test_nothing_is_counted_that_nobody_ordered() -> None:
    """Without an order, or of a cluster that has no split, or from a stale answer nothing is known or notable."""
    monitor = ClientMonitor(tick_s=10.0)
    found = increased(20.0, Increase(across=Counts(60)))
    monitor.apply(A, found, fresh=True)
    assert not monitor.notable(source(), "legacy", 20.0)

    monitor.order(judged(), 0.0)
    monitor.apply(A, found, fresh=False)
    assert evidence(monitor, 20.0).requests == 0
    monitor.order(replace(judged(), kinds={"eks": SplitKind.TRAFFICSPLIT}), 20.0)
    assert monitor.evidence({"legacy": source()}, 20.0) == {}
    monitor.order(None, 30.0)
    assert not monitor.notable(source(), "eks", 30.0)


def test_an_increase_from_before_the_attempt_is_not_of_it() -> None:
    """What began to be counted before an order was given shows who calls, and judges nothing."""
    monitor = ClientMonitor(tick_s=10.0)
    monitor.order(judged(), 15.0)
    monitor.apply(A, increased(20.0, Increase(across=Counts(60, 60))), fresh=True)
    assert (evidence(monitor, 20.0).requests, evidence(monitor, 20.0).share) == (0, 1.0)


def test_loops_need_both_words_and_a_pin() -> None:
    """Callers' 508 and a gateway's refusal together are a loop, unless a pin was missing just before."""
    looping = Increase(across=Counts(2, 2), loops=2)
    monitor = ClientMonitor(tick_s=10.0)
    monitor.order(judged(), 0.0)
    monitor.apply(A, increased(20.0, looping), fresh=True)
    assert not evidence(monitor, 20.0).looped
    monitor.apply(A, increased(30.0, Increase(), looped=True), fresh=True)
    assert evidence(monitor, 30.0).looped

    monitor.discard_loops(30.0)
    monitor.apply(A, increased(40.0, looping, looped=True), fresh=True)
    assert not evidence(monitor, 40.0).looped
    monitor.apply(A, increased(40.0 + STALE_S, looping, looped=True), fresh=True)
    assert evidence(monitor, 40.0 + STALE_S).looped
