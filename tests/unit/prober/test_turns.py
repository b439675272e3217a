"""Whose burst it is, where not all fit. Time is an argument."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from prober.turns import REST_S, TURN_S, Turns

NOW = 1_000.0
PER_S = 10.0
STEP_S = 0.1


def asked(paths: str) -> dict[str, float]:
    """These ask for a turn, all of the same rate."""
    return dict.fromkeys(paths, PER_S)


def test_who_comes_first_has_the_first_turn_and_then_the_next_have_theirs() -> None:
    """A turn is kept until it ends, then who waits longest follows, and who had one is behind those that came since."""
    turns: Turns[str] = Turns()
    assert turns.give(asked("abc"), 20, NOW) == {"a", "b"}
    assert turns.give(asked("abcd"), 20, NOW + TURN_S / 2) == {"a", "b"}
    assert turns.give(asked("abcd"), 20, NOW + TURN_S) == {"c", "d"}
    assert turns.give(asked("abcd"), 20, NOW + 2 * TURN_S) == set()
    assert turns.give(asked("abcd"), 20, NOW + 2 * TURN_S + REST_S) == {"a", "b"}


def test_who_asks_no_more_makes_room_at_once() -> None:
    """Its turn is another's, and when it asks again it is the last."""
    turns: Turns[str] = Turns()
    assert turns.give(asked("abc"), 20, NOW) == {"a", "b"}
    assert turns.give(asked("bc"), 20, NOW + STEP_S) == {"b", "c"}
    assert turns.give(asked("abc"), 20, NOW + TURN_S) == {"a", "c"}


def test_a_room_that_shrinks_ends_the_latest_turns() -> None:
    """Those go on whose turn began first; the others have theirs when there is room again."""
    turns: Turns[str] = Turns()
    assert turns.give(asked("abc"), 30, NOW) == {"a", "b", "c"}
    assert turns.give(asked("abc"), 10, NOW + STEP_S) == {"a"}
    assert turns.give(asked("abc"), 0, NOW + STEP_S) == set()
    assert turns.give(asked("abc"), 30, NOW + STEP_S) == {"a", "b", "c"}


@given(
    st.lists(
        st.tuples(st.sets(st.integers(0, 20)), st.sampled_from([0.0, 10.0, 35.0, 100.0])),
        max_size=40,
    )
)
def test_never_more_than_the_room_and_only_who_asks(steps: list[tuple[set[int], float]]) -> None:
    """However it changes who asks and how much room there is."""
    turns: Turns[int] = Turns()
    for number, (paths, room_per_s) in enumerate(steps):
        given_to = turns.give(dict.fromkeys(paths, PER_S), room_per_s, NOW + number * STEP_S)
        assert given_to <= paths
        assert PER_S * len(given_to) <= room_per_s


@given(st.integers(1, 30), st.integers(1, 10))
def test_everybody_has_a_turn_before_anybody_has_two(paths: int, at_once: int) -> None:
    """With any number that bursts on, and any room that holds one."""
    turns: Turns[int] = Turns()
    had = Counter(dict.fromkeys(range(paths), 0))
    running: frozenset[int] = frozenset()
    for number in range(1_000):
        now = turns.give(dict.fromkeys(had, PER_S), PER_S * at_once, NOW + number * STEP_S)
        had.update(now - running)
        running = now
        assert max(had.values()) <= min(had.values()) + 1
    assert min(had.values()) > 1
