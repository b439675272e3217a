"""What becomes of the texts of a prober that lies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.heard import MAX_WORDS, OTHER, heard, is_cap
from prober.contract import PROTOCOL_UNSERVED, Counts, Hello, Refused, Report, Sample

EVIL = "a\x1b[2J\u202eb\nc" * 200


def sample(answers: dict[str, int]) -> Sample:
    """A sample with these answers."""
    return Sample(1, 0, 0.0, base=Counts(5, 1), answers=answers)


def test_what_an_honest_prober_says_is_let_be() -> None:
    """Statuses, names of gRPC, kinds of error and expectations pass as they are."""
    honest = {"200": 3, "DEADLINE_EXCEEDED": 1, "wrong-cluster": 2, "timeout": 9, "open": 1}
    report = Report(0, (sample(honest), sample({})))
    assert heard(report) == report


@given(st.dictionaries(st.text(max_size=40) | st.from_regex("[a-z]{3}"), st.integers(0, 99)))
def test_answers_are_few_words_and_their_number_is_kept(answers: dict[str, int]) -> None:
    """Whatever a prober counts by, there are 32 short words at most, and as many answers as before."""
    found = heard(Report(0, (sample(answers),)))
    assert isinstance(found, Report)
    (kept,) = (one.answers for one in found.samples)
    assert len(kept) <= MAX_WORDS
    assert all(word.isascii() and word.isprintable() and len(word) <= 32 for word in kept)
    assert sum(kept.values()) == sum(answers.values())


def test_the_rest_is_other() -> None:
    """The most frequent words stay, what is no word, and what is rare, is ``other``."""
    answers = {f"w{n}": n for n in range(1, 41)} | {"\u202e": 7, "x" * 33: 7, "": 7, OTHER: 100}
    found = heard(Report(0, (sample(answers),)))
    assert isinstance(found, Report)
    kept = found.samples[0].answers
    assert kept == {f"w{n}": n for n in range(11, 41)} | {OTHER: 100 + 21 + sum(range(1, 11))}


def test_texts_are_cut_and_cleaned() -> None:
    """A prober's name, its refusal and its distrust of itself are short, and move no cursor."""
    refused, hello, report = (
        heard(Refused(EVIL, reason=EVIL)),
        heard(Hello(1, "eks", EVIL, 1.0)),
        heard(Report(0, discarded=EVIL)),
    )
    assert isinstance(refused, Refused)
    assert isinstance(hello, Hello)
    assert isinstance(report, Report)
    for text, most in ((refused.message, 300), (hello.prober, 64), (report.discarded, 64)):
        assert text.startswith(r"a\x1b[2J\u202eb\nc")
        assert text.isprintable()
        assert len(text) == most
    assert refused.reason == ""


def test_the_one_reason_of_a_refusal_passes() -> None:
    """What can be done something about on the prober's side keeps its reason."""
    refused = Refused("install it", id=1, reason=PROTOCOL_UNSERVED)
    assert heard(refused) == refused


@pytest.mark.parametrize(("cap", "good"), [(500.0, True), (0.0, False), (-1.0, False)])
def test_a_rate_that_cannot_be_is_none(cap: float, *, good: bool) -> None:
    """Nothing, less than that, and more than any machine sends are no rates."""
    assert is_cap(Hello(1, "eks", "p", cap)) is good
    assert not is_cap(Hello(1, "eks", "p", 1e308))
