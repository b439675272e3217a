from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from prober.capacity import Capacity
from prober.contract import Assign, Counts, Readdress, Report, Sample, Withdraw
from prober.engine import Engine
from prober.outcome import Outcome
from prober.probe import Client
from prober.samples import slot_of
from prober.schedule import BASE_SHARE
from prober.self_check import LoopLag
from prober.target import Ask, NotServedError, control_ask
from prober.telemetry import Metrics, new_metrics

START = 1_780_000_000.0
STEP_S = 0.02
REFERENCE = control_ask("prober.migrate", 8080, "cluster.local")


def well(ask: Ask, due: float, now: float) -> Outcome:
    """Answer at once."""
    del ask
    return Outcome(due, now, now + 0.001, "200", answered_s=now + 0.001)


def broken(ask: Ask, due: float, now: float) -> Outcome:
    """Refuse at once."""
    del ask
    return Outcome(due, now, now + 0.001, "refused", bad=True)


@dataclass
class World:
    """A clock that is moved by hand, and what is answered to probes and to the control probe."""

    now: float = START
    answer: Callable[[Ask, float, float], Outcome] = well
    control: Callable[[Ask, float, float], Outcome] = well
    hold_reference: asyncio.Event | None = None
    asked: list[tuple[float, Ask]] = field(default_factory=list)
    hold: asyncio.Event | None = None

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def check(self, protocol: str) -> None:
        """Speak every protocol."""

    async def probe(self, ask: Ask, due: float) -> Outcome:
        """Stand in for a :class:`Client`."""
        if ask is REFERENCE:
            if self.hold_reference is not None:
                await self.hold_reference.wait()
            return self.control(ask, due, self.now)
        self.asked.append((due, ask))
        if self.hold is not None:
            await self.hold.wait()
        return self.answer(ask, due, self.now)


class Run:
    """An engine in a world, driven by its reports."""

    def __init__(self, cap_per_s: float = 1_000) -> None:
        self.world = World()
        self.metrics: Metrics = new_metrics("eks")
        self.capacity = Capacity(cap_per_s)
        self.lag = LoopLag(STEP_S, START, self.capacity.strain)
        self.engine = Engine(
            cast("Client", self.world),
            REFERENCE,
            "cluster.local",
            self.capacity,
            self.lag,
            self.metrics,
        )
        self.reports: list[Report] = []

    async def go(self, seconds: float) -> list[Sample]:
        """Let time pass in small steps; what was told meanwhile."""
        told: list[Sample] = []
        for _ in range(round(seconds / STEP_S)):
            self.world.now += STEP_S
            report = self.engine.report(len(self.reports))
            self.reports.append(report)
            told += report.samples
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return told


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """An engine with room."""
    running = Run()
    yield running
    await running.engine.close()


def path(assignment: int = 1, **changes: Any) -> Assign:
    """An assignment of 10 probes a second."""
    known: dict[str, Any] = {
        "id": assignment,
        "key": f"way-{assignment}",
        "namespace": "default",
        "service": "web",
        "route": "apex",
        "port": 80,
        "rate_per_s": 10.0,
        "expect": ((200, 399),),
    }
    return Assign(**(known | changes))


def pods(*addresses: str, **changes: Any) -> Assign:
    """An assignment of own pods."""
    return path(route="pods", addresses=addresses, **changes)


def sent(samples: list[Sample]) -> int:
    """How many base probes were told as sent."""
    return sum(one.base.sent for one in samples)


def metric(metrics: Metrics, name: str, **labels: str) -> float:
    """One number of ``/metrics``."""
    registry: CollectorRegistry = metrics.registry
    return registry.get_sample_value(f"migrate_prober_{name}", labels) or 0.0


async def test_each_due_probe_is_told_once_in_rising_slices(run: Run) -> None:
    """At 10 a second, 5 seconds are 50 probes in as many samples, numbered from the first."""
    run.engine.assign(path())
    told = await run.go(5.2)
    assert 49 <= sent(told) <= 52
    numbers = [one.number for one in told]
    assert numbers == sorted(set(numbers))
    assert 0 <= numbers[0] <= 1
    assert numbers[-1] - numbers[0] == len(numbers) - 1
    assert all(one.discarded == "" and one.base == Counts(1) for one in told)
    assert all(0 <= one.age_s <= 0.1 for one in told)


