"""A real kube-apiserver with its etcd, as a throw-away API server on loopback.

The binaries come from the Go module in tests/real/tools (`make tools`), or from the folder that
KUBEBUILDER_ASSETS names. No controller-manager runs: namespaces are never finalized, nothing is
garbage collected, no EndpointSlice is made for a Service.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from deploy.local.apiserver.kubeconfig import kubeconfig
from deploy.local.apiserver.resources import crd_documents
from deploy.local.apiserver.server import NAMESPACES
from deploy.local.processes import spawn

_REPOSITORY = Path(__file__).resolve().parents[2]
_BINARIES = ("etcd", "kube-apiserver")
_READY_S = 60.0
_REQUEST_S = 10.0
_POLL_S = 0.1
_LOG_TAIL_LINES = 25

MISSING = (
    "etcd and kube-apiserver are missing: `make tools` builds them into .tools/bin (about 8 "
    "minutes), or set KUBEBUILDER_ASSETS to a folder that holds both"
)


class RealApiFailed(Exception):  # noqa: N818 - it is the finding
    """The binaries are missing, or a server did not become ready; the text says which and why."""


def find_binaries() -> Path | None:
    """Return the folder that holds both binaries, or None. KUBEBUILDER_ASSETS wins when set."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    folder = Path(named) if named else _REPOSITORY / ".tools" / "bin"
    return folder if all(os.access(folder / name, os.X_OK) for name in _BINARIES) else None


