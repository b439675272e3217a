from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.kube.api import AlreadyExists, ApiError, Chance, Conflict, NotFound, Unavailable
from controller.kube.objects import (
    DECODERS,
    KubeObject,
    LeaseObject,
    Metadata,
    Resource,
    Undecodable,
)
from controller.runtime.lease import Acquire, Leader, ObservedLease, Renew, Step, Wait, step
from controller.runtime.settings import LeaseSettings

DURATION_S = 15.0
LOG = structlog.wrap_logger(structlog.ReturnLogger())


class VirtualTime:
    """A clock that moves only when told; who sleeps wakes in order."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def monotonic(self) -> float:
        """The virtual time in seconds."""
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Wait for virtual time to pass."""
        self._count += 1
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now_s + seconds, self._count, woken))
        await woken

    async def settle(self) -> None:
        """Let everybody run who can."""
        for _ in range(30):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let virtual time pass, waking sleepers in order."""
        end_s = self.now_s + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            due_s, _, woken = heapq.heappop(self._sleepers)
            self.now_s = max(self.now_s, due_s)
            if not woken.done():
                woken.set_result(None)
            await self.settle()
        self.now_s = end_s
        await self.settle()


class Store:
    """The leases of an API server, in memory; each candidate has its own line to it (see Wire)."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.lease: dict[str, Any] | None = None
        self.version = 0

    def write(self, spec: Mapping[str, Any], expected: str | None) -> LeaseObject:
        """Make the lease (expected None), or change the version expected."""
        if expected is None:
            if self.lease is not None:
                raise AlreadyExists("exists", status=409)
            self.lease = {"metadata": {"name": "l", "namespace": "n"}, "spec": {}}
        elif self.lease is None:
            raise NotFound("gone", status=404)
        elif expected != str(self.version):
            raise Conflict("changed", status=409)
        self.version += 1
        self.lease["spec"] |= spec
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return self.read()

    def read(self) -> LeaseObject:
        """Read the lease."""
        if self.lease is None:
            raise NotFound("none", status=404)
        found = DECODERS[Resource.LEASES](json.dumps(self.lease).encode())
        assert not isinstance(found, Undecodable)
        assert isinstance(found, LeaseObject)
        return found


class Wire:
    """One candidate's line to the store, which a test may cut, or make lose answers or hang."""

    def __init__(self, store: Store, skew: timedelta = timedelta(0)) -> None:
        self.store = store
        self.skew = skew
        self.fails: ApiError | None = None
        self.loses_answers = False
        self.hangs = False
        self.answer_delay_s = 0.0
        self.calls: list[str] = []

    def now(self) -> datetime | None:
        """Return the wall clock of the machine at this end."""
        return (
            datetime(2024, 1, 1, tzinfo=UTC) + self.skew + timedelta(seconds=self.store.time.now_s)
        )

    async def _pass(self, verb: str) -> None:
        self.calls.append(verb)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails

    async def get(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        """Read, as a Cluster does."""
        assert (resource, namespace, name) == (Resource.LEASES, "n", "l")
        await self._pass("get")
        return self.store.read()

    async def create(
        self, resource: Resource, namespace: str, body: Mapping[str, Any]
    ) -> KubeObject:
        """Create, as a Cluster does."""
        assert (resource, namespace, body["metadata"]["name"]) == (Resource.LEASES, "n", "l")
        await self._pass("create")
        return await self._answer(self.store.write(body["spec"], None))

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]
    ) -> KubeObject:
        """Patch, as a Cluster does."""
        assert (resource, namespace, name) == (Resource.LEASES, "n", "l")
        await self._pass("patch")
        return await self._answer(
            self.store.write(body["spec"], body["metadata"]["resourceVersion"])
        )

    async def _answer(self, lease: LeaseObject) -> LeaseObject:
        if self.answer_delay_s:
            await self.store.time.sleep(self.answer_delay_s)
        if self.loses_answers:
            raise Unavailable("connection lost", outcome_unknown=True)
        return lease


class Candidate:
    """A leader to be, its line, and what it told."""

    def __init__(
        self, time: VirtualTime, store: Store, name: str, skew: timedelta = timedelta(0)
    ) -> None:
        self.wire = Wire(store, skew)
        self.told: list[tuple[bool, int]] = []
        self.newest = 0
        self.leader = Leader(
            self.wire,
            LeaseSettings(cluster="c", namespace="n", name="l", duration_s=DURATION_S),
            name,
            newest=lambda: self.newest,
            changed=lambda: self.told.append((self.leader.leads, self.leader.fencing_token)),
            log=LOG,
            chance=Chance(sleep=time.sleep, monotonic=time.monotonic, draw=lambda: 0.5),
        )


