"""One path's monitor over time, and the rules on two paths."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import LatencySpec, PathEvidence, Reason, Side, Verdict
from controller.evidence import PathMonitor, Tick, cluster_fails, origin_is_worse
from controller.evidence.hearing import Hearing, Heartbeat, Stream
from prober.contract import Counts, Sample

P999 = Decimal("99.9")
SLOW = LatencySpec(limit_s=0.3, percent=Decimal(99))


def tick(
    sent: int = 1, bad: int = 0, *, slow: int | None = None, answer: str = "200", loops: int = 0
) -> Tick:
    """Base probes of the present generation; bad ones time out and are slow, the others get ``answer``."""
    counts = Counts(sent, bad, bad if slow is None else slow)
    answers = {answer: sent - bad, "timeout": bad}
    return Tick(base=counts, earning=counts, answers=answers, loops=loops)


LOOP = Tick(base=Counts(1, 1, 1), answers={"508": 1}, loops=1)


def monitor(
    latency: LatencySpec | None = None, *, shifted: bool = True, percent: Decimal = P999
) -> PathMonitor:
    """A new monitor, with real traffic on."""
    return PathMonitor(percent, latency, judges=2, shifted=shifted)


def feed(path: PathMonitor, ticks: list[Tick], start_s: float = 0.0) -> float:
    """Absorb one tick every 100 ms; give the time of the last."""
    now_s = start_s
    for index, one in enumerate(ticks):
        now_s = start_s + index / 10
        path.apply(one, now_s)
    return now_s


def said(path: PathMonitor, now_s: float) -> tuple[str, str]:
    """Verdict and reason now."""
    evidence = path.evidence(now_s)
    return evidence.verdict.value, evidence.reason


# --- verdict and reason -----------------------------------------------------------------------------


def test_never_heard_of_is_no_stream() -> None:
    """Before a word from the prober a path is UNKNOWN for want of a stream, with nothing known."""
    assert PathEvidence(
        Verdict.UNKNOWN, Reason.NO_STREAM, threshold=monitor().evidence(0).threshold, needed=764
    ) == monitor().evidence(1000.0)


def test_clean_way_collects_then_passes() -> None:
    """The 764th clean probe turns Collecting into PASS."""
    path = monitor()
    end_s = feed(path, [tick()] * 763)
    assert said(path, end_s) == ("UNKNOWN", "Collecting")
    assert (path.evidence(end_s).clean, path.evidence(end_s).needed) == (763, 764)

    end_s = feed(path, [tick()], end_s + 0.1)
    assert said(path, end_s) == ("PASS", "Met")


def test_outage_fails_on_the_fourth_slice() -> None:
    """A dead target at 10/s FAILs 0.4 s after its first bad sample, after however long a good time."""
    path = monitor()
    end_s = feed(path, [tick()] * 5000 + [tick(1, 1)] * 3)
    assert said(path, end_s) == ("UNKNOWN", "Recovering")

    end_s = feed(path, [tick(1, 1)], end_s + 0.1)
    evidence = path.evidence(end_s)
    assert (evidence.verdict, evidence.reason) == (Verdict.FAIL, "SuccessMissed")
    assert evidence.points >= evidence.threshold == pytest.approx(21.27, abs=0.005)
    assert evidence.objective == "success"


def test_one_bad_probe_takes_pass_away_and_says_recovering() -> None:
    """SPRT lost by a bad probe is Recovering until it is earned anew."""
    path = monitor()
    end_s = feed(path, [tick()] * 1000 + [tick(1, 1)])
    assert said(path, end_s) == ("UNKNOWN", "Recovering")
    end_s = feed(path, [tick()] * 255, end_s + 0.1)
    assert said(path, end_s) == ("PASS", "Met")


def test_slow_answers_miss_latency_only() -> None:
    """Answers that are good and slow FAIL the latency objective and not success."""
    path = monitor(SLOW)
    end_s = feed(path, [tick(1, 0, slow=1)] * 10)
    evidence = path.evidence(end_s)
    assert said(path, end_s) == ("FAIL", "LatencyMissed")
    assert evidence.objective == "latency"
    assert evidence.bad_share_3s == 1.0


def test_dead_way_misses_success_first() -> None:
    """Where both objectives FAIL the reason and the points are those of success."""
    path = monitor(SLOW)
    end_s = feed(path, [tick(1, 1)] * 40)
    assert said(path, end_s) == ("FAIL", "SuccessMissed")
    assert path.evidence(end_s).objective == "success"


def test_the_reason_and_the_points_are_of_one_objective() -> None:
    """Of two objectives that FAIL the first is told, though the second is further beyond its threshold."""
    path = monitor(LatencySpec(limit_s=0.3, percent=P999), percent=Decimal(50))
    evidence = path.evidence(feed(path, [tick(1, 1)] * 60))
    assert (evidence.reason, evidence.objective) == ("SuccessMissed", "success")


def test_two_objectives_share_alpha() -> None:
    """A second objective raises the threshold of the first by the log of two."""
    one, two = monitor().evidence(0.0), monitor(SLOW).evidence(0.0)
    assert two.threshold - one.threshold == pytest.approx(0.6931, abs=1e-4)


def test_pass_needs_every_objective() -> None:
    """A path that is good and slow never passes, and people see the count that is furthest off."""
    path = monitor(LatencySpec(limit_s=0.3, percent=P999))
    ticks = [tick(1, 0, slow=int(index % 300 == 299)) for index in range(1200)]
    evidence = path.evidence(feed(path, ticks))
    assert evidence.verdict is Verdict.UNKNOWN
    assert evidence.clean < evidence.needed


def test_silence_is_told_after_300_ms() -> None:
    """Without a sample for 0.3 s PASS becomes UNKNOWN Silent, and the next sample brings it back."""
    path = monitor()
    end_s = feed(path, [tick(8)] * 100)
    assert said(path, end_s + 0.25) == ("PASS", "Met")
    assert said(path, end_s + 0.35) == ("UNKNOWN", "Silent")
    assert path.evidence(end_s + 0.35).silent_s == pytest.approx(0.35)

    path.apply(Tick(), end_s + 0.4)
    assert said(path, end_s + 0.4) == ("PASS", "Met")


@pytest.mark.parametrize("ask_between", [True, False])
def test_silence_of_3_s_restarts_the_credit(ask_between: bool) -> None:
    """A silence of 3 s costs all SPRT, whether or not anybody asked during it."""
    path = monitor()
    end_s = feed(path, [tick(8)] * 100)
    if ask_between:
        assert said(path, end_s + 3.0) == ("UNKNOWN", "NoStream")
    path.apply(tick(), end_s + 3.1)
    assert said(path, end_s + 3.1) == ("UNKNOWN", "Collecting")
    assert path.evidence(end_s + 3.1).clean == 1


def test_heartbeats_without_slices_are_silence() -> None:
    """A prober that speaks but reports nothing of this path keeps the stream, not the freshness."""
    path = monitor()
    end_s = feed(path, [tick(8)] * 100)
    for beat in range(1, 60):
        path.on_report(end_s + beat / 10)
    assert said(path, end_s + 5.95) == ("UNKNOWN", "Silent")
    assert path.evidence(end_s + 5.95).clean == 0


def test_void_slices_blind_the_way() -> None:
    """Void samples are heard, are not fresh, add nothing, and after 3 s cost the SPRT."""
    path = monitor()
    end_s = feed(path, [tick(8)] * 100)
    before = path.evidence(end_s)
    for beat in range(1, 31):
        path.discard(end_s + beat / 10)
    after = path.evidence(end_s + 3.05)
    assert (after.verdict, after.reason) == (Verdict.UNKNOWN, "Void")
    assert (after.points, after.clean) == (before.points, 0)
    assert after.heard_s == pytest.approx(0.05)
    assert said(path, end_s + 3.35) == ("UNKNOWN", "Silent")


def test_fail_stays_when_the_way_falls_silent() -> None:
    """A target that failed and then vanished is not better for it."""
    path = monitor()
    end_s = feed(path, [tick(1, 1)] * 10)
    assert said(path, end_s + 3600) == ("FAIL", "SuccessMissed")


# --- SPRT and points -------------------------------------------------------------------------------


def test_burst_and_old_assignments_earn_no_credit() -> None:
    """Clean probes of a burst, or of an assignment of before, never count towards PASS."""
    path = monitor()
    end_s = feed(path, [Tick(base=Counts(5), burst=Counts(20), answers={"200": 25})] * 500)
    assert path.evidence(end_s).clean == 0
    assert said(path, end_s) == ("UNKNOWN", "Collecting")


def test_burst_counts_for_fail() -> None:
    """Bad probes of a burst alone FAIL a path."""
    path = monitor()
    end_s = feed(path, [Tick(burst=Counts(4, 4, 4))] * 4)
    assert said(path, end_s) == ("FAIL", "SuccessMissed")


def test_slow_burst_counts_for_fail() -> None:
    """Slow probes of a burst alone FAIL the latency objective."""
    path = monitor(SLOW)
    end_s = feed(path, [Tick(burst=Counts(4, 0, 4))] * 10)
    assert said(path, end_s) == ("FAIL", "LatencyMissed")


def test_base_and_burst_are_one_observation() -> None:
    """One clean base probe beside nine bad burst ones is one sample with nine of ten bad."""
    split, whole = monitor(), monitor()
    feed(split, [Tick(base=Counts(1), burst=Counts(9, 9, 9))] * 3)
    feed(whole, [Tick(base=Counts(10, 9, 9))] * 3)
    assert whole.evidence(0.2).points == split.evidence(0.2).points


@pytest.mark.parametrize("how", ["settle", "restart_sprt"])
def test_new_generation_starts_at_zero_credit(how: str) -> None:
    """A settled step or lost pods cost all SPRT and no points."""
    path = monitor()
    end_s = feed(path, [tick()] * 800 + [tick(1, 1)])
    points = path.evidence(end_s).points
    if how == "settle":
        path.settle(end_s)
    else:
        path.restart_sprt()
    evidence = path.evidence(end_s)
    assert (evidence.clean, evidence.points) == (0, points)
    assert points > 0


def test_points_restart_at_home_after_full_credit() -> None:
    """At home a FAIL ends when 764 clean probes came since the last bad one, and not one earlier."""
    path = monitor(shifted=False)
    end_s = feed(path, [tick(1, 1)] * 20 + [tick()] * 763)
    assert said(path, end_s) == ("FAIL", "SuccessMissed")

    end_s = feed(path, [tick()], end_s + 0.1)
    evidence = path.evidence(end_s)
    assert evidence.points == 0
    assert (evidence.verdict, evidence.reason) == (Verdict.UNKNOWN, "Recovering")
    end_s = feed(path, [tick()] * 764, end_s + 0.1)
    assert said(path, end_s) == ("PASS", "Met")
    assert path.evidence(end_s).success_share == 1.0


def test_a_bad_probe_at_home_begins_the_calm_anew() -> None:
    """Two calms of 700 clean probes are no full SPRT."""
    path = monitor(shifted=False)
    bad, calm = [tick(1, 1)] * 20, [tick()] * 700
    end_s = feed(path, bad + calm + [tick(1, 1)] + calm)
    assert said(path, end_s)[0] == "FAIL"


def test_the_calm_is_credit_and_restarts_with_it() -> None:
    """At home a calm that was interrupted by lost pods has to be earned again, from the beginning."""
    path = monitor(shifted=False)
    end_s = feed(path, [tick(1, 1)] * 20 + [tick()] * 700)
    path.restart_sprt()
    end_s = feed(path, [tick()] * 700, end_s + 0.1)
    assert said(path, end_s) == ("FAIL", "SuccessMissed")
    end_s = feed(path, [tick()] * 64, end_s + 0.1)
    assert said(path, end_s)[0] != "FAIL"


def test_each_objective_is_forgiven_by_its_own_calm() -> None:
    """A latency objective that is forgiven leaves the points and the share of success as they are."""
    path = monitor(SLOW, shifted=False)
    end_s = feed(path, [tick(1, 1)] * 20 + [tick()] * 180)
    assert said(path, end_s) == ("FAIL", "SuccessMissed")
    assert path.evidence(end_s).success_share == pytest.approx(0.9)


def test_points_never_restart_above_home() -> None:
    """Above the baseline a FAIL outlasts any calm that is shorter than the points need to come down."""
    path = monitor()
    end_s = feed(path, [tick(1, 1)] * 20 + [tick()] * 2000)
    assert said(path, end_s) == ("FAIL", "SuccessMissed")

    path.at_baseline(True)
    assert said(path, end_s) == ("PASS", "Met")


# --- loops ----------------------------------------------------------------------------------------------


def test_one_loop_above_home_is_fail_and_stays() -> None:
    """One 508 above the baseline is FAIL at once, without points, for as long as the callers are there."""
    path = monitor()
    end_s = feed(path, [tick()] * 800 + [LOOP] + [tick()] * 2000)
    evidence = path.evidence(end_s)
    assert (evidence.verdict, evidence.reason) == (Verdict.FAIL, "GatewayLoop")
    assert evidence.points < evidence.threshold
    assert evidence.loop_s == pytest.approx(200.0)
    path.at_baseline(False)
    assert said(path, end_s) == ("FAIL", "GatewayLoop")


def test_loop_at_home_is_only_remembered() -> None:
    """A 508 at the baseline is a bad probe and a memory; leaving home later does not make it FAIL."""
    path = monitor(shifted=False)
    path.apply(LOOP, 0.0)
    assert said(path, 0.2) == ("UNKNOWN", "Recovering")
    assert path.evidence(0.2).loop_s == pytest.approx(0.2)
    path.at_baseline(False)
    assert said(path, 0.2) == ("UNKNOWN", "Recovering")


def test_home_forgets_the_latch() -> None:
    """A loop that brought the callers home is no FAIL once they are there."""
    path = monitor()
    path.apply(LOOP, 0.0)
    path.at_baseline(True)
    assert said(path, 0.1) == ("UNKNOWN", "Recovering")


def test_a_discarded_loop_is_no_loop() -> None:
    """A 508 while a pin is missing, which was taken out of the loops, is no FAIL and is not remembered."""
    path = monitor()
    feed(path, [tick()] * 20)
    path.apply(Tick(answers={"508": 1}), 2.0)
    evidence = path.evidence(2.0)
    assert evidence.verdict is Verdict.UNKNOWN
    assert evidence.loop_s == inf


# --- the other fields --------------------------------------------------------------------------------------


def test_bad_share_and_rate_are_of_the_last_3_s() -> None:
    """Both take in base and burst, and let go of what is older than 3 s."""
    path = monitor()
    for second in range(4):
        path.apply(tick(10, 10), float(second))
    path.apply(Tick(base=Counts(5), burst=Counts(15)), 5.0)
    evidence = path.evidence(5.5)  # left: the bad ten of second 3 and the good twenty of second 5
    assert evidence.bad_share_3s == pytest.approx(10 / 30)
    assert evidence.rate_per_s == pytest.approx(10.0)
    assert path.evidence(6.0).bad_share_3s == 0
    assert path.evidence(9.0).bad_share_3s is None
    assert path.evidence(9.0).rate_per_s == 0


def test_success_share_is_of_the_base_schedule() -> None:
    """The share of a lifetime leaves bursts out: they oversample the aftermath."""
    path = monitor()
    assert path.evidence(0.0).success_share is None
    feed(path, [tick()] * 99 + [Tick(base=Counts(1, 1, 1), burst=Counts(4, 4, 4))])
    assert path.evidence(10.0).success_share == 0.99


def test_all_bad_needs_four_probes_in_one_second() -> None:
    """Four probes of the last second, all bad, are needed; three are not enough."""
    path = monitor()
    assert not path.evidence(feed(path, [tick(1, 1)] * 3)).all_bad_1s
    assert path.evidence(feed(path, [tick(1, 1)], 0.3)).all_bad_1s
    assert not path.evidence(1.0).all_bad_1s  # the first of the four is a second old


def test_one_good_probe_is_not_all_bad() -> None:
    """A single good probe in the last second clears the path of being dead; one before it does not."""
    path = monitor()
    end_s = feed(path, [tick()] + [tick(1, 1)] * 9)
    assert not path.evidence(end_s).all_bad_1s
    end_s = feed(path, [tick(1, 1)], end_s + 0.15)
    assert path.evidence(end_s).all_bad_1s


def test_all_bad_needs_a_clean_reference() -> None:
    """A prober that doubts itself, even in an empty tick, does not call a path dead."""
    path = monitor()
    end_s = feed(path, [tick(1, 1)] * 5 + [Tick(control_clean=False)] + [tick(1, 1)] * 5)
    assert not path.evidence(end_s).all_bad_1s
    end_s = feed(path, [tick(1, 1)] * 10, end_s + 0.1)
    assert path.evidence(end_s).all_bad_1s


@pytest.mark.parametrize(
    ("answer", "unanswered"), [("timeout", True), ("503", True), ("500", False), ("200", False)]
)
def test_unanswered_is_what_no_application_gave(answer: str, unanswered: bool) -> None:
    """A second of nothing but proxies' own answers is unanswered; one answer of an application is not."""
    path = monitor()
    one = Tick(base=Counts(1, 1), answers={"timeout": 1})
    other = Tick(base=Counts(1, 1), answers={answer: 1})
    end_s = feed(path, [one] * 9 + [other])
    assert unanswered == path.evidence(end_s).unanswered_1s


