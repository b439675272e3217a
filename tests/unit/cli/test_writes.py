from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controller.cli import writing
from controller.cli.api import Api, Change
from controller.cli.exit_codes import Exit
from controller.domain import PREFIX
from controller.domain.identity import STEPS_BEFORE as KEPT
from controller.kube.api import Backoff
from controller.kube.objects import ServiceObject
from deploy.stand_ins.apiserver import EmbeddedApi
from tests.unit.cli.cli_cluster import (
    COMMAND,
    CommandCluster,
    ended,
    migration,
    mirror,
    service,
    split,
)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[CommandCluster]:
    """A cluster with an untouched service-a."""
    async with EmbeddedApi("legacy") as api:
        made = CommandCluster(api, tmp_path / "kubeconfig")
        made.put(service("service-a"))
        yield made


def begun(cluster: CommandCluster, spec: dict[str, str], **told: Any) -> None:
    """Have service-a annotated, and a Migration that tells of it."""
    cluster.put(service("service-a", **spec), migration(**told))


async def test_start_annotates_the_target(cluster: CommandCluster) -> None:
    """``start`` writes the target and nothing else that was not asked for."""
    done = await cluster.run("start", "service-a", "--to", "eks")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("service-a: target=eks\nwatch it with kubectl migrate status")
    assert cluster.annotations("service-a") == {"target": "eks"}


async def test_the_service_keeps_the_name_of_who_asked(cluster: CommandCluster) -> None:
    """Writes are the field manager kubectl-migrate's, only of annotations, only on that Service."""
    await cluster.run("start", "service-a", "--to", "eks")
    writes = [r for r in cluster.api.requests if r.verb not in ("get", "list")]
    assert [(r.verb, r.resource, r.name, r.manager, r.code) for r in writes] == [
        ("patch", "services", "service-a", "kubectl-migrate", 200)
    ]
    found = cluster.api.store.get("services", "default", "service-a")
    assert found
    (entry,) = [m for m in found.body["metadata"]["managedFields"] if "migrate" in m["manager"]]
    assert entry["fieldsV1"]["f:metadata"]["f:annotations"].keys() - {"."} == {
        "f:migrate.tradeshift/target"
    }


async def test_only_migrations_services_and_splits_are_read(cluster: CommandCluster) -> None:
    """No verb asks for anything but Migrations, Services and splits."""
    begun(cluster, {"target": "eks"})
    for argv in (
        ("status",),
        ("status", "service-a"),
        ("plan", "service-a"),
        ("explain", "service-a"),
        ("pause", "service-a"),
        ("wait", "service-a", "--for", "completed", "--timeout", "0s"),
    ):
        await cluster.run(*argv)
    read = {request.resource for request in cluster.api.requests}
    assert read <= {"migrations", "services", "trafficsplits", "httproutes"}


async def test_start_takes_settings_along(cluster: CommandCluster) -> None:
    """Steps, dwell and soak are written as they are given; what stood there else stays."""
    cluster.put(service("service-a", probe_path="/ready", steps="5,50"))
    done = await cluster.run(
        "start", "service-a", "--to", "eks", "--steps", "1,20", "--dwell", "5m", "--soak", "2h"
    )
    assert done.code == 0
    assert cluster.annotations("service-a") == {
        "target": "eks",
        "steps": "1,20",
        "dwell": "5m",
        "soak": "2h",
        "probe-path": "/ready",
    }


async def test_start_removes_what_would_hold_it(cluster: CommandCluster) -> None:
    """A left-over paused, abort or steps=now is removed, other steps are kept."""
    cluster.put(service("service-a", paused="true", abort="true", steps="now"))
    done = await cluster.run("start", "service-a", "--to", "eks")
    assert "target=eks, paused removed, abort removed, steps removed" in done.out
    assert cluster.annotations("service-a") == {"target": "eks"}
    cluster.put(service("service-a", steps="5,50"))
    await cluster.run("start", "service-a", "--to", "eks")
    assert cluster.annotations("service-a") == {"target": "eks", "steps": "5,50"}


