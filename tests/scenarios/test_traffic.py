"""Stories of real traffic: what callers see sends them home, and what nobody knows moves nobody."""

from __future__ import annotations

import pytest

from controller.domain import Key, Phase, Verdict
from controller.kube.objects import Resource
from prober.contract import Counts
from tests.scenarios.test_rollback import assert_home, risen
from tests.scenarios.world import A, World, service_body
from tests.scenarios.world_traffic import BOTH, ClientMonitor


def risen_with_callers(share: int = 250, **notes: str) -> tuple[World, ClientMonitor]:
    """A world in which callers of both clusters, whom Prometheus sees, have risen to this share."""
    world = World(prometheus=BOTH)
    world.begin_on_legacy()
    world.ask(steps="25", **{"dwell": "1m", **notes})  # type: ignore[arg-type]  # no key is called key
    callers = ClientMonitor(world)
    callers.until(lambda: world.recorded() == (share, share), 60)
    callers.run(1)
    return world, callers


def warned(world: World) -> dict[str, str]:
    """The warnings of the last decision."""
    return dict(world.decided.warnings)


def test_what_only_real_callers_see_sends_them_home() -> None:
    """Probes are all clean and 5 % of the callers' own requests fail: the attempt is over, latched."""
    world, callers = risen_with_callers(dwell="10m")
    callers.bad = {"eks": 50}
    callers.until(lambda: world.phase is Phase.REVERTED, 120)
    assert_home(world, "TrafficBad")
    assert "4.8 % of the last requests of real callers in legacy to eks failed" in world.message
    assert "allowed)" in world.message


def test_a_fault_that_home_has_too_sends_nobody_home() -> None:
    """Both backends fail half of the callers' requests: moving helps nobody, and nobody is moved."""
    world, callers = risen_with_callers()
    callers.bad = {"eks": 500, "legacy": 500}
    callers.run(50)
    assert world.replica.observed[A].traffic["legacy"].verdict is Verdict.FAIL
    assert world.phase is Phase.PROGRESSING, world.describe()


def test_a_home_that_only_the_probes_know_is_asked_of_them() -> None:
    """Where the origin's backend had too few requests, its probes stand in: clean ones let callers go."""
    world, callers = risen_with_callers()
    callers.bad = {"eks": 500}
    here = {"here": Counts(), "across": Counts(100, 50)}
    there = {"here": Counts(100, 50), "across": Counts()}
    world.replica.store._clients._monitors[A]._clusters.clear()
    world.replica.reconciler.requeue_all()
    callers.extra = {"legacy": here, "eks": there}
    callers.until(lambda: world.phase is Phase.REVERTED, 120)
    assert_home(world, "TrafficBad")


def test_met_by_probes_and_by_callers_goes_to_the_end() -> None:
    """With real traffic that meets the objective a migration is completed, and its verdicts are PASS."""
    world, callers = risen_with_callers()
    callers.run(20)
    assert {e.verdict for e in world.replica.observed[A].traffic.values()} == {Verdict.PASS}
    callers.until(lambda: world.phase is Phase.COMPLETED)


@pytest.mark.parametrize("per_tick", [0, 1])
def test_few_requests_hold_nobody(per_tick: int) -> None:
    """A Service that hardly anybody calls does not wait for real traffic, even where that is required."""
    world = World(prometheus=BOTH)
    world.begin_on_legacy()
    world.ask(traffic="required")
    callers = ClientMonitor(world, per_tick=per_tick)
    callers.run(1)
    callers.until(lambda: world.phase is Phase.COMPLETED)


@pytest.mark.parametrize("error", ["it did not answer within 3 s", "it answers 503"])
def test_advisory_traffic_never_waits(error: str) -> None:
    """A Prometheus that is away is no reason to wait, and no evidence: neither none bad nor all."""
    world = World(prometheus=BOTH)
    world.begin_on_legacy()
    world.ask()
    callers = ClientMonitor(world, error=dict.fromkeys(BOTH, error))
    callers.until(lambda: world.recorded() == (500, 500))
    for found in world.replica.observed[A].traffic.values():
        assert (found.verdict, found.unknown, found.requests) == (Verdict.UNKNOWN, error, 0)
        assert found.points == 0
    callers.until(lambda: world.phase is Phase.COMPLETED)


def test_required_traffic_holds_while_prometheus_is_away() -> None:
    """Where traffic is required a Prometheus that is away holds the rise, by name, and then lets it go on."""
    world, callers = risen_with_callers(traffic="required")
    callers.error["eks"] = "it cannot be reached"
    callers.until(lambda: world.reason == "TrafficUnknown", 60)
    assert "the Prometheus of eks does not tell: it cannot be reached" in world.message
    stood = world.recorded()
    callers.run(60)
    assert (world.phase, world.recorded()) == (Phase.HOLDING, stood)
    callers.error.clear()
    callers.until(lambda: world.phase is Phase.COMPLETED)


