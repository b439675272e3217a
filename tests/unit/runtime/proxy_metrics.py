"""Counters in the shape of Linkerd's proxies, as an exporter on loopback that a test controls.

The names and labels are those of docs/mesh-facts.md, 20 and 21; the labels of the pod are those that Linkerd's
own scrape configuration sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from aiohttp import web

Labels = Mapping[str, str]


def caller(pod: str = "web-1", deployment: str = "web", namespace: str = "shop") -> dict[str, str]:
    """The labels of a pod that calls."""
    return {"namespace": namespace, "pod": pod, "deployment": deployment}


def response(backend: str, status: int = 200, **pod: str) -> tuple[str, dict[str, str]]:
    """One series of the TrafficSplit path."""
    failed = "failure" if status >= 500 else "success"
    return "response_total", {
        **caller(**pod),
        "direction": "outbound",
        "dst_namespace": "default",
        "dst_service": backend,
        "classification": failed,
        "status_code": str(status),
    }


def route(
    backend: str, status: int = 200, *, parent: str = "service-a", error: str = "", **pod: str
) -> tuple[str, dict[str, str]]:
    """One series of the HTTPRoute path."""
    return "outbound_http_route_backend_response_statuses_total", {
        **caller(**pod),
        "parent_namespace": "default",
        "parent_name": parent,
        "backend_name": backend,
        "http_status": "" if error else str(status),
        "error": error,
    }


def loops(namespace: str = "linkerd-multicluster") -> tuple[str, dict[str, str]]:
    """What a gateway counts when it refuses a request that bounced."""
    return "inbound_http_errors_total", {
        "namespace": namespace,
        "pod": "linkerd-gateway-1",
        "error": "gateway loop",
    }


def stranger(
    address: str, *, route_name: str = "default", pod: str = "a-1"
) -> tuple[str, dict[str, str]]:
    """What a pod's proxy counts of requests without an identity."""
    return "inbound_http_authz_allow_total", {
        "namespace": "default",
        "pod": pod,
        "target_addr": address,
        "tls": "no_identity",
        "no_tls_reason": "no_tls_from_remote",
        "route_name": route_name,
        "authz_name": "probe" if route_name == "probe" else "all-unauthenticated",
    }


def meshed(
    account: str, namespace: str, address: str, *, pod: str = "a-1"
) -> tuple[str, dict[str, str]]:
    """What a pod's proxy counts of requests of a service account."""
    return "inbound_http_authz_allow_total", {
        "namespace": "default",
        "pod": pod,
        "target_addr": address,
        "tls": "true",
        "client_id": f"{account}.{namespace}.serviceaccount.identity.linkerd.cluster.local",
        "route_name": "default",
        "authz_name": "all-unauthenticated",
    }


class Proxies:
    """All proxies of one cluster behind one /metrics. ``count`` adds to a counter; NaN stays NaN."""

    def __init__(self) -> None:
        self.address = ""
        self.values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.count(("proxy_build_info", {"namespace": "shop", "pod": "web-1"}), 1)
        self.scrapes = 0
        self.away = False
        self.stamped_ms: int | None = None
        """The time that every sample claims to be of; None: that of the scrape."""

    def count(self, series: tuple[str, Labels], by: float = 1) -> None:
        """Add to one counter, making it where it is not there."""
        name, labels = series
        at = (name, tuple(sorted(labels.items())))
        self.values[at] = self.values.get(at, 0.0) + by

    def drop(self, pod: str) -> None:
        """A proxy goes away with all that it counted."""
        self.values = {at: v for at, v in self.values.items() if ("pod", pod) not in at[1]}

    def text(self) -> str:
        """The page, in Prometheus's text format."""
        lines = []
        for (name, labels), value in self.values.items():
            told = ",".join(f'{label}="{text}"' for label, text in labels)
            at = "" if self.stamped_ms is None else f" {self.stamped_ms}"
            lines.append(f"{name}{{{told}}} {value}{at}")
        return "\n".join(lines) + "\n"

    async def __aenter__(self) -> Proxies:
        """Listen on a free port of loopback."""
        app = web.Application()
        app.router.add_get("/metrics", self._serve)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _serve(self, _: web.Request) -> web.Response:
        self.scrapes += 1
        if self.away:
            return web.Response(status=503)
        return web.Response(text=self.text())