async def test_the_way_back_replaces_the_steps(cluster: CommandCluster) -> None:
    """``--now`` writes steps=now in the place of the owner's, which come back with the next start."""
    begun(cluster, {"target": "eks", "steps": "5,50"}, **ended("Completed"))
    for _ in range(2):
        done = await cluster.run("start", "service-a", "--to", "legacy", "--now")
        assert done.code == 0, done.err
        assert cluster.annotations("service-a") == {
            "target": "legacy",
            "steps": "now",
            KEPT: "5,50",
        }
    done = await cluster.run("start", "service-a", "--to", "eks", "--dry-run")
    assert "service-a: target=eks, steps=5,50 (dry run)" in done.out
    await cluster.run("start", "service-a", "--to", "eks")
    assert cluster.annotations("service-a") == {"target": "eks", "steps": "5,50"}


@pytest.mark.parametrize(
    ("before", "flags", "after"),
    [
        ({"steps": "now", KEPT: "5,50"}, ("--steps", "20"), {"steps": "20"}),
        ({"steps": "10,20", KEPT: "5,50"}, (), {"steps": "10,20"}),
        ({"steps": "now"}, (), {}),
        ({KEPT: "5,50"}, ("--now",), {"steps": "now"}),
    ],
)
async def test_only_what_now_replaced_comes_back(
    cluster: CommandCluster, before: dict[str, str], flags: tuple[str, ...], after: dict[str, str]
) -> None:
    """Steps that are given, or that the owner wrote or removed meanwhile, count, and those that were kept go."""
    made = service("service-a", target="legacy")
    notes = {key if "/" in key else f"{PREFIX}{key}": value for key, value in before.items()}
    made["metadata"]["annotations"] |= notes
    cluster.put(made, migration(**ended("Completed")))
    await cluster.run("start", "service-a", "--to", "eks", *flags)
    assert cluster.annotations("service-a") == {"target": "eks", **after}


@pytest.mark.parametrize(
    ("flag", "value"), [("--steps", "5,x"), ("--dwell", "5x"), ("--soak", "1")]
)
async def test_what_is_wrong_is_named_as_it_was_typed(
    cluster: CommandCluster, flag: str, value: str
) -> None:
    """Of a value that a flag gave the flag is named, not the annotation, also in the example."""
    done = await cluster.run("start", "service-a", "--to", "eks", flag, value)
    assert done.code == Exit.USAGE
    assert f'{flag} is "{value}"' in done.err
    assert f"for example {flag} " in done.err
    assert PREFIX not in done.err


async def test_start_says_when_it_rolls_back(cluster: CommandCluster) -> None:
    """The old target in mid-flight is the path back, and the answer says so."""
    begun(cluster, {"target": "eks"})
    done = await cluster.run("start", "service-a", "--to", "legacy")
    assert done.code == 0
    assert "it was under way to eks at 10/100 %, so legacy serves its callers again" in done.out


async def test_start_of_what_is_so_already_writes_nothing(cluster: CommandCluster) -> None:
    """What is asked for already is not written again."""
    begun(cluster, {"target": "eks"})
    done = await cluster.run("start", "service-a", "--to", "eks")
    assert (done.code, done.out) == (
        0,
        "service-a: nothing to change, it asks for eks already\n",
    )
    assert {r.verb for r in cluster.api.requests} <= {"get", "list"}


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("--to", "eks", "--dwell", "5x"), '--dwell is "5x", which is not'),
        (("--to", "eks", "--steps", "50,10"), "where 10 is not above the step before it"),
        (("--to", "eks", "--soak", "0s"), "which is not within 1 second to 7 days"),
        (("--to", "EKS"), '"EKS" is no name of a cluster'),
        (("--to", ""), '"" is no name of a cluster'),
    ],
)
async def test_start_refuses_malformed_wishes(
    cluster: CommandCluster, argv: tuple[str, ...], sentence: str
) -> None:
    """What the controller would call malformed is refused in its words, and nothing is written."""
    done = await cluster.run("start", "service-a", *argv)
    assert done.code == Exit.USAGE
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert cluster.annotations("service-a") == {}


