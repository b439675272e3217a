"""Windows of a Fleet: when nothing rises, until when, and when it will be so next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.decide.fleet.windows import (
    WindowState,
    state_at,
    wrong_schedule,
    wrong_zone,
)
from controller.domain.fleet import Window

COPENHAGEN = "Europe/Copenhagen"
WEEKEND = Window("deny", "0 16 * * FRI", 64 * 3600, COPENHAGEN, reason="weekend")
YEAR_END = Window(
    "deny",
    begins=datetime(2026, 12, 18, tzinfo=UTC),
    ends=datetime(2027, 1, 4, tzinfo=UTC),
    reason="end of year",
)
NIGHTS = Window("allow", "0 22 * * *", 6 * 3600)

NEVER = "0 0 */31 * MON#5"
"""The first of a month is never its fifth Monday."""


def at(text: str) -> datetime:
    """Return a time of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_without_windows_nothing_is_ever_closed() -> None:
    """A Fleet without windows is open, and nothing of that changes."""
    assert state_at((), at("2026-11-28T12:00")) == WindowState()


@pytest.mark.parametrize(
    ("now", "closed", "until"),
    [
        ("2026-11-27T14:59:59", False, None),
        ("2026-11-27T15:00", True, "2026-11-30T07:00"),
        ("2026-11-30T06:59:59", True, "2026-11-30T07:00"),
        ("2026-11-30T07:00", False, None),
    ],
)
def test_a_schedule_begins_on_time_and_lasts(now: str, closed: bool, until: str | None) -> None:
    """A window begins when its schedule says so in its zone, to the second, and ends as long after."""
    found = state_at((WEEKEND,), at(now))
    assert (found.closed, found.until) == (closed, at(until) if until else None)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        # Clocks go forward on 29 March 2026 at 02:00, back on 25 October at 03:00.
        ("2026-03-28T12:00", "2026-03-30T07:00"),
        ("2026-10-24T12:00", "2026-10-26T06:00"),
        ("2026-10-17T12:00", "2026-10-19T06:00"),
    ],
)
def test_a_duration_is_time_that_passes(now: str, until: str) -> None:
    """Where clocks are set in between, a window ends at another time of the day, as Argo CD's do."""
    assert state_at((WEEKEND,), at(now)).until == at(until)


def test_windows_that_follow_each_other_are_one() -> None:
    """What is told is when nothing keeps anybody any more, also where one window ends in another."""
    found = state_at((WEEKEND, YEAR_END), at("2026-12-12T12:00"))
    assert (found.until, found.reason) == (at("2026-12-14T07:00"), "weekend")
    found = state_at((WEEKEND, YEAR_END), at("2026-12-20T12:00"))
    assert (found.until, found.reason) == (at("2027-01-04T07:00"), "weekend")
    found = state_at((YEAR_END,), at("2026-12-20T12:00"))
    assert (found.until, found.reason) == (YEAR_END.ends, "end of year")


def test_the_next_window_is_told_while_none_keeps_anybody() -> None:
    """While a Fleet is open it is told when it closes next, and why."""
    found = state_at((WEEKEND, YEAR_END), at("2026-12-15T12:00"))
    assert not found.closed
    assert (found.next_closes, found.next_reason) == (YEAR_END.begins, "end of year")
    assert state_at((YEAR_END,), at("2027-06-01T00:00")) == WindowState()


def test_outside_of_every_allow_window_nothing_rises() -> None:
    """Where allow windows exist, nothing rises outside of them, and a deny window goes before them."""
    assert state_at((NIGHTS,), at("2026-11-26T23:00")).closed is False
    found = state_at((NIGHTS,), at("2026-11-26T12:00"))
    assert (found.closed, found.until) == (True, at("2026-11-26T22:00"))
    found = state_at((NIGHTS, WEEKEND), at("2026-11-27T23:00"))
    assert (found.reason, found.until) == ("weekend", at("2026-11-30T22:00"))
    closes = state_at((NIGHTS,), at("2026-11-26T23:00"))
    assert (closes.next_closes, closes.next_reason) == (
        at("2026-11-27T04:00"),
        "outside of every allow window",
    )


def test_what_never_opens_again_has_no_end() -> None:
    """A window that begins anew before it ends has no end that can be told."""
    always = Window("deny", "* * * * *", 3600)
    found = state_at((always,), at("2026-11-26T12:00"))
    assert (found.closed, found.until) == (True, None)
    assert found.changes is not None


def test_windows_that_are_over_and_never_kept_anybody_again() -> None:
    """An allow window that is over leaves a Fleet closed without an end."""
    past = Window("allow", begins=at("2020-01-01T00:00"), ends=at("2020-01-02T00:00"))
    found = state_at((past,), at("2026-11-26T12:00"))
    assert (found.closed, found.until, found.changes) == (True, None, None)


def test_a_window_that_never_comes_keeps_nobody() -> None:
    """A schedule that fits no day closes nothing, and nothing is waited for."""
    assert state_at((Window("deny", NEVER, 3600),), at("2026-11-26T12:00")) == WindowState()


@given(st.integers(0, 400 * 24 * 60), st.integers(0, 6 * 24 * 60))
def test_nothing_changes_before_it_is_said_to(minutes: int, later: int) -> None:
    """What is said of a time holds until ``changes``, and at ``until`` nothing keeps anybody."""
    windows = (WEEKEND, YEAR_END, NIGHTS)
    now = at("2026-01-01T00:00") + timedelta(minutes=minutes)
    found = state_at(windows, now)
    assert found.changes is not None
    then = min(now + timedelta(minutes=later), found.changes - timedelta(seconds=1))
    assert state_at(windows, then).closed == found.closed
    if found.until:
        assert not state_at(windows, found.until).closed
    if found.next_closes:
        assert state_at(windows, found.next_closes).closed


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("0 16 * * FRI", ""),
        ("*/5 0-6 1,15 * *", ""),
        ("0 16 * *", "which is no cron schedule"),
        ("0 0 16 * * FRI", "which is no cron schedule"),
        ("@daily", "which is no cron schedule"),
        ("0 16 * * FRX", "where cron reads: bad day-of-week"),
        ("0 25 * * *", "where cron reads: bad hour"),
        ("0 0 30 2 *", "where cron reads: bad day-of-month"),
        ("0 0 29 2 MON#5", ""),
        (NEVER, "which never comes"),
        (16, "which is no cron schedule"),
        (None, "which is no cron schedule"),
    ],
)
def test_a_schedule_is_cron_of_five_fields(schedule: object, why: str) -> None:
    """What is no schedule is told, with what cron found."""
    found = wrong_schedule(schedule)
    assert found.startswith(why)
    assert bool(found) == bool(why)


@given(st.text("0123456789*,/-#LW MONFRIJA", max_size=20))
def test_no_schedule_raises(text: str) -> None:
    """Whatever is written, it is a schedule or a sentence."""
    assert isinstance(wrong_schedule(text), str)


@pytest.mark.parametrize(
    "zone", ["", None, "Mars/Base", "../etc/passwd", "/etc/localtime", "a\0", 5]
)
def test_a_zone_that_nobody_knows_is_told(zone: object) -> None:
    """What is no time zone is told, whatever it is."""
    assert "no time zone" in wrong_zone(zone)


def test_a_zone_of_the_database_is_known() -> None:
    """A name of the IANA database is a zone."""
    assert (wrong_zone(COPENHAGEN), wrong_zone("UTC")) == ("", "")
