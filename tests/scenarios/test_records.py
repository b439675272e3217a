"""What is stored: records on splits, latches on pins; written, read back, and told from junk."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide.resolve import stored
from controller.domain import (
    PREFIX,
    Attempt,
    Begun,
    Key,
    Latch,
    LatencySpec,
    MigrationSpec,
    ProbeSpec,
    Record,
    Reverted,
    SplitKind,
    Unreadable,
    WritePin,
)
from controller.kube.objects import DECODERS, Resource, ServiceProfileObject
from controller.mesh import pin
from controller.mesh.splits import RECORD, decode_record, encode_record
from tests.scenarios.world import World

KEY = Key("default", "service-a")
DOMAIN = "cluster.local"
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone
CLUSTERS = st.sampled_from(["legacy", "eks"])
PERCENTS = st.sampled_from([Decimal("99.9"), Decimal(50), Decimal("99.99"), Decimal("99.5")])
WISHES = st.builds(
    MigrationSpec,
    target=CLUSTERS,
    attempt=st.none() | st.integers(1, 999_999),
    paused=st.booleans(),
    abort=st.booleans(),
    steps=st.just("now")
    | st.lists(st.integers(1, 900), min_size=1, max_size=20, unique=True).map(
        lambda steps: tuple(sorted(steps))
    ),
    step_pause_s=st.integers(1, 604_800).map(float),
    soak_s=st.integers(1, 604_800).map(float),
    probe=st.builds(
        ProbeSpec,
        port=st.none() | st.integers(1, 65535) | st.sampled_from(["http", "web"]),
        path=st.sampled_from(["/", "/healthz?a=%20"]),
        expect=st.sampled_from([((200, 399),), ((200, 200), (404, 404))]),
        rate_per_s=st.integers(1, 100),
    ),
    success_percent=PERCENTS,
    latency=st.none()
    | st.builds(LatencySpec, limit_s=st.sampled_from([0.3, 0.001]), percent=PERCENTS),
    origin_floor_percent=st.integers(0, 100),
    split=st.sampled_from(["auto", "trafficsplit", "httproute"]),
    traffic=st.sampled_from([None, "off", "advisory", "required"]),
)
REVERTED = st.builds(Reverted, reason=st.text(max_size=9), message=st.text(max_size=30), at=TIMES)


def attempt(
    number: int, target: str, baseline: tuple[int, int], spec: MigrationSpec, at: datetime
) -> Attempt:
    """An attempt between the two clusters."""
    legacy, eks = baseline
    return Attempt(
        number=number,
        origin="eks" if target == "legacy" else "legacy",
        target=target,
        baseline={"legacy": legacy, "eks": eks},
        origin_ready=number,
        spec=stored(spec),
        started=at,
    )


HOMES = st.sampled_from([0, 1000])
RECORDS = st.builds(
    Record,
    kind=st.sampled_from(SplitKind),
    fencing_token=st.integers(0, 10**6),
    made=st.none() | TIMES,
    attempt=st.none()
    | st.builds(attempt, st.integers(1, 999_999), CLUSTERS, st.tuples(HOMES, HOMES), WISHES, TIMES),
    share_permille=st.integers(0, 1000),
    since=st.none() | TIMES,
    completed=st.none() | TIMES,
    reverted=st.none() | REVERTED,
    lease=st.sampled_from(["", "legacy/migrate/migrate-controller"]),
)


@pytest.mark.parametrize(
    "home", [{"legacy": 0}, {"legacy": 0, "other": 0}, {"legacy": 0, "eks": 500}]
)
def test_a_baseline_that_no_attempt_begins_at_is_unreadable(home: dict[str, int]) -> None:
    """A baseline is of origin and target, all or nothing each: any other was written by another hand."""
    began = attempt(1, "eks", (0, 0), MigrationSpec(), datetime(2026, 1, 1, tzinfo=UTC))
    written = json.loads(encode_record(Record(SplitKind.TRAFFICSPLIT, attempt=began)))
    written["attempt"]["home"] = home
    assert isinstance(decode_record({RECORD: json.dumps(written)}), Unreadable)


@given(RECORDS)
def test_a_record_is_read_back_as_it_was(record: Record) -> None:
    """What is written is read back equal, so that planning again finds nothing to write."""
    assert decode_record({RECORD: encode_record(record)}) == record
    assert decode_record({RECORD: encode_record(record, KEY)}, KEY) == record


def test_a_record_that_names_no_service_is_anybodys() -> None:
    """Records of before they named their Service are read as ever."""
    written = encode_record(Record(SplitKind.TRAFFICSPLIT))
    assert written == '{"kind":"trafficsplit"}'
    assert decode_record({RECORD: written}, KEY) == Record(SplitKind.TRAFFICSPLIT)


def test_a_record_that_names_another_service_is_unreadable() -> None:
    """A split that was copied with its annotations has the record of what it was copied from."""
    written = encode_record(Record(SplitKind.TRAFFICSPLIT), Key("default", "service-b"))
    found = decode_record({RECORD: written}, KEY)
    assert isinstance(found, Unreadable)
    assert "that of default/service-b" in found.message


@pytest.mark.parametrize("token", [-1, 2**31])
def test_a_token_that_no_lease_counts_to_is_unreadable(token: int) -> None:
    """A Lease counts from 0 to 2^31 - 1: a record with another number was written by hand."""
    found = decode_record({RECORD: f'{{"kind":"trafficsplit","epoch":{token}}}'})
    assert isinstance(found, Unreadable)


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["kind", "v", "attempt", "home", "epoch"]), inner
    )


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    _branches,
)


@given(st.text(max_size=60) | JSON.map(json.dumps))
def test_junk_is_unreadable_or_a_record_and_never_raises(text: str) -> None:
    """Whatever stands in the annotation is a Record or Unreadable with a sentence, never an exception."""
    found = decode_record({RECORD: text})
    assert isinstance(found, Record | Unreadable)
    if isinstance(found, Unreadable):
        assert found.message


def test_no_annotation_is_no_record() -> None:
    """A split without the annotation has no record."""
    assert decode_record({"other": "{}"}) is None


def test_a_newer_format_is_unreadable() -> None:
    """A record of a later format is not guessed at."""
    found = decode_record({RECORD: '{"kind":"trafficsplit","v":2}'})
    assert isinstance(found, Unreadable)
    assert "format 2" in found.message


@given(WISHES)
def test_only_a_present_annotation_asks_for_abort_pause_and_attempt(spec: MigrationSpec) -> None:
    """What only a present annotation can ask is not stored with the spec in force."""
    kept = stored(spec)
    assert (kept.abort, kept.paused, kept.attempt) == (False, False, None)
    assert (kept.steps, kept.probe, kept.latency) == (spec.steps, spec.probe, spec.latency)
    assert stored(kept) == kept


def places(body: Any, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every field of a JSON object."""
    found: list[tuple[str, ...]] = []
    for name in body if isinstance(body, dict) else ():
        found += [(*above, name), *places(body[name], (*above, name))]
    return found


