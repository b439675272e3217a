"""What a stale cluster does not show is unknown, never absent: no revert, no hold and no write comes of it.

Each case takes something away from a cluster, once seen to be away and once only not known: the one is acted
upon, the other is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

import pytest

from controller.decide.decision import decide
from controller.decide.plan import plan
from controller.domain import (
    CallPath,
    Endpoints,
    GlobalContext,
    Key,
    Observed,
    PathEvidence,
    Reason,
    Side,
    Verdict,
)
from controller.evidence.probes import ProberReport
from controller.kube.objects import DECODERS, Deleted, Freshness, Listed, Resource
from controller.report.gauges import gauges
from controller.runtime.store import Store
from prober.contract import Counts, Report, Sample
from tests.unit.obeyed import with_profiles

FILES = Path(__file__).parents[2] / "data" / "written-by-0.1"
KEY = Key("default", "service-a")
CLUSTERS = ("legacy", "eks")
NOW = datetime(2026, 3, 1, 12, 10, tzinfo=UTC)
RESOURCES = {
    "Service": Resource.SERVICES,
    "EndpointSlice": Resource.ENDPOINTSLICES,
    "TrafficSplit": Resource.TRAFFICSPLITS,
    "HTTPRoute": Resource.HTTPROUTES,
    "ServiceProfile": Resource.SERVICEPROFILES,
    "GRPCRoute": Resource.GRPCROUTES,
    "HTTPRoute of policy.linkerd.io": Resource.POLICY_HTTPROUTES,
    "Migration": Resource.MIGRATIONS,
}


LEADER = GlobalContext(CLUSTERS, leads=True, may_roll_back=True, fencing_token=1)


def state_of(moment: str) -> Store:
    """What the leader was told at a moment of a journey from legacy to eks."""
    written = json.loads((FILES / f"trafficsplit-{moment}.json").read_text())
    state = Store(dict.fromkeys(CLUSTERS, "linkerd-multicluster"), "cluster.local")
    for cluster in CLUSTERS:
        objects = with_profiles(written["objects"][cluster])
        for kind, resource in RESOURCES.items():
            bodies = [body for body in objects if body["kind"] == kind]
            found = tuple(DECODERS[resource](json.dumps(body).encode()) for body in bodies)
            state.apply(Listed(cluster, resource, found))
            state.apply(Freshness(cluster, resource, current=True))
    return state


def sees(moment: str) -> Observed:
    """What the leader sees at that moment, ten seconds after it began to look; both kinds of split are obeyed."""
    state = state_of(moment)
    state.observe(KEY, LEADER, 0.0, has_slot=True)
    seen = state.observe(KEY, LEADER, 10.0, has_slot=True)
    clusters = {name: replace(found, unanswered={}) for name, found in seen.clusters.items()}
    return replace(seen, clusters=clusters)


def away(observed: Observed, cluster: str, *, known: bool, **absent: Any) -> Observed:
    """The same, but that this is away from one cluster; ``known``: it is seen to be, and was read."""
    told: dict[str, Any] = {"current": known, "stale_reason": "it is late", "endpoints_read_s": 0.0}
    told |= {"empty_s": inf, "mirror_empty_s": inf}
    found = replace(observed.clusters[cluster], **told, **absent)
    return replace(observed, clusters={**observed.clusters, cluster: found})


def told(observed: Observed) -> Iterator[str]:
    """Whatever comes of it, in words."""
    decision = decide(observed, NOW)
    decided = decision.plan
    yield f"phase {decided.phase.value}"
    if decided.ruling:
        yield f"{decided.ruling.reason}: {decided.ruling.message}"
    for action in decided.actions:
        yield f"{type(action).__name__} {getattr(action, 'cluster', '')}"
    yield from (f"share of {name}: {share}" for name, share in decided.shares.items())
    yield from (reason for reason, _ in decided.warnings)
    yield from (f"unpinned {name}" for name, so in gauges(decision).pinned.items() if not so)


NOBODY = Endpoints()
CASES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "a target without pods, above home": ("at-50", "eks", {"endpoints": NOBODY}, "phase Reverting"),
    "a target without pods, at home": (
        "begun",
        "eks",
        {"endpoints": NOBODY},
        "TargetWithoutEndpoints",
    ),
    "a mirror": ("begun", "legacy", {"mirror": None}, "MirrorMissing"),
    "pods to probe": ("begun", "legacy", {"endpoints": Endpoints(ready=2)}, "NoPodsToProbe"),
    "the origin's pods": (
        "at-50",
        "legacy",
        {"endpoints": Endpoints(pods={"http": ("10.1.0.1:8080",)})},
        "OriginShrunk",
    ),
    "the Service": ("begun", "eks", {"service": None}, "ServiceMissing"),
    "the kind of split": ("begun", "eks", {"split_kinds": frozenset()}, "SplitKindUnserved"),
    "who is behind the way home": (
        "reverting",
        "eks",
        {"mirror_endpoints": NOBODY},
        "nothing is ready for them",
    ),
    "a pin, in a revert": ("reverting", "eks", {"pin": None}, "WritePin eks"),
    "a pin, under way": ("at-50", "eks", {"pin": None}, "WritePin eks"),
    "a pin, for the metrics": ("at-50", "eks", {"pin": None}, "unpinned eks"),
    "a pin, before an attempt": ("pending", "eks", {"pin": None}, "WritePin eks"),
    "a split, under way": ("at-50", "eks", {"splits": ()}, "WriteSplit eks"),
    "a split, before an attempt": (
        "pending",
        "eks",
        {"splits": (), "conflicts": ()},
        "WriteSplit eks",
    ),
    "a split, for the share": ("at-50", "eks", {"splits": ()}, "share of eks: 1000"),
    "as many pods as in the origin": (
        "at-50",
        "eks",
        {"endpoints": Endpoints(ready=1, pods={"http": ("10.2.0.1:8080",)})},
        "FewerEndpoints",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_only_what_is_known_to_be_away_is_acted_upon(case: str) -> None:
    """What is seen to be away has its consequence, and what a stale cluster does not show has none."""
    moment, cluster, absent, consequence = CASES[case]
    observed = sees(moment)
    known = list(told(away(observed, cluster, known=True, **absent)))
    unknown = list(told(away(observed, cluster, known=False, **absent)))
    assert any(consequence in line for line in known), known
    assert not any(consequence in line for line in unknown), unknown


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_stale_cluster_alone_ends_no_attempt(cluster: str) -> None:
    """Above the baseline a cluster that is not heard of only holds: nobody is moved, in neither direction."""
    decided = plan(away(sees("at-50"), cluster, known=False, endpoints=NOBODY), NOW)
    assert decided.ruling is not None
    assert (decided.ruling.reason, decided.actions) == ("ClusterStale", ())


def test_a_link_that_looks_dead_is_not_excused_by_a_target_that_is_not_known() -> None:
    """Callers in the target are sent through a link that looks dead only where nobody is known to serve them."""
    across = CallPath("legacy", Side.TARGET)
    lost = PathEvidence(Verdict.UNKNOWN, Reason.RECOVERING, unanswered_1s=True)
    observed = replace(sees("reverting"), paths={across: lost})
    known = told(away(observed, "eks", known=True, endpoints=NOBODY))
    unknown = told(away(observed, "eks", known=False, endpoints=NOBODY))
    assert not any("the link looks dead" in line for line in known)
    assert any("the link looks dead" in line for line in unknown)


@pytest.mark.parametrize("known", [True, False])
def test_a_pin_that_is_not_known_excuses_no_loop(*, known: bool) -> None:
    """A 508 is void while a pin is known to be away; while nobody knows, it is a loop."""
    state = state_of("at-50")
    name = "service-a.default.svc.cluster.local"
    pin = ("eks", Resource.SERVICEPROFILES, "linkerd-multicluster", name, "999999")
    state.apply(Deleted(*pin))
    if not known:
        state.apply(Freshness("eks", Resource.SERVICEPROFILES, current=False, reason="is late"))
    ordered = plan(state.observe(KEY, LEADER, 0.0, has_slot=True), NOW)
    order = next(order for order in ordered.probes if order.path == CallPath("legacy", Side.TARGET))
    state.order(KEY, ordered, 0.0)
    state.observe(KEY, LEADER, 0.1, has_slot=True)
    looped = Sample(1, 0, 0.0, base=Counts(10, 10), answers={"508": 10}, loops=10)
    state.on_report(
        ProberReport("legacy", 0, Report(0, (looped,), Counts(1)), ((order, looped),), 0.2)
    )
    state.fold(0.2)
    decided = plan(state.observe(KEY, LEADER, 0.2, has_slot=True), NOW)
    assert decided.ruling is not None
    assert (decided.ruling.reason == "GatewayLoop") == (not known)
