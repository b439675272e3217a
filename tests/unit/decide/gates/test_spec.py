"""The gates of a spec that cannot be served as it is, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.decide.gates import spec as gates
from controller.decide.input import Input
from controller.domain import Malformed, Port, Problem, SplitKind
from controller.domain.fleet import FleetWord
from tests.unit.decide.gates.inputs import (
    NOW,
    REVERTED,
    SERVICE,
    Row,
    given,
    one_sided,
    said,
    spec,
    split,
)

BOTH = frozenset({"legacy", "eks"})
TWO_SPLITS = {"splits": (split(), split(name="mine"))}
TWO_PORTS = {"service": replace(SERVICE, ports=(Port("http", 80), Port("admin", 81)))}
ROUTE = split(kind=SplitKind.HTTPROUTE)
ROUTED = {"splits": (ROUTE,)}
NOTHING = {"service": None}
NOW_STEPS = spec(steps="now")
EVERY_KIND = frozenset(SplitKind)
ONLY_ROUTES = {"splits": (), "split_kinds": frozenset({SplitKind.HTTPROUTE})}


def unanswered(asked_s: float | None, *, read: bool = True) -> dict[str, object]:
    """Return what changes a cluster without a split, whose TrafficSplits nobody answers for, so long after it was
    asked (None: it was not). ``read``: its API server itself knows no answer either."""
    asked = None if asked_s is None else NOW - timedelta(seconds=asked_s)
    return {
        "splits": (),
        "split_kinds": frozenset({SplitKind.TRAFFICSPLIT}),
        "unanswered": {SplitKind.TRAFFICSPLIT: asked},
        "silent": frozenset({SplitKind.TRAFFICSPLIT} if read else ()),
    }


def serves(**changed: object) -> dict[str, object]:
    """Return what changes a cluster whose Service is this."""
    return {"service": replace(SERVICE, **changed)}  # type: ignore[arg-type]  # fields by name


def speaks(app_protocol: str) -> dict[str, object]:
    """Return what changes a cluster whose Service's one port speaks this."""
    return serves(ports=(Port("http", 80, app_protocol=app_protocol),))


def named(*names: str | int, kind: SplitKind = SplitKind.HTTPROUTE) -> Input:
    """Return a Service of one port of HTTP and one of MySQL, of which the annotation names these to move."""
    ports = (Port("http", 80), Port("mysql", 3306))
    routed = {**serves(ports=ports), "splits": (split(kind=kind, port=80, parent_port=80),)}
    return given(asked=spec(ports=names), legacy=routed, eks=routed)


