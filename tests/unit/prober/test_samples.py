from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prober.contract import SAMPLE_S, Counts, Sample
from prober.outcome import Expect, Outcome
from prober.samples import SampleLog, slot_of

START = 1_780_000_000.0
EXPECT = Expect(((200, 399), (404, 404)))


def sure(start: float, end: float) -> str:
    """No doubt at all."""
    del start, end
    return ""


def answered(status: int, due: float = START, latency_s: float = 0.01) -> Outcome:
    """A probe that was answered."""
    word, bad = EXPECT.judge(status, lambda _: (), b"")
    return Outcome(due, due, due + latency_s, word, bad, answered_s=due + latency_s)


def failed(error: str, due: float = START) -> Outcome:
    """A probe that was not."""
    return Outcome(due, due, due + 0.001, error, bad=True)


@pytest.mark.parametrize(
    ("outcome", "bad"),
    [
        (answered(200), False),
        (answered(301), False),
        (answered(399), False),
        (answered(400), True),
        (answered(404), False),
        (answered(199), True),
        (answered(500), True),
        (answered(508), True),
        (failed("timeout"), True),
        (failed("refused"), True),
    ],
)
def test_bad_is_no_answer_or_an_unexpected_one(outcome: Outcome, bad: bool) -> None:
    """A probe is bad without an answer, or with a status that is not expected."""
    assert outcome.bad is bad


@pytest.mark.parametrize(
    ("outcome", "limit_s", "slow"),
    [
        (answered(200, latency_s=0.3), None, False),
        (answered(200, latency_s=0.2), 0.3, False),
        (answered(200, latency_s=0.4), 0.3, True),
        (answered(500, latency_s=0.2), 0.3, False),
        (failed("refused"), None, False),
        (failed("refused"), 0.3, True),
    ],
)
def test_slow_is_not_answered_within_the_limit(
    outcome: Outcome, limit_s: float | None, slow: bool
) -> None:
    """No answer is slow, however fast it failed; a quick wrong answer is not."""
    assert outcome.is_slow(limit_s) is slow


def test_latency_counts_from_the_due_time() -> None:
    """A probe that started late is slow by its own delay too."""
    late = Outcome(START, START + 0.04, START + 0.06, "200", answered_s=START + 0.06)
    assert late.is_slow(0.05)
    assert not late.is_slow(0.07)


def one_slice(samples: SampleLog, now: float) -> Sample:
    """The only sample there is to tell."""
    (told,) = samples.take(now, (), sure)
    return told


def test_a_slice_is_told_once_when_its_last_probe_has_ended() -> None:
    """A sample waits for its time, then for its last probe, and is told once."""
    samples = SampleLog(7, START)
    quick = samples.plan(START + 0.01)
    hanging = samples.plan(START + 0.09)
    quick.end(answered(200), burst=False, slow=False, address="")
    assert list(samples.take(START + 0.05, (), sure)) == []
    assert list(samples.take(START + 0.11, (), sure)) == []
    hanging.end(failed("timeout", START + 0.09), burst=False, slow=False, address="")
    told = one_slice(samples, START + 1.1)
    assert told == Sample(
        assignment=7,
        number=0,
        age_s=1.0,
        base=Counts(2, 1, 0),
        answers={"200": 1, "timeout": 1},
    )
    assert list(samples.take(START + 9, (), sure)) == []
    assert samples.is_settled


def test_base_and_burst_are_apart() -> None:
    """Burst probes are counted by themselves: they count for FAIL only."""
    samples = SampleLog(1, START)
    samples.plan(START).end(answered(200), burst=False, slow=True, address="")
    samples.plan(START).end(answered(500), burst=True, slow=False, address="")
    told = one_slice(samples, START + 0.11)
    assert (told.base, told.burst) == (Counts(1, 0, 1), Counts(1, 1, 0))


def test_loops_are_counted_as_answers_too() -> None:
    """An answer 508 is counted as a loop and as what it is."""
    samples = SampleLog(1, START)
    samples.plan(START).end(answered(508), burst=False, slow=False, address="")
    told = one_slice(samples, START + 0.11)
    assert (told.loops, told.answers, told.base.bad) == (1, {"508": 1}, 1)


