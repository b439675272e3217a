"""TrafficSplit objects to Split and back, as people write them and as we do."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model import Key, Record, Split, SplitKind, Unreadable, Weights, WriteSplit
from controller.objects import DECODERS, Resource, TrafficSplitObject
from controller.splits import RECORD, away_permille, encode_record, trafficsplit

KEY = Key("default", "service-a")
MIRROR = "service-a-eks"
DOTTED = "service-a.default.svc.cluster.local"


def found(
    *backends: tuple[str, Any],
    service: str = "service-a",
    version: str = "v1alpha2",
    **metadata: Any,
) -> TrafficSplitObject:
    """A TrafficSplit of these (backend, weight)."""
    body = {
        "apiVersion": f"split.smi-spec.io/{version}",
        "metadata": {
            "name": "mine",
            "namespace": "default",
            "resourceVersion": "7",
            **metadata,
        },
        "spec": {
            "service": service,
            "backends": [{"service": name, "weight": weight} for name, weight in backends],
        },
    }
    decoded = DECODERS[Resource.TRAFFICSPLITS](json.dumps(body).encode())
    assert isinstance(decoded, TrafficSplitObject)
    return decoded


def read(*backends: tuple[str, Any], **more: Any) -> Split:
    """The same, read."""
    split = trafficsplit.read(found(*backends, **more), KEY, MIRROR)
    assert split is not None
    return split


@pytest.mark.parametrize(
    ("local", "mirror", "away"),
    [
        (100, 0, 0),
        (0, 100, 1000),
        (70, 30, 300),
        (2, 1, 333),
        (1, 2, 667),
        ("0.5", "0.5", 500),
        ("900m", "100m", 100),
        (1_000, 1, 1),
        (400_000, 1, 1),
        (1, 400_000, 999),
        ("1k", 0, 0),
        (0.001, 999, 999),
    ],
)
def test_weights_are_shares(local: Any, mirror: Any, away: int) -> None:
    """Weights are relative, whatever they sum to; only a true nothing is 0 and only a true all is 1,000."""
    split = read(("service-a", local), (MIRROR, mirror))
    assert (split.away_permille, split.flaws) == (away, ())


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


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2"])
def test_both_versions_are_read_and_kept(version: str) -> None:
    """v1alpha1 (quantities) and v1alpha2 (numbers) are read alike, and written in the version found."""
    split = read(("service-a", "900m"), (MIRROR, "100m"), version=version)
    assert split.away_permille == 100
    assert split.api_version == f"split.smi-spec.io/{version}"
    assert (split.kind, split.name, split.resource_version) == (
        SplitKind.TRAFFICSPLIT,
        "mine",
        "7",
    )


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
def test_spellings_of_a_service(spelling: str, key: Key | None) -> None:
    """However spec.service spells the Service, the split is about it; of another namespace it is not."""
    assert trafficsplit.services_of(found(service=spelling)) == ((key,) if key else ())
    read_at = trafficsplit.read(found(service=spelling), KEY, MIRROR)
    assert (read_at is not None) == (key == KEY)


@pytest.mark.parametrize(
    ("backends", "more", "away", "flaws"),
    [
        ([], {}, 0, []),
        ([("service-a", 0), (MIRROR, 0)], {}, 0, [("WeightsAllZero", True)]),
        ([("service-a", 100), (MIRROR, 0)], {"service": DOTTED}, 0, [("SplitIgnored", True)]),
        ([("service-a", 0), (MIRROR, 100)], {"service": DOTTED}, 0, [("SplitIgnored", False)]),
        ([(DOTTED, 100), (MIRROR, 0)], {"service": DOTTED}, 0, [("SplitIgnored", True)]),
        ([(DOTTED, 100), (MIRROR, 0)], {}, 0, [("BackendNotShort", False)]),
        ([("service-a", 90), (f"{MIRROR}.default", 10)], {}, 100, [("BackendNotShort", False)]),
        ([("service-a", -1), (MIRROR, 2)], {}, 1000, [("WeightsHarmful", False)]),
        ([("service-a", 429_000), (MIRROR, 497)], {}, 1, [("WeightsHarmful", False)]),
        ([("service-a", 429_000), (MIRROR, 496)], {}, 1, []),
        ([("service-a", "many")], {}, 0, [("WeightsHarmful", False)]),
        ([("service-a", 90), ("service-b", 10)], {}, 0, [("BackendForeign", False)]),
        ([("service-a", 90), ("service-b", 0)], {}, 0, [("BackendForeign", True)]),
        ([("service-a", 40), ("service-a", 40), (MIRROR, 20)], {}, 200, []),
    ],
)
def test_what_is_wrong_with_a_split(
    backends: list[tuple[str, Any]],
    more: dict[str, Any],
    away: int,
    flaws: list[tuple[str, bool]],
) -> None:
    """What Linkerd ignores, what harms, and what is no side of the Service, is found; and what really happens."""
    split = read(*backends, **more)
    assert (split.away_permille, [(f.reason, f.mendable) for f in split.flaws]) == (away, flaws)


def written(away: int, version: str | None = "7") -> dict[str, Any]:
    """What is written for a share."""
    record = Record(kind=SplitKind.TRAFFICSPLIT, share_permille=away)
    write = WriteSplit(
        "legacy",
        KEY,
        SplitKind.TRAFFICSPLIT,
        away,
        record,
        version,
        "mine",
        "split.smi-spec.io/v1alpha2",
    )
    return trafficsplit.body(write, MIRROR)


@given(st.integers(0, 1000))
def test_what_is_written_is_read_back(away: int) -> None:
    """Weights are per mille, sum to 1,000 and use short names; record and weights are in one object."""
    body = written(away)
    assert body["metadata"]["resourceVersion"] == "7"
    weights = {b["service"]: b["weight"] for b in body["spec"]["backends"]}
    assert weights == {"service-a": 1000 - away, MIRROR: away}
    decoded = DECODERS[Resource.TRAFFICSPLITS](json.dumps(body).encode())
    assert isinstance(decoded, TrafficSplitObject)
    split = trafficsplit.read(decoded, KEY, MIRROR)
    assert split is not None
    assert (split.away_permille, split.flaws) == (away, ())
    assert split.record == Record(kind=SplitKind.TRAFFICSPLIT, share_permille=away)


def test_a_new_split_names_no_version() -> None:
    """What is to be created carries no resourceVersion."""
    assert "resourceVersion" not in written(0, None)["metadata"]


@pytest.mark.parametrize("away", [-1, 1001])
def test_a_share_that_is_none_is_never_written(away: int) -> None:
    """A share outside 0 to 1,000 is an error of ours and reaches no API server."""
    with pytest.raises(ValueError, match="per mille"):
        written(away)


@pytest.mark.parametrize("text", ["", "{", "7", '{"kind":"smi"}', '{"kind":"trafficsplit","v":2}'])
def test_a_record_that_cannot_be_read_is_a_value(text: str) -> None:
    """What is not our record is Unreadable, says why, and raises nothing."""
    split = read(("service-a", 1), annotations={RECORD: text})
    assert isinstance(split.record, Unreadable)
    assert RECORD in split.record.message


def test_the_editor_of_the_weights_is_named() -> None:
    """Who last wrote spec.backends is named, unless it was us."""
    entries = [
        {
            "manager": manager,
            "operation": "Update",
            "time": f"2026-01-01T00:00:0{second}Z",
            "fieldsV1": {"f:spec": {field: {}}},
        }
        for second, (manager, field) in enumerate(
            [("helm", "f:backends"), ("jane", "f:backends"), ("joe", "f:service")]
        )
    ]
    split = read(("service-a", 1), managedFields=entries)
    assert split.editor == "jane"
    ours = {**entries[1], "manager": "migrate-controller", "time": "2026-01-01T00:00:09Z"}
    split = read(("service-a", 1), managedFields=[*entries, ours])
    assert (split.editor, split.edited) == ("", None)


def test_the_mirror_of_the_other_cluster_only_is_a_side() -> None:
    """A backend that is the mirror of no known cluster is a stranger."""
    record = encode_record(Record(kind=SplitKind.TRAFFICSPLIT))
    split = read(("service-a", 1), ("service-a-gke", 1), annotations={RECORD: record})
    assert [flaw.reason for flaw in split.flaws] == ["BackendForeign"]
    assert split.record == Record(kind=SplitKind.TRAFFICSPLIT)
