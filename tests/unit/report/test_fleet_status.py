"""What people and tools are told of a Fleet."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from controller.decide.fleet.progress import Programme, picture
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
from controller.domain.fleet_status import FleetStatus, encoded, patch_of, readable
from controller.report.fleet_status import Told, events_of, progressed, status_of

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROOT = Path(__file__).parents[3]
DONE = Standing(MemberState.COMPLETED, "eks", started=NOW - 2 * HOUR, completed=NOW - HOUR)
GOING = Standing(MemberState.UNDER_WAY, "eks", started=NOW - HOUR, rose=NOW)
FELL = Standing(
    MemberState.REVERTED, "eks", reason="TargetBad", message="it was bad", fell=NOW - HOUR
)
BLOCKED = Standing(MemberState.BLOCKED, "eks", reason="NotExported", message="export it")
WAITS = Standing(MemberState.WAITING, "eks")
ONE, TWO = Wave("one", 1), Wave("two", 2)


def key(name: str) -> Key:
    """Return a Service's key."""
    return Key("shop", name)


def told(
    *waves: Wave,
    standings: dict[int, dict[str, Standing]] | None = None,
    excluded: dict[int, str] | None = None,
    **changed: Any,
) -> Told:
    """Return what is known of a Fleet whose Services stand so, by wave."""
    made = Fleet("f", origin="legacy", target="eks", generation=3, created=NOW - HOUR, waves=waves)
    fleet = replace(made, **changed)
    programme = Programme(fleet)
    for number, members in (standings or {}).items():
        for name, standing in members.items():
            programme.tallies[number].put(key(name), standing)
    programme.excluded = {key(name): number for number, name in (excluded or {}).items()}
    numbers = set(programme.excluded.values())
    return Told(programme, picture(fleet, programme.tallies, NOW, excluded=numbers))


def status(*waves: Wave, **known: Any) -> FleetStatus:
    """Return the status of such a Fleet, of which nothing was told before."""
    return status_of(told(*waves, **known), FleetStatus(), NOW)


def test_services_are_counted_and_who_needs_a_person_is_named() -> None:
    """Each Service counts once, in its wave and in all, and who needs a person is told with the reason."""
    members = {1: {"a": DONE, "b": GOING, "c": FELL, "d": BLOCKED, "e": WAITS}}
    found = told(ONE, TWO, standings=members)
    found.programme.excluded[key("x")] = 1
    found.programme.unfit[key("y")] = "headless"
    found = replace(found, unplaced=[key("q"), key("p")])
    made = status_of(found, FleetStatus(), NOW)
    counts = msgspec.structs.asdict(made.counts)
    assert counts == {
        "total": 5,
        "completed": 1,
        "under_way": 1,
        "reverted": 1,
        "blocked": 1,
        "waiting": 1,
        "excluded": 1,
        "unfit": 1,
    }
    assert [(n.service, n.reason) for n in made.needs_person] == [
        ("shop/c", "TargetBad"),
        ("shop/d", "NotExported"),
    ]
    assert (made.moved, made.wave, made.observed_generation) == ("1/5", "1/2 one", 3)
    assert made.waves[0].message == "Open: 1 under way, 1 reverted, 1 blocked, 1 waiting"
    assert made.waves[0].opened_at == NOW - 2 * HOUR
    assert (made.waves[0].excluded, made.excluded) == (1, ("shop/x",))
    assert [(u.service, u.reason) for u in made.unfit] == [("shop/y", "headless")]
    assert (made.unplaced.count, made.unplaced.services) == (2, ("shop/p", "shop/q"))
    assert progressed(found.programme, found.picture) == {"one": NOW}


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ({"problems": (FleetProblem("spec", "spec is bad."),)}, "Invalid"),
        ({"by_hand": ByHand(rollback=frozenset({"all"}))}, "RollingBack"),
        ({"by_hand": ByHand(returns=frozenset({"one"}))}, "Returning"),
        ({"standings": {1: {"a": DONE}}, "by_hand": ByHand(paused=True)}, "Completed"),
        ({"by_hand": ByHand(paused=True)}, "Paused"),
        ({"standings": {1: {"a": FELL}}, "line": StopRule(1, 60.0)}, "Stopped"),
        ({"windows": (Window("deny", begins=NOW, ends=NOW + HOUR),)}, "Closed"),
        ({}, "Open"),
    ],
)
def test_the_state_is_one_word(known: dict[str, Any], state: str) -> None:
    """What keeps everybody comes before how far a Fleet is."""
    standings = {"standings": {1: {"a": GOING}}}
    assert status(ONE, **{**standings, **known}).state == state


