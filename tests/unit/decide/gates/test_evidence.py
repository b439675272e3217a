"""The gates of probes, real traffic and the time at a step, row by row."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controller.decide.gates import evidence
from controller.domain import Reason, Side, Verdict
from prober.contract import PROTOCOL_UNSERVED, WRONG_CLUSTER
from tests.unit.decide.gates.inputs import (
    BAD,
    DEAD_GATEWAY,
    NOW,
    Row,
    given,
    one_sided,
    said,
    spec,
    traffic,
)

LEGACY_TO_TARGET, LEGACY_BACK = ("legacy", Side.TARGET), ("legacy", Side.ORIGIN)
EKS_OWN, EKS_BACK = ("eks", Side.TARGET), ("eks", Side.ORIGIN)
FOUR = (LEGACY_TO_TARGET, LEGACY_BACK, EKS_OWN, EKS_BACK)
REQUIRED = spec(traffic="required")
JUDGED = {"legacy": traffic(), "eks": traffic()}
UNKNOWN = {"verdict": Verdict.UNKNOWN, "reason": Reason.COLLECTING, "clean": 10}


def everywhere(**changed: Any) -> dict[Any, Any]:
    """Return what changes all four paths alike."""
    return dict.fromkeys(FOUR, changed)


def silent(reason: Reason = Reason.SILENT, **changed: Any) -> dict[Any, Any]:
    """Return the path of legacy's callers to the target, of which nobody knows how it is."""
    return {LEGACY_TO_TARGET: {"verdict": Verdict.UNKNOWN, "reason": reason, **changed}}


def at(share: int, seconds_ago: float, **observed: Any) -> Any:
    """Return what is given at a share that was written so long ago."""
    written = {"since": NOW - timedelta(seconds=seconds_ago)}
    return given(share, record=written, **observed)