@asynccontextmanager
async def running(*candidates: Candidate) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run them for the length of a block."""
    tasks = [asyncio.create_task(candidate.leader.run()) for candidate in candidates]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def lease(
    holder: str = "other", transitions: int = 4, duration_s: float | None = 15
) -> LeaseObject:
    """Return a lease as another may hold it."""
    return LeaseObject(Metadata("l"), holder, duration_s, transitions, "a", "r")


@pytest.mark.parametrize(
    ("found", "unchanged_since_s", "held_until_s", "expected"),
    [
        (None, 0, 0, Acquire(8)),
        (lease(holder=""), 100, 0, Acquire(8)),
        (lease(transitions=9, holder=""), 100, 0, Acquire(10)),
        (lease(), 100, 0, Wait(15)),
        (lease(), 90, 0, Wait(5)),
        (lease(), 85, 0, Acquire(8)),
        (lease(duration_s=None), 85, 0, Wait(15)),
        (lease(duration_s=0), 85, 0, Wait(15)),
        (lease(duration_s=1e9), 85, 0, Wait(15)),
        (lease(holder="me"), 100, 101, Renew()),
        (lease(holder="me"), 100, 100, Acquire(8)),
        (lease(holder="me"), 100, 0, Acquire(8)),
    ],
)
def test_step(
    found: LeaseObject | None, unchanged_since_s: float, held_until_s: float, expected: Step
) -> None:
    """The next step at 100 s of a candidate whose own duration is 30 s and who has seen fencing token 7."""
    observed = ObservedLease(found, unchanged_since_s, held_until_s, highest=7, duration_s=30)
    assert step(observed, "me", 100) == expected


async def test_first_candidate_leads_and_renews() -> None:
    """Where there is no lease it is made, and then renewed for hours in one fencing token."""
    time = VirtualTime()
    one = Candidate(time, Store(time), "one")
    async with running(one):
        await time.advance(1)
        assert (one.leader.leads, one.leader.fencing_token) == (True, 1)
        await time.advance(7200)
        assert (one.leader.leads, one.leader.fencing_token) == (True, 1)
    assert one.told == [(True, 1), (False, 1)]
    renewals = one.wire.calls.count("patch")
    assert 7200 / DURATION_S * 3 * 0.8 <= renewals <= 7200 / DURATION_S * 3 * 1.25


async def test_second_waits_until_the_first_is_silent() -> None:
    """A dead leader is followed within its duration and a look, in a higher fencing token, and not before."""
    time = VirtualTime()
    store = Store(time)
    one, two = Candidate(time, store, "one"), Candidate(time, store, "two")
    async with running(one):
        await time.advance(1)
        async with running(two):
            await time.advance(100)
            assert (one.leader.leads, two.leader.leads) == (True, False)
            one.wire.fails = Unavailable("cut")
            await time.advance(DURATION_S)
            assert not one.leader.leads
            await time.advance(DURATION_S)
            assert (two.leader.leads, two.leader.fencing_token) == (True, 2)
            one.wire.fails = None
            await time.advance(60)
            assert (one.leader.leads, one.leader.fencing_token) == (False, 2)


async def test_release_lets_the_next_lead_at_once() -> None:
    """Who stops gives the lease back, so that the next does not wait for it to run out."""
    time = VirtualTime()
    store = Store(time)
    one, two = Candidate(time, store, "one"), Candidate(time, store, "two")
    async with running(one) as tasks:
        await time.advance(1)
        async with running(two):
            await time.advance(30)
            tasks[0].cancel()
            await time.settle()
            assert store.read().holder == ""
            assert not one.leader.leads
            await time.advance(DURATION_S / 3 * 1.3)
            assert (two.leader.leads, two.leader.fencing_token) == (True, 2)


@pytest.mark.parametrize(
    ("found", "climbed_s", "expected"),
    [
        (None, 0, Acquire(51)),
        (lease(holder=""), 0, Acquire(51)),
        (lease(holder="me"), 70, Acquire(51)),
        (lease(holder="me"), 71, Renew()),
        (lease(holder="me", transitions=50), 0, Renew()),
        (lease(), 0, Wait(15)),
    ],
)
def test_a_token_is_taken_above_every_record(
    found: LeaseObject | None, climbed_s: float, expected: Step
) -> None:
    """Where records hold token 50, who takes or holds the lease takes a higher one, and another's is left to him."""
    observed = ObservedLease(found, 100, 101, 7, 30, newest=50, climbed_s=climbed_s)
    assert step(observed, "me", 100) == expected


