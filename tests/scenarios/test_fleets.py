"""Fleets: many Services as one programme, with the reconciler that ships."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from controller.domain import PREFIX, WHOLE, Key, Phase
from controller.kube.objects import Freshness, Resource
from tests.scenarios.world import QUICK, World

NAME = "to-eks"
DEFAULTS = {key: value for key, value in QUICK.items() if key != "target"}


def wave(name: str, *services: str, **more: Any) -> dict[str, Any]:
    """Return a wave of these Services."""
    return {"name": name, "services": [{"namespace": "default", "names": [*services]}], **more}


def put(world: World, *waves: dict[str, Any], name: str = NAME, **spec: Any) -> None:
    """Write a Fleet as a platform team does."""
    annotations = spec.pop("annotations", {})
    world.apis["legacy"].put(
        Resource.FLEETS,
        {
            "metadata": {"name": name, "namespace": "", "annotations": annotations},
            "spec": {"target": "eks", "defaults": DEFAULTS, "waves": [*waves], **spec},
        },
    )


def by_hand(world: World, key: str, value: str | None, name: str = NAME) -> None:
    """Write an annotation of a Fleet, or take it away."""
    body = {"metadata": {"annotations": {PREFIX + key: value}}}
    world.apis["legacy"].patch(Resource.FLEETS, "", name, body, manager="kubectl-annotate")


def key(service: str) -> Key:
    """Return a Service's key."""
    return Key("default", service)


def phase(world: World, service: str) -> Phase | None:
    """Return what was decided last for a Service."""
    plan = world.replica.decided(key(service))
    return plan.phase if plan else None


def reason(world: World, service: str) -> str:
    """Return why it does not advance."""
    plan = world.replica.decided(key(service))
    return plan.ruling.reason.value if plan and plan.ruling else ""


def test_services_that_say_nothing_move_wave_by_wave() -> None:
    """What no annotation asks for moves as its Fleet says, and the second wave begins when the first is completed."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a"), wave("two", "b"))
    world.until(lambda: world.shares(key=key("a"))[0] >= 100)
    assert (world.shares(key=key("b"))[0], reason(world, "b")) == (0, "WaveWaits")
    world.until(lambda: phase(world, "a") is Phase.COMPLETED, limit_s=5000)
    world.until(lambda: world.shares(key=key("b")) == (WHOLE, WHOLE), limit_s=5000)
    record = world.record("legacy", key("b"))
    assert record is not None
    assert record.attempt is not None
    assert record.attempt.asked_by == "fleet/to-eks/two"


def test_a_wave_that_opens_by_hand_waits_for_a_person() -> None:
    """A wave that opens by hand begins when an annotation of its Fleet names it, and not before."""
    world = World(services=("a",))
    put(world, wave("one", "a", opens="byHand"))
    world.run(120)
    assert (world.shares(key=key("a"))[0], reason(world, "a")) == (0, "WaveWaits")
    by_hand(world, "open", "one")
    world.until(lambda: world.shares(key=key("a"))[0] >= 100)


def test_a_rollback_of_the_fleet_takes_everybody_back() -> None:
    """Who is shifted goes back to the baseline at one annotation of the Fleet, and stays when it is taken away."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a", "b"))
    world.until(lambda: all(world.shares(key=key(s))[0] >= 100 for s in "ab"))
    by_hand(world, "rollback", "all")
    world.until(lambda: all(phase(world, s) is Phase.REVERTED for s in "ab"), limit_s=30)
    assert {world.shares(key=key(s))[0] for s in "ab"} == {0}
    by_hand(world, "rollback", None)
    world.run(60)
    assert {(world.shares(key=key(s))[0], reason(world, s)) for s in "ab"} == {(0, "FleetRollback")}


