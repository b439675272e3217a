from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli.exit_codes import Exit
from controller.cli.watching import Line
from deploy.stand_ins.apiserver import EmbeddedApi, known_resources
from tests.unit.cli.cli_cluster import (
    COMMAND,
    DEADLINE_S,
    CommandCluster,
    decoded,
    ended,
    migration,
    mirror,
    run,
    service,
    split,
    until,
)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[CommandCluster]:
    """A cluster with service-a, whose migration is under way, and an untouched service-b."""
    async with EmbeddedApi("legacy") as api:
        made = CommandCluster(api, tmp_path / "kubeconfig")
        made.put(service("service-a", target="eks"), migration(), service("service-b"))
        yield made


async def test_status_lists_the_namespace(cluster: CommandCluster) -> None:
    """``status`` shows the migrations of one namespace, ``-A`` those of all."""
    cluster.put(migration("other", "migrate"))
    own = await cluster.run("status")
    every = await cluster.run("status", "-A")
    assert (own.code, every.code) == (0, 0)
    assert [line.split()[0] for line in own.out.splitlines()] == ["SERVICE", "service-a"]
    assert [line.split()[:2] for line in every.out.splitlines()] == [
        ["NAMESPACE", "SERVICE"],
        ["default", "service-a"],
        ["migrate", "other"],
    ]


async def test_status_of_a_namespace_without_migrations(cluster: CommandCluster) -> None:
    """Where there is nothing to show, a sentence says how to begin, and that is no error."""
    done = await cluster.run("status", "-n", "migrate")
    assert (done.code, done.out) == (0, "")
    assert "no migrations in namespace migrate of context legacy: begin one with" in done.err


async def test_status_of_one_service(cluster: CommandCluster) -> None:
    """``status SERVICE`` adds what it waits for, the paths and the warnings."""
    done = await cluster.run("status", "service-a")
    assert done.code == 0
    assert "Waiting for   412 of 764 clean probes of callers in legacy to eks" in done.out
    assert "legacy    eks      UNKNOWN   Collecting   0.5/21.3   412/764" in done.out
    assert "Warning   MirrorUnproven: only the pins prove the way" in done.out


async def test_status_as_json_is_what_the_cluster_holds(cluster: CommandCluster) -> None:
    """``-o json`` gives the Migration, or the list of them, as the API server does."""
    one = decoded((await cluster.run("status", "service-a", "-o", "json")).out)
    every = decoded((await cluster.run("status", "-A", "-o", "json")).out)
    stored = cluster.api.store.get("migrations", "default", "service-a")
    assert stored
    assert (one["kind"], one["status"]) == ("Migration", stored.body["status"])
    assert every["kind"] == "MigrationList"
    assert [item["metadata"]["name"] for item in every["items"]] == ["service-a"]


@pytest.mark.parametrize("which", [("status",), ("explain", "service-a"), ("plan", "service-a")])
async def test_yaml_says_what_json_says(cluster: CommandCluster, which: tuple[str, ...]) -> None:
    """``-o yaml`` is the same document as ``-o json``, and readable: letters beyond ASCII stand in it as they are."""
    cluster.put(migration(message="à l'aide"))
    before = await cluster.run(*which, "-o", "json")
    as_yaml = await cluster.run(*which, "-o", "yaml")
    after = await cluster.run(*which, "-o", "json")  # a plan tells times: a second may have turned
    assert yaml.safe_load(as_yaml.out) in (decoded(before.out), decoded(after.out))
    assert ("à l" in as_yaml.out) == (which[0] != "plan")


async def test_names_can_be_given_to_kubectl(cluster: CommandCluster) -> None:
    """``-o name`` prints each as kubectl does, of one, of all, and of those that a verb changed."""
    for which in ((), ("service-a",)):
        done = await cluster.run("status", *which, "-o", "name")
        assert done.out == "migration.migrate.tradeshift/service-a\n"
    done = await cluster.run("start", "service-b", "--to", "eks", "-o", "name")
    assert done.out == "service/service-b\n"