def test_unanswered_takes_one_probe_and_no_reference() -> None:
    """One probe is enough to say that nobody answers, by a prober that doubts itself too; none is not."""
    path = monitor()
    unanswered = Tick(base=Counts(1, 1), answers={"timeout": 1}, control_clean=False)
    end_s = feed(path, [unanswered])
    assert path.evidence(end_s).unanswered_1s
    assert not path.evidence(end_s).all_bad_1s
    assert not path.evidence(end_s + 1.0).unanswered_1s


@pytest.mark.parametrize(
    ("answers", "usual"),
    [
        ({"404": 2}, ""),
        ({"404": 3}, "404"),
        ({"404": 18, "200": 2}, "404"),
        ({"404": 17, "200": 3}, ""),
        ({"timeout": 30}, "timeout"),
    ],
)
def test_usual_answer(answers: dict[str, int], usual: str) -> None:
    """What nine of ten answers were is usual, of three answers at least."""
    path = monitor()
    path.apply(Tick(base=Counts(sum(answers.values())), answers=answers), 0.0)
    assert usual == path.evidence(0.5).usual_answer
    assert path.evidence(3.0).usual_answer == ""


# --- what may be decided otherwise ------------------------------------------------------------------


def test_one_word_is_heard_by_every_path_of_a_cluster() -> None:
    """Paths that share a heartbeat were all heard when one was; each is silent for itself."""
    heartbeat = Heartbeat()
    one, other = (PathMonitor(P999, None, judges=2, heartbeat=heartbeat) for _ in range(2))
    one.apply(tick(), 10.0)
    assert (one.evidence(11.0).heard_s, other.evidence(11.0).heard_s) == (1.0, 1.0)
    assert (one.evidence(11.0).silent_s, other.evidence(11.0).silent_s) == (1.0, inf)