def test_a_paused_fleet_stands_still_and_goes_on() -> None:
    """While the annotation paused is there no share of the Fleet rises; a bad target is still left."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a", "b"))
    world.until(lambda: all(world.shares(key=key(s))[0] == 100 for s in "ab"))
    by_hand(world, "paused", "true")
    world.run(2)
    before = {s: world.shares(key=key(s)) for s in "ab"}
    world.run(120)
    assert {s: world.shares(key=key(s)) for s in "ab"} == before
    assert {reason(world, s) for s in "ab"} == {"FleetPaused"}
    by_hand(world, "paused", None)
    world.until(lambda: all(world.shares(key=key(s))[0] == 999 for s in "ab"), limit_s=3000)


def test_one_of_a_wave_that_moves_together_takes_the_others_back() -> None:
    """Where one of a wave that moves together is rolled back, so is every other one that is shifted."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a", "b", together=True))
    world.until(lambda: all(world.shares(key=key(s))[0] >= 100 for s in "ab"))
    world.annotate(key=key("a"), abort="true")
    world.until(lambda: all(phase(world, s) is Phase.REVERTED for s in "ab"), limit_s=30)
    assert (reason(world, "a"), reason(world, "b")) == ("Aborted", "TogetherReverted")
    assert world.shares(key=key("b"))[0] == 0


def status(world: World, name: str = NAME) -> dict[str, Any]:
    """Return the status of a Fleet as it was written."""
    found = world.apis["legacy"].get(Resource.FLEETS, "", name)
    told: dict[str, Any] = found.get("status", {})
    return told


def test_the_status_says_how_far_it_is_and_what_opens_next() -> None:
    """The status counts who stands where, names the wave that is under way, and says what the next one waits for."""
    world = World(services=("a", "b", "c"))
    put(world, wave("one", "a"), wave("two", "b", "c", opens="byHand", bake="2m"))
    world.until(lambda: status(world).get("counts", {}).get("underWay") == 1)
    told = status(world)
    assert (told["state"], told["wave"], told["moved"]) == ("Open", "1/2 one", "0/3")
    assert (told["origin"], told["waves"][1]["state"]) == ("legacy", "Waiting")
    assert told["opensNext"]["how"] == "byHand"
    assert told["waves"][1]["message"] == (
        "Waits for one (1 left: default/a), then for a person: kubectl migrate fleet open two"
    )
    world.until(lambda: status(world)["wave"] == "2/2 two", limit_s=5000)
    by_hand(world, "open", "two")
    world.until(lambda: status(world)["moved"] == "3/3", limit_s=9000)
    world.until(lambda: status(world)["waves"][1]["state"] == "Baking")
    world.run(130)
    told = status(world)
    assert (told["state"], told["wave"], told["waves"][1]["message"]) == (
        "Completed",
        "",
        "Completed",
    )
    assert {c["type"]: c["status"] for c in told["conditions"]} == {
        "Valid": "True",
        "Progressing": "False",
        "Completed": "True",
    }


def test_what_comes_to_be_otherwise_is_told_once() -> None:
    """Each wave that opens and is completed has one Event on the Fleet, also over a restart."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a"), wave("two", "b"))
    world.until(lambda: status(world).get("wave") == "2/2 two", limit_s=5000)
    world.crash()
    world.until(lambda: status(world)["moved"] == "2/2", limit_s=5000)
    world.run(30)
    told = [
        (body["reason"], body.get("count", 1), body["involvedObject"]["kind"])
        for body in world.apis["legacy"].bodies(Resource.EVENTS)
        if body["involvedObject"]["name"] == NAME
    ]
    assert sorted(told) == [
        *[("WaveCompleted", 1, "Fleet")] * 2,
        *[("WaveOpened", 1, "Fleet")] * 2,
    ]


def at(world: World, seconds: float) -> str:
    """Return the time in so many seconds as people write it."""
    return (world.now + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def deny(world: World, after_s: float, for_s: float) -> dict[str, Any]:
    """Return a window that is closed from then on, for so long."""
    begins, ends = at(world, after_s), at(world, after_s + for_s)
    return {"kind": "deny", "from": begins, "until": ends, "reason": "freeze"}


def test_in_a_closed_window_nothing_rises_and_a_bad_target_is_left() -> None:
    """While a window is closed shares stand still, who turns bad is rolled back, and the others go on when it opens."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a", "b"))
    world.until(lambda: all(world.shares(key=key(s))[0] == 100 for s in "ab"))
    put(world, wave("one", "a", "b"), windows=[deny(world, 2, 300)])
    world.run(3)
    stood = {s: world.shares(key=key(s)) for s in "ab"}
    world.run(120)
    assert {s: world.shares(key=key(s)) for s in "ab"} == stood
    assert {reason(world, s) for s in "ab"} == {"WindowClosed"}
    assert status(world)["window"]["closed"]
    world.annotate(key=key("a"), abort="true")
    world.until(lambda: phase(world, "a") is Phase.REVERTED, limit_s=10)
    world.until(lambda: world.shares(key=key("b"))[0] > stood["b"][0], limit_s=300)
    assert not status(world)["window"]["closed"]


