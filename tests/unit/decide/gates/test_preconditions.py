"""The gates of a Service that is not fit to move now, row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.decide.gates import preconditions
from controller.decide.input import Input
from controller.domain import Defect, Endpoints, Key, Pin, Reason, Record, SplitKind
from tests.unit.decide.gates.inputs import (
    EARLIER,
    NOW,
    PODS,
    SERVICE,
    Row,
    attempt,
    given,
    one_sided,
    said,
    spec,
    split,
)

HARMFUL = Defect(Reason.WEIGHTS_HARMFUL, "a weight is negative", repairable=False)
SPELLING = Defect(Reason.SPLIT_IGNORED, "spec.service is long", repairable=True)
ELSEWHERE = {"mirror": replace(SERVICE, mirror_of="moon")}
NOWHERE = {"mirror_endpoints": Endpoints()}
DEAD = {"mirror_endpoints": Endpoints(0, unready=1)}
GONE = {"mirror": None}
STALE = {"current": False}


def left(ready: int, **changed: object) -> dict[str, object]:
    """Return what changes a cluster with so many ready pods."""
    return {"endpoints": replace(PODS, ready=ready), **changed}


def routes(*aways: int, record: Record | None = None) -> dict[str, object]:
    """Return what changes a cluster with so many HTTPRoutes, which send this much to the mirror."""
    made = [
        split(away, record, kind=SplitKind.HTTPROUTE, name=f"r{number}")
        for number, away in enumerate(aways)
    ]
    return {"splits": tuple(made)}


SILENT: dict[str, object] = {"splits": (split(not_in_force="nobody acts"),)}
ROWS = [
    Row(preconditions.rules_differ, given(legacy=routes(0, 100)), "hold RulesDiffer"),
    Row(preconditions.rules_differ, given(legacy=routes(0, 0))),
    Row(
        preconditions.rules_differ,
        given(100, legacy=routes(100, 0, record=Record(SplitKind.HTTPROUTE, attempt=attempt()))),
    ),
    Row(
        preconditions.split_defective,
        given(legacy={"splits": (split(defects=(HARMFUL,)),)}),
        "hold WeightsHarmful",
    ),
    Row(preconditions.split_defective, given(legacy={"splits": (split(defects=(SPELLING,)),)})),
    Row(
        preconditions.split_defective,
        given(
            100,
            eks={
                "splits": (*given(100).observed.clusters["eks"].splits, split(defects=(SPELLING,)))
            },
        ),
        "hold SplitIgnored",
    ),
    Row(preconditions.split_defective, given(100)),
    Row(preconditions.split_not_in_force, given(legacy=SILENT), "hold SplitNotInForce"),
    Row(preconditions.split_not_in_force, given(legacy={**SILENT, **STALE})),
    Row(
        preconditions.split_not_in_force,
        given(legacy=SILENT, settled_s=0.5),
        "wait SplitNotInForce",
    ),
    Row(preconditions.split_not_in_force, given(0, legacy=SILENT, settled_s=0.5)),
    Row(preconditions.split_not_in_force, given(0, legacy=SILENT), "hold SplitNotInForce"),
    Row(preconditions.split_not_in_force, given(100, legacy=SILENT), "page SplitNotInForce"),
    Row(
        preconditions.split_not_in_force,
        given(100, legacy=SILENT, settled_s=6.0, splits_read_s=2.0),
        "wait SplitNotInForce",
    ),
    Row(
        preconditions.split_not_in_force,
        given(100, legacy=SILENT, settled_s=6.0, splits_read_s=0.5),
        "page SplitNotInForce",
    ),
    Row(
        preconditions.split_not_in_force,
        given(legacy=SILENT, settled_s=2.0),
        "wait SplitNotInForce",
    ),
    Row(
        preconditions.split_not_in_force,
        given(legacy={"splits": (split(not_in_force="nobody acts", defects=(SPELLING,)),)}),
    ),
    Row(preconditions.split_not_in_force, given()),
    Row(
        preconditions.pin_foreign,
        given(eks={"pin": Pin("1", EARLIER, foreign="it overrides destinations")}),
        "hold PinForeign",
    ),
    Row(preconditions.pin_foreign, given()),
    Row(preconditions.pin_foreign, given(eks={"pin": None})),
    Row(
        preconditions.target_without_endpoints,
        given(eks=left(0)),
        "hold TargetWithoutEndpoints",
    ),
    Row(preconditions.target_without_endpoints, given()),
    Row(preconditions.target_without_endpoints, given(eks=left(0, **STALE))),
    Row(preconditions.mirror_other_cluster, given(legacy=ELSEWHERE), "hold MirrorOtherCluster"),
    Row(
        preconditions.mirror_other_cluster,
        given(eks={**GONE, "other_mirrors": ("moon", "mars")}),
        "hold MirrorOtherCluster",
    ),
    Row(preconditions.mirror_other_cluster, given()),
    Row(preconditions.mirror_other_cluster, given(legacy=GONE)),
    Row(preconditions.mirror_other_cluster, given(legacy={**ELSEWHERE, **STALE})),
    Row(preconditions.mirror_missing, given(eks=GONE), "hold MirrorMissing"),
    Row(preconditions.mirror_missing, given()),
    Row(preconditions.mirror_missing, given(eks={**GONE, "other_mirrors": ("moon",)})),
    Row(preconditions.gateway_not_alive, given(legacy=DEAD), "hold GatewayNotAlive"),
    Row(preconditions.gateway_not_alive, given(legacy=NOWHERE)),
    Row(preconditions.gateway_not_alive, given(legacy={**DEAD, **ELSEWHERE})),
    Row(preconditions.gateway_not_alive, given(legacy={**DEAD, **GONE})),
    Row(preconditions.mirror_empty, given(eks=NOWHERE), "hold MirrorEmpty"),
    Row(preconditions.mirror_empty, given(eks=DEAD)),
    Row(preconditions.mirror_empty, given()),
    Row(preconditions.endpoint_strange, given()),
    *(
        Row(preconditions.endpoint_strange, given(share, eks=found), f"{answer} EndpointStrange")
        for share, answer in ((None, "hold"), (100, "page"))
        for found in (
            {"endpoints": Endpoints(1, strange="127.0.0.1, a loopback address")},
            {"endpoints": Endpoints(1, handmade="mine")},
            {"mirror_endpoints": Endpoints(1, strange="10.1.0.9, a Pod")},
        )
    ),
    # Kubernetes mirrors a mirror's Endpoints into slices that no selector made.
    Row(
        preconditions.endpoint_strange,
        given(legacy={"mirror_endpoints": Endpoints(1, handmade="theirs")}),
    ),
    Row(
        preconditions.no_pods_to_probe,
        given(eks={"endpoints": Endpoints(3)}),
        "hold NoPodsToProbe",
    ),
    Row(preconditions.no_pods_to_probe, given()),
    Row(preconditions.no_pods_to_probe, given(asked=None, eks={"endpoints": Endpoints(3)})),
    Row(
        preconditions.no_pods_to_probe,
        given(asked=spec(probe={"port": "none"}), eks={"endpoints": Endpoints(3)}),
    ),
    Row(preconditions.origin_shrunk, given(100, legacy=left(1)), "hold OriginShrunk"),
    Row(preconditions.origin_shrunk, given(100, legacy=left(2))),
    Row(preconditions.origin_shrunk, given(100, legacy=left(1, **STALE))),
    Row(preconditions.origin_shrunk, given(999, legacy=left(1))),
    Row(preconditions.origin_shrunk, given(1000, record={"completed": NOW}, legacy=left(1))),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_row_has_its_answer(row: Row) -> None:
    """What is observed is answered by the gate as the row says."""
    assert said(row.gate(row.given)) == row.answer


def test_each_gate_speaks_and_is_silent() -> None:
    """Every gate of the module has a row in which it speaks, and one in which it is silent."""
    assert one_sided(ROWS, preconditions.GATES) == set()


def test_both_clusters_are_told() -> None:
    """A gate that looks at each cluster finds what is wrong in both, though the first is its answer."""
    found = preconditions.mirror_missing.every(given(legacy=GONE, eks=GONE))
    assert [ruling.message.split(":")[0] for ruling in found] == [
        "legacy has no mirror service-a-eks",
        "eks has no mirror service-a-legacy",
    ]


LONG = Key("default", "a" * 60)


def exported(label: str) -> dict[str, object]:
    """Return what changes a cluster whose Service has this in the label that exports it."""
    return {"service": replace(SERVICE, exported=label)}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (given(legacy=GONE, key=LONG), "that would be 64 characters"),
        (
            given(legacy={**GONE, "false_mirror": True}),
            "a Service that is no mirror has that name in",
        ),
        (given(legacy=GONE, eks={"service": None}), "no Service default/service-a in eks"),
        (given(legacy=GONE), "not exported, or not any more"),
        (given(legacy=GONE, eks=exported("false")), 'exported in eks is "false": write true'),
        (given(legacy=GONE, eks=exported("true")), "a tool that prunes by the copied labels"),
    ],
)
def test_a_missing_mirror_is_told_by_its_cause(found: Input, told: str) -> None:
    """Each reason why Linkerd makes no mirror, or why it is gone, has its own words."""
    ruling = preconditions.mirror_missing(found)
    assert ruling is not None
    assert told in ruling.message


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (given(eks=left(0), legacy=NOWHERE), "eks has no ready pod"),
        (given(legacy=NOWHERE), "repair fills it within a minute"),
        (
            given(legacy={**NOWHERE, "mirror": replace(SERVICE, remote_discovery=True)}),
            "it is one of remote discovery",
        ),
    ],
)
def test_an_empty_mirror_is_told_by_its_cause(found: Input, told: str) -> None:
    """A mirror without endpoints is told by what keeps it empty: no pods, no repair yet, or a flat network."""
    ruling = preconditions.mirror_empty(found)
    assert ruling is not None
    assert told in ruling.message


def test_a_shrunken_origin_is_told_what_it_needs() -> None:
    """The ruling has the pods that are left, how many the floor asks for, and the floor that would do."""
    ruling = preconditions.origin_shrunk(given(100, legacy=left(1)))
    assert ruling is not None
    assert ruling.message.startswith("1 of 3 origin pods are left")
    assert ruling.message.endswith("minReplicas to 2, or origin-floor to 33")