def test_who_was_not_heard_for_a_second_is_back_since_then() -> None:
    """The first word ever is no return, nor is one after less than a second."""
    heartbeat = Heartbeat()
    for now_s in (10.0, 10.9):
        heartbeat.beat(now_s)
        assert heartbeat == Heartbeat(heard_s=now_s, back_s=-inf)
    heartbeat.beat(11.9)
    heartbeat.beat(12.0)
    assert heartbeat == Heartbeat(heard_s=12.0, back_s=11.9)


def test_a_path_is_due_at_each_age_of_its_last_word() -> None:
    """A path that falls silent is due after 0.3, 1, 2.5, 3 and 30 s, and then never; so is one never heard of."""
    path, now_s, due = monitor(), 10.0, []
    assert path.due_s(now_s) == inf
    path.apply(tick(), now_s)
    while now_s < inf:
        now_s = path.due_s(now_s)
        due.append(now_s)
    assert due == [10.3, 11.0, 12.5, 13.0, 40.0, inf]


def test_a_path_at_rest_is_due_when_its_stream_is() -> None:
    """Of what shares the age of a stream nothing is due by itself; once a sample is owed its own silence is. Another
    stream's sample is another matter."""
    path, stream = monitor(), Stream(10.0)
    path.rests(stream, 10.0)
    path.awaits(Stream(10.0))
    assert path.due_s(10.0) == inf
    path.awaits(stream)
    assert path.due_s(10.1) == pytest.approx(10.3)
    assert path.evidence(10.2).silent_s == pytest.approx(0.2)


