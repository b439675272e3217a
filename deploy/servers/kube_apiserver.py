"""A real kube-apiserver with its etcd, as a throw-away API server on loopback.

The binaries come from the Go module in tests/real/tools (`make tools`), or from the folder that
KUBEBUILDER_ASSETS names. No controller-manager runs: namespaces are never finalized, nothing is
garbage collected, no EndpointSlice is made for a Service.
"""

from __future__ import annotations

import os
import secrets
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from deploy.servers.processes import ServerFailed, Servers
from deploy.stand_ins.apiserver.kubeconfig import kubeconfig
from deploy.stand_ins.apiserver.resources import crd_documents
from deploy.stand_ins.apiserver.server import NAMESPACES, namespace_metadata

_REPOSITORY = Path(__file__).resolve().parents[2]
_BINARIES = ("etcd", "kube-apiserver")
_READY_S = 60.0
_REQUEST_S = 10.0

MISSING = (
    "etcd and kube-apiserver are missing: `make tools` builds them into .tools/bin (about 8 "
    "minutes), or set KUBEBUILDER_ASSETS to a folder that holds both"
)


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
    `lifetime_s` in any case. `flags` are more of kube-apiserver's, and win.
    """

    def __init__(
        self,
        name: str,
        *,
        namespaces: tuple[str, ...] = NAMESPACES,
        lifetime_s: float = 3600.0,
        flags: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.url = ""
        self.tokens = (secrets.token_urlsafe(24),)
        self._namespaces = namespaces
        self._lifetime_s = lifetime_s
        self._flags = flags
        self._servers: Servers | None = None
        self._etcd_url = ""

    async def start(self) -> str:
        """Start both, wait until everything is served, return the URL; raises ServerFailed."""
        binaries = find_binaries()
        if binaries is None:
            raise ServerFailed(MISSING)
        servers = self._servers = Servers(self.name, self._lifetime_s)
        async with servers.starting(_READY_S):
            self._launch(servers, binaries)
            await servers.until(self._is_ready)
            async with self.session() as session:
                served = await self._fill(session)
                await servers.until(lambda: _are_served(session, served))
        return self.url

    async def stop(self) -> None:
        """Kill both and remove their files; a second stop does nothing."""
        servers, self._servers = self._servers, None
        if servers is not None:
            await servers.stop()

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
        return self._servers.pids() if self._servers else {}

    def _launch(self, servers: Servers, binaries: Path) -> None:
        folder = servers.folder
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
            f"--service-account-issuer={self.url}",
            f"--service-account-jwks-uri={self.url}/openid/v1/jwks",
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
            *self._flags,
        ]
        for name, command in zip(_BINARIES, (etcd, apiserver), strict=True):
            servers.start(name, command)

    def _certificate(self) -> Path:
        if self._servers is None:
            raise ServerFailed(f"{self.name} is not started")
        return self._servers.folder / "certificates" / "apiserver.crt"

    async def _is_ready(self) -> bool:
        try:
            async with self.session() as session, session.get("/readyz") as response:
                return response.status == 200
        except (OSError, ssl.SSLError, aiohttp.ClientError):
            return False

    async def _fill(self, session: aiohttp.ClientSession) -> list[str]:
        """Make CRDs and namespaces; give the paths that are served once all of it is."""
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
            await self._create(
                session, "/api/v1/namespaces", {"metadata": namespace_metadata(namespace)}
            )
        return served

    async def _create(
        self, session: aiohttp.ClientSession, path: str, body: dict[str, Any]
    ) -> None:
        async with session.post(path, json=body) as response:
            # 409: kube-apiserver makes some namespaces itself.
            if response.status not in (201, 409):
                raise ServerFailed(
                    f"{self.name}: POST {path}: {response.status} {await response.text()}"
                )


async def _are_served(session: aiohttp.ClientSession, paths: Sequence[str]) -> bool:
    for path in paths:
        async with session.get(path) as response:
            if response.status != 200:
                return False
    return True


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(bound.getsockname()[1]) for bound in sockets]
    finally:
        for bound in sockets:
            bound.close()
