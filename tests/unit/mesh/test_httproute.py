"""What an HTTPRoute can say and a TrafficSplit cannot: what of it is carried over, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.domain import Key, Record, Split, SplitKind, WriteSplit
from controller.kube.objects import DECODERS, HTTPRouteObject, Resource
from controller.mesh.splits import httproute

KEY = Key("default", "service-a")
MIRROR = "service-a-eks"
PARENT = {"group": "", "kind": "Service", "name": "service-a"}
GATEWAY = {"name": "public"}
LOCAL = {"name": "service-a", "port": 80, "weight": 90}
AWAY = {"name": MIRROR, "port": 80, "weight": 10}
RULE = {"backendRefs": [LOCAL, AWAY]}
HEADERS = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-debug"]}}


def route(
    *rules: Any, parents: Any = (PARENT,), status: Any = None, **metadata: Any
) -> HTTPRouteObject:
    """An HTTPRoute of these rules and parents."""
    body = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "metadata": {"name": "mine", "namespace": "default", "resourceVersion": "7", **metadata},
        "spec": {"parentRefs": list(parents), "rules": list(rules), "hostnames": ["a.example"]},
        "status": status,
    }
    decoded = DECODERS[Resource.HTTPROUTES](json.dumps(body).encode())
    assert isinstance(decoded, HTTPRouteObject)
    return decoded


def read(*rules: Any, **more: Any) -> Split:
    """The same, read."""
    split = httproute.read(route(*rules, **more), KEY, MIRROR, None)
    assert split is not None
    return split


def written(split: Split, away: int = 250) -> dict[str, Any]:
    """The spec of the merge patch that writes a share over a route."""
    record = Record(kind=SplitKind.HTTPROUTE, share_permille=away)
    write = WriteSplit(
        "legacy",
        KEY,
        SplitKind.HTTPROUTE,
        away,
        record,
        split.resource_version,
        split.name,
        port=80,
        carried=split.carried,
    )
    spec: dict[str, Any] = httproute.body(write, MIRROR)["spec"]
    return spec


def test_what_stands_beside_the_weights_is_carried_over() -> None:
    """Matches, filters, timeouts, the name of a rule and what a backend says of itself stay as they were."""
    rule = {
        "name": "api",
        "matches": [{"path": {"type": "PathPrefix", "value": "/api"}}],
        "filters": [HEADERS],
        "timeouts": {"request": "5s"},
        "backendRefs": [{**LOCAL, "filters": [HEADERS], "group": "", "kind": "Service"}, AWAY],
    }
    split = read(rule, {**RULE, "matches": [{"path": {"type": "PathPrefix", "value": "/"}}]})
    assert (split.away_permille, split.defects) == (100, ())
    first, second = written(split)["rules"]
    for key in ("name", "matches", "filters", "timeouts"):
        assert first[key] == rule[key]
    assert second["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    for found in (first, second):
        assert [(b["name"], b["weight"]) for b in found["backendRefs"]] == [
            ("service-a", 750),
            (MIRROR, 250),
        ]
    assert first["backendRefs"][0]["filters"] == [HEADERS]


def test_a_merge_patch_names_only_the_rules() -> None:
    """Parents and hostnames are not written again: who owns them keeps them."""
    assert set(written(read(RULE))) == {"rules"}


def test_a_rule_without_backends_is_local_and_gets_both() -> None:
    """Linkerd sends a rule without backends to the local Service; the Service's port is written."""
    split = read({"matches": [{"method": "GET"}]}, parents=[{**PARENT, "port": 8080}])
    assert (split.away_permille, split.defects, split.port) == (0, (), 8080)
    (rule,) = written(split)["rules"]
    assert rule["matches"] == [{"method": "GET"}]
    assert [(b["name"], b["port"]) for b in rule["backendRefs"]] == [
        ("service-a", 80),
        (MIRROR, 80),
    ]


def test_an_absent_weight_is_one() -> None:
    """As the API has it: two backends without weights share the calls."""
    local, mirror = ({k: v for k, v in ref.items() if k != "weight"} for ref in (LOCAL, AWAY))
    assert read({"backendRefs": [local, mirror]}).away_permille == 500


@pytest.mark.parametrize("group", ["", "core"])
def test_a_service_is_of_the_core_group(group: str) -> None:
    """A parent of the group "" or core is a Service."""
    assert httproute.services_of(route(RULE, parents=[{**PARENT, "group": group}])) == (KEY,)


@pytest.mark.parametrize(
    "parents",
    [
        [],
        [GATEWAY],
        [{"kind": "Service", "name": "service-a"}],
        [{**PARENT, "kind": "ServiceImport"}],
        [{**PARENT, "namespace": "elsewhere"}],
    ],
)
def test_a_route_of_something_else_is_no_split(parents: list[Any]) -> None:
    """A Gateway's route, another kind's, and one for a Service of another namespace split no Service here."""
    assert httproute.services_of(route(RULE, parents=parents)) == ()
    assert httproute.read(route(RULE, parents=parents), KEY, MIRROR, None) is None