async def test_two_streams_share_a_way() -> None:
    """Two streams of two parts send each due probe of the path once, at the same times."""
    parts = []
    for part in (0, 1):
        one = Run()
        one.engine.assign(path(part=part, parts=2))
        await one.go(3)
        parts.append({due for due, _ in one.world.asked})
        await one.engine.close()
    whole = Run()
    whole.engine.assign(path())
    await whole.go(3)
    expected = sorted(due for due, _ in whole.world.asked)
    await whole.engine.close()
    assert not parts[0] & parts[1]
    assert sorted(parts[0] | parts[1]) == pytest.approx(expected, abs=1e-5)


async def test_a_bad_probe_raises_the_rate_for_ten_seconds(run: Run) -> None:
    """After one bad probe 40 burst probes a second go out for 10 s, and then none."""
    run.engine.assign(path())
    await run.go(1)
    run.world.answer = broken
    await run.go(0.12)
    run.world.answer = well
    bursting = await run.go(9.8)
    burst = sum(one.burst.sent for one in bursting)
    assert 380 <= burst <= 400
    assert 96 <= sent(bursting) <= 100
    await run.go(0.5)
    after = await run.go(3)
    assert sum(one.burst.sent for one in after) == 0
    assert 29 <= sent(after) <= 31


async def test_each_bad_probe_restarts_the_burst(run: Run) -> None:
    """Eight seconds after the first bad probe a second one makes the burst last ten more."""
    run.engine.assign(path())
    run.world.answer = broken
    await run.go(0.3)
    run.world.answer = well
    await run.go(8)
    run.world.answer = broken
    await run.go(0.1)
    run.world.answer = well
    await run.go(9)
    assert sum(one.burst.sent for one in await run.go(0.8)) > 20


async def test_an_ill_prober_does_not_burst(run: Run) -> None:
    """Bad probes beside a failed control probe raise no rate: more load would not help."""
    run.engine.assign(path())
    run.world.control = broken
    await run.go(0.3)
    run.world.answer = broken
    told = await run.go(3)
    assert all(one.burst == Counts() for one in told)


async def test_a_failed_reference_voids_what_was_due_beside_it(run: Run) -> None:
    """While the control probe fails every sample is discarded, and a moment later they are not."""
    run.engine.assign(path())
    await run.go(1)
    run.world.control = broken
    await run.go(0.3)
    during = await run.go(1)
    assert len(during) >= 9
    assert {one.discarded for one in during} == {"reference"}
    assert run.reports[-1].discarded == "reference"
    run.world.control = well
    await run.go(0.3)
    after = await run.go(1)
    assert {one.discarded for one in after} == {""}
    await run.go(0.3)
    assert run.reports[-1].discarded == ""
    assert metric(run.metrics, "slices_void_total", reason="reference") >= 9


async def test_a_slice_waits_for_its_reference(run: Run) -> None:
    """While the control probe has not answered nothing is told, and when it fails all of it is discarded."""
    run.engine.assign(path())
    await run.go(1)
    run.world.hold_reference = asyncio.Event()
    await run.go(0.2)
    assert await run.go(0.5) == []
    run.world.control = broken
    run.world.hold_reference.set()
    told = await run.go(0.06)
    assert len(told) >= 5
    assert {one.discarded for one in told} == {"reference"}


async def test_a_slow_reference_fails_too(run: Run) -> None:
    """Latencies are not told as the target's when the prober's own control probe is as slow."""

    def slow(ask: Ask, due: float, now: float) -> Outcome:
        del ask
        return Outcome(due, now, now + 0.3, "200", answered_s=now + 0.3)

    run.world.control = slow
    run.engine.assign(path())
    await run.go(0.4)
    assert {one.discarded for one in await run.go(1)} == {"reference"}