async def test_wide_has_what_a_table_has_no_room_for(cluster: CommandCluster) -> None:
    """``-o wide`` adds the attempt, what is asked for, the wave and the message behind the other columns."""
    cluster.put(migration(fleet="to-eks", wave="shop", asked={"target": "legacy"}))
    done = await cluster.run("status", "-o", "wide")
    head, row = done.out.splitlines()
    assert head.split()[-4:] == ["ATTEMPT", "ASKED", "WAVE", "MESSAGE"]
    assert row.endswith(
        "1         legacy   to-eks/shop   412 of 764 clean probes of callers in legacy to eks"
    )


@pytest.mark.parametrize(
    "typed",
    [
        ("status",),
        ("status", "--watch"),
        ("explain", "service-a"),
        ("abort", "--all"),
        ("wait", "service-a", "--for", "completed"),
        ("status", "-l", "app=x"),
    ],
)
async def test_an_unknown_namespace_is_said(
    cluster: CommandCluster, typed: tuple[str, ...]
) -> None:
    """A namespace that is not there is an error, with the one that is near; one without migrations is none."""
    done = await cluster.run(*typed, "-n", "defualt")
    assert done.code == 1
    assert done.err == (
        "kubectl migrate: there is no namespace defualt in context legacy; did you mean default?\n"
    )


@pytest.mark.parametrize("verb", ["status", "explain"])
async def test_a_migration_that_is_not_there_is_explained(
    cluster: CommandCluster, verb: str
) -> None:
    """Without a Migration the answer says whether the Service is there, annotated, or a mirror."""
    cluster.put(service("service-c", target="eks"), mirror("service-a", "eks"))
    for name, code, sentence in (
        (
            "service-b",
            1,
            "no Migration of service-b: the Service is not annotated here; start with",
        ),
        ("service-c", 1, "no Migration of service-c: it is annotated, so does the controller run?"),
        ("gone", 1, "there is no Service gone in namespace default of context legacy"),
        ("service-a-eks", 2, "service-a-eks is Linkerd's mirror of service-a in eks"),
    ):
        done = await cluster.run(verb, name)
        assert (done.code, done.out) == (code, "")
        assert done.err.startswith(f"kubectl migrate: {sentence}")
        assert done.err.count("\n") == 1


async def test_a_cluster_without_the_crd_is_told(tmp_path: Path) -> None:
    """Where Migrations are not served at all, the answer names the CRD."""
    without = tuple(r for r in known_resources() if r.plural != "migrations")
    async with EmbeddedApi("legacy", resources=without) as api:
        bare = CommandCluster(api, tmp_path / "kubeconfig")
        bare.put(service("service-a", target="eks"))
        listed = await bare.run("status")
        one = await bare.run("status", "service-a")
        started = await bare.run("start", "service-a", "--to", "legacy")
    assert listed.code == one.code == 1
    assert "knows no Migrations: is the controller's CRD installed there?" in listed.err
    assert "does the controller run?" in one.err
    assert started.code == 0