async def test_start_refuses_what_else_is_malformed(cluster: CommandCluster) -> None:
    """Each problem that stood there before is a line of its own."""
    cluster.put(service("service-a", dwel="5m", probe_rate="0"))
    done = await cluster.run("start", "service-a", "--to", "eks")
    assert done.code == Exit.USAGE
    assert len(done.err.splitlines()) == 2
    assert "migrate.tradeshift/dwel is not a key: write migrate.tradeshift/dwell" in done.err


@pytest.mark.parametrize("source", ["its own Migration", "another Migration", "its split"])
async def test_the_known_clusters_bound_the_target(cluster: CommandCluster, source: str) -> None:
    """Where anything tells the names of the clusters, another name is refused; else the controller knows."""
    known = {
        "its own Migration": migration(),
        "another Migration": migration("other"),
        "its split": split(),
    }
    cluster.put(known[source])
    refused = await cluster.run("start", "service-a", "--to", "aks")
    assert refused.code == Exit.USAGE
    assert 'which is neither of the two clusters: write "legacy" or "eks"' in refused.err
    assert (await cluster.run("start", "service-a", "--to", "eks")).code == 0


async def test_an_unknown_pair_lets_any_cluster_pass(cluster: CommandCluster) -> None:
    """Where nothing tells the names of the clusters, any name that a cluster may have is written."""
    assert (await cluster.run("start", "service-a", "--to", "aks")).code == 0


@pytest.mark.parametrize("verb", ["pause", "resume", "abort", "retry", "plan", "start", "wait"])
async def test_every_verb_knows_a_wrong_service(cluster: CommandCluster, verb: str) -> None:
    """A Service that is missing, a mirror, or impossible is a sentence, and nothing is written."""
    more = {"start": ("--to", "eks"), "wait": ("--for", "completed")}.get(verb, ())
    cluster.put(mirror("service-a", "eks"))
    for name, code, sentence in (
        ("gone", 1, "there is no Service gone in namespace default of context legacy"),
        ("service-a-eks", 2, "service-a-eks is Linkerd's mirror of service-a in eks, and the"),
        ("serviceA", 2, "Kubernetes refuses uppercase letters in Service names"),
    ):
        done = await cluster.run(verb, name, *more)
        assert (done.code, done.out) == (code, "")
        assert done.err.startswith(f"kubectl migrate: {sentence}")
    assert cluster.annotations("service-a-eks") == {"target": "eks"}


@pytest.mark.parametrize(("phase", "going"), [("Reverted", "was"), ("Reverting", "is being")])
async def test_start_after_a_revert_points_to_retry(
    cluster: CommandCluster, phase: str, going: str
) -> None:
    """After a revert nothing starts before another attempt is asked for."""
    begun(cluster, {"target": "eks"}, phase=phase, reason="TargetBad")
    done = await cluster.run("start", "service-a", "--to", "eks")
    assert done.code == Exit.FAILED
    assert f"attempt 1 of service-a {going} reverted (TargetBad)" in done.err
    assert "use kubectl migrate retry service-a" in done.err


async def test_start_after_a_retry_is_let_pass(cluster: CommandCluster) -> None:
    """A Reverted of an earlier attempt than is asked for stops no start."""
    begun(cluster, {"target": "eks", "attempt": "2", "paused": "true"}, **ended("Reverted"))
    done = await cluster.run("start", "service-a", "--to", "eks")
    assert done.code == 0
    assert cluster.annotations("service-a") == {"target": "eks", "attempt": "2"}


async def test_pause_and_resume(cluster: CommandCluster) -> None:
    """``pause`` writes paused, ``resume`` removes it, and both say when there is nothing to do."""
    begun(cluster, {"target": "eks"})
    outs = [
        (await cluster.run(verb, "service-a")).out
        for verb in ("resume", "pause", "pause", "resume")
    ]
    assert outs == [
        "service-a: nothing to change, it is not paused\n",
        "service-a: paused=true\n",
        "service-a: nothing to change, it is paused already\n",
        "service-a: paused removed\n",
    ]
    assert cluster.annotations("service-a") == {"target": "eks"}


async def test_resume_says_that_an_abort_stays(cluster: CommandCluster) -> None:
    """``resume`` does not take an abort back, and says so."""
    begun(cluster, {"target": "eks", "paused": "true", "abort": "true"})
    done = await cluster.run("resume", "service-a")
    assert "paused removed; abort is still true" in done.out
    assert cluster.annotations("service-a") == {"target": "eks", "abort": "true"}


