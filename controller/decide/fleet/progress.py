"""How far a Fleet is: who of each wave stands where, which waves are open, and what keeps the others.

:class:`Tally` is kept up to date Service by Service, so that a change of one costs nothing for the others;
:func:`picture` says what follows from the tallies at one time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

from controller.decide.fleet.line import LineState, line_of, stopped_message
from controller.decide.fleet.windows import WindowState, state_at
from controller.domain import Key
from controller.domain.fleet import Fleet, MemberState, Standing, Wave

NAMED = 3
"""How many Services a sentence names."""


class Tally:
    """The Services of one wave. ``target`` is the Fleet's: who is Completed elsewhere is not there yet."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.members: dict[Key, Standing | None] = {}
        self.by_state: dict[MemberState, dict[Key, None]] = {state: {} for state in MemberState}
        self.falls: dict[Key, datetime] = {}
        self.unknown: dict[Key, None] = {}
        self.going_back: dict[Key, None] = {}

    def put(self, key: Key, standing: Standing | None) -> None:
        """Take in where a Service stands; None: nothing was decided for it yet."""
        self.drop(key)
        self.members[key] = standing
        self.by_state[self.state_of(standing)][key] = None
        if standing is None:
            self.unknown[key] = None
            return
        if standing.fell is not None:
            self.falls[key] = standing.fell
        if self._is_to_go_back(standing):
            self.going_back[key] = None

    def drop(self, key: Key) -> None:
        """Let go of a Service that is no member any more."""
        if key not in self.members:
            return
        del self.by_state[self.state_of(self.members.pop(key))][key]
        for known in (self.falls, self.unknown, self.going_back):
            known.pop(key, None)

    def state_of(self, standing: Standing | None) -> MemberState:
        """Return where a Service counts: what is Completed in another cluster than the Fleet's target waits."""
        if standing is None:
            return MemberState.WAITING
        elsewhere = standing.target != self._target
        if standing.own_target and (elsewhere or standing.state is not MemberState.COMPLETED):
            return MemberState.BLOCKED
        if standing.state is MemberState.COMPLETED and elsewhere:
            return MemberState.WAITING
        return standing.state

    def _is_to_go_back(self, standing: Standing) -> bool:
        """Return whether a Service would still have to go back, were its wave to return."""
        there = standing.target == self._target
        if standing.state is MemberState.COMPLETED:
            return there and not standing.own_target
        return not there and standing.state is not MemberState.WAITING

    def unfinished(self) -> Iterator[Key]:
        """Yield who is not Completed, first who needs a person."""
        for state in (
            MemberState.REVERTED,
            MemberState.BLOCKED,
            MemberState.UNDER_WAY,
            MemberState.WAITING,
        ):
            yield from self.by_state[state]

    @property
    def left(self) -> int:
        """How many are not Completed."""
        return len(self.members) - len(self.by_state[MemberState.COMPLETED])

    def completed_at(self) -> datetime | None:
        """Return when the last one was completed."""
        found = (one.completed for one in self.members.values() if one and one.completed)
        return max(found, default=None)


class WaveState(StrEnum):
    """Where a wave stands."""

    WAITING = "Waiting"
    OPEN = "Open"
    BAKING = "Baking"
    COMPLETED = "Completed"


@dataclass(frozen=True, slots=True)
class WaveView:
    """What holds for one wave at one time. ``waits`` is why it does not begin ("": it may), ``until`` when that ends by
    itself, ``awaited`` the number of the wave that it waits for, and ``by_hand`` that it waits for a person, if for
    nobody else. ``baked`` is when its own bake is over. ``nobody``: it names no Service. ``fallen`` says who was
    rolled back, where all are then."""

    wave: Wave
    state: WaveState
    waits: str = ""
    awaited: int = 0
    by_hand: bool = False
    until: datetime | None = None
    baked: datetime | None = None
    completed_at: datetime | None = None
    unclear: str = ""
    nobody: bool = False
    fallen: str = ""
    rollback: bool = False
    returns: bool = False

    @property
    def sign(self) -> tuple[object, ...]:
        """What of it changes what its Services do."""
        known = (bool(self.waits), self.awaited, self.by_hand, self.unclear, bool(self.fallen))
        return (*known, self.rollback, self.returns)