def spoiled(text: str, where: int, value: Any) -> str:
    """A record in which one field says something else, or is gone ("gone")."""
    body = json.loads(text)
    every = places(body)
    *above, last = every[where % len(every)]
    inner = body
    for name in above:
        inner = inner[name]
    inner[last] = value
    if value == "gone":
        del inner[last]
    return json.dumps(body)


@settings(max_examples=25, deadline=None)
@given(
    where=st.integers(0, 99),
    value=st.sampled_from(
        (None, -1, 5000, 10**18, 1e308, "x", "", [], {"legacy": 0}, {"a": 0, "b": 0}, True)
    )
    | st.sampled_from(("gone", "100", "2026-01-01T00:00:00")),
    both=st.booleans(),
    bad=st.booleans(),
)
def test_a_spoiled_record_never_makes_a_look_fail(
    where: int, value: Any, both: bool, bad: bool
) -> None:
    """Whatever one field of a record says, nothing raises, and nobody is moved towards the target by it."""
    world = World()
    world.begin_on_legacy()
    world.ask(dwell="1m")
    world.until_share(10)
    for name in world.clusters if both else ("legacy",):
        split = world.split(name)
        assert split is not None
        text = spoiled(split["metadata"]["annotations"][RECORD], where, value)
        world.unrecord(name, text)
    if bad:
        world.fault("eks", "target")
    world.run(4)
    legacy, eks = world.shares()
    assert max(legacy, eks) <= 10


