"""What is told: statuses, Events and conditions, where the stories do not reach."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.decide.gates.gate import hold
from controller.decide.plan import plan
from controller.domain import MigrationKnown, Phase, Reason, Side, Verdict
from controller.domain.status import MigrationStatus, readable
from controller.kube.objects import Resource
from controller.report import status
from tests.scenarios.world import A, World

EVIL = "a\x1b[2J\u202eb\nc"
SHOWN = r"a\x1b[2J\u202eb\nc"

CRD = Path(__file__).parents[3] / "deploy" / "chart" / "files" / "crds" / "migrations.yaml"


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["history", "conditions", "type", "status", "phase", "share"]), inner
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    _branches,
)


@given(st.dictionaries(st.sampled_from(["history", "conditions", "phase"]), JSON))
def test_whatever_stands_in_a_status_is_taken_up(found: dict[str, Any]) -> None:
    """A status that somebody wrote in is for display only: what is not of our shape is left out."""
    history = status.remember(found)
    assert len(history.transitions) <= 10
    assert all(isinstance(entry.type, str) for entry in history.conditions)


def test_a_spoiled_status_stops_nothing() -> None:
    """A migration goes on, and tells, over a status of another shape."""
    world = World()
    world.ask()
    world.until(lambda: world.recorded() == (10, 1000))
    found = world.apis["legacy"].get(Resource.MIGRATIONS, *A)
    spoiled = {"history": [7, {"phase": 3}], "conditions": [{"type": "Completed"}], "phase": 9}
    world.apis["legacy"].put_as_it_is(Resource.MIGRATIONS, {**found, "status": spoiled})
    world.crash()
    world.until_phase(Phase.COMPLETED)
    assert world.status()["phase"] == "Completed"


def test_what_is_told_is_printable() -> None:
    """Whoever's text it is, control characters and marks of direction are escaped in statuses and Events."""
    world = World()
    world.ask()
    world.until(lambda: world.recorded() == (10, 1000))
    observed = world.replica.observe(A)
    decided = plan(observed, world.now)
    for ruling in (hold(Reason(EVIL), EVIL), None):
        spoiled = replace(
            decided,
            ruling=ruling,
            next=EVIL,
            waiting_for=EVIL,
            warnings=((Reason.SAME_PODS, EVIL),),
        )
        known = MigrationKnown(("legacy",), None, EVIL)
        told = status.tell(status.History(), observed, spoiled, known, world.now, world.now_s)
        texts = list(_texts(told.status)) + [t for e in told.events for t in (e.reason, e.message)]
        assert [text for text in texts if not text.isprintable()] == []
        assert any(SHOWN in text for text in texts)
        assert told.history.written is not None
        assert status.stands(told.status or {}, told.history)


def _texts(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, Mapping):
        for key, each in found.items():
            yield from (key, *_texts(each))
    elif isinstance(found, list):
        for each in found:
            yield from _texts(each)


def test_the_crd_has_the_keys_and_types_that_are_written() -> None:
    """The CRD's schema and the status type have the same keys with the same types, in both directions."""
    crd = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    (version,) = crd["spec"]["versions"]
    published = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    (written,), parts = msgspec.json.schema_components([MigrationStatus])
    assert _shape(published, {}) == _shape(written, parts)


@pytest.mark.parametrize(
    ("part", "key", "values"),
    [
        ((), "phase", {phase.value for phase in Phase}),
        (("ways",), "side", {side.value for side in Side if side is not Side.GATEWAY}),
        (("ways",), "verdict", {verdict.value for verdict in Verdict}),
        (("traffic",), "verdict", {"", *(verdict.value for verdict in Verdict)}),
    ],
)
def test_the_crd_lets_every_value_pass(part: tuple[str, ...], key: str, values: set[str]) -> None:
    """The values that the CRD lets a key have are those of the product."""
    crd = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    found = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    for name in part:
        found = found["properties"][name]["items"]
    assert set(found["properties"][key]["enum"]) == values


