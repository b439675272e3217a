"""A model of two Linkerd-linked clusters, with real sockets, held to the tables of mesh-facts.json.

It imports nothing of the product, so it cannot share its bugs. Read config.py and outbound.py for what
proxies do; world.py puts a pair together.
"""

from __future__ import annotations

from deploy.local.mesh.addresses import wire
from deploy.local.mesh.config import Key
from deploy.local.mesh.gateway import Gateway
from deploy.local.mesh.kube import ApiAccess
from deploy.local.mesh.load import Load
from deploy.local.mesh.workload import Workload
from deploy.local.mesh.world import EKS, LEGACY, Mesh

__all__ = ["EKS", "LEGACY", "ApiAccess", "Gateway", "Key", "Load", "Mesh", "Workload", "wire"]
