"""A split counts as obeyed once it is seen to be: before a raise, before Completed, before Reverted is told."""

from __future__ import annotations

import pytest

from controller.domain import WHOLE, Phase, Plan, Reason, SplitKind
from controller.kube.objects import Resource
from controller.mesh.splits.kinds import PROVIDERS
from tests.scenarios.test_move import begun
from tests.scenarios.world import GATEWAYS, A, World
from tests.scenarios.world_kinds import ROUTES, SMI, Pair

CANARY = "migrate-canary"
KINDS = pytest.mark.parametrize("kinds", [SMI, ROUTES], ids=["trafficsplit", "httproute"])


def silence(world: World, *clusters: str) -> None:
    """End the SMI adaptor and the policy controller."""
    for cluster in clusters or world.clusters:
        world.apis[cluster].answering.acts = False


def speak(world: World) -> None:
    """Start them again."""
    for cluster in world.clusters:
        world.apis[cluster].answering.catch_up()


def local_in_legacy(world: World) -> None:
    """Write somebody's split in legacy that sends nobody away."""
    backends = [{"service": "service-a", "weight": 1}, {"service": "service-a-eks", "weight": 0}]
    world.put_split("legacy", backends)


def has_canary(world: World, cluster: str, kind: SplitKind) -> bool:
    """Report whether somebody is asked whether they obey this kind."""
    return world.apis[cluster].has(PROVIDERS[kind].RESOURCE, GATEWAYS, CANARY)


def asks(world: World) -> bool:
    """Report whether a person is asked for."""
    ruling = world.decided.ruling
    return ruling is not None and ruling.alert


# --- a raise ------------------------------------------------------------------------------------------


def test_nobody_rises_above_what_the_adaptor_has_not_written() -> None:
    """Weights that no ServiceProfile has hold the next step, ask for a person after 5 s, and say what stands."""
    world = begun()
    world.until_share(100)
    silence(world, "legacy")
    world.until_share(250)
    world.run(4.0)
    assert (world.reason, asks(world)) == (Reason.SPLIT_NOT_IN_FORCE, False)
    world.run(60.0)
    assert world.recorded() == (250, 250)
    assert (world.phase, world.reason, asks(world)) == (
        Phase.HOLDING,
        Reason.SPLIT_NOT_IN_FORCE,
        True,
    )
    assert "in legacy the TrafficSplit service-a is not in force" in world.message
    assert "sends 10 % to the mirror" in world.message
    speak(world)
    world.until_phase(Phase.COMPLETED)


def test_a_profile_that_the_adaptor_must_leave_alone_is_named() -> None:
    """Where a ServiceProfile says smi.linkerd.io/skip, the adaptor writes no weights and the sentence says why."""
    world = begun()
    world.until_share(100)
    world.apis["legacy"].patch(
        Resource.SERVICEPROFILES,
        "default",
        "service-a.default.svc.cluster.local",
        {"metadata": {"annotations": {"smi.linkerd.io/skip": "true"}}},
        manager="kubectl-annotate",
    )
    world.until(lambda: asks(world))
    assert world.reason == Reason.SPLIT_NOT_IN_FORCE
    assert "remove the annotation" in world.message


def test_a_split_that_nobody_answers_for_is_not_taken_over_for_a_raise() -> None:
    """Somebody's split of before is held, and never raised, while nobody makes it mean anything."""
    world = World()
    silence(world)
    local_in_legacy(world)
    world.begin_on_legacy()
    world.ask()
    world.run(30.0)
    assert world.reason == Reason.SPLIT_NOT_IN_FORCE
    assert world.aways() == (0, WHOLE)
    speak(world)
    world.until_phase(Phase.COMPLETED)


def test_a_route_without_a_status_of_linkerds_is_not_in_force() -> None:
    """A route that Linkerd has not said it accepts is never raised, whoever else serves the kind."""
    world = World(kinds=ROUTES)
    silence(world)
    local_in_legacy(world)
    world.begin_on_legacy()
    world.ask()
    world.run(30.0)
    assert world.reason == Reason.SPLIT_NOT_IN_FORCE
    assert "linkerd.io/policy-controller" in world.message
    assert world.recorded() == (None, None)
    speak(world)
    world.until_phase(Phase.COMPLETED)


