"""How far a Fleet is: which waves are open, what the others wait for, and when the line stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from controller.decide.fleet.line import line_of, stretch
from controller.decide.fleet.progress import Picture, Programme, Tally, WaveState, picture
from controller.domain import Key
from controller.domain.fleet import (
    ByHand,
    Fleet,
    FleetProblem,
    MemberState,
    Standing,
    StopRule,
    Wave,
    Window,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DONE = Standing(MemberState.COMPLETED, "eks", started=NOW - 3 * HOUR, completed=NOW - HOUR)
BACK = Standing(MemberState.COMPLETED, "legacy", completed=NOW)
GOING = Standing(MemberState.UNDER_WAY, "eks")
FELL = Standing(MemberState.REVERTED, "eks", reason="TargetBad", fell=NOW - HOUR)
WAITS = Standing(MemberState.WAITING, "eks")


def key(name: str) -> Key:
    """Return a Service's key."""
    return Key("shop", name)


def fleet(*waves: Wave, **changed: object) -> Fleet:
    """Return a Fleet to eks with these waves."""
    made = Fleet("f", origin="legacy", target="eks", created=NOW - 90 * 24 * HOUR, waves=waves)
    return replace(made, **changed)  # type: ignore[arg-type]


def seen(
    found: Fleet,
    standings: Mapping[int, Mapping[str, Standing | None]],
    *,
    unknown: str = "",
    before: Picture | None = None,
    now: datetime = NOW,
) -> Picture:
    """Return what holds for a Fleet of which these Services stand so, by wave."""
    programme = Programme(found)
    for number, members in standings.items():
        for name, standing in members.items():
            programme.tallies[number].put(key(name), standing)
    return picture(found, programme.tallies, now, unknown=unknown, before=before)


ONE, TWO, THREE = Wave("one", 1), Wave("two", 2), Wave("three", 3)


def test_a_wave_opens_when_those_before_it_are_completed() -> None:
    """The first wave is open, and each further one waits for the first before it that is not finished."""
    found = seen(fleet(ONE, TWO, THREE), {1: {"a": GOING}, 2: {"b": DONE}, 3: {"c": WAITS}})
    assert [view.state for view in found.waves] == ["Open", "Completed", "Waiting"]
    assert found.waves[2].waits == "wave three waits for one (1 left: shop/a)"
    assert found.waves[2].awaited == 1
    found = seen(fleet(ONE, TWO, THREE), {1: {"a": DONE}, 2: {"b": DONE}, 3: {"c": WAITS}})
    assert [view.waits for view in found.waves] == ["", "", ""]


def test_who_is_left_is_named_first_who_needs_a_person() -> None:
    """Three of those left are named, first who was rolled back or is blocked, and how many they are."""
    blocked = Standing(MemberState.BLOCKED, "eks")
    members = {"a": WAITS, "b": GOING, "c": FELL, "d": None, "e": blocked, "f": DONE}
    found = seen(fleet(ONE, TWO), {1: members, 2: {"z": WAITS}})
    assert found.waves[1].waits == "wave two waits for one (5 left: shop/c, shop/e, shop/b, ...)"


def test_a_wave_by_hand_waits_for_a_person_too() -> None:
    """A wave that opens by hand waits for those before it and for a person, who may open it beforehand."""
    waves = (ONE, replace(TWO, by_hand=True))
    found = seen(fleet(*waves), {1: {"a": GOING}, 2: {"b": WAITS}}).waves[1]
    assert found.waits.endswith(
        "(1 left: shop/a), then for a person: kubectl migrate fleet open two"
    )
    found = seen(fleet(*waves), {1: {"a": DONE}, 2: {"b": WAITS}}).waves[1]
    assert found.waits == "wave two waits for a person: kubectl migrate fleet open two"
    assert found.by_hand
    opened = fleet(*waves, by_hand=ByHand(opened=frozenset({"two"})))
    assert seen(opened, {1: {"a": DONE}, 2: {"b": WAITS}}).waves[1].state is WaveState.OPEN
    assert seen(opened, {1: {"a": GOING}, 2: {"b": WAITS}}).waves[1].state is WaveState.WAITING