def test_a_fleet_whose_first_wave_opens_by_hand_waits() -> None:
    """Where no wave is open and none is finished, it waits, and is told what opens next and how."""
    found = status(replace(ONE, by_hand=True), standings={1: {"a": WAITS}})
    assert found.state == "Waits"
    assert isinstance(found.opens_next, msgspec.Struct)
    assert (found.opens_next.wave, found.opens_next.how) == ("one", "byHand")
    assert found.waves[0].message == "Waits for a person: kubectl migrate fleet open one"


def test_each_wave_has_a_sentence() -> None:
    """A wave says that something is wrong with it, that it bakes, goes back, names nobody or is completed."""
    wrong = (FleetProblem("spec.waves[0]", "it is wrong.", 1),)
    assert status(ONE, problems=wrong).waves[0].message == "it is wrong."
    baking = status(replace(ONE, bake_s=7200.0), standings={1: {"a": DONE}}).waves[0]
    assert baking.message == "Completed; bakes until 2026-11-26 13:00 UTC"
    back = {"by_hand": ByHand(returns=frozenset({"all"})), "standings": {1: {"a": DONE}}}
    assert status(ONE, **back).waves[0].message == "Goes back to legacy: 1 left"
    slip = (
        "Names no Service that can be moved: correct spec.waves[0].services, or take the wave out"
    )
    assert status(ONE).waves[0].message == slip
    assert status(ONE, excluded={1: "a"}).waves[0].message == "All that it names are excluded"
    assert status(ONE, standings={1: {"a": DONE}}).waves[0].message == "Completed"


def test_window_and_line_are_told() -> None:
    """A closed window is told with its end, an open one with the next, and the line with its rule and who fell."""
    freeze = Window("deny", begins=NOW, ends=NOW + HOUR, reason="freeze")
    found = status(ONE, windows=(freeze,)).window
    assert (found.closed, found.until, found.reason) == (True, NOW + HOUR, "freeze")
    later = replace(freeze, begins=NOW + HOUR, ends=NOW + 2 * HOUR)
    found = status(ONE, windows=(later,)).window
    assert (found.closed, found.next_closes, found.next_reason) == (False, NOW + HOUR, "freeze")
    line = status(ONE, line=StopRule(2, 86400.0), standings={1: {"a": FELL}}).line
    assert (line.stopped, line.reverts, line.limit, line.within) == (False, 1, 2, "24h")
    assert status(ONE).line.limit == 0


def test_problems_are_told_with_who_is_torn() -> None:
    """What is wrong in the spec and who is in two waves stand beside each other, and the Fleet is not valid."""
    found = told(ONE, problems=(FleetProblem("spec.x", "spec.x is bad.", holds=False),))
    found.programme.torn[key("a")] = "shop/a is in two."
    made = status_of(found, FleetStatus(), NOW)
    assert [p.message for p in made.problems] == ["spec.x is bad.", "shop/a is in two."]
    valid = next(c for c in made.conditions if c.type == "Valid")
    assert (valid.status, valid.reason) == ("False", "Problems")


def test_a_condition_keeps_the_time_since_when_it_holds() -> None:
    """The time of a condition is when its status changed last."""
    first = status(ONE, standings={1: {"a": GOING}})
    later = status_of(told(ONE, standings={1: {"a": DONE}}), first, NOW + HOUR)
    since = {c.type: c.last_transition_time for c in later.conditions}
    assert since == {"Valid": NOW, "Progressing": NOW + HOUR, "Completed": NOW + HOUR}


