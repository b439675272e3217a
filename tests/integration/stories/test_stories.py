"""``python -m deploy.local`` as its users call it: each story keeps its promise, on both kinds of API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.servers import prometheus
from tests.parts import missing, need_api_servers

REPOSITORY = Path(__file__).resolve().parents[3]
STORY_S = 240
AT_HOME = {"legacy": 0.0, "eks": 0.0}
MOVED = {"legacy": 100.0, "eks": 100.0}
KEYS = [
    "story",
    "requests",
    "failed",
    "failed_by_target",
    "seconds_bad_to_home",
    "shares",
    "phase",
    "writes",
    "starved_s",
    "verdict",
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Call it as from a shell."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.local", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=STORY_S,
        check=False,
    )


def told(name: str, *arguments: str) -> dict[str, Any]:
    """Return a story that keeps its promise; give its line."""
    ended = run("--story", name, "--json", *arguments)
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stdout.splitlines()
    result: dict[str, Any] = json.loads(line)
    assert list(result) == KEYS
    assert result["story"] == name
    assert result["verdict"] == "kept"
    assert result["failed"] == 0
    assert result["requests"] > 0
    assert set(result["writes"]) == {"legacy", "eks"}
    assert all(count > 0 for count in result["writes"].values())
    return result


@pytest.fixture
def real_binaries() -> None:
    """Real API servers can be had here."""
    need_api_servers()


@pytest.fixture
def real_prometheus() -> None:
    """A real Prometheus can be had here."""
    if prometheus.find_binary("prometheus") is None:
        missing(prometheus.MISSING)


@pytest.mark.story
@pytest.mark.timeout(STORY_S + 20)
@pytest.mark.parametrize("split", ["trafficsplit", "httproute"])
def test_who_dials_pods_is_named_and_not_denied(real_prometheus: None, split: str) -> None:
    """A headless twin and an ingress stay on legacy: check, status and drained name both, by either kind of split."""
    assert told("twin", "--split", split)["shares"] == MOVED


@pytest.mark.story
@pytest.mark.timeout(STORY_S + 20)
def test_what_no_adaptor_writes_is_not_claimed() -> None:
    """While the SMI adaptor is away no raise and no rollback is claimed; once it is back both go on."""
    result = told("adaptor")
    assert (result["phase"], result["shares"]) == ("Reverted", AT_HOME)


@pytest.mark.story
@pytest.mark.timeout(STORY_S + 20)
def test_what_callers_see_brings_them_home(real_prometheus: None) -> None:
    """Probes are clean and real callers fail: what Prometheus tells of them rolls back."""
    result = told("callers")
    assert (result["phase"], result["shares"]) == ("Reverted", AT_HOME)
    assert result["seconds_bad_to_home"] > 0
    assert result["failed_by_target"] > 0


@pytest.mark.story
@pytest.mark.timeout(STORY_S + 20)
def test_busy_callers_are_named_by_prometheus(real_prometheus: None) -> None:
    """The article's busy callers ignore a rewritten split, and the status names them and doubts the share."""
    ended = run("--story", "article", "--prometheus", "--services", "0")
    assert ended.returncode == 0, ended.stderr
    assert "status warns: in legacy these callers do not follow the split" in ended.stdout
    assert "the share is told as 100?/100" in ended.stdout


@pytest.mark.story
@pytest.mark.timeout(STORY_S + 20)
@pytest.mark.parametrize(
    ("story", "phase", "shares"),
    [
        ("move", "Completed", MOVED),
        ("return", "Completed", AT_HOME),
        ("crash", "Completed", AT_HOME),
        ("article", "Completed", MOVED),
        ("convert", "Completed", MOVED),
        ("opaque", "Completed", MOVED),
        ("ports", "Completed", AT_HOME),
    ],
)
def test_story_ends_as_promised(story: str, phase: str, shares: dict[str, float]) -> None:
    """A story without a fault fails no request, and ends where it was asked to."""
    result = told(story, "--services", "20")
    assert result["failed_by_target"] == 0
    assert result["seconds_bad_to_home"] is None
    assert result["phase"] == phase
    assert result["shares"] == pytest.approx(shares, abs=0.5)