def test_a_wave_bakes_after_its_last_service() -> None:
    """The next wave opens when the bake is over, counted from when the last Service was completed."""
    waves = (replace(ONE, bake_s=7200.0), TWO, THREE)
    found = seen(fleet(*waves), {1: {"a": DONE}, 2: {"b": WAITS}, 3: {"c": WAITS}})
    assert [view.state for view in found.waves] == ["Baking", "Waiting", "Waiting"]
    assert found.waves[1].waits == "wave two waits for one, which bakes until 2026-11-26 13:00 UTC"
    assert found.waves[1].until == found.changes == NOW + HOUR
    later = seen(fleet(*waves), {1: {"a": DONE}, 2: {"b": WAITS}, 3: {"c": WAITS}}, now=NOW + HOUR)
    assert [view.state for view in later.waves] == ["Completed", "Open", "Waiting"]


def test_a_wave_in_which_something_is_wrong_is_not_finished() -> None:
    """Those behind it wait, and its own Services are told what is wrong."""
    wrong = FleetProblem("spec.waves[0].bake", "it is wrong.", 1)
    found = seen(fleet(ONE, TWO, problems=(wrong,)), {1: {"a": DONE}, 2: {"b": WAITS}})
    assert found.waves[0].unclear == "it is wrong."
    assert found.waves[1].waits == "wave two waits for one, in which something is wrong"
    assert found.unclear == ""
    everywhere = FleetProblem("spec.target", "it is wrong.")
    assert seen(fleet(ONE, problems=(everywhere,)), {1: {}}).unclear == "it is wrong."
    told = replace(everywhere, holds=False)
    assert seen(fleet(ONE, problems=(told,)), {1: {}}).unclear == ""


def test_a_wave_that_names_nobody_opens_nothing() -> None:
    """A wave whose names are misspelt is never finished, and says so; one whose Services are excluded is."""
    found = seen(fleet(ONE, TWO), {2: {"b": WAITS}})
    assert found.waves[0].state is WaveState.OPEN
    assert found.waves[1].waits == (
        "wave two waits for one, which names no Service that can be moved"
    )
    spared = picture(found.fleet, {2: Tally("eks")}, NOW, excluded={1})
    assert [view.state for view in spared.waves] == [WaveState.COMPLETED, WaveState.OPEN]


def test_what_is_not_known_holds_everybody() -> None:
    """Until it is known whom a Fleet names and how they stand, nothing of it begins."""
    found = seen(fleet(ONE, TWO), {1: {"a": WAITS}, 2: {"b": DONE}}, unknown="it is not known")
    assert [view.waits for view in found.waves] == ["it is not known", ""]


def test_who_is_completed_elsewhere_is_not_there_yet() -> None:
    """Completed counts in the Fleet's target alone, and an owner who names another cluster blocks the wave."""
    tally = Tally("eks")
    stays = replace(WAITS, target="legacy", own_target=True)
    assert tally.state_of(BACK) is MemberState.WAITING
    assert tally.state_of(stays) is MemberState.BLOCKED
    assert tally.state_of(replace(GOING, own_target=True)) is MemberState.BLOCKED
    assert tally.state_of(replace(DONE, own_target=True)) is MemberState.COMPLETED
    assert tally.state_of(None) is MemberState.WAITING


def test_a_tally_forgets_who_is_dropped() -> None:
    """Who is no member any more counts nowhere, and who is put again counts once."""
    programme = Programme(fleet(ONE))
    tally = programme.tallies[1]
    for standing in (None, FELL, DONE, GOING):
        tally.put(key("a"), standing)
    assert ([*programme.members()], programme.unknown(), tally.left) == ([key("a")], 0, 1)
    tally.put(key("b"), None)
    assert programme.unknown() == 1
    tally.drop(key("b"))
    tally.drop(key("c"))
    tally.drop(key("a"))
    assert (tally.members, tally.falls, tally.going_back, tally.unknown) == ({}, {}, {}, {})
    assert tally.completed_at() is None