async def test_records_that_come_to_light_later_are_climbed_above() -> None:
    """A leader that sees a higher token in a record takes one above it at its next renewal, and leads all the while."""
    time = VirtualTime()
    store = Store(time)
    one = Candidate(time, store, "one")
    async with running(one):
        await time.advance(1)
        one.newest = 50
        await time.advance(DURATION_S)
        assert one.told == [(True, 1), (True, 51)]
        assert store.lease is not None
        assert store.lease["spec"]["leaseTransitions"] == 51


async def test_two_leaders_that_climb_above_each_other_do_so_once_in_a_duration() -> None:
    """A record that is always newer is climbed above once in a duration: it is another Lease's leader who answers."""
    time = VirtualTime()
    one = Candidate(time, Store(time), "one")
    async with running(one):
        for _ in range(60):
            await time.advance(1)
            one.newest = one.leader.fencing_token + 1
    assert 3 <= one.leader.fencing_token / 2 <= 6


async def test_a_token_is_not_taken_above_a_newer_leaders() -> None:
    """Who lost the lease without knowing it climbs above nobody: the write that takes a token meets a conflict."""
    time = VirtualTime()
    store = Store(time)
    one = Candidate(time, store, "one")
    async with running(one):
        await time.advance(1)
        store.write({"holderIdentity": "two", "leaseTransitions": 2}, str(store.version))
        one.newest = 2
        await time.advance(DURATION_S / 2)
        assert (one.leader.leads, one.leader.fencing_token) == (False, 2)


async def test_leading_ends_before_the_lease_even_while_a_renewal_hangs() -> None:
    """A renewal that hangs does not keep the end of leading from being told in time."""
    time = VirtualTime()
    one = Candidate(time, Store(time), "one")
    async with running(one):
        await time.advance(1)
        one.wire.hangs = True
        await time.advance(DURATION_S * 0.8)
        assert one.told == [(True, 1), (False, 1)]


async def test_time_counts_from_the_sending() -> None:
    """An answer that comes late does not lengthen the time of leading."""
    time = VirtualTime()
    one = Candidate(time, Store(time), "one")
    one.wire.answer_delay_s = 4.0
    async with running(one):
        await time.advance(4.5)
        assert one.leader.leads
        one.wire.hangs = True
        await time.advance(DURATION_S * 0.8 - 4.5)
        assert not one.leader.leads


async def test_what_is_left_runs_down() -> None:
    """What is left of the time of leading is told, from most of the duration down to nothing."""
    time = VirtualTime()
    one = Candidate(time, Store(time), "one")
    assert one.leader.left_s == 0.0
    async with running(one):
        await time.settle()
        assert one.leader.left_s == DURATION_S * 0.8
        one.wire.hangs = True
        await time.advance(10)
        assert one.leader.left_s == pytest.approx(DURATION_S * 0.8 - 10)
        await time.advance(10)
        assert one.leader.left_s == 0.0


async def test_going_home_needs_nobody_else_who_leads() -> None:
    """Callers may be rolled back by who leads, and by who heard nothing of a leader for its duration."""
    time = VirtualTime()
    store = Store(time)
    one, two = Candidate(time, store, "one"), Candidate(time, store, "two")
    assert not two.leader.may_roll_back
    async with running(one):
        await time.advance(1)
        assert one.leader.may_roll_back
        async with running(two):
            await time.advance(60)
            assert not two.leader.may_roll_back
            two.wire.fails = Unavailable("cut")
            await time.advance(DURATION_S / 2)
            assert not two.leader.may_roll_back
            await time.advance(DURATION_S)
            assert two.leader.may_roll_back
            assert not two.leader.leads


async def test_again_after_expiry_is_a_new_epoch() -> None:
    """Who could not renew in time may lead again, but as a new fencing token, though nobody else led."""
    time = VirtualTime()
    one = Candidate(time, Store(time), "one")
    async with running(one):
        await time.advance(1)
        one.wire.fails = Unavailable("cut")
        await time.advance(60)
        assert not one.leader.leads
        one.wire.fails = None
        await time.advance(DURATION_S)
        assert (one.leader.leads, one.leader.fencing_token) == (True, 2)


