"""The verbs for one Service, said of several: by names, by ``-l``, with ``--all`` and ``-A``."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.cli import waiting
from controller.cli.asking import listed
from controller.cli.exit_codes import Exit
from deploy.stand_ins.apiserver import EmbeddedApi
from tests.unit.cli.cli_cluster import (
    CommandCluster,
    decoded,
    ended,
    migration,
    mirror,
    service,
    split,
    transition,
    until,
)


def labelled(name: str, namespace: str = "default", **spec: str) -> dict[str, Any]:
    """A Service of the team shop."""
    made = service(name, namespace, **spec)
    made["metadata"]["labels"] = {"team": "shop"}
    return made


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[CommandCluster]:
    """A cluster with four Services that may be moved, a mirror, a headless one and the API server's own."""
    headless = service("pods")
    headless["spec"]["clusterIP"] = "None"
    own = service("prober")
    own["metadata"]["labels"] = {"app.kubernetes.io/part-of": "mesh-migrate"}
    async with EmbeddedApi("legacy") as api:
        made = CommandCluster(api, tmp_path / "kubeconfig")
        made.put(labelled("a"), labelled("b"), service("c"), mirror("a", "eks"), headless, own)
        made.put(service("kubernetes"), labelled("d", "migrate"))
        yield made


class Terminal(io.StringIO):
    """A terminal at which somebody has typed this."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Have this typed at the question."""
    monkeypatch.setattr(sys, "stdin", Terminal(text))


def asked(cluster: CommandCluster) -> dict[str, str]:
    """By Service of both namespaces, the target that is asked for."""
    names = [("a", "default"), ("b", "default"), ("c", "default"), ("d", "migrate")]
    found = {name: cluster.annotations(name, ns).get("target", "") for name, ns in names}
    return {name: target for name, target in found.items() if target}


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (("a", "c"), "ac"),
        (("a", "svc/c", "a"), "ac"),
        (("-l", "team=shop"), "ab"),
        (("-l", "team!=shop"), "c"),
        (("-l", "team in (shop,bank)"), "ab"),
        (("--all",), "abc"),
        (("-l", "team=shop", "-A"), "abd"),
        (("--all", "-A"), "abcd"),
        (("--all", "-n", "migrate"), "d"),
    ],
)
async def test_each_way_of_saying_which(
    cluster: CommandCluster, argv: tuple[str, ...], names: str
) -> None:
    """Names, a selector, ``--all`` and ``-A`` mean what they mean to kubectl, and nobody else is annotated."""
    done = await cluster.run("start", *argv, "--to", "eks", "--yes")
    assert (done.code, done.err) == (0, "")
    assert asked(cluster) == dict.fromkeys(names, "eks")
    for name in ("pods", "prober", "kubernetes"):
        assert cluster.annotations(name) == {}


async def test_a_summary_says_what_came_of_all(cluster: CommandCluster) -> None:
    """Of a crowd a line tells who was changed, and one how many were not, with why."""
    cluster.put(labelled("b", target="eks"))
    done = await cluster.run("start", "--all", "--to", "eks", "-y")
    assert done.out == (
        "a: target=eks\n"
        "c: target=eks\n"
        "7 Services: 2 changed, 1 as asked already, 4 left out (1 a mirror, 1 headless, 2 of Kubernetes,"
        " Linkerd or the controller), 0 failed\n"
        "watch them with kubectl migrate status --watch\n"
    )


async def test_everywhere_each_is_called_by_its_namespace(cluster: CommandCluster) -> None:
    """With ``-A`` lines and hints name the namespace, so that two Services of one name are told apart."""
    cluster.put(labelled("a", "migrate", target="eks"))
    cluster.put(migration("a", "migrate", **ended("Reverted")))
    done = await cluster.run("start", "-A", "-l", "team=shop", "--to", "eks", "--yes")
    assert done.code == Exit.FAILED
    assert done.out.startswith("default/a: target=eks\ndefault/b: target=eks\nmigrate/d: target")
    assert done.out.endswith("watch them with kubectl migrate status -l team=shop -A --watch\n")
    assert done.err == (
        "kubectl migrate: migrate/a: attempt 1 of migrate/a was reverted (TargetBad), and nothing"
        " starts before another is asked for: use kubectl migrate retry a -n migrate\n"
    )


