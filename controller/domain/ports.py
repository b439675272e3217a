"""Which port of a Service is probed, and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from controller.domain import Port, ProbeSpec
from prober.contract import Protocol

SERVER_FIRST = frozenset({25, 587, 3306, 4444, 5432, 6379, 9300, 11211})
"""Where the server speaks first, so that Linkerd takes them for TCP unless told otherwise (its defaults)."""

OPAQUE_PROTOCOLS = frozenset({"linkerd.io/opaque", "linkerd.io/tcp"})
"""Values of ``appProtocol`` by which Linkerd looks for no HTTP."""


_BY_APP_PROTOCOL: dict[str, Protocol] = {
    "http": "http",
    "kubernetes.io/ws": "http",
    "kubernetes.io/h2c": "h2c",
    "http2": "h2c",
    "grpc": "grpc",
    "tcp": "tcp",
    "linkerd.io/tcp": "tcp",
    "linkerd.io/opaque": "tcp",
}
_BY_NAME: dict[str, Protocol] = {
    "http": "http",
    "h2c": "h2c",
    "http2": "h2c",
    "grpc": "grpc",
    "tcp": "tcp",
}
"""The beginning of a port's name, up to a dash: ``grpc``, ``grpc-api``."""

_OTHER = frozenset({"https", "tls", "kubernetes.io/wss"})
"""Names that say that a port speaks what probes do not; an ``appProtocol`` that is not above does, too."""

_HTTP_NUMBERS = (80, 8080)


def port_to_probe(ports: Sequence[Port], probe: ProbeSpec) -> Port | None:
    """Return the port asked for by name or number, else the first that speaks the protocol asked for, or HTTP,
    else one of another protocol that can be probed; None where none fits.

    A port says what it speaks by its ``appProtocol``, else by its name. One that says nothing is taken for
    HTTP by the number 80 or 8080, or by being the only one.
    """
    tcp = [port for port in ports if port.protocol == "TCP"]
    if probe.port is not None:
        return next((port for port in tcp if probe.port in (port.name, port.number)), None)
    if not probe.protocol:
        return _first(tcp, ("http", "", "h2c", "grpc", "tcp"))
    only = tcp[0] if len(tcp) == 1 else None
    return _first(tcp, (probe.protocol, "")) or only  # what the owner says counts


def _first(tcp: Sequence[Port], spoken: Sequence[Protocol | Literal[""]]) -> Port | None:
    """Return the first port that says the first of these that any says, "" standing for none of them."""
    only = len(tcp) == 1
    for protocol in spoken:
        for port in tcp:
            if _said(port) == protocol and (protocol or only or port.number in _HTTP_NUMBERS):
                return port
    return None


def protocol_to_probe(port: Port, probe: ProbeSpec) -> Protocol | None:
    """Return how a port is probed: as the owner says, else as the port does, else by HTTP/1.1.

    None where the port says that it speaks what probes do not.
    """
    if probe.protocol:
        return probe.protocol
    said = _said(port)
    if said == "other":
        return None
    return said or "http"


def _said(port: Port) -> Protocol | Literal["other", ""]:
    """Return what a port says that it speaks, "" where it does not."""
    if port.app_protocol:
        return _BY_APP_PROTOCOL.get(port.app_protocol, "other")
    name = port.name.partition("-")[0]
    return "other" if name in _OTHER else _BY_NAME.get(name, "")


def is_opaque(port: Port, opaque_ports: str | None) -> bool:
    """Return whether Linkerd takes this port for TCP: then a connection stays where it began (facts 14).

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
