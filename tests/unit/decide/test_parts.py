"""Several HTTPRoutes of one Service as one split: which belong to it, which it lacks, and what is written of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from controller.decide import laws
from controller.decide.input import Input, input_of
from controller.decide.plan import planned
from controller.decide.roll_back import roll_back
from controller.domain import (
    WHOLE,
    Endpoints,
    Malformed,
    Pin,
    Port,
    Reason,
    Record,
    Revert,
    Split,
    SplitKind,
    Unreadable,
    WriteSplit,
)
from tests.unit.decide.gates.inputs import (
    EARLIER,
    NOW,
    REVERTED,
    SERVICE,
    attempt,
    given,
    spec,
    split,
)

ROUTE = SplitKind.HTTPROUTE
PORTS = (Port("http", 80), Port("grpc", 9090), Port("mysql", 3306))
SERVES = {"service": replace(SERVICE, ports=PORTS)}
HTTP, GRPC = ("service-a", 80), ("service-a.9090", 9090)


def record(share: int | None = None, **changed: Any) -> Record:
    """Return a record of ours: of the attempt, at this share (None: enrolled)."""
    begun = Record(
        ROUTE,
        fencing_token=1,
        attempt=None if share is None else attempt(),
        share_permille=share or 0,
        since=EARLIER if share else None,
    )
    return msgspec.structs.replace(begun, **changed)


def route(at: tuple[str, int], away: int = 0, kept: Any = None, **changed: Any) -> Split:
    """Return an HTTPRoute of a port that sends this much to the mirror."""
    name, port = at
    return replace(
        split(away, kept or record(), name=name, kind=ROUTE, port=port, parent_port=port),
        **changed,
    )


def shared(http: Any, grpc: Any, **more: Any) -> Input:
    """Return a Service of three ports whose routes in legacy are these two, and in eks at the same share."""
    routes = tuple(each for each in (http, grpc) if each)
    there = tuple(
        replace(each, away_permille=WHOLE - each.record.share_permille) for each in routes
    )
    return given(
        **{
            "legacy": {**SERVES, "splits": routes, "pin": Pin("1", EARLIER)},
            "eks": {**SERVES, "splits": there, "pin": Pin("1", EARLIER)},
            **more,
        }
    )


def half(**more: Any) -> Input:
    """Return a step that one of two routes was raised to in legacy, and the other was not."""
    low, high = record(100), record(250)
    legacy = {**SERVES, "splits": (route(HTTP, 250, high), route(GRPC, 100, low))}
    eks = {**SERVES, "splits": (route(HTTP, 750, high), route(GRPC, 750, high))}
    return given(100, legacy=legacy, eks=eks, **more)


def written(made: Input) -> list[tuple[str, str, int]]:
    """Return what a plan writes of splits, object by object: cluster, name, and the mirror's weight."""
    return [
        (write.cluster, write.name, write.away_permille)
        for action in planned(made).actions
        if isinstance(action, WriteSplit)
        for write in action.each()
    ]


# --- which routes belong to it -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("routes", "missing"),
    [
        ((route(HTTP), route(GRPC)), ()),
        ((route(HTTP),), (9090,)),
        ((route(GRPC),), (80,)),
        ((route(HTTP, parent_port=None),), ()),
        ((split(),), ()),
        ((), ()),
    ],
)
def test_what_a_split_of_routes_lacks(routes: tuple[Split, ...], missing: tuple[int, ...]) -> None:
    """Each port that is HTTP to Linkerd has a route; one without a port is for all, and so is a TrafficSplit."""
    made = given(eks={**SERVES, "splits": routes})
    assert made.observed.clusters["eks"].missing == missing


def test_of_one_port_whatever_routes_there_are_are_its_split() -> None:
    """A Service with one port has what it has, also where a route's parent names another port."""
    made = given(eks={"splits": (route(("mine", 8080)),)})
    assert (made.observed.clusters["eks"].missing, len(made.observed.clusters["eks"].splits)) == (
        (),
        1,
    )


def test_what_is_not_known_lacks_nothing() -> None:
    """In a cluster that is stale a route that is not seen is unknown, and not missing."""
    made = given(eks={**SERVES, "splits": (route(HTTP),), "current": False})
    assert made.observed.clusters["eks"].missing == ()


