"""Splits of both kinds to Split and back, as people write them and as we do: one suite for every provider."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Key, Record, Split, SplitKind, Unreadable, Weights, WriteSplit
from controller.kube.objects import DECODERS, SplitObject
from controller.mesh.splits import RECORD, away_permille, encode_record
from controller.mesh.splits.kinds import PROVIDERS
from tests.scenarios.world import API_VERSIONS, spelled, split_spec, weights_of
from tests.scenarios.world_cluster import Json

KEY = Key("default", "service-a")
MIRROR = "service-a-eks"
DOTTED = "service-a.default.svc.cluster.local"
SMI, ROUTE = SplitKind.TRAFFICSPLIT, SplitKind.HTTPROUTE
BOTH = [SMI, ROUTE]

each_kind = pytest.mark.parametrize("kind", BOTH)


def decoded(kind: SplitKind, body: Json) -> SplitObject:
    """An object of this kind, as it comes over the wire."""
    found = DECODERS[PROVIDERS[kind].RESOURCE](json.dumps(body).encode())
    assert isinstance(found, SplitObject)
    return found


def found(
    kind: SplitKind,
    *backends: tuple[str, Any],
    service: str = "service-a",
    version: str = "",
    **metadata: Any,
) -> SplitObject:
    """A split of these (backend, weight)."""
    listed = [{"service": name, "weight": weight} for name, weight in backends]
    meta = {"name": "mine", "namespace": "default", "resourceVersion": "7", **metadata}
    spec = split_spec(kind, service, listed)
    api_version = version or API_VERSIONS[kind]
    return decoded(kind, {"apiVersion": api_version, "metadata": meta, "spec": spec})


def read(kind: SplitKind, *backends: tuple[str, Any], **more: Any) -> Split:
    """The same, read."""
    split = PROVIDERS[kind].read(found(kind, *backends, **more), KEY, MIRROR, None)
    assert split is not None
    return split


@each_kind
@pytest.mark.parametrize(
    ("local", "mirror", "away"),
    [
        (100, 0, 0),
        (0, 100, 1000),
        (70, 30, 300),
        (2, 1, 333),
        (1, 2, 667),
        (1_000, 1, 1),
        (400_000, 1, 1),
        (1, 400_000, 999),
    ],
)
def test_weights_are_shares(kind: SplitKind, local: Any, mirror: Any, away: int) -> None:
    """Weights are relative, whatever they sum to; only a true nothing is 0 and only a true all is 1,000."""
    split = read(kind, ("service-a", local), (MIRROR, mirror))
    assert (split.away_permille, split.defects) == (away, ())


@pytest.mark.parametrize(
    ("local", "mirror", "away"),
    [("0.5", "0.5", 500), ("900m", "100m", 100), ("1k", 0, 0), (0.001, 999, 999)],
)
def test_quantities_are_weights_of_a_trafficsplit(local: Any, mirror: Any, away: int) -> None:
    """A TrafficSplit takes fractions and quantities; they are read like any weight."""
    split = read(SMI, ("service-a", local), (MIRROR, mirror))
    assert (split.away_permille, split.defects) == (away, ())


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_rounding_never_makes_nothing_of_something(local: int, mirror: int) -> None:
    """A share is 0 or 1,000 exactly where one side has no weight, and within half a per mille elsewhere."""
    away = away_permille(Weights(Decimal(local), Decimal(mirror)))
    if mirror == 0:
        assert away == 0
    elif local == 0:
        assert away == 1000
    else:
        assert 1 <= away <= 999
        exact = 1000 * mirror / (local + mirror)
        assert abs(away - exact) <= 0.5 or away in (1, 999)


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        (SMI, "split.smi-spec.io/v1alpha1"),
        (SMI, "split.smi-spec.io/v1alpha2"),
        (ROUTE, "gateway.networking.k8s.io/v1"),
        (ROUTE, "gateway.networking.k8s.io/v1beta1"),
    ],
)
def test_every_version_is_read_alike(kind: SplitKind, version: str) -> None:
    """All versions of a kind say the same, and what is written over one names none: the path of the write does."""
    split = read(kind, ("service-a", 900), (MIRROR, 100), version=version)
    assert split.away_permille == 100
    assert (split.kind, split.name, split.resource_version) == (kind, "mine", "7")
    assert written(kind, 0, found_as=split).keys() == {"metadata", "spec"}


@each_kind
@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("service-a", KEY),
        ("service-a.default", KEY),
        ("service-a.default.svc", KEY),
        (DOTTED, KEY),
        ("service-a.default.svc.other.domain", KEY),
        ("service-a.elsewhere", None),
        ("service-a.default.pod", None),
        ("service-b", Key("default", "service-b")),
    ],
)
def test_spellings_of_a_service(kind: SplitKind, spelling: str, key: Key | None) -> None:
    """However a split spells its Service, it is about it; of another namespace it is not."""
    provider, split = PROVIDERS[kind], found(kind, service=spelling)
    assert provider.services_of(split) == ((key,) if key else ())
    assert (provider.read(split, KEY, MIRROR, None) is not None) == (key == KEY)


@pytest.mark.parametrize(
    ("kinds", "backends", "service", "away", "defects"),
    [
        (BOTH, [], "service-a", 0, []),
        ([SMI], [("service-a", 0), (MIRROR, 0)], "service-a", 0, [("WeightsAllZero", True)]),
        ([ROUTE], [("service-a", 0), (MIRROR, 0)], "service-a", 0, [("WeightsAllZero", False)]),
        (BOTH, [("service-a", 100), (MIRROR, 0)], DOTTED, 0, [("SplitIgnored", True)]),
        (BOTH, [("service-a", 0), (MIRROR, 100)], DOTTED, 0, [("SplitIgnored", False)]),
        ([SMI], [(DOTTED, 100), (MIRROR, 0)], DOTTED, 0, [("SplitIgnored", True)]),
        (BOTH, [(DOTTED, 100), (MIRROR, 0)], "service-a", 0, [("BackendNotShort", False)]),
        (
            BOTH,
            [("service-a", 90), (f"{MIRROR}.default", 10)],
            "service-a",
            100,
            [("BackendNotShort", False)],
        ),
        (BOTH, [("service-a", -1), (MIRROR, 2)], "service-a", 1000, [("WeightsHarmful", False)]),
        (
            [SMI],
            [("service-a", 429_000), (MIRROR, 497)],
            "service-a",
            1,
            [("WeightsHarmful", False)],
        ),
        (BOTH, [("service-a", 429_000), (MIRROR, 496)], "service-a", 1, []),
        ([ROUTE], [("service-a", 1_000_000), (MIRROR, 1_000)], "service-a", 1, []),
        (BOTH, [("service-a", "many")], "service-a", 0, [("WeightsHarmful", False)]),
        (
            BOTH,
            [("service-a", 90), ("service-b", 10)],
            "service-a",
            0,
            [("BackendForeign", False)],
        ),
        (BOTH, [("service-a", 90), ("service-b", 0)], "service-a", 0, [("BackendForeign", False)]),
        (BOTH, [("service-a", 40), ("service-a", 40), (MIRROR, 20)], "service-a", 200, []),
    ],
)
def test_what_is_wrong_with_a_split(
    kinds: list[SplitKind],
    backends: list[tuple[str, Any]],
    service: str,
    away: int,
    defects: list[tuple[str, bool]],
) -> None:
    """What Linkerd ignores, what harms, and what is no side of the Service, is found; and what really happens."""
    for kind in kinds:
        split = read(kind, *backends, service=service)
        told = [(f.reason, f.repairable) for f in split.defects]
        assert (split.away_permille, told) == (away, defects), kind


def written(
    kind: SplitKind, away: int, version: str | None = "7", found_as: Split | None = None
) -> Json:
    """What is written for a share, over a split that was found."""
    write = WriteSplit(
        "legacy",
        KEY,
        kind,
        away,
        Record(kind=kind, share_permille=away),
        version,
        "mine",
        port=80 if kind is ROUTE else None,
        carried=found_as.carried if found_as else "",
    )
    return PROVIDERS[kind].body(write, MIRROR)


@each_kind
@given(away=st.integers(0, 1000))
def test_what_is_written_is_read_back(kind: SplitKind, away: int) -> None:
    """Weights are per mille, sum to 1,000 and use short names; record and weights are in one object."""
    body = written(kind, away)
    assert body["metadata"]["resourceVersion"] == "7"
    assert spelled(body["spec"]) == "service-a"
    assert weights_of(body["spec"]) == {"service-a": 1000 - away, MIRROR: away}
    split = PROVIDERS[kind].read(decoded(kind, body), KEY, MIRROR, None)
    assert split is not None
    assert (split.away_permille, split.defects) == (away, ())
    assert split.record == Record(kind=kind, share_permille=away)


@each_kind
@given(away=st.integers(0, 1000), local=st.integers(0, 1000), mirror=st.integers(0, 1000))
def test_a_found_split_is_written_over(kind: SplitKind, away: int, local: int, mirror: int) -> None:
    """Whatever weights stood there, dotted parent included, the merged object reads as what was written."""
    before = found(kind, ("service-a", local), (MIRROR, mirror), service=DOTTED)
    split = PROVIDERS[kind].read(before, KEY, MIRROR, None)
    body = written(kind, away, found_as=split)
    after = PROVIDERS[kind].read(decoded(kind, body), KEY, MIRROR, None)
    assert after is not None
    assert (after.away_permille, after.defects) == (away, ())


@each_kind
def test_a_new_split_names_no_version(kind: SplitKind) -> None:
    """What is to be created carries no resourceVersion."""
    assert "resourceVersion" not in written(kind, 0, None)["metadata"]


@each_kind
@pytest.mark.parametrize("away", [-1, 1001])
def test_a_share_that_is_none_is_never_written(kind: SplitKind, away: int) -> None:
    """A share outside 0 to 1,000 is an error of ours and reaches no API server."""
    with pytest.raises(ValueError, match="per mille"):
        written(kind, away)


@each_kind
@pytest.mark.parametrize("text", ["", "{", "7", '{"kind":"smi"}', '{"kind":"trafficsplit","v":2}'])
def test_a_record_that_cannot_be_read_is_a_value(kind: SplitKind, text: str) -> None:
    """What is not our record is Unreadable, says why, and raises nothing."""
    split = read(kind, ("service-a", 1), annotations={RECORD: text})
    assert isinstance(split.record, Unreadable)
    assert RECORD in split.record.message


@each_kind
def test_the_editor_of_the_weights_is_named(kind: SplitKind) -> None:
    """Who last wrote the field that holds the weights is named, unless it was us."""
    weights, other = ("backends", "service") if kind is SMI else ("rules", "parentRefs")
    entries = [
        {
            "manager": manager,
            "operation": "Update",
            "time": f"2026-01-01T00:00:0{second}Z",
            "fieldsV1": {"f:spec": {f"f:{field}": {}}},
        }
        for second, (manager, field) in enumerate(
            [("helm", weights), ("jane", weights), ("joe", other)]
        )
    ]
    split = read(kind, ("service-a", 1), managedFields=entries)
    assert split.editor == "jane"
    ours = {**entries[1], "manager": "migrate-controller", "time": "2026-01-01T00:00:09Z"}
    split = read(kind, ("service-a", 1), managedFields=[*entries, ours])
    assert (split.editor, split.edited) == ("", None)


@each_kind
def test_the_mirror_of_the_other_cluster_only_is_a_side(kind: SplitKind) -> None:
    """A backend that is the mirror of no known cluster is a stranger."""
    record = encode_record(Record(kind=kind))
    split = read(kind, ("service-a", 1), ("service-a-gke", 1), annotations={RECORD: record})
    assert [defect.reason for defect in split.defects] == ["BackendForeign"]
    assert split.record == Record(kind=kind)


CANARY = "service-a-canary"


@each_kind
@pytest.mark.parametrize("weight", [0, 10])
def test_a_backend_of_somebody_elses_survives_every_write(kind: SplitKind, weight: int) -> None:
    """A backend that is no side of the Service stays in what is written over its split, and gets no calls."""
    before = read(kind, ("service-a", 90), (CANARY, weight), (MIRROR, 0))
    spec = written(kind, 250, found_as=before)["spec"]
    assert weights_of(spec) == {"service-a": 750, MIRROR: 250, CANARY: 0}


def test_a_dotted_stranger_of_a_trafficsplit_does_not_stay() -> None:
    """A dotted backend answers 500 to every call whatever its weight, so no write leaves one there."""
    before = read(SMI, ("service-a", 90), (f"{CANARY}.default", 0))
    assert weights_of(written(SMI, 0, found_as=before)["spec"]) == {"service-a": 1000, MIRROR: 0}


def of(kind: SplitKind, manager: str, field: str, **metadata: Any) -> Split:
    """A split of which a field manager owns one field of the spec."""
    fields: Json = {"f:spec": {f"f:{field}": {}}}
    entry = {"manager": manager, "operation": "Update", "fieldsV1": fields}
    return read(kind, ("service-a", 100), managedFields=[entry], **metadata)


@each_kind
@pytest.mark.parametrize(
    ("manager", "owner"),
    [
        ("flagger", "Flagger"),
        ("rollouts-controller", "Argo Rollouts"),
        ("gatewayAPI", "Argo Rollouts, by its Gateway API plugin"),
        ("argocd-controller", ""),
        ("helm", ""),
    ],
)
def test_who_owns_the_weights_of_a_split_moves_its_traffic(
    kind: SplitKind, manager: str, owner: str
) -> None:
    """A mover is known by its field manager where that owns the weights; who keeps manifests is none."""
    weights, other = ("backends", "service") if kind is SMI else ("rules", "hostnames")
    found = of(kind, manager, weights).foreign
    assert (found.partition(" (")[0], f"spec.{weights}" in found) == (owner, bool(owner))
    assert of(kind, manager, other).foreign == ""


@each_kind
@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({"labels": {"failover.linkerd.io/controlled-by": "x"}}, "linkerd-failover"),
        ({"labels": {"rollouts.argoproj.io/gatewayapi-canary": "in-progress"}}, "Argo Rollouts"),
        ({"ownerReferences": [{"kind": "Canary", "name": "x"}]}, "Flagger"),
        ({"ownerReferences": [{"kind": "Rollout", "name": "x"}]}, "Argo Rollouts"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, ""),
        ({"ownerReferences": [{"kind": "Deployment", "name": "x"}]}, ""),
    ],
)
def test_who_moves_traffic_is_known_by_label_and_owner(
    kind: SplitKind, metadata: Json, owner: str
) -> None:
    """Failover and a canary in progress are known by their label, Flagger and Rollouts by owner reference."""
    found = read(kind, ("service-a", 100), **metadata).foreign
    assert (found.startswith(owner), bool(found)) == (True, bool(owner))