# --- the end ------------------------------------------------------------------------------------------


def test_completed_is_not_told_before_it_is_in_force() -> None:
    """A last step that is written and not obeyed is Soaking, then Holding, and Completed once it stands."""
    world = begun()
    world.until_share(999)
    silence(world, "eks")
    world.until_share(WHOLE)
    world.run(0.5)
    assert world.phase is Phase.SOAKING
    world.run(10.0)
    assert (world.phase, world.reason, asks(world)) == (
        Phase.HOLDING,
        Reason.SPLIT_NOT_IN_FORCE,
        True,
    )
    assert "Completed" not in {status["phase"] for _, _, status in world.statuses}
    speak(world)
    world.until_phase(Phase.COMPLETED)


# --- the way back -------------------------------------------------------------------------------------


def test_an_abort_counts_until_completed_is_told() -> None:
    """While the last weights are not in force the move may still be aborted, and everybody is rolled back."""
    world = begun()
    world.until_share(999)
    silence(world, "legacy")
    world.until(lambda: world.recorded() == (WHOLE, WHOLE), limit_s=3000)
    world.run(10)
    world.annotate(abort="true")
    world.until(lambda: world.recorded() == (0, 0), limit_s=30)
    assert world.phase is Phase.REVERTING
    speak(world)
    world.until_phase(Phase.REVERTED, limit_s=60)


def test_a_rollback_that_nobody_obeys_is_not_over() -> None:
    """Reverted is told once the baseline stands where proxies read it; until then it is Reverting and asks."""
    world = begun()
    world.until_share(250)
    world.run(2.0)
    silence(world, "legacy")
    world.fault("legacy", "target")
    world.fault("eks", "target")
    world.until(lambda: world.aways() == (0, WHOLE))
    world.run(4.0)
    assert (world.phase, world.reason, asks(world)) == (
        Phase.REVERTING,
        Reason.TARGET_BAD,
        False,
    )
    before = len(world.writes)
    world.run(20.0)
    assert (world.phase, asks(world)) == (Phase.REVERTING, True)
    assert "callers in legacy are not rolled back yet" in world.message
    assert "sends 25 % to the mirror" in world.message
    assert len(world.writes) == before
    assert "Reverted" not in {status["phase"] for _, _, status in world.statuses}
    speak(world)
    world.until_phase(Phase.REVERTED)


def test_what_a_person_changes_after_a_rollback_is_theirs() -> None:
    """A split that somebody writes anew after a revert is no rollback that is not over, however the adaptor is."""
    world = begun()
    world.until_share(100)
    world.ask(abort="true")
    world.until_phase(Phase.REVERTED)
    silence(world)
    world.edit("legacy", 300)
    world.run(10.0)
    assert world.phase is Phase.REVERTED


# --- the first split ----------------------------------------------------------------------------------


@KINDS
def test_nothing_is_made_where_nobody_obeys(kinds: Pair) -> None:
    """Where a kind is served and nobody answers the canary for it, no Service gets a split, and it says so."""
    world = World(kinds=kinds)
    silence(world)
    world.ask()
    world.run(2.0)
    assert (world.reason, world.phase) == (Reason.SPLIT_UNANSWERED, Phase.PENDING)
    world.run(20.0)
    assert world.writes == []
    assert world.reason == Reason.SPLIT_UNANSWERED
    assert f"legacy serves {kinds['legacy'].api_kind}" in world.message
    assert all(has_canary(world, name, kinds[name]) for name in world.clusters)
    speak(world)
    world.until_phase(Phase.COMPLETED)


def test_who_does_not_lead_asks_nobody() -> None:
    """A controller without the lease makes no canary, though it knows that none was made."""
    world = World()
    world.replica.leads = False
    world.ask()
    world.run(5.0)
    assert world.reason == Reason.SPLIT_UNANSWERED
    assert not any(has_canary(world, name, SplitKind.TRAFFICSPLIT) for name in world.clusters)


