"""The evidence of one migration: which samples count, which are void, and when a look is worth it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from controller.domain import (
    CallPath,
    Endpoints,
    Key,
    PathEvidence,
    Phase,
    Plan,
    ProbeOrder,
    ProbeSpec,
    Side,
    Verdict,
)
from controller.evidence.excuses import without_faults
from controller.evidence.hearing import Hearing, Stream
from controller.evidence.looks import Known, Look
from controller.evidence.path import origin_is_worse
from controller.evidence.probes import ProbeMonitor, ProberReport, Probes
from prober.contract import Counts, Report, Sample
from tests.unit.decide.gates.inputs import given as observed_at

KEY = Key("default", "service-a")
MIRROR = CallPath("legacy", Side.TARGET)
PODS = CallPath("eks", Side.TARGET)
POD, OTHER = "10.0.0.1:80", "10.0.0.2:80"


def order(path: CallPath = MIRROR, *, generation: int = 0, number: int = 1) -> ProbeOrder:
    """An order to probe a path above the baseline, at 99 %."""
    return ProbeOrder(
        path=path,
        key=KEY,
        route="pods" if path == PODS else "mirror",
        mirror_of="" if path == PODS else "eks",
        port=80,
        addresses=(POD, OTHER) if path == PODS else (),
        protocol="http",
        probe=ProbeSpec(),
        success_percent=Decimal(99),
        latency=None,
        judges=1,
        shifted=True,
        generation=generation,
        identity=(path, number),
    )


def good(sent: int = 10) -> Sample:
    """A clean sample."""
    return Sample(1, 0, 0.0, base=Counts(sent), answers={"200": sent})


def bad(address: str = "", answer: str = "500", sent: int = 10) -> Sample:
    """A sample that is bad throughout."""
    counts = Counts(sent, sent, sent)
    return Sample(
        1,
        0,
        0.0,
        base=counts,
        answers={answer: sent},
        loops=sent if answer == "508" else 0,
        faults={address: (counts, Counts())} if address else {},
    )


class Told:
    """Accounts of some paths, fed sample by sample, a tick each."""

    def __init__(self, *orders: ProbeOrder) -> None:
        self.hearing = Hearing()
        self.monitor = ProbeMonitor(self.hearing.heartbeats)
        self.now_s = 100.0
        self.monitor.order(orders)
        self.monitor.pods("eks", frozenset({POD, OTHER}), self.now_s, is_target=True)

    def tick(self, *parts: tuple[ProbeOrder, Sample], void: str = "", ticks: int = 1) -> Look:
        """Let ticks pass with these samples in each; whether the last was notable."""
        notable = Look.NONE
        for _ in range(ticks):
            self.now_s = round(self.now_s + 0.1, 3)
            for one, part in parts:
                self.hearing.heartbeats[one.path.callers].beat(self.now_s)
                self.monitor.take(one, part, self.now_s, discarded=void, control_clean=True)
            turned = self.hearing.turned(self.now_s)
            notable = Look.NONE
            if turned or self.monitor.is_due(self.now_s):
                notable = self.monitor.fold(self.now_s, turned=turned)
            if notable:
                self.monitor.evidence(self.now_s)  # as whoever is told decides on it
        return notable

    def known(self, path: CallPath = MIRROR) -> PathEvidence:
        """What is known now, of which nothing is decided."""
        return self.monitor._paths[path].evidence(self.now_s)

    def verdict(self, path: CallPath = MIRROR) -> tuple[Verdict, str]:
        """The verdict now, on which nothing is decided."""
        found = self.known(path)
        return found.verdict, found.reason


def test_a_path_that_goes_on_as_before_needs_no_look() -> None:
    """A look is worth it at the first sample, at PASS, at silence and, within a second, at what turns bad or good
    again; whatever goes on, good or bad or silent, is not."""
    told = Told(order())
    assert told.tick((order(), good()))
    assert not told.tick((order(), good()), ticks=8)
    assert told.tick((order(), good()))
    assert told.verdict() == (Verdict.PASS, "Met")
    assert not told.tick((order(), good()))
    assert not told.tick(ticks=2)
    assert told.tick()
    assert told.verdict()[1] == "Silent"
    assert not told.tick(ticks=4)
    assert told.tick((order(), good()))
    assert not told.tick((order(), bad()))
    assert told.verdict()[1] == "Recovering"
    assert Look.SOON in [told.tick((order(), good())) for _ in range(10)]


def test_a_path_that_fails_is_looked_at_once() -> None:
    """At the first bad probes and at FAIL it is looked at, and no more while it goes on failing."""
    told = Told(order())
    looks = [told.tick((order(), bad())) for _ in range(30)]
    assert looks == [Look.NOW, *[Look.NONE] * 3, Look.NOW, *[Look.NONE] * 25]
    assert told.verdict()[0] is Verdict.FAIL


TICKS = st.lists(st.sampled_from(["good", "bad", "one", "none", "void"]), max_size=60)


def told_by(ticks: list[str], path: CallPath = MIRROR) -> Iterator[tuple[Look, PathEvidence]]:
    """Whether each of these ticks was worth a look, and what was known of the path then."""
    told = Told(order(path))
    parts = {"good": good(), "bad": bad(), "one": good(1), "void": good()}
    for kind in ticks:
        came = [(order(path), parts[kind])] if kind in parts else []
        look = told.tick(*came, void="lag" if kind == "void" else "")
        yield look, told.known(path)


@given(TICKS, st.sampled_from([MIRROR, CallPath("legacy", Side.ORIGIN)]))
def test_what_may_move_somebody_is_worth_a_look_at_once(ticks: list[str], path: CallPath) -> None:
    """At a tick that is not, it FAILs as at the last look, does not pass where it did not then, and was, as then, all
    bad for a second, where it leads back, or unanswered, where it leads to the target."""
    last: PathEvidence | None = None
    for look, found in told_by(ticks, path):
        if look is not Look.NONE:
            last = found
        assert last is not None
        assert (found.verdict is Verdict.FAIL) == (last.verdict is Verdict.FAIL)
        if path.side is Side.TARGET:
            assert found.unanswered_1s == last.unanswered_1s
        else:
            assert found.all_bad_1s == last.all_bad_1s
        assert found.verdict is not Verdict.PASS or last.verdict is Verdict.PASS


@given(TICKS)
def test_whatever_else_changes_is_looked_at_within_a_second(ticks: list[str]) -> None:
    """Verdict and reason have not been others than at the last look for more than a second."""
    said: tuple[Verdict, str] | None = None
    waited = 0
    for look, found in told_by(ticks):
        if look is not Look.NONE:
            said = found.verdict, found.reason
        waited = 0 if said == (found.verdict, found.reason) else waited + 1
        assert waited <= 10


def test_what_flickers_is_not_looked_at() -> None:
    """Samples that are discarded again and again cost no look as long as each second has good ones, too."""
    told = Told(order())
    told.tick((order(), good()), ticks=12)
    looks = []
    for _ in range(50):
        looks.append(told.tick((order(), good()), void="lag"))
        looks.append(told.tick((order(), good())))
    assert looks == [Look.NONE] * 100


def test_a_suspicion_that_ends_well_needs_no_look() -> None:
    """While a fault waits for its explanation nobody rises; that it was explained is as before."""
    path = PODS
    told = Told(order(path))
    told.tick((order(path), good()), ticks=11)
    told.tick((order(path), bad(POD)))
    told.monitor.pods("eks", frozenset({OTHER}), told.now_s, is_target=True)
    assert told.verdict(path)[0] is Verdict.UNKNOWN
    told.tick((order(path), good()), ticks=13)
    assert told.verdict(path)[0] is Verdict.PASS


@pytest.mark.parametrize("cause", ["pin", "pods"])
def test_credit_that_was_taken_away_is_earned_again(cause: str) -> None:
    """After a pin was re-made, or most pods went, PASS is gone, and its return is worth a look."""
    path = PODS
    told = Told(order(path))
    told.tick((order(path), good()), ticks=11)
    assert told.verdict(path)[0] is Verdict.PASS
    if cause == "pin":
        told.monitor.pins(missing=True, now_s=told.now_s)
        told.monitor.pins(missing=False, now_s=told.now_s)
    else:
        told.monitor.pods("eks", frozenset({"10.0.0.9:80"}), told.now_s, is_target=True)
    assert told.monitor.evidence(told.now_s)[path].reason == "Collecting"
    looks = [told.tick((order(path), good())) for _ in range(11)]
    assert looks[9:] == [Look.SOON, Look.NONE]
    assert told.verdict(path)[0] is Verdict.PASS


def test_half_of_the_pods_is_enough_to_keep_credit() -> None:
    """Added pods, and as many gone as stay, take no SPRT; fewer than half left do."""
    told = Told(order(PODS))
    told.tick((order(PODS), good()), ticks=11)
    told.monitor.pods("eks", frozenset({POD, "10.0.0.3:80"}), told.now_s, is_target=True)
    assert told.verdict(PODS)[0] is Verdict.PASS
    told.monitor.pods("eks", frozenset({"10.0.0.3:80"}), told.now_s, is_target=True)
    assert told.verdict(PODS)[0] is Verdict.UNKNOWN


def test_slices_of_before_the_step_earn_no_credit() -> None:
    """A sample of an assignment of an earlier generation counts for FAIL and not for PASS."""
    told = Told(order())
    told.monitor.order([order(generation=1)])
    told.tick((order(generation=0), good()), ticks=30)
    assert told.verdict() == (Verdict.UNKNOWN, "Collecting")
    told.tick((order(generation=0), bad()), ticks=5)
    assert told.verdict()[0] is Verdict.FAIL


def test_another_identity_starts_at_zero() -> None:
    """Evidence of another attempt, objective or probe is forgotten, and its late samples are not taken."""
    told = Told(order())
    told.tick((order(), bad()), ticks=6)
    assert told.verdict()[0] is Verdict.FAIL
    told.monitor.order([order(number=2)])
    told.tick((order(number=1), bad()), ticks=6)
    assert told.monitor.evidence(told.now_s)[MIRROR].points == 0


def test_void_slices_count_for_nothing() -> None:
    """A sample that the prober does not stand behind is neither good nor bad: the path is Void."""
    told = Told(order())
    told.tick((order(), bad()), void="loop lag", ticks=10)
    assert told.verdict() == (Verdict.UNKNOWN, "Void")
    assert told.monitor.evidence(told.now_s)[MIRROR].points == 0


def test_a_prober_that_lags_disarms_nobody() -> None:
    """What was answered counts, though the prober says at the time that its loop lags."""
    told = Told(order())
    told.tick((order(), bad()), void="lag", ticks=6)
    assert told.verdict()[0] is Verdict.FAIL


def test_a_doubt_outlives_the_faults_of_a_pod_that_left() -> None:
    """A sample from which explained faults were taken is doubted as before: its timeouts are no fault."""
    told = Told(order(PODS))
    part = Sample(
        1,
        0,
        0.0,
        Counts(10, 10),
        discarded="lag",
        answers={"timeout": 10},
        faults={POD: (Counts(5, 5), Counts()), OTHER: (Counts(5, 5), Counts())},
    )
    told.tick((order(PODS), part), ticks=5)
    told.monitor.pods("eks", frozenset({OTHER}), told.now_s, is_target=True)
    told.tick(ticks=20)
    assert told.monitor.evidence(told.now_s)[PODS].points == 0


def test_a_fault_of_a_pod_waits_a_second() -> None:
    """A bad probe of a pod takes PASS away at once, and counts only when a second has not explained it."""
    told = Told(order(PODS))
    told.tick((order(PODS), good()), ticks=11)
    told.tick((order(PODS), bad(POD)), ticks=9)
    assert told.verdict(PODS)[0] is Verdict.UNKNOWN
    assert told.monitor.evidence(told.now_s)[PODS].points == 0
    told.tick((order(PODS), bad(POD)), ticks=8)
    assert told.verdict(PODS)[0] is Verdict.FAIL


def test_a_fault_that_waits_is_counted_though_nothing_else_comes() -> None:
    """A second after the bad probe its points stand, and that it does not pass was told, with no sample since."""
    told, stream = Told(order(PODS)), Stream()
    told.monitor.rests(order(PODS), stream, told.now_s)
    told.tick((order(PODS), good(100)))
    assert told.verdict(PODS)[0] is Verdict.PASS
    looks = [told.tick((order(PODS), bad(POD)))]
    for _ in range(12):
        told.hearing.heartbeats["eks"].beat(told.now_s)
        told.hearing.said(stream, told.now_s)
        looks.append(told.tick())
    assert [look for look in looks if look] == [Look.SOON]
    assert told.known(PODS).points > 0


@pytest.mark.parametrize("after", [0, 5, 9])
def test_a_fault_of_a_pod_that_left_is_void(after: int) -> None:
    """A pod that leaves up to a second after its bad probes is no fault; the others' faults stay."""
    told = Told(order(PODS))
    told.tick((order(PODS), bad(POD)))
    told.tick((order(PODS), good()), ticks=after)
    told.monitor.pods("eks", frozenset({OTHER}), told.now_s, is_target=True)
    told.tick((order(PODS), good()), ticks=20)
    assert told.monitor.evidence(told.now_s)[PODS].points == 0