def test_one_that_falls_speaks_for_a_wave_that_moves_together() -> None:
    """In a wave that moves together who was rolled back is named to all; in another nobody is."""
    members = {1: {"a": FELL, "b": GOING}}
    together = replace(ONE, together=True)
    found = seen(fleet(together), members).waves[0]
    assert found.fallen == "shop/a was rolled back, and wave one moves together"
    assert seen(fleet(ONE), members).waves[0].fallen == ""
    assert seen(fleet(together), {1: {"b": GOING}}).waves[0].fallen == ""


def test_waves_go_back_in_reverse() -> None:
    """A wave that returns waits until everybody of the later ones that return is back."""
    going = replace(GOING, target="legacy")
    stays = replace(DONE, own_target=True)
    asked = fleet(ONE, TWO, THREE, by_hand=ByHand(returns=frozenset({"all"})))
    found = seen(asked, {1: {"a": DONE}, 2: {"b": DONE, "c": stays}, 3: {"d": going, "e": WAITS}})
    assert [view.waits for view in found.waves] == [
        "wave one goes back after three (1 left: shop/d)",
        "wave two goes back after three (1 left: shop/d)",
        "",
    ]
    found = seen(asked, {1: {"a": DONE}, 2: {"b": DONE}, 3: {"d": BACK}})
    assert [view.waits for view in found.waves] == [
        "wave one goes back after two (1 left: shop/b)",
        "",
        "",
    ]
    some = fleet(ONE, TWO, by_hand=ByHand(returns=frozenset({"one"})))
    found = seen(some, {1: {"a": DONE}, 2: {"b": DONE}})
    assert [(view.returns, view.waits) for view in found.waves] == [(True, ""), (False, "")]
    assert picture(asked, {}, NOW).waves[0].waits == ""


def test_what_is_said_by_hand_stands_in_the_picture() -> None:
    """A rollback is asked of the waves that are named, or of all."""
    found = seen(fleet(ONE, TWO, by_hand=ByHand(rollback=frozenset({"two"}))), {})
    assert [view.rollback for view in found.waves] == [False, True]


def test_a_window_keeps_everybody_and_says_until_when() -> None:
    """While a window is closed it is told until when, and why where people said so."""
    night = Window("deny", begins=NOW - HOUR, ends=NOW + HOUR, reason="freeze")
    found = seen(fleet(ONE, windows=(night,)), {})
    assert found.closed == "a window of Fleet f keeps everybody until 2026-11-26 13:00 UTC (freeze)"
    assert found.changes == NOW + HOUR
    never = Window("allow", begins=NOW - 2 * HOUR, ends=NOW - HOUR)
    found = seen(fleet(ONE, windows=(never,)), {})
    assert "keeps everybody with no end in sight (outside of every" in found.closed
    assert seen(fleet(ONE, windows=(replace(night, reason=""),)), {}).closed.endswith("13:00 UTC")


def test_what_windows_say_is_taken_over_while_it_is_true() -> None:
    """The windows are looked at anew when they change, when the Fleet has others, and when the clock was set back."""
    night = Window("deny", begins=NOW + HOUR, ends=NOW + 2 * HOUR)
    first = seen(fleet(ONE, windows=(night,)), {})
    again = seen(first.fleet, {}, before=first, now=NOW + timedelta(minutes=59))
    assert again.windows is first.windows
    assert seen(first.fleet, {}, before=first, now=NOW + HOUR).windows.closed
    assert seen(first.fleet, {}, before=first, now=NOW - HOUR).windows is not first.windows
    other = fleet(ONE, windows=(replace(night, begins=NOW),))
    assert seen(other, {}, before=first).windows.closed
    none = seen(fleet(ONE), {})
    assert seen(none.fleet, {}, before=none, now=NOW + 900 * HOUR).windows is none.windows


def falls(*hours_ago: float) -> dict[Key, datetime]:
    """Return Services that fell so many hours ago."""
    return {key(f"s{n}"): NOW - hours * HOUR for n, hours in enumerate(hours_ago)}


RULE = StopRule(3, 24 * 3600.0)


