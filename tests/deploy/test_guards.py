"""What the guards refuse and let pass, on a real API server, and what they tell people to write."""

from __future__ import annotations

import asyncio
import copy
import secrets
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from controller.domain import PREFIX, MigrationSpec
from controller.domain.annotation_schema import rows
from controller.domain.annotations import read
from deploy.servers.kube_apiserver import RealApi
from tests.deploy.rendering import Json, example, one, render
from tests.deploy.server import as_user, install, path_of
from tests.unit.domain.annotation_cases import BAD, GOOD

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("helm")]

CLUSTERS = ("legacy", "eks")
CONTROLLER = "system:serviceaccount:migrate:migrate-controller"
NAMESPACE_CONTROLLER = "system:serviceaccount:kube-system:namespace-controller"
EDITORS = "migrate-split-editors"
RECORD = PREFIX + "record"


@pytest.fixture(scope="module")
def guarded(cluster: RealApi) -> RealApi:
    """The API server with the guards of legacy, in force, and those for labelled namespaces."""
    asyncio.run(_guard(cluster))
    return cluster


async def _guard(cluster: RealApi) -> None:
    guards = [
        found
        for found in render(example("labelled"))
        if found["kind"].startswith("ValidatingAdmissionPolicy")
    ]
    async with cluster.session() as session:
        await install(session, guards)
        label = {"metadata": {"labels": {PREFIX + "enabled": "true"}}}
        await _patch(session, "/api/v1/namespaces/default", label)
        # One ruling of each, and all are in force.
        for bad in (
            _service(steps="none"),
            _split(a=0, b=0),
            _route([{"name": "a", "weight": 0}]),
            _managed(_split(a=1, b=0)),
            _pin(),
            _slice(),
            _elsewhere(_service(target="eks")),
        ):
            await _until(session, bad, 422, dry=False)


@pytest.fixture
async def api(guarded: RealApi) -> AsyncIterator[aiohttp.ClientSession]:
    """An administrator's requests to it."""
    async with guarded.session() as session:
        yield session


# --- objects ---------------------------------------------------------------------------------------------


def _name(stem: str) -> str:
    return f"{stem}-{secrets.token_hex(4)}"


def _service(*labels: str, **specs: str) -> Json:
    annotations = {PREFIX + key.replace("_", "-"): value for key, value in specs.items()}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": _name("service"),
            "namespace": "default",
            "labels": dict.fromkeys(labels, "true"),
            "annotations": annotations,
        },
        "spec": {"ports": [{"port": 80}]},
    }


def _split(version: str = "v1alpha2", **weights: Any) -> Json:
    return _split_of(list(weights.items()), version)


def _split_of(backends: list[tuple[str, Any]], version: str = "v1alpha2") -> Json:
    return {
        "apiVersion": f"split.smi-spec.io/{version}",
        "kind": "TrafficSplit",
        "metadata": {"name": _name("split"), "namespace": "default"},
        "spec": {
            "service": "a",
            "backends": [{"service": name, "weight": weight} for name, weight in backends],
        },
    }


def _route(
    *backends: list[Json], parent: str = "Service", version: str = "gateway.networking.k8s.io/v1"
) -> Json:
    return {
        "apiVersion": version,
        "kind": "HTTPRoute",
        "metadata": {"name": _name("route"), "namespace": "default"},
        "spec": {
            "parentRefs": [{"group": "core", "kind": parent, "name": "a", "port": 80}],
            "rules": [{"backendRefs": [{"port": 80, **ref} for ref in refs]} for refs in backends],
        },
    }


def _managed(found: Json) -> Json:
    meta = {**found["metadata"], "annotations": {RECORD: '{"v":1}'}}
    return {**found, "metadata": meta}


def _pin() -> Json:
    return {
        "apiVersion": "linkerd.io/v1alpha2",
        "kind": "ServiceProfile",
        "metadata": {
            "name": f"{_name('a')}.default.svc.cluster.local",
            "namespace": "linkerd-multicluster",
            "annotations": {PREFIX + "pin": "default/a"},
        },
        "spec": {"routes": []},
    }


# --- requests --------------------------------------------------------------------------------------------


async def _create(
    session: aiohttp.ClientSession, found: Json, *who: str, dry: bool = True
) -> tuple[int, str]:
    query = {"dryRun": "All"} if dry else {}
    headers = as_user(*who) if who else None
    path = path_of(found, named=False)
    async with session.post(path, json=found, params=query, headers=headers) as answer:
        return answer.status, (await answer.json()).get("message", "")