@pytest.mark.story
@pytest.mark.timeout(STORY_S + 20)
@pytest.mark.parametrize(
    ("story", "phase", "shares"),
    [
        ("move", "Completed", MOVED),
        ("revert", "Reverted", AT_HOME),
        ("return", "Completed", AT_HOME),
        ("crash", "Completed", AT_HOME),
        ("opaque", "Completed", MOVED),
        ("ports", "Completed", AT_HOME),
    ],
)
def test_story_is_the_same_with_routes(story: str, phase: str, shares: dict[str, float]) -> None:
    """With HTTPRoutes in place of TrafficSplits a story keeps the same promise."""
    result = told(story, "--services", "20", "--split", "httproute")
    assert story == "revert" or result["failed_by_target"] == 0
    assert result["phase"] == phase
    assert result["shares"] == pytest.approx(shares, abs=0.5)


@pytest.mark.story
@pytest.mark.timeout(STORY_S + 20)
def test_story_of_a_revert_brings_everyone_home() -> None:
    """When eks turns bad nothing but its own failures reaches a caller, and both splits are rolled back.

    A revert can be over before one caller has met a failure: how many did is not promised.
    """
    result = told("revert", "--services", "20")
    assert result["seconds_bad_to_home"] > 0
    assert result["phase"] == "Reverted"
    assert result["shares"] == AT_HOME


@pytest.mark.story
@pytest.mark.timeout(STORY_S + 20)
@pytest.mark.parametrize(
    ("api", "split"),
    [("embedded", "trafficsplit"), pytest.param("real", "httproute", marks=pytest.mark.real)],
)
def test_a_fleet_keeps_its_order_and_no_request_fails(
    request: pytest.FixtureRequest, api: str, split: str
) -> None:
    """Forty Services in four waves: opened by hand, closed by a window, rolled back together, stopped by three reverts,
    and all back at one word, with a controller that is killed in each."""
    if api == "real":
        request.getfixturevalue("real_binaries")
    result = told("fleet", "--services", "0", "--api", api, "--split", split)
    assert result["failed_by_target"] > 0
    assert (result["phase"], result["shares"]) == ("Completed", MOVED)


@pytest.mark.story
@pytest.mark.real
@pytest.mark.usefixtures("real_binaries")
@pytest.mark.timeout(STORY_S + 20)
@pytest.mark.parametrize(
    ("arguments", "phase", "shares"),
    [
        (("move", "--services", "0"), "Completed", MOVED),
        (("revert", "--services", "20"), "Reverted", AT_HOME),
    ],
    ids=["move", "revert"],
)
def test_story_is_the_same_on_real_api_servers(
    arguments: tuple[str, ...], phase: str, shares: dict[str, float]
) -> None:
    """On kube-apiserver and etcd a story keeps the same promise."""
    result = told(*arguments, "--api", "real")
    assert result["phase"] == phase
    assert result["shares"] == pytest.approx(shares, abs=0.5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--story", "moove"), "invalid choice: 'moove' (choose from"),
        (("--services", "-1"), "-1: write a whole number from 0 to 20000"),
        (("--services", "20001"), "20001: write a whole number from 0 to 20000"),
        (("--services", "many"), "many: write a whole number from 0 to 20000"),
        (("--split", "smi"), "invalid choice: 'smi' (choose from"),
        (("--api", "borrowed"), "invalid choice: 'borrowed' (choose from"),
        (("--seed", "x"), "invalid int value: 'x'"),
        (("--speed", "2"), "unrecognized arguments: --speed 2"),
        (("move",), "unrecognized arguments: move"),
    ],
)
def test_wrong_arguments_are_answered_with_a_sentence(
    arguments: tuple[str, ...], sentence: str
) -> None:
    """A call that makes no sense starts nothing, says what is wrong, and ends with 2."""
    ended = run(*arguments)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_missing_real_api_servers_are_told(tmp_path: Path) -> None:
    """Where there is no kube-apiserver, --api real says how to get one."""
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.local", "--api", "real"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "KUBEBUILDER_ASSETS": str(tmp_path)},
    )
    assert ended.returncode == 1
    assert "`make tools` builds them" in ended.stderr
    assert "Traceback" not in ended.stderr
