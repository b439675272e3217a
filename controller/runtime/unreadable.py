"""Objects of one cluster that are there and are not of their kind's shape. No I/O and no clock.

What cannot be read is unknown, never absent: what was known of it before stays, nobody rises and nothing is made
by it, and it is named to people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controller.domain import Key
from controller.kube.objects import Resource, Undecodable
from controller.mesh import pin
from controller.mesh.splits.kinds import PROVIDER_OF

DECIDES_NOTHING = frozenset({Resource.MIGRATIONS})
"""What people are told; a decision is made without it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Of whom it is asked: a Service, with the name of its mirror, in a cluster of this DNS domain, and whether it has
    a split there that can be read."""

    key: Key
    mirror: str
    domain: str
    has_split: bool


class UnreadableObjects:
    """By resource and name; each with the Services that it was about when it could be read."""

    def __init__(self) -> None:
        self._found: dict[tuple[Resource, str, str], tuple[Undecodable, frozenset[Key]]] = {}

    def note(self, resource: Resource, found: Undecodable, about: Iterable[Key]) -> None:
        """Note that an object cannot be read; before, it was about these Services."""
        self._found[resource, found.namespace, found.name] = (found, frozenset(about))

    def clear(self, resource: Resource, namespace: str, name: str) -> bool:
        """Note that an object can be read, or is gone; report whether it was among these."""
        return self._found.pop((resource, namespace, name), None) is not None

    def version(self, resource: Resource, namespace: str, name: str) -> str:
        """Return the version of an object that cannot be read, "" of one that can."""
        known = self._found.get((resource, namespace, name))
        return known[0].resource_version if known else ""

    def names(self, resource: Resource) -> set[tuple[str, str]]:
        """Return the names of all of a resource."""
        return {(namespace, name) for kind, namespace, name in self._found if kind is resource}

    def why(self, asked: Asked) -> str:
        """Return which object that may be about a Service cannot be read, and why, "" where each can be."""
        for (resource, namespace, name), (found, about) in sorted(self._found.items()):
            if resource in DECIDES_NOTHING:
                continue
            if asked.key in about or _may_be_about(resource, found, asked):
                return f"{resource} {name} in {namespace} cannot be read: {found.message}"
        return ""


def _may_be_about(resource: Resource, found: Undecodable, asked: Asked) -> bool:
    """Return whether an object may be about a Service, by all that can be told of one that cannot be read."""
    key = asked.key
    if resource is Resource.SERVICEPROFILES:
        return pin.key_of(found.name, asked.domain) == key
    if found.namespace != key.namespace:
        return False
    if resource is Resource.ENDPOINTSLICES and found.service:
        return found.service in (key.service, asked.mirror)
    if resource in PROVIDER_OF and not asked.has_split:
        return True  # it may be the split that would be made beside it
    if resource in (Resource.SERVICES, Resource.ENDPOINTSLICES) and _is_of(
        found.name, asked.mirror
    ):
        return True
    return (
        found.name == key.service
        if resource is Resource.SERVICES
        else _is_of(found.name, key.service)
    )


def _is_of(name: str, service: str) -> bool:
    """Return whether a name is a Service's, or made of it as names of slices and of our routes are."""
    return name == service or name.startswith((f"{service}-", f"{service}."))