async def _until(
    session: aiohttp.ClientSession, found: Json, status: int, *, dry: bool = True
) -> None:
    """Wait until the making of it is answered so: the server reads its policies in its own time."""
    async with asyncio.timeout(20):
        while (await _create(session, found, dry=dry))[0] != status:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.05)


async def _patch(
    session: aiohttp.ClientSession, path: str, patch: Json, *who: str
) -> tuple[int, str]:
    headers = CIMultiDict({"Content-Type": "application/merge-patch+json"})
    if who:
        headers.extend(as_user(*who))
    async with session.patch(path, json=patch, headers=headers) as answer:
        return answer.status, (await answer.json()).get("message", "")


async def _delete(session: aiohttp.ClientSession, path: str, *who: str) -> tuple[int, str]:
    async with session.delete(path, headers=as_user(*who)) as answer:
        return answer.status, (await answer.json()).get("message", "")


async def _stands(session: aiohttp.ClientSession, found: Json) -> str:
    """Make it as the controller, for real; gives its path."""
    status, message = await _create(session, found, CONTROLLER, dry=False)
    assert status == 201, message
    return path_of(found)


# --- annotations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, value, _ in GOOD])
async def test_good_annotation_is_taken(api: aiohttp.ClientSession, key: str, value: str) -> None:
    """Each value that the parser reads as a spec, the API server takes."""
    status, message = await _create(api, _service(**{key: value}))
    assert status == 201, message


@pytest.mark.parametrize(("key", "value"), BAD)
async def test_bad_annotation_is_refused(api: aiohttp.ClientSession, key: str, value: str) -> None:
    """Each value that the parser finds malformed, the API server refuses, with one to write instead."""
    status, message = await _create(api, _service(**{key: value}))
    assert status == 422, message
    said = f"{PREFIX}{key}: write "
    assert said in message
    offered = message.rpartition(f"for example {PREFIX}{key}=")[2]
    assert isinstance(read({"legacy": {PREFIX + key: offered}}, CLUSTERS), MigrationSpec), offered


def test_guard_says_what_the_parser_says() -> None:
    """The advice of each key's row in the grammar is the advice of its guard, key by key, in order; last is the word
    that is for Fleets."""
    policy = one(render(example("legacy")), "ValidatingAdmissionPolicy", "migrate-annotations")
    *told, last = [validation["message"] for validation in policy["spec"]["validations"][1:]]
    assert last.startswith(f"{PREFIX}excluded: ")
    assert told == [
        f"{PREFIX}{row.key}: write {row.write}, for example {PREFIX}{row.key}={row.example}"
        for row in rows(CLUSTERS)
    ]


async def test_unknown_key_is_named(api: aiohttp.ClientSession) -> None:
    """A key that is none of ours is refused by its name, and the message lists the keys there are."""
    status, message = await _create(api, _service(targt="eks", record="{}"))
    assert status == 422
    told = message.partition(" is no key of mesh-migrate")[0]
    assert f"{PREFIX}record" in told
    assert f"{PREFIX}targt" in told
    assert all(row.key in message for row in rows(CLUSTERS))


async def test_mirror_is_let_be(api: aiohttp.ClientSession) -> None:
    """A mirror carries its Service's annotations, whatever they are: Linkerd may write them."""
    mirror = _service("mirror.linkerd.io/mirrored-service", steps="nonsense", targt="x")
    assert (await _create(api, mirror))[0] == 201


async def test_what_stood_before_is_let_be(api: aiohttp.ClientSession) -> None:
    """A Service whose annotation was malformed before can still be changed, and cleaned key by key."""
    mirror = "mirror.linkerd.io/mirrored-service"
    found = _service(mirror, steps="nonsense", dwell="60")
    assert (await _create(api, found, dry=False))[0] == 201
    path = path_of(found)
    unlabelled = {"metadata": {"labels": {mirror: None, "team": "a"}}}
    assert (await _patch(api, path, unlabelled))[0] == 200
    mended = {"metadata": {"annotations": {PREFIX + "dwell": "60s"}}}
    assert (await _patch(api, path, mended))[0] == 200
    worse = {"metadata": {"annotations": {PREFIX + "steps": "other nonsense"}}}
    assert (await _patch(api, path, worse))[0] == 422
    removed = {"metadata": {"annotations": {PREFIX + "steps": None}}}
    assert (await _patch(api, path, removed))[0] == 200