def test_a_fault_of_a_pod_that_just_came_is_void() -> None:
    """Bad probes in the first moments of a pod are no fault; later ones are."""
    young = "10.0.0.3:80"
    told = Told(order(PODS))
    told.tick((order(PODS), good()), ticks=5)
    told.monitor.pods("eks", frozenset({POD, OTHER, young}), told.now_s, is_target=True)
    told.tick((order(PODS), bad(young)), ticks=5)
    told.tick((order(PODS), good()), ticks=20)
    assert told.monitor.evidence(told.now_s)[PODS].points == 0
    told.tick((order(PODS), good()), ticks=30)
    told.tick((order(PODS), bad(young)), ticks=20)
    assert told.verdict(PODS)[0] is Verdict.FAIL


READY = frozenset({POD, OTHER})


def roll(told: Told, ready: frozenset[str], part: Sample, ticks: int) -> None:
    """Let ticks pass in each of which the ready pods are looked at, as every decision does."""
    for _ in range(ticks):
        told.monitor.pods("eks", ready, told.now_s, is_target=True)
        told.tick((order(PODS), part))


@pytest.mark.parametrize(("after", "void"), [(0, True), (15, True), (29, True), (31, False)])
def test_the_grace_remembers_who_left_and_came_back(after: int, *, void: bool) -> None:
    """What a pod answered badly up to 3 s after it came back is void, however often was looked at it since."""
    told = Told(order(PODS))
    roll(told, READY, good(), ticks=5)
    roll(told, frozenset({OTHER}), good(), ticks=5)
    roll(told, READY, good(), ticks=after)
    roll(told, READY, bad(POD), ticks=1)
    roll(told, READY, good(), ticks=12)
    assert (told.monitor.evidence(told.now_s)[PODS].points == 0) == void