def test_a_soak_goes_on_and_ends_in_a_closed_window() -> None:
    """A window that closes in a soak does not keep its Service from being completed."""
    world = World(services=("a",))
    put(world, wave("one", "a"), defaults={**DEFAULTS, "soak": "60s"})
    world.until(lambda: world.shares(key=key("a"))[0] == 999, limit_s=3000)
    put(
        world,
        wave("one", "a"),
        defaults={**DEFAULTS, "soak": "60s"},
        windows=[deny(world, 0, 9000)],
    )
    world.until(lambda: phase(world, "a") is Phase.COMPLETED, limit_s=200)


def test_reverts_stop_the_line_until_a_person_resumes_it() -> None:
    """After so many reverts by evidence nobody of the Fleet rises, restart or not, until resumed-at is written."""
    world = World(services=("a", "b", "c"))
    line: dict[str, Any] = {"stopTheLine": {"reverts": 1, "within": "24h"}}
    steps: dict[str, Any] = {"defaults": {**DEFAULTS, "dwell": "60s"}}
    put(world, wave("one", "a", "b"), wave("two", "c"), **line, **steps)
    world.until(lambda: all(world.shares(key=key(s))[0] == 10 for s in "ab"))
    world.set_pods("eks", [], key("a"))
    world.until(lambda: phase(world, "a") is Phase.REVERTED, limit_s=60)
    world.run(5)
    stood = world.shares(key=key("b"))
    world.crash()
    world.run(300)
    assert (world.shares(key=key("b")), reason(world, "b")) == (stood, "LineStopped")
    told = status(world)
    assert (told["state"], told["line"]["services"]) == ("Stopped", ["default/a"])
    by_hand(world, "resumed-at", at(world, 0))
    world.until(lambda: world.shares(key=key("b"))[0] > stood[0], limit_s=300)


def test_what_people_abort_stops_no_line() -> None:
    """An abort is no evidence, so the line goes on."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a", "b"), stopTheLine={"reverts": 1, "within": "24h"})
    world.until(lambda: all(world.shares(key=key(s))[0] >= 10 for s in "ab"))
    world.annotate(key=key("a"), abort="true")
    world.until(lambda: phase(world, "b") is Phase.COMPLETED, limit_s=5000)


def test_an_excluded_service_moves_by_its_owners_word_alone() -> None:
    """Who is excluded, by a Service or by its namespace, moves by no Fleet and keeps no wave waiting."""
    world = World(services=("a", "b"))
    world.annotate(key=key("a"), excluded="true")
    put(world, wave("one", "a"), wave("two", "b"))
    world.until(lambda: world.shares(key=key("b"))[0] >= 100)
    assert world.shares(key=key("a"))[0] == 0
    assert (status(world)["excluded"], status(world)["counts"]["total"]) == (["default/a"], 1)
    world.ask(key=key("a"))
    world.until(lambda: world.shares(key=key("a"))[0] >= 100)
    space = {"name": "default", "annotations": {f"{PREFIX}excluded": "true"}}
    world.apis["eks"].put_as_it_is(Resource.NAMESPACES, {"metadata": space})
    world.until(lambda: status(world)["counts"]["total"] == 0)


def test_the_owners_word_goes_first_key_by_key() -> None:
    """What a Service says itself it keeps, the rest is its Fleet's, and where its wish comes from is recorded."""
    world = World(services=("a", "b"))
    world.annotate(key=key("a"), dwell="7s")
    world.annotate(key=key("b"), target="eks")
    put(world, wave("one", "a", "b"))
    world.until(lambda: all(world.shares(key=key(s))[0] >= 10 for s in "ab"))
    records = [world.record("legacy", key(s)) for s in "ab"]
    attempts = [record.attempt for record in records if record and record.attempt]
    assert [a.spec.step_pause_s for a in attempts] == [7.0, 3.0]
    assert [a.asked_by for a in attempts] == ["fleet/to-eks/one", ""]
    told = {k.service: s for _, k, s in world.statuses}
    assert [(told[s]["fleet"], told[s]["wave"], told[s]["wish"]) for s in "ab"] == [
        ("to-eks", "one", "fleet/to-eks/one"),
        ("to-eks", "one", "service"),
    ]