_texts = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"[0-9.]{0,6}(,[0-9.]{1,5}){0,3}", fullmatch=True),
    st.from_regex(r"[0-9]{0,8}[smh]?", fullmatch=True),
    st.from_regex(r"[1-6][0-9]{2}(-[1-6][0-9]{2})?(,[0-9]{3}(-[0-9]{3})?)?", fullmatch=True),
    st.from_regex(r"[0-9]{1,5}ms@[0-9]{1,3}(\.[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"/?[!-~ ]{0,20}", fullmatch=True),
    st.from_regex(r"[-a-z0-9]{1,8}", fullmatch=True),
    st.sampled_from([value for _, value, _ in GOOD] + [value for _, value in BAD]),
).filter(lambda text: "\x00" not in text and text.isprintable())


def test_parser_and_guard_agree(guarded: RealApi) -> None:
    """Whatever text stands under whatever key, the API server takes it exactly if the parser does."""
    asked: list[tuple[str, str]] = []

    @settings(max_examples=600, deadline=None, derandomize=True, database=None)
    @given(st.sampled_from([row.key for row in rows(CLUSTERS)]), _texts)
    def collect(key: str, value: str) -> None:
        asked.append((key, value))

    collect()
    assert asyncio.run(_disagreements(guarded, asked)) == []


async def _disagreements(guarded: RealApi, asked: list[tuple[str, str]]) -> list[tuple[str, str]]:
    found = []
    async with guarded.session() as session:
        for key, value in asked:
            status, _ = await _create(session, _service(**{key: value}))
            parsed = isinstance(read({"legacy": {PREFIX + key: value}}, CLUSTERS), MigrationSpec)
            if status != (201 if parsed else 422):
                found.append((key, value))
    return found


