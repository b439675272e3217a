"""The real pair as a tenant of this machine: found, started, shown when it fails, and gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from deploy.servers import kube_apiserver
from deploy.servers.kube_apiserver import RealApi, find_binaries
from deploy.servers.processes import ServerFailed

_PARENT = """
import asyncio, sys
from deploy.servers.kube_apiserver import RealApi

async def main():
    async with RealApi("orphan") as api:
        print(*api.pids().values(), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def _until_gone(pids: list[int]) -> None:
    async with asyncio.timeout(10):
        # Nothing tells a process that another's child has ended.
        while any(_is_running(pid) for pid in pids):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def _fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that KUBEBUILDER_ASSETS names."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    return tmp_path


async def test_missing_binaries_are_told(assets: Path) -> None:
    """A folder that lacks one of the two is none, and a start says how to get them."""
    _fake(assets, "etcd", "exit 0")
    assert find_binaries() is None
    with pytest.raises(ServerFailed, match="`make tools` builds them"):
        await RealApi("legacy").start()
    _fake(assets, "kube-apiserver", "exit 0")
    assert find_binaries() == assets


async def test_server_that_ends_shows_its_log(assets: Path) -> None:
    """When a server ends before it is ready, the error has the end of its log."""
    _fake(assets, "etcd", "exec sleep 60")
    _fake(assets, "kube-apiserver", "echo no such flag; exit 3")
    with pytest.raises(ServerFailed, match=r"(?s)kube-apiserver ended with 3\n.*no such flag"):
        await RealApi("legacy").start()


async def test_server_that_never_gets_ready_is_given_up(
    assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a server does not become ready in time both are killed, and the log is shown."""
    monkeypatch.setattr(kube_apiserver, "_READY_S", 0.5)
    _fake(assets, "etcd", "echo $$ >$0.pid; exec sleep 60")
    _fake(assets, "kube-apiserver", "echo still thinking; exec sleep 60")
    with pytest.raises(ServerFailed, match=r"(?s)was not ready in .*still thinking"):
        await RealApi("legacy").start()
    await _until_gone([int((assets / "etcd.pid").read_text())])


async def test_lifetime_bounds_both(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its lifetime the pair is killed, whatever its owner does."""
    _fake(assets, "etcd", "exec sleep 60")
    _fake(assets, "kube-apiserver", "exec sleep 60")
    with pytest.raises(ServerFailed, match=r"ended with -9"):
        await RealApi("legacy", lifetime_s=0.2).start()


@pytest.mark.real
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child its parent died")
@pytest.mark.usefixtures("real_server")
async def test_pair_dies_with_its_parent(tmp_path: Path) -> None:
    """When the process that started them is killed, etcd and kube-apiserver are killed too."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PARENT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert parent.stdout is not None
    async with asyncio.timeout(60):
        pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
    assert len(pids) == 2
    assert all(_is_running(pid) for pid in pids)
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    await _until_gone(pids)
