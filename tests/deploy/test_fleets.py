"""Fleets on a real API server: what it takes, what it refuses and with which sentences, and how people see them."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import yaml

from controller.domain import PREFIX
from controller.domain.annotation_schema import rows
from deploy.servers.kube_apiserver import RealApi
from tests.deploy.rendering import ROOT, Json, example, one, render
from tests.deploy.server import Refused, apply, install, path_of

FLEET = ROOT / "deploy" / "examples" / "fleets" / "to-eks.yaml"
CRD = ROOT / "deploy" / "chart" / "files" / "crds" / "fleets.yaml"


def fleet() -> Json:
    """The example."""
    found: Json = yaml.safe_load(FLEET.read_text())
    return found


def changed(path: str, value: Any) -> Json:
    """The example with something else at a path, as ``waves.1.name``; None takes it out."""
    made = copy.deepcopy(fleet())
    *parents, last = path.split(".")
    at: Any = made["spec"]
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
    if value is None:
        del at[last]
    elif isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return made


def asked(**annotations: str) -> Json:
    """The example with these annotations."""
    made = fleet()
    written = {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()}
    return {**made, "metadata": {**made["metadata"], "annotations": written}}


# --- the schema ---------------------------------------------------------------------------------------------


def test_every_field_is_explained() -> None:
    """Each field of the CRD has a description that ends as a sentence, for kubectl explain."""

    def dumb(schema: Json, path: str) -> Iterator[str]:
        if not schema.get("description", "").endswith("."):
            yield path
        for key, inner in schema.get("properties", {}).items():
            yield from dumb(inner, f"{path}.{key}")
        items = schema.get("items", {})
        for key, inner in items.get("properties", {}).items():
            yield from dumb(inner, f"{path}[].{key}")

    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    assert list(dumb(version["schema"]["openAPIV3Schema"], "")) == []


@pytest.mark.real
async def test_the_example_is_taken_as_it_is(cluster: RealApi) -> None:
    """The example with seven waves is applied as it stands in its file; no field of it is unknown or lost."""
    async with cluster.session() as session:
        taken = await apply(session, fleet())
        assert taken["spec"] == fleet()["spec"]
        assert len(taken["spec"]["waves"]) == 7
        assert taken["metadata"]["generation"] == 1
        await _delete(session, taken)


@pytest.mark.real
@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("target", None, "spec.target: Required value"),
        ("target", "", "spec.target in body should be at least 1 chars long"),
        ("waves", None, "spec.waves: Required value"),
        ("waves", [], "spec.waves in body should have at least 1 items"),
        ("waves.1.name", "internal-tools", "two waves have the same name: commands and"),
        ("waves.1.name", "all", 'a wave cannot be called "all": rollback and return mean every'),
        ("waves.1.name", "Low tier", "spec.waves[1].name in body should match"),
        ("waves.0.services", [], "spec.waves[0].services in body should have at least 1 items"),
        ("waves.0.services.0", {}, "write where the Services are: either namespace or"),
        ("waves.0.services.0.namespaceSelector", {}, "write where the Services are: either"),
        ("waves.0.services.0", {"names": ["a"]}, "write where the Services are: either namespace"),
        ("waves.0.services.1.selector", {}, "names and selector say the same twice: write one"),
        ("waves.0.services.1.names", ["a/b"], "spec.waves[0].services[1].names[0] in body should"),
        (
            "waves.5.services.1.selector.matchExpressions.0.values",
            [],
            "In and NotIn have values, Exists and DoesNotExist have none",
        ),
        ("waves.0.opens", "manually", 'supported values: "automatically", "byHand"'),
        ("waves.0.bake", "1 day", "spec.waves[0].bake in body should match"),
        ("waves.0.bake", "0h", "spec.waves[0].bake in body should match"),
        ("waves.0.maxInProgress", 0, "should be greater than or equal to 1"),
        ("waves.0.togehter", True, "togehter"),
        ("windows.0.kind", "closed", 'supported values: "allow", "deny"'),
        (
            "windows.0.schedule",
            None,
            "a window has either schedule and duration, or from and until",
        ),
        ("windows.0.duration", None, "schedule and duration stand together: write when it begins"),
        ("windows.0.duration", "2d", "spec.windows[0].duration in body should match"),
        ("windows.0.schedule", "0 16 * FRI", "write a schedule of five fields: minute, hour, day"),
        ("windows.0.from", "2026-12-18T00:00:00Z", "a window has either schedule and duration"),
        ("windows.1.until", None, "from and until stand together: write when it begins, and when"),
        ("windows.1.until", "2026-12-17T00:00:00Z", "the window ends before it begins: write an"),
        ("windows.1.until", "Monday", "must be of type date-time"),
        ("windows.1.timeZone", "UTC", "timeZone belongs to schedule: from and until say their own"),
        ("stopTheLine.within", None, "spec.stopTheLine.within: Required value"),
        ("stopTheLine.reverts", 0, "should be greater than or equal to 1"),
        ("defaults.target", "eks", "target, attempt, paused, abort and excluded are asked of one"),
        ("defaults.abort", "true", "target, attempt, paused, abort and excluded are asked of one"),
        (f"defaults/{PREFIX}soak", "2h", "write the keys without their prefix, as soak"),
        ("defaults.probe-rate", 10, ".spec.defaults.probe-rate: expected string"),
    ],
    ids=str,
)
async def test_a_wrong_fleet_is_refused(cluster: RealApi, path: str, value: Any, said: str) -> None:
    """What cannot be right is refused when it is written, with what to write instead."""
    made = fleet()
    if "/" in path:
        made["spec"]["defaults"][path.partition("/")[2]] = value
    else:
        made = changed(path, value)
    async with cluster.session() as session:
        with pytest.raises(Refused) as refused:
            await apply(session, made, dry_run=True)
    assert said in str(refused.value)


@pytest.mark.real
async def test_people_see_how_far_it_is(cluster: RealApi) -> None:
    """People who get it see target, wave, counts and state; what is written as spec is no status, nor the other way."""
    counts = {"underWay": 12, "reverted": 1, "blocked": 3}
    told = {"wave": "2/7 catalog", "moved": "61/409", "state": "Open", "counts": counts}
    async with cluster.session() as session:
        taken = await apply(session, {**fleet(), "status": {"state": "Completed"}})
        assert "status" not in taken
        path = path_of(taken)
        async with session.patch(
            f"{path}/status",
            json={"status": told, "spec": {"target": "elsewhere"}},
            headers={"Content-Type": "application/merge-patch+json"},
        ) as answer:
            assert (await answer.json())["spec"]["target"] == "eks"
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        async with session.get(path, headers=accept) as answer:
            table = await answer.json()
        await _delete(session, taken)
    shown = [
        column["name"].upper() for column in table["columnDefinitions"] if not column["priority"]
    ]
    assert shown == [
        "NAME", "TARGET", "WAVE", "MOVED", "UNDER WAY", "REVERTED", "BLOCKED", "STATE", "AGE",
    ]  # fmt: skip
    cells = table["rows"][0]["cells"]
    assert cells[:8] == ["to-eks", "eks", "2/7 catalog", "61/409", 12, 1, 3, "Open"]


async def _delete(session: aiohttp.ClientSession, found: Json) -> None:
    async with session.delete(path_of(found)) as answer:
        assert answer.status == 200


# --- the admission policy -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(cluster: RealApi) -> RealApi:
    """The API server with the chart's policies for Fleets in force, as where the controller runs."""
    asyncio.run(_guard(cluster, "legacy", asked(paused="yes")))
    return cluster


