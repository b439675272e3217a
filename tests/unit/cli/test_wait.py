from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from controller.cli import waiting
from controller.cli.exit_codes import Exit
from controller.cli.migration import read_migration
from controller.cli.verbs import Found
from controller.cli.waiting import end_of
from controller.kube.objects import DECODERS, Resource, ServiceObject
from deploy.stand_ins.apiserver import EmbeddedApi
from tests.unit.cli.cli_cluster import (
    COMMAND,
    DEADLINE_S,
    CommandCluster,
    Ended,
    ended,
    migration,
    service,
    transition,
    until,
)


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CommandCluster]:
    """A cluster whose service-a is under way to eks, asked often so that the tests are quick."""
    monkeypatch.setattr(waiting, "POLL_S", 0.02)
    async with EmbeddedApi("legacy") as api:
        made = CommandCluster(api, tmp_path / "kubeconfig")
        made.put(service("service-a", target="eks"), migration())
        yield made


def wait(cluster: CommandCluster, goal: str, timeout: str = "1m") -> asyncio.Task[Ended]:
    """Begin to wait."""
    argv = ("wait", "service-a", "--for", goal, "--timeout", timeout)
    return asyncio.create_task(cluster.run(*argv))


def looks(cluster: CommandCluster) -> int:
    """How often the Migration was asked for."""
    return sum(n for r, n in cluster.api.requests.items() if r.resource == "migrations")


def found(spec: dict[str, str], told: dict[str, Any] | None) -> Found:
    """A Service and its Migration as they were read."""
    body = service("service-a", **spec)
    read = DECODERS[Resource.SERVICES](msgspec.json.encode(body))
    assert isinstance(read, ServiceObject)
    return Found(read, None if told is None else read_migration(migration(**told)))


@pytest.mark.parametrize(
    ("spec", "told", "end"),
    [
        ({"target": "eks"}, ended("Completed"), "completed"),
        ({"target": "eks"}, ended("Reverted"), "reverted"),
        ({"target": "eks"}, {"phase": "Reverting"}, None),
        ({"target": "eks"}, {}, None),
        ({"target": "eks"}, None, None),
        ({"target": "legacy"}, ended("Completed"), None),
        ({"target": "legacy"}, ended("Completed", asked={"by": "", "target": "legacy"}), None),
        ({"target": "legacy"}, ended("Reverted", asked={"by": "", "target": "legacy"}), "reverted"),
        ({"target": "eks", "attempt": "2"}, ended("Reverted"), None),
        (
            {"target": "eks", "attempt": "2"},
            ended("Reverted", observed={"target": "eks", "attempt": 2}),
            "reverted",
        ),
    ],
)
def test_an_end_counts_when_it_is_of_what_is_asked(
    spec: dict[str, str], told: dict[str, Any] | None, end: str | None
) -> None:
    """An end is one only where the status is of the target and the attempt that the annotations ask for."""
    assert end_of(found(spec, told)) == end


async def test_wait_ends_when_it_is_reached(cluster: CommandCluster) -> None:
    """``wait`` prints where it stands, then each transition once, and ends with code 0."""
    waiting_for = wait(cluster, "completed")
    await until(lambda: looks(cluster) > 2)
    history = [
        *migration()["status"]["history"],
        transition("2026-01-01T11:00:00Z", "Soaking", "99.9/100", "Soaking", "third"),
        transition("2026-01-01T12:00:00Z", "Completed", "100/100", "Completed", "fourth"),
    ]
    cluster.put(migration(**ended("Completed", history=history)))
    done = await waiting_for
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "2026-01-01T10:05:00Z   Progressing Raising   second",
        "2026-01-01T11:00:00Z   Soaking Soaking   third",
        "2026-01-01T12:00:00Z   Completed Completed   fourth",
        "service-a is completed",
    ]


@pytest.mark.parametrize(
    ("goal", "phase", "code"),
    [
        ("completed", "Reverted", Exit.OTHER_END),
        ("reverted", "Completed", Exit.OTHER_END),
        ("reverted", "Reverted", Exit.OK),
    ],
)
async def test_wait_tells_the_ends_apart(
    cluster: CommandCluster, goal: str, phase: str, code: Exit
) -> None:
    """The other end has a code of its own, and the reason on stderr."""
    cluster.put(migration(**ended(phase)))
    done = await wait(cluster, goal)
    assert done.code == code
    if code is Exit.OTHER_END:
        assert f"service-a is {phase.lower()}, not {goal} (" in done.err