def test_what_a_pod_that_left_before_answers_is_void() -> None:
    """A pod that left a minute ago is no fault of the Service, though a prober was not told yet."""
    told = Told(order(PODS))
    roll(told, READY, good(), ticks=5)
    roll(told, frozenset({OTHER}), good(), ticks=600)
    roll(told, frozenset({OTHER}), bad(POD), ticks=20)
    roll(told, frozenset({OTHER}), good(), ticks=12)
    assert told.monitor.evidence(told.now_s)[PODS].points == 0


def test_a_pod_that_comes_and_goes_is_forgotten() -> None:
    """Memory does not grow with the pods of the past: of those that came long ago nothing is kept."""
    told = Told(order(PODS))
    for number in range(200):
        roll(told, frozenset({OTHER, f"10.0.1.{number}:80"}), good(), ticks=10)
    assert len(told.monitor._ready_since) < 50


def test_508_is_fail_unless_a_pin_is_missing() -> None:
    """One 508 above the baseline is FAIL; while a pin is missing, and for a second after it was re-made, it is void."""
    told = Told(order())
    told.monitor.pins(missing=True, now_s=told.now_s)
    told.tick((order(), bad(answer="508")), ticks=20)
    told.monitor.pins(missing=False, now_s=told.now_s)
    told.tick((order(), bad(answer="508")), ticks=9)
    assert told.verdict()[0] is Verdict.UNKNOWN
    assert told.monitor.evidence(told.now_s)[MIRROR].points == 0
    told.tick((order(), bad(answer="508")), ticks=2)
    assert told.verdict() == (Verdict.FAIL, "GatewayLoop")


