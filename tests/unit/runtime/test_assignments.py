"""What one stream's prober has to probe, and what its reports say of it. No clock."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from controller.domain import CallPath, Key, ProbeOrder, Side
from controller.runtime.assignments import Assignments
from prober.contract import Assign, Counts, Report, Sample, Withdraw
from tests.unit.runtime.test_probers import order

KEY = Key("default", "service-a")
TO, BACK = order(), order(Side.ORIGIN)


def assigned(*orders: ProbeOrder) -> tuple[Assignments, dict[CallPath, int]]:
    """A stream that was told of these, and the number of each."""
    found = Assignments("eks", 0)
    told = found.follow({(o.key, o.path): o for o in orders}, (0, 1), itertools.count(1), 0.0)
    numbers = [message.id for message in told if isinstance(message, Assign)]
    return found, dict(zip((o.path for o in orders), numbers, strict=True))


def heard(
    stream: Assignments, came: Iterable[int] = (), pending: Iterable[int] = ()
) -> tuple[set[Side], set[Side]]:
    """What rests, and what is awaited, by a report with these samples and these still to come."""
    samples = tuple(Sample(number, 0, 0.0, base=Counts(1)) for number in came)
    found = stream.read(Report(0, samples, pending=tuple(pending)), 1.0)
    return {o.path.side for o in found.resting}, {o.path.side for o in found.awaited}


def test_what_was_never_reported_does_not_rest() -> None:
    """Before its first sample a prober may not know of a path: that it says nothing of it says nothing."""
    stream, number = assigned(TO, BACK)
    assert heard(stream) == (set(), set())
    assert heard(stream, pending=[number[TO.path]]) == (set(), {Side.TARGET})
    assert heard(stream) == (set(), set())


def test_what_came_rests_until_something_is_under_way() -> None:
    """A path rests from its sample on, is awaited while one is to come, and rests again when none is any more."""
    stream, number = assigned(TO, BACK)
    to, back = number[TO.path], number[BACK.path]
    assert heard(stream, came=[to]) == ({Side.TARGET}, set())
    assert heard(stream, came=[back], pending=[to]) == ({Side.ORIGIN}, {Side.TARGET})
    assert heard(stream, came=[to], pending=[to]) == (set(), {Side.TARGET})
    assert heard(stream) == ({Side.TARGET}, set())


def test_what_is_withdrawn_is_awaited_once_and_rests_no_more() -> None:
    """From its withdrawal on a path is no fresher than the stream was, though late samples still come."""
    stream, number = assigned(TO, BACK)
    to = number[TO.path]
    heard(stream, came=[to])
    numbers = itertools.count(9)
    (told,) = stream.follow({(KEY, BACK.path): BACK}, (0, 1), numbers, 1.0, {(KEY, TO.path)})
    assert told == Withdraw(to)
    assert heard(stream, came=[to]) == (set(), {Side.TARGET})
    assert heard(stream) == (set(), set())


def test_only_what_has_changed_is_gone_through() -> None:
    """Where it is known what has changed nothing else is told; another share is told to all."""
    stream, _ = assigned(TO)
    wanted = {(KEY, TO.path): TO, (KEY, BACK.path): BACK}
    assert stream.follow(wanted, (0, 1), itertools.count(5), 1.0, set()) == []
    (begun,) = stream.follow(wanted, (0, 1), itertools.count(5), 1.0, {(KEY, BACK.path)})
    assert isinstance(begun, Assign)
    told = stream.follow(wanted, (1, 2), itertools.count(7), 1.0, set())
    assert [type(message) for message in told] == [Withdraw, Withdraw, Assign, Assign]


def test_what_is_slowed_is_told_with_its_samples() -> None:
    """The rate that the cap leaves a path stands beside its sample, and nobody's who has none."""
    stream, number = assigned(TO, BACK)
    slowed = dict.fromkeys(number.values(), 2.0)
    sample = Sample(number[TO.path], 0, 0.0, base=Counts(1))
    found = stream.read(Report(0, (sample,), throttled=slowed), 1.0)
    assert found.throttled == {(KEY, TO.path): 2.0}