def test_a_path_that_was_bad_is_due_when_that_passes() -> None:
    """What was bad leaves the last second, and then the window: nothing else need come for that to matter."""
    path, stream = monitor(), Stream(10.0)
    path.rests(stream, 10.0)
    path.apply(tick(1, 1), 10.0)
    path.apply(tick(1, 1), 10.4)
    assert path.due_s(10.4) == pytest.approx(11.0)
    assert path.due_s(11.1) == pytest.approx(11.4)
    assert path.due_s(11.5) == pytest.approx(13.0)
    path.verdict(13.5)
    assert path.due_s(13.5) == inf


def test_what_all_paths_share_turns_at_each_age() -> None:
    """Heartbeats and streams that fall silent, and a cluster that is back, turn at each time that matters, and at their
    next word; as long as they speak they do not."""
    hearing, stream = Hearing(), Stream()
    beats = hearing.heartbeats["legacy"]

    def ages(until_s: float, *, speaking: bool) -> list[float]:
        found = []
        while hearing_at[0] < until_s:
            hearing_at[0] = now_s = round(hearing_at[0] + 0.1, 1)
            if speaking:
                beats.beat(now_s)
                hearing.said(stream, now_s)
            if hearing.turned(now_s):
                found.append(now_s)
        return found

    hearing_at = [10.0]
    assert ages(11.0, speaking=True) == [10.1]
    assert ages(14.1, speaking=False) == [11.3, 12.0, 13.5, 14.0]
    assert ages(20.0, speaking=True) == [14.2, 14.5, 15.2, 16.7, 17.2]
    assert ages(60.0, speaking=False)[-1] == 50.0
    assert not hearing._streams


