"""``kubectl migrate fleet`` on an embedded API server, with Fleets as the controller tells of them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cli.api import Api, Change
from controller.cli.exit_codes import Exit
from controller.cli.fleet import commands
from controller.cli.fleet.objects import read_fleet
from controller.cli.fleet.page import line, page
from controller.domain import PREFIX
from controller.domain.fleet_status import FleetStatus
from controller.kube.api import Backoff
from deploy.stand_ins.apiserver import EmbeddedApi, known_resources
from tests.unit.cli.cli_cluster import COMMAND, DEADLINE_S, CommandCluster, decoded, until
from tests.unit.cli.fleets import fleet, under_way, wave

NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[CommandCluster]:
    """A cluster with the Fleet to-eks, whose second wave is open."""
    async with EmbeddedApi("legacy") as api:
        made = CommandCluster(api, tmp_path / "kubeconfig")
        made.put(fleet())
        yield made


def notes(cluster: CommandCluster, name: str = "to-eks") -> dict[str, str]:
    """The annotations of a Fleet that are ours, without the prefix."""
    found = cluster.api.store.get("fleets", "", name)
    assert found is not None
    every: dict[str, str] = found.body["metadata"].get("annotations") or {}
    return {k.removeprefix(PREFIX): v for k, v in every.items() if k.startswith(PREFIX)}


def shown(**changed: Any) -> str:
    """The page of a Fleet with this status."""
    return page(read_fleet(fleet(status=under_way(**changed))), NOW)


# --- what is seen ---------------------------------------------------------------------------------


async def test_status_shows_each_wave(cluster: CommandCluster) -> None:
    """``fleet status`` shows how many are moved, where each wave is and what it waits for."""
    done = await cluster.run("fleet", "status")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == (
        "to-eks   legacy → eks   Open   61 of 109 moved, 12 under way, 1 reverted, 3 blocked   55 %"
    )
    assert lines[1].startswith("1 internal-tools  48/48  Completed ")
    assert lines[2] == (
        "2 catalog         13/31  Open: 12 under way, 1 reverted, 3 blocked, 2 waiting, 2 excluded"
    )
    assert lines[3].startswith("3 checkout         0/24  Waits for catalog (18 left: catalog/a,")
    assert " kubectl migrate fleet open checkout\n" in done.out
    assert "Needs a person   catalog/price: TargetBad. attempt 1 was reverted" in done.out


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "Closes Fri 02 Jan 15:00 UTC (weekend)."),
        (
            {"window": {"closed": True, "until": "2026-01-05T07:00:00Z", "reason": "weekend"}},
            "Closed until Mon 05 Jan 07:00 UTC (weekend): shares stand still, a bad target is still left.",
        ),
        ({"window": {"closed": True}}, "Closed: shares stand still"),
        ({}, "1 of 3 reverts within 24h (catalog/price)."),
        (
            {
                "line": {
                    "stopped": True,
                    "reverts": 3,
                    "limit": 3,
                    "within": "24h",
                    "since": "2026-01-05T08:00:00Z",
                    "services": ["a/a", "b/b", "c/c"],
                }
            },
            "Line stopped since 120m: 3 of 3 reverts within 24h (a/a, b/b and c/c). See to them, then",
        ),
        ({}, "Excluded   2: catalog/old, catalog/older"),
        ({}, "Unfit   1: tools/pods (headless)"),
        ({}, "In no wave   70: misc/s0, misc/s1, misc/s2 and 67 more"),
        (
            {"problems": [{"where": "spec.waves[1].services[0]", "message": "write a namespace"}]},
            "Problem   spec.waves[1].services[0]: write a namespace",
        ),
        ({"observedGeneration": 0}, "Told of generation 0, before the spec was changed."),
        ({}, "Next: checkout opens by hand."),
        (
            {"opensNext": {"wave": "a", "how": "", "message": "", "at": "2026-01-06T07:00:00Z"}},
            "Next: a opens Tue 06 Jan 07:00 UTC.",
        ),
        (
            {"waves": [wave("a", 1, "Baking", 2, message="Completed; bakes until noon")]},
            "1 a  0/2  Completed; bakes until noon\n",
        ),
        ({"waves": [wave("a", 1, "Waiting", 2)]}, "1 a  0/2  Waiting\n"),
        (
            {"waves": [wave("a", 1, "Open", 3, underWay=2, message="Goes back to legacy: 2 left")]},
            "1 a  0/3  Goes back to legacy: 2 left. 2 under way\n",
        ),
    ],
)
def test_what_else_a_page_says(changed: dict[str, Any], sentence: str) -> None:
    """Windows, the line, problems, and who is moved by no wave, each in a sentence."""
    made = fleet(status=under_way(**changed))
    made["metadata"]["generation"] = 1
    assert sentence in page(read_fleet(made), NOW)


def test_a_page_tells_what_is_asked_by_hand() -> None:
    """A pause, a rollback and a return stand on the page, with what ends each."""
    told = page(read_fleet(fleet(paused="true", rollback="catalog", return_="all")), NOW)
    assert "Paused: go on with kubectl migrate fleet resume to-eks" in told
    assert "Rolled back by hand: catalog. Led back by hand: all. Take it away with --undo." in told


def test_a_fleet_that_nobody_told_of() -> None:
    """Before the controller's first word, and where that cannot be read, the page says so."""
    for status in ({}, {"state": 7}):
        told = page(read_fleet(fleet(status=status)), NOW)
        assert "The controller has not told of it: does it run" in told
    assert read_fleet({"metadata": {"name": "a"}, "spec": "?"}).waves == ()


