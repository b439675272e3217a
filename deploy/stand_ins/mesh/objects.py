"""Objects that the world needs, as plain dicts: Services, EndpointSlices."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from deploy.stand_ins.mesh.config import DOMAIN, EXPORTED, SERVICE_NAME, Key

NO_PORTS: Mapping[str, int] = MappingProxyType({})
"""Of a Service that has one port, and none beside it."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod as its EndpointSlice tells it; ``ip`` in pod form."""

    name: str
    ip: str
    ready: bool = True
    terminating: bool = False


def service_object(
    key: Key,
    port: int = 80,
    *,
    exported: bool = True,
    annotations: Mapping[str, str] | None = None,
    app_protocol: str | None = None,
    selects: str | None = None,
    headless: bool = False,
    beside: Mapping[str, int] = NO_PORTS,
) -> dict[str, Any]:
    """Return a Service of one port, and of those ``beside`` it by name; its pods' own are the business of its slices.

    ``selects``: the app whose pods it has, where that is not the Service's own name.
    """
    namespace, name = key
    port_spec = {"name": "http", "port": port, "protocol": "TCP"}
    if app_protocol is not None:
        port_spec["appProtocol"] = app_protocol
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": name, **({EXPORTED: "true"} if exported else {})},
            "annotations": dict(annotations or {}),
        },
        "spec": {
            "selector": {"app": selects or name},
            "ports": [port_spec, *_ports(beside)],
            **({"clusterIP": "None"} if headless else {}),
        },
    }


def slice_object(
    key: Key,
    pods: Iterable[Pod],
    port: int,
    *,
    port_name: str = "http",
    beside: Mapping[str, int] = NO_PORTS,
) -> dict[str, Any]:
    """Return the EndpointSlice of a Service's pods, all listening on the same port, and on those ``beside`` it."""
    namespace, name = key
    return {
        "metadata": {
            "name": slice_name(name),
            "namespace": namespace,
            "labels": {
                SERVICE_NAME: name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [pod.ip],
                "conditions": {
                    "ready": pod.ready,
                    "serving": True,
                    "terminating": pod.terminating,
                },
                "targetRef": {"kind": "Pod", "name": pod.name, "namespace": namespace},
            }
            for pod in pods
        ],
        "ports": [*_ports({port_name: port}), *_ports(beside)],
    }


def _ports(named: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"name": name, "port": port, "protocol": "TCP"} for name, port in named.items()]


def link_object(
    cluster: str, gateway_ip: str, identity: str, domain: str = DOMAIN
) -> dict[str, Any]:
    """Return the Link to a cluster, as ``linkerd multicluster link-gen`` makes it: what the other cluster's
    Services must be labelled to be mirrored here, and where its gateway is."""
    return {
        "metadata": {"name": cluster, "namespace": "linkerd-multicluster"},
        "spec": {
            "targetClusterName": cluster,
            "targetClusterDomain": domain,
            "targetClusterLinkerdNamespace": "linkerd",
            "clusterCredentialsSecret": f"cluster-credentials-{cluster}",
            "gatewayAddress": gateway_ip,
            "gatewayPort": "4143",
            "gatewayIdentity": identity,
            "probeSpec": {
                "failureThreshold": "3",
                "path": "/ready",
                "period": "3s",
                "port": "4191",
                "timeout": "30s",
            },
            "selector": {"matchLabels": {EXPORTED: "true"}},
        },
    }


def slice_name(service: str) -> str:
    """Return the name of a Service's one EndpointSlice: the Service's own and five characters."""
    return f"{service}-{hashlib.sha256(service.encode()).hexdigest()[:5]}"