@pytest.mark.parametrize(
    ("rules", "parents", "away", "reason", "told"),
    [
        ([RULE], [PARENT, GATEWAY], 100, "ParentsForeign", "Gateway public"),
        ([RULE], [PARENT, {**PARENT, "name": "b"}], 100, "ParentsForeign", "Service b"),
        (
            [RULE],
            [{**PARENT, "port": 80}, {**PARENT, "port": 90}],
            100,
            "ParentsForeign",
            "Service service-a",
        ),
        ([RULE, {"backendRefs": [LOCAL]}], [PARENT], 100, "RulesDiffer", "0 % and 10 %"),
        (
            [{**RULE, "filters": [{"type": "URLRewrite"}]}],
            [PARENT],
            0,
            "RouteIgnored",
            "URLRewrite",
        ),
        (
            [{"filters": [{"type": "RequestRedirect"}]}],
            [PARENT],
            0,
            "RouteRedirects",
            "remove the filter",
        ),
        (
            [{"backendRefs": [LOCAL, {"name": MIRROR, "weight": 10}]}],
            [PARENT],
            100,
            "BackendWithoutPort",
            "write the Service's port",
        ),
        (
            [{"backendRefs": [LOCAL, {**AWAY, "namespace": "elsewhere"}]}],
            [PARENT],
            0,
            "BackendForeign",
            MIRROR,
        ),
        (
            [{"backendRefs": [LOCAL, {**AWAY, "kind": "ServiceImport"}]}],
            [PARENT],
            0,
            "BackendForeign",
            "ServiceImport service-a-eks",
        ),
    ],
)
def test_what_cannot_be_carried_is_refused(
    rules: list[Any], parents: list[Any], away: int, reason: str, told: str
) -> None:
    """What our weights would move for others, or what makes them count for nothing, is a defect with a sentence."""
    split = read(*rules, parents=parents)
    assert split.away_permille == away
    (defect,) = split.defects
    assert (defect.reason, defect.repairable) == (reason, False)
    assert told in defect.message


def test_a_backend_of_another_kind_or_namespace_is_nobodys_side() -> None:
    """A backend that only shares a side's name is kept beside the sides, and gets no calls."""
    elsewhere = {**AWAY, "namespace": "elsewhere"}
    imported = {**LOCAL, "kind": "ServiceImport", "group": "multicluster.x-k8s.io"}
    (rule,) = written(read({"backendRefs": [elsewhere, imported, LOCAL]}), 250)["rules"]
    assert [b["weight"] for b in rule["backendRefs"]] == [750, 250, 0, 0]
    assert rule["backendRefs"][2:] == [{**elsewhere, "weight": 0}, {**imported, "weight": 0}]


def test_the_way_home_leaves_other_parents_alone() -> None:
    """A revert writes also over a route that somebody gave another parent: the parents stay as they are."""
    assert "parentRefs" not in written(read(RULE, parents=[PARENT, GATEWAY]), 0)


def test_a_route_is_made_for_one_port() -> None:
    """A new route has the Service as its parent, and every backend names its port."""
    record = Record(kind=SplitKind.HTTPROUTE)
    write = WriteSplit("l", KEY, SplitKind.HTTPROUTE, 0, record, None, "service-a", port=8080)
    spec = httproute.body(write, MIRROR)["spec"]
    assert spec["parentRefs"] == [{**PARENT, "port": 8080}]
    assert [b["port"] for b in spec["rules"][0]["backendRefs"]] == [8080, 8080]


def test_a_route_without_a_port_is_never_written() -> None:
    """A backend without a port answers 500: that is an error of ours, and reaches no API server."""
    record = Record(kind=SplitKind.HTTPROUTE)
    write = WriteSplit("l", KEY, SplitKind.HTTPROUTE, 0, record, None, "service-a")
    with pytest.raises(ValueError, match="needs a port"):
        httproute.body(write, MIRROR)


@pytest.mark.parametrize(
    "spec", [{"rules": {}}, {"parentRefs": 7}, {"rules": [{"backendRefs": 1}]}]
)
def test_a_route_of_no_shape_is_a_value(spec: Any) -> None:
    """What is no HTTPRoute is Undecodable and raises nothing."""
    body = {"metadata": {"name": "mine", "namespace": "default"}, "spec": spec}
    found = DECODERS[Resource.HTTPROUTES](json.dumps(body).encode())
    assert not isinstance(found, HTTPRouteObject)


def accepted(status: str, *, by: str = "linkerd.io/policy-controller", parent: Any = PARENT) -> Any:
    """A route's status, as a controller writes it."""
    condition = {"type": "Accepted", "status": status, "message": "no such parent"}
    return {"parents": [{"parentRef": parent, "controllerName": by, "conditions": [condition]}]}


def test_a_route_that_linkerd_does_not_accept_is_refused_in_its_words() -> None:
    """Linkerd follows no route whose condition Accepted it set to False, so nobody rises by one."""
    (defect,) = read(RULE, status=accepted("False")).defects
    assert (defect.reason, defect.repairable) == ("RouteNotAccepted", False)
    assert "(no such parent)" in defect.message


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        {"parents": []},
        {"parents": "of another shape"},
        7,
        accepted("True"),
        accepted("Unknown"),
        accepted("False", by="example.com/some-gateway"),
        accepted("False", parent=GATEWAY),
        accepted("False", parent={**PARENT, "name": "b"}),
    ],
)
def test_what_is_no_refusal_of_linkerds_is_no_flaw(status: Any) -> None:
    """No status yet, one that cannot be read, another controller's, or of another parent says nothing of us."""
    assert read(RULE, status=status).defects == ()
