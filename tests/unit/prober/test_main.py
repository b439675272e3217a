"""The command, as a container runs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from prober import contract
from prober.__main__ import main
from prober.contract import Assign, Report, Sample
from tests.unit.prober.loopback import Request, Target, eventually

END_S = 5.0
"""How long the prober may take to end."""


@asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the command; it is killed at the end if it is still there."""
    environ = {key: os.environ[key] for key in os.environ if not key.startswith("MIGRATE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "prober",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def write_settings(folder: Path, target: Target | None = None, listen: str = "127.0.0.1:0") -> str:
    """Write settings and a token; where the settings are."""
    (folder / "tokens").write_text("a-token\n")
    config = folder / "prober.yaml"
    lines = ["cluster: eks", f"token_file: {folder / 'tokens'}", f"listen: {listen}"]
    if target is not None:
        lines.append(f"proxy_url: {target.url}")
    config.write_text("\n".join(lines))
    return str(config)


async def listening(process: asyncio.subprocess.Process) -> str:
    """Read the log until it says where it listens."""
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while True:
            line = json.loads(await process.stderr.readline())
            if line["event"] == "listening":
                return str(line["address"])


async def test_sigterm_ends_with_a_last_report(tmp_path: Path, target: Target) -> None:
    """On SIGTERM what is in flight is told, streams end with 1001, and the exit is clean."""

    async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
        if "/reference" in request.line:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        else:
            await asyncio.Event().wait()

    target.answer = hang
    async with (
        command("--config", write_settings(tmp_path, target)) as process,
        aiohttp.ClientSession() as session,
    ):
        url = await listening(process)
        headers = {"Authorization": "Bearer a-token"}
        async with session.ws_connect(url + contract.PATH, headers=headers) as websocket:
            assign = Assign(
                id=1,
                key="",
                namespace="default",
                service="web",
                route="apex",
                port=80,
                rate_per_s=50,
                expect=((200, 399),),
            )
            await websocket.send_str(contract.encode(assign).decode())
            await eventually(
                lambda: sum("/reference" not in one.line for one in target.requests) >= 10
            )
            process.send_signal(signal.SIGTERM)
            told: list[Sample] = []
            async with asyncio.timeout(END_S):
                async for frame in websocket:
                    message = contract.decode_from_prober(frame.data)
                    if isinstance(message, Report):
                        told += message.samples
                        last = message
                assert await process.wait() == 0
        assert websocket.close_code == 1001
    assert last.discarded == "draining"
    assert sum(one.base.sent for one in told) >= 10
    assert {answer for one in told for answer in one.answers} == {"timeout"}
    # Which of them are discarded is decided by the clock, and is tested with one that is moved by hand.
    assert {one.discarded for one in told} <= {"", "draining", "lag", "late"}


async def test_a_mistake_is_one_sentence(tmp_path: Path, target: Target) -> None:
    """A port that is taken is told in one sentence, without a traceback, and the exit code is 2."""
    config = write_settings(tmp_path, listen=f"127.0.0.1:{target.port}")
    async with command("--config", config) as process, asyncio.timeout(20):
        _, said = await process.communicate()
    assert process.returncode == 2
    (line,) = said.decode().splitlines()
    assert line.startswith(f"migrate-prober: cannot listen on 127.0.0.1:{target.port}: ")


def test_settings_can_be_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checking good settings says so and ends; the path may come from the environment."""
    monkeypatch.setenv("MIGRATE_PROBER_CONFIG", write_settings(tmp_path))
    main(["--check-config"])
    assert capsys.readouterr().out == "The settings are good.\n"


def test_bad_settings_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad settings are told in one sentence, and the exit code is 2."""
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(tmp_path / "none.yaml")])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("migrate-prober: cannot read the settings")
    assert said.count("\n") == 1


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The command tells its version and ends."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("migrate-prober ")