def test_the_outlook_of_a_clean_path_does_not_count_along() -> None:
    """Good probes change what is collected and not what may be decided; PASS and silence do."""
    path = monitor()
    outlooks = []
    for now_s in (0.0, 0.1, 0.2):
        path.apply(tick(), now_s)
        outlooks.append(path.outlook(now_s, Side.TARGET))
    assert outlooks == [outlooks[0]] * 3
    silent = path.outlook(0.55, Side.TARGET)
    assert silent != outlooks[0]
    path.apply(tick(1000), 0.6)
    assert path.outlook(0.6, Side.TARGET).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("side", "presses"),
    [
        (Side.TARGET, [True, True, False, True]),
        (Side.ORIGIN, [True, True, True, True]),
        (Side.APEX, [True, True, False, True]),
    ],
)
def test_the_outlook_presses_with_what_a_rollback_turns_on(side: Side, presses: list[bool]) -> None:
    """That a target is unanswered, that a path back is all bad, and, where nobody is seen ready behind it, that the
    last probe was good or bad press at once; the rest does not."""
    path = monitor()
    pressing = [path.outlook(0.0, side, vacant=True).pressing]
    unanswered = Tick(base=Counts(1, 1), answers={"timeout": 1}, bad_age_s=0.1)
    for now_s, one in (
        (0.0, replace(tick(), good_age_s=0.1)),
        (1.5, unanswered),
        (1.6, Tick(base=Counts(3, 3), answers={"timeout": 3}, bad_age_s=0.1)),
        (1.7, replace(tick(), good_age_s=0.1)),
    ):
        path.apply(one, now_s)
        pressing.append(path.outlook(now_s, side, vacant=True).pressing)
    assert [before != after for before, after in pairwise(pressing)] == presses