def test_required_traffic_holds_while_prometheus_is_stale() -> None:
    """A Prometheus that answers and has no newer samples does not tell either; an armed revert still works."""
    world, callers = risen_with_callers(traffic="required", dwell="10m")
    callers.frozen = {"legacy"}
    callers.until(lambda: world.reason == "TrafficUnknown", 200)
    assert "no newer sample" in world.message or "s old" in world.message
    world.annotate(abort="true")
    callers.until(lambda: world.phase is Phase.REVERTED, 10)


def test_required_traffic_without_a_prometheus_says_what_to_write() -> None:
    """Asked for what cannot be had, a migration does not start and says what to write; then it does."""
    world = World(prometheus=frozenset({"eks"}))
    world.begin_on_legacy()
    world.ask(traffic="required")
    world.run(10)
    assert (world.phase, world.reason) == (Phase.PENDING, "TrafficUnavailable")
    assert "no Prometheus of legacy: write advisory or off" in world.message
    world.annotate(traffic="advisory")
    world.until_share(10)


def test_the_settings_decide_where_the_owner_does_not() -> None:
    """``traffic.mode: required`` in the settings holds like the annotation, and the annotation overrules it."""
    world = World(prometheus=BOTH, traffic="required")
    world.begin_on_legacy()
    world.ask()
    world.run(30)
    assert world.reason == "TrafficUnknown"
    assert world.recorded() == (0, 0)
    world.annotate(traffic="advisory")
    world.until_share(10)


def test_a_pair_without_prometheus_waits_for_nothing() -> None:
    """Without a Prometheus real traffic plays no part, and probes have all of alpha."""
    world = risen()
    assert world.replica.observed[A].traffic == {}
    assert {probe.judges for probe in world.decided.probes} == {1}


def test_traffic_off_judges_nothing() -> None:
    """With ``traffic: off`` failing callers are shown by nobody's verdict, and send nobody home."""
    world, callers = risen_with_callers(traffic="off", dwell="10m")
    callers.bad = {"eks": 500}
    callers.run(60)
    assert world.phase is Phase.PROGRESSING
    assert not world.replica.observed[A].traffic["legacy"].judged


def test_traffic_of_before_the_attempt_is_not_held_against_it() -> None:
    """What callers saw before the attempt began, told after it, is not counted."""
    world, callers = risen_with_callers()
    world.annotate(abort="true")
    callers.until(lambda: world.phase is Phase.REVERTED)
    world.annotate(abort=None, attempt="2")
    callers.extra = {"legacy": {"across": Counts(1000, 1000)}}
    world.until(lambda: world.recorded() == (0, 0) and world.decided.number == 2)
    callers.due_s = 0
    callers.tick()
    assert world.replica.observed[A].traffic["legacy"].requests == 0


def test_callers_that_bounced_send_everyone_home() -> None:
    """Callers answered 508 while their gateway refused loops: a pin is not obeyed, everyone is rolled back."""
    world, callers = risen_with_callers()
    callers.extra = {"legacy": {"loops": 1}}
    callers.looped = {"legacy"}
    callers.until(lambda: world.phase is Phase.REVERTED, 30)
    assert_home(world, "TrafficLoop")


@pytest.mark.parametrize(
    ("looped", "extra"),
    [({"legacy"}, {}), (set(), {"legacy": {"loops": 3}}), ({"eks"}, {"legacy": {"loops": 3}})],
    ids=["the gateway's alone", "the callers' alone", "another gateway's"],
)
def test_half_of_a_loop_is_none(looped: set[str], extra: dict[str, dict[str, int]]) -> None:
    """A gateway's loops that none of the callers met, or a 508 that no gateway gave, end no attempt."""
    world, callers = risen_with_callers()
    callers.looped, callers.extra = looped, {**extra}
    callers.run(50)
    assert world.phase is Phase.PROGRESSING, world.describe()


def test_callers_past_the_split_are_named_and_the_share_says_so() -> None:
    """Workloads that ignore the split are named with what helps; the share is marked; then all is well."""
    world, callers = risen_with_callers(dwell="10m")
    busy = {"ignoring": frozenset({"shop/deployment old", "shop/statefulset queue"})}
    callers.extra = {"legacy": busy}
    callers.until(lambda: "CallersDoNotFollow" in warned(world), 30)
    told = warned(world)["CallersDoNotFollow"]
    assert "in legacy these callers do not follow the split" in told
    assert "shop/deployment old, shop/statefulset queue; restart them" in told
    assert world.status()["share"] == "25?/25"
    callers.extra = {}
    callers.until(lambda: "CallersDoNotFollow" not in warned(world), 150)
    assert world.replica.observed[A].traffic["legacy"].follow


