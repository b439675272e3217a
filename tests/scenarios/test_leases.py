"""Two controllers by two Leases, and a Lease that is another one now: who may raise is seen by the records."""

from __future__ import annotations

import pytest

from controller.domain import Phase
from tests.scenarios.world import World
from tests.scenarios.world_replica import Replica

RENEWS_S = 5.0
BOTH = ("legacy", "eks")


def risen(dwell: str = "1s") -> World:
    """A migration to eks with both clusters' callers at 25 %, by a controller whose Lease is in legacy."""
    world = World()
    world.begin_on_legacy()
    world.ask(steps="25,50", dwell=dwell)
    world.until_share(250)
    return world


def second(world: World) -> Replica:
    """Start another controller, with settings that name a Lease in eks."""
    found = Replica(world, "eks", lease="eks")
    world.replicas.append(found)
    return found


def lead(world: World, seconds: float) -> None:
    """Let time pass; each leader takes a token above the records when it renews its Lease."""
    for _ in range(round(seconds / RENEWS_S)):
        world.run(RENEWS_S)
        for replica in world.replicas:
            if replica.store.terms.newest > replica.fencing_token:
                replica.fencing_token = replica.store.terms.newest + 1
                replica.reconciler.requeue_all()


def reasons(world: World) -> list[str]:
    """Return why each controller does not advance, as decided last."""
    decided = [replica.decided(next(iter(replica.observed))) for replica in world.replicas]
    return [d.ruling.reason if d and d.ruling else "" for d in decided]


def test_two_controllers_by_two_leases_both_say_so_and_neither_raises() -> None:
    """Each learns of the other by the records that it writes; once one is gone, the other goes on."""
    world = risen()
    other = second(world)
    lead(world, 10)
    shares = world.shares()
    lead(world, 120)
    assert world.shares() == shares != (1000, 1000)
    assert reasons(world) == ["TwoLeases", "TwoLeases"]
    assert "eks/migrate/migrate-controller and one by legacy/migrate" in world.message
    assert all(world.serves(callers) for callers in BOTH)
    world.kill(other)
    lead(world, 60)
    world.until_share(1000)


def test_two_controllers_by_two_leases_write_seldom() -> None:
    """They answer each other when they renew, and do not write over each other's words in between."""
    world = risen()
    second(world)
    lead(world, 60)
    writes, statuses = len(world.writes), len(world.statuses)
    lead(world, 60)
    assert len(world.writes) - writes <= 2 * 2 * 60 / RENEWS_S
    assert len(world.statuses) - statuses <= 60


@pytest.mark.parametrize("gone", [False, True])
def test_two_controllers_by_two_leases_both_roll_back(gone: bool) -> None:
    """Whoever sees a target FAIL rolls back, also the one whose token is the lower."""
    world = risen()
    second(world)
    lead(world, 20)
    if gone:
        world.kill(world.replica)
    for callers in BOTH:
        world.fault(callers, "target")
    world.run(10)
    assert world.shares() == (0, 0)
    assert world.phase is Phase.REVERTED


def test_one_whose_fleet_is_paused_answers() -> None:
    """Also a controller that would not raise anyway lets the other know of it."""
    world = risen()
    other = second(world)
    other.settle(paused=True)
    lead(world, 60)
    assert reasons(world)[0] == "TwoLeases"
    assert world.shares() != (1000, 1000)


def test_a_lease_in_another_cluster_is_taken_over_from() -> None:
    """With ``lease.cluster`` changed nobody answers: after a while it goes on, and nothing of two Leases was told."""
    world = risen()
    world.kill(world.replica)
    second(world)
    told = set()
    world.on_look.append(
        lambda _, observed, plan: told.add(plan.ruling.reason if plan.ruling else "")
    )
    began_s = world.now_s
    lead(world, 90)
    world.until_share(1000)
    assert "TwoLeases" not in told
    assert "TakingOver" in told
    raised_s = next(w.at_s for w in world.writes if w.at_s > began_s and w.share > 250)
    assert raised_s - began_s >= 30


@pytest.mark.parametrize("leads", [True, False])
def test_a_pin_is_put_back_by_whoever_may_roll_back(leads: bool) -> None:
    """Under a Lease that began anew, with records above its token, a pin that goes is put back at once."""
    world = risen(dwell="1h")
    world.kill(world.replica)
    world.join("legacy", fencing_token=0, leads=leads)
    world.run(5)
    assert world.reason == "NoLease"
    world.delete_pin("eks")
    world.run(1)
    assert world.pin("eks") is not None
    assert world.serves("legacy")


def test_who_may_not_roll_back_puts_no_pin_back() -> None:
    """While another is known to lead, pins are his to put back."""
    world = risen(dwell="1h")
    world.kill(world.replica)
    world.join("legacy", fencing_token=0, leads=False).may_roll_back = False
    world.delete_pin("eks")
    world.run(5)
    assert world.pin("eks") is None
