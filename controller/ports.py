"""Which port of a Service is probed."""

from __future__ import annotations

from collections.abc import Sequence

from controller.model import Port


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
