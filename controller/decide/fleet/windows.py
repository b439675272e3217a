"""When a Fleet may raise: deny and allow windows, by cron and time zone, or from one time until another.

The words are Argo CD's, and so is that a window lasts as long as it says: where clocks are set in between, it ends at
another time of the day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from controller.domain.fleet import Window

_FIELDS = re.compile(r"[0-9A-Za-z*,/#-]+( +[0-9A-Za-z*,/#-]+){4}")

MOST_CHANGES = 100
"""How many beginnings and ends of windows are looked at to find when nothing keeps anybody any more."""

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class WindowState:
    """Whether windows keep everybody at one time. ``until`` is when none does any more (None: not foreseen), and
    ``next_closes`` when the next one begins to, as far as one does; each with the reason that people gave.
    ``changes`` is when any of this is no longer true (None: never)."""

    closed: bool = False
    until: datetime | None = None
    reason: str = ""
    next_closes: datetime | None = None
    next_reason: str = ""
    changes: datetime | None = None


def wrong_schedule(text: Any) -> str:
    """Return what is wrong with a schedule, as the end of a sentence; "" where it can be followed."""
    if not isinstance(text, str) or not _FIELDS.fullmatch(text.strip()):
        return (
            "which is no cron schedule of five fields: write minute, hour, day, month and weekday"
        )
    try:
        first = next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        return f"where cron reads: {str(error).lower()}"
    return "" if first else "which never comes"


def wrong_zone(name: Any) -> str:
    """Return what is wrong with a time zone, as the end of a sentence; "" where it is known."""
    if isinstance(name, str) and name and _zone(name) is not None:
        return ""
    return "which is no time zone: write its name in the IANA database, as Europe/Copenhagen"


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (
        ValueError,
        OSError,
        KeyError,
    ):  # of a path, of a directory, of a zone that nobody knows
        return None


def state_at(windows: Sequence[Window], now: datetime) -> WindowState:
    """Return whether windows keep everybody at ``now`` (UTC), until when, and when they will."""
    if not windows:
        return WindowState()
    keeper = _keeper(windows, now)
    changes = _next_change(windows, now)
    found = _opposite(windows, now, closed=keeper is not None)
    if keeper is not None:
        until = found[0] if found else None
        return WindowState(True, until, keeper, changes=changes)
    if found is None:
        return WindowState(changes=changes)
    return WindowState(False, None, "", found[0], found[1], changes)


def _opposite(
    windows: Sequence[Window], now: datetime, *, closed: bool
) -> tuple[datetime, str] | None:
    """Return when it will be otherwise than it is, and what keeps everybody then ("" where nothing does)."""
    at = _next_change(windows, now)
    for _ in range(MOST_CHANGES):
        if at is None:
            return None
        keeper = _keeper(windows, at)
        if (keeper is not None) != closed:
            return at, keeper or ""
        at = _next_change(windows, at)
    return None


def _keeper(windows: Sequence[Window], at: datetime) -> str | None:
    """Return the reason of a window that keeps everybody at a time, None where none does."""
    for window in windows:
        if window.kind == "deny" and _is_on(window, at):
            return window.reason
    allows = [_is_on(window, at) for window in windows if window.kind == "allow"]
    return "outside of every allow window" if allows and not any(allows) else None


def _is_on(window: Window, at: datetime) -> bool:
    if window.begins is not None and window.ends is not None:
        return window.begins <= at < window.ends
    began = _last_begin(window, at)
    return began is not None and at < began + timedelta(seconds=window.duration_s)


def _next_change(windows: Sequence[Window], at: datetime) -> datetime | None:
    """Return when the next window begins or ends."""
    found = (time for window in windows for time in _times(window, at) if time > at)
    return min(found, default=None)


def _times(window: Window, at: datetime) -> Iterator[datetime]:
    if window.begins is not None and window.ends is not None:
        yield from (window.begins, window.ends)
        return
    if (began := _last_begin(window, at)) is not None:
        yield began + timedelta(seconds=window.duration_s)
    if (begins := _next_begin(window, at)) is not None:
        yield begins


def _last_begin(window: Window, at: datetime) -> datetime | None:
    """Return when a schedule began last, at this time or before."""
    return _tick(window, at + _SECOND, reverse=True)


def _next_begin(window: Window, at: datetime) -> datetime | None:
    return _tick(window, at, reverse=False)


def _tick(window: Window, after: datetime, *, reverse: bool) -> datetime | None:
    local = after.astimezone(_zone(window.zone) or UTC)
    found = next(CronSim(window.schedule, local, reverse=reverse), None)
    return found.astimezone(UTC) if found else None
