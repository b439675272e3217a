"""The embedded API server of the local clusters.

It does what a careful client of kube-apiserver relies on, and imports nothing of the product, so
that it cannot share its bugs. `tests/real/test_api_contract.py` runs against it and the real one.
"""

from __future__ import annotations

from deploy.stand_ins.apiserver.failures import ApiError
from deploy.stand_ins.apiserver.resources import HTTP_ROUTE, Resource, known_resources
from deploy.stand_ins.apiserver.routes import Request
from deploy.stand_ins.apiserver.server import EmbeddedApi
from deploy.stand_ins.apiserver.store import Event, Store, Stored, Subscription

__all__ = [
    "HTTP_ROUTE",
    "ApiError",
    "EmbeddedApi",
    "Event",
    "Request",
    "Resource",
    "Store",
    "Stored",
    "Subscription",
    "known_resources",
]
