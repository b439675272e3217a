"""Which port of a Service is probed."""

from __future__ import annotations

import pytest

from controller.model import Port
from controller.ports import port_to_probe

WEB = Port("web", 8080)
HTTP = Port("http", 3000)
HTTP2 = Port("http-admin", 9000)
GRPC = Port("grpc", 50051)
APP = Port("api", 7000, app_protocol="http")
UDP = Port("http", 53, protocol="UDP")
PLAIN = Port("", 4000)


@pytest.mark.parametrize(
    ("ports", "asked", "port"),
    [
        ([GRPC, HTTP], None, HTTP),
        ([GRPC, HTTP2], None, HTTP2),
        ([GRPC, APP, HTTP], None, APP),
        ([GRPC, WEB], None, WEB),
        ([GRPC, Port("x", 80)], None, Port("x", 80)),
        ([WEB, HTTP], None, HTTP),
        ([PLAIN], None, PLAIN),
        ([GRPC, PLAIN], None, None),
        ([UDP], None, None),
        ([UDP, PLAIN], None, PLAIN),
        ([], None, None),
        ([GRPC, HTTP], "grpc", GRPC),
        ([GRPC, HTTP], 50051, GRPC),
        ([GRPC, HTTP], "admin", None),
        ([GRPC, HTTP], 1, None),
        ([UDP, GRPC], "http", None),
        ([UDP, GRPC], 53, None),
    ],
)
def test_port_to_probe(ports: list[Port], asked: str | int | None, port: Port | None) -> None:
    """The port asked for by name or number, else the first that looks like HTTP, over TCP only."""
    assert port_to_probe(ports, asked) == port