def test_streams_of_one_tick_are_one_observation() -> None:
    """What two streams report within a tick shares one fate: it is added up before it is judged."""
    one, two = Told(order()), Told(order())
    for _ in range(4):
        one.tick((order(), bad()), (order(), good()))
        two.tick((order(), bad()))
    both = one.monitor.evidence(one.now_s)[MIRROR]
    assert both.points < two.monitor.evidence(two.now_s)[MIRROR].points
    assert both.bad_share_3s == 0.5


def test_a_late_sample_is_an_observation_of_its_own() -> None:
    """What comes a tick late, as a probe of it was under way, is of another time than what it comes with, whatever the
    order; what two streams report of one time stays one observation, though one comes some milliseconds later."""

    def points(*ages: float) -> float:
        told = Told(order())
        told.tick(*((order(), replaced(bad(), age_s=age)) for age in ages))
        return told.known().points

    one = points(0.001)
    assert points(0.001, 0.004) == one
    assert points(0.001, 0.101) == points(0.101, 0.001) == pytest.approx(2 * one)
    assert points(0.001, 0.101, 0.003, 0.102) == pytest.approx(2 * one)


def test_a_path_at_rest_is_as_fresh_as_its_stream() -> None:
    """A path of which a stream has nothing under way is not silent while that speaks, and earns nothing; once a sample
    is owed it is silent from the stream's last word on, and where the stream says no more, too."""
    told, stream = Told(order()), Stream()

    def speak(ticks: int) -> list[Look]:
        looks = []
        for _ in range(ticks):
            told.hearing.heartbeats["legacy"].beat(told.now_s)
            told.hearing.said(stream, told.now_s)
            told.monitor.rests(order(), stream, told.now_s)
            looks.append(told.tick())
        return looks

    assert speak(20).count(Look.NONE) >= 17
    assert told.verdict() == (Verdict.UNKNOWN, "Collecting")
    assert told.known().clean == 0
    assert told.known().silent_s == pytest.approx(0.1)

    told.monitor.awaits(order(), stream)
    told.hearing.said(stream, told.now_s)
    assert told.known().silent_s == pytest.approx(0.1)
    assert any(told.tick() for _ in range(12))
    assert told.verdict()[1] == "Silent"

    speak(5)
    assert told.verdict()[1] == "Collecting"
    assert any(told.tick() for _ in range(12))
    assert told.verdict()[1] == "Silent"


