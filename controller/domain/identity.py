"""What a migration is called, and the constants of its shares.

Shares and weights are integers per mille (0 to 1,000) of one cluster's calls.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

PREFIX = "migrate.tradeshift/"

STEPS_BEFORE = "kubectl.migrate.tradeshift/steps"
"""The annotation in which ``kubectl migrate start --now`` keeps what it writes over; nothing is decided from it."""

"""Of every annotation that is ours."""


FIELD_MANAGER = "migrate-controller"
"""The field manager of all our writes: by it the API server records them in managed fields."""

WHOLE = 1000
"""All of a cluster's calls, in per mille."""


SOAK_SHARE = 999
"""The share of the soak: the last per mille stays at the origin as a path back (facts 16)."""


class Key(NamedTuple):
    """A Service by name: the same name in both clusters is one migration."""

    namespace: str
    service: str

    def __str__(self) -> str:
        """Return the usual ``namespace/name``."""
        return f"{self.namespace}/{self.service}"


PLATFORM_NAMESPACES = ("kube-", "linkerd")
"""Beginnings of the namespaces that are Kubernetes' or the mesh's own."""


OWN_LABEL = ("app.kubernetes.io/part-of", "mesh-migrate")
"""On the controller's and the probers' own Services, wherever the chart put them."""


def is_of_the_platform(key: Key) -> bool:
    """Return whether a Service is Kubernetes' or the mesh's own, which nobody moves."""
    return key.namespace.startswith(PLATFORM_NAMESPACES) or key == ("default", "kubernetes")


class SplitKind(StrEnum):
    """The object that holds the weights."""

    TRAFFICSPLIT = "trafficsplit"
    HTTPROUTE = "httproute"

    @property
    def api_kind(self) -> str:
        """The kind as the API and people write it."""
        return {"trafficsplit": "TrafficSplit", "httproute": "HTTPRoute"}[self.value]

    @property
    def api_group(self) -> str:
        """The API group that serves it."""
        return {"trafficsplit": "split.smi-spec.io", "httproute": "gateway.networking.k8s.io"}[
            self.value
        ]


class Phase(StrEnum):
    """Where a migration stands (docs/concepts.md)."""

    PENDING = "Pending"
    PROGRESSING = "Progressing"
    HOLDING = "Holding"
    SOAKING = "Soaking"
    COMPLETED = "Completed"
    REVERTING = "Reverting"
    REVERTED = "Reverted"
