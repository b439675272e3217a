"""The real controller and probers as subprocesses, against any two API servers."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import yaml

from deploy.servers.processes import Program
from deploy.stand_ins.mesh import EKS, LEGACY

CAP_PER_S = 2_800
"""One prober stands for the replicas of the chart, with the default cap of one."""

READY_S = 60.0
_POLL_S = 0.01
_REQUEST_S = 5.0
_VOID = re.compile(r"^migrate_prober_slices_void_total\{.*\} (\S+)$", re.MULTILINE)


class Product:
    """A controller, and a prober in each cluster where ``proxies`` names the proxies of their probes.

    ``kubeconfigs`` are those of the API servers, by cluster. Without probers the streams to them are
    dialled in vain.
    """

    def __init__(
        self,
        folder: Path,
        kubeconfigs: Mapping[str, dict[str, Any]],
        proxies: Mapping[str, str] | None = None,
        relist_s: float = 300.0,
    ) -> None:
        self._folder = folder
        self._relist_s = relist_s
        (folder / "token").write_text("a-token-of-the-benchmarks\n")
        for name, kubeconfig in kubeconfigs.items():
            self._written(f"{name}.kubeconfig", kubeconfig)
        self._ports = dict(zip((LEGACY, EKS, ""), _free_ports(3), strict=True))
        self.url = f"http://127.0.0.1:{self._ports['']}"
        self.probers = {
            name: self._program("prober", f"prober-{name}", self._prober_settings(name, proxy))
            for name, proxy in (proxies or {}).items()
        }
        self.controller = self._program("controller", "controller", self._controller_settings())

    async def __aenter__(self) -> Product:
        """Start everything, and wait until all are ready."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything."""
        await self.stop()

    async def stop(self) -> None:
        """Stop everything; a second stop does nothing."""
        await asyncio.gather(*(one.stop() for one in (self.controller, *self.probers.values())))

    async def start(self) -> float:
        """Start the probers, then the controller; give the seconds from its start until /readyz is 200."""
        for cluster, prober in self.probers.items():
            prober.start()
            await self._ready(prober, f"http://127.0.0.1:{self._ports[cluster]}/readyz")
        began_s = monotonic()
        self.controller.start()
        await self._ready(self.controller, f"{self.url}/readyz")
        return monotonic() - began_s

    def memory_mb(self) -> dict[str, float]:
        """Return the controller's resident memory now (``VmRSS``) and at its highest (``VmHWM``), in MiB."""
        text = Path(f"/proc/{self.controller.pid}/status").read_text()
        return {
            name: int(kib) / 1024
            for name, kib in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", text, re.MULTILINE)
        }

    def cpu_s(self) -> dict[str, float]:
        """Return the seconds of CPU that each program has taken so far, by its name."""
        programs = {
            "controller": self.controller,
            **{f"prober {n}": p for n, p in self.probers.items()},
        }
        return {name: _cpu_s(program.pid) for name, program in programs.items()}

    async def void_slices(self) -> float:
        """Count the slices so far that the probers did not stand behind, because they were starved."""
        found = 0.0
        async with _session() as session:
            for cluster in self.probers:
                url = f"http://127.0.0.1:{self._ports[cluster]}/metrics"
                async with session.get(url) as answer:
                    text = await answer.text()
                found += sum(float(count) for count in _VOID.findall(text))
        return found

    async def _ready(self, program: Program, url: str) -> None:
        async with asyncio.timeout(READY_S), _session() as session:
            while not await _is_200(session, url):
                if not program.running():
                    raise RuntimeError(f"it ended at its start:\n{program.tail()}")
                await asyncio.sleep(_POLL_S)

    def _program(self, module: str, name: str, settings: dict[str, Any]) -> Program:
        return Program(
            module, self._written(f"{name}.yaml", settings), self._folder / f"{name}.log"
        )

    def _written(self, name: str, value: Any) -> Path:
        path = self._folder / name
        path.write_text(yaml.safe_dump(value, sort_keys=False))
        return path

    def _prober_settings(self, cluster: str, proxy: str) -> dict[str, Any]:
        return {
            "cluster": cluster,
            "name": f"prober-{cluster}",
            "listen": f"127.0.0.1:{self._ports[cluster]}",
            "token_file": str(self._folder / "token"),
            "proxy_url": proxy,
            "cap_per_s": CAP_PER_S,
        }

    def _controller_settings(self) -> dict[str, Any]:
        return {
            "clusters": {
                name: {
                    "kubeconfig": str(self._folder / f"{name}.kubeconfig"),
                    "prober": f"ws://127.0.0.1:{self._ports[name]}",
                }
                for name in (LEGACY, EKS)
            },
            "lease": {"cluster": LEGACY},
            "prober": {
                "token_file": str(self._folder / "token"),
                "service": "prober.migrate:8080",
            },
            "listen": f"127.0.0.1:{self._ports['']}",
            "relist_s": self._relist_s,
        }


def _cpu_s(pid: int) -> float:
    """Return what a process has taken, in user and system mode (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_S))


async def _is_200(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(bound.getsockname()[1]) for bound in sockets]
    finally:
        for bound in sockets:
            bound.close()


Progress = Callable[[str], None]
"""Where a benchmark says what it is doing."""
