"""The preflight's laws, on whatever two clusters may hold: it never raises, and blocks where a gate does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.decide import gates, preflight, warnings
from controller.decide.gates import safety
from controller.decide.input import input_of
from controller.decide.plan import plan
from controller.decide.preflight import Facts, ReportedStatus, Winner, asked_for, findings
from controller.domain import (
    Attempt,
    Defect,
    Endpoints,
    GlobalContext,
    Key,
    Latch,
    Malformed,
    MigrationSpec,
    Observed,
    ObservedCluster,
    ObservedService,
    Pin,
    Port,
    Problem,
    Reason,
    Record,
    Reverted,
    Split,
    SplitKind,
    Unreadable,
    Weights,
)
from controller.domain.reasons import Level
from tests.unit.decide.gates import inputs

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
KEY = Key("default", "service-a")

REVERTED = Reverted("TargetBad", "500s", EARLIER)
PORTS = st.builds(
    Port,
    name=st.sampled_from(["http", "web", ""]),
    number=st.sampled_from([80, 3306]),
    app_protocol=st.sampled_from(["", "http", "linkerd.io/opaque"]),
)
SERVICES = st.builds(
    ObservedService,
    uid=st.just("u"),
    ports=st.lists(PORTS, max_size=2, unique_by=lambda p: p.name).map(tuple),
    cluster_ip=st.sampled_from(["10.0.0.1", "None"]),
    type=st.sampled_from(["ClusterIP", "ExternalName"]),
    session_affinity=st.sampled_from(["None", "ClientIP"]),
    opaque_ports=st.sampled_from([None, "80", "x-y,-"]),
    mirror_of=st.sampled_from(["", "eks", "legacy", "dr"]),
    foreign=st.sampled_from(["", "Flagger"]),
)
ENDPOINTS = st.builds(
    Endpoints,
    ready=st.integers(0, 3),
    unready=st.integers(0, 1),
    pods=st.sampled_from([{}, {"http": ("10.0.0.1:8080",)}]),
    identity=st.sampled_from(["", "gw.identity.linkerd.one", "gw.identity.linkerd.two"]),
)
ATTEMPTS = st.builds(
    Attempt,
    number=st.integers(1, 3),
    origin=st.just("legacy"),
    target=st.just("eks"),
    baseline=st.just({"legacy": 0, "eks": 1000}),
    origin_ready=st.integers(0, 9),
    spec=st.just(MigrationSpec(target="eks")),
    started=st.just(EARLIER),
)
RECORDS = st.builds(
    Record,
    kind=st.just(SplitKind.TRAFFICSPLIT),
    made=st.sampled_from([None, EARLIER]),
    attempt=st.none() | ATTEMPTS,
    share_permille=st.sampled_from([0, 10, 999, 1000]),
    since=st.sampled_from([None, EARLIER]),
    completed=st.sampled_from([None, NOW]),
    reverted=st.sampled_from([None, REVERTED]),
)
DEFECTS = st.builds(
    Defect,
    reason=st.sampled_from([Reason.SPLIT_IGNORED, Reason.WEIGHTS_HARMFUL, Reason.BACKEND_FOREIGN]),
    message=st.just("it is wrong"),
    repairable=st.booleans(),
)
SPLITS = st.builds(
    Split,
    kind=st.just(SplitKind.TRAFFICSPLIT),
    name=st.sampled_from(["service-a", "other"]),
    resource_version=st.just("1"),
    away_permille=st.sampled_from([0, 10, 1000]),
    weights=st.just(Weights(Decimal(1), Decimal(0))),
    record=st.none() | st.just(Unreadable("it is not ours")) | RECORDS,
    defects=st.lists(DEFECTS, max_size=2).map(tuple),
    foreign=st.sampled_from(["", "Argo Rollouts"]),
)
PINS = st.builds(
    Pin,
    resource_version=st.just("1"),
    created=st.just(EARLIER),
    latch=st.none() | st.just(Latch("eks", 1, REVERTED)),
    foreign=st.sampled_from(["", "it has dstOverrides"]),
)


def clusters(name: str) -> st.SearchStrategy[ObservedCluster]:
    """One cluster, with anything in it."""
    return st.builds(
        ObservedCluster,
        name=st.just(name),
        current=st.booleans(),
        service=st.none() | SERVICES,
        mirror=st.none() | SERVICES,
        other_mirrors=st.sampled_from([(), ("dr",)]),
        endpoints=ENDPOINTS,
        mirror_endpoints=ENDPOINTS,
        splits=st.lists(SPLITS, max_size=2).map(tuple),
        pin=st.none() | PINS,
        split_kinds=st.sampled_from([frozenset(), frozenset({SplitKind.TRAFFICSPLIT})]),
    )


SPECS = st.sampled_from(
    [
        None,
        MigrationSpec(),
        MigrationSpec(target="eks"),
        MigrationSpec(target="legacy", steps="now", traffic="required"),
        MigrationSpec(target="eks", abort=True, split="httproute"),
        Malformed((Problem("target", "legacy", "it is wrong"),)),
    ]
)
OBSERVED = st.builds(
    lambda one, other, spec, traffic: Observed(
        key=KEY,
        context=GlobalContext(
            ("legacy", "eks"), leads=True, may_roll_back=True, prometheus=traffic
        ),
        clusters={"legacy": one, "eks": other},
        spec=spec,
        paths={},
    ),
    clusters("legacy"),
    clusters("eks"),
    SPECS,
    st.sampled_from([frozenset(), frozenset({"legacy", "eks"})]),
)
TEXT = st.text(max_size=5)
FACTS = st.builds(
    Facts,
    no_namespace=st.dictionaries(st.sampled_from(["legacy", "eks"]), TEXT),
    unexported=st.dictionaries(st.sampled_from(["legacy", "eks"]), TEXT),
    refused=st.lists(TEXT, max_size=2).map(tuple),
    winners=st.lists(
        st.builds(
            Winner,
            st.just("eks"),
            st.sampled_from([Reason.PROFILE_WINS, Reason.ROUTE_WINS]),
            TEXT,
            TEXT,
        ),
        max_size=2,
    ).map(tuple),
    reported=st.none()
    | st.builds(
        ReportedStatus,
        blocked=st.booleans(),
        reason=st.sampled_from(["Paused", "ProbeRejected", "Unheard"]).map(Reason),
        message=TEXT,
        warnings=st.lists(st.tuples(TEXT.map(Reason), TEXT), max_size=2).map(tuple),
    ),
)


@given(OBSERVED, FACTS)
def test_it_never_raises_and_says_each_thing_once(observed: Observed, facts: Facts) -> None:
    """Whatever is observed, every finding is a sentence with a meaning, and none comes twice."""
    found = findings(observed, facts, NOW)
    assert len(set(found)) == len(found)
    assert all(finding.meaning.means and finding.meaning.do for finding in found)
    assert [f.level for f in found] == sorted((f.level for f in found), key=list(Level).index)
    assert msgspec.json.encode(preflight.document(found))


@given(OBSERVED)
def test_it_blocks_exactly_where_a_gate_speaks(observed: Observed) -> None:
    """Without facts, a BLOCK is the word of a gate, and each gate that speaks is a BLOCK."""
    given = input_of(observed, NOW)
    asked = [*preflight.ASKED, *(safety.ENROLLED if given.state.records else ())]
    spoken = {r.message for gate in asked if (r := gate(given))}
    found = {f.message for f in findings(observed, Facts(), NOW) if f.level is Level.BLOCK}
    assert spoken <= found
    assert bool(spoken) == bool(found)
    assert found <= {r.message for r in preflight.held(given)}


@given(OBSERVED)
def test_a_warning_never_gates(observed: Observed) -> None:
    """A WARN is a warning: no gate at all holds with its reason."""
    given = input_of(observed, NOW)
    warned = {f.reason for f in findings(observed, Facts(), NOW) if f.level is Level.WARN}
    assert warned == {reason for reason, _ in warnings.found(observed, given.state)}
    assert not warned & {r.reason for gate in gates.ALL if (r := gate(given))}


@given(OBSERVED, FACTS)
def test_facts_take_no_block_away(observed: Observed, facts: Facts) -> None:
    """What is known beside the Observed adds findings; what the gates say stays said."""
    bare = findings(observed, Facts(pins_read=facts.pins_read), NOW)
    assert set(bare) <= set(findings(observed, facts, NOW))


@given(OBSERVED)
def test_what_a_preflight_lets_pass_the_controller_makes(observed: Observed) -> None:
    """Where nothing blocks, a controller that leads is not refused by anything that a preflight asks for."""
    asked = asked_for(observed, "eks")
    if any(f.level is Level.BLOCK for f in findings(asked, Facts(), NOW)):
        return
    ruling = plan(asked, NOW).ruling
    given = input_of(asked, NOW)
    assert [gate(given) for gate in preflight.ASKED if gate(given)] == []
    assert ruling is None or ruling.reason not in {
        Reason.PORTS_DIFFER,
        Reason.MIRROR_MISSING,
        Reason.MALFORMED,
    }


@given(OBSERVED)
def test_asking_for_a_target_leaves_the_rest(observed: Observed) -> None:
    """To ask about another target changes nothing else of the spec, and repairs no malformed one."""
    asked = asked_for(observed, "eks")
    if isinstance(observed.spec, Malformed):
        assert asked == observed
    else:
        assert asked.spec == msgspec.structs.replace(observed.spec or MigrationSpec(), target="eks")


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.meaning.chosen])
def test_what_a_person_said_blocks_nothing(reason: Reason) -> None:
    """A Migration that waits for its owner, the settings or the queue has nothing that is to be repaired."""
    facts = Facts(reported=ReportedStatus(blocked=True, reason=reason, message="..."))
    clusters = {n: ObservedCluster(n, current=True) for n in ("legacy", "eks")}
    observed = asked_for(Observed(KEY, GlobalContext(("legacy", "eks")), clusters, None, {}), "eks")
    assert reason not in [finding.reason for finding in findings(observed, facts, NOW)]


def test_unread_pins_are_not_missing() -> None:
    """Where ServiceProfiles may not be read, an enrolled Service is not said to have no pin."""
    split = Split(
        SplitKind.TRAFFICSPLIT,
        "a",
        "1",
        0,
        Weights(Decimal(1), None),
        Record(SplitKind.TRAFFICSPLIT),
    )
    observed = Observed(
        KEY,
        GlobalContext(("legacy", "eks")),
        {n: ObservedCluster(n, current=True, splits=(split,)) for n in ("legacy", "eks")},
        None,
        {},
    )
    assert "PinMissing" in {f.reason for f in findings(observed, Facts(), NOW)}
    assert "PinMissing" not in {f.reason for f in findings(observed, Facts(pins_read=False), NOW)}


@pytest.mark.parametrize("conflicts", [(), ("the HTTPRoute mine in shop",)])
def test_what_decides_for_callers_is_told_once(conflicts: tuple[str, ...]) -> None:
    """An object that a gate names already, because it beats an HTTPRoute, is not told again as a warning."""
    route = inputs.split(kind=SplitKind.HTTPROUTE)
    observed = inputs.given(eks={"splits": (route,), "conflicts": conflicts}).observed
    facts = Facts(winners=(Winner("eks", Reason.ROUTE_WINS, "shop", "mine"),))
    found = {finding.reason for finding in findings(observed, facts, NOW)}
    told = Reason.TWO_MECHANISMS if conflicts else Reason.ROUTE_WINS
    assert found & {Reason.TWO_MECHANISMS, Reason.ROUTE_WINS} == {told}
