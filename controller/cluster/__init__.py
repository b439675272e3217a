"""One cluster, as this product sees and changes it: the only user of kubernetes-asyncio.

Of the client library only the loading of credentials is used: its Watch, its leader election and its
models lose deletions, reconnect without pause, and leave an ex-leader running.
"""

from __future__ import annotations

from controller.cluster.access import ClusterAccess
from controller.cluster.answers import (
    AlreadyExists,
    ApiError,
    Conflict,
    NotFound,
    Refused,
    Unavailable,
)
from controller.cluster.backoff import Backoff
from controller.cluster.clock import ServerClock
from controller.cluster.cluster import FIELD_MANAGER, Cluster
from controller.cluster.events import Events, ServiceRef
from controller.cluster.reflector import Absorb, Chance, Pace
from controller.cluster.transport import Meter

__all__ = [
    "FIELD_MANAGER",
    "Absorb",
    "AlreadyExists",
    "ApiError",
    "Backoff",
    "Chance",
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
]