@given(st.integers(0, 60))
def test_what_is_to_be_typed_stays_on_one_line(before: int) -> None:
    """A command in a sentence is never broken, wherever in the line it would begin."""
    message = f"{'x' * before} for a person: kubectl migrate fleet open checkout, and so on"
    told = shown(waves=[wave("checkout", 1, "Waiting", 24, message=message)])
    assert "kubectl migrate fleet open checkout" in told


WORD = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Z", "C"]), max_size=130
)


@given(st.builds(dict, where=WORD, message=WORD), st.lists(WORD, max_size=4), WORD)
def test_a_page_fits_a_hundred_columns(
    problem: dict[str, str], names: list[str], message: str
) -> None:
    """However long names and sentences are, no line has more than 100 columns, and nothing moves a cursor."""
    told = shown(
        problems=[problem],
        waves=[wave(name, n, "Waiting", 9, message=message) for n, name in enumerate(names, 1)],
        excluded=names,
        needsPerson=[{"service": message, "reason": "TargetBad", "message": message}],
    )
    assert max(map(len, told.split("\n"))) <= 100
    assert all(c.isprintable() or c == "\n" for c in told)


def test_all_of_the_status_is_read() -> None:
    """Each part of the status that the CRD names is read into the field of its name."""
    known = {field.encode_name for field in msgspec.structs.fields(FleetStatus)}
    assert set(under_way()) <= known
    read = read_fleet(fleet()).status
    assert (read.counts.under_way, read.waves[2].opens, read.unplaced.count) == (12, "byHand", 70)


async def test_status_as_json_is_what_the_cluster_holds(cluster: CommandCluster) -> None:
    """``-o json`` gives the Fleet that is named, or the list of all, as the API server does."""
    cluster.put(fleet("to-aks"))
    one = decoded((await cluster.run("fleet", "status", "to-eks", "-o", "json")).out)
    every = decoded((await cluster.run("fleet", "status", "-o", "json")).out)
    stored = cluster.api.store.get("fleets", "", "to-eks")
    assert stored
    assert (one["kind"], one["status"]) == ("Fleet", stored.body["status"])
    assert every["kind"] == "FleetList"
    assert [item["metadata"]["name"] for item in every["items"]] == ["to-aks", "to-eks"]