def test_the_line_stops_at_so_many_falls_within_the_time() -> None:
    """Three falls within a day stop the line, whenever that was; further apart they do not."""
    assert not line_of(fleet(line=RULE), falls(1, 2), NOW).stopped
    found = line_of(fleet(line=RULE), falls(1, 2, 25), NOW)
    assert (found.stopped, found.since) == (True, NOW - HOUR)
    assert found.services == (key("s2"), key("s1"), key("s0"))
    assert not line_of(fleet(line=RULE), falls(1, 2, 25.1), NOW).stopped
    assert line_of(fleet(line=RULE), falls(100, 101, 102), NOW).stopped
    assert line_of(fleet(), falls(1, 2, 3), NOW).stopped is False


def test_a_person_resumes_the_line() -> None:
    """Only what fell later than the annotation resumed-at counts."""
    resumed = fleet(line=RULE, by_hand=ByHand(resumed_at=NOW - 2 * HOUR))
    assert not line_of(resumed, falls(1, 2, 3), NOW).stopped
    assert line_of(resumed, falls(0.5, 1, 1.5), NOW).stopped


def test_a_line_is_not_resumed_before_its_time() -> None:
    """A time of resuming that is yet to come disarms nothing: until then it is as without, and then it counts."""
    ahead = fleet(line=RULE, by_hand=ByHand(resumed_at=NOW + HOUR))
    stopped = line_of(ahead, falls(1, 2, 3), NOW)
    assert (stopped.stopped, stopped.changes) == (True, NOW + HOUR)
    assert not line_of(ahead, falls(1, 2, 3), NOW + HOUR).stopped
    going = line_of(ahead, falls(1), NOW)
    assert (going.stopped, going.changes) == (False, NOW + HOUR)


def test_what_fell_long_before_the_fleet_was_made_is_none_of_it() -> None:
    """A Fleet that is made anew still knows what fell within the rule's time, and nothing before that."""
    made = fleet(line=RULE, created=NOW)
    assert line_of(made, falls(1, 2, 3), NOW).stopped
    assert not line_of(made, falls(25, 26, 27), NOW).stopped
    assert line_of(fleet(line=RULE, created=None), falls(9999, 9999, 9999), NOW).stopped


def test_falls_count_for_as_long_as_the_rule_says() -> None:
    """While the line goes on, those count that fell within the time, and it is told when one no longer does."""
    found = line_of(fleet(line=RULE), falls(1, 23, 25.5), NOW)
    assert (found.services, found.changes) == ((key("s1"), key("s0")), NOW + HOUR)
    assert line_of(fleet(line=RULE), {}, NOW).changes is None


def test_a_stopped_line_is_told_with_who_fell() -> None:
    """The picture has the sentence that says who fell and how the line goes on."""
    fell = {f"s{n}": replace(FELL, fell=NOW - n * HOUR) for n in range(3)}
    found = seen(fleet(ONE, line=RULE), {1: fell})
    assert found.stopped == (
        "3 attempts of Fleet f were ended by evidence, and 3 within 24h stop the line (the last: shop/s2,"
        " shop/s1, shop/s0): see to them, then kubectl migrate fleet resume f"
    )
    assert seen(fleet(ONE, line=RULE), {}).stopped == ""


def test_stretches_are_told_as_they_are_written() -> None:
    """A time is told in hours where it is whole hours, else in minutes or seconds."""
    assert [stretch(s) for s in (86400.0, 5400.0, 61.0)] == ["24h", "90m", "61s"]


def test_what_changes_what_services_do_is_in_the_sign() -> None:
    """Names in a sentence wake nobody; that a wave opens, closes, or is asked back does."""
    one = seen(fleet(ONE, TWO), {1: {"a": GOING, "b": GOING}, 2: {"c": WAITS}})
    other = seen(fleet(ONE, TWO), {1: {"a": DONE, "b": GOING}, 2: {"c": WAITS}})
    assert one.waves[1].waits != other.waves[1].waits
    assert one.waves[1].sign == other.waves[1].sign
    opened = seen(fleet(ONE, TWO), {1: {"a": DONE, "b": DONE}, 2: {"c": WAITS}})
    assert opened.waves[1].sign != one.waves[1].sign
    paused = seen(fleet(ONE, TWO, by_hand=ByHand(paused=True)), {})
    assert paused.sign != one.sign
