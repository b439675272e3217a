"""From an assignment to what is asked: every name computed from validated parts. Pure.

The law: nothing that a user writes chooses a host. The host of a request is
``<service>.<namespace>.svc.<domain>``, that of a mirror, or a literal address of a pod; a user
chooses a path on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from yarl import URL

from prober.aims import CLOSED, Aims, parsed
from prober.contract import CONTROL_PATH, Assign, Protocol
from prober.outcome import Expect

MAX_ADDRESSES = 2_000
"""Pods of one assignment; checking them must not hold up the event loop (about 5 us each)."""

MAX_RATE_PER_S = 1_000.0
MAX_BURST_PER_S = 5 * MAX_RATE_PER_S
MAX_PARTS = 64
MAX_PATH = 256
MAX_KEY = 512
MAX_RANGES = 100
MAX_LATENCY_LIMIT_S = 10.0
MAX_TEXT = 256
"""Of a header's value and of a part of the body, in characters."""

MAX_BODY_BYTES = 64 << 10
"""How much of an answer's body is read, and judged."""

HEALTH_PATH = "/grpc.health.v1.Health/Check"
"""What gRPC's own convention names the question whether a server, or one service of it, is well."""

_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PATH = re.compile(r"/(?!/)[!-\"$-~]*")
_GRPC_PATH = re.compile(r"/([A-Za-z_]\w*(\.[A-Za-z_]\w*)*/[A-Za-z_]\w*)?", re.ASCII)
_GRPC_SERVICE = re.compile(rf"[!-~]{{0,{MAX_TEXT}}}")
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")
_HTTP_STATUSES = (100, 599, "status codes")
_GRPC_STATUSES = (0, 16, "statuses of gRPC")
_HEADER_VALUE = re.compile(rf"[!-~]([ -~]{{0,{MAX_TEXT - 2}}}[!-~])?")


class NotServedError(ValueError):
    """An assignment that cannot be probed; its text is a sentence for people, its reason may be empty."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


ANY_GOOD = Expect(((200, 399),))


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing to ask: a URL, the headers that make it the Service's, and what a good answer is."""

    method: str
    url: URL
    headers: Mapping[str, str]
    address: str = ""
    """The pod's ``ip:port``, where it is one pod that is asked."""
    expect: Expect = ANY_GOOD
    protocol: Protocol = "http"
    message: bytes = b""
    """What is sent as the body: of gRPC only."""

    @property
    def authority(self) -> str:
        """What stands for the Host in HTTP/2: that header, or the URL's host, without the port 80."""
        known = self.headers.get("Host")
        if known is not None:
            return known
        return _authority_of(self.url.host or "", self.url.port or 80)


def asks_of(assign: Assign, domain: str, aims: Aims = CLOSED) -> tuple[Ask, ...]:
    """Return what an assignment asks in turn: one ask, or one for each pod (maybe none).

    Raises :class:`NotServedError` for an assignment outside the contract.
    """
    _check_names(assign)
    _check_numbers(assign)
    _check_question(assign)
    _check_expectations(assign)
    if assign.route == "pods":
        return pod_asks(assign, assign.addresses, domain, aims)
    service = assign.service
    if assign.route == "mirror":
        service = f"{assign.service}-{assign.mirror_of}"
    host = _host(service, assign.namespace, domain)
    # The apex sees the Host that callers beside it send, the pods and the mirror the full name: what differs
    # between them is what the application makes of its Host (facts 18).
    headers = {"Host": _authority_of(service, assign.port)} if assign.route == "apex" else {}
    return (_ask(assign, f"{host}:{assign.port}", headers, ""),)


def pod_asks(
    assign: Assign, addresses: tuple[str, ...], domain: str, aims: Aims = CLOSED
) -> tuple[Ask, ...]:
    """Return the asks of a Service's own pods: by address, with the Host as on every path.

    Raises :class:`NotServedError` for an address that is not ``ip:port``, or that is never probed.
    """
    if len(addresses) > MAX_ADDRESSES:
        raise NotServedError(
            f"{len(addresses)} addresses are not served: send at most {MAX_ADDRESSES}"
        )
    host = _host(assign.service, assign.namespace, domain)
    headers = {"Host": _authority_of(host, assign.port)}
    return tuple(_ask(assign, _authority(address, aims), headers, address) for address in addresses)