def test_the_canary_is_asked_once_for_many() -> None:
    """One canary in each cluster answers for every Service, and none is made where a split is answered for."""
    world = World(services=("service-a", "service-b"))
    for key in ("service-a", "service-b"):
        world.ask(key=A._replace(service=key))
    world.until_phase(Phase.COMPLETED)
    splits = world.apis["legacy"].bodies(Resource.TRAFFICSPLITS)
    assert sum(body["metadata"]["name"] == CANARY for body in splits) == 1


def test_auto_takes_the_kind_that_is_obeyed() -> None:
    """Where HTTPRoutes are served and Linkerd knows none, auto takes a TrafficSplit, after it has asked."""
    world = World(serving=[SplitKind.HTTPROUTE])
    for name in world.clusters:
        world.apis[name].answering.routes = False
    world.ask()
    world.until_phase(Phase.COMPLETED)
    assert has_canary(world, "legacy", SplitKind.HTTPROUTE)
    assert world.split("legacy") is not None


@KINDS
def test_an_answer_that_no_stream_brought_is_read(kinds: Pair) -> None:
    """Where the answer to the canary stands in the API server, and no watch tells of it, the kind is made all the
    same: it is read before anybody concludes that there is none."""
    world = World(kinds=kinds, serving=list(SplitKind))
    for name in world.clusters:
        world.apis[name].withheld = {CANARY, f"{CANARY}.{GATEWAYS}.svc.cluster.local"}
    world.ask(split=kinds["legacy"])
    world.until_phase(Phase.COMPLETED)
    other = next(kind for kind in SplitKind if kind is not kinds["legacy"])
    assert not any(has_canary(world, name, other) for name in world.clusters)


def test_auto_keeps_the_kind_whose_answer_no_stream_brought() -> None:
    """No other kind of split is asked for, or made, though a watch withheld that Linkerd obeys HTTPRoutes."""
    world = World(kinds=ROUTES, serving=list(SplitKind))
    for name in world.clusters:
        world.apis[name].withheld = {CANARY}
    world.ask()
    world.until_phase(Phase.COMPLETED)
    assert not any(has_canary(world, name, SplitKind.TRAFFICSPLIT) for name in world.clusters)


def test_silence_that_cannot_be_read_is_no_answer() -> None:
    """While the API server refuses to be asked for the canary, it is waited for, and no other kind is taken."""
    world = World(kinds=ROUTES, serving=list(SplitKind))
    silence(world)
    world.ask()
    world.until(lambda: has_canary(world, "eks", SplitKind.HTTPROUTE))
    for name in world.clusters:
        world.apis[name].unread = {CANARY}
    world.run(30.0)
    assert world.reason == Reason.SPLIT_UNANSWERED
    assert not has_canary(world, "legacy", SplitKind.TRAFFICSPLIT)


def test_a_canary_that_was_made_anew_asks_anew() -> None:
    """Silence that was read is of that canary only: one made later is waited for, and read, by itself."""
    world = World()
    silence(world)
    world.ask()
    world.run(8.0)
    assert world.decided.ruling is not None
    assert not world.decided.ruling.waits
    world.apis["legacy"].delete(Resource.TRAFFICSPLITS, GATEWAYS, CANARY)
    world.ask(dwell="4s")
    world.run(1.0)
    assert has_canary(world, "legacy", SplitKind.TRAFFICSPLIT)
    assert world.reason == Reason.SPLIT_UNANSWERED
    assert world.decided.ruling.waits


# --- what no stream brought -----------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("share", [0, 100])
def test_an_obeyed_split_that_no_stream_tells_of_asks_for_nobody(kinds: Pair, share: int) -> None:
    """Where whoever obeys a split says so to the API server, and no watch tells, it is read: nobody is asked for, and
    the migration goes on to its end."""
    world = World(kinds=kinds)
    pages: list[str] = []
    world.on_look.append(lambda _replica, _observed, plan: _note_page(pages, plan))
    world.begin_on_legacy()
    world.ask()
    if share:
        world.until_share(share)
    for name in world.clusters:
        world.apis[name].withheld = {A.service, f"{A.service}.default.svc.cluster.local"}
    world.until_phase(Phase.COMPLETED)
    assert pages == []


def _note_page(pages: list[str], plan: Plan) -> None:
    if plan.ruling is not None and plan.ruling.alert:
        pages.append(plan.ruling.message)