async def test_reference_probes_are_counted_in_reports(run: Run) -> None:
    """A report counts the control probe probes that ended since the last: ten a second."""
    await run.go(2)
    run.world.control = broken
    await run.go(1)
    total = [report.control for report in run.reports]
    assert 29 <= sum(count.sent for count in total) <= 31
    assert 9 <= sum(count.bad for count in total) <= 11


async def test_a_loop_that_stood_still_voids_the_time_it_stood(run: Run) -> None:
    """Samples of a time in which the loop did not come round are discarded; later ones are not."""
    run.engine.assign(path(rate_per_s=50.0))
    await run.go(1)
    run.world.now += 0.4
    stood = await run.go(0.2)
    assert [one.discarded for one in stood[:4]] == ["lag"] * 4
    assert run.reports[-1].discarded == "lag"
    await run.go(0.2)
    assert {one.discarded for one in await run.go(1)} == {""}


async def test_a_reference_that_only_the_loop_made_late_is_well(run: Run) -> None:
    """A control probe answered late by no more than the loop stood, or late itself, is told as the loop's lag."""

    def as_late_as_the_loop(ask: Ask, due: float, now: float) -> Outcome:
        del ask
        if now - due > 0.35:
            return Outcome(due, now, now, unsent="late")
        return Outcome(due, now, now, "200", answered_s=now)

    run.world.control = as_late_as_the_loop
    run.engine.assign(path(rate_per_s=50.0))
    await run.go(1)
    told: list[Sample] = []
    for stop_s in (0.3, 0.45):
        run.world.now += stop_s
        told += await run.go(0.6)
    reasons = {one.discarded for one in told}
    assert "lag" in reasons
    assert reasons <= {"", "lag", "untimed"}
    assert sum(report.control.slow for report in run.reports) == 0


def lowered(rate_per_s: float) -> Any:
    """What the cap leaves of a rate is a step of a tenth lower at the most."""
    return pytest.approx(0.95 * rate_per_s, abs=0.05 * rate_per_s)


async def test_late_probes_lower_the_rate_and_discard_nothing() -> None:
    """Where every second probe is late the rate falls and is told, and what was sent counts."""
    run = Run(cap_per_s=125)
    turn = 0

    def every_second_late(ask: Ask, due: float, now: float) -> Outcome:
        nonlocal turn
        turn += 1
        return Outcome(due, now, now, unsent="late") if turn % 2 else well(ask, due, now)

    run.engine.assign(path(rate_per_s=50.0))
    await run.go(1)
    run.world.answer = every_second_late
    told = await run.go(5)
    (throttled_per_s,) = run.reports[-1].throttled.values()
    assert 9 <= throttled_per_s <= 10
    assert all(one.discarded in ("", "late") for one in told)
    assert all(one.base.sent == 0 for one in told if one.discarded)
    run.world.answer = well
    await run.go(25)
    assert run.reports[-1].throttled == {}
    assert sent(await run.go(1)) >= 48
    await run.engine.close()


async def test_a_loop_that_always_lags_a_little_gives_true_counts(run: Run) -> None:
    """A loop that comes round ten times a second loses probes, and doubts no more than their times."""
    run.engine.assign(path(rate_per_s=20.0))
    told: list[Sample] = []
    for _ in range(100):
        run.world.now += 0.09
        told += await run.go(STEP_S)
    assert {one.discarded for one in told} == {"untimed"}
    assert sent(told) > 100
    assert all(one.base.bad == 0 for one in told)


@pytest.mark.parametrize("reason", ["late", "unsent"])
async def test_what_was_not_sent_is_void_and_not_counted(run: Run, reason: str) -> None:
    """A sample with a probe that was late or could not be sent is discarded, with that reason."""

    def not_sent(ask: Ask, due: float, now: float) -> Outcome:
        del ask
        return Outcome(due, now, now, unsent=reason)

    run.world.answer = not_sent
    run.engine.assign(path())
    told = await run.go(1)
    assert {(one.discarded, one.base) for one in told} == {(reason, Counts())}
    assert metric(run.metrics, f"probes_{reason}_total", route="apex") >= 8