def _ask(assign: Assign, authority: str, headers: Mapping[str, str], address: str) -> Ask:
    expect = Expect(assign.expect, assign.header, assign.body.encode(), assign.cluster)
    if assign.protocol != "grpc":
        url = _url(authority, assign.path)
        return Ask(assign.method, url, headers, address, expect, assign.protocol)
    path = HEALTH_PATH if assign.path == "/" else assign.path
    asked = assign.grpc_service.encode() if path == HEALTH_PATH else b""
    return Ask(
        "POST",
        _url(authority, path),
        {**headers, "content-type": "application/grpc", "te": "trailers"},
        address,
        expect,
        "grpc",
        _framed(_health_check(asked)),
    )


def _health_check(service: bytes) -> bytes:
    """Encode a ``HealthCheckRequest``: field 1, a string, left out where it is empty."""
    return b"\x0a" + _varint(len(service)) + service if service else b""


def _varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low]) if not high else bytes([low | 0x80]) + _varint(high)


def _framed(message: bytes) -> bytes:
    """Put gRPC's head before a message: not compressed, and its length."""
    return b"\x00" + len(message).to_bytes(4) + message


def control_ask(service: str, port: int, domain: str) -> Ask:
    """Return the ask of the prober's own control probe; ``service`` is ``<service>.<namespace>``."""
    name, _, namespace = service.partition(".")
    host = _host(name, namespace, domain)
    url = _url(f"{host}:{port}", CONTROL_PATH)
    return Ask("GET", url, {}, expect=Expect(((200, 200),)))


def is_service_name(name: str) -> bool:
    """Return whether ``name`` is a DNS-1035 label, as the names of Services are."""
    return _SERVICE.fullmatch(name) is not None


def is_label(name: str) -> bool:
    """Return whether ``name`` is a DNS-1123 label, as the names of namespaces and clusters are."""
    return _LABEL.fullmatch(name) is not None


def _url(authority: str, path: str) -> URL:
    # encoded: the path is sent as it was written, byte by byte
    return URL(f"http://{authority}{path}", encoded=True)


def _authority_of(host: str, port: int) -> str:
    return host if port == 80 else f"{host}:{port}"


def _host(service: str, namespace: str, domain: str) -> str:
    return f"{service}.{namespace}.svc.{domain}"


def _check_names(assign: Assign) -> None:
    if not is_service_name(assign.service):
        raise NotServedError(f"service {_shown(assign.service)} is not the name of a Service")
    if not is_label(assign.namespace):
        raise NotServedError(f"namespace {_shown(assign.namespace)} is not the name of a namespace")
    if len(assign.key) > MAX_KEY:
        raise NotServedError(f"key is longer than {MAX_KEY} characters")
    if assign.route != "pods" and assign.addresses:
        raise NotServedError(f"addresses belong to route pods, not to {assign.route}")
    if assign.route != "mirror":
        if assign.mirror_of:
            raise NotServedError(f"mirror_of belongs to route mirror, not to {assign.route}")
        return
    if not is_label(assign.mirror_of):
        raise NotServedError(f"mirror_of {_shown(assign.mirror_of)} is not the name of a cluster")
    if not is_service_name(f"{assign.service}-{assign.mirror_of}"):
        raise NotServedError(
            f"the mirror {assign.service}-{assign.mirror_of} is not the name of a Service: "
            "at most 63 characters"
        )


