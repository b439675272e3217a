"""No story of a Fleet within bounds breaks a promise, and a Fleet with a bug is told by its shortest story."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.domain.fleet import FleetWord
from tests.model.fleet import Bounds, Moment, calm, explore, heard


@pytest.mark.parametrize(
    "bounds", [Bounds(bad=2), Bounds(restarts=1, hands=1), Bounds(hands=2)], ids=str
)
def test_no_story_of_a_fleet_breaks_a_promise(bounds: Bounds) -> None:
    """All moments that these troubles can lead to were looked at, and every promise holds in each."""
    found = explore(bounds, limit=3000)
    assert (found.broken, found.story) == ("", [])
    assert found.states > 200


def test_a_fleet_that_nobody_troubles_comes_to_its_end() -> None:
    """Opened beforehand, both waves are completed in their order: the second after bake and window, in three hours."""
    end = calm(Moment(opened=True))
    assert [service.completed for service in end.services] == [1, 1, 4]
    shut = calm(Moment())
    assert [service.completed for service in shut.services] == [1, 1, None]


def test_a_fleet_goes_on_after_what_troubled_it() -> None:
    """Who was rolled back stays so, its wave with it, and a person who opens the next one cannot make it begin."""
    one = replace(Moment().services[0], share=100, started=0, since=0, bad=True)
    end = calm(replace(Moment(opened=True), services=(one, *Moment().services[1:])))
    assert end.services[0].reverted == ("TargetBad", 0)
    assert [service.share or 0 for service in end.services] == [0, 0, 0]


DEAF: dict[str, tuple[Callable[[FleetWord], FleetWord], str, Bounds]] = {
    "waves": (lambda word: replace(word, waits=""), "nobody opened its wave", Bounds()),
    "windows": (lambda word: replace(word, closed=""), "a window is closed", Bounds()),
    "pause": (lambda word: replace(word, paused=""), "the Fleet is paused", Bounds(hands=1)),
    "rollback": (lambda word: replace(word, rollback=""), "a rollback is asked", Bounds(hands=1)),
    "together": (lambda word: replace(word, fallen=""), "one of its wave was", Bounds(bad=1)),
}


@pytest.mark.parametrize("name", DEAF)
def test_a_fleet_that_is_not_heard_is_told(name: str) -> None:
    """Where a word of the Fleet is dropped, a story says which promise breaks."""
    change, why, bounds = DEAF[name]

    def word(moment: Moment, number: int) -> FleetWord:
        return change(heard(moment, number))

    found = explore(bounds, word, limit=5000)
    assert why in found.broken
    assert found.story