async def _guard(cluster: RealApi, values: str, bad: Json) -> None:
    """Install the policies of Fleets, Services and namespaces, and wait until they are in force."""
    names = {"migrate-fleets", "migrate-annotations", "migrate-exclusions"}
    guards = [
        found
        for found in render(example(values))
        if found["kind"].startswith("ValidatingAdmission") and found["metadata"]["name"] in names
    ]
    assert len(guards) == 2 * len(names)
    async with cluster.session() as session:
        await install(session, guards)
        async with asyncio.timeout(20):
            for refused in (bad, _space(excluded="yes")):
                while await _said(session, refused) == "":  # noqa: ASYNC110 - nothing tells when
                    await asyncio.sleep(0.05)


def _space(**annotations: str) -> Json:
    meta = {"name": "spare", "annotations": {PREFIX + k: v for k, v in annotations.items()}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


async def _said(session: aiohttp.ClientSession, found: Json) -> str:
    """What the server says where it refuses to take it, "" where it takes it."""
    try:
        await apply(session, found, dry_run=True)
    except Refused as refused:
        return str(refused)
    return ""


@pytest.mark.real
@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize(
    "found",
    [
        fleet(),
        asked(open="checkout,payments", paused="true"),
        asked(resumed_at="2026-11-26T18:00:00Z", rollback="all"),
        asked(resumed_at="2026-11-26T18:00:00.123+01:00", **{"return": "identity,web"}),
        asked(rollback="internal-tools"),
        changed("defaults", {"steps": "1,10", "probe-rate": "10", "slo-success": "99.5"}),
        _space(excluded="true"),
    ],
    ids=str,
)
async def test_what_is_asked_well_is_taken(guarded: RealApi, found: Json) -> None:
    """Every word that the commands write is taken, and what the annotations' grammar allows as a default."""
    async with guarded.session() as session:
        assert await _said(session, found) == ""


WAVES = "the waves are internal-tools, low-tier, catalog, web, checkout, payments, identity"


@pytest.mark.real
@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            asked(open="chekout"),
            f"{PREFIX}open: write names of waves with commas and no spaces; {WAVES}",
        ),
        (asked(open="web, checkout"), f"{PREFIX}open: write names of waves"),
        (asked(open="all"), f"{PREFIX}open: write names of waves"),
        (
            asked(rollback="everything"),
            f"{PREFIX}rollback: write all, or names of waves with commas",
        ),
        (asked(**{"return": ""}), f"{PREFIX}return: write all, or names of waves with commas"),
        (asked(paused="yes"), f'{PREFIX}paused: write "true" or "false"'),
        (
            asked(resumed_at="now"),
            f"{PREFIX}resumed-at: write a time as RFC 3339 has it, for example",
        ),
        (asked(resumed_at="2026-13-01T00:00:00Z"), f"{PREFIX}resumed-at: write a time"),
        (asked(resumed_at="2026-11-26"), f"{PREFIX}resumed-at: write a time"),
        (
            asked(soak="2h"),
            f"{PREFIX}soak is no key of mesh-migrate on a Fleet: the keys are open,",
        ),
        (changed("target", "ekss"), "spec.target is none of the two clusters: write legacy or eks"),
        (
            changed("defaults.soka", "2h"),
            "spec.defaults: soka is no key of mesh-migrate: the keys are",
        ),
        (
            changed("defaults.soak", "2d"),
            "spec.defaults.soak: write a whole number and s, m or h, from",
        ),
        (
            changed("defaults.steps", "50,10"),
            "spec.defaults.steps: write rising percentages from 0.1",
        ),
        (_space(excluded="yes"), f'{PREFIX}excluded: write "true" or "false"'),
        (
            _space(target="eks"),
            f"{PREFIX}target is no key of mesh-migrate on a namespace: there it is",
        ),
    ],
    ids=str,
)
async def test_what_is_asked_wrongly_is_refused(guarded: RealApi, found: Json, said: str) -> None:
    """What the controller would not understand is refused, with what to write instead."""
    async with guarded.session() as session:
        assert said in await _said(session, found)


