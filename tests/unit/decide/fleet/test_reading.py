"""A Fleet as it was written: what is right is read, and what is wrong is told and never raises."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.decide.fleet.reading import Written, read
from controller.domain import PREFIX
from controller.domain.fleet import (
    ByHand,
    Fleet,
    Limits,
    Requirement,
    Selection,
    Selector,
    StopRule,
    Wave,
    Window,
)

ROOT = Path(__file__).parents[4]
CLUSTERS = ("legacy", "eks")
SHOP = {"namespace": "shop"}
WAVE = {"name": "one", "services": [SHOP]}
GOOD: dict[str, Any] = {"target": "eks", "waves": [WAVE]}


def fleet(spec: Any, **annotations: str) -> Fleet:
    """Return a Fleet as it is read; ``_`` in the name of an annotation stands for ``-``."""
    said = {PREFIX + key.replace("_", "-"): text for key, text in annotations.items()}
    return read(Written("to-eks", spec, said), CLUSTERS)


def with_wave(**changed: Any) -> dict[str, Any]:
    """Return the good spec with its wave changed."""
    return {**GOOD, "waves": [{**WAVE, **changed}]}


def with_entry(**entry: Any) -> dict[str, Any]:
    """Return the good spec with this entry of its wave alone."""
    return with_wave(services=[entry])


def with_window(**window: Any) -> dict[str, Any]:
    """Return the good spec with this window."""
    return {**GOOD, "windows": [window]}


def test_the_smallest_fleet_has_a_target_and_a_wave() -> None:
    """Everything but target and waves may be left out."""
    found = fleet(GOOD)
    assert found == Fleet(
        "to-eks",
        origin="legacy",
        target="eks",
        waves=(Wave("one", 1, (Selection("shop"),)),),
    )


def test_all_that_a_fleet_may_say_is_read() -> None:
    """Every key has its place in what is read."""
    found = read(
        Written(
            "to-legacy",
            {
                "target": "legacy",
                "defaults": {"steps": "1,10,25,50", "soak": "2h"},
                "maxInProgress": 20,
                "perNamespace": 2,
                "windows": [
                    {
                        "kind": "deny",
                        "schedule": "0 16 * * FRI",
                        "duration": "64h",
                        "timeZone": "Europe/Copenhagen",
                        "reason": "weekend",
                    },
                    {
                        "kind": "allow",
                        "from": "2026-12-18T00:00:00Z",
                        "until": "2027-01-04T01:00:00+01:00",
                    },
                ],
                "stopTheLine": {"reverts": 3, "within": "24h"},
                "waves": [
                    {
                        "name": "tools",
                        "services": [
                            {"namespace": "shop", "names": ["newsletter"]},
                            {
                                "namespaceSelector": {"matchLabels": {"tier": "low"}},
                                "selector": {
                                    "matchExpressions": [
                                        {"key": "kind", "operator": "In", "values": ["web"]},
                                        {"key": "old", "operator": "DoesNotExist"},
                                    ]
                                },
                            },
                        ],
                        "opens": "byHand",
                        "bake": "90m",
                        "together": True,
                        "maxInProgress": 3,
                        "perNamespace": 1,
                    }
                ],
            },
            {
                PREFIX + "open": "tools",
                PREFIX + "paused": "true",
                PREFIX + "resumed-at": "2026-11-20T08:00:00Z",
                PREFIX + "rollback": "all",
                PREFIX + "return": "tools, all",
                "other.example/open": "x",
            },
            uid="u",
            generation=4,
            created=datetime(2026, 11, 1, tzinfo=UTC),
        ),
        CLUSTERS,
    )
    assert found.problems == ()
    assert (found.origin, found.target, found.uid, found.generation) == ("eks", "legacy", "u", 4)
    assert found.defaults == {"steps": "1,10,25,50", "soak": "2h"}
    assert (found.limits, found.line) == (Limits(20, 2), StopRule(3, 86400.0))
    assert found.windows == (
        Window("deny", "0 16 * * FRI", 64 * 3600.0, "Europe/Copenhagen", reason="weekend"),
        Window(
            "allow",
            begins=datetime(2026, 12, 18, tzinfo=UTC),
            ends=datetime(2027, 1, 4, tzinfo=UTC),
        ),
    )
    web = Requirement("kind", "In", frozenset({"web"}))
    assert found.waves == (
        Wave(
            "tools",
            1,
            (
                Selection("shop", frozenset({"newsletter"})),
                Selection(
                    namespaces=Selector((("tier", "low"),)),
                    services=Selector((), (web, Requirement("old", "DoesNotExist"))),
                ),
            ),
            by_hand=True,
            bake_s=5400.0,
            together=True,
            limits=Limits(3, 1),
        ),
    )
    assert found.by_hand == ByHand(
        opened=frozenset({"tools"}),
        paused=True,
        resumed_at=datetime(2026, 11, 20, 8, tzinfo=UTC),
        rollback=frozenset({"all"}),
        returns=frozenset({"tools", "all"}),
    )


@pytest.mark.parametrize("path", sorted((ROOT / "deploy/examples/fleets").glob("*.yaml")), ids=str)
def test_the_examples_are_right(path: Path) -> None:
    """Nothing is wrong with the Fleets that we show people."""
    for found in yaml.safe_load_all(path.read_text()):
        assert fleet(found["spec"]).problems == ()


WRONG: list[tuple[Any, str]] = [
    (None, "spec is missing: write target and waves."),
    ([], 'spec is "[]": write target and waves.'),
    ({**GOOD, "target": "moon"}, 'spec.target is "moon": write legacy or eks.'),
    ({"waves": [WAVE]}, "spec.target is missing: write legacy or eks."),
    ({**GOOD, "wave": []}, "spec has wave, which is no key: write waves instead."),
    ({**GOOD, "x": 1}, "spec has x, which is no key: the keys are target, defaults,"),
    ({"target": "eks"}, "spec.waves has no wave: write at least one, with its name and services."),
    ({**GOOD, "waves": "one"}, 'spec.waves is "one", which is no list.'),
    ({**GOOD, "waves": ["one"]}, 'spec.waves[0] is "one", which is no map'),
    ({**GOOD, "waves": [WAVE, WAVE]}, 'spec.waves[1].name is "one", as another\'s'),
    ({**GOOD, "maxInProgress": 0}, 'spec.maxInProgress is "0": write a whole number from 1.'),
    ({**GOOD, "maxInProgress": True}, 'spec.maxInProgress is "True": write a whole number'),
    (with_wave(perNamespace="2"), 'spec.waves[0].perNamespace is "2": write a whole number'),
    (with_wave(name="One"), 'spec.waves[0].name is "One": write lower-case letters'),
    (with_wave(name="all"), 'spec.waves[0].name is "all": write lower-case'),
    (with_wave(name=None), "spec.waves[0].name is missing"),
    (with_wave(opens="manually"), 'spec.waves[0].opens is "manually": write automatically or'),
    (with_wave(together="yes"), 'spec.waves[0].together is "yes": write true or false.'),
    (with_wave(bake="1d"), 'spec.waves[0].bake is "1d": write a whole number and s, m or h'),
    (with_wave(bake="999999h"), 'spec.waves[0].bake is "999999h": write a whole number'),
    (with_wave(services=[]), "spec.waves[0].services names nobody: write at least one namespace."),
    (with_wave(services="shop"), 'spec.waves[0].services is "shop", which is no list.'),
    (with_wave(service=[SHOP]), "spec.waves[0] has service, which is no key: write services"),
    (with_entry(), "spec.waves[0].services[0] has to have either namespace or namespaceSelector."),
    (
        with_entry(namespace="shop", namespaceSelector={}),
        "spec.waves[0].services[0] has to have either namespace or namespaceSelector.",
    ),
    (with_entry(namespace=5), 'spec.waves[0].services[0].namespace is "5": write its name.'),
    (with_entry(namespace="shop", names=[]), "spec.waves[0].services[0].names has to have"),
    (with_entry(namespace="shop", names=[7]), "spec.waves[0].services[0].names has to have"),
    (with_entry(namespaceSelector=7), 'namespaceSelector is "7", which is no map'),
    (with_entry(**SHOP, selector={"labels": {}}), "has labels, which is no key: the keys are"),
    (with_entry(**SHOP, selector={"matchLabels": {"a": 1}}), "has a value that is no text"),
    (with_entry(**SHOP, selector={"matchExpressions": [{}]}), "key is missing: write a label's"),
    (
        with_entry(**SHOP, selector={"matchExpressions": [{"key": "a", "operator": "Is"}]}),
        'operator is "Is": write In, NotIn, Exists or DoesNotExist.',
    ),
    (
        with_entry(**SHOP, selector={"matchExpressions": [{"key": "a", "operator": "NotIn"}]}),
        "values has to say which, for NotIn.",
    ),
    (with_window(kind="block"), 'spec.windows[0].kind is "block": write deny or allow.'),
    (with_window(kind="deny"), "spec.windows[0].from is missing: write a time with its zone"),
    (
        with_window(kind="deny", schedule="daily", duration="1h"),
        'spec.windows[0].schedule is "daily", which is no cron schedule',
    ),
    (
        with_window(kind="deny", schedule="0 0 * * *", duration="1h", timeZone="Mars"),
        'spec.windows[0].timeZone is "Mars", which is no time zone',
    ),
    (with_window(kind="deny", schedule="0 0 * * *"), "spec.windows[0].duration is missing"),
    (
        with_window(kind="deny", schedule="0 0 * * *", duration="1h", until="x"),
        "spec.windows[0] has a schedule and a time",
    ),
    (
        with_window(
            kind="deny", **{"from": "2026-12-18T00:00:00", "until": "2027-01-01T00:00:00Z"}
        ),
        'spec.windows[0].from is "2026-12-18T00:00:00": write a time with its zone',
    ),
    (
        with_window(kind="deny", **{"from": "2026-12-18T00:00:00Z", "until": "soon"}),
        'spec.windows[0].until is "soon": write a time with its zone',
    ),
    (
        with_window(
            kind="deny", **{"from": "2026-12-18T00:00:00Z", "until": "2026-12-18T00:00:00Z"}
        ),
        "spec.windows[0] ends before it begins",
    ),
    ({**GOOD, "stopTheLine": {"within": "24h"}}, "spec.stopTheLine.reverts is missing"),
    ({**GOOD, "stopTheLine": {"reverts": 3}}, "spec.stopTheLine.within is missing"),
    ({**GOOD, "stopTheLine": 3}, 'spec.stopTheLine is "3", which is no map'),
]


@pytest.mark.parametrize(("spec", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_wrong_is_told_and_holds(spec: Any, message: str) -> None:
    """Each thing that is wrong is a sentence that says where, what, and what to write, and holds whom it concerns."""
    found = fleet(spec)
    told = [problem for problem in found.problems if message in problem.message]
    assert told, found.problems
    assert all(problem.holds for problem in told)
    assert all(problem.message.startswith(problem.where) for problem in found.problems)


def test_half_of_a_selector_names_nobody() -> None:
    """An entry in which anything is wrong is left out, and the others of its wave stay."""
    found = fleet(with_wave(services=[SHOP, {"namespaceSelector": {"matchLabel": {}}}]))
    assert found.waves[0].services == (Selection("shop"),)
    assert {problem.wave for problem in found.problems} == {1}


def test_what_is_wrong_in_a_wave_concerns_that_wave() -> None:
    """The number of its wave stands beside a problem, 0 where it concerns the whole Fleet."""
    found = fleet({**GOOD, "waves": [WAVE, {"name": "two", "services": []}], "perNamespace": 0})
    assert [problem.wave for problem in found.problems] == [2, 0]


@pytest.mark.parametrize(
    ("defaults", "key", "message"),
    [
        ({"steps": "10,5"}, "steps", 'spec.defaults.steps is "10,5", where 5 is not above the'),
        ({"soak": 2}, "soak", 'spec.defaults.soak is "2", and no text: put it between quotation'),
        ({"target": "eks"}, "target", "spec.defaults.target is asked of one Service"),
        ({"stepz": "1"}, "stepz", "spec.defaults.stepz is not a key: write steps="),
    ],
)
def test_a_wrong_default_is_told_and_holds_whoever_takes_it(
    defaults: dict[str, Any], key: str, message: str
) -> None:
    """A default passes the checks of an annotation; one that does not is none, and is told by its key."""
    found = fleet({**GOOD, "defaults": {**defaults, "dwell": "5m"}})
    assert found.defaults == {"dwell": "5m"}
    assert found.bad_defaults[key].startswith(message)
    assert [(p.message, p.holds) for p in found.problems] == [(found.bad_defaults[key], False)]


def test_defaults_that_are_no_map_hold_everybody() -> None:
    """What cannot be read as defaults at all concerns everybody."""
    (problem,) = fleet({**GOOD, "defaults": "steps"}).problems
    assert (problem.where, problem.holds) == ("spec.defaults", True)


@pytest.mark.parametrize(
    ("annotations", "message", "holds"),
    [
        ({"open": "won"}, 'has "won", which is no wave: the waves are one.', False),
        ({"open": "all"}, 'has "all", which is no wave: the waves are one.', False),
        (
            {"rollback": "checkout"},
            'has "checkout", which is no wave: the waves are all, one',
            True,
        ),
        ({"return": "x"}, "which is no wave", False),
        ({"paused": "yes"}, 'is "yes": write true or false.', True),
        ({"resumed_at": "now"}, 'is "now": write a time with its zone', False),
        ({"pausd": "true"}, f"is no key: write {PREFIX}paused, and remove this one.", False),
        (
            {"zzz": "true"},
            "is no key: the keys are open, paused, resumed-at, rollback, return",
            False,
        ),
        ({"abort": "true"}, "belongs on Services: ", False),
    ],
)
def test_what_is_wrong_in_an_annotation_is_told(
    annotations: dict[str, str], message: str, holds: bool
) -> None:
    """Of what people write by hand, what cannot be what they meant is told; it holds where they want less movement."""
    (problem,) = fleet(GOOD, **annotations).problems
    assert message in problem.message
    assert problem.holds is holds


def test_a_wave_that_was_meant_is_named() -> None:
    """Where a name is nearly a wave's, that one is told."""
    (problem,) = fleet(with_wave(name="checkout"), open="chekout").problems
    assert problem.message.endswith('has "chekout", which is no wave: write checkout.')


def test_a_word_for_paused_that_cannot_be_read_pauses() -> None:
    """Whoever writes paused wants nothing to rise."""
    assert fleet(GOOD, paused="yes").by_hand.paused
    assert not fleet(GOOD, paused="false").by_hand.paused


KEYS = (
    *("target", "defaults", "windows", "stopTheLine", "waves", "name", "services", "names"),
    *("namespace", "namespaceSelector", "selector", "matchLabels", "matchExpressions", "key"),
    *("operator", "values", "kind", "schedule", "duration", "from", "until", "bake"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(JSON)
def test_nothing_that_is_written_raises(spec: Any) -> None:
    """Whatever JSON stands in a spec, it is read, and a spec without a good target and wave says what is wrong."""
    found = fleet(spec)
    assert found.problems or found.waves