async def test_a_fuse_bounds_what_is_in_flight() -> None:
    """Where nothing ends, what is beyond the bound is told as unsent, not hidden."""
    run = Run(cap_per_s=25)
    run.world.hold = asyncio.Event()
    run.engine.assign(path())
    await run.go(8)
    assert len(run.world.asked) <= 60
    run.world.hold.set()
    told = await run.go(0.3)
    assert "unsent" in {one.discarded for one in told}
    await run.engine.close()


async def test_withdrawing_tells_what_is_in_flight(run: Run) -> None:
    """After a withdrawal nothing is sent, and what was in flight is told when it ends."""
    run.world.hold = asyncio.Event()
    run.engine.assign(path())
    assert await run.go(0.5) == []
    in_flight = len(run.world.asked)
    run.engine.withdraw(Withdraw(1))
    assert await run.go(0.5) == []
    run.world.hold.set()
    assert sent(await run.go(0.2)) == in_flight == len(run.world.asked)
    run.engine.assign(path())  # all told: the id is free again
    assert sent(await run.go(1)) > 0


async def test_pods_are_asked_in_turn(run: Run) -> None:
    """Every pod is asked as often as the others."""
    run.engine.assign(pods("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", rate_per_s=30.0))
    await run.go(2)
    asked = [ask.address for _, ask in run.world.asked]
    assert asked[:3] == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]
    assert asked[3:] == asked[:-3]


async def test_readdressing_keeps_the_numbers_of_slices(run: Run) -> None:
    """New pods are asked from then on, in samples that go on counting; no pods, no probes."""
    run.engine.assign(pods("10.0.0.1:80"))
    before = await run.go(1)
    run.engine.readdress(Readdress(1, ("10.0.0.2:80",)))
    run.world.asked.clear()
    after = await run.go(1)
    assert {ask.address for _, ask in run.world.asked} == {"10.0.0.2:80"}
    assert after[0].number == before[-1].number + 1
    run.engine.readdress(Readdress(1, ()))
    await run.go(0.2)
    assert await run.go(1) == []
    run.engine.readdress(Readdress(1, ("10.0.0.2:80",)))
    again = await run.go(1)
    assert again[0].number >= after[-1].number + 11
    assert again[0].discarded == ""


async def test_faults_name_the_pod(run: Run) -> None:
    """A sample with a bad probe names the pod that was asked."""

    def second_broken(ask: Ask, due: float, now: float) -> Outcome:
        return (broken if ask.address == "10.0.0.2:80" else well)(ask, due, now)

    run.world.answer = second_broken
    run.engine.assign(pods("10.0.0.1:80", "10.0.0.2:80", latency_limit_s=0.3))
    told = await run.go(1)
    addresses = {address for one in told for address in one.faults}
    assert addresses == {"10.0.0.2:80"}
    faults = [one.faults["10.0.0.2:80"] for one in told if one.faults]
    assert sum(base.bad for base, _ in faults) == sum(one.base.bad for one in told) > 0
    assert sum(base.slow for base, _ in faults) == sum(one.base.slow for one in told) > 0


async def test_over_the_cap_the_apex_is_lowered_first() -> None:
    """The report says, by assignment, what the cap left of a rate."""
    run = Run(cap_per_s=15 / BASE_SHARE)
    run.engine.assign(path(1, priority=0))
    run.engine.assign(path(2, priority=1))
    run.engine.assign(path(3, priority=2))
    told = await run.go(4)
    by_way = dict.fromkeys((1, 2, 3), 0)
    for one in told:
        by_way[one.assignment] += one.base.sent
    assert 38 <= by_way[1] <= 41
    assert 17 <= by_way[2] <= 21
    assert by_way[3] == 0
    assert run.reports[-1].throttled == {2: lowered(5.0), 3: 0.0}
    run.engine.withdraw(Withdraw(1))
    await run.go(0.2)
    assert run.reports[-1].throttled == {3: lowered(5.0)}
    await run.engine.close()


async def test_streams_share_one_cap() -> None:
    """What one stream wants lowers another's rate, and its end gives it back."""
    first, second = Run(cap_per_s=10 / BASE_SHARE), Run(cap_per_s=10 / BASE_SHARE)
    second.engine._rates._capacity = first.capacity
    first.engine.assign(path(1))
    second.engine.assign(path(1))
    await second.go(0.1)
    await first.go(0.1)
    assert first.reports[-1].throttled == {1: lowered(5.0)}
    await second.engine.close()
    await first.go(0.1)
    assert first.reports[-1].throttled == {}
    await first.engine.close()