def test_records_of_other_clusters_hold() -> None:
    """Records that name clusters which the settings do not are not written over: the names may have changed."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_share(10)
    for name in world.clusters:
        split = world.split(name)
        assert split is not None
        text = split["metadata"]["annotations"][RECORD].replace('"legacy"', '"onprem"')
        world.unrecord(name, text)
    world.run(10)
    assert (world.reason, world.shares()) == ("RecordUnreadable", (10, 10))


# --- pins --------------------------------------------------------------------------------------------------


def profile(**more: Any) -> ServiceProfileObject:
    """A ServiceProfile as it comes from the API server."""
    body: dict[str, Any] = {
        "metadata": {
            "name": pin.name(KEY, DOMAIN),
            "namespace": "linkerd-multicluster",
            "resourceVersion": "5",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": more.pop("annotations", {}),
        },
        "spec": {"routes": [], **more},
    }
    decoded = DECODERS[Resource.SERVICEPROFILES](json.dumps(body).encode())
    assert isinstance(decoded, ServiceProfileObject)
    return decoded


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("service-a.default.svc.cluster.local", KEY),
        ("service-a.default.svc.other", None),
        ("service-a.default", None),
        ("service-a", None),
        ("", None),
    ],
)
def test_a_pin_is_named_for_its_service(name: str, key: Key | None) -> None:
    """The profile's name is the Service's full name in this cluster's domain, and nothing else is a pin."""
    assert pin.key_of(name, DOMAIN) == key
    if key:
        assert pin.name(key, DOMAIN) == name


@given(st.builds(Latch, target=CLUSTERS, attempt=st.integers(1, 999_999), reverted=REVERTED))
def test_a_latch_is_read_back_as_it_was(latch: Latch) -> None:
    """The copy of a revert on a pin is read back equal."""
    body = pin.body(WritePin("eks", KEY, None, latch), "linkerd-multicluster", DOMAIN)
    assert body["spec"] == {"routes": []}
    assert pin.read(profile(annotations=body["metadata"]["annotations"])).latch == latch


@given(
    st.builds(
        Begun,
        attempt=st.builds(
            attempt, st.integers(1, 999), CLUSTERS, st.tuples(HOMES, HOMES), WISHES, TIMES
        ),
        splits=st.just({"legacy": ("service-a",), "eks": ("service-a", "paths")}),
        completed=st.none() | TIMES,
    )
)
def test_an_attempt_on_a_pin_is_read_back_as_it_was(begun: Begun) -> None:
    """The copy of an attempt on a pin is read back equal, so that planning again finds nothing to write."""
    write = WritePin("eks", KEY, None, begun=begun)
    body = pin.body(write, "linkerd-multicluster", DOMAIN)
    assert pin.read(profile(annotations=body["metadata"]["annotations"])).begun == begun


def test_a_pin_that_was_copied_from_another_services_remembers_nothing() -> None:
    """What a pin says is of the Service that it names, and not of what its copy is named for."""
    latch = Latch("eks", 1, Reverted("Aborted", "x", datetime(2026, 1, 1, tzinfo=UTC)))
    other = WritePin("eks", Key("default", "service-b"), None, latch)
    annotations = pin.body(other, "linkerd-multicluster", DOMAIN)["metadata"]["annotations"]
    assert pin.read(profile(annotations=annotations)).latch is None


def test_a_latch_is_put_on_a_pin_that_is_there() -> None:
    """A pin that is there is patched in its annotations only, at the version that was read."""
    latch = Latch("eks", 1, Reverted("Aborted", "x", datetime(2026, 1, 1, tzinfo=UTC)))
    body = pin.body(WritePin("eks", KEY, "5", latch), "linkerd-multicluster", DOMAIN)
    assert set(body) == {"metadata"}
    assert body["metadata"]["resourceVersion"] == "5"
    assert set(body["metadata"]["annotations"]) == {PREFIX + "pin", PREFIX + "latch"}


@pytest.mark.parametrize("text", ["", "{", "7", '{"target":"eks"}'])
def test_a_latch_that_cannot_be_read_is_none(text: str) -> None:
    """The splits have their own latch: junk on a pin is as good as nothing there."""
    assert pin.read(profile(annotations={PREFIX + "latch": text})).latch is None


def test_a_profile_that_overrides_is_no_pin() -> None:
    """A ServiceProfile with dstOverrides sends calls elsewhere, so it is foreign and says what to do."""
    found = pin.read(profile(dstOverrides=[{"authority": "x", "weight": 1}]))
    assert "remove them" in found.foreign
    assert pin.read(profile()).foreign == ""
    assert pin.read(profile()).created == datetime(2026, 1, 1, tzinfo=UTC)