@pytest.mark.parametrize("muted", [False, True])
def test_an_unanswered_target_presses_only_while_other_probers_cannot_tell(muted: bool) -> None:
    """Whether anybody answers tells a dead link from a dead target; while every prober is heard no decision asks."""
    path = monitor()
    path.apply(tick(), 0.0)
    path.on_report(0.8)
    before = path.outlook(0.8, Side.TARGET, muted=muted).pressing
    path.apply(Tick(base=Counts(1, 1), answers={"timeout": 1}, bad_age_s=0.1), 1.5)
    assert (path.outlook(1.5, Side.TARGET, muted=muted).pressing != before) is muted


# --- laws ------------------------------------------------------------------------------------------------


@st.composite
def ticks(draw: st.DrawFn) -> Tick:
    """Any tick that a healthy caller can build, loops left out."""

    def counts(most: int) -> Counts:
        sent = draw(st.integers(0, most))
        return Counts(sent, draw(st.integers(0, sent)), draw(st.integers(0, sent)))

    base, burst = counts(10), counts(20)
    credit = base if draw(st.booleans()) else Counts()
    return Tick(base, burst, credit, {"200": base.sent}, control_clean=draw(st.booleans()))


events = st.lists(
    st.one_of(ticks(), st.sampled_from(["void", "heard", "empty", "settle", "pause"])), max_size=60
)