async def test_abort_needs_no_good_annotations(cluster: CommandCluster) -> None:
    """``abort`` is written whatever else is wrong, because nothing disarms the path back."""
    begun(cluster, {"target": "nowhere", "dwell": "5x"})
    done = await cluster.run("abort", "service-a")
    assert (done.code, done.out) == (0, "service-a: abort=true\n")
    assert cluster.annotations("service-a")["abort"] == "true"
    assert "abort is asked for already" in (await cluster.run("abort", "service-a")).out


@pytest.mark.parametrize("verb", ["pause", "abort"])
async def test_what_is_not_under_way_is_neither_paused_nor_aborted(
    cluster: CommandCluster, verb: str
) -> None:
    """A Service of which nothing here tells is refused; one with a record on its split is not."""
    refused = await cluster.run(verb, "service-a")
    assert refused.code == Exit.FAILED
    assert f"there is nothing to {verb}: service-a is not annotated here" in refused.err
    cluster.put(split())
    assert (await cluster.run(verb, "service-a")).code == 0


@pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
@pytest.mark.parametrize("source", ["its Migration", "the record on its split"])
async def test_what_is_completed_is_led_back_by_start(
    cluster: CommandCluster, verb: str, source: str
) -> None:
    """After Completed a verb that would move nobody is refused, and names the command that does; nothing is written."""
    if source == "its Migration":
        begun(cluster, {"target": "eks"}, **ended("Completed"))
    else:
        cluster.put(split(completed=datetime(2026, 1, 2, tzinfo=UTC)))
    before = cluster.annotations("service-a")
    done = await cluster.run(verb, "service-a")
    assert done.code == Exit.FAILED
    assert f"there is nothing to {verb}: service-a is Completed, eks serves every call" in done.err
    assert "use kubectl migrate start service-a --to legacy" in done.err
    assert cluster.annotations("service-a") == before


@pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
@pytest.mark.parametrize("source", ["its Migration", "the record on its split"])
async def test_what_was_completed_before_another_was_asked_for_is_under_way(
    cluster: CommandCluster, verb: str, source: str
) -> None:
    """Where another target is asked for already, Completed is of the attempt before and refuses nothing."""
    cluster.put(service("service-a", target="legacy", paused="true"))
    if source == "its Migration":
        cluster.put(migration(**ended("Completed")))
    else:
        cluster.put(split(completed=datetime(2026, 1, 2, tzinfo=UTC)))
    assert (await cluster.run(verb, "service-a")).code == 0


@pytest.mark.parametrize("phase", ["Reverting", "Reverted"])
@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_rollback_is_neither_paused_nor_resumed(
    cluster: CommandCluster, verb: str, phase: str
) -> None:
    """Nothing holds a rollback up, and nothing goes on after it but another attempt: the answer names retry."""
    begun(cluster, {"target": "eks", "paused": "true"}, phase=phase, reason="TargetBad")
    done = await cluster.run(verb, "service-a")
    assert done.code == Exit.FAILED
    assert "use kubectl migrate retry service-a" in done.err


async def test_retry_raises_the_attempt(cluster: CommandCluster) -> None:
    """``retry`` asks for the attempt after the observed one, and removes abort and paused."""
    told = ended("Reverted", observed={"target": "eks", "attempt": 3})
    begun(cluster, {"target": "eks", "attempt": "3", "abort": "true", "paused": "true"}, **told)
    done = await cluster.run("retry", "service-a")
    assert done.code == 0
    assert done.out.startswith("service-a: attempt=4, paused removed, abort removed\n")
    assert cluster.annotations("service-a") == {"target": "eks", "attempt": "4"}


