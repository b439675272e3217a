"""The preflight's laws, on whatever two clusters may hold: it never raises, and blocks where a gate does."""

from __future__ import annotations

import ast
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.decide import gates, preflight, warnings
from controller.decide.plan import plan
from controller.decide.preflight import EventText, Facts, Winner, asked_for, findings
from controller.decide.resolve import resolve
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
    Record,
    Reverted,
    Split,
    SplitKind,
    Unreadable,
    Weights,
)
from controller.domain.reasons import MEANINGS, Level

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
KEY = Key("default", "service-a")
ROOT = Path(__file__).resolve().parents[2]

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
FLAWS = st.builds(
    Defect,
    reason=st.sampled_from(["SplitIgnored", "WeightsHarmful", "BackendForeign"]),
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
    defects=st.lists(FLAWS, max_size=2).map(tuple),
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


WISHES = st.sampled_from(
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
    WISHES,
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
            Winner, st.just("eks"), st.sampled_from(["ProfileWins", "RouteWins"]), TEXT, TEXT
        ),
        max_size=2,
    ).map(tuple),
    told=st.none()
    | st.builds(
        EventText,
        blocked=st.booleans(),
        reason=st.sampled_from(["Paused", "ProbeRejected", "Unheard"]),
        message=TEXT,
        warnings=st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
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
    standing = resolve(observed)
    asked: list[gates.Gate] = [*preflight.ASKED]
    if standing.records:
        asked.append(gates.made)
    spoken = {r.message for gate in asked if (r := gate(observed, standing, NOW))}
    found = {f.message for f in findings(observed, Facts(), NOW) if f.level is Level.BLOCK}
    assert spoken <= found
    assert bool(spoken) == bool(found)
    assert found <= {r.message for r in preflight.held(observed, standing, NOW)}


@given(OBSERVED)
def test_a_warning_never_gates(observed: Observed) -> None:
    """A WARN is a warning: no gate at all refuses with its reason."""
    standing = resolve(observed)
    warned = {f.reason for f in findings(observed, Facts(), NOW) if f.level is Level.WARN}
    assert warned == {reason for reason, _ in warnings.told(observed, standing)}
    refusals = {r.reason for gate in gates.ALL if (r := gate(observed, standing, NOW))}
    assert not warned & refusals


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
    mine = {r.reason for gate in preflight.ASKED if (r := gate(asked, resolve(asked), NOW))}
    assert mine == set()
    assert ruling is None or ruling.reason not in {"PortsDiffer", "MirrorMissing", "Malformed"}


@given(OBSERVED)
def test_asking_for_a_target_leaves_the_rest(observed: Observed) -> None:
    """To ask about another target changes nothing else of the spec, and mends no malformed one."""
    asked = asked_for(observed, "eks")
    if isinstance(observed.spec, Malformed):
        assert asked == observed
    else:
        assert asked.spec == msgspec.structs.replace(observed.spec or MigrationSpec(), target="eks")


@pytest.mark.parametrize("reason", sorted(preflight.BY_WISH))
def test_what_a_person_said_blocks_nothing(reason: str) -> None:
    """A Migration that waits for its owner, the settings or the queue has nothing that is to be mended."""
    facts = Facts(told=EventText(blocked=True, reason=reason, message="..."))
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


# --- the table of meanings ------------------------------------------------------------------------


SAYING = {"hold", "wait", "revert", "Flaw"}


def functions_in(path: str) -> list[ast.FunctionDef]:
    """The functions of a module, or of all modules of a package."""
    there = ROOT / path
    return [
        node
        for module in (sorted(there.glob("*.py")) if there.is_dir() else [there])
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]


def reasons_in(path: str, functions: set[str], saying: Collection[str] = SAYING) -> set[str]:
    """The reasons that functions of a module, or of a package, name: first in a ruling, a defect, or a pair that
    is yielded."""
    found = set()
    for function in functions_in(path):
        if function.name not in functions:
            continue
        for node in ast.walk(function):
            said: list[ast.expr] = []
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in saying:
                said = node.args
            elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
                said = node.value.elts
            if said and isinstance(said[0], ast.Constant):
                found.add(str(said[0].value))
    return found


def gate_functions() -> set[str]:
    """The names of the functions behind the gates that a preflight asks, and of those they share."""
    asked: list[Any] = [*preflight.ASKED, gates.made]
    names = {getattr(gate, "every", gate).__name__ for gate in asked}
    return names | {"_mirror"}


@pytest.mark.parametrize(
    ("path", "level"),
    [("controller/decide/gates", Level.BLOCK), ("controller/decide/warnings.py", Level.WARN)],
)
def test_every_reason_has_a_meaning_of_its_level(path: str, level: Level) -> None:
    """What a gate may say is a BLOCK in the table of meanings, and what a warning may say is a WARN."""
    functions = gate_functions()
    if level is Level.WARN:
        functions = {caveat.__name__ for caveat in warnings.ALL}
    of_the_attempt = {"ServedBefore", "MovedSince", "AttemptWaits", "ProbesLowered", "NoTarget"}
    named = reasons_in(path, functions) - of_the_attempt
    assert named, "the gates were not found"
    assert {reason for reason in named if reason not in MEANINGS} == set()
    assert {MEANINGS[reason].level for reason in named} == {level}


def test_what_only_the_controller_holds_for_has_meanings() -> None:
    """Every other ruling that a Migration may hold for is in the table as a BLOCK, and not left to be guessed."""
    defined = {function.name for function in functions_in("controller/decide/gates")}
    by_itself = {"Completed", "SplitFlawed"} | reasons_in(
        "controller/decide/gates", defined, {"wait"}
    )
    named = reasons_in("controller/decide/gates", defined, {"hold", "revert"})
    unsaid = named - by_itself - preflight.BY_WISH - set(MEANINGS)
    assert (unsaid, len(named) > 30) == (set(), True)
    assert {MEANINGS[reason].level for reason in named & set(MEANINGS)} == {Level.BLOCK}


def test_flaws_have_meanings() -> None:
    """What is wrong with somebody's split, by its own reason, is in the table."""
    named = {
        reason
        for path in (ROOT / "controller" / "mesh" / "splits").glob("*.py")
        for reason in reasons_in(
            str(path.relative_to(ROOT)),
            {
                "_weights",
                "_harmful",
                "_stranger",
                "_spelling",
                "_backend_flaws",
                "_rule_flaws",
                "_parents",
                "_filters",
            },
        )
    }
    assert named - set(MEANINGS) == set()
    assert "WeightsHarmful" in named


def test_the_docs_have_the_same_table() -> None:
    """docs/reasons.md has a row for each reason: its level, what it means, what to do."""
    text = (ROOT / "docs" / "reasons.md").read_text()
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    documented = {
        reason.strip("`"): (level, means, do)
        for reason, level, means, do in (row for row in rows if len(row) == 4)
    }
    expected = {
        reason: (meant.level.value, meant.means, meant.do) for reason, meant in MEANINGS.items()
    }
    assert {reason: documented.get(reason) for reason in expected} == expected
    assert {level for reason, (level, *_) in documented.items() if reason not in expected} == {
        "WAIT",
        "WARN",
    }