async def test_who_fails_holds_nobody_else(cluster: CommandCluster) -> None:
    """What cannot be done to one is told of it, all others are done, and the exit code is the failure's."""
    cluster.put(service("c", dwel="5m"))
    done = await cluster.run("start", "a", "c", "gone", "--to", "eks")
    assert asked(cluster) == {"a": "eks"}
    assert done.code == Exit.FAILED
    assert done.out.splitlines()[-2:] == [
        "3 Services: 1 changed, 2 failed",
        "watch it with kubectl migrate status a --watch",
    ]
    gone, malformed = done.err.splitlines()
    assert gone.startswith("kubectl migrate: gone: there is no Service gone in namespace default")
    assert malformed.startswith("kubectl migrate: c: migrate.tradeshift/dwel is not a key")
    assert (await cluster.run("start", "a", "c", "--to", "eks")).code == Exit.USAGE


async def test_many_are_asked_about(
    cluster: CommandCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before traffic of several moves a person is asked, and only yes is yes."""
    for answer in ("", "\n", "n\n", "yeah\n"):
        typed(monkeypatch, answer)
        done = await cluster.run("start", "--all", "-A", "--to", "eks")
        assert (done.code, done.out) == (Exit.FAILED, "")
        assert done.err == (
            "This will ask for 4 Services (default/a, default/b, default/c and 1 more) to be moved to eks."
            " Go on? [y/N] kubectl migrate: nothing was written\n"
        )
    assert asked(cluster) == {}
    typed(monkeypatch, "Yes\n")
    assert (await cluster.run("start", "--all", "-A", "--to", "eks")).code == 0
    assert asked(cluster) == dict.fromkeys("abcd", "eks")


async def test_where_nobody_can_be_asked_nothing_moves(cluster: CommandCluster) -> None:
    """Without a terminal several are moved only with ``--yes``; one by its name, and a pause, need none."""
    done = await cluster.run("start", "a", "b", "--to", "eks")
    assert done.code == Exit.USAGE
    assert "and nobody is there to agree: add --yes, or look at it with --dry-run" in done.err
    assert asked(cluster) == {}
    assert (await cluster.run("start", "a", "--to", "eks")).code == 0
    cluster.put(labelled("b", target="eks"))
    assert (await cluster.run("pause", "a", "b")).code == 0


async def test_a_dry_run_writes_nothing(cluster: CommandCluster) -> None:
    """``--dry-run`` asks nobody, says what would be written, and has the API server refuse what it would refuse."""
    done = await cluster.run("start", "--all", "--to", "eks", "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("a: target=eks (dry run)\n")
    assert "7 Services: 3 would be changed, 4 left out" in done.out
    assert "watch" not in done.out
    one = await cluster.run("start", "a", "--to", "eks", "--dry-run")
    assert one.out == "a: target=eks (dry run)\n"
    assert asked(cluster) == {}
    asks = [n for r, n in cluster.api.requests.items() if (r.verb, r.code) == ("patch", 200)]
    assert sum(asks) == 4


async def test_json_lists_what_came_of_each(cluster: CommandCluster) -> None:
    """``-o json`` is a list with every Service that was meant: what came of it, the change, and why."""
    cluster.put(service("c", target="eks"))
    done = await cluster.run("start", "c", "a", "gone", "--to", "eks", "--yes", "-o", "json")
    told = {each["service"]: each for each in decoded(done.out)}
    assert {name: each["result"] for name, each in told.items()} == {
        "gone": "failed",
        "c": "unchanged",
        "a": "changed",
    }
    assert (told["a"]["change"], told["a"]["namespace"]) == ({"target": "eks"}, "default")
    crowd = decoded((await cluster.run("start", "--all", "--to", "eks", "-o", "json", "-y")).out)
    assert {e["service"]: e["message"] for e in crowd if e["result"] == "leftOut"} == {
        "a-eks": "a mirror",
        "kubernetes": "of Kubernetes, Linkerd or the controller",
        "pods": "headless",
        "prober": "of Kubernetes, Linkerd or the controller",
    }
    (one,) = decoded((await cluster.run("pause", "a", "-o", "json")).out)
    assert (one["result"], one["change"]) == ("changed", {"paused": "true"})


async def test_a_crowd_leaves_out_whom_a_verb_is_not_about(cluster: CommandCluster) -> None:
    """Who is completed, reverted or not migrated at all holds up no ``pause --all``; named, each is an error."""
    cluster.put(labelled("a", target="eks"), migration("a"))
    cluster.put(labelled("b", target="eks"), migration("b", **ended("Completed")))
    done = await cluster.run("pause", "--all")
    assert done.code == 0
    assert done.out.splitlines()[0] == "a: paused=true"
    assert "1 completed" in done.out
    assert "1 not annotated here" in done.out
    assert cluster.annotations("b") == {"target": "eks"}
    named = await cluster.run("pause", "a", "b", "c")
    assert named.code == Exit.FAILED
    assert "a: nothing to change, it is paused already" in named.out
    assert named.err.count("there is nothing to pause") == 2


async def test_a_crowd_of_which_nobody_is_meant_is_an_error(cluster: CommandCluster) -> None:
    """Where nothing at all could be done the exit code says so: it is more likely the wrong cluster."""
    done = await cluster.run("abort", "--all", "--yes")
    assert done.code == Exit.FAILED
    assert "there is nothing to abort: 1 a mirror, 1 headless, 3 not annotated here" in done.err
    nobody = await cluster.run("abort", "-l", "team=bank")
    assert (nobody.code, nobody.out) == (Exit.FAILED, "")
    assert "there is no Service with team=bank in namespace default of context legacy" in nobody.err


async def test_a_selector_that_is_none_is_wrong_usage(cluster: CommandCluster) -> None:
    """What the API server does not take for a selector ends with the code of wrong input."""
    done = await cluster.run("pause", "-l", "=,=")
    assert (done.code, done.err.count("\n")) == (Exit.USAGE, 1)
    assert "-l =,= is no selector" in done.err


async def test_retry_of_a_crowd_raises_who_was_reverted(cluster: CommandCluster) -> None:
    """``retry --all`` begins another attempt of those that were reverted, once."""
    for name in ("a", "b"):
        cluster.put(labelled(name, target="eks"))
    cluster.put(migration("a", **ended("Reverted")), migration("b"))
    first = await cluster.run("retry", "--all", "--yes")
    assert (first.code, cluster.annotations("a")["attempt"]) == (0, "2")
    assert "1 not reverted" in first.out
    second = await cluster.run("retry", "--all", "--yes")
    assert (second.code, cluster.annotations("a")["attempt"]) == (Exit.FAILED, "2")
    assert "1 asked for already" in second.err


async def test_a_crowd_is_read_in_few_requests(cluster: CommandCluster) -> None:
    """However many Services are meant, each kind is listed once, and each Service written once."""
    cluster.put(*(service(f"s{n}") for n in range(40)))
    before = sum(cluster.api.requests.values())
    done = await cluster.run("start", "--all", "--to", "eks", "--yes")
    assert done.code == 0
    every = [r for r in cluster.api.requests if r.verb == "patch"]
    assert len(every) == 43
    assert sum(cluster.api.requests.values()) - before < 43 + 10


class Dying(EmbeddedApi):
    """An API server that breaks every connection of a write off."""

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PATCH":
            assert request.transport is not None
            request.transport.close()
        return await super()._answer(request)


async def test_a_cluster_that_dies_is_not_asked_for_all_others(tmp_path: Path) -> None:
    """Where the API server does not answer any more, the Services after it are told as not tried."""
    async with Dying("legacy") as api:
        made = CommandCluster(api, tmp_path / "kubeconfig")
        made.put(*(service(f"s{n:02}") for n in range(60)))
        done = await made.run("start", "--all", "--to", "eks", "--yes")
    assert done.code == Exit.FAILED
    assert "60 Services: 0 changed, 60 failed" in done.out
    assert 0 < done.err.count("no usable answer") <= 32
    assert done.err.count("not tried, since context legacy did not answer") >= 28


# --- what only shows ------------------------------------------------------------------------------


async def test_status_of_several(cluster: CommandCluster) -> None:
    """``status`` takes names and a selector; of whom there is no Migration is told, and the others are shown."""
    cluster.put(labelled("a", target="eks"), migration("a"), migration("c"))
    done = await cluster.run("status", "c", "a")
    assert [line.split()[0] for line in done.out.splitlines()] == ["SERVICE", "c", "a"]
    picked = await cluster.run("status", "-l", "team=shop")
    assert [line.split()[0] for line in picked.out.splitlines()] == ["SERVICE", "a"]
    lost = await cluster.run("status", "a", "b", "gone", "-o", "json")
    assert lost.code == Exit.FAILED
    assert [each["metadata"]["name"] for each in decoded(lost.out)["items"]] == ["a"]
    assert "no Migration of b: the Service is not annotated here" in lost.err
    assert "there is no Service gone" in lost.err


@pytest.mark.parametrize("verb", ["plan", "explain"])
async def test_pages_of_several(cluster: CommandCluster, verb: str) -> None:
    """``plan`` and ``explain`` show one page after the other, and a list as JSON; ``--all`` passes over the others."""
    cluster.put(labelled("a", target="eks"), migration("a"), labelled("b", target="eks"))
    cluster.put(migration("b"))
    done = await cluster.run(verb, "--all")
    assert done.code == 0
    assert done.out.index("a") < done.out.index("b   " if verb == "explain" else "\nb: ")
    told = decoded((await cluster.run(verb, "a", "b", "-o", "json")).out)
    assert [each["service"] for each in told] == ["a", "b"]
    named = await cluster.run(verb, "a", "gone")
    assert named.code == Exit.FAILED
    assert "there is no Service gone" in named.err


# --- waiting --------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the cluster asked often."""
    monkeypatch.setattr(waiting, "POLL_S", 0.02)


@pytest.mark.usefixtures("quick")
async def test_wait_for_several(cluster: CommandCluster) -> None:
    """``wait`` goes on until each is at an end, with each transition behind the Service's name, and counts them."""
    for name in ("a", "b"):
        cluster.put(labelled(name, target="eks"), migration(name))
    waiting_for = asyncio.create_task(
        cluster.run("wait", "--all", "--for", "completed", "--timeout", "1m")
    )
    await until(
        lambda: sum(n for r, n in cluster.api.requests.items() if r.resource == "migrations") > 3
    )
    history = [transition("2026-01-01T12:00:00Z", "Completed", "100/100", "Completed", "all")]
    cluster.put(migration("a", **ended("Completed", history=history)))
    await until(
        lambda: sum(n for r, n in cluster.api.requests.items() if r.resource == "migrations") > 6
    )
    assert not waiting_for.done()
    cluster.put(migration("b", **ended("Completed", history=history)))
    done = await waiting_for
    assert (done.code, done.err) == (0, "")
    assert "a   2026-01-01T12:00:00Z   Completed Completed   all\na is completed" in done.out
    assert done.out.splitlines()[-1] == "2 Services: 2 completed, 0 not"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("b", "code"),
    [(ended("Reverted"), Exit.OTHER_END), ({}, Exit.TIMEOUT), (None, Exit.FAILED)],
)
async def test_wait_for_several_ends_as_who_is_not_there(
    cluster: CommandCluster, b: dict[str, Any] | None, code: Exit
) -> None:
    """Where one comes to the other end, or to none in time, or is no migration, the code is that of a wait for it."""
    cluster.put(labelled("a", target="eks"), migration("a", **ended("Completed")))
    if b is not None:
        cluster.put(labelled("b", target="eks"), migration("b", **b))
    done = await cluster.run("wait", "a", "b", "--for", "completed", "--timeout", "0s")
    assert done.code == code
    assert done.out.splitlines()[-1] == "2 Services: 1 completed, 1 not"
    assert done.err.count("\n") == 1