ROWS = [
    Row(gates.ports_unfit, named("grpc"), "hold PortsUnfit"),
    Row(gates.ports_unfit, named("http", 3306), "hold PortsUnfit"),
    Row(gates.ports_unfit, named("http", kind=SplitKind.TRAFFICSPLIT), "hold PortsUnfit"),
    Row(gates.ports_unfit, named("http", "mysql", kind=SplitKind.TRAFFICSPLIT)),
    Row(gates.ports_unfit, named("http")),
    Row(gates.ports_unfit, named(80)),
    Row(gates.ports_unfit, given(asked=spec(ports=("grpc",)), legacy=NOTHING, eks=NOTHING)),
    Row(gates.ports_unfit, given(asked=None)),
    Row(gates.foreign_owner, given(legacy=serves(foreign="Flagger")), "hold ForeignOwner"),
    Row(
        gates.foreign_owner,
        given(eks={"splits": (split(foreign="Argo Rollouts"),)}),
        "hold ForeignOwner",
    ),
    Row(gates.foreign_owner, given()),
    Row(gates.foreign_owner, given(legacy=NOTHING)),
    Row(gates.second_split, given(eks=TWO_SPLITS), "hold SecondSplit"),
    Row(gates.second_split, given()),
    Row(
        gates.malformed, given(asked=Malformed((Problem("dwell", "eks", "no"),))), "hold Malformed"
    ),
    Row(gates.malformed, given()),
    Row(gates.fleet_unclear, given(fleet=FleetWord("f", unclear="two")), "hold FleetUnclear"),
    Row(gates.fleet_unclear, given(fleet=FleetWord("f"))),
    Row(gates.fleet_unclear, given()),
    Row(gates.no_target, given(asked=None), "hold NoTarget"),
    Row(gates.no_target, given(asked=spec(target=None)), "hold NoTarget"),
    Row(gates.no_target, given()),
    Row(gates.no_target, given(asked=Malformed(()))),
    Row(
        gates.attempt_too_low,
        given(100, begun={"number": 3}, asked=spec(attempt=2)),
        "hold AttemptTooLow",
    ),
    Row(gates.attempt_too_low, given(100, begun={"number": 3}, asked=spec(attempt=3))),
    Row(gates.attempt_too_low, given(asked=spec(attempt=2))),
    Row(gates.attempt_too_low, given(100)),
    Row(gates.attempt_too_low, given(100, asked=None)),
    Row(gates.now_not_allowed, given(asked=NOW_STEPS), "hold NowNotAllowed"),
    Row(gates.now_not_allowed, given(100, asked=NOW_STEPS), "hold NowNotAllowed"),
    Row(gates.now_not_allowed, given()),
    Row(gates.now_not_allowed, given(asked=Malformed(()))),
    Row(gates.now_not_allowed, given(100, begun={"spec": NOW_STEPS}, asked=NOW_STEPS)),
    Row(gates.now_not_allowed, given(1000, record={"completed": NOW}, asked=NOW_STEPS)),
    Row(gates.now_not_allowed, given(0, record={"reverted": REVERTED}, asked=NOW_STEPS)),
    Row(
        gates.now_not_allowed,
        given(1000, record={"completed": NOW}, asked=spec(target="legacy", steps="now")),
    ),
    Row(
        gates.now_not_allowed,
        given(1000, record={"completed": NOW}, asked=spec(attempt=2, steps="now")),
        "hold NowNotAllowed",
    ),
    Row(gates.kind_unfit, given(eks=serves(type="ExternalName")), "hold KindUnfit"),
    Row(gates.kind_unfit, given(eks=serves(cluster_ip="None")), "hold KindUnfit"),
    Row(gates.kind_unfit, given()),
    Row(gates.kind_unfit, given(eks=NOTHING)),
    Row(gates.ports_differ, given(eks=TWO_PORTS), "hold PortsDiffer"),
    Row(gates.ports_differ, given(legacy=speaks("http"), eks=speaks("grpc")), "hold PortsDiffer"),
    Row(
        gates.ports_differ,
        given(legacy=speaks("http"), eks=speaks("kubernetes.io/h2c")),
        "hold PortsDiffer",
    ),
    Row(gates.ports_differ, given(legacy=speaks("grpc"), eks=speaks("linkerd.io/tcp"))),
    Row(gates.ports_differ, given(legacy=speaks("http"), eks=speaks("HTTP"))),
    Row(gates.ports_differ, given(legacy=speaks("http"))),
    Row(gates.ports_differ, given(eks=speaks("http"))),
    Row(gates.ports_differ, given(legacy=speaks("http"), eks=speaks("http"))),
    Row(gates.ports_differ, given(eks=NOTHING)),
    Row(gates.cannot_probe, given(asked=spec(probe={"port": "web"})), "hold NoPortToProbe"),
    Row(
        gates.cannot_probe,
        given(asked=spec(probe={"grpc_service": "health"})),
        "hold ProbeUnfit",
    ),
    Row(gates.cannot_probe, given()),
    Row(gates.cannot_probe, given(100, asked=Malformed(()))),
    Row(gates.cannot_probe, given(asked=None)),
    Row(gates.cannot_probe, given(eks=NOTHING)),
    Row(gates.split_kind_fixed, given(asked=spec(split="httproute")), "hold SplitKindFixed"),
    Row(gates.split_kind_fixed, given(asked=spec(split="trafficsplit"))),
    Row(gates.split_kind_fixed, given(asked=spec(split="auto"))),
    Row(gates.split_kind_fixed, given(asked=None)),
    Row(
        gates.split_kind_fixed,
        given(asked=spec(split="httproute"), legacy={"splits": ()}, eks={"splits": ()}),
    ),
    Row(
        gates.split_kind_unserved,
        given(eks={"splits": (), "split_kinds": frozenset()}),
        "hold SplitKindUnserved",
    ),
    Row(
        gates.split_kind_unserved,
        given(asked=spec(split="trafficsplit"), eks=ONLY_ROUTES),
        "hold SplitKindUnserved",
    ),
    Row(gates.split_kind_unserved, given()),
    Row(gates.split_kind_unserved, given(asked=None, eks={"split_kinds": frozenset()})),
    Row(gates.split_kind_unserved, given(eks={"split_kinds": frozenset(), "current": False})),
    Row(gates.route_unfit, given(eks={**ROUTED, **TWO_PORTS}), "hold RouteUnfit"),
    Row(gates.route_unfit, given(eks={**ROUTED, **speaks("grpc")}), "hold RouteUnfit"),
    Row(gates.route_unfit, given(eks={**ROUTED, **speaks("kubernetes.io/h2c")})),
    Row(gates.route_unfit, given(eks=ROUTED)),
    Row(gates.route_unfit, given(eks=TWO_PORTS)),
    Row(gates.route_unfit, given(asked=None, eks={**ROUTED, **TWO_PORTS})),
    Row(
        gates.two_mechanisms,
        given(eks={**ROUTED, "conflicts": ("the ServiceProfile a",)}),
        "hold TwoMechanisms",
    ),
    Row(gates.two_mechanisms, given(eks=ROUTED)),
    Row(gates.two_mechanisms, given(eks={"conflicts": ("the ServiceProfile a",)})),
    Row(
        gates.traffic_unavailable, given(asked=spec(traffic="required")), "hold TrafficUnavailable"
    ),
    Row(
        gates.traffic_unavailable, given(context={"traffic": "required"}), "hold TrafficUnavailable"
    ),
    Row(gates.traffic_unavailable, given()),
    Row(
        gates.traffic_unavailable,
        given(asked=spec(traffic="required"), context={"prometheus": BOTH}),
    ),
    Row(gates.traffic_unavailable, given(asked=None)),
    Row(gates.split_unanswered, given(eks=unanswered(None)), "wait SplitUnanswered"),
    Row(gates.split_unanswered, given(eks=unanswered(4.0)), "wait SplitUnanswered"),
    Row(gates.split_unanswered, given(eks=unanswered(5.0)), "hold SplitUnanswered"),
    Row(gates.split_unanswered, given(eks=unanswered(5.0, read=False)), "wait SplitUnanswered"),
    # Its API server's clock is ahead: what this process has seen counts.
    Row(gates.split_unanswered, given(eks=unanswered(-60.0)), "hold SplitUnanswered"),
    Row(
        gates.split_unanswered, given(eks=unanswered(-60.0), started_s=1.0), "wait SplitUnanswered"
    ),
    Row(gates.split_unanswered, given(eks={**unanswered(5.0), "current": False})),
    Row(gates.split_unanswered, given(eks={**unanswered(5.0), "splits": (split(),)})),
    Row(gates.split_unanswered, given(asked=None, eks=unanswered(5.0))),
    Row(gates.split_unanswered, given(eks={**unanswered(5.0), "split_kinds": frozenset()})),
    Row(gates.split_unanswered, given(eks={**unanswered(5.0), "split_kinds": EVERY_KIND})),
    Row(gates.split_unanswered, given(eks={"splits": ()})),
    Row(gates.service_missing, given(eks=NOTHING), "hold ServiceMissing"),
    Row(gates.service_missing, given(eks={**NOTHING, "current": False})),
    Row(gates.service_missing, given()),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_row_has_its_answer(row: Row) -> None:
    """What is observed is answered by the gate as the row says."""
    assert said(row.gate(row.given)) == row.answer


def test_each_gate_speaks_and_is_silent() -> None:
    """Every gate of the module has a row in which it speaks, and one in which it is silent."""
    assert one_sided(ROWS, gates.GATES) == set()


@pytest.mark.parametrize(
    ("eks", "told"),
    [
        (
            {"splits": (), "split_kinds": frozenset()},
            "eks serves neither HTTPRoute (gateway.networking.k8s.io) nor TrafficSplit (split.smi-spec.io)",
        ),
        (ONLY_ROUTES, "split is trafficsplit, but eks serves no TrafficSplit (split.smi-spec.io)"),
    ],
)
def test_an_unserved_kind_is_told_with_its_group(eks: dict[str, object], told: str) -> None:
    """Who is to install something is told which kinds, and the API groups that serve them."""
    asked = spec(split="trafficsplit") if eks is ONLY_ROUTES else spec()
    ruling = gates.split_kind_unserved(given(asked=asked, eks=eks))
    assert ruling is not None
    assert ruling.message.startswith(told)


@pytest.mark.parametrize(
    ("names", "kind", "told"),
    [
        (
            ("grpc",),
            SplitKind.HTTPROUTE,
            "names grpc, and the Service has http 80/TCP, mysql",
        ),
        (("mysql",), SplitKind.HTTPROUTE, "no HTTPRoute can carry: port 3306"),
        (("http",), SplitKind.TRAFFICSPLIT, "leaves out 3306, which a TrafficSplit moves too"),
    ],
)
def test_what_is_wrong_with_named_ports_is_told(
    names: tuple[str, ...], kind: SplitKind, told: str
) -> None:
    """The sentence names the port that there is not, that cannot be carried, or that moves all the same."""
    ruling = gates.ports_unfit(named(*names, kind=kind))
    assert ruling is not None
    assert told in ruling.message


def test_routes_of_one_service_are_one_split() -> None:
    """Several HTTPRoutes are no second split, of whatever ports or paths; a TrafficSplit beside them is."""
    routes = (ROUTE, split(kind=SplitKind.HTTPROUTE, name="paths"))
    assert gates.second_split(given(eks={"splits": routes})) is None
    ruling = gates.second_split(given(eks={"splits": (*routes, split(name="smi"))}))
    assert ruling is not None
    assert (
        "the HTTPRoute service-a and the HTTPRoute paths and the TrafficSplit smi" in ruling.message
    )