ROWS = [
    Row(
        evidence.probe_refused,
        given(100, paths={EKS_OWN: {"refused": (PROTOCOL_UNSERVED, "install h2")}}),
        "page ProtocolUnserved",
    ),
    Row(
        evidence.probe_refused,
        given(paths={EKS_OWN: {"refused": ("", "what is that?")}}),
        "hold ProbeRefused",
    ),
    Row(
        evidence.probe_refused,
        given(paths={EKS_OWN: {"refused": ("ProbeHaunted", "ghosts")}}),
        "hold ProbeHaunted",
    ),
    Row(evidence.probe_refused, given()),
    Row(evidence.probe_rejected, given(paths=everywhere(usual_answer="404")), "hold ProbeRejected"),
    Row(evidence.probe_rejected, given(paths=everywhere(usual_answer="200"))),
    Row(evidence.probe_rejected, given(paths={EKS_OWN: {"usual_answer": "404"}})),
    Row(evidence.probe_rejected, given(100, paths=everywhere(usual_answer="404"))),
    Row(evidence.probe_rejected, given(asked=None, paths=everywhere(usual_answer="404"))),
    Row(
        evidence.probe_rejected,
        given(eks={"service": None}, paths=everywhere(usual_answer="404")),
    ),
    Row(
        evidence.wrong_cluster,
        given(paths={LEGACY_TO_TARGET: {"usual_answer": WRONG_CLUSTER}}),
        "hold WrongCluster",
    ),
    Row(
        evidence.wrong_cluster,
        given(paths={LEGACY_BACK: {"usual_answer": WRONG_CLUSTER}}),
        "hold WrongCluster",
    ),
    Row(evidence.wrong_cluster, given()),
    Row(evidence.wrong_cluster, given(100, paths={EKS_BACK: {"usual_answer": WRONG_CLUSTER}})),
    Row(evidence.gateway_dead, given(paths={LEGACY_TO_TARGET: DEAD_GATEWAY}), "hold GatewayDead"),
    Row(evidence.gateway_dead, given(100, paths={EKS_BACK: DEAD_GATEWAY}), "page GatewayDead"),
    Row(evidence.gateway_dead, given(paths={LEGACY_TO_TARGET: BAD})),
    Row(evidence.target_bad, given(paths={EKS_OWN: BAD}), "hold TargetBad"),
    Row(evidence.target_bad, given(paths={EKS_BACK: BAD})),
    Row(evidence.target_bad, given(100, paths={EKS_OWN: BAD})),
    Row(evidence.origin_bad, given(paths={LEGACY_BACK: BAD}), "hold OriginBad"),
    Row(evidence.origin_bad, given(paths={EKS_OWN: BAD})),
    Row(evidence.origin_bad, given(100, paths={LEGACY_BACK: BAD})),
    Row(evidence.blind, given(100, paths=silent(silent_s=5.0)), "hold Blind"),
    Row(evidence.blind, given(100, paths=silent(silent_s=30.0)), "page Blind"),
    Row(evidence.blind, given(100, paths=silent(silent_s=2.0)), "wait Blind"),
    Row(evidence.blind, given(paths=silent(silent_s=60.0)), "wait Blind"),
    Row(evidence.blind, given(100)),
    Row(evidence.both_ways_bad, given(100, paths={LEGACY_TO_TARGET: BAD}), "page BothWaysBad"),
    Row(evidence.both_ways_bad, given(100, paths={LEGACY_BACK: BAD})),
    Row(evidence.both_ways_bad, given(0, paths={LEGACY_TO_TARGET: BAD})),
    Row(evidence.way_bad, given(100, paths={LEGACY_BACK: BAD}), "page WayBad"),
    Row(evidence.way_bad, given(100)),
    Row(evidence.way_bad, given(0, paths={LEGACY_BACK: BAD})),
    Row(evidence.traffic_unknown, given(100, asked=REQUIRED), "wait TrafficUnknown"),
    Row(
        evidence.traffic_unknown,
        given(100, asked=REQUIRED, traffic={"legacy": traffic(unknown="it is away")}),
        "hold TrafficUnknown",
    ),
    Row(evidence.traffic_unknown, given(100, asked=REQUIRED, traffic=JUDGED)),
    Row(evidence.traffic_unknown, given(100)),
    Row(evidence.dwelling, at(100, 20), "wait Dwelling"),
    Row(evidence.dwelling, at(100, 60)),
    Row(evidence.dwelling, at(999, 20)),
    Row(evidence.dwelling, at(100, -600, settled_s=20.0), "wait Dwelling"),
    Row(evidence.dwelling, at(100, -600, settled_s=61.0)),
    Row(evidence.dwelling, given()),
    Row(evidence.dwelling, given(asked=None)),
    Row(evidence.dwelling, given(100, record={"since": NOW, "share_permille": 500})),
    Row(evidence.soaking, at(999, 20), "wait Soaking"),
    Row(evidence.soaking, at(999, 3600)),
    Row(evidence.soaking, at(1000, 20)),
    Row(evidence.soaking, at(100, 20)),
    Row(evidence.soaking, given(asked=None)),
    Row(evidence.collecting, given(paths={EKS_BACK: UNKNOWN}), "wait Collecting"),
    Row(
        evidence.collecting,
        given(paths={EKS_BACK: {**UNKNOWN, "reason": Reason.RECOVERING}}),
        "wait Recovering",
    ),
    Row(evidence.collecting, given()),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_row_has_its_answer(row: Row) -> None:
    """What is observed is answered by the gate as the row says."""
    assert said(row.gate(row.given)) == row.answer


def test_each_gate_speaks_and_is_silent() -> None:
    """Every gate of the module has a row in which it speaks, and one in which it is silent."""
    assert one_sided(ROWS, evidence.GATES) == set()


@pytest.mark.parametrize(
    ("reason", "changed", "told"),
    [
        (
            Reason.NO_STREAM,
            {"heard_s": float("inf")},
            "nothing was heard yet of the prober in legacy",
        ),
        (Reason.SILENT, {"heard_s": 1.5}, "the prober in legacy is silent"),
        (Reason.VOID, {}, "the prober in legacy does not stand behind what it reports"),
        (Reason.SILENT, {}, "no slice of callers in legacy to eks comes"),
    ],
)
def test_blindness_is_told_by_its_cause(reason: Reason, changed: dict[str, Any], told: str) -> None:
    """A path of which nothing is known says whether the prober is unheard, silent or in doubt."""
    ruling = evidence.blind(given(paths=silent(reason, **changed)))
    assert ruling is not None
    assert ruling.message == told


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (LEGACY_TO_TARGET, "the gateway of eks may not obey its pin, or the application names"),
        (LEGACY_BACK, "its own pods were asked, so the application names"),
    ],
)
def test_a_wrong_cluster_is_explained_by_the_path(path: tuple[str, Side], told: str) -> None:
    """Across the link the gateway may be at fault; of own pods only the application can be."""
    ruling = evidence.wrong_cluster(given(paths={path: {"usual_answer": WRONG_CLUSTER}}))
    assert ruling is not None
    assert told in ruling.message


@pytest.mark.parametrize(
    ("good", "told"),
    [
        (0.9512, "95.12 %: write a lower slo-success"),
        (0.0, "the origin itself does not work: repair it"),
        (None, "points, 20.0 allowed)"),
    ],
)
def test_a_bad_origin_is_told_what_it_meets(good: float | None, told: str) -> None:
    """Where it is known what the origin itself meets, the ruling says so, and what to write."""
    failed = {f: getattr(BAD, f) for f in ("verdict", "reason", "points")}
    ruling = evidence.origin_bad(given(paths={LEGACY_BACK: {**failed, "success_share": good}}))
    assert ruling is not None
    assert told in ruling.message
    assert ("slo-success" in ruling.message) is (good == 0.9512)


def test_the_path_furthest_from_its_proof_is_told() -> None:
    """Of two paths that collect, the one that lacks more clean probes is told with its numbers."""
    ruling = evidence.collecting(given(paths={EKS_BACK: UNKNOWN, EKS_OWN: {**UNKNOWN, "clean": 3}}))
    assert ruling is not None
    assert ruling.message == "3 of 764 clean probes of callers in eks to eks"


@pytest.mark.parametrize(
    ("share", "gate", "told"),
    [
        (100, evidence.dwelling, "the dwell at 10 % ends in 40 s"),
        (999, evidence.soaking, "the soak at 99.9 % ends in 3580 s"),
    ],
)
def test_the_time_that_is_left_is_told(share: int, gate: Any, told: str) -> None:
    """A step's least time is told with what is left of it, and is looked at again when it is over."""
    ruling = gate(at(share, 20))
    assert ruling.message == told
    assert f"{ruling.requeue_after_s:.0f} s" in told