@dataclass(frozen=True, slots=True)
class Picture:
    """What holds for a Fleet at one time; ``changes`` is when it no longer does, for the time alone (None: never)."""

    fleet: Fleet
    at: datetime
    waves: tuple[WaveView, ...]
    windows: WindowState
    line: LineState
    unclear: str = ""
    closed: str = ""
    stopped: str = ""
    changes: datetime | None = None

    @property
    def sign(self) -> tuple[object, ...]:
        """What of it changes what every one of its Services does."""
        fleet = self.fleet
        said = (self.unclear, self.closed, bool(self.stopped), fleet.by_hand.paused)
        return (*said, fleet.target, fleet.defaults, fleet.bad_defaults, fleet.limits)


def picture(
    fleet: Fleet,
    tallies: Mapping[int, Tally],
    now: datetime,
    *,
    unknown: str = "",
    excluded: Collection[int] = (),
    before: Picture | None = None,
) -> Picture:
    """Return what holds for a Fleet now. ``unknown`` says why it is not known yet whom it names, or how they stand:
    then nothing of it begins. ``excluded`` are the numbers of waves whose Services are excluded, some or all. What
    the picture ``before`` says of windows is taken over while it is true."""
    windows = _windows(fleet, now, before)
    falls = {key: at for tally in tallies.values() for key, at in tally.falls.items()}
    line = line_of(fleet, falls, now)
    waves = tuple(_waves(fleet, tallies, now, unknown, excluded))
    stopped = stopped_message(line, fleet.line, fleet.name) if line.stopped and fleet.line else ""
    return Picture(
        fleet=fleet,
        at=now,
        waves=waves,
        windows=windows,
        line=line,
        unclear=_problems(fleet, 0),
        closed=_closed(fleet, windows) if windows.closed else "",
        stopped=stopped,
        changes=_next(now, windows.changes, line.changes, *(view.baked for view in waves)),
    )


def _windows(fleet: Fleet, now: datetime, before: Picture | None) -> WindowState:
    if before is not None and before.fleet.windows == fleet.windows:
        known = before.windows
        if before.at <= now and (known.changes is None or now < known.changes):
            return known
    return state_at(fleet.windows, now)


def _next(now: datetime, *times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None and time > now), default=None)


def _problems(fleet: Fleet, wave: int) -> str:
    """Return what is wrong with a wave so that it stays, or with all of a Fleet (0)."""
    found = (p.message for p in fleet.problems if p.holds and p.wave == wave)
    return " ".join(found)


def _closed(fleet: Fleet, windows: WindowState) -> str:
    until = f"until {windows.until:%Y-%m-%d %H:%M} UTC" if windows.until else "with no end in sight"
    reason = f" ({windows.reason})" if windows.reason else ""
    return f"a window of Fleet {fleet.name} keeps everybody {until}{reason}"


@dataclass(slots=True)
class _Before:
    """What the waves so far leave for the next to wait for."""

    awaited: int = 0
    message: str = ""
    until: datetime | None = None


def _waves(
    fleet: Fleet,
    tallies: Mapping[int, Tally],
    now: datetime,
    unknown: str,
    excluded: Collection[int],
) -> Iterator[WaveView]:
    before = _Before()
    back = _going_back(fleet, tallies)
    for wave in fleet.waves:
        tally = tallies.get(wave.number) or Tally(fleet.target)
        # A wave that names nobody is a slip of the pen until a person says otherwise: it opens nothing behind it.
        nobody = not tally.members and wave.number not in excluded
        view = _view(fleet, wave, tally, now, nobody=nobody)
        if view.returns:
            waits, awaited = back.get(wave.number, ("", 0))
            yield replace(view, waits=unknown or waits, awaited=awaited)
        else:
            yield _forward(fleet, view, before, unknown)
        if not before.awaited and (view.state is not WaveState.COMPLETED or view.unclear):
            before = _awaited(view, tally)


