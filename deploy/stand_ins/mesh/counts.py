"""What proxies count, in the names of Linkerd's metrics (docs/mesh-facts.md, 20 and 21), one page per cluster.

A real proxy serves its own page, and Prometheus adds namespace, pod and deployment to what it scrapes. Here one
page has all proxies of a cluster, with those labels on it. What Linkerd drops after ten idle minutes (22)
stays here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from aiohttp import web

from deploy.stand_ins.mesh.config import Key

PORT: Final = 4191
"""Where Linkerd's proxies serve their metrics."""

_RESPONSES: Final = "response_total"
_REQUESTS: Final = "outbound_http_route_backend_requests_total"
_STATUSES: Final = "outbound_http_route_backend_response_statuses_total"
_LOOPS: Final = "inbound_http_errors_total"
_ALLOWED: Final = "inbound_http_authz_allow_total"

Series = tuple[str, tuple[tuple[str, str], ...]]


class Counts:
    """One proxy's counters. ``far`` names the cluster that a mirror of a name's suffix leads to. ``pod`` is the
    proxy's own where it is not the first of its Deployment, ``name``.

    The series of a route are those of a Service's name: two Services of one name in two namespaces are counted
    together, under the namespace of the one that was called first (28).
    """

    def __init__(self, *, namespace: str, name: str, far: str, pod: str = "") -> None:
        self._own = {"namespace": namespace, "pod": pod or f"{name}-0", "deployment": name}
        self._far = far
        self._first: dict[str, str] = {}
        self._values: Counter[Series] = Counter()
        self._add("proxy_build_info", {}, 1)

    def call(self, service: Key, backend: str, *, by_profile: bool) -> Callable[[int], None]:
        """Return what is to hear the status of the answer to one request.

        ``by_profile``: the proxy routes this name by profile and TrafficSplit, else by policy and HTTPRoute:
        only then the route's series grow (20).
        """
        if not by_profile:
            self._add(_REQUESTS, self._route(service, backend))
        return partial(self._answered, service, backend, by_profile)

    def looped(self) -> None:
        """A gateway refused a request that it had passed on before."""
        self._add(_LOOPS, {"error": "gateway loop"})

    def asked(self, address: str, client: str) -> None:
        """A request came in for the pod at ``ip:port``, by a client of this identity ("": it is not meshed)."""
        ip, _, port = address.rpartition(":")
        labels = {"target_addr": address, "target_ip": ip, "target_port": port}
        labels |= {"route_name": "default", "authz_name": "all-unauthenticated"}
        if client:
            labels |= {"tls": "true", "client_id": client}
        else:
            labels |= {"tls": "no_identity", "no_tls_reason": "no_tls_from_remote"}
        self._add(_ALLOWED, labels)

    def series(self) -> Iterator[tuple[Series, int]]:
        """Return every counter with its value."""
        yield from self._values.items()

    def _answered(self, service: Key, backend: str, by_profile: bool, status: int) -> None:
        labels = {
            "direction": "outbound",
            "dst_namespace": service[0],
            "dst_service": backend,
            "classification": "failure" if status >= 500 else "success",
            "status_code": str(status),
        }
        if backend == f"{service[1]}-{self._far}":
            labels["dst_target_cluster"] = self._far
        self._add(_RESPONSES, labels)
        if not by_profile:
            self._add(_STATUSES, {**self._route(service, backend), "http_status": str(status)})

    def _route(self, service: Key, backend: str) -> dict[str, str]:
        return {
            "parent_namespace": self._first.setdefault(service[1], service[0]),
            "parent_name": service[1],
            "backend_name": backend,
        }

    def _add(self, name: str, labels: Mapping[str, str], by: int = 1) -> None:
        self._values[name, tuple(sorted({**self._own, **labels}.items()))] += by


class MetricsPage:
    """All proxies of one cluster at ``http://<address>/metrics``."""

    def __init__(self) -> None:
        self.address = ""
        self.proxies: list[Counts] = []
        self._runner: web.AppRunner | None = None

    def add(self, counts: Counts) -> Counts:
        """Show one more proxy."""
        self.proxies.append(counts)
        return counts

    async def start(self, ip: str) -> None:
        """Listen there, on PORT. Raises OSError."""
        app = web.Application()
        app.router.add_get("/metrics", self._serve)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, ip, PORT).start()
        self.address = f"{ip}:{PORT}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, _: web.Request) -> web.Response:
        lines = [
            f"{name}{{{_text(labels)}}} {value}\n"
            for counts in self.proxies
            for (name, labels), value in counts.series()
        ]
        return web.Response(text="".join(sorted(lines)))


def _text(labels: tuple[tuple[str, str], ...]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels)