async def test_wait_ignores_what_is_told_of_an_earlier_attempt(cluster: CommandCluster) -> None:
    """A Reverted of attempt 1 does not end a wait for attempt 2; the controller's next word does."""
    cluster.put(service("service-a", target="eks", attempt="2"), migration(**ended("Reverted")))
    waiting_for = wait(cluster, "completed")
    await until(lambda: looks(cluster) > 3)
    assert not waiting_for.done()
    cluster.put(migration(**ended("Completed", observed={"target": "eks", "attempt": 2})))
    done = await waiting_for
    assert done.code == Exit.OK
    assert "Reverted" not in done.out


async def test_wait_ignores_what_is_told_of_another_target(cluster: CommandCluster) -> None:
    """A Completed of eks does not end a wait for the path back to legacy."""
    cluster.put(service("service-a", target="legacy"), migration(**ended("Completed")))
    done = await wait(cluster, "completed", "0s")
    assert done.code == Exit.TIMEOUT
    assert "has not taken its annotations up and still tells of attempt 1 to eks" in done.err


async def test_wait_begins_before_the_controller_speaks(cluster: CommandCluster) -> None:
    """A Service that was annotated a moment ago has no Migration yet, and is waited for."""
    cluster.api.remove("migrations", "default", "service-a")
    waiting_for = wait(cluster, "completed")
    await until(lambda: looks(cluster) > 2)
    cluster.put(migration(**ended("Completed")))
    assert (await waiting_for).code == Exit.OK


async def test_wait_for_nothing_is_refused(cluster: CommandCluster) -> None:
    """A Service that nobody annotated is not waited for."""
    cluster.api.remove("migrations", "default", "service-a")
    cluster.put(service("service-a"))
    done = await wait(cluster, "completed")
    assert done.code == Exit.FAILED
    assert "no Migration of service-a: the Service is not annotated here" in done.err


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({}, "it is Progressing at 10/100 %, Collecting: 412 of 764 clean probes"),
        (None, "no Migration of service-a: it is annotated, so does the controller run?"),
    ],
)
async def test_wait_says_where_it_stands_when_time_is_up(
    cluster: CommandCluster, told: dict[str, Any] | None, sentence: str
) -> None:
    """Not reached in time is code 4, with what it waits for."""
    if told is None:
        cluster.api.remove("migrations", "default", "service-a")
    done = await wait(cluster, "completed", "1s")
    assert done.code == Exit.TIMEOUT
    assert done.err.startswith("kubectl migrate: service-a is not completed after 1s: ")
    assert sentence in done.err


async def test_wait_outlives_a_cluster_that_is_away(cluster: CommandCluster) -> None:
    """An API server that is away for a while does not end a wait."""
    port = int(cluster.api.url.rpartition(":")[2])
    waiting_for = wait(cluster, "completed")
    await until(lambda: looks(cluster) > 1)
    await cluster.api.stop()
    before = looks(cluster)
    await cluster.api.start(port=port)
    await until(lambda: looks(cluster) > before)
    cluster.put(migration(**ended("Completed")))
    assert (await waiting_for).code == Exit.OK


async def test_wait_ends_with_the_service(cluster: CommandCluster) -> None:
    """A Service that is deleted meanwhile is not waited for any more."""
    waiting_for = wait(cluster, "completed")
    await until(lambda: looks(cluster) > 1)
    cluster.api.remove("services", "default", "service-a")
    done = await waiting_for
    assert done.code == Exit.FAILED
    assert "there is no Service service-a" in done.err


async def test_ctrl_c_ends_a_wait_without_a_traceback(cluster: CommandCluster) -> None:
    """An interrupted wait has the code that shells give to SIGINT, and says nothing."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("wait", "service-a", "--for", "completed"),
        stdout=-1,
        stderr=-1,
        env=cluster.environ(),
    )
    assert process.stdout
    async with asyncio.timeout(DEADLINE_S):
        await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (process.returncode, err) == (Exit.INTERRUPTED, b"")