async def test_status_goes_on_with_a_line_per_change(
    cluster: CommandCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--watch`` in a pipe writes a line now and at each change, until Ctrl-C, which is no failure."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "fleet", "status", "--watch", stdout=-1, stderr=-1, env=cluster.environ()
    )
    assert process.stdout
    async with asyncio.timeout(DEADLINE_S):
        first = await process.stdout.readline()
        cluster.put(fleet(status=under_way(state="Paused")))
        second = await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert first.decode() == "to-eks   Open   2/4 catalog   12 under way   1 reverted   3 blocked\n"
    assert second.decode().startswith("to-eks   Paused   2/4 catalog")
    assert (process.returncode, err) == (0, b"")


async def test_only_a_terminal_gets_colours(cluster: CommandCluster) -> None:
    """On a terminal words have colours, in a pipe there is nothing but text."""
    piped = await cluster.run("fleet", "status")
    assert "\x1b" not in piped.out
    controlling, terminal = pty.openpty()
    os.set_blocking(controlling, False)
    environ = {**cluster.environ(), "TERM": "xterm", "COLUMNS": "120", "LINES": "50"}
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "fleet", "status", stdout=terminal, stderr=-1, env=environ
    )
    os.close(terminal)
    drawn = bytearray()

    def shows(text: bytes) -> bool:
        with contextlib.suppress(BlockingIOError, OSError):
            drawn.extend(os.read(controlling, 65536))
        return text in drawn

    try:
        await until(lambda: shows(b"In no wave"))
        await process.communicate()
    finally:
        os.close(controlling)
    assert b"\x1b[32mCompleted" in drawn


def test_a_line_for_a_log_says_the_whole() -> None:
    """The line of a Fleet has its state, its wave and who is not well; one without a status says so."""
    assert line(read_fleet(fleet(status={}))) == "to-eks   not told of"


# --- which Fleet ----------------------------------------------------------------------------------


async def test_a_cluster_without_the_crd_is_told(tmp_path: Path) -> None:
    """Where Fleets are not served at all, each action says so in a sentence."""
    without = tuple(r for r in known_resources() if r.plural != "fleets")
    async with EmbeddedApi("legacy", resources=without) as api:
        bare = CommandCluster(api, tmp_path / "kubeconfig")
        for argv in (("status",), ("pause",), ("open", "checkout"), ("rollback", "--all")):
            done = await bare.run("fleet", *argv)
            assert (done.code, done.err.count("\n")) == (Exit.FAILED, 1)
            assert "context legacy knows no Fleets: is the controller's CRD installed" in done.err


async def test_a_fleet_is_named_where_there_are_several(cluster: CommandCluster) -> None:
    """One Fleet need not be named; of several, none, or one that is not there, the answer is a sentence."""
    cluster.put(fleet("to-aks"))
    for argv in (("pause",), ("open", "checkout", "-y"), ("rollback", "--all", "-y")):
        done = await cluster.run("fleet", *argv)
        assert (done.code, done.err.count("\n")) == (Exit.USAGE, 1)
        assert "there are 2 Fleets, to-aks and to-eks: say which one" in done.err
    assert (await cluster.run("fleet", "pause", "to-aks")).code == 0
    named = await cluster.run("fleet", "open", "checkout", "--fleet", "to-eks", "-y")
    assert (named.code, notes(cluster), notes(cluster, "to-aks")) == (
        0,
        {"open": "checkout"},
        {"paused": "true"},
    )
    slip = await cluster.run("fleet", "pause", "to-ek")
    assert (slip.code, "did you mean to-eks?" in slip.err) == (Exit.USAGE, True)
    cluster.api.remove("fleets", "", "to-aks")
    cluster.api.remove("fleets", "", "to-eks")
    for argv in (("status",), ("pause",)):
        done = await cluster.run("fleet", *argv)
        assert (done.code, done.out) == (Exit.FAILED, "")
        assert "there is no Fleet in context legacy: apply one where the controller" in done.err