async def test_retry_twice_raises_once(cluster: CommandCluster) -> None:
    """A second ``retry`` before the controller has seen the first does not raise the attempt again."""
    begun(cluster, {"target": "eks"}, **ended("Reverted"))
    first = await cluster.run("retry", "service-a")
    second = await cluster.run("retry", "service-a")
    assert (first.code, second.code) == (0, Exit.FAILED)
    assert "attempt 2 of service-a is asked for already" in second.err
    assert cluster.annotations("service-a") == {"target": "eks", "attempt": "2"}


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (None, "no Migration of service-a: it is annotated, so does the controller run?"),
        ({"phase": "Progressing"}, "was not reverted (it is Progressing), so there is nothing to"),
        ({"phase": "Completed"}, "was not reverted (it is Completed)"),
        (
            {"phase": "Reverting"},
            "is still being rolled back: try again after kubectl migrate wait",
        ),
    ],
)
async def test_retry_refuses_what_was_not_reverted(
    cluster: CommandCluster, told: dict[str, Any] | None, sentence: str
) -> None:
    """Only an attempt that was rolled back is tried again."""
    cluster.put(service("service-a", target="eks"), *([] if told is None else [migration(**told)]))
    done = await cluster.run("retry", "service-a")
    assert done.code == Exit.FAILED
    assert sentence in done.err
    assert cluster.annotations("service-a") == {"target": "eks"}


async def test_retry_refuses_malformed_annotations(cluster: CommandCluster) -> None:
    """An attempt that could not begin is not asked for."""
    begun(cluster, {"target": "eks", "dwell": "5x"}, **ended("Reverted"))
    done = await cluster.run("retry", "service-a")
    assert done.code == Exit.USAGE
    assert 'migrate.tradeshift/dwell is "5x"' in done.err


async def test_a_service_changed_meanwhile_is_looked_at_again(
    cluster: CommandCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change between reading and writing is not overwritten: it is read, and counts."""
    begun(cluster, {"target": "eks"}, **ended("Reverted"))
    write = Api.annotate
    meddled: list[str] = []

    async def annotate(
        api: Api, found: ServiceObject, change: Change, *, dry_run: bool = False
    ) -> None:
        if not meddled:
            meddled.append("once")
            cluster.put(service("service-a", target="eks", attempt="7"))
        await write(api, found, change)

    monkeypatch.setattr(Api, "annotate", annotate)
    done = await cluster.run("retry", "service-a")
    assert done.err.startswith("service-a was changed meanwhile: reading it again\n")
    assert "attempt 7 of service-a is asked for already" in done.err
    assert cluster.annotations("service-a") == {"target": "eks", "attempt": "7"}


async def test_a_service_that_never_rests_is_given_up(
    cluster: CommandCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing is tried a few times and no more."""
    begun(cluster, {"target": "eks"})
    write = Api.annotate
    tries: list[int] = []

    async def annotate(
        api: Api, found: ServiceObject, change: Change, *, dry_run: bool = False
    ) -> None:
        tries.append(len(tries))
        cluster.put(service("service-a", target="eks", dwell=f"{len(tries)}s"))
        await write(api, found, change)

    monkeypatch.setattr(Api, "annotate", annotate)
    monkeypatch.setattr(writing, "Backoff", lambda *_: Backoff(0.0, 0.0))
    done = await cluster.run("pause", "service-a")
    assert done.code == Exit.FAILED
    assert "was changed by somebody else 5 times meanwhile: try again" in done.err
    assert len(tries) == 5


async def test_namespaces_are_kept_apart(cluster: CommandCluster) -> None:
    """A verb changes the Service of the namespace that is asked for and no other."""
    cluster.put(service("service-a", "migrate"))
    await cluster.run("start", "service-a", "--to", "eks", "-n", "migrate")
    assert cluster.annotations("service-a") == {}
    assert cluster.annotations("service-a", "migrate") == {"target": "eks"}


async def test_two_commands_at_once_both_count(cluster: CommandCluster) -> None:
    """Two people who write different keys at the same time both get what they asked for."""
    begun(cluster, {"target": "eks"})
    begin = [
        asyncio.create_subprocess_exec(*COMMAND, verb, "service-a", env=cluster.environ())
        for verb in ("pause", "abort")
    ]
    processes = await asyncio.gather(*begin)
    codes = await asyncio.gather(*(process.wait() for process in processes))
    assert codes == [0, 0]
    assert cluster.annotations("service-a") == {"target": "eks", "paused": "true", "abort": "true"}
