"""A model of two Linkerd-linked clusters, with real sockets, held to the tables of mesh-facts.json.

It imports nothing of the product, so it cannot share its bugs. Read config.py and outbound.py for what
proxies do; world.py puts a pair together.
"""

from __future__ import annotations

from deploy.stand_ins.mesh.addresses import wire
from deploy.stand_ins.mesh.config import Key
from deploy.stand_ins.mesh.gateway import Gateway
from deploy.stand_ins.mesh.kube import ApiAccess
from deploy.stand_ins.mesh.load import Load
from deploy.stand_ins.mesh.workload import Workload
from deploy.stand_ins.mesh.world import EKS, LEGACY, Mesh

__all__ = ["EKS", "LEGACY", "ApiAccess", "Gateway", "Key", "Load", "Mesh", "Workload", "wire"]
