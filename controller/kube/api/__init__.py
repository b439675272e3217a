"""One cluster, as this product sees and changes it: the only user of kubernetes-asyncio.

Of the client library only the loading of credentials is used: its Watch, its leader election and its
models lose deletions, reconnect without pause, and leave an ex-leader running.
"""

from __future__ import annotations

from controller.kube.api.access import ClusterAccess, unsupported
from controller.kube.api.backoff import Backoff
from controller.kube.api.client import Client
from controller.kube.api.clock import ServerClock
from controller.kube.api.cluster import Cluster
from controller.kube.api.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    NotFound,
    Refused,
    Unavailable,
)
from controller.kube.api.events import Events, ServiceRef
from controller.kube.api.reflector import Absorb
from controller.kube.api.timings import Chance, Pace
from controller.kube.api.transport import Meter

__all__ = [
    "Absorb",
    "AlreadyExists",
    "ApiError",
    "Backoff",
    "Chance",
    "Client",
    "Cluster",
    "ClusterAccess",
    "Conflict",
    "Events",
    "Meter",
    "NotFound",
    "Pace",
    "Refused",
    "ServerClock",
    "ServiceRef",
    "Unavailable",
    "unsupported",
]