class RealApi:
    """etcd and kube-apiserver as child processes, with the CRDs and namespaces of a local cluster.

    Has the surface of EmbeddedApi as far as a client in another process could tell: `name`, `url`,
    `tokens` (one, of system:masters), `kubeconfig`, `compact`. Each start is a new, empty server.

    The children end with `stop`, with this process however it dies (on Linux), and after
    `lifetime_s` in any case.
    """

    def __init__(
        self, name: str, *, namespaces: tuple[str, ...] = NAMESPACES, lifetime_s: float = 3600.0
    ) -> None:
        self.name = name
        self.url = ""
        self.tokens = (secrets.token_urlsafe(24),)
        self._namespaces = namespaces
        self._lifetime_s = lifetime_s
        self._children: list[subprocess.Popen[bytes]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._etcd_url = ""
        self._lifetime: threading.Timer | None = None

    async def start(self) -> str:
        """Start both, wait until everything is served, return the URL; raises RealApiFailed."""
        binaries = find_binaries()
        if binaries is None:
            raise RealApiFailed(MISSING)
        self._folder = tempfile.TemporaryDirectory(prefix="realapi-")
        try:
            self._launch(binaries, Path(self._folder.name))
            async with asyncio.timeout(_READY_S):
                await self._until(self._is_ready)
                async with self.session() as session:
                    await self._fill(session)
        except TimeoutError:
            told = f"{self.name}: kube-apiserver was not ready in {_READY_S:.0f} s\n{self._tail()}"
            await self.stop()
            raise RealApiFailed(told) from None
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def stop(self) -> None:
        """Kill both and remove their files; a second stop does nothing."""
        if self._lifetime is not None:
            self._lifetime.cancel()
        self._kill()
        for child in self._children:
            await asyncio.to_thread(child.wait)
        self._children = []
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def __aenter__(self) -> RealApi:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def kubeconfig(self) -> dict[str, Any]:
        """Return a kubeconfig of an administrator; only after `start`."""
        return kubeconfig(self.name, self.url, self.tokens[0], self.ca_pem())

    def ca_pem(self) -> bytes:
        """Return what the server's certificate is checked against."""
        return self._certificate().read_bytes()

    def session(self) -> aiohttp.ClientSession:
        """Return a client of this server, with certificate, token and deadlines set."""
        context = ssl.create_default_context(cadata=self.ca_pem().decode())
        return aiohttp.ClientSession(
            self.url,
            connector=aiohttp.TCPConnector(ssl=context),
            headers={"Authorization": f"Bearer {self.tokens[0]}"},
            timeout=aiohttp.ClientTimeout(total=_REQUEST_S),
        )

    async def compact(self) -> None:
        """Compact etcd up to now, through the JSON gateway of its gRPC interface."""
        timeout = aiohttp.ClientTimeout(total=_REQUEST_S)
        async with aiohttp.ClientSession(self._etcd_url, timeout=timeout) as session:
            async with session.post("/v3/kv/range", json={"key": "AA=="}) as response:
                revision = (await response.json())["header"]["revision"]
            wanted = {"revision": revision, "physical": True}
            async with session.post("/v3/kv/compaction", json=wanted) as response:
                response.raise_for_status()

    def pids(self) -> dict[str, int]:
        """Return the process ids by the name of the binary."""
        return {name: child.pid for name, child in zip(_BINARIES, self._children, strict=False)}

    def _launch(self, binaries: Path, folder: Path) -> None:
        etcd_port, api_port = _free_ports(2)
        self._etcd_url = f"http://127.0.0.1:{etcd_port}"
        self.url = f"https://127.0.0.1:{api_port}"
        tokens = folder / "tokens.csv"
        tokens.write_text(f'{self.tokens[0]},admin,admin,"system:masters"\n')
        etcd = [
            str(binaries / "etcd"),
            f"--data-dir={folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--log-level=warn",
        ]
        # kube-apiserver makes its own serving certificate; its key also signs service account
        # tokens, which nobody here asks for but which it does not start without.
        key = self._certificate().with_suffix(".key")
        apiserver = [
            str(binaries / "kube-apiserver"),
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={api_port}",
            f"--cert-dir={key.parent}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            # It would wait for accounts that only a controller-manager makes.
            "--disable-admission-plugins=ServiceAccount",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
            "--profiling=false",
        ]
        self._children = [
            spawn(command, folder / f"{name}.log")
            for name, command in zip(_BINARIES, (etcd, apiserver), strict=True)
        ]
        self._lifetime = threading.Timer(self._lifetime_s, self._kill)
        self._lifetime.daemon = True
        self._lifetime.start()

    def _certificate(self) -> Path:
        if self._folder is None:
            raise RealApiFailed(f"{self.name} is not started")
        return Path(self._folder.name) / "certificates" / "apiserver.crt"

    def _kill(self) -> None:
        for child in self._children:
            child.kill()

    def _tail(self) -> str:
        if self._folder is None:
            return ""
        told: list[str] = []
        for name in _BINARIES:
            log = Path(self._folder.name) / f"{name}.log"
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            told += [f"--- {name}", *lines[-_LOG_TAIL_LINES:]]
        return "\n".join(told)

    async def _until(self, holds: Callable[[], Any]) -> None:
        """Poll a condition; the caller's deadline bounds it."""
        while not await holds():
            for name, child in zip(_BINARIES, self._children, strict=True):
                if child.poll() is not None:
                    raise RealApiFailed(
                        f"{self.name}: {name} ended with {child.returncode}\n{self._tail()}"
                    )
            await asyncio.sleep(_POLL_S)

    async def _is_ready(self) -> bool:
        try:
            async with self.session() as session, session.get("/readyz") as response:
                return response.status == 200
        except (OSError, ssl.SSLError, aiohttp.ClientError):
            return False

    async def _fill(self, session: aiohttp.ClientSession) -> None:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        served: list[str] = []
        for crd in crd_documents():
            await self._create(session, path, crd)
            spec = crd["spec"]
            served += [
                f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}"
                for version in spec["versions"]
                if version["served"]
            ]
        for namespace in self._namespaces:
            await self._create(session, "/api/v1/namespaces", {"metadata": {"name": namespace}})

        async def all_served() -> bool:
            for listed in served:
                async with session.get(listed) as response:
                    if response.status != 200:
                        return False
            return True

        await self._until(all_served)

    async def _create(
        self, session: aiohttp.ClientSession, path: str, body: dict[str, Any]
    ) -> None:
        async with session.post(path, json=body) as response:
            # 409: kube-apiserver makes some namespaces itself.
            if response.status not in (201, 409):
                raise RealApiFailed(
                    f"{self.name}: POST {path}: {response.status} {await response.text()}"
                )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(bound.getsockname()[1]) for bound in sockets]
    finally:
        for bound in sockets:
            bound.close()