# --- weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (_split(a=0, b=0), "all weights are 0"),
        (_split("v1alpha1", a=0, b="0"), "all weights are 0"),
        (_split(a=1000, b=-1), "a weight is negative or no number"),
        (_split("v1alpha1", a=1000, b="-1"), "a weight is negative or no number"),
        (_split("v1alpha1", a=1000, b="many"), "a weight is negative or no number"),
        (_split(a=429_496, b=1), "sum to more than 429496"),
        (_split("v1alpha1", a="429k", b="497"), "sum to more than 429496"),
        (
            _split_of([("a", 0), ("a-eks.default.svc.cluster.local", 1)]),
            "a-eks.default.svc.cluster.local is not a short name: Linkerd answers 500 to every call. Write a-eks",
        ),
        (_route([{"name": "a", "weight": 0}, {"name": "b", "weight": 0}]), "all weights of a rule"),
        (_route([{"name": "a"}], [{"name": "b", "weight": 0}]), "all weights of a rule are 0"),
        (
            _route(
                [{"name": "a", "weight": 1000}, {"name": "b", "weight": -1}],
                version="policy.linkerd.io/v1beta3",
            ),
            "is negative",
        ),
        (_route([{"name": "a", "weight": 429_496}, {"name": "b"}]), "sum to more than 429496"),
        (
            _route([{"name": "a", "weight": 0}], version="policy.linkerd.io/v1beta3"),
            "all weights of a rule are 0",
        ),
        (_route([{"name": "b.other.svc.cluster.local"}]), "is no name of a Service. Write b"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_harmful_weights_are_refused(
    api: aiohttp.ClientSession, split: Json, words: str
) -> None:
    """Weights that freeze or kill proxies are refused from everybody, the controller too."""
    for who in (("anna",), ("anna", EDITORS), (CONTROLLER,)):
        status, message = await _create(api, split, *who)
        assert status == 422, message
        assert words in message


@pytest.mark.parametrize(
    "split",
    [
        _split(a=1000, b=0),
        _split(a=0.5, b=0.5),
        _split(a=429_495, b=1),
        _split("v1alpha1", a="900m", b="100m"),
        _split("v1alpha1", a=1, b=0),
        _split_of([]),
        _route([{"name": "a", "weight": 999}, {"name": "b", "weight": 1}]),
        _route([{"name": "a"}, {"name": "b", "weight": 0}]),
        _route([]),
        _route([{"name": "a", "weight": 0}], parent="Gateway"),
    ],
)
async def test_harmless_weights_are_taken(api: aiohttp.ClientSession, split: Json) -> None:
    """Weights that proxies can live with are taken from anybody, and an ingress's routes are not judged."""
    status, message = await _create(api, split, "anna")
    assert status == 201, message


async def test_harmful_split_can_be_touched_and_mended(api: aiohttp.ClientSession) -> None:
    """A split that was harmful before the guards may get a label and good weights, and no other bad ones."""
    name = "migrate-trafficsplit-weights"
    binding = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{name}"
    bad = _split(a=0, b=0)
    warn = {"spec": {"validationActions": ["Warn"]}}
    assert (await _patch(api, binding, warn))[0] == 200
    await _until(api, bad, 201)
    assert (await _create(api, bad, dry=False))[0] == 201
    assert (await _patch(api, binding, {"spec": {"validationActions": ["Deny"]}}))[0] == 200
    await _until(api, _split(a=0, b=0), 422)
    path = path_of(bad)
    assert (await _patch(api, path, {"metadata": {"labels": {"team": "a"}}}))[0] == 200
    backends = [{"service": "a", "weight": -1}]
    assert (await _patch(api, path, {"spec": {"backends": backends}}))[0] == 422
    backends = [{"service": "a", "weight": 1000}]
    assert (await _patch(api, path, {"spec": {"backends": backends}}))[0] == 200


# --- what is managed -------------------------------------------------------------------------------------------


def _managed_kinds() -> list[Json]:
    return [_managed(_split(a=900, b=100)), _managed(_route([{"name": "a"}]))]


@pytest.mark.parametrize("kind", [0, 1], ids=["trafficsplit", "httproute"])
async def test_managed_split_is_for_the_controller_and_editors(
    api: aiohttp.ClientSession, kind: int
) -> None:
    """A managed split is written and deleted by the controller and the named group, by nobody else."""
    path = await _stands(api, _managed_kinds()[kind])
    relabel = {"metadata": {"labels": {"team": "a"}}}
    status, message = await _patch(api, path, relabel, "anna")
    assert (status, EDITORS in message) == (422, True), message
    assert "kubectl migrate pause, abort, start" in message
    assert (await _delete(api, path, "anna"))[0] == 422
    assert (await _patch(api, path, relabel, "anna", EDITORS))[0] == 200
    assert (await _patch(api, path, {"metadata": {"labels": {"by": "us"}}}, CONTROLLER))[0] == 200
    assert (await _delete(api, path, "anna", EDITORS))[0] == 200


@pytest.mark.parametrize("kind", [0, 1], ids=["trafficsplit", "httproute"])
async def test_record_is_the_controllers(api: aiohttp.ClientSession, kind: int) -> None:
    """Nobody but the controller makes, changes or removes a record, the named group neither."""
    found = _managed_kinds()[kind]
    status, message = await _create(api, found, "anna", EDITORS, dry=False)
    assert (status, f"{RECORD} is written by" in message) == (422, True), message
    path = await _stands(api, found)
    for record in ('{"v":1,"sharePermille":1000}', None):
        patch = {"metadata": {"annotations": {RECORD: record}}}
        status, message = await _patch(api, path, patch, "anna", EDITORS)
        assert (status, f"{RECORD} is written by" in message) == (422, True), message
    patch = {"metadata": {"annotations": {RECORD: '{"v":1,"sharePermille":10}'}}}
    assert (await _patch(api, path, patch, CONTROLLER))[0] == 200


async def test_a_record_is_carried_over_by_converting(api: aiohttp.ClientSession) -> None:
    """The named group may make the HTTPRoute that takes a TrafficSplit's place, with its record; nobody else."""
    route, smi = (copy.deepcopy(_managed_kinds()[kind]) for kind in (1, 0))
    for found in (route, smi):
        converted = '{"v":1,"converted":"2026-01-01T00:00:00Z"}'
        found["metadata"]["annotations"][RECORD] = converted
    assert (await _create(api, route, "anna", dry=False))[0] == 422
    assert (await _create(api, smi, "anna", EDITORS, dry=False))[0] == 422
    assert (await _create(api, route, "anna", EDITORS, dry=False))[0] == 201


async def test_other_peoples_splits_are_theirs(api: aiohttp.ClientSession) -> None:
    """A split without a record is anybody's to write and to delete."""
    found = _split(a=900, b=100)
    assert (await _create(api, found, "anna", dry=False))[0] == 201
    path = path_of(found)
    assert (await _patch(api, path, {"metadata": {"labels": {"team": "a"}}}, "anna"))[0] == 200
    assert (await _delete(api, path, "anna"))[0] == 200


async def test_pin_is_the_controllers(api: aiohttp.ClientSession) -> None:
    """Nobody but the controller makes, changes or deletes a pin; other ServiceProfiles are free."""
    pin = _pin()
    assert (await _create(api, pin, "anna", EDITORS, dry=False))[0] == 422
    path = await _stands(api, pin)
    route = {"name": "GET /", "condition": {"method": "GET"}}
    status, message = await _patch(api, path, {"spec": {"routes": [route]}}, "anna", EDITORS)
    assert (status, "is a pin of mesh-migrate" in message) == (422, True), message
    unmarked = {"metadata": {"annotations": {PREFIX + "pin": None}}}
    assert (await _patch(api, path, unmarked, "anna"))[0] == 422
    assert (await _delete(api, path, "anna"))[0] == 422
    assert (await _patch(api, path, {"metadata": {"labels": {"by": "us"}}}, CONTROLLER))[0] == 200
    other = {**pin, "metadata": {"name": _name("b"), "namespace": "linkerd-multicluster"}}
    assert (await _create(api, other, "anna"))[0] == 201


async def test_anybody_may_try_the_controllers_writes(api: aiohttp.ClientSession) -> None:
    """A dry run of what only the controller may write is let through: kubectl migrate check makes them."""
    for found in (*_managed_kinds(), _pin()):
        assert (await _create(api, found, "anna"))[0] == 201


async def test_cluster_cleans_up(api: aiohttp.ClientSession) -> None:
    """What goes with its namespace goes: the cluster's own controllers are not kept from deleting."""
    for found in (*_managed_kinds(), _pin()):
        path = await _stands(api, found)
        assert (await _delete(api, path, NAMESPACE_CONTROLLER))[0] == 200


# --- who aims ----------------------------------------------------------------------------------------------------


MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
WRITERS = (
    "system:serviceaccount:kube-system:endpointslice-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:kube-controller-manager",
)


def _slice(by: str | None = "endpointslice-controller.k8s.io") -> Json:
    labels = {"kubernetes.io/service-name": "a"} | ({MANAGED_BY: by} if by else {})
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": _name("a"), "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.9"]}],
        "ports": [{"name": "http", "port": 80}],
    }


