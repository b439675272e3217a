"""Which port of a Service is probed and how, and what the mesh takes a port for: two questions, two answers.

A port with ``appProtocol: grpc`` is probed by gRPC, and is TCP to Linkerd: nobody obeys an HTTPRoute there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from controller.domain import Port, ProbeSpec
from prober.contract import Protocol

SERVER_FIRST = frozenset({25, 587, 3306, 4444, 5432, 6379, 9300, 11211})
"""Where the server speaks first, so that Linkerd takes them for TCP unless told otherwise (its defaults)."""

_TAKEN = {
    "http": "HTTP/1",
    "kubernetes.io/h2c": "HTTP/2",
    "linkerd.io/opaque": "TCP",
    "linkerd.io/tcp": "TCP",
}
"""What Linkerd takes a port for by its ``appProtocol`` in lower case; TCP by any other (facts 24)."""

_HTTP_2 = frozenset({"grpc", "h2", "h2c", "http2"})
"""Values by which people mean what Linkerd calls ``kubernetes.io/h2c``."""

_NEVER_HTTP = frozenset({"https", "ssl", "tcp", "tls", "wss"})
_OTHERS = frozenset(
    "amqp amqps cassandra cql ftp kafka ldap ldaps memcache memcached mongo mongodb mqtt mqtts mssql mysql nats pg"  # noqa: SIM905 - words
    " postgres postgresql psql redis rediss sftp smtp smtps sql ssh zk zookeeper".split()
)
_OF_HTTP = frozenset(
    "admin api console dashboard exporter health http management metrics mgmt monitor monitoring prometheus stats"  # noqa: SIM905 - words
    " ui web".split()
)
"""Words in the names of ports: where no connection begins as HTTP in clear text; of what else is spoken there; and
what is HTTP beside it, as in ``redis-metrics``."""

_NO_HTTP_NUMBERS = frozenset(
    {22, 389, 443, 636, 1433, 1521, 1883, 2181, 4222, 5671, 5672, 8883, 9042, 9092, 27017}
)
"""Where a port has no name: numbers of TLS, SSH, LDAP, databases, queues."""


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
    name = port.name.partition("-")[0]
    if port.app_protocol:
        said = _BY_APP_PROTOCOL.get(port.app_protocol.lower())
        if said == "h2c" and name == "grpc":
            return "grpc"  # Linkerd knows no appProtocol for it but that of HTTP/2
        return said or "other"
    return "other" if name in _OTHER else _BY_NAME.get(name, "")


def taken_for(app_protocol: str) -> str:
    """Return what Linkerd takes a port for by its ``appProtocol``: HTTP/1, HTTP/2 or TCP; "" without one, where
    each connection is what it begins as."""
    return _TAKEN.get(app_protocol.lower(), "TCP") if app_protocol else ""


def asked_of(port: Port, ports: Sequence[Port], probe: ProbeSpec) -> Protocol | None:
    """Return the owner's word on what one of a Service's ports speaks: ``probe-protocol``, of the port it is for."""
    return probe.protocol if port_to_probe(ports, probe) == port else None


def is_opaque(port: Port, opaque_ports: str | None, asked: Protocol | None = None) -> bool:
    """Return whether the port is TCP to Linkerd: then a connection stays where it began (facts 14)."""
    return bool(why_no_route(port, opaque_ports, asked))


def why_no_route(port: Port, opaque_ports: str | None, asked: Protocol | None = None) -> str:
    """Return why Linkerd obeys no HTTPRoute on a port, and what to write; "" where it does (facts 24).

    ``opaque_ports`` is the Service's annotation (``4242,5000-5010``, or names); None: Linkerd's defaults hold.
    It counts beside an ``appProtocol``: the policy controller passes it over, a client's profile does not. ``asked`` is
    what its owner says that it is probed by, which counts more than its name (:func:`asked_of`).
    """
    if taken_for(port.app_protocol) == "TCP":
        return (
            f"port {port.number} is TCP to Linkerd by its appProtocol {_instead(port.app_protocol)}"
        )
    if opaque_ports is not None:
        if any(_names(part.strip(), port) for part in opaque_ports.split(",")):
            return f"port {port.number} is TCP to Linkerd by config.linkerd.io/opaque-ports"
    elif port.number in SERVER_FIRST:
        return (
            f"port {port.number} is one that Linkerd takes for TCP: where it speaks HTTP, annotate the Service"
            ' with config.linkerd.io/opaque-ports=""'
        )
    if not port.app_protocol and not _begins_as_http(port, asked):
        called = f" ({port.name})" if port.name else ""
        how = "is probed by tcp" if asked == "tcp" else "speaks no HTTP by its name or number"
        return (
            f"port {port.number}{called} {how}, so Linkerd finds TCP in its connections: where it speaks HTTP,"
            " write its appProtocol, http or kubernetes.io/h2c"
        )
    return ""


def _instead(app_protocol: str) -> str:
    """Return an ``appProtocol`` that is TCP to Linkerd, and what to write for one that is not."""
    if app_protocol.lower() in _HTTP_2:
        return f"{app_protocol}: write kubernetes.io/h2c, or none"
    if app_protocol.lower() in _TAKEN:
        return app_protocol
    return f"{app_protocol}: where it speaks HTTP, write http, kubernetes.io/h2c or none"


def _begins_as_http(port: Port, asked: Protocol | None) -> bool:
    """Return whether connections to a port without ``appProtocol`` are likely to begin as HTTP."""
    if asked:
        return asked != "tcp"
    if not port.name:
        return port.number not in _NO_HTTP_NUMBERS
    words = set(port.name.lower().split("-"))
    if words & _NEVER_HTTP:
        return False
    return _said(port) in ("http", "h2c", "grpc") or not words & _OTHERS or bool(words & _OF_HTTP)


def _names(part: str, port: Port) -> bool:
    low, _, high = part.partition("-")
    if low.isdecimal() and (high or low).isdecimal() and len(part) < 12:
        return int(low) <= port.number <= int(high or low)
    return bool(part) and part == port.name