@given(events)
def test_unknown_never_raises_points(story: list[Tick | str]) -> None:
    """Only probes raise points; void, empty and missing samples, silence and settling never do."""
    path, now_s = monitor(SLOW), 0.0
    for event in story:
        before = path.evidence(now_s).points
        now_s += 5.0 if event == "pause" else 0.1
        if isinstance(event, Tick):
            path.apply(event, now_s)
            continue
        if event == "void":
            path.discard(now_s)
        elif event == "heard":
            path.on_report(now_s)
        elif event == "settle":
            path.settle(now_s)
        elif event == "empty":
            path.apply(Tick(), now_s)
        assert before == path.evidence(now_s).points


@given(events)
def test_pass_is_fresh_and_full(story: list[Tick | str]) -> None:
    """Whatever happened, PASS means full SPRT, fresh samples and points below FAIL."""
    path, now_s = monitor(percent=Decimal(50)), 0.0
    for event in [*story, *[tick(10)] * 12, *story]:
        now_s += 5.0 if event == "pause" else 0.1
        if isinstance(event, Tick):
            path.apply(event, now_s)
        elif event == "void":
            path.discard(now_s)
        elif event == "settle":
            path.settle(now_s)
        evidence = path.evidence(now_s)
        if evidence.verdict is Verdict.PASS:
            assert evidence.clean == evidence.needed
            assert evidence.silent_s < 0.3
            assert evidence.points < evidence.threshold
        if evidence.verdict is Verdict.FAIL:
            assert evidence.points >= evidence.threshold
        assert evidence.points >= 0
        assert 0 <= evidence.clean <= evidence.needed


@given(st.lists(ticks(), max_size=40), st.data())
def test_order_of_empty_ticks_is_irrelevant(story: list[Tick], data: st.DataObject) -> None:
    """Empty ticks between others change neither points nor SPRT, wherever they stand."""
    plain, padded = monitor(SLOW), monitor(SLOW)
    for one in story:
        plain.apply(one, 1.0)
        for _ in range(data.draw(st.integers(0, 2))):
            padded.apply(Tick(), 1.0)
        padded.apply(one, 1.0)
    assert plain.evidence(1.0) == padded.evidence(1.0)


