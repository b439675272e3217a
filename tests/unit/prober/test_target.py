from __future__ import annotations

import ipaddress
import re
from ipaddress import IPv4Network
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prober.aims import Aims
from prober.contract import Assign
from prober.target import MAX_ADDRESSES, NotServedError, asks_of, control_ask, pod_asks

GOOD = Assign(
    id=1,
    key="web",
    namespace="default",
    service="web",
    route="apex",
    port=80,
    rate_per_s=10,
    expect=((200, 399),),
)
DOMAIN = "cluster.local"


def but(**changes: Any) -> Assign:
    """The good assignment, with changes."""
    return msgspec.structs.replace(GOOD, **changes)


def test_the_apex_is_asked_as_callers_beside_it_ask() -> None:
    """The apex is the Service's own name in the cluster's domain; its Host is the short one, as callers send."""
    (ask,) = asks_of(but(port=8080, path="/ready?deep=1"), DOMAIN)
    assert str(ask.url) == "http://web.default.svc.cluster.local:8080/ready?deep=1"
    assert ask.headers == {"Host": "web:8080"}
    assert ask.authority == "web:8080"


def test_a_mirror_is_asked_by_the_name_linkerd_gives_it() -> None:
    """The mirror of another cluster's Service is ``<service>-<cluster>``."""
    (ask,) = asks_of(but(route="mirror", mirror_of="eks"), DOMAIN)
    assert ask.url.host == "web-eks.default.svc.cluster.local"
    assert ask.headers == {}


@pytest.mark.parametrize(
    ("port", "host"),
    [(80, "web.default.svc.cluster.local"), (8080, "web.default.svc.cluster.local:8080")],
)
def test_pods_are_asked_by_address_with_the_host_of_the_service(port: int, host: str) -> None:
    """A pod sees the full name as its Host, as through a mirror."""
    asks = asks_of(
        but(route="pods", addresses=("10.0.0.1:9000", "[fd00::1]:9000"), port=port), DOMAIN
    )
    assert [str(ask.url) for ask in asks] == ["http://10.0.0.1:9000/", "http://[fd00::1]:9000/"]
    assert [ask.headers["Host"] for ask in asks] == [host, host]
    assert [ask.address for ask in asks] == ["10.0.0.1:9000", "[fd00::1]:9000"]


def test_no_pods_are_nothing_to_ask() -> None:
    """A Service without ready pods is served, and asks nothing until there are some."""
    assert asks_of(but(route="pods"), DOMAIN) == ()


def test_the_reference_is_the_probers_own_service() -> None:
    """The control probe is asked by the name of the prober's Service."""
    ask = control_ask("prober.migrate", 8080, DOMAIN)
    assert str(ask.url) == "http://prober.migrate.svc.cluster.local:8080/reference"