def test_who_is_in_two_waves_moves_by_none_until_that_is_mended() -> None:
    """A Service in two waves stands still where it is, both say so, and it goes on when it is in one."""
    world = World(services=("a",))
    put(world, wave("one", "a"))
    world.until(lambda: world.shares(key=key("a"))[0] >= 100)
    put(world, wave("one", "a"), wave("two", "a"))
    world.run(3)
    stood = world.shares(key=key("a"))
    world.run(60)
    assert (world.shares(key=key("a")), reason(world, "a")) == (stood, "FleetUnclear")
    assert "in wave one of Fleet to-eks and in wave two" in status(world)["problems"][0]["message"]
    put(world, wave("one", "a"), wave("two", "z"))
    world.until(lambda: world.shares(key=key("a"))[0] > stood[0], limit_s=300)


def test_a_fleet_that_is_deleted_leaves_everybody_where_they_are() -> None:
    """Without its Fleet a Service that says nothing stays at its share, and a bad target is still left."""
    world = World(services=("a",))
    put(world, wave("one", "a"))
    world.until(lambda: world.shares(key=key("a"))[0] == 100)
    world.apis["legacy"].delete(Resource.FLEETS, "", NAME)
    world.run(3)
    stood = world.shares(key=key("a"))
    world.run(60)
    assert (world.shares(key=key("a")), reason(world, "a")) == (stood, "NoTarget")
    world.set_pods("eks", [], key("a"))
    world.until(lambda: phase(world, "a") is Phase.REVERTED, limit_s=60)


def test_completed_waves_go_back_in_reverse() -> None:
    """Return sends completed Services back to where they came from, those of the later wave first."""
    world = World(services=("a", "b"))
    for service in "ab":
        world.begin_on_legacy(key(service))
    put(world, wave("one", "a"), wave("two", "b"))
    world.until(lambda: status(world).get("state") == "Completed", limit_s=9000)
    assert world.shares(key=key("a")) == (WHOLE, WHOLE)
    by_hand(world, "return", "all")
    world.until(lambda: world.shares(key=key("b"))[0] < WHOLE, limit_s=600)
    assert (world.shares(key=key("a"))[0], reason(world, "a")) == (WHOLE, "WaveWaits")
    world.until(lambda: world.shares(key=key("b")) == (0, 0), limit_s=9000)
    world.until(lambda: world.shares(key=key("a")) == (0, 0), limit_s=9000)


def test_a_fleets_limits_hold_beside_the_settings() -> None:
    """No more Services than the Fleet and its wave say hold a slot at once."""
    world = World(services=("a", "b", "c"))
    put(world, wave("one", "a", "b", "c", maxInProgress=2), maxInProgress=3)
    most = 0
    for _ in range(300):
        world.run(0.5)
        most = max(most, len(world.replica.holders))
    assert most == 2