async def test_draining_voids_what_is_due_from_then_on(run: Run) -> None:
    """After SIGTERM nothing is sent, what was due before is told and good, the rest is discarded."""
    run.world.hold = asyncio.Event()
    run.engine.assign(path(rate_per_s=100.0))
    await run.go(1.05)
    run.engine.drain()
    at, asked = slot_of(run.world.now), len(run.world.asked)
    with pytest.raises(NotServedError, match="ending"):
        run.engine.assign(path(2))
    await run.go(0.5)
    assert not run.engine.is_drained
    assert run.reports[-1].discarded == "draining"
    run.world.hold.set()
    told = await run.go(0.3)
    assert run.engine.is_drained
    assert len(run.world.asked) == asked == sent(told)
    last = at - slot_of(START + STEP_S)
    assert {one.discarded for one in told if one.number < last} == {""}
    assert {one.discarded for one in told if one.number >= last} == {"draining"}


async def test_a_stream_takes_each_id_once_at_a_time(run: Run) -> None:
    """An id that is there is refused, and so is one that is not there to change."""
    run.engine.assign(path())
    with pytest.raises(NotServedError, match="still there"):
        run.engine.assign(path())
    with pytest.raises(NotServedError, match="not of route pods"):
        run.engine.readdress(Readdress(1, ()))
    with pytest.raises(NotServedError, match="no assignment 2"):
        run.engine.readdress(Readdress(2, ()))
    with pytest.raises(NotServedError, match="no assignment 2"):
        run.engine.withdraw(Withdraw(2))


async def test_a_burst_may_be_more_than_the_base_rate_tells(run: Run) -> None:
    """A path asked once a second bursts to fifty, as its assignment says, and is asked once a second again."""
    run.engine.assign(path(rate_per_s=1.0, burst_per_s=49.0))
    run.world.answer = broken
    await run.go(1.2)
    run.world.answer = well
    bursting = await run.go(5)
    assert 240 <= sum(one.burst.sent for one in bursting) <= 250
    assert 4 <= sent(bursting) <= 6
    await run.go(10)
    assert sum(one.burst.sent for one in await run.go(3)) == 0


async def test_what_was_withdrawn_takes_no_place(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """All paths can be assigned anew at once, while probes of the old assignments are under way."""
    monkeypatch.setattr("prober.engine.MAX_ASSIGNMENTS", 2)
    run.world.hold = asyncio.Event()
    for number in (1, 2):
        run.engine.assign(path(number))
    await run.go(1)
    for number in (1, 2):
        run.engine.withdraw(Withdraw(number))
    for number in (3, 4):
        run.engine.assign(path(number))
    with pytest.raises(NotServedError, match="at most 2"):
        run.engine.assign(path(5))


async def test_assignments_are_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream serves so many assignments and no more."""
    monkeypatch.setattr("prober.engine.MAX_ASSIGNMENTS", 2)
    run.engine.assign(path(1))
    run.engine.assign(path(2))
    with pytest.raises(NotServedError, match="at most 2"):
        run.engine.assign(path(3))


async def test_a_report_is_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into a report is told by the next, and nothing is lost."""
    monkeypatch.setattr("prober.engine.MAX_SAMPLES", 1)
    for number in range(3):
        run.engine.assign(path(number))
    told = await run.go(3)
    assert all(len(report.samples) <= 1 for report in run.reports)
    assert sent(told) >= 80


async def test_a_closed_engine_sends_nothing(run: Run) -> None:
    """Closing stops every probe, and gives the rates back."""
    run.world.hold = asyncio.Event()
    run.engine.assign(path())
    await run.go(1)
    assert metric(run.metrics, "probes_in_flight") > 0
    await run.engine.close()
    assert metric(run.metrics, "probes_in_flight") == 0
    assert metric(run.metrics, "assignments") == 0
    assert run.capacity.totals() == (0.0, 0.0)
