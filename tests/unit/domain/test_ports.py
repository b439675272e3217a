"""Which port of a Service is probed, and which Linkerd takes for TCP."""

from __future__ import annotations

from typing import Any

import pytest

from controller.domain import Port, ProbeSpec
from controller.domain.ports import is_opaque, port_to_probe, protocol_to_probe

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
        ([GRPC, PLAIN], None, GRPC),
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
    assert port_to_probe(ports, ProbeSpec(port=asked)) == port


H2C = Port("api", 9001, app_protocol="kubernetes.io/h2c")
TCP = Port("tcp-queue", 5672)
TLS = Port("https", 443)
SQL = Port("db", 5432, app_protocol="postgresql")


@pytest.mark.parametrize(
    ("ports", "asked", "port"),
    [
        ([TCP, H2C, GRPC, HTTP], None, HTTP),
        ([TCP, GRPC, H2C, WEB], None, WEB),
        ([TCP, GRPC, H2C, PLAIN], None, H2C),
        ([TCP, GRPC, PLAIN], None, GRPC),
        ([TLS, TCP, PLAIN], None, TCP),
        ([TLS], None, None),
        ([SQL], None, None),
        ([SQL], "tcp", SQL),
        ([TLS, SQL], "tcp", None),
        ([HTTP, GRPC], "grpc", GRPC),
        ([HTTP, WEB], "grpc", WEB),
        ([HTTP], "grpc", HTTP),
        ([HTTP, TCP], "h2c", None),
    ],
)
def test_port_of_a_protocol(ports: list[Port], asked: Any, port: Port | None) -> None:
    """The first port that speaks what is asked, HTTP before the rest where nothing is; never one that says
    that it speaks something else, but where it is the only one and the owner says so."""
    assert port_to_probe(ports, ProbeSpec(protocol=asked)) == port


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        (PLAIN, "http"),
        (HTTP2, "http"),
        (GRPC, "grpc"),
        (Port("grpc-api", 1), "grpc"),
        (Port("grpcish", 1), "http"),
        (Port("http2", 1), "h2c"),
        (H2C, "h2c"),
        (TCP, "tcp"),
        (Port("http", 1, app_protocol="grpc"), "grpc"),
        (Port("http", 1, app_protocol="linkerd.io/opaque"), "tcp"),
        (Port("x", 1, app_protocol="kubernetes.io/ws"), "http"),
        (TLS, None),
        (Port("https-web", 1), None),
        (SQL, None),
    ],
)
def test_protocol_of_a_port(port: Port, protocol: str | None) -> None:
    """Its appProtocol counts, else the beginning of the name, else HTTP/1.1; the owner's word before all."""
    assert protocol_to_probe(port, ProbeSpec()) == protocol
    assert protocol_to_probe(port, ProbeSpec(protocol="grpc")) == "grpc"


@pytest.mark.parametrize(
    ("port", "annotation", "opaque"),
    [
        (Port("http", 80), None, False),
        (Port("mysql", 3306), None, True),
        (Port("mysql", 3306), "80", False),
        (Port("mysql", 3306), "", False),
        (Port("http", 80), "25, 80", True),
        (Port("http", 80), "79-81", True),
        (Port("http", 80), "81-90", False),
        (Port("http", 80), "http", True),
        (Port("", 80), ",", False),
        (Port("http", 80), "80-", True),
        (Port("http", 80), "²", False),
        (Port("http", 80), "9" * 400, False),
        (Port("http", 80, app_protocol="linkerd.io/opaque"), "", True),
        (Port("http", 80, app_protocol="kubernetes.io/h2c"), None, False),
    ],
)
def test_what_is_opaque(port: Port, annotation: str | None, opaque: bool) -> None:
    """A port is opaque by its appProtocol, by the Service's annotation, else by Linkerd's defaults."""
    assert is_opaque(port, annotation) is opaque
