"""The canary: a split that is for nobody, by which one sees whether anybody makes its kind mean something.

Before the first split of a kind is made in a cluster, one is made in the gateway's namespace, for a Service that
does not exist. The SMI adaptor writes a ServiceProfile for any TrafficSplit, whether or not there is such a Service
(read in its source, ``pkg/adaptor/controller.go``); Linkerd's policy controller writes the status of any HTTPRoute
with a Service as its parent, here that it knows no such parent (its ``status/src/index.rs``). Where neither happens,
the kind is served by the API server and obeyed by nobody (facts 26 and 32).
"""

from __future__ import annotations

from typing import Any

from controller.domain import FIELD_MANAGER, SplitKind

CANARY = "migrate-canary"
"""The name of the split, and of the Service that there is none of."""


def body(kind: SplitKind, gateway_namespace: str) -> dict[str, Any]:
    """Return the canary to create."""
    metadata = {
        "name": CANARY,
        "namespace": gateway_namespace,
        "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
    }
    if kind is SplitKind.TRAFFICSPLIT:
        spec: dict[str, Any] = {
            "service": CANARY,
            "backends": [{"service": CANARY, "weight": 1}],
        }
    else:
        service = {"group": "", "kind": "Service", "name": CANARY, "port": 80}
        spec = {"parentRefs": [service], "rules": [{"backendRefs": [{**service, "weight": 1}]}]}
    return {"metadata": metadata, "spec": spec}