def test_faults_name_the_pod_that_was_bad_or_slow() -> None:
    """Each pod's faults are told apart, base and burst; a pod without any is not told."""
    samples = SampleLog(1, START)
    for address, burst, bad, slow in [
        ("a", False, True, True),
        ("a", True, True, False),
        ("b", False, False, True),
        ("c", False, False, False),
    ]:
        samples.plan(START).end(
            answered(500 if bad else 200), burst=burst, slow=slow, address=address
        )
    assert one_slice(samples, START + 0.11).faults == {
        "a": (Counts(1, 1, 1), Counts(1, 1, 0)),
        "b": (Counts(1, 0, 1), Counts()),
    }


@pytest.mark.parametrize(
    ("asked", "unsent", "discarded"),
    [
        (1, ("unsent",), "unsent"),
        (1, ("late", "unsent"), "unsent"),
        (0, ("late",), "late"),
        (1, ("late",), ""),
        (1, ("late", "late"), ""),
    ],
)
def test_a_late_probe_takes_nothing_from_those_that_were_sent(
    asked: int, unsent: tuple[str, ...], discarded: str
) -> None:
    """What could not be sent discards its sample; what was late is only not asked, unless nothing else was."""
    samples = SampleLog(1, START)
    for _ in range(asked):
        samples.plan(START).end(answered(200), burst=False, slow=False, address="")
    for reason in unsent:
        samples.plan(START).end_unsent(Outcome(START, START, START, unsent=reason))
    told = one_slice(samples, START + 0.11)
    assert (told.discarded, told.base) == (discarded, Counts(asked))


def test_a_slice_waits_for_the_word_of_its_reference() -> None:
    """A sample whose control probe probe is under way is not told yet."""
    samples = SampleLog(1, START)
    samples.plan(START).end(answered(200), burst=False, slow=False, address="")
    assert list(samples.take(START + 0.11, {slot_of(START)}, sure)) == []
    assert one_slice(samples, START + 0.2).age_s == 0.1


def test_doubt_is_asked_until_the_last_probe_ended() -> None:
    """A sample is doubted for its own time and for as long as its probes were under way."""
    asked = []

    def why_discarded(start: float, end: float) -> str:
        asked.append((start - START, end - START))
        return "lag"

    samples = SampleLog(1, START)
    samples.plan(START).end(answered(200), burst=False, slow=False, address="")
    (told,) = samples.take(START + 0.11, (), why_discarded)
    samples.plan(START + 0.15).end(
        failed("timeout", START + 1.15), burst=False, slow=False, address=""
    )
    list(samples.take(START + 2, (), why_discarded))
    assert told.discarded == "lag"
    assert asked == [
        pytest.approx((0.0, 0.1), abs=1e-5),
        pytest.approx((0.1, 1.151), abs=1e-5),
    ]


@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1), st.booleans()), max_size=60),
    st.lists(st.floats(0, 5), max_size=30),
)
def test_every_probe_is_told_in_exactly_one_slice(
    probes: list[tuple[float, float, bool]], looks: list[float]
) -> None:
    """However probes end and whenever one looks, each counts once, in the sample of its due time."""
    samples = SampleLog(1, START)
    events = [(START + due, 0, index) for index, (due, _, _) in enumerate(probes)]
    events += [(START + due + took, 1, index) for index, (due, took, _) in enumerate(probes)]
    events += [(START + look, 2, 0) for look in (*looks, 6.0)]
    tallies = {}
    told: list[Sample] = []
    for moment, kind, index in sorted(events):
        if kind == 0:
            tallies[index] = samples.plan(moment)
        elif kind == 1:
            due, _, burst = probes[index]
            tallies[index].end(answered(200, START + due), burst=burst, slow=False, address="")
        else:
            told += samples.take(moment, (), sure)
    numbers = [one.number for one in told]
    assert len(numbers) == len(set(numbers))
    counted = {one.number: one.base.sent + one.burst.sent for one in told}
    expected: dict[int, int] = {}
    for due, _, _ in probes:
        number = slot_of(START + due) - slot_of(START)
        expected[number] = expected.get(number, 0) + 1
    assert counted == expected
    assert samples.is_settled


def test_a_slice_is_a_tenth_of_a_second() -> None:
    """Slots are the stretches of 100 ms of the clock."""
    assert SAMPLE_S == 0.1
    assert slot_of(START + 0.25) - slot_of(START + 0.05) == 2