async def test_only_kubernetes_says_that_a_slice_is_its_own(api: aiohttp.ClientSession) -> None:
    """With the endpoint slice controller's label nobody else makes, takes over or changes an EndpointSlice; what
    does not aim it, and deleting it, stay free."""
    aimed = {"endpoints": [{"addresses": ["100.100.100.200"]}]}
    assert "is written by Kubernetes only" in (await _create(api, _slice(), "anna"))[1]
    for writer in WRITERS:
        found = _slice()
        assert (await _create(api, found, writer, dry=False))[0] == 201
        path = path_of(found)
        for patch in (
            aimed,
            {"ports": [{"name": "http", "port": 81}]},
            {"metadata": {"labels": {MANAGED_BY: None}}},
            {"metadata": {"labels": {"kubernetes.io/service-name": "b"}}},
        ):
            assert (await _patch(api, path, patch, "anna", EDITORS))[0] == 422
        assert (await _patch(api, path, {"metadata": {"annotations": {"a": "b"}}}, "anna"))[
            0
        ] == 200
        assert (await _patch(api, path, {"endpoints": None}, writer))[0] == 200
        assert (await _patch(api, path, aimed, writer))[0] == 200
        assert (await _delete(api, path, "anna"))[0] == 200


@pytest.mark.parametrize("by", [None, "me", "endpointslicemirroring-controller.k8s.io"])
async def test_other_slices_are_anybodys(api: aiohttp.ClientSession, by: str | None) -> None:
    """A slice of another hand is made and changed as before, but for the label that would make it Kubernetes' own."""
    found = _slice(by)
    assert (await _create(api, found, "anna", dry=False))[0] == 201
    path = path_of(found)
    assert (await _patch(api, path, {"endpoints": [{"addresses": ["10.0.0.8"]}]}, "anna"))[0] == 200
    own = {"metadata": {"labels": {MANAGED_BY: "endpointslice-controller.k8s.io"}}}
    assert (await _patch(api, path, own, "anna"))[0] == 422


def _of(*parents: str) -> list[Json]:
    groups = {"Service": "", "Gateway": "gateway.networking.k8s.io"}
    return [{"group": groups[kind], "kind": kind, "name": "a"} for kind in parents]