def test_callers_that_were_seen_to_follow_end_the_warning() -> None:
    """``CallersMayNotFollow`` ends once callers followed for two minutes and nobody did not, in each cluster."""
    world = World(prometheus=frozenset({"legacy"}))
    world.ask(paused="true")
    callers = ClientMonitor(world)
    callers.run(20)
    assert sum(reason == "CallersMayNotFollow" for reason, _ in world.decided.warnings) == 2
    callers.run(140)
    told = [text for reason, text in world.decided.warnings if reason == "CallersMayNotFollow"]
    assert len(told) == 1
    assert told[0].startswith("the split in eks")


def test_who_follows_is_found_out_again_after_a_restart() -> None:
    """A new process does not know who follows, warns, and sees it again within minutes."""
    world, callers = risen_with_callers(dwell="10m")
    callers.until(lambda: not warned(world), 200)
    world.crash()
    callers.since_s.clear()
    world.until(lambda: world.plan is not None and "CallersMayNotFollow" in warned(world), 20)
    callers.until(lambda: not warned(world), 200)


def test_a_namesake_is_told_once_and_ends_what_was_said_of_callers() -> None:
    """When another namespace gets a Service of that name, who follows is known no more: the warning says so
    in one sentence that stays, what nobody can clear is not cleared, and traffic goes on being judged."""
    world, callers = risen_with_callers(dwell="10m")
    callers.until(lambda: not warned(world), 200)
    for cluster in BOTH:
        world.apis[cluster].put(Resource.SERVICES, service_body(Key("shop", A.service)))
    callers.extra = {cluster: {"following": frozenset()} for cluster in BOTH}
    callers.until(lambda: len(warned(world)) == 2, 30)
    before = world.decided.warnings
    callers.run(200)
    assert world.decided.warnings == before
    assert set(warned(world)) == {"TrafficAmbiguous", "CallersMayNotFollow"}
    assert "(in legacy shop; in eks shop)" in warned(world)["TrafficAmbiguous"]
    assert world.replica.observed[A].traffic["legacy"].judged
    for cluster in BOTH:
        world.apis[cluster].delete(Resource.SERVICES, "shop", A.service)
    callers.extra = {}
    callers.until(lambda: not warned(world), 200)


def test_callers_outside_the_mesh_are_told() -> None:
    """Requests that reach the origin's pods from outside the mesh never follow, and the status says so."""
    world, callers = risen_with_callers()
    callers.extra = {"eks": {"unmeshed": 5}}
    callers.run(20)
    assert "CallersUnmeshed" not in warned(world)
    callers.extra = {"legacy": {"unmeshed": 7}}
    callers.until(lambda: "CallersUnmeshed" in warned(world), 15)
    assert (
        "7 requests of the last 2 minutes reached the pods in legacy"
        in (warned(world)["CallersUnmeshed"])
    )


def test_completed_claims_of_the_origin_what_was_measured() -> None:
    """A migration whose callers all follow says so of the origin's pods once two clean minutes were counted, and
    not before; nobody is told to bypass the split all the while."""
    world, callers = risen_with_callers()
    callers.until(lambda: world.phase is Phase.COMPLETED)
    callers.until(lambda: world.message.endswith("legacy's pods is being measured"), 0.5)
    callers.run(300)
    assert world.message == (
        "eks serves 100 % by both splits; no request reached legacy's pods in the last 2 min (Prometheus)"
    )
    assert "CallersBypass" not in warned(world)


@pytest.mark.parametrize("requests", [1, 400])
def test_who_dials_the_pods_is_named_and_completed_does_not_deny_it(requests: int) -> None:
    """An ingress that dials the origin's pods, however seldom, is told by name once all others have left."""
    world, callers = risen_with_callers()
    dials = {"ingress/nginx": requests}
    callers.until(lambda: world.phase is Phase.COMPLETED)
    callers.extra = {"legacy": {"reached": dials}}
    callers.run(300)
    assert "ingress/nginx" in warned(world)["CallersBypass"]
    assert world.message.endswith("callers in legacy still reach legacy's pods")


def test_who_dials_the_pods_is_named_before_anything_moves() -> None:
    """Calls that nobody sent by the Service's name are told while everything is served by the origin."""
    world = World(prometheus=BOTH)
    world.begin_on_legacy()
    world.ask(paused="true")
    callers = ClientMonitor(world)
    dials = {"ingress/nginx": 400, "shop/web": 1000}
    callers.extra = {"legacy": {"reached": dials}}
    callers.run(30)
    assert "ingress/nginx;" in warned(world)["CallersBypass"]
    assert "shop/web" not in warned(world)["CallersBypass"]
