"""The end of the controller's process, while everything that it talks to hangs."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import yaml

from controller.__main__ import FINISH_S, TRACES_S
from controller.report.health import END_S
from controller.runtime.lease import RELEASE_S
from controller.runtime.settings import example
from tests.unit.kube.scripted_api import kubeconfig

BOARD_END_S = 0.5


def test_the_end_is_bounded() -> None:
    """Everything that the end waits for, one after the other, is less than 5 s."""
    assert FINISH_S + RELEASE_S + END_S + BOARD_END_S + TRACES_S < 5.0


async def test_sigterm_ends_a_controller_whose_servers_all_hang(tmp_path: Path) -> None:
    """With API servers, probers and collector that take every connection and say nothing, SIGTERM ends it
    well, without a traceback."""
    held: list[asyncio.StreamWriter] = []
    knocked = asyncio.Event()

    def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        knocked.set()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    token = tmp_path / "token"
    token.write_text("a-token")
    whole = yaml.safe_load(example())
    for name, cluster in whole["clusters"].items():
        (tmp_path / name).mkdir()
        access = kubeconfig(tmp_path / name, f"http://{where}")
        cluster |= {"kubeconfig": access.kubeconfig, "context": "c", "prober": f"ws://{where}"}
    whole["prober"]["token_file"] = str(token)
    receivers = tmp_path / "receivers.yaml"
    receivers.write_text(f"receivers: [{{name: ops, url: 'http://{where}/'}}]")
    whole |= {"listen": "127.0.0.1:0", "otlp_endpoint": f"http://{where}"}
    whole["notifications"] = str(receivers)
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(whole))
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controller", "--config", str(path), stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            await knocked.wait()
            program.send_signal(signal.SIGTERM)
            _, err = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
        for writer in held:
            writer.close()
        server.close()
    assert program.returncode == 0, err.decode()[-2000:]
    assert b"Traceback" not in err
    assert b"controller stopped" in err