async def test_short_trouble_keeps_the_epoch() -> None:
    """A renewal that fails once is repeated before the time is over, in the same fencing token."""
    time = VirtualTime()
    one = Candidate(time, Store(time), "one")
    async with running(one):
        await time.advance(1)
        one.wire.fails = Unavailable("cut")
        await time.advance(6)
        one.wire.fails = None
        await time.advance(60)
        assert one.told == [(True, 1)]


async def test_lost_answers_do_not_lead() -> None:
    """A write whose answer is lost is no success; when answers come again there is one leader."""
    time = VirtualTime()
    one = Candidate(time, Store(time), "one")
    one.wire.loses_answers = True
    async with running(one):
        await time.advance(60)
        assert not one.leader.leads
        one.wire.loses_answers = False
        await time.advance(DURATION_S)
        assert one.leader.leads
        assert one.leader.fencing_token == one.wire.store.read().transitions


async def test_trouble_is_no_storm() -> None:
    """In ten minutes of failures a candidate asks a few hundred times at most, with jittered waits."""
    time = VirtualTime()
    one = Candidate(time, Store(time), "one")
    one.wire.fails = Unavailable("503")
    async with running(one):
        await time.advance(600)
    assert len(one.wire.calls) <= 600 / (DURATION_S / 3 / 2) + 20


async def test_retry_after_is_obeyed() -> None:
    """When the server asks for a pause nothing is sent in it."""
    time = VirtualTime()
    one = Candidate(time, Store(time), "one")
    one.wire.fails = Unavailable("429", retry_after_s=50.0)
    async with running(one):
        await time.advance(49)
        assert len(one.wire.calls) == 1


async def test_deleted_lease_never_lowers_the_epoch() -> None:
    """A lease that was deleted is made anew, one above the highest fencing token seen."""
    time = VirtualTime()
    store = Store(time)
    one = Candidate(time, store, "one")
    async with running(one):
        await time.advance(1)
        store.lease = None
        await time.advance(DURATION_S)
        assert (one.leader.leads, one.leader.fencing_token) == (True, 2)
    assert one.told == [(True, 1), (False, 1), (True, 2), (False, 2)]


async def test_an_edit_by_a_third_hand_is_looked_at() -> None:
    """A conflict that left the lease ours is renewed over; one that took it ends leading at once."""
    time = VirtualTime()
    store = Store(time)
    one = Candidate(time, store, "one")
    async with running(one):
        await time.advance(1)
        store.write({}, str(store.version))
        await time.advance(10)
        assert one.told == [(True, 1)]
        store.write({"holderIdentity": "thief", "leaseTransitions": 9}, str(store.version))
        await time.advance(6)
        assert one.told == [(True, 1), (False, 9)]


@settings(max_examples=25, deadline=None)
@given(
    skews=st.tuples(*[st.sampled_from([-3600, 0, 3600])] * 2),
    story=st.lists(
        st.tuples(
            st.sampled_from(["one", "two"]),
            st.sampled_from(["ok", "cut", "lossy", "slow"]),
            st.floats(0.1, 30),
        ),
        max_size=12,
    ),
)
def test_never_two_lead(skews: tuple[int, int], story: list[tuple[str, str, float]]) -> None:
    """Whatever lines break and however wall clocks differ, at no moment two lead, and fencing token only rise."""

    async def live() -> None:
        time = VirtualTime()
        store = Store(time)
        pair = {
            name: Candidate(time, store, name, timedelta(seconds=skew))
            for name, skew in zip(("one", "two"), skews, strict=True)
        }
        highest = 0
        async with running(*pair.values()):
            for name, state, seconds in story:
                wire = pair[name].wire
                wire.fails = Unavailable("cut") if state == "cut" else None
                wire.loses_answers = state == "lossy"
                wire.answer_delay_s = 4.5 if state == "slow" else 0.0
                for _ in range(int(seconds / 0.5) + 1):
                    await time.advance(0.5)
                    leading = [c.leader.fencing_token for c in pair.values() if c.leader.leads]
                    assert len(leading) <= 1
                    assert all(fencing_token >= highest for fencing_token in leading)
                    highest = max([highest, *leading])
            for candidate in pair.values():
                candidate.wire.fails = None
                candidate.wire.loses_answers = False
                candidate.wire.answer_delay_s = 0.0
            await time.advance(60)
            assert sum(c.leader.leads for c in pair.values()) == 1

    asyncio.run(live())
