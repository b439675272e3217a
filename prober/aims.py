"""Where probes may go: nowhere that a cloud, a node or the API server keeps for itself. Pure.

A literal address is checked when it is assigned, what a name resolves to before each connection, which then goes to
the very address that was checked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from prober.contract import Address, why_never_probed

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ForbiddenError(Exception):
    """A name leads where probes never go; its text is a sentence for people."""


class Aims:
    """What may be asked. ``allowed`` are networks that are probed whatever they are, ``own`` is the API server."""

    def __init__(self, allowed: Iterable[Network] = (), own: str = "") -> None:
        self._allowed = tuple(allowed)
        self._own = parsed(own)

    def why_not(self, address: Address) -> str:
        """Return what an address is that must not be asked, "" where it may be."""
        why = "the API server" if address == self._own else why_never_probed(address)
        return "" if why and any(address in network for network in self._allowed) else why

    def check(self, name: str, found: str) -> None:
        """Raise :class:`ForbiddenError` where ``name`` resolved to an address that must not be asked."""
        address = parsed(found)
        why = self.why_not(address) if address else "no address"
        if why:
            raise ForbiddenError(f"{name} leads to {found}, {why}: it is not asked")


def parsed(text: str) -> Address | None:
    """Read a literal address, in its one usual form and without a zone; None for anything else."""
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


CLOSED = Aims()
