"""Which port of a Service is probed."""

from __future__ import annotations

from collections.abc import Sequence

from controller.model import Port

SERVER_FIRST = frozenset({25, 587, 3306, 4444, 5432, 6379, 9300, 11211})
"""Where the server speaks first, so that Linkerd takes them for TCP unless told otherwise (its defaults)."""

OPAQUE_PROTOCOLS = frozenset({"linkerd.io/opaque", "linkerd.io/tcp"})
"""Values of ``appProtocol`` by which Linkerd looks for no HTTP."""


def port_to_probe(ports: Sequence[Port], asked: str | int | None) -> Port | None:
    """Give the port asked for by name or number, else the first that looks like HTTP; None where none fits.

    A port looks like HTTP by its ``appProtocol`` or name, by the number 80 or 8080, or by being the only one.
    """
    tcp = [port for port in ports if port.protocol == "TCP"]
    if asked is not None:
        return next((port for port in tcp if asked in (port.name, port.number)), None)
    for port in tcp:
        if port.app_protocol == "http" or port.name == "http" or port.name.startswith("http-"):
            return port
    return next((port for port in tcp if port.number in (80, 8080) or len(tcp) == 1), None)


def is_opaque(port: Port, opaque_ports: str | None) -> bool:
    """Tell whether Linkerd takes this port for TCP: then a connection stays where it began (facts 14).

    ``opaque_ports`` is the Service's annotation (``4242,5000-5010``, or names); None: Linkerd's defaults hold.
    """
    if port.app_protocol in OPAQUE_PROTOCOLS:
        return True
    if opaque_ports is None:
        return port.number in SERVER_FIRST
    return any(_names(part.strip(), port) for part in opaque_ports.split(","))


def _names(part: str, port: Port) -> bool:
    low, _, high = part.partition("-")
    if low.isdecimal() and (high or low).isdecimal() and len(part) < 12:
        return int(low) <= port.number <= int(high or low)
    return bool(part) and part == port.name
