"""Garbage at every door: the command lines and the settings files of all three programs, in this process.

A user's mistake is answered with sentences on stderr and exit code 2, never with a traceback; what is no
mistake ends well.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import controller.__main__ as controller_main
import prober.__main__ as prober_main
from controller import cli
from controller.runtime.settings import example

MISTAKE = 2
PROBER = {
    "cluster": "eks",
    "token_file": "/tokens",
    "installation": "migrate",
    "name": "prober-1",
    "listen": "0.0.0.0:8080",
    "domain": "cluster.local",
    "reference_service": "prober.migrate",
    "reference_port": 8080,
    "cap_per_s": 1000,
    "proxy_url": "http://127.0.0.1:1",
    "log_level": "info",
}
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.dates()
    | st.sampled_from(["", "0", "-1", "1e999", "[::", "http://[", "eks", "\x7f", "a.b", "ü" * 64])
)


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(LEAVES, inner, max_size=3)


TREES = st.recursive(
    LEAVES,
    _branches,
    max_leaves=6,
)


def run(main: Callable[[], Any], *words: str) -> tuple[int, str, str]:
    """Run a program's main function with these words; give exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        mock.patch.object(sys, "argv", ["program", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main()
        except SystemExit as end:
            code = end.code
    return code or 0, out.getvalue(), err.getvalue()


def assert_told(code: int, out: str, err: str) -> None:
    """It ended well and said so, or told a mistake in sentences."""
    assert code in (0, MISTAKE), err
    assert bool(err) == (code == MISTAKE)
    assert bool(out) == (code == 0)
    assert "Traceback" not in err
    assert "Error(" not in err


def places(tree: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree of mappings."""
    if isinstance(tree, dict):
        for key, inner in tree.items():
            yield (*here, key)
            yield from places(inner, (*here, key))


def spoiled(tree: dict[Any, Any], place: Sequence[Any], value: Any) -> dict[Any, Any]:
    """Put something else at one place of a copy."""
    whole = dict(tree)
    key, *rest = place
    whole[key] = spoiled(whole[key], rest, value) if rest else value
    return whole


WHOLE: dict[str, Any] = yaml.safe_load(example())
PROGRAMS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "migrate-controller": (controller_main.main, WHOLE),
    "migrate-prober": (prober_main.main, PROBER),
}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings from the environment, and no cluster that a command could reach."""
    for name in ("MIGRATE_CONTROLLER_CONFIG", "MIGRATE_PROBER_CONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("program", PROGRAMS)
def test_settings_that_are_good_are_said_to_be(program: str, tmp_path: Path) -> None:
    """The settings that the next tests spoil are good before they are spoiled."""
    main, whole = PROGRAMS[program]
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(whole))
    code, out, err = run(main, "--config", str(path), "--check-config")
    assert (code, err) == (0, "")
    assert "good" in out


def test_receivers_that_are_wrong_are_said_to_be(tmp_path: Path) -> None:
    """The controller's check of its settings reads the receivers of notifications too, and says what is wrong."""
    main, whole = PROGRAMS["migrate-controller"]
    (tmp_path / "receivers.yaml").write_text("receivers: [{name: ops}]")
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({**whole, "notifications": str(tmp_path / "receivers.yaml")}))
    code, _, err = run(main, "--config", str(path), "--check-config")
    assert code == 2
    assert "receivers[0].url: is missing" in err


@pytest.mark.parametrize("program", PROGRAMS)
@given(data=st.data())
def test_one_wrong_value_in_the_settings_is_a_sentence(
    program: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Anything at any place of good settings is taken, or answered with a sentence that names the place."""
    main, whole = PROGRAMS[program]
    place = data.draw(st.sampled_from(list(places(whole))))
    path = tmp_path_factory.mktemp("settings") / "settings.yaml"
    path.write_text(yaml.safe_dump(spoiled(whole, place, data.draw(TREES))))
    code, out, err = run(main, "--config", str(path), "--check-config")
    assert_told(code, out, err)
    if err:
        assert str(place[0]) in err


@pytest.mark.parametrize("program", PROGRAMS)
@given(written=st.binary(max_size=120) | TREES.map(lambda tree: yaml.safe_dump(tree).encode()))
def test_a_file_that_is_no_settings_is_a_sentence(
    program: str, tmp_path_factory: pytest.TempPathFactory, written: bytes
) -> None:
    """Any file at all is answered with what is wrong with it."""
    main, _ = PROGRAMS[program]
    path = tmp_path_factory.mktemp("settings") / "settings.yaml"
    path.write_bytes(written)
    assert_told(*run(main, "--config", str(path), "--check-config"))


@pytest.mark.parametrize("program", PROGRAMS)
@given(
    words=st.lists(
        st.text(max_size=12) | st.sampled_from(["--config", "--check-config"]), max_size=4
    )
)
def test_a_command_line_that_is_none_is_a_sentence(program: str, words: list[str]) -> None:
    """Words that are no arguments, a file that is not there or cannot be a file's name: exit code 2."""
    main, _ = PROGRAMS[program]
    if any(word.startswith(("--h", "-h", "--v")) for word in words):
        return
    code, out, err = run(main, *words, "--check-config", "--config", "/no/such/file")
    assert (code, out) == (MISTAKE, "")
    assert err
    assert "Traceback" not in err


VERBS = [
    "start",
    "status",
    "plan",
    "explain",
    "pause",
    "resume",
    "abort",
    "retry",
    "wait",
    "version",
]
NAMED = ["service-a", "svc/a", "eks", "default", "json", "completed", "1s", "1,10"]
FLAGS = ["--to", "--now", "-n", "--context", "-o", "--for", "--timeout", "--watch", "-A", "--steps"]
WORDS = st.sampled_from([*VERBS, "check", *NAMED, *FLAGS]) | st.text(max_size=10)


@given(words=st.lists(WORDS, max_size=7))
@settings(max_examples=200)
def test_whatever_is_typed_is_answered(words: list[str]) -> None:
    """``kubectl migrate`` answers any words with sentences and an exit code of its own."""
    code, out, err = run(lambda: cli.main(words))
    assert code in set(cli.Exit)
    assert "Traceback" not in err
    assert err or out
    if err and not err.startswith("usage"):
        assert all(line.startswith("kubectl migrate: ") for line in err.splitlines()), err


async def test_an_address_in_use_is_a_sentence(tmp_path: Path) -> None:
    """A controller whose port is taken says so, and ends with code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = tmp_path / "settings.yaml"
        path.write_text(yaml.safe_dump(spoiled(WHOLE, ["listen"], address)))
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controller", "--config", str(path),
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            _, err = await program.communicate()
    last = err.decode().splitlines()[-1]
    assert (program.returncode, "Traceback" in err.decode()) == (MISTAKE, False)
    assert last.startswith(f"migrate-controller: cannot listen on {address}")