def said(probes: Probes, stream: Stream, now_s: float, *parts: Sample) -> None:
    """One report of a stream, with these samples of a path that rests otherwise."""
    came = tuple((order(), part) for part in parts)
    report = Report(0, tuple(parts))
    probes.on_report(ProberReport("legacy", 0, report, came, now_s, stream, (order(),)))
    probes.fold(now_s)


@pytest.mark.parametrize(("silence_s", "kept"), [(2.9, True), (3.1, False)])
def test_what_was_proven_before_a_long_silence_of_the_stream_is_gone(
    silence_s: float, *, kept: bool
) -> None:
    """A stream that speaks again after 3 s shows no path fresh for the time between, though nothing was due in it, and
    though no tick has seen the silence."""
    probes, stream = Probes(), Stream()
    probes.order(KEY, Plan(Phase.PROGRESSING, {}, None, probes=(order(),)), 0.0)
    said(probes, stream, 10.0, good(100))
    said(probes, stream, 10.1)
    said(probes, stream, 10.1 + silence_s)
    found = probes.evidence(KEY, 10.1 + silence_s).paths[MIRROR]
    assert (found.verdict is Verdict.PASS) == kept
    assert found.silent_s == 0.0


def test_once_the_target_is_proven_bad_no_path_but_a_faulty_one_back_is_probed_on() -> None:
    """Of shifted callers, and of who is at the baseline all are; a path back with a fault may be worse by the decision.
    A fault known from elsewhere is as good as one that was probed."""
    back, calm = order(CallPath("legacy", Side.ORIGIN)), replace(order(), shifted=False)
    none, gone = frozenset[CallPath](), frozenset({MIRROR})
    cases: tuple[
        tuple[tuple[ProbeOrder, ...], Sample, Sample, frozenset[CallPath], set[CallPath]], ...
    ] = (
        ((order(), back), bad(), good(), none, {MIRROR, back.path}),
        ((order(), back), bad(), bad(), none, {MIRROR}),
        ((calm, back), bad(), good(), none, set()),
        ((order(), back), good(), good(), none, set()),
        ((order(), back), good(), good(), gone, {MIRROR, back.path}),
        ((calm, back), good(), good(), gone, set()),
    )
    for orders, to_target, way_back, elsewhere, proven in cases:
        probes, stream = Probes(), Stream()
        probes.order(KEY, Plan(Phase.PROGRESSING, {}, None, probes=orders), 0.0)
        for tick in range(10):
            now_s = 10.0 + tick / 10
            came = tuple(zip(orders, (to_target, way_back), strict=True))
            probes.on_report(ProberReport("legacy", 0, Report(0), came, now_s, stream))
            probes.fold(now_s)
            probes.evidence(KEY, now_s)
        assert set(probes.proven_bad(KEY, elsewhere)) == proven
    assert probes.proven_bad(Key("default", "nobody"), none) == ()