@pytest.mark.parametrize("verb", ["status", "plan", "explain", "pause", "abort", "retry"])
def test_an_unreachable_cluster_is_one_sentence(tmp_path: Path, verb: str) -> None:
    """A cluster that does not answer is a sentence with its context, and code 1."""
    done = _unreachable(tmp_path, verb, "service-a")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("kubectl migrate: no usable answer from context far: connection:")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "argv",
    [
        ("start", "service-a", "--to", "eks"),
        ("wait", "service-a", "--for", "completed"),
        ("status", "--watch"),
    ],
)
def test_an_unreachable_cluster_ends_what_goes_on(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """A watch or wait whose first look fails ends with that sentence too."""
    done = _unreachable(tmp_path, *argv)
    assert done.returncode == 1
    assert done.stderr.startswith("kubectl migrate: no usable answer from context far")


def _unreachable(tmp_path: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "kubeconfig"
    body = {
        "clusters": [{"name": "far", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "far", "user": {}}],
        "contexts": [{"name": "far", "context": {"cluster": "far", "user": "far"}}],
        "current-context": "far",
    }
    file.write_text(yaml.safe_dump(body))
    environ = {**os.environ, "KUBECONFIG": str(file)}
    return subprocess.run(
        [*COMMAND, *argv], capture_output=True, text=True, timeout=60, env=environ, check=False
    )


async def test_a_refusal_is_one_sentence(tmp_path: Path) -> None:
    """What the API server refuses is told in its own words."""
    async with EmbeddedApi("legacy", tokens=("right",)) as api:
        file = tmp_path / "kubeconfig"
        body = api.kubeconfig()
        body["users"][0]["user"]["token"] = "wrong"
        file.write_text(yaml.safe_dump(body))
        done = await asyncio.to_thread(run, "status", "--kubeconfig", str(file))
    assert done.code == 1
    assert done.err == "kubectl migrate: context legacy refused: 401 Unauthorized\n"


async def test_a_context_without_its_cluster_is_one_sentence(
    cluster: CommandCluster,
) -> None:
    """A kubeconfig whose context leads nowhere is told without a traceback."""
    body = cluster.api.kubeconfig()
    body["contexts"][0]["context"]["cluster"] = "gone"
    cluster.kubeconfig.write_text(yaml.safe_dump(body))
    done = await cluster.run("status")
    assert done.code == 1
    assert done.err.startswith(
        "kubectl migrate: no usable answer from context legacy: credentials:"
    )
    assert done.err.count("\n") == 1


EVIL = "a\x1b[2J\x9b31m\u202eb\u2028c\nd\U000e0001"


@pytest.mark.parametrize("output", ["json", "yaml"])
@pytest.mark.parametrize("command", ["status", "explain", "plan"])
async def test_documents_move_no_cursor(cluster: CommandCluster, command: str, output: str) -> None:
    """Control characters and marks of direction that a cluster holds are escaped in documents, and mean the same."""
    cluster.put(
        migration(message=EVIL, next=EVIL, warnings=[{"reason": "R", "message": EVIL}]),
        service("service-a", target="eks", steps="10,50"),
    )
    done = await cluster.run(command, "service-a", "-o", output)
    assert done.code == 0, done.err
    assert all(c.isprintable() or c == "\n" for c in done.out)
    if command == "status":
        read = decoded if output == "json" else yaml.safe_load
        assert read(done.out)["status"]["message"] == EVIL


# --- plan and explain -----------------------------------------------------------------------------------


async def test_plan_shows_the_steps_ahead(cluster: CommandCluster) -> None:
    """``plan`` shows which steps are done, which is next, and what it waits for, and writes nothing."""
    cluster.put(service("service-a", target="eks", steps="10,50", soak="2h"))
    done = await cluster.run("plan", "service-a")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "service-a: attempt 1 to eks, Progressing at 10/100 % (legacy/eks)"
    steps = [tuple(line.split()[:4]) for line in lines[3:8]]
    assert [(share, stage) for share, _, stage, _ in steps] == [
        ("0", "done"),
        ("10", "now"),
        ("50", "next"),
        ("99.9", "later"),
        ("100", "later"),
    ]
    assert "Next           raise to 25 %" in lines
    assert "Waiting for    412 of 764 clean probes of callers in legacy to eks" in lines
    assert lines[-1].startswith("Earliest end   ")
    assert {request.verb for request in cluster.api.requests} <= {"get", "list"}


async def test_plan_as_json(cluster: CommandCluster) -> None:
    """``plan -o json`` has the steps in percent and seconds."""
    told = decoded((await cluster.run("plan", "service-a", "-o", "json")).out)
    assert (told["target"], told["attempt"], told["next"]) == ("eks", 1, "raise to 25 %")
    assert [step["percent"] for step in told["steps"]] == [0, 1, 10, 25, 50, 99.9, 100]
    assert [step["stage"] for step in told["steps"]].index("now") == 2
    assert told["steps"][5]["leastSeconds"] == 3600
    assert told["earliestEnd"] == told["steps"][-1]["earliest"] is not None


async def test_plan_tells_what_stands_and_what_is_asked_for(cluster: CommandCluster) -> None:
    """Where another target stands than is asked for, its share is no step of the way that is asked for."""
    asked = {"by": "kubectl-annotate", "target": "legacy"}
    told = migration(phase="Reverting", share="10/100", asked=asked)
    cluster.put(service("service-a", target="legacy"), told)
    page = (await cluster.run("plan", "service-a")).out
    assert page.startswith("service-a: attempt 1 to eks, Reverting at 10/100 % (legacy/eks)")
    assert "Asked for" in page
    found = decoded((await cluster.run("plan", "service-a", "-o", "json")).out)
    assert (found["target"], found["asked"], found["earliestEnd"]) == ("eks", "legacy", None)
    assert "done" not in {step["stage"] for step in found["steps"]}


async def test_plan_of_a_service_that_is_not_annotated(cluster: CommandCluster) -> None:
    """For an untouched Service ``plan`` says how to start."""
    done = await cluster.run("plan", "service-b")
    assert done.code == 0
    assert "start it with kubectl migrate start service-b --to CLUSTER" in done.out


async def test_plan_of_malformed_annotations(cluster: CommandCluster) -> None:
    """Malformed annotations are answered with every problem in the controller's words, and code 2."""
    cluster.put(service("service-a", target="aks", dwell="5x"))
    done = await cluster.run("plan", "service-a")
    assert done.code == Exit.USAGE
    assert 'migrate.tradeshift/target is "aks", which is neither of the two clusters' in done.out
    assert 'migrate.tradeshift/dwell is "5x"' in done.out


@pytest.mark.parametrize(
    ("spec", "told", "advice"),
    [
        ({"target": "eks"}, None, "no Migration of service-a: it is annotated, so does"),
        ({"target": "legacy"}, {}, "the controller has not taken the annotations up yet"),
        ({"target": "eks", "paused": "true"}, {}, "go on with kubectl migrate resume service-a"),
        ({"target": "eks", "abort": "true"}, {}, "abort is true: nothing rises before"),
        (
            {"target": "eks"},
            ended("Reverted"),
            "begin another with kubectl migrate retry service-a",
        ),
        ({"target": "eks"}, ended("Completed"), "Message   eks serves 100 % by both splits"),
    ],
)
async def test_plan_foresees_no_time_for_what_does_not_rise(
    cluster: CommandCluster, spec: dict[str, str], told: dict[str, Any] | None, advice: str
) -> None:
    """What is not under way has no time foreseen; the plan says what it would take."""
    cluster.api.remove("migrations", "default", "service-a")
    cluster.put(service("service-a", **spec), *([] if told is None else [migration(**told)]))
    done = await cluster.run("plan", "service-a")
    assert done.code == 0
    assert advice in done.out
    assert "Earliest end" not in done.out


async def test_plan_where_the_other_cluster_is_annotated(cluster: CommandCluster) -> None:
    """Without annotations here the plan shows the spec that the record on the split has in force."""
    cluster.put(service("service-a"), split(steps=(300,)))
    done = await cluster.run("plan", "service-a")
    assert done.code == 0
    shares = [line.split()[0] for line in done.out.splitlines() if " % " in line[:9]]
    assert shares == ["0", "30", "99.9", "100"]


async def test_explain_tells_why(cluster: CommandCluster) -> None:
    """``explain`` has the transitions with their messages, points and probes, and who asked."""
    done = await cluster.run("explain", "service-a")
    assert done.code == 0
    assert "ago: Progressing, because of Raising\n  second\n" in done.out
    assert "2026-01-01T10:00:00Z   eks      Pending       0/100    Beginning   first" in done.out
    assert "asked for by kubectl-annotate at 2026-01-01T09:59:00Z" in done.out
    assert "0.5/21.3   412/764" in done.out
    assert "Warning   MirrorUnproven" in done.out
    told = decoded((await cluster.run("explain", "service-a", "-o", "json")).out)
    assert [entry["message"] for entry in told["history"]] == ["first", "second"]


# --- watching -------------------------------------------------------------------------------------------


async def test_watch_in_a_pipe_writes_a_line_per_change(cluster: CommandCluster) -> None:
    """Without a terminal a watch writes a line for each change and nothing between; Ctrl-C ends it well."""
    lines = await _watched(cluster, "status", "--watch")
    assert lines == [
        "service-a   Progressing   10/100 %   UNKNOWN   Collecting   next: raise to 25 %",
        "service-a   Progressing   25/100 %   UNKNOWN   Collecting   next: raise to 50 %",
    ]


async def test_watch_as_json_writes_an_object_per_change(cluster: CommandCluster) -> None:
    """``--watch -o json`` writes each state of the Migration in a line."""
    lines = await _watched(cluster, "status", "service-a", "--watch", "-o", "json")
    assert [decoded(line)["status"]["share"] for line in lines] == ["10/100", "25/100"]


@pytest.mark.parametrize(
    ("output", "written"),
    [("yaml", "---\na: 1"), ("json", '{"a":1}'), ("name", "fleet/x"), ("wide", "it is so")],
)
def test_a_stream_has_what_was_asked_for(output: str, written: str) -> None:
    """A watch writes each change as ``-o`` asks: in YAML as a document of its own, else in a line."""
    assert Line("x", "fleet/x", "it is so", {"a": 1}).written(output) == written


async def _watched(cluster: CommandCluster, *argv: str) -> list[str]:
    """What a watch writes while a share changes, until Ctrl-C ends it."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *argv, stdout=-1, stderr=-1, env=cluster.environ()
    )
    assert process.stdout
    assert process.stderr
    async with asyncio.timeout(DEADLINE_S):
        first = await process.stdout.readline()
        await until(lambda: sum(cluster.api.requests.values()) >= 3)  # looks that bring nothing new
        cluster.put(migration(share="25/100", next="raise to 50 %"))
        second = await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    return [line.decode().rstrip() for line in (first, second, *out.splitlines())]


async def test_watch_on_a_terminal_redraws(cluster: CommandCluster) -> None:
    """On a terminal the page is drawn, and again when something changed; Ctrl-C ends it with code 0."""
    controlling, terminal = pty.openpty()
    os.set_blocking(controlling, False)
    environ = {**cluster.environ(), "TERM": "xterm", "COLUMNS": "120", "LINES": "50"}
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "status", "service-a", "-w", stdout=terminal, stderr=-1, env=environ
    )
    os.close(terminal)
    drawn = bytearray()

    def shows(text: bytes) -> bool:
        with contextlib.suppress(BlockingIOError):
            drawn.extend(os.read(controlling, 65536))
        return text in drawn

    try:
        await until(lambda: shows(b"412 of 764"))
        cluster.put(migration(share="25/100", message="x", waitingFor="53 of 764 clean"))
        await until(lambda: shows(b"53 of 764 clean"))
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            _, err = await process.communicate()
    finally:
        os.close(controlling)
    assert (process.returncode, err) == (0, b"")


async def test_watch_outlives_a_cluster_that_is_away(cluster: CommandCluster) -> None:
    """A watch says that the cluster does not answer, and goes on when it does again."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "status", "--watch", stdout=-1, stderr=-1, env=cluster.environ()
    )
    assert process.stdout
    assert process.stderr
    port = int(cluster.api.url.rpartition(":")[2])
    async with asyncio.timeout(DEADLINE_S):
        await process.stdout.readline()
        await cluster.api.stop()
        trouble = await process.stderr.readline()
        await cluster.api.start(port=port)
        cluster.put(migration(share="25/100"))
        again = await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert trouble.startswith(b"no answer, asking again in ")
    assert b"25/100" in again
    assert process.returncode == 0


async def test_a_reader_that_leaves_is_no_traceback(cluster: CommandCluster) -> None:
    """With ``| head`` the command ends without a word when its reader has left."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "status", "-w", stdout=-1, stderr=-1, env=cluster.environ()
    )
    assert process.stdout
    assert process.stderr
    async with asyncio.timeout(DEADLINE_S):
        await process.stdout.readline()
        process.stdout._transport.close()  # type: ignore[attr-defined]
        cluster.put(migration(share="25/100"))
        err = await process.stderr.read()
        await process.wait()
    assert err == b""
    assert process.returncode == Exit.FAILED