def test_somebodys_route_of_a_port_that_stays_is_let_be() -> None:
    """Without a record it is none of ours; with one it moved, so that it is brought back."""
    theirs = replace(route(GRPC, 500), record=None)
    for found, ours in ((theirs, 1), (route(GRPC, 500), 2)):
        routes = (route(HTTP), found)
        made = given(asked=spec(ports=("http",)), eks={**SERVES, "splits": routes})
        cluster = made.observed.clusters["eks"]
        assert (len(cluster.splits), len(cluster.splits) + len(cluster.aside)) == (ours, 2)


def test_ports_of_the_attempt_hold_while_annotations_are_malformed() -> None:
    """What was moved by an attempt is known from its record where the annotations cannot be read."""
    begun = attempt(spec=spec(ports=("http",)))
    routes = (route(HTTP, 100, record(100, attempt=begun)),)
    made = given(100, asked=Malformed(()), legacy={**SERVES, "splits": routes})
    assert made.observed.clusters["legacy"].missing == ()


# --- judged as one ---------------------------------------------------------------------------------------


def test_the_furthest_route_is_shifted_and_the_last_one_lags() -> None:
    """Shares are those of the route that is furthest, and a step is made when every route stands there."""
    state = half().state
    assert (state.shares["legacy"], state.lowest["legacy"], state.step) == (250, 100, 250)
    assert (state.lagging(), state.shifted_clusters) == (("legacy",), ("legacy", "eks"))


def test_a_port_without_a_route_is_local() -> None:
    """Callers of a port that has no route reach the local Service: in the target that is the target."""
    kept = record(100)
    made = shared(route(HTTP, 100, kept), None, share=100)
    assert (made.state.shares["eks"], made.state.lowest["legacy"]) == (WHOLE, 0)


def test_only_the_route_that_lags_is_written() -> None:
    """A step made by half is finished: what stands there already is not written again."""
    assert written(half()) == [("legacy", GRPC[0], 250)]


def test_all_routes_of_a_cluster_rise_in_one_write() -> None:
    """A raise is one action for each cluster, with a write for each route."""
    made = shared(route(HTTP, 100, record(100)), route(GRPC, 100, record(100)), share=100)
    actions = [a for a in planned(made).actions if isinstance(a, WriteSplit)]
    assert [(a.cluster, len(a.each())) for a in actions] == [("legacy", 2), ("eks", 2)]
    assert {write.record.share_permille for a in actions for write in a.each()} == {250}


def test_an_attempt_begins_on_each_route_at_its_own_share() -> None:
    """The record of an attempt is written on routes that lack it, and moves none of them."""
    made = shared(
        route(HTTP, 100, record(100)),
        route(GRPC, 0, record()),
        share=100,
        just_read=True,
    )
    assert ("legacy", GRPC[0], 0) in written(made)
    assert all(name == GRPC[0] for _, name, _ in written(made))


def test_a_completed_attempt_is_so_on_every_route() -> None:
    """Where one route's record does not say so yet, the attempt is not completed."""
    done, left = record(WHOLE, completed=NOW), record(WHOLE)
    assert shared(route(HTTP, WHOLE, done), route(GRPC, WHOLE, done)).state.completed == NOW
    assert shared(route(HTTP, WHOLE, done), route(GRPC, WHOLE, left)).state.completed is None


@pytest.mark.parametrize(
    ("grpc", "reason"),
    [
        (route(GRPC, 600, record(100)), Reason.HAND_EDITED),
        (route(GRPC, 100, Unreadable("it is garbled")), Reason.RECORD_UNREADABLE),
    ],
)
def test_one_route_that_somebody_wrote_holds_all(grpc: Split, reason: Reason) -> None:
    """Weights or a record that are not ours on one route hold the rise of all of them, and it is named."""
    legacy = {**SERVES, "splits": (route(HTTP, 100, record(100)), grpc)}
    eks = {**SERVES, "splits": (route(HTTP, 900, record(100)), route(GRPC, 900, record(100)))}
    ruling = planned(given(100, legacy=legacy, eks=eks)).ruling
    assert ruling is not None
    assert ruling.reason is reason
    assert "in legacy" in ruling.message


# --- made, repaired, rolled back -----------------------------------------------------------------------