@given(st.lists(ticks(), max_size=40))
def test_bursts_never_earn_credit(story: list[Tick]) -> None:
    """The SPRT with bursts is the SPRT without them."""
    with_bursts, without = monitor(SLOW), monitor(SLOW)
    for index, one in enumerate(story):
        with_bursts.apply(one, index / 10)
        without.apply(replace(one, burst=Counts()), index / 10)
    end_s = len(story) / 10
    a, b = with_bursts.evidence(end_s), without.evidence(end_s)
    assert (a.clean, a.needed) == (b.clean, b.needed)


# --- two paths -----------------------------------------------------------------------------------------------


def way_said(
    points: float = 0.0, *, share: float | None = None, silent_s: float = 0.1
) -> PathEvidence:
    """Evidence of a path with these points of 20, FAIL when they are there."""
    failed = points >= 20
    return PathEvidence(
        Verdict.FAIL if failed else Verdict.UNKNOWN,
        Reason.SUCCESS_MISSED if failed else Reason.RECOVERING,
        points=points,
        threshold=20.0,
        bad_share_3s=share,
        silent_s=silent_s,
    )


@pytest.mark.parametrize(
    ("baseline", "worse"),
    [
        (way_said(30, share=0.8), True),
        (way_said(30, share=1.0), True),
        (way_said(30, share=0.79), False),
        (way_said(19, share=1.0), False),
        (way_said(30, share=1.0, silent_s=0.3), False),
        (way_said(30, share=None), False),
        (PathEvidence(Verdict.UNKNOWN, Reason.NO_STREAM), False),
        (replace(way_said(0, share=1.0), verdict=Verdict.FAIL, reason=Reason.GATEWAY_LOOP), False),
        (PathEvidence(Verdict.FAIL, Reason.GATEWAY_LOOP, bad_share_3s=1.0, silent_s=0.0), False),
    ],
)
def test_home_is_worse(baseline: PathEvidence, worse: bool) -> None:
    """Home is worse only with FAIL by points, fresh samples, and 0.8 of the target's bad share."""
    to_target = way_said(30, share=1.0)
    assert worse == origin_is_worse(to_target, baseline)
    assert cluster_fails(to_target, baseline) == (not worse)


def test_unknown_target_share_keeps_the_way_home_open() -> None:
    """Where the target's share of the last 3 s is not known, home is not held to be worse."""
    assert cluster_fails(way_said(30, share=None), way_said(30, share=1.0))


@pytest.mark.parametrize(
    "to_target",
    [
        way_said(19, share=1.0),
        PathEvidence(Verdict.UNKNOWN, Reason.NO_STREAM),
        replace(way_said(0), verdict=Verdict.FAIL, reason=Reason.GATEWAY_LOOP),
    ],
)
def test_a_cluster_fails_by_points_only(to_target: PathEvidence) -> None:
    """A path not known, not over its threshold, or looping is no FAIL of its cluster by this rule."""
    assert not cluster_fails(to_target, way_said(0, share=0.0))


def test_when_the_last_good_and_bad_probe_was_sent() -> None:
    """A probe was sent at the earliest when its sample began, before the way, the tick and what it waited for."""
    path, found = monitor(), Tick()
    assert (path.evidence(0.0).good_sent_s, path.evidence(0.0).bad_sent_s) == (inf, inf)
    found.add(Sample(1, 0, 0.3, base=Counts(2, 1)), earns=True, control_clean=True, since_s=1.0)
    found.add(Sample(1, 1, 0.0, base=Counts(1, 0)), earns=True, control_clean=True)
    path.apply(found, 10.0)
    assert path.evidence(12.0).good_sent_s == pytest.approx(2.2)
    assert path.evidence(12.0).bad_sent_s == pytest.approx(3.5)