@pytest.mark.real
@pytest.mark.usefixtures("helm")
async def test_a_service_is_excluded_by_a_flag(guarded: RealApi) -> None:
    """A Service says true or false of being excluded, and nothing else."""
    meta = {"name": "a", "namespace": "default"}
    spec = {"ports": [{"port": 80}]}
    async with guarded.session() as session:
        for value, taken in (("true", True), ("false", True), ("yes", False)):
            said = {**meta, "annotations": {PREFIX + "excluded": value}}
            found = {"apiVersion": "v1", "kind": "Service", "metadata": said, "spec": spec}
            assert (await _said(session, found) == "") is taken


@pytest.mark.real
@pytest.mark.usefixtures("helm")
async def test_what_stood_before_is_let_be(guarded: RealApi) -> None:
    """A wave that is renamed leaves the annotation that names it alone, and it can be taken away."""
    async with guarded.session() as session:
        taken = await apply(session, asked(open="checkout"))
        renamed = changed("waves.4.name", "check-out")
        renamed["metadata"]["annotations"] = {PREFIX + "open": "checkout"}
        assert await _said(session, renamed) == ""
        assert await _said(session, changed("waves.4.name", "check-out")) == ""
        await _delete(session, taken)


@pytest.mark.usefixtures("helm")
def test_defaults_are_guarded_by_the_annotations_grammar() -> None:
    """Each key that may be a default has its advice in the policy, and the same as a Service's annotation."""
    policy = one(render(example("legacy")), "ValidatingAdmissionPolicy", "migrate-fleets")
    told = [validation.get("message", "") for validation in policy["spec"]["validations"]]
    advised = [message for message in told if message.startswith("spec.defaults.")]
    assert advised == [
        f'spec.defaults.{row.key}: write {row.write}, for example {row.key}: "{row.example}"'
        for row in rows(("legacy", "eks"))
        if row.key not in ("target", "attempt", "paused", "abort")
    ]


@pytest.mark.real
@pytest.mark.usefixtures("helm")
async def test_a_fleet_stands_where_the_controller_runs() -> None:
    """In the cluster of the prober no Fleet is taken, and the message says where it belongs."""
    server = RealApi("eks")
    await server.start()
    try:
        await _guard(server, "eks", fleet())
        async with server.session() as session:
            assert "apply it in legacy" in await _said(session, fleet())
    finally:
        await server.stop()