def test_counts_are_taken_out_as_if_not_sent() -> None:
    """Voided probes leave sent, bad and slow; nothing falls below zero or above sent."""
    part = Sample(
        1,
        0,
        0.0,
        base=Counts(5, 3, 4),
        answers={"500": 3, "200": 2},
        faults={POD: (Counts(2, 2, 2), Counts()), OTHER: (Counts(2, 1, 2), Counts())},
    )
    left = without_faults(part, [POD])
    assert (left.base, set(left.faults), left.answers) == (Counts(3, 1, 2), {OTHER}, {})
    assert without_faults(part, []).answers == part.answers
    assert Counts(1, 1, 1) - Counts(2, 2, 2) == Counts(0, 0, 0)


def test_what_comes_of_a_path_that_is_not_probed_any_more_is_left_out() -> None:
    """Samples, idle slots, rates and refusals of a path that was withdrawn change nothing."""
    told = Told(order())
    told.monitor.order(())
    told.tick((order(), bad()))
    told.monitor.rests(order(), Stream(), told.now_s)
    told.monitor.awaits(order(), Stream())
    told.monitor.pass_time(told.now_s)
    told.monitor.throttled(order(), 1.0)
    told.monitor.refused(order(), "", "no")
    assert not told.monitor.active
    assert told.monitor.evidence(told.now_s) == {}


def test_a_pod_that_left_long_ago_is_forgotten() -> None:
    """What is remembered of pods that come and go ends, and then explains nothing."""
    told = Told(order(PODS))
    told.monitor.pods("eks", frozenset({POD}), told.now_s, is_target=True)
    told.now_s += 60
    told.monitor.pods("eks", frozenset({POD, OTHER}), told.now_s, is_target=True)
    assert set(told.monitor._ready_since) == {("eks", OTHER)}


def test_pods_of_the_target_say_nothing_of_other_paths() -> None:
    """When fewer than half of the target's pods are left, only the paths to it start from zero."""
    back = order(CallPath("eks", Side.ORIGIN))
    told = Told(order(), back)
    told.tick((order(), good()), (back, good()), ticks=10)
    told.monitor.pods("eks", frozenset({"10.0.0.9:80"}), told.now_s, is_target=True)
    assert told.verdict()[1] == "Collecting"
    assert told.verdict(back.path) == (Verdict.PASS, "Met")