@pytest.mark.parametrize("action", ["open", "rollback", "return"])
async def test_an_unknown_wave_is_refused(cluster: CommandCluster, action: str) -> None:
    """A wave that the Fleet has not is answered with the one that was meant, or with all there are."""
    for name, sentence in (
        ("chekout", "Fleet to-eks has no wave chekout: did you mean checkout?"),
        ("shop", "has no wave shop: it has internal-tools, catalog, checkout, payments"),
        ("all", "has no wave all: "),
    ):
        done = await cluster.run("fleet", action, name, "checkout", "--yes")
        assert (done.code, done.err.count("\n")) == (Exit.USAGE, 1)
        assert sentence in done.err
    none = await cluster.run("fleet", action)
    assert (none.code, "say which waves" in none.err) == (Exit.USAGE, True)
    assert notes(cluster) == {}


# --- what is asked by hand ------------------------------------------------------------------------


async def test_open_asks_for_waves_in_their_order(cluster: CommandCluster) -> None:
    """``open`` adds to the waves that are open, in the Fleet's order, and says when each begins."""
    done = await cluster.run("fleet", "open", "payments", "checkout", "--yes")
    assert done.code == 0
    assert notes(cluster) == {"open": "checkout,payments"}
    assert done.out.splitlines() == [
        "to-eks: open=checkout,payments",
        "checkout begins when catalog is finished; payments begins when catalog and checkout are finished",
        "watch it with kubectl migrate fleet status to-eks --watch",
    ]
    again = await cluster.run("fleet", "open", "checkout")
    assert (again.code, "nothing to change, checkout is opened already" in again.out) == (0, True)
    undone = await cluster.run("fleet", "open", "checkout", "payments", "--undo", "--yes")
    assert (undone.code, notes(cluster)) == (0, {})
    assert "nothing to change" in (await cluster.run("fleet", "open", "checkout", "--undo")).out


async def test_a_wave_that_opens_by_itself_is_not_opened(cluster: CommandCluster) -> None:
    """``open`` of a wave that opens automatically would change nothing: it is refused."""
    done = await cluster.run("fleet", "open", "catalog", "--yes")
    assert (done.code, notes(cluster)) == (Exit.FAILED, {})
    assert "wave catalog opens by itself, and not sooner by hand" in done.err


async def test_what_holds_a_wave_besides_is_told(cluster: CommandCluster) -> None:
    """A pause, a stopped line and a closed window keep an opened wave, and ``open`` says so."""
    window = {"closed": True, "until": "2026-01-05T07:00:00Z", "reason": "weekend"}
    line = {"stopped": True, "reverts": 3, "limit": 3, "within": "24h"}
    cluster.put(fleet(status=under_way(window=window, line=line), paused="true"))
    done = await cluster.run("fleet", "open", "checkout", "--yes")
    assert "nothing rises before its pause ends: kubectl migrate fleet resume to-eks" in done.out
    assert "nothing rises before the line goes on: kubectl migrate fleet resume" in done.out
    assert "nothing rises before 2026-01-05T07:00:00Z (weekend)" in done.out
    cluster.put(fleet(status={}))
    untold = await cluster.run("fleet", "open", "checkout", "--yes")
    assert "no controller has told of this Fleet: does it run?" in untold.out


async def test_pause_and_resume(cluster: CommandCluster) -> None:
    """``pause`` asks nobody, ``resume`` does, and both say when there is nothing to do."""
    outs = [
        (await cluster.run("fleet", *argv)).out.splitlines()[0]
        for argv in (("resume",), ("pause",), ("pause",), ("resume", "--yes"))
    ]
    assert outs == [
        "to-eks: nothing to change, it is neither paused nor is its line stopped",
        "to-eks: paused=true",
        "to-eks: nothing to change, it is paused already",
        "to-eks: paused removed",
    ]
    assert notes(cluster) == {}
    cluster.put(fleet(status=under_way(state="Completed")))
    done = await cluster.run("fleet", "pause")
    assert (done.code, notes(cluster)) == (Exit.FAILED, {})
    assert "there is nothing to pause: Fleet to-eks is Completed" in done.err