def _view(fleet: Fleet, wave: Wave, tally: Tally, now: datetime, *, nobody: bool) -> WaveView:
    unclear = _problems(fleet, wave.number)
    finished = not tally.left and not unclear and not nobody
    completed_at = tally.completed_at() if finished else None
    baked = completed_at + timedelta(seconds=wave.bake_s) if completed_at else None
    state = WaveState.OPEN
    if finished:
        state = WaveState.BAKING if baked and now < baked else WaveState.COMPLETED
    return WaveView(
        wave=wave,
        state=state,
        baked=baked if state is WaveState.BAKING else None,
        completed_at=completed_at,
        unclear=unclear,
        nobody=nobody,
        fallen=_fallen(wave, tally) if wave.together else "",
        rollback=fleet.asks(fleet.by_hand.rollback, wave),
        returns=fleet.asks(fleet.by_hand.returns, wave),
    )


def _fallen(wave: Wave, tally: Tally) -> str:
    for key in tally.by_state[MemberState.REVERTED]:
        return f"{key} was rolled back, and wave {wave.name} moves together"
    return ""


def _forward(fleet: Fleet, view: WaveView, before: _Before, unknown: str) -> WaveView:
    """Return the view of a wave that moves to the target: it waits for those before it, then for a person."""
    wave = view.wave
    by_hand = ""
    if wave.by_hand and wave.name not in fleet.by_hand.opened:
        by_hand = f"for a person: kubectl migrate fleet open {wave.name}"
    said = ", then ".join(filter(None, (before.message, by_hand)))
    waits = unknown or (f"wave {wave.name} waits {said}" if said else "")
    if not waits or view.state in (WaveState.COMPLETED, WaveState.BAKING):
        return view
    return replace(
        view,
        state=WaveState.WAITING,
        waits=waits,
        awaited=before.awaited,
        by_hand=bool(by_hand),
        until=None if by_hand or unknown else before.until,
    )


def _awaited(view: WaveView, tally: Tally) -> _Before:
    """Return what those behind a wave that is not finished wait for."""
    name, number = view.wave.name, view.wave.number
    if view.state is WaveState.BAKING and view.baked is not None:
        message = f"for {name}, which bakes until {view.baked:%Y-%m-%d %H:%M} UTC"
        return _Before(number, message, view.baked)
    if view.nobody:
        return _Before(number, f"for {name}, which names no Service that can be moved")
    if not tally.left:
        return _Before(number, f"for {name}, in which something is wrong")
    return _Before(number, f"for {name} ({left(tally.unfinished(), tally.left)})")


def left(keys: Iterable[Key], count: int) -> str:
    """Return how many are left, and some of them by name."""
    named = ", ".join(map(str, islice(keys, NAMED)))
    return f"{count} left: {named}" + (", ..." if count > NAMED else "")


def _going_back(fleet: Fleet, tallies: Mapping[int, Tally]) -> dict[int, tuple[str, int]]:
    """Return, by the number of a wave that returns, what it waits for: the waves behind it go first."""
    found: dict[int, tuple[str, int]] = {}
    for wave in fleet.waves:
        if not fleet.asks(fleet.by_hand.returns, wave):
            continue
        for later in reversed(fleet.waves[wave.number :]):
            going = tallies[later.number].going_back if later.number in tallies else {}
            if going and fleet.asks(fleet.by_hand.returns, later):
                who = left(going, len(going))
                message = f"wave {wave.name} goes back after {later.name} ({who})"
                found[wave.number] = (message, later.number)
                break
    return found


@dataclass(slots=True)
class Programme:
    """A Fleet and its Services: what is kept of it between two looks. ``excluded`` and ``unfit`` are by wave."""

    fleet: Fleet
    tallies: dict[int, Tally] = field(default_factory=dict)
    excluded: dict[Key, int] = field(default_factory=dict)
    unfit: dict[Key, str] = field(default_factory=dict)
    torn: dict[Key, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Have a tally for each wave."""
        for wave in self.fleet.waves:
            self.tallies.setdefault(wave.number, Tally(self.fleet.target))

    def members(self) -> Iterator[Key]:
        """Yield who moves by it."""
        for tally in self.tallies.values():
            yield from tally.members

    def unknown(self) -> int:
        """Return for how many of them nothing was decided yet."""
        return sum(len(tally.unknown) for tally in self.tallies.values())