def test_a_report_counts_for_the_migrations_that_are_watched() -> None:
    """A report's samples, idle slots and refusals go to their migrations; those of one that is over go nowhere."""
    probes, gone = Probes(), replace(order(), key=Key("default", "gone"))
    idle = order(PODS)
    probes.order(KEY, Plan(Phase.PROGRESSING, {}, None, probes=(order(), idle)), 0.0)
    report = ProberReport(
        "legacy",
        0,
        Report(0),
        tuple((one, good()) for one in (order(), gone)),
        100.0,
        resting=(idle, gone),
        awaited=(gone, idle),
        throttled={(KEY, MIRROR): 2.5},
        refused=((idle, "", "no"), (gone, "", "no")),
    )
    probes.on_report(report)
    assert probes.fold(100.0) == {KEY: Look.NOW}
    found = probes.evidence(KEY, 100.0).paths
    assert found[MIRROR].throttled_per_s == 2.5
    assert found[PODS].refused == ("", "no")

    probes.forget(KEY)
    assert probes.evidence(KEY, 100.0).paths == {}


def test_who_waits_for_a_decision_anyway_asks_for_none_before_it() -> None:
    """What comes meanwhile is kept for that decision, and only what comes after it is asked about again."""
    probes, stream = Probes(), Stream()

    def told(now_s: float, part: Sample) -> Look:
        came = ((order(), part),)
        probes.on_report(ProberReport("legacy", 0, Report(0), came, now_s, stream))
        return probes.fold(now_s).get(KEY, Look.NONE)

    probes.wait(KEY)  # of whom nothing is known yet
    probes.order(KEY, Plan(Phase.PROGRESSING, {}, None, probes=(order(),)), 0.0)
    probes.evidence(KEY, 10.0)
    probes.wait(KEY)
    assert [told(10 + n / 10, bad()) for n in range(20)] == [Look.NONE] * 20
    assert probes.evidence(KEY, 12.0).paths[MIRROR].verdict is Verdict.FAIL
    assert any(told(12 + n / 10, good(4)) for n in range(60))


def test_a_refusal_ends_with_the_next_sample() -> None:
    """What a prober refused and then does is refused no more."""
    told = Told(order())
    told.monitor.refused(order(), "", "no")
    assert told.known().refused == ("", "no")
    told.tick((order(), good()))
    assert told.known().refused is None


def test_a_report_that_is_discarded_shows_no_path_idle() -> None:
    """What a prober does not stand behind proves no path fresh, not even by saying that nothing was due."""
    probes = Probes()
    probes.order(KEY, Plan(Phase.PROGRESSING, {}, None, probes=(order(),)), 0.0)
    probes.on_report(
        ProberReport("legacy", 0, Report(0, discarded="reference"), (), 100.0, resting=(order(),))
    )
    probes.fold(100.0)
    assert probes.evidence(KEY, 100.0).paths[MIRROR].reason == "Silent"


def _ready(cluster: str, pod: str) -> dict[str, Any]:
    """What changes in a cluster whose only ready pod is this one."""
    return {cluster: {"endpoints": Endpoints(pods={"http": (pod,)})}}


def test_the_migrations_pods_and_pins_are_noted_by_cluster() -> None:
    """The target of the attempt is whose pods earn PASS: where most of them went, and where a step settled, it is
    earned anew; the other cluster's pods, and any without an attempt, take nothing away."""

    def passes(share: int | None, cluster: str, *, settled: bool = False) -> bool:
        probes = Probes()
        probes.order(KEY, Plan(Phase.PROGRESSING, {}, None, probes=(order(),)), 0.0)
        before, after = (
            observed_at(share, **_ready(cluster, pod)).observed.clusters for pod in (POD, OTHER)
        )
        probes.notice(KEY, before, 0.0, settled=False)
        report = ProberReport("legacy", 0, Report(0), ((order(), good(2000)),), 0.1)
        probes.on_report(report)
        probes.fold(0.1)
        probes.notice(KEY, after, 0.1, settled=settled)
        return probes.evidence(KEY, 0.1).paths[MIRROR].verdict is Verdict.PASS

    assert not passes(250, "eks")
    assert passes(250, "legacy")
    assert passes(None, "eks")
    assert not passes(250, "legacy", settled=True)


