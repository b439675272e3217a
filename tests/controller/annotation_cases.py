"""One set of values for the annotations' two readers: the parser, and the policy in the API server."""

from __future__ import annotations

from decimal import Decimal

from controller.model import LatencyWish, ProbeWish, Wish

GOOD: list[tuple[str, str, Wish]] = [
    ("target", "legacy", Wish(target="legacy")),
    ("attempt", "1", Wish(attempt=1)),
    ("attempt", "999999", Wish(attempt=999_999)),
    ("paused", "true", Wish(paused=True)),
    ("paused", "false", Wish()),
    ("abort", "true", Wish(abort=True)),
    ("steps", "now", Wish(steps="now")),
    ("steps", "0.1,0.2,1.0,90", Wish(steps=(1, 2, 10, 900))),
    ("steps", "33.3", Wish(steps=(333,))),
    (
        "steps",
        ",".join(str(s) for s in range(1, 21)),
        Wish(steps=tuple(range(10, 201, 10))),
    ),
    ("dwell", "1s", Wish(dwell_s=1.0)),
    ("dwell", "5m", Wish(dwell_s=300.0)),
    ("soak", "168h", Wish(soak_s=604_800.0)),
    ("probe-port", "http", Wish(probe=ProbeWish(port="http"))),
    ("probe-port", "8080", Wish(probe=ProbeWish(port=8080))),
    ("probe-port", "65535", Wish(probe=ProbeWish(port=65535))),
    ("probe-port", "internal-http-admin", Wish(probe=ProbeWish(port="internal-http-admin"))),
    ("probe-path", "/", Wish()),
    ("probe-path", "/a?to=http://b/%20", Wish(probe=ProbeWish(path="/a?to=http://b/%20"))),
    ("probe-path", "/" + "a" * 255, Wish(probe=ProbeWish(path="/" + "a" * 255))),
    ("probe-protocol", "http", Wish(probe=ProbeWish(protocol="http"))),
    ("probe-protocol", "h2c", Wish(probe=ProbeWish(protocol="h2c"))),
    ("probe-protocol", "grpc", Wish(probe=ProbeWish(protocol="grpc"))),
    ("probe-protocol", "tcp", Wish(probe=ProbeWish(protocol="tcp"))),
    ("probe-grpc-service", "shop.Cart", Wish(probe=ProbeWish(grpc_service="shop.Cart"))),
    ("probe-grpc-service", "s" * 256, Wish(probe=ProbeWish(grpc_service="s" * 256))),
    (
        "probe-expect",
        "200-399,404",
        Wish(probe=ProbeWish(expect=((200, 399), (404, 404)))),
    ),
    ("probe-expect", "100-507,509-599", Wish(probe=ProbeWish(expect=((100, 507), (509, 599))))),
    ("probe-expect", "OK,NOT_FOUND", Wish(probe=ProbeWish(expect=((0, 0), (5, 5))))),
    ("probe-expect", "UNAUTHENTICATED", Wish(probe=ProbeWish(expect=((16, 16),)))),
    (
        "probe-expect-header",
        "X-Ready=yes, a=b",
        Wish(probe=ProbeWish(header=("x-ready", "yes, a=b"))),
    ),
    ("probe-expect-header", "a=" + "v" * 256, Wish(probe=ProbeWish(header=("a", "v" * 256)))),
    ("probe-expect-body", '"state": "grün"', Wish(probe=ProbeWish(body='"state": "grün"'))),
    ("probe-expect-body", " ", Wish(probe=ProbeWish(body=" "))),
    ("probe-cluster-header", "X-Cluster", Wish(probe=ProbeWish(cluster_header="x-cluster"))),
    ("probe-rate", "1", Wish(probe=ProbeWish(rate_per_s=1))),
    ("probe-rate", "100", Wish(probe=ProbeWish(rate_per_s=100))),
    ("slo-success", "50", Wish(success_percent=Decimal(50))),
    ("slo-success", "99.99", Wish(success_percent=Decimal("99.99"))),
    ("slo-success", "99.90", Wish()),
    ("slo-latency", "1ms@50", Wish(latency=LatencyWish(0.001, Decimal(50)))),
    ("slo-latency", "1000ms@99.99", Wish(latency=LatencyWish(1.0, Decimal("99.99")))),
    ("origin-floor", "0", Wish(origin_floor_percent=0)),
    ("origin-floor", "100", Wish(origin_floor_percent=100)),
    ("split", "trafficsplit", Wish(split="trafficsplit")),
    ("traffic", "off", Wish(traffic="off")),
    ("traffic", "advisory", Wish(traffic="advisory")),
]
"""Key, value, and the wish that it is: up to both ends of each row's grammar."""

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
    *(("traffic", v) for v in ("", "on", "Required")),
]
"""Key and value outside the row's grammar."""