async def test_resume_starts_a_stopped_line(cluster: CommandCluster) -> None:
    """``resume`` writes by the API server's clock since when reverts count, and ends a pause that is there too."""
    line = {"stopped": True, "reverts": 3, "limit": 3, "within": "24h", "services": ["a/a"]}
    cluster.put(fleet(status=under_way(line=line, state="Stopped"), paused="true"))
    refused = await cluster.run("fleet", "resume")
    assert (
        "this would end the pause of Fleet to-eks and count the 3 reverts that stopped the line no more (a/a),"
        in refused.err
    )
    before = datetime.now(UTC).replace(microsecond=0)
    done = await cluster.run("fleet", "resume", "--yes")
    assert done.code == 0
    told = notes(cluster)
    assert set(told) == {"resumed-at"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["resumed-at"])
    assert abs((datetime.fromisoformat(told["resumed-at"]) - before).total_seconds()) < DEADLINE_S


async def test_rollback_of_waves_and_of_all(cluster: CommandCluster) -> None:
    """``rollback`` names waves or all, tells who goes back and who stays, and is taken away by ``--undo``."""
    done = await cluster.run("fleet", "rollback", "catalog", "--yes")
    assert (done.code, notes(cluster)) == (0, {"rollback": "catalog"})
    assert "all calls of 12 Services go back at once" in done.out
    assert "13 Completed stay in eks: kubectl migrate fleet return is for those" in done.out
    nobody = await cluster.run("fleet", "rollback", "checkout", "--yes")
    assert (nobody.code, notes(cluster)) == (0, {"rollback": "catalog,checkout"})
    assert "nobody is under way; who has not begun waits" in nobody.out
    resumed = await cluster.run("fleet", "resume")
    assert "who is rolled back by hand stays: kubectl migrate fleet rollback --undo" in resumed.out
    every = await cluster.run("fleet", "rollback", "--all", "--yes")
    assert (every.code, notes(cluster)) == (0, {"rollback": "all"})
    assert "rollback is all already" in (await cluster.run("fleet", "rollback", "catalog")).out
    less = await cluster.run("fleet", "rollback", "catalog", "--undo", "--yes")
    assert (less.code, notes(cluster)) == (0, {"rollback": "internal-tools,checkout,payments"})
    assert "until another attempt is asked for: kubectl migrate retry --all -A" in less.out
    assert (await cluster.run("fleet", "rollback", "--all", "--undo", "-y")).code == 0
    assert notes(cluster) == {}
    cluster.put(fleet(rollback="catalog,gone"))
    assert (await cluster.run("fleet", "rollback", "--undo", "-y")).code == 0
    assert notes(cluster) == {}
    twice = await cluster.run("fleet", "rollback", "--all", "--undo")
    assert (twice.code, "rollback does not name any wave" in twice.out) == (0, True)
    both = await cluster.run("fleet", "rollback", "--all", "catalog")
    assert (both.code, "--all is every wave" in both.err) == (Exit.USAGE, True)


async def test_return_leads_the_last_wave_back_first(cluster: CommandCluster) -> None:
    """``return`` names the Services that go back and where to, and which wave is the first."""
    refused = await cluster.run("fleet", "return", "catalog", "internal-tools")
    assert (
        "this would lead 61 Services of waves internal-tools and catalog back to legacy"
        in refused.err
    )
    done = await cluster.run("fleet", "return", "catalog", "internal-tools", "--yes")
    assert (done.code, notes(cluster)) == (0, {"return": "internal-tools,catalog"})
    assert "catalog goes first" in done.out
    undone = await cluster.run("fleet", "return", "catalog", "--undo")
    assert "would let the Services of wave catalog be moved to eks again" in undone.err
    one = await cluster.run("fleet", "return", "internal-tools", "--undo", "--yes")
    assert (one.code, notes(cluster)) == (0, {"return": "catalog"})