def test_a_restart_forgets_nothing_of_a_wave() -> None:
    """A process that begins anew holds the second wave until it has looked at the first."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a"), wave("two", "b"), defaults={**DEFAULTS, "dwell": "100s"})
    world.until(lambda: world.shares(key=key("a"))[0] >= 10)
    for _ in range(5):
        world.crash()
        world.run(30)
    assert (world.shares(key=key("b"))[0], reason(world, "b")) == (0, "WaveWaits")


def test_a_wave_that_moves_together_tries_again_together() -> None:
    """One that is retried alone waits for the others that were rolled back; when all are, all of them rise."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a", "b", together=True))
    world.until(lambda: all(world.shares(key=key(s))[0] >= 100 for s in "ab"))
    world.annotate(key=key("a"), abort="true")
    world.until(lambda: all(phase(world, s) is Phase.REVERTED for s in "ab"), limit_s=30)
    world.annotate(key=key("a"), abort=None, attempt="2")
    world.run(60)
    assert (world.shares(key=key("a"))[0], reason(world, "a")) == (0, "WaveWaits")
    world.annotate(key=key("b"), attempt="2")
    world.until(lambda: all(world.shares(key=key(s))[0] >= 100 for s in "ab"), limit_s=300)


def test_who_is_excluded_in_mid_move_stays_and_is_armed() -> None:
    """A Service that is taken out of its Fleet stays at its share, and a bad target is still left."""
    world = World(services=("a",))
    put(world, wave("one", "a"))
    world.until(lambda: world.shares(key=key("a"))[0] == 100)
    world.annotate(key=key("a"), excluded="true")
    world.run(3)
    stood = world.shares(key=key("a"))
    world.run(60)
    assert world.shares(key=key("a")) == stood
    world.set_pods("eks", [], key("a"))
    world.until(lambda: phase(world, "a") is Phase.REVERTED, limit_s=60)


def test_a_rollback_ends_a_return_too() -> None:
    """Who is on the way back to the origin is rolled back to the target by a rollback of the Fleet."""
    world = World(services=("a",))
    world.begin_on_legacy(key("a"))
    put(world, wave("one", "a"))
    world.until(lambda: phase(world, "a") is Phase.COMPLETED, limit_s=5000)
    by_hand(world, "return", "one")
    world.until(lambda: 0 < world.shares(key=key("a"))[0] <= 900, limit_s=600)
    by_hand(world, "rollback", "all")
    world.until(lambda: world.shares(key=key("a")) == (WHOLE, WHOLE), limit_s=30)


def test_who_is_gone_from_the_origin_still_counts_as_moved() -> None:
    """When the old cluster's Service is deleted after its move, its wave stays completed."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a"), wave("two", "b", opens="byHand"))
    world.until(lambda: phase(world, "a") is Phase.COMPLETED, limit_s=5000)
    world.apis["legacy"].delete(Resource.SERVICES, "default", "a")
    world.run(30)
    assert (status(world)["moved"], status(world)["waves"][0]["state"]) == ("1/2", "Completed")


def test_nobody_rises_while_it_is_not_known_what_fleets_say() -> None:
    """Where the Fleets cannot be watched nobody rises, and when they can, everybody goes on."""
    world = World(services=("a",))
    put(world, wave("one", "a"))
    world.until(lambda: world.shares(key=key("a"))[0] == 100)
    stale = Freshness("legacy", Resource.FLEETS, False, "are forbidden")
    world.replica.reconciler.apply(stale)
    world.run(1)
    stood = world.shares(key=key("a"))
    world.run(60)
    assert (world.shares(key=key("a")), reason(world, "a")) == (stood, "ClusterStale")
    world.replica.reconciler.apply(Freshness("legacy", Resource.FLEETS, True))
    world.until(lambda: world.shares(key=key("a"))[0] > stood[0], limit_s=300)


def test_a_fleet_at_rest_writes_nothing() -> None:
    """When a wave waits for a person, nothing is written however long it is: no status, no Event, no split."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a"), wave("two", "b", opens="byHand"))
    world.until(lambda: phase(world, "a") is Phase.COMPLETED, limit_s=5000)
    world.run(300)
    before = {name: len(api.log) for name, api in world.apis.items()}
    looked: list[object] = []
    world.on_look.append(lambda *found: looked.append(found))
    world.run(900)  # lists, the rarest of what comes by itself, come every 600 s
    assert {name: len(api.log) for name, api in world.apis.items()} == before
    assert looked == []