async def test_the_controller_writes_routes_of_services_only(api: aiohttp.ClientSession) -> None:
    """Its right to patch HTTPRoutes is of no use with a route of an ingress, neither as it was nor as it would be."""
    for parents in (_of("Gateway"), _of("Service", "Gateway"), [{"name": "a"}], []):
        ingress = _route([{"name": "a"}])
        ingress["spec"]["parentRefs"] = parents
        status, message = await _create(api, ingress, CONTROLLER)
        assert (status, "whose every parent is a Service" in message) == (422, True), message
        assert (await _create(api, ingress, "anna", dry=False))[0] == 201
        for patch in (
            {"metadata": {"labels": {"by": "us"}}},
            {"spec": {"rules": [{"backendRefs": [{"name": "b", "port": 80}]}]}},
            {"spec": {"parentRefs": _of("Service")}},
        ):
            assert (await _patch(api, path_of(ingress), patch, CONTROLLER))[0] == 422
        assert (await _patch(api, path_of(ingress), {"metadata": {"labels": {"x": "y"}}}, "anna"))[
            0
        ] == 200
    path = await _stands(api, _managed(_route([{"name": "a"}])))
    moved = {"spec": {"rules": [{"backendRefs": [{"name": "a", "port": 80, "weight": 9}]}]}}
    assert (await _patch(api, path, moved, CONTROLLER))[0] == 200
    for parents in (
        _of("Gateway"),
        _of("Service", "Gateway"),
        [{**_of("Service")[0], "name": "b"}],
    ):
        assert (await _patch(api, path, {"spec": {"parentRefs": parents}}, CONTROLLER))[0] == 422


async def test_the_controller_makes_empty_profiles_only(api: aiohttp.ClientSession) -> None:
    """It makes pins, puts its copies on a profile, and routes nothing by one."""
    route = {"name": "GET /", "condition": {"method": "GET"}}
    for spec in (
        {"routes": [route]},
        {"routes": [], "dstOverrides": [{"authority": "b", "weight": 1}]},
    ):
        assert (await _create(api, {**_pin(), "spec": spec}, CONTROLLER))[0] == 422
    path = await _stands(api, _pin())
    assert (await _patch(api, path, {"spec": {"routes": [route]}}, CONTROLLER))[0] == 422
    copy_of = {"metadata": {"annotations": {PREFIX + "begun": "{}"}}}
    assert (await _patch(api, path, copy_of, CONTROLLER))[0] == 200
    theirs = {**_pin(), "spec": {"routes": [route]}}
    theirs["metadata"]["annotations"] = {}
    assert (await _create(api, theirs, "anna", dry=False))[0] == 201
    assert (await _patch(api, path_of(theirs), copy_of, CONTROLLER))[0] == 200
    assert (await _patch(api, path_of(theirs), {"spec": {"routes": []}}, CONTROLLER))[0] == 422


# --- namespaces --------------------------------------------------------------------------------------------------


def _elsewhere(found: Json) -> Json:
    return {**found, "metadata": {**found["metadata"], "namespace": "kube-system"}}


async def test_namespace_opts_in_by_its_label(api: aiohttp.ClientSession) -> None:
    """Without the label nobody asks for a migration there, and the message is the command that opts in."""
    assert (await _create(api, _service(target="eks")))[0] == 201
    status, message = await _create(api, _elsewhere(_service(target="eks")))
    assert status == 422
    assert message.endswith(f"kubectl label namespace kube-system {PREFIX}enabled=true")


async def test_way_home_needs_no_label(api: aiohttp.ClientSession) -> None:
    """Where the label was taken away, abort and paused are still taken, and managed splits still written."""
    assert (await _create(api, _elsewhere(_service(abort="true", paused="true"))))[0] == 201
    found = _elsewhere(_split(a=900, b=100))
    assert (await _create(api, found, "anna", dry=False))[0] == 201
    patch = {"metadata": {"annotations": {RECORD: '{"v":1}'}}}
    assert (await _patch(api, path_of(found), patch, CONTROLLER))[0] == 200


async def test_nothing_is_made_without_the_label(api: aiohttp.ClientSession) -> None:
    """The controller makes no split in a namespace that did not opt in; others' splits are their own."""
    assert (await _create(api, _elsewhere(_managed(_split(a=1, b=0))), CONTROLLER))[0] == 422
    assert (await _create(api, _elsewhere(_managed(_route([{"name": "a"}]))), CONTROLLER))[0] == 422
    assert (await _create(api, _elsewhere(_split(a=1, b=0)), "anna"))[0] == 201
    assert (await _create(api, _managed(_split(a=1, b=0)), CONTROLLER))[0] == 201
