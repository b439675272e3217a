"""One set of values for the annotations' two readers: the parser, and the policy in the API server."""

from __future__ import annotations

from decimal import Decimal

from controller.domain import LatencySpec, MigrationSpec, ProbeSpec

GOOD: list[tuple[str, str, MigrationSpec]] = [
    ("target", "legacy", MigrationSpec(target="legacy")),
    ("attempt", "1", MigrationSpec(attempt=1)),
    ("attempt", "999999", MigrationSpec(attempt=999_999)),
    ("paused", "true", MigrationSpec(paused=True)),
    ("paused", "false", MigrationSpec()),
    ("abort", "true", MigrationSpec(abort=True)),
    ("steps", "now", MigrationSpec(steps="now")),
    ("steps", "0.1,0.2,1.0,90", MigrationSpec(steps=(1, 2, 10, 900))),
    ("steps", "33.3", MigrationSpec(steps=(333,))),
    (
        "steps",
        ",".join(str(s) for s in range(1, 21)),
        MigrationSpec(steps=tuple(range(10, 201, 10))),
    ),
    ("dwell", "1s", MigrationSpec(step_pause_s=1.0)),
    ("dwell", "5m", MigrationSpec(step_pause_s=300.0)),
    ("soak", "168h", MigrationSpec(soak_s=604_800.0)),
    ("probe-port", "http", MigrationSpec(probe=ProbeSpec(port="http"))),
    ("probe-port", "8080", MigrationSpec(probe=ProbeSpec(port=8080))),
    ("probe-port", "65535", MigrationSpec(probe=ProbeSpec(port=65535))),
    (
        "probe-port",
        "internal-http-admin",
        MigrationSpec(probe=ProbeSpec(port="internal-http-admin")),
    ),
    ("probe-path", "/", MigrationSpec()),
    ("probe-path", "/a?to=http://b/%20", MigrationSpec(probe=ProbeSpec(path="/a?to=http://b/%20"))),
    ("probe-path", "/" + "a" * 255, MigrationSpec(probe=ProbeSpec(path="/" + "a" * 255))),
    ("probe-protocol", "http", MigrationSpec(probe=ProbeSpec(protocol="http"))),
    ("probe-protocol", "h2c", MigrationSpec(probe=ProbeSpec(protocol="h2c"))),
    ("probe-protocol", "grpc", MigrationSpec(probe=ProbeSpec(protocol="grpc"))),
    ("probe-protocol", "tcp", MigrationSpec(probe=ProbeSpec(protocol="tcp"))),
    ("probe-grpc-service", "shop.Cart", MigrationSpec(probe=ProbeSpec(grpc_service="shop.Cart"))),
    ("probe-grpc-service", "s" * 256, MigrationSpec(probe=ProbeSpec(grpc_service="s" * 256))),
    (
        "probe-expect",
        "200-399,404",
        MigrationSpec(probe=ProbeSpec(expect=((200, 399), (404, 404)))),
    ),
    (
        "probe-expect",
        "100-507,509-599",
        MigrationSpec(probe=ProbeSpec(expect=((100, 507), (509, 599)))),
    ),
    ("probe-expect", "OK,NOT_FOUND", MigrationSpec(probe=ProbeSpec(expect=((0, 0), (5, 5))))),
    ("probe-expect", "UNAUTHENTICATED", MigrationSpec(probe=ProbeSpec(expect=((16, 16),)))),
    (
        "probe-expect-header",
        "X-Ready=yes, a=b",
        MigrationSpec(probe=ProbeSpec(header=("x-ready", "yes, a=b"))),
    ),
    (
        "probe-expect-header",
        "a=" + "v" * 256,
        MigrationSpec(probe=ProbeSpec(header=("a", "v" * 256))),
    ),
    (
        "probe-expect-body",
        '"state": "grün"',
        MigrationSpec(probe=ProbeSpec(body='"state": "grün"')),
    ),
    ("probe-expect-body", " ", MigrationSpec(probe=ProbeSpec(body=" "))),
    (
        "probe-cluster-header",
        "X-Cluster",
        MigrationSpec(probe=ProbeSpec(cluster_header="x-cluster")),
    ),
    ("probe-rate", "1", MigrationSpec(probe=ProbeSpec(rate_per_s=1))),
    ("probe-rate", "100", MigrationSpec(probe=ProbeSpec(rate_per_s=100))),
    ("slo-success", "50", MigrationSpec(success_percent=Decimal(50))),
    ("slo-success", "99.99", MigrationSpec(success_percent=Decimal("99.99"))),
    ("slo-success", "99.90", MigrationSpec()),
    ("slo-latency", "1ms@50", MigrationSpec(latency=LatencySpec(0.001, Decimal(50)))),
    ("slo-latency", "1000ms@99.99", MigrationSpec(latency=LatencySpec(1.0, Decimal("99.99")))),
    ("origin-floor", "0", MigrationSpec(origin_floor_percent=0)),
    ("origin-floor", "100", MigrationSpec(origin_floor_percent=100)),
    ("split", "trafficsplit", MigrationSpec(split="trafficsplit")),
    ("traffic", "off", MigrationSpec(traffic="off")),
    ("traffic", "advisory", MigrationSpec(traffic="advisory")),
    ("ports", "http", MigrationSpec(ports=("http",))),
    ("ports", "http,9090,grpc-api", MigrationSpec(ports=("http", 9090, "grpc-api"))),
    ("ports", ",".join(["65535"] * 20), MigrationSpec(ports=(65535,) * 20)),
]
"""Key, value, and the spec that it is: up to both ends of each row's grammar."""