@pytest.mark.parametrize(
    "changes",
    [
        {"service": "web.other"},
        {"service": "1web"},
        {"service": "Web"},
        {"service": ""},
        {"service": "web-"},
        {"service": "w" * 64},
        {"namespace": "default.svc"},
        {"namespace": "a/b"},
        {"namespace": ""},
        {"key": "k" * 513},
        {"route": "mirror"},
        {"route": "mirror", "mirror_of": "eks.evil"},
        {"route": "mirror", "mirror_of": "eks", "service": "w" * 60},
        {"route": "apex", "mirror_of": "eks"},
        {"route": "apex", "addresses": ("10.0.0.1:80",)},
        {"port": 0},
        {"port": 65_536},
        {"path": ""},
        {"path": "relative"},
        {"path": "//evil.example/"},
        {"path": "/a b"},
        {"path": "/a\r\nX: y"},
        {"path": "/ä"},
        {"path": "/a#b"},
        {"path": "/" + "a" * 256},
        {"rate_per_s": 0.0},
        {"rate_per_s": -1.0},
        {"rate_per_s": 1_000.1},
        {"rate_per_s": float("nan")},
        {"part": 1},
        {"part": -1},
        {"parts": 0},
        {"parts": 65},
        {"priority": 3},
        {"priority": -1},
        {"latency_limit_s": 0.0},
        {"latency_limit_s": float("inf")},
        {"latency_limit_s": 10.5},
        {"expect": ()},
        {"expect": ((399, 200),)},
        {"expect": ((0, 200),)},
        {"expect": ((200, 600),)},
        {"expect": ((200, 200),) * 101},
        {"protocol": "h2c", "expect": ((0, 0),)},
        {"protocol": "grpc", "expect": ((200, 200),)},
        {"protocol": "grpc", "expect": ((0, 17),)},
        {"protocol": "grpc", "expect": ((0, 0),), "path": "/healthz"},
        {"protocol": "grpc", "expect": ((0, 0),), "path": "/a.B/C/D"},
        {"protocol": "grpc", "expect": ((0, 0),), "path": "/a..B/C"},
        {"protocol": "grpc", "expect": ((0, 0),), "path": "/a.B/C?x=1"},
        {"grpc_service": "a b"},
        {"grpc_service": "s" * 257},
        {"header": ("X-Ready", "yes")},
        {"header": ("", "yes")},
        {"header": ("a:b", "yes")},
        {"header": ("a", "")},
        {"header": ("a", "yes\r\nX: y")},
        {"header": ("a", "v" * 257)},
        {"cluster": ("x cluster", "eks")},
        {"cluster": ("x-cluster", " eks")},
        {"body": "b" * 257},
        {"body": "a\nb"},
        {"body": "a", "method": "HEAD"},
    ],
)
def test_what_is_outside_the_contract_is_not_served(changes: dict[str, Any]) -> None:
    """An assignment outside the contract is refused with a sentence, and nothing is asked."""
    with pytest.raises(NotServedError) as refused:
        asks_of(but(**changes), DOMAIN)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "address",
    [
        "",
        "10.0.0.1",
        "10.0.0.1:",
        "10.0.0.1:0",
        "10.0.0.1:65536",
        "10.0.0.1:08",
        "10.0.0.1:80 ",
        "10.1:80",
        "2130706433:80",
        "web.default:80",
        "169.254.169.254:80",
        "224.0.0.1:80",
        "0.0.0.0:80",
        "fd00::1:80",
        "[10.0.0.1]:80",
        "[fe80::1]:80",
        "[fd00::1%eth0]:80",
        "[fd00::1:80",
        "fd00::1]:80",
        "[::ffff:169.254.169.254]:80",
        "user@10.0.0.1:80",
        "10.0.0.1:80/x",
    ],
)
def test_an_address_is_a_literal_that_a_pod_can_have(address: str) -> None:
    """Names, half addresses, and addresses that no pod has are refused."""
    with pytest.raises(NotServedError, match="address"):
        pod_asks(but(route="pods"), (address,), DOMAIN)


NEVER = (
    ("127.0.0.1", "a loopback address"),
    ("127.255.0.9", "a loopback address"),
    ("[::1]", "a loopback address"),
    ("0.1.2.3", "unspecified"),
    ("[::]", "unspecified"),
    ("169.254.169.254", "link-local"),
    ("169.254.170.2", "link-local"),
    ("[fe80::a9fe:a9fe]", "link-local"),
    ("224.0.0.1", "multicast"),
    ("255.255.255.255", "broadcast"),
    ("[ff02::1]", "multicast"),
    ("100.100.100.200", "metadata"),
    ("168.63.129.16", "metadata"),
    ("[fd00:ec2::254]", "metadata"),
    ("[FD00:0EC2:0::0254]", "metadata"),
    ("[fd00:ec2::23]", "metadata"),
    ("[fd20:ce::254]", "metadata"),
    ("[::ffff:10.0.0.1]", "another form"),
    ("[::ffff:7f00:1]", "another form"),
    ("[::127.0.0.1]", "another form"),
    ("[64:ff9b::a9fe:a9fe]", "another form"),
    ("[64:ff9b:1::a9fe:a9fe]", "another form"),
    ("[2002:a9fe:a9fe::1]", "another form"),
    ("[2001:0:a9fe:a9fe::1]", "another form"),
    ("10.96.0.1", "the API server"),
)


@pytest.mark.parametrize(("host", "why"), NEVER)
def test_some_addresses_are_never_asked(host: str, why: str) -> None:
    """What a node, a cloud or the API server keeps for itself is refused, whatever form it is written in."""
    with pytest.raises(NotServedError, match=f"is not served: it is .*{why}"):
        pod_asks(but(route="pods"), (f"{host}:80",), DOMAIN, Aims(own="10.96.0.1"))


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "100.64.0.9",
        "100.100.100.201",
        "240.0.0.9",
        "192.168.0.1",
        "[fd00:10:244::5]",
        "[2600:1f14::9]",
    ],
)
def test_what_clusters_have_for_pods_is_asked(host: str) -> None:
    """Private, shared (EKS), reserved (GKE) and unique local addresses are Pods' in some cluster."""
    assert pod_asks(but(route="pods"), (f"{host}:80",), DOMAIN)[0].address == f"{host}:80"