@pytest.mark.usefixtures("quick")
async def test_who_is_deleted_is_waited_for_no_longer(cluster: CommandCluster) -> None:
    """A Service that goes while it is waited for fails, and ends the wait for the others at nothing."""
    for name in ("a", "b"):
        cluster.put(labelled(name, target="eks"), migration(name))
    waiting_for = asyncio.create_task(
        cluster.run("wait", "a", "b", "--for", "completed", "--timeout", "1m")
    )
    await until(
        lambda: sum(n for r, n in cluster.api.requests.items() if r.resource == "migrations") > 3
    )
    cluster.api.remove("services", "default", "a")
    cluster.put(migration("b", **ended("Completed")))
    done = await waiting_for
    assert done.code == Exit.FAILED
    assert "a cannot be read any more: is it deleted?" in done.err


async def test_convert_of_several(cluster: CommandCluster) -> None:
    """``convert`` asks about several, tells of each, and one that cannot be converted holds up no other."""
    for name in ("a", "b"):
        made = split()
        made["metadata"]["name"] = name
        backends = [{"service": name, "weight": 0}, {"service": f"{name}-eks", "weight": 1}]
        made["spec"] = {"service": name, "backends": backends}
        cluster.put(made)
    unasked = await cluster.run("convert", "--all")
    assert unasked.code == Exit.USAGE
    assert (
        "put an HTTPRoute in the place of the TrafficSplit of 2 Services (a and b)" in unasked.err
    )
    done = await cluster.run("convert", "--all", "--yes")
    assert done.code == Exit.FAILED
    assert done.out.splitlines()[-1] == "2 Services: 0 converted, 2 failed"
    assert done.err.count("without its TrafficSplit the others would come back at once") == 2


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
    ],
)
def test_names_in_a_sentence(names: list[str], said: str) -> None:
    """Three names at most stand in a sentence, and how many more there are."""
    assert listed(names) == said
