"""Which port of a Service is probed and how, and which Linkerd takes for TCP."""

from __future__ import annotations

from typing import Any

import pytest

from controller.domain import Port, ProbeSpec
from controller.domain.ports import (
    asked_of,
    is_opaque,
    port_to_probe,
    protocol_to_probe,
    taken_for,
    why_no_route,
)

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
        (Port("http", 1, app_protocol="GRPC"), "grpc"),
        (Port("grpc-api", 1, app_protocol="kubernetes.io/h2c"), "grpc"),
        (Port("grpc", 1, app_protocol="http"), "http"),
        (Port("x", 1, app_protocol="kubernetes.io/ws"), "http"),
        (TLS, None),
        (Port("https-web", 1), None),
        (SQL, None),
    ],
)
def test_protocol_of_a_port(port: Port, protocol: str | None) -> None:
    """Its appProtocol counts, else the beginning of the name, else HTTP/1.1; the owner's word before all.

    HTTP/2 in clear text is gRPC where the name says so.
    """
    assert protocol_to_probe(port, ProbeSpec()) == protocol
    assert protocol_to_probe(port, ProbeSpec(protocol="grpc")) == "grpc"


@pytest.mark.parametrize(
    ("app_protocol", "taken"),
    [
        ("", ""),
        ("http", "HTTP/1"),
        ("HTTP", "HTTP/1"),
        ("kubernetes.io/h2c", "HTTP/2"),
        ("Kubernetes.io/H2C", "HTTP/2"),
        ("linkerd.io/tcp", "TCP"),
        ("linkerd.io/opaque", "TCP"),
        ("grpc", "TCP"),
        ("http2", "TCP"),
        ("h2c", "TCP"),
        ("https", "TCP"),
        ("kubernetes.io/ws", "TCP"),
        ("kubernetes.io/wss", "TCP"),
        ("tcp", "TCP"),
        ("kafka", "TCP"),
        ("example.com/web", "TCP"),
    ],
)
def test_what_an_app_protocol_is_to_linkerd(app_protocol: str, taken: str) -> None:
    """Linkerd knows four values, in any case, and takes every other one for TCP; without one it looks itself."""
    assert taken_for(app_protocol) == taken
    port = Port("http", 80, app_protocol=app_protocol)
    assert is_opaque(port, None, "http") is (taken == "TCP")


@pytest.mark.parametrize(
    ("port", "annotation", "opaque"),
    [
        (Port("http", 80), None, False),
        (Port("web", 3306), None, True),
        (Port("web", 3306), "80", False),
        (Port("web", 3306), "", False),
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
        (Port("http", 80, app_protocol="http"), "80", True),
        (Port("http", 3306, app_protocol="http"), None, True),
        (Port("amqp", 80, app_protocol="http"), None, False),
    ],
)
def test_what_is_opaque(port: Port, annotation: str | None, opaque: bool) -> None:
    """A port is opaque by its appProtocol, by the Service's annotation, else by Linkerd's defaults."""
    assert is_opaque(port, annotation) is opaque


@pytest.mark.parametrize(
    ("name", "number", "opaque"),
    [
        ("tcp", 80, True),
        ("tcp-amqp", 80, True),
        ("amqp", 80, True),
        ("mysql", 80, True),
        ("mongo", 80, True),
        ("kafka-internal", 80, True),
        ("redis", 80, True),
        ("tls", 80, True),
        ("https", 80, True),
        ("https-web", 80, True),
        ("web-tls", 80, True),
        ("grpc-tls", 80, True),
        ("rabbit-amqp", 80, True),
        ("tcp-redis", 80, True),
        ("client-amqps", 80, True),
        ("tcp-prometheus", 80, True),
        ("jaeger-grpc", 80, False),
        ("otlp-http", 80, False),
        ("http2", 80, False),
        ("redis-metrics", 80, False),
        ("mysql-exporter", 80, False),
        ("kafka-ui", 80, False),
        ("http-kafka", 80, False),
        ("grpc", 50051, False),
        ("grpc-mongo", 80, False),
        ("h2c", 80, False),
        ("web", 443, False),
        ("sqlite", 80, False),
        ("", 80, False),
        ("", 8080, False),
        ("", 443, True),
        ("", 5672, True),
        ("", 27017, True),
    ],
)
def test_what_is_not_http_by_its_name(name: str, number: int, opaque: bool) -> None:
    """Linkerd looks at each connection: by the words of a port's name, else its number, it finds HTTP there or not.

    What the owner says that it is probed by counts more than both.
    """
    port = Port(name, number)
    assert is_opaque(port, None) is opaque
    assert (is_opaque(port, None, "grpc"), is_opaque(port, None, "tcp")) == (False, True)


@pytest.mark.parametrize(
    ("port", "annotation", "asked", "said"),
    [
        (GRPC, None, None, ""),
        (GRPC, None, "grpc", ""),
        (Port("a", 9, app_protocol="gRPC"), None, "grpc", "gRPC: write kubernetes.io/h2c, or none"),
        (SQL, "", "tcp", "postgresql: where it speaks HTTP, write http, kubernetes.io/h2c or none"),
        (
            Port("a", 9, app_protocol="linkerd.io/tcp"),
            None,
            None,
            "by its appProtocol linkerd.io/tcp",
        ),
        (WEB, "8080", None, "port 8080 is TCP to Linkerd by config.linkerd.io/opaque-ports"),
        (
            Port("a", 4444),
            None,
            "http",
            'annotate the Service with config.linkerd.io/opaque-ports=""',
        ),
        (
            WEB,
            None,
            "tcp",
            "port 8080 (web) is probed by tcp, so Linkerd finds TCP in its connections",
        ),
        (TCP, None, None, "port 5672 (tcp-queue) speaks no HTTP by its name or number"),
        (Port("", 443), None, None, "port 443 speaks no HTTP by its name or number"),
    ],
)
def test_why_nobody_obeys_a_route(
    port: Port, annotation: str | None, asked: Any, said: str
) -> None:
    """Where Linkerd takes a port for TCP it is told why, and what to write; elsewhere nothing."""
    told = why_no_route(port, annotation, asked)
    assert (said in told, bool(told)) == (True, bool(said))


def test_the_owners_word_is_of_the_port_that_is_probed() -> None:
    """``probe-protocol`` says nothing of the Service's other ports."""
    probe = ProbeSpec(port="http", protocol="h2c")
    assert [asked_of(port, (GRPC, HTTP), probe) for port in (GRPC, HTTP)] == [None, "h2c"]
