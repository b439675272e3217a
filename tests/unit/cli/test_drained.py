"""``kubectl migrate drained``: yes only where all that is known says so, no with each reason, and what is not known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.cli.exit_codes import Exit
from controller.domain import Attempt, MigrationSpec, Record, SplitKind
from controller.mesh.splits import RECORD, encode_record
from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh.objects import service_object, slice_name, slice_object
from tests.unit.cli.cli_cluster import condition, decoded, ended, service
from tests.unit.decide.check_pair import FAR, CheckPair
from tests.unit.obeyed import profile_of

WHEN = datetime(2026, 1, 1, 10, tzinfo=UTC)
ATTEMPT = Attempt(1, "legacy", "eks", {"legacy": 0, "eks": 0}, 2, MigrationSpec(target="eks"), WHEN)
DONE = Record(SplitKind.TRAFFICSPLIT, attempt=ATTEMPT, share_permille=1000, completed=WHEN)
NONE = "eks serves 100 % by both splits; no request reached legacy's pods in the last 2 min (Prometheus)"

Harm = Callable[[CheckPair], None]


def told(pair: CheckPair, **changed: Any) -> None:
    """The Migration, completed, with calls measured and none found, but for what is changed."""
    well = {"share": "100/100", "originCalls": "none", "message": NONE, "warnings": []}
    phase = changed.pop("phase", "Completed")
    whole = ended(phase, **{**well, "conditions": [condition(phase, "True")], **changed})
    meta = {"name": "service-a", "namespace": "default"}
    pair.put("legacy", "migrations", {"metadata": meta, "status": whole})


def lease(pair: CheckPair, age_s: float) -> None:
    """The controller's Lease, renewed so long ago."""
    renewed = datetime.now(UTC) - timedelta(seconds=age_s)
    spec = {"holderIdentity": "one", "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    meta = {"name": "migrate-controller", "namespace": "migrate"}
    pair.put("legacy", "leases", {"metadata": meta, "spec": spec})


def split(pair: CheckPair, cluster: str, target: int, **profile: Any) -> None:
    """A split of ours that sends so many per mille to eks, and the ServiceProfile that the adaptor made of it."""
    mirror = target if cluster == "legacy" else 1000 - target
    backends = [
        {"service": "service-a", "weight": 1000 - mirror},
        {"service": f"service-a-{FAR[cluster]}", "weight": mirror},
    ]
    annotations = {RECORD: encode_record(DONE)}
    meta = {"name": "service-a", "namespace": "default", "annotations": annotations}
    body = {"metadata": meta, "spec": {"service": "service-a", "backends": backends}}
    pair.put(cluster, "trafficsplits", body)
    made = profile_of(body)
    made["metadata"].pop("resourceVersion")
    pair.put(cluster, "serviceprofiles", {**made, **profile})


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[CheckPair]:
    """Legacy and eks, with service-a moved to eks, and nobody left behind."""
    async with EmbeddedApi("legacy") as legacy, EmbeddedApi("eks") as eks:
        made = CheckPair({"legacy": legacy, "eks": eks}, tmp_path / "kubeconfig")
        made.service()
        made.annotate("legacy", "service-a", target="eks")
        for cluster in made.apis:
            split(made, cluster, 1000)
        told(made)
        lease(made, 1.0)
        yield made


async def asked(pair: CheckPair) -> tuple[int, dict[str, str]]:
    """The exit code, and the findings by reason."""
    done = await pair.run("drained", "service-a", "-o", "json")
    found = decoded(done.out)["findings"]
    return done.code, {each["reason"]: each["message"] for each in found}


async def test_yes_where_all_that_is_known_says_so(pair: CheckPair) -> None:
    """Completed, both splits in force at 100 %, no way past them and no call measured: 0, in one sentence."""
    done = await pair.run("drained", "service-a")
    assert (done.code, done.err) == (Exit.OK, "")
    assert done.out == f"service-a: yes, legacy may be scaled down: {NONE}\n"
    json = decoded((await pair.run("drained", "service-a", "-o", "json")).out)
    assert (json["drained"], json["origin"], json["target"], json["findings"]) == (
        "yes",
        "legacy",
        "eks",
        [],
    )


def twin(pair: CheckPair) -> None:
    """A headless Service of the origin's pods."""
    pair.put("legacy", "services", service_object(("default", "pods"), headless=True))
    slices = pair.get("legacy", "endpointslices", slice_name("service-a"))
    slices["metadata"] = slice_object(("default", "pods"), (), 8080)["metadata"]
    pair.put("legacy", "endpointslices", slices)


def ingress(pair: CheckPair) -> None:
    """An Ingress that sends to the origin's pods."""
    backend = {"service": {"name": "service-a", "port": {"number": 80}}}
    meta = {"name": "shop", "namespace": "default"}
    spec = {"ingressClassName": "nginx", "defaultBackend": backend}
    pair.put("legacy", "ingresses", {"metadata": meta, "spec": spec})


def unsplit(pair: CheckPair) -> None:
    """Somebody deleted both splits, and the records with them."""
    for cluster in pair.apis:
        pair.remove(cluster, "trafficsplits", "service-a")


def warned(reason: str) -> Harm:
    """The controller warns of this."""
    return lambda pair: told(pair, warnings=[{"reason": reason, "message": "shop/web"}])


def elsewhere(pair: CheckPair) -> None:
    """The annotations ask for legacy again, and nothing began yet."""
    pair.annotate("legacy", "service-a", target="legacy")
    told(pair, asked={"by": "kubectl-annotate", "target": "legacy"})


NEEDED: dict[str, tuple[Harm, str, str]] = {
    "not completed": (
        lambda p: told(p, phase="Soaking", reason="Soaking", message="5m", share="99.9/100"),
        "Soaking",
        "it is Soaking at 99.9/100 %: 5m",
    ),
    "called": (lambda p: told(p, originCalls="some"), "OriginCalled", "eks serves 100 %"),
    "bypassed": (warned("CallersBypass"), "CallersBypass", "shop/web"),
    "ignored": (warned("CallersDoNotFollow"), "CallersDoNotFollow", "shop/web"),
    "unmeshed": (warned("CallersUnmeshed"), "CallersUnmeshed", "shop/web"),
    "a twin": (twin, "SamePods", "pods (headless)"),
    "an ingress": (ingress, "IngressDialsPods", "Ingress shop (nginx)"),
    "moved back": (
        lambda p: split(p, "legacy", 900),
        "MovedSince",
        "the share in legacy was set to 90 % by hand",
    ),
    "not in force": (
        lambda p: split(p, "legacy", 1000, spec={"routes": []}),
        "SplitNotInForce",
        "not in force",
    ),
    "asked elsewhere": (elsewhere, "TargetChanged", "the annotations ask for legacy now"),
    "one split": (
        lambda p: p.remove("legacy", "trafficsplits", "service-a"),
        "MovedSince",
        "the share in legacy was set to 0 %",
    ),
    "no split": (
        unsplit,
        "SplitMissing",
        "no completed attempt",
    ),
}


@pytest.mark.parametrize("why", NEEDED)
async def test_no_with_the_reason(pair: CheckPair, why: str) -> None:
    """Whatever speaks against it is named by its reason, with what it is about, and the command ends with 5."""
    harm, reason, sentence = NEEDED[why]
    harm(pair)
    code, found = await asked(pair)
    assert (code, sentence in found[reason]) == (Exit.BLOCKED, True), found
    assert "service-a: no, legacy is still needed" in (await pair.run("drained", "service-a")).out


def older(pair: CheckPair) -> None:
    """The Migration is of a controller that measured nothing of the origin's calls."""
    found = pair.get("legacy", "migrations", "service-a")
    del found["status"]["originCalls"]
    pair.put("legacy", "migrations", found)


UNSURE: dict[str, tuple[Harm, str]] = {
    "not measured": (lambda p: told(p, originCalls="unknown", message="no Prometheus"), "no Prom"),
    "an older controller": (older, "OriginCallsUnknown"),
    "may not follow": (warned("CallersMayNotFollow"), "CallersMayNotFollow"),
    "ambiguous": (warned("TrafficAmbiguous"), "TrafficAmbiguous"),
    "no controller": (lambda p: lease(p, 3600), "Note: the controller's Lease is not renewed"),
}


@pytest.mark.parametrize("why", UNSURE)
async def test_not_known_with_what_to_look_at(pair: CheckPair, why: str) -> None:
    """What was not measured, or may be old, is not taken for none: 6, with what to look at."""
    harm, sentence = UNSURE[why]
    harm(pair)
    done = await pair.run("drained", "service-a")
    assert done.code == Exit.UNREACHED
    assert "service-a: not known whether legacy is still needed" in done.out
    assert sentence in done.out


async def test_no_counts_more_than_not_known(pair: CheckPair) -> None:
    """Where something speaks against it and something is not known, both are told, and the answer is no."""
    twin(pair)
    told(pair, originCalls="unknown")
    code, found = await asked(pair)
    assert (code, set(found)) == (Exit.BLOCKED, {"SamePods", "OriginCallsUnknown"})


async def test_a_service_without_a_migration(pair: CheckPair) -> None:
    """A Service that never migrated is answered with what to begin with."""
    for cluster in pair.apis:
        pair.put(cluster, "services", service("service-b"))
    done = await pair.run("drained", "service-b")
    assert (done.code, "no Migration of service-b" in done.err) == (Exit.FAILED, True)


async def test_a_cluster_that_is_not_reached(pair: CheckPair) -> None:
    """A cluster that does not answer is one sentence, and nothing is known."""
    await pair.apis["eks"].stop()
    done = await pair.run("drained", "service-a")
    assert (done.code, done.out, done.err.count("\n")) == (Exit.UNREACHED, "", 1)
