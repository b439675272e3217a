"""What 0.1 wrote is read key by key: a field that is renamed without its name on the wire fails here.

``tests/faults/test_written_by_0_1.py`` goes on from the same files with the whole controller.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from controller.decide.resolve import stored
from controller.domain import PREFIX, Latch, MigrationSpec, Record
from controller.domain.annotations import read, shown
from controller.domain.status import readable
from controller.kube.objects import DECODERS, LeaseObject, Resource, ServiceProfileObject
from controller.mesh import pin
from controller.mesh.splits import RECORD, decode_record, encode_record
from controller.report.status import remember

Json = dict[str, Any]

FILES = Path(__file__).parents[2] / "data" / "written-by-0.1"
KEYS = json.loads((FILES / "keys.json").read_text())


def written(kind: str) -> Iterator[Json]:
    """Every object of a kind in every file."""
    paths = sorted(path for path in FILES.glob("*.json") if path.name != "keys.json")
    assert len(paths) == 30
    for path in paths:
        for objects in json.loads(path.read_text())["objects"].values():
            yield from (body for body in objects if body["kind"] == kind)


def texts(key: str, *kinds: str) -> list[str]:
    """What this annotation says on any object of these kinds, each text once."""
    found = {
        annotations[key]
        for kind in kinds
        for body in written(kind)
        if key in (annotations := body["metadata"].get("annotations", {}))
    }
    return sorted(found)


def test_a_record_is_written_again_key_by_key() -> None:
    """Each record, also one that says something in every key, is written again as the same JSON."""
    found = texts(RECORD, "TrafficSplit", "HTTPRoute")
    assert found
    for text in (*found, KEYS["record"], KEYS["record, in one raise"]):
        record = decode_record({RECORD: text})
        assert isinstance(record, Record)
        assert json.loads(encode_record(record)) == json.loads(text)


def test_what_a_record_leaves_out_still_means_the_same() -> None:
    """A key that is not written has the value that it had: a new default would change attempts under way."""
    attempt: Json = {
        "number": 1,
        "origin": "legacy",
        "target": "eks",
        "home": {"legacy": 0, "eks": 0},
        "originReady": 2,
        "started": "2026-03-01T12:00:00Z",
    }
    said = {
        "v": 1,
        "epoch": 0,
        "made": None,
        "converted": None,
        "sharePermille": 0,
        "since": None,
        "completed": None,
        "reverted": None,
    }
    of_probe = {
        "port": None,
        "path": "/",
        "protocol": None,
        "expect": [[200, 399]],
        "ratePerS": 10,
        "grpcService": "",
        "header": None,
        "body": "",
        "clusterHeader": "",
    }
    of_wish = {
        "target": None,
        "attempt": None,
        "paused": False,
        "abort": False,
        "steps": [10, 100, 250, 500],
        "dwellS": 60.0,
        "soakS": 3600.0,
        "probe": of_probe,
        "successPercent": "99.9",
        "latency": None,
        "originFloorPercent": 50,
        "split": None,
        "traffic": None,
    }
    short = {"kind": "trafficsplit", "attempt": attempt | {"wish": {}}}
    whole = short | said | {"attempt": attempt | {"wish": of_wish, "kinds": {}}}
    found = decode_record({RECORD: json.dumps(short)})
    assert isinstance(found, Record)
    assert found == decode_record({RECORD: json.dumps(whole)})
    assert json.loads(encode_record(found)) == short


def test_a_latch_is_written_again_key_by_key() -> None:
    """Each latch on a pin is read, and is written again as the same JSON."""
    found = texts(pin.LATCH, "ServiceProfile")
    assert found
    for text in (*found, KEYS["latch"]):
        latch = msgspec.json.decode(text, type=Latch)
        assert json.loads(msgspec.json.encode(latch)) == json.loads(text)


def test_a_pin_is_found_with_its_latch() -> None:
    """Each pin is that of its Service, and nobody else's, with the latch that it carries."""
    bodies = list(written("ServiceProfile"))
    assert bodies
    for body in bodies:
        profile = DECODERS[Resource.SERVICEPROFILES](json.dumps(body).encode())
        assert isinstance(profile, ServiceProfileObject)
        annotations = body["metadata"]["annotations"]
        assert (
            str(pin.key_of(profile.metadata.name, "cluster.local")) == annotations[PREFIX + "pin"]
        )
        found = pin.read(profile)
        assert found.foreign == ""
        assert (found.latch is not None) == (pin.LATCH in annotations)


def test_a_status_is_taken_up_word_by_word() -> None:
    """History and conditions go on from what the Migration says; its last transition is not told again."""
    statuses = [body["status"] for body in written("Migration")]
    assert statuses
    for status in statuses:
        found = remember(status)
        assert json.loads(msgspec.json.encode(found.transitions)) == status["history"]
        assert json.loads(msgspec.json.encode(found.conditions)) == status["conditions"]
        assert json.loads(msgspec.json.encode(readable(status))) == status
        last = status["history"][-1]
        assert found.note is not None
        assert tuple(map(str, (found.note.phase, found.note.share, found.note.reason))) == (
            last["phase"],
            last["share"],
            last["noted"],
        )


def test_a_lease_is_read_as_it_stands() -> None:
    """Holder, duration, number and both times are those of the Lease."""
    bodies = list(written("Lease"))
    assert bodies
    for body in bodies:
        lease = DECODERS[Resource.LEASES](json.dumps(body).encode())
        assert isinstance(lease, LeaseObject)
        spec = body["spec"]
        assert (lease.holder, lease.duration_s) == (
            spec["holderIdentity"],
            spec["leaseDurationSeconds"],
        )
        assert lease.transitions == spec["leaseTransitions"]
        assert (lease.acquire_time, lease.renew_time) == (spec["acquireTime"], spec["renewTime"])


@pytest.mark.parametrize("kind", ["trafficsplit", "httproute"])
def test_annotations_ask_for_what_the_record_keeps(kind: str) -> None:
    """The annotations are read as the same as the record beside them, and are shown as they were written."""
    whole = json.loads((FILES / f"{kind}-at-25.json").read_text())
    objects = whole["objects"]["legacy"]
    by_kind = {(o["kind"], o["metadata"]["name"]): o["metadata"] for o in objects}
    asked = by_kind["Service", "service-a"]["annotations"]
    found = read({"legacy": asked}, ("legacy", "eks"))
    assert isinstance(found, MigrationSpec)
    splits = {"trafficsplit": "TrafficSplit", "httproute": "HTTPRoute"}
    record = decode_record(by_kind[splits[kind], "service-a"]["annotations"])
    assert isinstance(record, Record)
    assert record.attempt is not None
    assert record.attempt.spec == stored(found)
    unsaid = {PREFIX + "paused": "false"}
    assert shown(found) | unsaid == asked