def test_routes_are_made_for_each_port() -> None:
    """The first is named as the Service, the next after its port too, and each has its own parent's port."""
    bare = {**SERVES, "splits": ()}
    made = planned(given(legacy=bare, eks=bare, asked=spec(split="httproute")))
    actions = [a for a in made.actions if isinstance(a, WriteSplit)]
    assert [[(w.name, w.port, w.away_permille) for w in a.each()] for a in actions] == [
        [(*HTTP, 0), (*GRPC, 0)]
    ] * 2
    assert "made the HTTPRoute service-a and service-a.9090 in legacy" in str(actions[0].event)


def test_a_route_that_is_missing_is_made_beside_the_others() -> None:
    """A port that came later gets its route, where somebody's route has the Service's name too."""
    theirs = replace(route(("service-a", 9090)), record=None)
    for routes, asked in (((route(HTTP),), spec()), ((theirs,), spec(ports=("http",)))):
        bare = {**SERVES, "splits": routes}
        made = planned(given(legacy=bare, eks=bare, asked=asked))
        names = {w.name for a in made.actions if isinstance(a, WriteSplit) for w in a.each()}
        assert names == ({"service-a.9090"} if asked == spec() else {"service-a.80"})


def test_a_route_deleted_in_mid_flight_is_put_back() -> None:
    """It stands no higher than its callers are, and the others are not touched."""
    made = shared(route(HTTP, 100, record(100)), None, share=100)
    assert written(made) == [("legacy", GRPC[0], 0), ("eks", GRPC[0], 900)]
    (event, _) = [a.event for a in planned(made).actions if isinstance(a, WriteSplit)]
    assert event is not None
    assert "the HTTPRoute of port 9090 in legacy was deleted during the attempt" in event.message


def test_every_route_is_rolled_back_and_latched() -> None:
    """A rollback writes the routes that are not at their baseline, and those whose record is not latched."""
    made = half(asked=spec(abort=True))
    assert written(made) == [
        ("legacy", HTTP[0], 0),
        ("legacy", GRPC[0], 0),
        ("eks", HTTP[0], WHOLE),
        ("eks", GRPC[0], WHOLE),
    ]
    assert not laws.broken(made, planned(made))


def test_a_rollback_made_by_half_is_finished() -> None:
    """One route that was not rolled back keeps the revert going, and is the only one that is written."""
    latched = record(0, reverted=REVERTED)
    made = shared(route(HTTP, 0, latched), route(GRPC, 250, record(250)), share=250)
    assert [w for w in written(made) if w[0] == "legacy"] == [("legacy", GRPC[0], 0)]
    assert planned(made).ruling == Revert(Reason.TARGET_BAD, "500s")


def test_who_must_stay_is_latched_where_each_route_stands() -> None:
    """Callers without a path back keep their weights, route by route, and the records say that it is over."""
    made = half(asked=spec(abort=True))
    nobody = Endpoints()
    clusters = {
        name: replace(cluster, endpoints=nobody, mirror_endpoints=nobody)
        for name, cluster in made.observed.clusters.items()
    }
    stays = input_of(replace(made.observed, clusters=clusters), NOW)
    actions, _ = roll_back(stays, Revert(Reason.ABORTED, "abort"))
    found = [w for a in actions if isinstance(a, WriteSplit) for w in a.each()]
    assert [(w.name, w.away_permille) for w in found if w.cluster == "legacy"] == [
        (HTTP[0], 250),
        (GRPC[0], 100),
    ]
    assert all(w.record.reverted for w in found)


def test_a_rollback_makes_a_route_whose_callers_are_shifted_without_it() -> None:
    """In the target a port without a route is served there: it gets one at the baseline; in the origin none."""
    made = shared(route(HTTP, 100, record(100)), None, share=100, asked=spec(abort=True))
    assert written(made) == [
        ("legacy", HTTP[0], 0),
        ("eks", HTTP[0], WHOLE),
        ("eks", GRPC[0], WHOLE),
    ]


def test_a_route_that_was_never_ours_keeps_no_revert_going() -> None:
    """A route without a record that is not in force says nothing of whether our callers are rolled back."""
    latched = record(0, reverted=REVERTED)
    theirs = replace(route(GRPC, 0, latched), record=None, in_force_permille=500)
    found = {**SERVES, "splits": (route(HTTP, 0, latched), theirs)}
    there = {**SERVES, "splits": (route(HTTP, WHOLE, latched), route(GRPC, WHOLE, latched))}
    ruling = planned(given(0, legacy=found, eks=there)).ruling
    assert not isinstance(ruling, Revert)
