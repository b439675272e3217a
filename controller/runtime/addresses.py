"""Which Services lead to an endpoint, by the slices that hold its address. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Iterable

from controller.domain import Key
from controller.kube.objects import EndpointSliceObject


class Addresses:
    """The slices of one cluster by address. What leads to a gateway, which all mirrors share, is left out."""

    def __init__(self) -> None:
        self._slices: dict[str, tuple[EndpointSliceObject, ...]] = {}

    def add(self, found: EndpointSliceObject) -> set[Key]:
        """Take a slice in; return the Services that have one of its addresses."""
        alone = (found,)  # one for all addresses that nobody shares: there are tens of thousands
        keys: set[Key] = set()
        for address in _addresses(found):
            others = self._slices.get(address)
            self._slices[address] = (*others, found) if others else alone
            keys |= {behind(other) for other in others or ()}
        return keys

    def remove(self, found: EndpointSliceObject) -> set[Key]:
        """Let go of a slice; return the Services that have one of its addresses."""
        keys: set[Key] = set()
        for address in _addresses(found):
            others = tuple(each for each in self._slices.get(address, ()) if each is not found)
            if others:
                self._slices[address] = others
            else:
                self._slices.pop(address, None)
            keys |= {behind(other) for other in others}
        return keys

    def is_pod(self, address: str) -> bool:
        """Return whether a Service of the cluster has a Pod at this address."""
        return any(found.by_controller for found in self._slices.get(address, ()))

    def shared(self, slices: Iterable[EndpointSliceObject]) -> set[Key]:
        """Return the Services that lead to a port of these slices at an address of theirs: their own, and others."""
        return {
            behind(other)
            for found in slices
            for address in _addresses(found)
            for other in self._slices.get(address, ())
            if _meet(found, other)
        }


def behind(found: EndpointSliceObject) -> Key:
    """Return the Service of a slice."""
    return Key(found.metadata.namespace, found.service)


def _addresses(found: EndpointSliceObject) -> set[str]:
    return set() if found.identity else {endpoint.address for endpoint in found.endpoints}


def _meet(one: EndpointSliceObject, other: EndpointSliceObject) -> bool:
    """Return whether two slices have a port in common; a headless Service that names none has all."""
    mine, theirs = ({port.number for port in found.ports} for found in (one, other))
    return not mine or not theirs or bool(mine & theirs)