def test_nothing_is_noted_of_what_is_not_probed() -> None:
    """Before anything is watched, and after all paths were withdrawn, clusters and steps change nothing."""
    probes, clusters = Probes(), observed_at(250).observed.clusters
    probes.notice(KEY, clusters, 0.0, settled=True)
    assert probes.fold(0.0) == {}
    for orders in ((order(),), ()):
        probes.order(KEY, Plan(Phase.PROGRESSING, {}, None, probes=orders), 0.0)
    probes.notice(KEY, clusters, 0.0, settled=True)
    assert probes.evidence(KEY, 0.0).paths == {}


BACK = CallPath("eks", Side.ORIGIN)


def back_on_pods() -> ProbeOrder:
    """The path back of the callers in eks, to own pods."""
    return replace(order(BACK), route="pods", mirror_of="", addresses=(POD, OTHER))


def test_a_fault_of_an_own_pod_on_the_path_back_is_suspected_at_once() -> None:
    """While it waits for its explanation it counts in ``suspected`` alone, which keeps callers from going there."""
    told = Told(back_on_pods())
    told.tick((back_on_pods(), good()), ticks=2)
    looks = [told.tick((back_on_pods(), bad(POD))) for _ in range(6)]
    found = told.monitor.evidence(told.now_s)[BACK]
    assert found.points == 0
    assert found.suspected is not None
    assert found.suspected.verdict is Verdict.FAIL
    assert looks.count(Look.NOW) == 2  # at the first fault, and at FAIL


def test_what_is_idle_is_not_silent_to_its_suspicion_either() -> None:
    """A path back of which nothing was due is as fresh with the faults that wait as without."""
    told = Told(back_on_pods())
    told.hearing.heartbeats["eks"].beat(told.now_s)
    told.monitor.rests(back_on_pods(), Stream(told.now_s), told.now_s)
    found = told.monitor.evidence(told.now_s)[BACK]
    assert found.suspected is not None
    assert (found.silent_s, found.suspected.silent_s) == (0.0, 0.0)


def test_a_path_back_that_becomes_no_better_is_looked_at_once() -> None:
    """Where both paths FAIL, the tick at which the bad share of the path back reaches 0.8 of the target's is worth a
    look at once, though neither verdict changes."""
    target, home = order(), order(CallPath("legacy", Side.ORIGIN))
    told = Told(target, home)

    def partly(bad_ones: int) -> Sample:
        return Sample(1, 0, 0.0, base=Counts(10, bad_ones), answers={"500": bad_ones})

    told.tick((target, bad()), (home, partly(5)), ticks=30)
    worse = []
    looks = []
    for _ in range(30):
        looks.append(told.tick((target, bad()), (home, partly(9))))
        found = told.monitor.evidence(told.now_s)
        worse.append(origin_is_worse(found[target.path], found[home.path]))
    assert told.verdict(home.path)[0] is told.verdict()[0] is Verdict.FAIL
    assert [look for look in looks if look] == [Look.NOW]
    assert looks.index(Look.NOW) == worse.index(True) > 0


TOLD = Known(failed=frozenset(), passed=frozenset({MIRROR}), pressing=(1,), other=(1,))


@pytest.mark.parametrize(
    ("known", "waited", "look"),
    [
        (TOLD, True, Look.NONE),
        (replace(TOLD, failed=frozenset({MIRROR})), False, Look.NOW),
        (replace(TOLD, pressing=(2,)), False, Look.NOW),
        (replace(TOLD, passed=frozenset({MIRROR, PODS})), False, Look.SOON),
        (replace(TOLD, passed=frozenset()), False, Look.NONE),
        (replace(TOLD, passed=frozenset()), True, Look.SOON),
        (replace(TOLD, other=(2,)), False, Look.NONE),
        (replace(TOLD, other=(2,)), True, Look.SOON),
    ],
)
def test_how_soon_what_is_known_now_is_looked_at(known: Known, look: Look, *, waited: bool) -> None:
    """FAIL and what presses are looked at now, a new PASS soon, and the rest once the wait is over."""
    assert TOLD.look(known, waited=waited) is look