def test_what_came_to_be_otherwise_is_told() -> None:
    """Waves that open and end, the line, the windows, new problems, a rollback and a return are each an Event."""
    calm = status(ONE, TWO, standings={1: {"a": DONE}, 2: {"b": WAITS}})
    waiting = status(ONE, TWO, standings={1: {"a": GOING}, 2: {"b": WAITS}})
    reasons = [event.reason for event in events_of(waiting, calm, "f")]
    assert reasons == ["WaveCompleted", "WaveOpened"]
    assert [*events_of(calm, calm, "f")] == []
    members = {"standings": {1: {"a": FELL}}}
    fine = status(ONE, **members)
    bad = status(
        ONE,
        **members,
        line=StopRule(1, 86400.0),
        windows=(Window("deny", begins=NOW, ends=NOW + HOUR),),
        problems=(FleetProblem("spec.x", "spec.x is bad.", holds=False),),
        by_hand=ByHand(rollback=frozenset({"all"})),
    )
    told_of = [(event.reason, event.kind) for event in events_of(fine, bad, "f")]
    assert told_of == [
        ("LineStopped", "Warning"),
        ("WindowClosed", "Normal"),
        ("FleetProblem", "Warning"),
        ("FleetRollback", "Warning"),
    ]
    assert [e.reason for e in events_of(bad, fine, "f")] == ["LineResumed", "WindowOpened"]
    back = status(ONE, **members, by_hand=ByHand(returns=frozenset({"all"})))
    assert [e.reason for e in events_of(fine, back, "f")] == ["FleetReturn"]
    endless = Window("allow", begins=NOW - 2 * HOUR, ends=NOW - HOUR)
    (event,) = events_of(fine, status(ONE, **members, windows=(endless,)), "f")
    assert event.message == "nothing rises: outside of every allow window"


def test_what_is_not_of_its_shape_is_as_if_it_were_not_there() -> None:
    """A status that somebody wrote otherwise is made anew."""
    for raw in (None, "x", {"waves": 5}):
        assert readable(raw) == FleetStatus()
    made = status(ONE)
    assert readable(encoded(made)) == made


def test_a_patch_takes_away_what_is_there_no_more() -> None:
    """Merged into the status before, a patch makes it the status after, key by key."""
    before = {"a": 1, "window": {"closed": True, "until": "x"}, "waves": [1]}
    after = {"window": {"closed": False}, "waves": [2], "line": {"stopped": False}}
    assert patch_of(before, after) == {
        "a": None,
        "window": {"closed": False, "until": None},
        "waves": [2],
        "line": {"stopped": False},
    }
    assert patch_of(None, after) == after


def test_the_crd_has_every_key_that_is_written() -> None:
    """What the controller writes is in the CRD's schema, or the API server would drop it."""
    crd = yaml.safe_load((ROOT / "deploy/chart/files/crds/fleets.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    night = (Window("deny", begins=NOW, ends=NOW + HOUR, reason="r"),)
    members = {1: {"a": FELL, "b": DONE}, 2: {"c": WAITS}}
    found = told(
        replace(ONE, bake_s=60.0),
        replace(TWO, by_hand=True),
        standings=members,
        windows=night,
        line=StopRule(1, 60.0),
        problems=(FleetProblem("spec.x", "bad.", holds=False),),
    )
    found.programme.unfit[key("y")] = "headless"
    written = encoded(status_of(found, FleetStatus(), NOW))
    assert [*_unknown(written, schema, "status")] == []


def _unknown(value: Any, schema: dict[str, Any], where: str) -> Any:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in schema.get("properties", {}):
                yield f"{where}.{name}"
            else:
                yield from _unknown(inner, schema["properties"][name], f"{where}.{name}")
    if isinstance(value, list):
        for inner in value:
            yield from _unknown(inner, schema["items"], where)
