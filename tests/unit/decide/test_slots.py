"""Who may rise: slots by number, order, time and the probers' caps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from controller.decide.slots import HOLD_LIMIT_S, Want, grant
from controller.domain import Key

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def want(
    name: str,
    asked_s: float | None = 0.0,
    rate: float = 30.0,
    *,
    above: bool = False,
    held: float = 0.0,
    namespace: str = "default",
) -> Want:
    """One that wants a slot, asked for so many seconds after midnight."""
    asked = None if asked_s is None else DAY + timedelta(seconds=asked_s)
    rates = {"legacy": rate, "eks": rate}
    return Want(Key(namespace, name), asked, rates, shifted=above, held_up_s=held)


def names(keys: Mapping[Key, object] | frozenset[Key] | tuple[Key, ...]) -> list[str]:
    """Their names, in order where there is one."""
    return [key.service for key in (keys if isinstance(keys, tuple) else sorted(keys))]


def granted(
    *wants: Want,
    holders: tuple[str, ...] = (),
    size: int = 2,
    caps: Mapping[str, float] | None = None,
) -> tuple[list[str], list[str]]:
    """Who holds and who waits, by name."""
    holding = frozenset(Key("default", name) for name in holders)
    have, queue = grant({w.key: w for w in wants}, holding, size, caps or {})
    return names(have), names(queue)


def test_by_time_of_asking_then_by_name() -> None:
    """The earliest asked come first, then by name; who has no time comes last."""
    wants = [want("d", None), want("c", 1), want("b", 2), want("a", 2)]
    assert granted(*wants, size=1) == (["c"], ["a", "b", "d"])


def test_holders_keep_theirs() -> None:
    """Somebody who asked earlier takes nobody's slot, also where the number of slots was lowered."""
    assert granted(want("a", 0), want("b", 5), holders=("b",), size=1) == (["b"], ["a"])
    assert granted(want("a"), want("b"), holders=("a", "b"), size=1) == (["a", "b"], [])


def test_who_wants_none_any_more_holds_none() -> None:
    """A holder that is home, soaking or refused gives its slot to the next."""
    assert granted(want("b"), holders=("a",), size=1) == (["b"], [])


def test_those_above_home_come_first() -> None:
    """After a restart those whose callers have moved already go on before anybody begins."""
    assert granted(want("a", 0), want("b", 9, above=True), size=1) == (["b"], ["a"])


def test_namespaces_take_turns() -> None:
    """Of two namespaces the one that holds fewer comes first, whoever asked earlier; then they alternate."""
    hogs = [want(name, 0, namespace="hog") for name in "abcd"]
    late = [want(name, 9, namespace="other") for name in "xy"]
    assert granted(*hogs, *late, size=3) == (["a", "b", "x"], ["y", "c", "d"])
    held = frozenset(each.key for each in hogs[:3])
    have, queue = grant({w.key: w for w in (*hogs, *late)}, held, 4, {})
    assert names(have - held) == ["x"]
    assert names(queue) == ["y", "d"]


def test_those_above_home_take_turns_too() -> None:
    """Many of one namespace who are above the baseline already keep another namespace's first one out no longer."""
    above = [want(name, 0, above=True, namespace="hog") for name in "abc"]
    assert granted(*above, want("x", 9, namespace="other"), size=2) == (["a", "x"], ["b", "c"])


def test_half_an_hour_is_the_limit() -> None:
    """Who was held up for 30 minutes gives the slot up and queues behind the others; a second less does not."""
    assert HOLD_LIMIT_S == 1800
    assert granted(want("a", held=1800), want("b", 9), holders=("a",), size=1) == (["b"], ["a"])
    assert granted(want("a", held=1799), want("b", 9), holders=("a",), size=1) == (["a"], ["b"])


def test_caps_bound_what_is_probed() -> None:
    """Nobody gets a slot whose probes a prober could not send; a smaller one behind does not wait for it."""
    wants = [want("a", 0, 60), want("b", 1, 60), want("c", 2, 30)]
    assert granted(*wants, size=9, caps={"eks": 100}) == (["a", "c"], ["b"])
    assert granted(*wants, size=9, caps={"eks": 150}) == (["a", "b", "c"], [])
    assert granted(*wants, size=9) == (["a", "b", "c"], [])


def test_above_home_is_probed_whatever_the_cap() -> None:
    """Those above the baseline must be judged: the cap keeps nobody from a slot who is there already."""
    assert granted(want("a", rate=90, above=True), caps={"eks": 10}) == (["a"], [])


WANTS = st.lists(
    st.builds(
        want,
        st.sampled_from("abcdefgh"),
        st.none() | st.integers(0, 5).map(float),
        st.sampled_from([3.0, 30.0, 300.0]),
        above=st.booleans(),
        held=st.sampled_from([0.0, 1799.0, 1800.0]),
        namespace=st.sampled_from(["default", "other"]),
    ),
    max_size=8,
).map(lambda wants: {w.key: w for w in wants})


@given(WANTS, st.sets(st.sampled_from("abcdefgh")), st.integers(0, 5), st.integers(0, 600))
def test_slots_are_bounded_and_steady(
    wants: dict[Key, Want], holding: set[str], size: int, cap: int
) -> None:
    """Everyone who wants holds or waits, never both; new slots stay within number and cap; asking again neither
    gives nor takes any."""
    holders = frozenset(Key("default", name) for name in holding)
    caps = {"legacy": float(cap)}
    have, queue = grant(wants, holders, size, caps)
    assert have | set(queue) == set(wants)
    assert len(have) + len(queue) == len(wants)
    kept = {key for key in holders if key in wants and wants[key].held_up_s < HOLD_LIMIT_S}
    assert kept <= have
    assert len(have) <= max(size, len(kept))
    rate = sum(wants[key].rates["legacy"] for key in have)
    excused = sum(wants[k].rates["legacy"] for k in have if k in kept or wants[k].shifted)
    assert rate <= max(cap, excused) or rate - excused <= max(0.0, cap - excused)
    assert all(wants[key].held_up_s < HOLD_LIMIT_S for key in have)
    again, still = grant(wants, have, size, caps)
    assert (again, set(still)) == (have, set(queue))


@given(WANTS, st.integers(1, 8))
def test_no_namespace_gets_a_slot_more_than_one_that_waits(
    wants: dict[Key, Want], size: int
) -> None:
    """Where slots are given out anew, a namespace that waits holds as many as any other, or one less."""
    have, queue = grant(wants, frozenset(), size, {})
    held = Counter(key.namespace for key in have)
    waiting = {key.namespace for key in queue if not wants[key].is_late}
    assert all(held[namespace] >= max(held.values()) - 1 for namespace in waiting)


@given(WANTS, st.integers(1, 3), st.randoms(use_true_random=False))
def test_everybody_has_a_turn(wants: dict[Key, Want], size: int, chance: Random) -> None:
    """As holders end, one at a time and in any order, each who waits gets a slot."""
    waiting = {key: want for key, want in wants.items() if not want.is_late}
    served: set[Key] = set()
    holders: frozenset[Key] = frozenset()
    for _ in range(len(waiting)):
        holders, _queue = grant(waiting, holders, size, {})
        served |= holders
        leaves = chance.choice(sorted(holders))
        del waiting[leaves]
        holders -= {leaves}
    assert served == {key for key, want in wants.items() if not want.is_late}
