"""What the streams of a cluster deliver, and of which resources."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.kube.objects.values import KubeObject, Undecodable


class Resource(StrEnum):
    """What is read and written, by its plural; with its group where another group has a kind of that plural."""

    SERVICES = "services"
    ENDPOINTSLICES = "endpointslices"
    TRAFFICSPLITS = "trafficsplits"
    HTTPROUTES = "httproutes"
    SERVICEPROFILES = "serviceprofiles"
    MIGRATIONS = "migrations"
    FLEETS = "fleets"
    EVENTS = "events"
    LEASES = "leases"
    NAMESPACES = "namespaces"
    LINKS = "links"
    INGRESSES = "ingresses"
    TCPROUTES = "tcproutes"
    TLSROUTES = "tlsroutes"
    GRPCROUTES = "grpcroutes"
    POLICY_HTTPROUTES = "httproutes.policy.linkerd.io"

    @property
    def plural(self) -> str:
        """The last part of its path in the API."""
        return self.value.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of a resource was asked for: what is known now is about to be replaced."""

    cluster: str
    resource: Resource


@dataclass(frozen=True, slots=True)
class Listed:
    """All that there is of a resource, of one moment: what is not in ``objects`` does not exist.

    ``served`` is false where the cluster does not know the kind at all. ``version`` is that of the list itself.
    """

    cluster: str
    resource: Resource
    objects: tuple[KubeObject | Undecodable, ...]
    served: bool = True
    version: str = ""


@dataclass(frozen=True, slots=True)
class Upserted:
    """An object that was made or changed."""

    cluster: str
    resource: Resource
    object: KubeObject | Undecodable


@dataclass(frozen=True, slots=True)
class Deleted:
    """An object that is gone; ``resource_version`` is the last one known."""

    cluster: str
    resource: Resource
    namespace: str
    name: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class Freshness:
    """Whether what was delivered of a resource is still being kept up to date; ``reason`` says why not."""

    cluster: str
    resource: Resource
    current: bool
    reason: str = ""


Change = Listing | Listed | Upserted | Deleted | Freshness
