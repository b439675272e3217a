from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kube.api import Backoff, ServerClock
from controller.kube.api.framing import Lines, LineTooLongError


@given(
    lines=st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=12),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_lines_are_the_same_however_chunks_fall(lines: list[bytes], cuts: list[int]) -> None:
    """The lines do not depend on where the stream was cut; empty ones are dropped."""
    whole = b"".join(line + b"\n" for line in lines)
    edges = [0, *sorted(min(c, len(whole)) for c in cuts), len(whole)]
    reader = Lines(limit=1000)
    found = [line for start, end in pairwise(edges) for line in reader.feed(whole[start:end])]
    assert found == [line for line in lines if line]


def test_line_is_bounded() -> None:
    """A line above the limit is refused before it is whole, and one at the limit is not."""
    assert Lines(limit=5).feed(b"12345\n") == [b"12345"]
    reader = Lines(limit=5)
    reader.feed(b"123")
    with pytest.raises(LineTooLongError):
        reader.feed(b"456")


START = datetime(2024, 1, 1, tzinfo=UTC)


def date(moment: datetime) -> str:
    """Return the moment as a Date header, which has no fractions."""
    return format_datetime(moment.replace(microsecond=0), usegmt=True)


@given(answers=st.lists(st.tuples(st.floats(0.01, 50), st.floats(0, 0.5)), min_size=1, max_size=30))
def test_server_clock_is_never_ahead_and_at_most_a_second_late(
    answers: list[tuple[float, float]],
) -> None:
    """From any answers the time is never ahead of the server's, and late by less than the cut and the path."""
    clock = ServerClock()
    now_s = 500.0
    for pause_s, way_s in answers:
        sent_s = now_s + pause_s
        now_s = sent_s + way_s
        clock.on_report(date(START + timedelta(seconds=sent_s + way_s / 2)), sent_s, now_s)
        told = clock.now(now_s)
        assert told is not None
        late_s = (START + timedelta(seconds=now_s) - told).total_seconds()
        assert -1e-3 <= late_s <= 1.0 + 0.5 + 1e-3


@pytest.mark.parametrize("set_s", [-3600, -4, 4, 3600])
def test_server_clock_follows_a_clock_that_was_set(set_s: float) -> None:
    """A server whose clock was set is believed with its next answer."""
    clock = ServerClock()
    clock.on_report(date(START), 100.0, 100.0)
    clock.on_report(date(START + timedelta(seconds=set_s + 10)), 110.0, 110.0)
    assert clock.now(110.0) == START + timedelta(seconds=set_s + 10)


def test_slow_answer_does_not_set_the_clock_back() -> None:
    """An answer that took nine seconds says less, not something else."""
    clock = ServerClock()
    clock.on_report(date(START), 100.0, 100.0)
    clock.on_report(date(START + timedelta(seconds=1)), 101.0, 110.0)
    assert clock.now(110.0) == START + timedelta(seconds=10)


@pytest.mark.parametrize("nonsense", [None, "", "yesterday", "Mon, 99 Jan 2024 00:00:00 GMT"])
def test_server_clock_ignores_nonsense(nonsense: str | None) -> None:
    """A Date that is none leaves the time unknown."""
    clock = ServerClock()
    clock.on_report(nonsense, 0.0, 0.0)
    assert clock.now(1.0) is None


@given(draws=st.lists(st.floats(0, 1), min_size=1, max_size=2000), asked_s=st.floats(0, 100))
def test_backoff_is_bounded(draws: list[float], asked_s: float) -> None:
    """No pause is above the cap, or the asked pause and the cap; none is below the asked one."""
    chances = iter(draws)
    backoff = Backoff(0.5, 10.0, draw=lambda: next(chances))
    for number, _ in enumerate(draws):
        pause_s = backoff.after_failure_s(asked_s if number % 2 else None)
        least_s = asked_s if number % 2 else 0.0
        assert least_s <= pause_s <= least_s + min(10.0, 0.5 * 2 ** min(number, 10))
