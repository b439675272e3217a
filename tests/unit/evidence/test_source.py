"""Several sources of evidence: what they know together, and what another one beside the two changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from controller.domain import (
    CallPath,
    GlobalContext,
    Key,
    ObservedCluster,
    PathEvidence,
    Phase,
    Plan,
    Reason,
    Side,
    TrafficEvidence,
    Verdict,
)
from controller.evidence.source import Evidence, together
from controller.runtime.store import Store

PATH = CallPath("legacy", Side.TARGET)
GOOD = PathEvidence(Verdict.PASS, Reason.MET, threshold=20.0, bad_share_3s=0.0, rate_per_s=5.0)
NEAR = PathEvidence(Verdict.UNKNOWN, Reason.RECOVERING, points=19.0, threshold=20.0)
BAD = PathEvidence(
    Verdict.FAIL,
    Reason.SUCCESS_MISSED,
    points=30.0,
    threshold=20.0,
    silent_s=0.0,
    bad_share_3s=0.5,
    counted="complaints",
)
CALLS = TrafficEvidence(Verdict.PASS, Reason.MET, threshold=16.0)


def test_a_path_that_one_source_knows_is_as_it_says() -> None:
    """Where nobody else speaks of a path or of a cluster's callers nothing is changed."""
    other = CallPath("eks", Side.TARGET)
    found = together(
        [Evidence(paths={PATH: GOOD}), Evidence(paths={other: BAD}, traffic={"eks": CALLS})]
    )
    assert found == Evidence({PATH: GOOD, other: BAD}, {"eks": CALLS})


@pytest.mark.parametrize("worse", [NEAR, BAD])
def test_the_source_nearest_to_fail_judges(worse: PathEvidence) -> None:
    """FAIL wins over UNKNOWN and UNKNOWN over PASS, whoever comes first; only the judgement is the other's."""
    judged = together([Evidence(paths={PATH: GOOD}), Evidence(paths={PATH: worse})]).paths[PATH]
    assert judged == replace(worse, rate_per_s=GOOD.rate_per_s)
    kept = together([Evidence(paths={PATH: worse}), Evidence(paths={PATH: GOOD})]).paths[PATH]
    assert kept == worse


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_that_fail_a_dead_gateway_is_the_cause(order: int) -> None:
    """However many points a Service's own probes have, the gateway is told: its herd has one cause."""
    dead = replace(BAD, reason=Reason.GATEWAY_DEAD, points=27.0, threshold=26.0)
    found = together([Evidence(paths={PATH: one}) for one in (BAD, dead)[::order]])
    assert found.paths[PATH].reason is Reason.GATEWAY_DEAD


def test_of_two_that_fail_the_one_with_more_points_for_its_threshold_judges() -> None:
    """Points are compared by how far they have come: 30 of 20 are more than 31 of 25."""
    other = replace(BAD, points=31.0, threshold=25.0)
    found = together([Evidence(paths={PATH: other}), Evidence(paths={PATH: BAD})])
    assert found.paths[PATH].points == BAD.points


def test_the_worse_word_on_callers_counts() -> None:
    """Two sources that know the callers of one cluster: the worse counts, whoever comes first."""
    bad = replace(CALLS, verdict=Verdict.FAIL, points=20.0)
    both = [Evidence(traffic={"eks": CALLS}), Evidence(traffic={"eks": bad})]
    assert together(both).traffic == together(reversed(both)).traffic == {"eks": bad}


class Complaints:
    """A third source: it knows how many people have complained, and finds that bad."""

    def __init__(self) -> None:
        self.ordered: dict[Key, Phase] = {}
        self.noticed: list[bool] = []

    def order(self, key: Key, plan: Plan, now_s: float) -> None:
        """Note what the plan says."""
        del now_s
        self.ordered[key] = plan.phase

    def notice(
        self, key: Key, clusters: Mapping[str, ObservedCluster], now_s: float, *, settled: bool
    ) -> None:
        """Note whether a step has settled."""
        del key, clusters, now_s
        self.noticed.append(settled)

    def evidence(self, key: Key, now_s: float) -> Evidence:
        """Return FAIL of what is watched."""
        del now_s
        return Evidence(paths={PATH: BAD}) if key in self.ordered else Evidence()

    def forget(self, key: Key) -> None:
        """Let go of a migration."""
        self.ordered.pop(key, None)


def test_another_source_is_ordered_and_asked_like_the_two() -> None:
    """A source beside probes and real traffic is ordered by the plan, its word is observed, and alpha is shared."""
    key = Key("default", "service-a")
    further = Complaints()
    store = Store({"legacy": "gateways", "eks": "gateways"}, "cluster.local", further=[further])
    context = GlobalContext(("legacy", "eks"))

    observed = store.observe(key, context, 0.0)
    assert (observed.paths, observed.judges) == ({}, 2)

    store.order(key, Plan(Phase.PENDING, {}, None), 0.0)
    assert store.observe(key, context, 10.0).paths == {PATH: BAD}
    assert further.noticed == [False, True]

    store.forget(key)
    assert further.ordered == {}