@pytest.mark.parametrize(
    "argv", [("open", "checkout"), ("rollback", "--all"), ("return", "--all"), ("resume",)]
)
async def test_what_moves_traffic_is_asked_about(
    cluster: CommandCluster, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    """Each action that moves traffic asks on a terminal, and needs ``--yes`` elsewhere; no is no."""
    cluster.put(fleet(paused="true"))
    before = notes(cluster)
    refused = await cluster.run("fleet", *argv)
    assert (refused.code, "add --yes, or look at it with --dry-run" in refused.err) == (2, True)
    for answer, code in (("n\n", Exit.FAILED), ("y\n", Exit.OK)):
        assert notes(cluster) == before
        typed = io.StringIO(answer)
        monkeypatch.setattr(typed, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", typed)
        done = await cluster.run("fleet", *argv)
        assert (done.code, "Go on? [y/N]" in done.err) == (code, True)
    assert notes(cluster) != before


@pytest.mark.parametrize(
    "argv",
    [("open", "checkout"), ("pause",), ("rollback", "--all"), ("return", "--all")],
)
async def test_a_dry_run_writes_nothing(cluster: CommandCluster, argv: tuple[str, ...]) -> None:
    """``--dry-run`` asks nobody and says what would be written, which the API server has looked at."""
    done = await cluster.run("fleet", *argv, "--dry-run")
    assert (done.code, "(dry run)" in done.out, "watch it" in done.out) == (0, True, False)
    assert notes(cluster) == {}
    asks = [n for r, n in cluster.api.requests.items() if (r.verb, r.code) == ("patch", 200)]
    assert sum(asks) == 1
    told = decoded((await cluster.run("fleet", *argv, "--dry-run", "-o", "json")).out)
    assert (told["fleet"], told["verb"], told["dryRun"]) == ("to-eks", argv[0], True)
    assert set(told["change"]) == {"paused" if argv[0] == "pause" else argv[0]}


async def test_the_spec_is_never_written(cluster: CommandCluster) -> None:
    """Writes are the field manager kubectl-migrate's, of annotations only, so that the spec may stand in Git."""
    before = cluster.api.store.get("fleets", "", "to-eks")
    assert before
    spec = msgspec.json.encode(before.body["spec"])
    await cluster.run("fleet", "open", "checkout", "--yes")
    await cluster.run("fleet", "pause")
    found = cluster.api.store.get("fleets", "", "to-eks")
    assert found
    assert msgspec.json.encode(found.body["spec"]) == spec
    entries = [m for m in found.body["metadata"]["managedFields"] if "migrate" in m["manager"]]
    assert [set(entry["fieldsV1"]) for entry in entries] == [{"f:metadata"}]


async def test_a_fleet_changed_meanwhile_is_looked_at_again(
    cluster: CommandCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change between reading and writing is not overwritten: it is read, and counts."""
    write = Api.annotate_fleet
    tries: list[int] = []

    async def annotate(
        api: Api, name: str, version: str, change: Change, *, dry_run: bool = False
    ) -> None:
        tries.append(1)
        if len(tries) == 1:
            cluster.put(fleet(open="checkout"))
        await write(api, name, version, change, dry_run=dry_run)

    monkeypatch.setattr(Api, "annotate_fleet", annotate)
    monkeypatch.setattr(commands, "Backoff", lambda *_: Backoff(0.0, 0.0))
    done = await cluster.run("fleet", "open", "payments", "--yes")
    assert (done.code, notes(cluster)) == (0, {"open": "checkout,payments"})
    assert done.err == "Fleet to-eks was changed meanwhile: reading it again\n"
