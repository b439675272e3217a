"""What Fleets say to one Service."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from controller.decide.fleet.placing import Placement
from controller.decide.fleet.progress import Picture, picture
from controller.decide.fleet.word import word_for
from controller.domain import Key
from controller.domain.fleet import ByHand, Fleet, Limits, Wave

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEY = Key("shop", "cart")
FLEET = Fleet(
    "f",
    origin="legacy",
    target="eks",
    defaults={"steps": "10"},
    waves=(Wave("one", 1), Wave("two", 2)),
)
IN_ONE = Placement((("f", 1),))
TORN = Placement((("f", 1), ("f", 2)))


def pictures(*fleets: Fleet) -> dict[str, Picture]:
    """Return what holds for Fleets without Services."""
    return {fleet.name: picture(fleet, {}, NOW) for fleet in fleets}


def test_a_member_hears_its_fleets_wish() -> None:
    """Who is in one wave has the defaults and the target for its wish, and nothing keeps it."""
    word = word_for(KEY, IN_ONE, pictures(FLEET))
    assert word is not None
    assert (word.fleet, word.wave, word.source) == ("f", "one", "fleet/f/one")
    assert word.wish == {"steps": "10", "target": "eks"}
    assert (word.unclear, word.waits, word.paused, word.rollback, word.limits) == (
        "",
        "",
        "",
        "",
        (),
    )


def test_who_is_no_member_hears_nothing() -> None:
    """Who is in no wave, excluded or unfit hears no word."""
    for placement in (
        Placement(),
        replace(IN_ONE, excluded=True),
        replace(IN_ONE, unfit="a mirror"),
    ):
        assert word_for(KEY, placement, pictures(FLEET)) is None


def test_who_is_in_two_waves_moves_by_none() -> None:
    """In two waves of one Fleet it keeps that Fleet's wish, in two Fleets it has none, and both are said."""
    word = word_for(KEY, TORN, pictures(FLEET))
    assert word is not None
    assert word.unclear == (
        "shop/cart is in wave one of Fleet f and in wave two of Fleet f, so it moves by none: leave it in one."
    )
    assert (word.wish["target"], word.source) == ("eks", "fleet/f")
    other = replace(FLEET, name="g", by_hand=ByHand(paused=True, rollback=frozenset({"all"})))
    word = word_for(KEY, Placement((("f", 1), ("g", 1))), pictures(FLEET, other))
    assert word is not None
    assert word.wish == {}
    assert "of Fleet g keeps everybody" in word.paused
    assert word.rollback == "the annotation migrate.tradeshift/rollback of Fleet g is all"


def test_a_fleet_without_a_target_wishes_none() -> None:
    """Where the target cannot be read, the defaults are still there to judge by."""
    word = word_for(KEY, IN_ONE, pictures(replace(FLEET, target="", origin="")))
    assert word is not None
    assert word.wish == {"steps": "10"}


def test_a_bad_default_concerns_who_does_not_say_it() -> None:
    """What is wrong with a default is told to whoever would take it, and not to an owner who says that key."""
    bad = pictures(replace(FLEET, bad_defaults={"soak": "spec.defaults.soak is bad."}))
    word = word_for(KEY, IN_ONE, bad)
    assert word is not None
    assert word.unclear == "spec.defaults.soak is bad."
    word = word_for(KEY, IN_ONE, bad, frozenset({"soak"}))
    assert word is not None
    assert word.unclear == ""


def test_limits_are_the_fleets_and_the_waves() -> None:
    """A slot is counted under the Fleet and the wave, and under the namespace in each, where a limit is written."""
    wave = replace(FLEET.waves[0], limits=Limits(5, None))
    found = pictures(replace(FLEET, limits=Limits(20, 2), waves=(wave,)))
    word = word_for(KEY, IN_ONE, found)
    assert word is not None
    assert word.limits == (
        ("fleet f", 20),
        ("fleet f in shop", 2),
        ("wave one of fleet f", 5),
    )


def test_who_goes_back_is_asked_for_the_origin_without_limits() -> None:
    """A wave that returns wishes the origin, and takes slots as the origin's pods allow."""
    back = replace(FLEET, limits=Limits(1, 1), by_hand=ByHand(returns=frozenset({"all"})))
    word = word_for(KEY, IN_ONE, pictures(back))
    assert word is not None
    assert (word.returns, word.wish["target"], word.limits) == (True, "legacy", ())