def _check_numbers(assign: Assign) -> None:
    # NaN and infinity are within no bounds.
    if not 0 < assign.rate_per_s <= MAX_RATE_PER_S:
        raise NotServedError(
            f"rate_per_s {assign.rate_per_s:g} is not served: write more than 0, "
            f"at most {MAX_RATE_PER_S:g}"
        )
    if not 0 <= (assign.burst_per_s or 0) <= MAX_BURST_PER_S:
        raise NotServedError(
            f"burst_per_s {assign.burst_per_s:g} is not served: write 0 to {MAX_BURST_PER_S:g}"
        )
    if not 1 <= assign.port <= 65_535:
        raise NotServedError(f"port {assign.port} is not a port: write 1 to 65535")
    if not 1 <= assign.parts <= MAX_PARTS or not 0 <= assign.part < assign.parts:
        raise NotServedError(
            f"part {assign.part} of {assign.parts} is not served: write part 0 to parts - 1, "
            f"of 1 to {MAX_PARTS} parts"
        )
    if not 0 <= assign.priority <= 2:
        raise NotServedError(f"priority {assign.priority} is not served: write 0, 1 or 2")
    limit = assign.latency_limit_s
    if limit is not None and not 0 < limit <= MAX_LATENCY_LIMIT_S:
        raise NotServedError(
            f"latency_limit_s {limit:g} is not served: write more than 0, "
            f"at most {MAX_LATENCY_LIMIT_S:g}"
        )


def _check_question(assign: Assign) -> None:
    if not _PATH.fullmatch(assign.path) or len(assign.path) > MAX_PATH:
        raise NotServedError(
            f"path {_shown(assign.path)} is not served: write an absolute path of printable ASCII "
            f"without spaces and '#', at most {MAX_PATH} characters, not beginning with '//'"
        )
    if assign.protocol == "grpc" and not _GRPC_PATH.fullmatch(assign.path):
        raise NotServedError(
            f"path {_shown(assign.path)} is no method of gRPC: write /package.Service/Method, or / "
            "for grpc.health.v1"
        )
    if not _GRPC_SERVICE.fullmatch(assign.grpc_service):
        raise NotServedError(
            f"grpc_service {_shown(assign.grpc_service)} is not served: write at most {MAX_TEXT} "
            "printable ASCII characters without spaces"
        )


def _check_expectations(assign: Assign) -> None:
    _check_statuses(assign)
    for name, value in filter(None, (assign.header, assign.cluster)):
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise NotServedError(
                f"the header {_shown(name)} with {_shown(value)} is not served: write a name in lower "
                f"case and 1 to {MAX_TEXT} characters of printable ASCII"
            )
    if len(assign.body) > MAX_TEXT or not assign.body.isprintable():
        raise NotServedError(
            f"body {_shown(assign.body)} is not served: write at most {MAX_TEXT} printable characters"
        )
    if assign.body and assign.method == "HEAD":
        raise NotServedError("body is not served with HEAD, which has none: use GET")


def _check_statuses(assign: Assign) -> None:
    least, most, what = _GRPC_STATUSES if assign.protocol == "grpc" else _HTTP_STATUSES
    are_ranges = all(least <= low <= high <= most for low, high in assign.expect)
    if not are_ranges or not 1 <= len(assign.expect) <= MAX_RANGES:
        raise NotServedError(
            f"expect is not served: write 1 to {MAX_RANGES} ranges of {what}, {least} to {most}, "
            "lowest first"
        )


def _authority(address: str, aims: Aims) -> str:
    """Check ``ip:port`` or ``[ip]:port`` to be a literal that a pod can have."""
    host, _, port = address.rpartition(":")
    bracketed = re.fullmatch(r"\[(.+)\]", host)
    ip = parsed(bracketed[1] if bracketed else host)
    is_literal = ip is not None and (ip.version == 6) is bool(bracketed)
    is_port = re.fullmatch(r"[1-9][0-9]{0,4}", port) is not None and int(port) <= 65_535
    if ip is None or not is_literal or not is_port:
        raise NotServedError(
            f"address {_shown(address)} is not served: write ip:port of a pod, as 10.0.0.1:8080 "
            "or [fd00::1]:8080"
        )
    why = aims.why_not(ip)
    if why:
        raise NotServedError(f"address {_shown(address)} is not served: it is {why}")
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


def _shown(text: str) -> str:
    """Quote and cut what was written, so that a refusal stays a sentence."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