BAD: list[tuple[str, str]] = [
    *(("target", v) for v in ("", "EKS", " eks", "ek")),
    *(("attempt", v) for v in ("", "0", "1000000", "-1", "1.0", "٣", "9" * 900, "1e3")),
    *(("paused", v) for v in ("", "True", "yes", "1", "true ", "TRUE")),
    *(("abort", v) for v in ("", "True", "now")),
    *(
        ("steps", v)
        for v in (
            "",
            ",",
            "1,",
            "0",
            "0.0",
            "0.05",
            "90.1",
            "100",
            "99.9",
            "5,5",
            "10,1",
            "1, 2",
            "1;2",
            "10%",
            "-1",
            "NaN",
            "1e1",
            "٣",
            "now,1",
            "NOW",
            ",".join(str(s) for s in range(1, 22)),
            "9" * 1000,
        )
    ),
    *(("dwell", v) for v in ("", "60", "0s", "s", "1d", "1.5h", "-1s", "1 s", "169h", "1h30m")),
    *(("soak", v) for v in ("0h", "604801s", "1S", "9" * 1000 + "s")),
    *(("probe-port", v) for v in ("", "0", "65536", "HTTP", "a_b", "-a", "a-", "a" * 64, "http\n")),
    *(
        ("probe-path", v)
        for v in (
            "",
            "healthz",
            "http://elsewhere/",
            "//elsewhere/",
            "/a b",
            "/a\r\nX: y",
            "/é",
            "/\x7f",
            "/a#b",
            "/" + "a" * 256,
        )
    ),
    *(("probe-protocol", v) for v in ("", "https", "http2", "HTTP")),
    *(("probe-grpc-service", v) for v in ("", "a b", "s" * 257, "é")),
    *(("probe-expect", v) for v in ("OK,200", "200,OK", "ok", "OK-NOT_FOUND", "0", "OK,", "NOPE")),
    *(
        ("probe-expect-header", v)
        for v in (
            "",
            "x-ready",
            "=yes",
            "a b=c",
            "a=",
            "a= b",
            "a=b ",
            "a=é",
            "a=" + "v" * 257,
            ":x=y",
        )
    ),
    *(("probe-expect-body", v) for v in ("", "a" * 257, "a\nb", "\x00")),
    *(("probe-cluster-header", v) for v in ("", "a b", "a:", "a=b", "h" * 65)),
    *(
        ("probe-expect", v)
        for v in ("", "99", "600", "200-", "-200", "399-200", "200,", "2xx", "200 404", "508")
    ),
    *(("probe-expect", v) for v in ("500-599", "200,508", "100-599", "508-510")),
    *(("probe-rate", v) for v in ("", "0", "101", "0.5", "10/s")),
    *(("slo-success", v) for v in ("", "100", "49.99", "99.991", "99,9", "99.9%", "NaN", "1e2")),
    *(
        ("slo-latency", v)
        for v in ("", "300", "300ms", "0ms@99", "1001ms@99", "1s@99", "300ms@100", "300ms@1")
    ),
    *(("slo-latency", v) for v in ("ms@99", "300ms@", "300ms@99@9", "300.5ms@99", "300ms@9\n9")),
    *(("origin-floor", v) for v in ("", "101", "-1", "50%", "0.5")),
    *(("split", v) for v in ("", "Auto", "smi")),
    *(("ports", v) for v in ("", "http,", "http, grpc", "0", "65536", "HTTP", "a_b", "*", "80:90")),
    ("ports", ",".join(str(port) for port in range(1, 22))),
    *(("traffic", v) for v in ("", "on", "Required")),
]
"""Key and value outside the row's grammar."""