def test_what_is_allowed_is_asked() -> None:
    """A network that the settings allow is probed, and its neighbours are not."""
    aims = Aims([IPv4Network("127.0.0.0/24")])
    assert pod_asks(but(route="pods"), ("127.0.0.1:80",), DOMAIN, aims)
    with pytest.raises(NotServedError, match="loopback"):
        pod_asks(but(route="pods"), ("127.0.1.1:80",), DOMAIN, aims)


def test_addresses_are_bounded() -> None:
    """More addresses than the bound are refused: checking them would hold up the loop."""
    many = tuple(f"10.0.{n // 250}.{n % 250 + 1}:80" for n in range(MAX_ADDRESSES + 1))
    assert len(pod_asks(but(route="pods"), many[:-1], DOMAIN)) == MAX_ADDRESSES
    with pytest.raises(NotServedError, match="at most"):
        pod_asks(but(route="pods"), many, DOMAIN)


nasty = st.text(st.sampled_from("aZ09-._:/@#?%[]\\ \r\n\t\x00ä"), max_size=12)
names = st.one_of(st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True), nasty)
paths = st.one_of(nasty.map("/".__add__), st.text(max_size=20))
ips = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map("[{}]".format), nasty)
addresses = st.builds("{}:{}".format, ips, st.one_of(st.integers(0, 70_000), nasty))
assigns = st.builds(
    Assign,
    id=st.integers(),
    key=st.text(max_size=10),
    namespace=names,
    service=names,
    route=st.sampled_from(["mirror", "pods", "apex"]),
    port=st.one_of(st.just(80), st.integers(-5, 70_000)),
    rate_per_s=st.just(10.0),
    expect=st.just(((200, 399),)),
    path=paths,
    mirror_of=st.one_of(st.just(""), names),
    addresses=st.lists(addresses, max_size=2).map(tuple),
    protocol=st.sampled_from(["http", "h2c", "tcp"]),
    header=st.none() | st.tuples(nasty, nasty),
    body=nasty,
    cluster=st.none() | st.tuples(st.just("x-cluster"), names),
)


@given(assigns, nasty)
def test_a_call_of_grpc_goes_to_the_computed_host_too(assign: Assign, service: str) -> None:
    """An accepted method is nothing but a path, and the name of a service only part of the message."""
    call = msgspec.structs.replace(
        assign, protocol="grpc", expect=((0, 0),), grpc_service=service, path="/a.v1.B/Call"
    )
    try:
        asks = asks_of(call, DOMAIN)
    except NotServedError:
        return
    for ask in asks:
        assert (ask.method, ask.url.raw_path_qs) == ("POST", "/a.v1.B/Call")
        name = ask.authority.partition(":")[0]
        assert name == call.service or name.endswith(f".{call.namespace}.svc.{DOMAIN}")
        assert ask.message == b"\0\0\0\0\0"


def test_the_check_of_grpc_health_is_encoded() -> None:
    """Without a path it is the Check of grpc.health.v1 that is called, for the service that is named."""
    mirror = but(route="mirror", mirror_of="eks")
    (ask,) = asks_of(
        msgspec.structs.replace(
            mirror, protocol="grpc", expect=((0, 0),), grpc_service="shop.Cart"
        ),
        DOMAIN,
    )
    assert str(ask.url) == "http://web-eks.default.svc.cluster.local/grpc.health.v1.Health/Check"
    assert ask.headers == {"content-type": "application/grpc", "te": "trailers"}
    assert ask.authority == "web-eks.default.svc.cluster.local"
    assert ask.message == b"\0\0\0\0\x0b\x0a\x09shop.Cart"


@given(assigns)
def test_a_host_is_always_the_computed_one(assign: Assign) -> None:
    """Whatever an accepted assignment says, the host is computed, and the path is only a path."""
    try:
        asks = asks_of(assign, DOMAIN)
    except NotServedError:
        return
    service = assign.service + (f"-{assign.mirror_of}" if assign.route == "mirror" else "")
    name = f"{service}.{assign.namespace}.svc.{DOMAIN}"
    assert re.fullmatch(r"[-a-z0-9.]+", name)
    for ask in asks:
        assert ask.url.scheme == "http"
        assert ask.url.raw_user is ask.url.raw_password is None
        assert ask.url.raw_path_qs == assign.path
        if assign.route == "pods":
            host, _, port = ask.address.rpartition(":")
            assert ipaddress.ip_address(ask.url.host or "") == ipaddress.ip_address(
                host.strip("[]")
            )
            assert ask.url.port == int(port)
            assert ask.headers["Host"].partition(":")[0] == name
        else:
            assert ask.url.host == name
            assert ask.url.port == assign.port
            port_80 = assign.port == 80
            authority = assign.service if port_80 else f"{assign.service}:{assign.port}"
            assert ask.headers == ({"Host": authority} if assign.route == "apex" else {})