def _shape(schema: Any, parts: Mapping[str, Any]) -> Any:
    """Return the types of a schema without its words: a name for a scalar, what is in it for a list or object."""
    schema = parts[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if schema["type"] == "array":
        return [_shape(schema["items"], parts)]
    if schema["type"] == "object":
        if "additionalProperties" in schema:
            return {"*": _shape(schema["additionalProperties"], parts)}
        return {key: _shape(inner, parts) for key, inner in schema["properties"].items()}
    return (schema["type"], schema.get("format", ""))


def test_a_status_is_read_as_it_was_written() -> None:
    """What was written is read back whole, and what an older controller did not write is empty."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_share(10)
    found = world.status()
    assert json.loads(msgspec.json.encode(readable(found))) == found
    assert readable({}) == MigrationStatus()


def test_a_condition_keeps_its_time_while_it_stays() -> None:
    """A condition's time is that of its last change, also over a restart of the controller."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_share(10)
    first = _times(world)
    world.crash()
    world.until_share(250)
    assert _times(world) == first
    world.annotate(abort="true")
    world.run(2)
    after = _times(world)
    assert (after["Completed"], after["Reverted"] > first["Reverted"]) == (first["Completed"], True)


def _times(world: World) -> dict[str, str]:
    return {c["type"]: c["lastTransitionTime"] for c in world.status()["conditions"]}


@pytest.mark.parametrize(
    ("harm", "condition"),
    [
        (lambda world: world.annotate(paused="true"), "Blocked"),
        (lambda world: world.annotate(steps="x"), "Blocked"),
        (lambda world: world.annotate(abort="true"), "Reverted"),
        (lambda world: world.until_share(1000), "Completed"),
        (lambda _world: None, "Progressing"),
    ],
)
def test_exactly_one_condition_is_true(harm: Any, condition: str) -> None:
    """Of Progressing, Blocked, Reverted and Completed one is True, and says why."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_share(10)
    harm(world)
    world.run(2)
    true = {c["type"]: c for c in world.status()["conditions"] if c["status"] == "True"}
    assert set(true) == {condition}
    assert true[condition]["reason"]
    assert true[condition]["message"]


def test_a_restart_tells_nothing_twice() -> None:
    """A new process that finds all as it was told writes no Event."""
    world = World()
    world.begin_on_legacy()
    world.ask(soak="10m")
    world.until_share(999)
    world.run(3)
    world.events.clear()
    world.crash()
    world.run(30)
    assert world.events == []


def test_what_is_not_known_is_a_question_mark() -> None:
    """A share that is not known is told as "?", never as a number."""
    assert [status.percent(share) for share in (None, 0, 1, 999, 1000)] == [
        "?",
        "0",
        "0.1",
        "99.9",
        "100",
    ]


def test_a_service_that_is_missing_has_no_share() -> None:
    """A cluster without the Service has a dash in the share until it is there."""
    world = World()
    world.ask()
    world.apis["eks"].delete(Resource.SERVICES, *A)
    world.run(5)
    assert (world.status()["reason"], world.status()["share"]) == ("ServiceMissing", "0/-")


def test_the_history_has_the_target_of_each_attempt() -> None:
    """There and back, each transition keeps the target that it was on the way to."""
    world = World()
    world.ask()
    world.until_phase(Phase.COMPLETED)
    world.annotate("legacy", target="legacy")
    world.until_phase(Phase.PROGRESSING)
    targets = [entry["target"] for entry in world.status()["history"]]
    assert targets == sorted(targets)
    assert set(targets) == {"eks", "legacy"}


def test_the_verdict_needs_all_four_ways() -> None:
    """PASS is told only where all four paths pass; any FAIL is FAIL; without probes nothing is told."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.run(1)
    assert world.status()["verdict"] in ("", "UNKNOWN")
    world.until_share(10)
    world.run(2.9)
    observed, decided = world.replica.observed[A], world.decided
    assert status.verdict_of(observed, decided) in ("PASS", "UNKNOWN")
    for side in ("target", "home"):
        world.fault("eks", side)
    world.run(3)
    assert status.verdict_of(world.replica.observed[A], world.decided) == "FAIL"
    world.heal()
    world.annotate(abort="true")
    world.run(6)
    assert world.status()["verdict"] == ""
