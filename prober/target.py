"""From an assignment to what is asked: every name computed from validated parts. Pure.

The law: nothing that a user writes chooses a host. The host of a request is
``<service>.<namespace>.svc.<domain>``, that of a mirror, or a literal address of a pod; a user
chooses a path on it.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from yarl import URL

from prober.contract import REFERENCE_PATH, Assign

MAX_ADDRESSES = 2_000
"""Pods of one assignment; checking them must not hold up the event loop (about 5 us each)."""

MAX_RATE_PER_S = 1_000.0
MAX_PARTS = 64
MAX_PATH = 256
MAX_KEY = 512
MAX_RANGES = 100
MAX_LATENCY_LIMIT_S = 10.0

_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PATH = re.compile(r"/(?!/)[!-\"$-~]*")


class NotServedError(ValueError):
    """An assignment that cannot be probed; its text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing to ask: a URL, and the headers that make it the Service's."""

    method: str
    url: URL
    headers: Mapping[str, str]
    address: str = ""
    """The pod's ``ip:port``, where it is one pod that is asked."""


def asks_of(assign: Assign, domain: str) -> tuple[Ask, ...]:
    """Compute what an assignment asks in turn: one ask, or one for each pod (maybe none).

    Raises :class:`NotServedError` for an assignment outside the contract.
    """
    _check_names(assign)
    _check_numbers(assign)
    if not _PATH.fullmatch(assign.path) or len(assign.path) > MAX_PATH:
        raise NotServedError(
            f"path {_shown(assign.path)} is not served: write an absolute path of printable ASCII "
            f"without spaces and '#', at most {MAX_PATH} characters, not beginning with '//'"
        )
    if assign.route == "pods":
        return pod_asks(assign, assign.addresses, domain)
    service = assign.service
    if assign.route == "mirror":
        service = f"{assign.service}-{assign.mirror_of}"
    host = _host(service, assign.namespace, domain)
    return (Ask(assign.method, _url(f"{host}:{assign.port}", assign.path), {}),)


def pod_asks(assign: Assign, addresses: tuple[str, ...], domain: str) -> tuple[Ask, ...]:
    """Compute the asks of a Service's own pods: by address, with the Host as on every way.

    Raises :class:`NotServedError` for an address that is not ``ip:port``.
    """
    if len(addresses) > MAX_ADDRESSES:
        raise NotServedError(
            f"{len(addresses)} addresses are not served: send at most {MAX_ADDRESSES}"
        )
    host = _host(assign.service, assign.namespace, domain)
    headers = {"Host": host if assign.port == 80 else f"{host}:{assign.port}"}
    return tuple(
        Ask(assign.method, _url(_authority(address), assign.path), headers, address)
        for address in addresses
    )


def reference_ask(service: str, port: int, domain: str) -> Ask:
    """Compute the ask of the prober's own reference; ``service`` is ``<service>.<namespace>``."""
    name, _, namespace = service.partition(".")
    host = _host(name, namespace, domain)
    return Ask("GET", _url(f"{host}:{port}", REFERENCE_PATH), {})


def is_service_name(name: str) -> bool:
    """Whether ``name`` is a DNS-1035 label, as the names of Services are."""
    return _SERVICE.fullmatch(name) is not None


def is_label(name: str) -> bool:
    """Whether ``name`` is a DNS-1123 label, as the names of namespaces and clusters are."""
    return _LABEL.fullmatch(name) is not None


def _url(authority: str, path: str) -> URL:
    # encoded: the path is sent as it was written, byte by byte
    return URL(f"http://{authority}{path}", encoded=True)


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
    limit = assign.latency_limit_s
    finite = math.isfinite(assign.rate_per_s) and (limit is None or math.isfinite(limit))
    if not finite or not 0 < assign.rate_per_s <= MAX_RATE_PER_S:
        raise NotServedError(
            f"rate_per_s {assign.rate_per_s:g} is not served: write more than 0, "
            f"at most {MAX_RATE_PER_S:g}"
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
    if limit is not None and not 0 < limit <= MAX_LATENCY_LIMIT_S:
        raise NotServedError(
            f"latency_limit_s {limit:g} is not served: write more than 0, "
            f"at most {MAX_LATENCY_LIMIT_S:g}"
        )
    if not 1 <= len(assign.expect) <= MAX_RANGES or not all(
        100 <= low <= high <= 599 for low, high in assign.expect
    ):
        raise NotServedError(
            f"expect is not served: write 1 to {MAX_RANGES} ranges of status codes, 100 to 599, "
            "lowest first"
        )


def _authority(address: str) -> str:
    """Check ``ip:port`` or ``[ip]:port`` to be a literal that a pod can have."""
    host, _, port = address.rpartition(":")
    ip = _pod_ip(host)
    if ip is None or not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > 65_535:
        raise NotServedError(
            f"address {_shown(address)} is not served: write ip:port of a pod, as 10.0.0.1:8080 "
            "or [fd00::1]:8080"
        )
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


def _pod_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address that a pod can have; not link-local, where clouds keep credentials."""
    bracketed = re.fullmatch(r"\[([^%]+)\]", host)
    try:
        ip = ipaddress.IPv6Address(bracketed[1]) if bracketed else ipaddress.IPv4Address(host)
    except ValueError:
        return None
    is_mapped = isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None
    return None if is_mapped or ip.is_multicast or ip.is_unspecified or ip.is_link_local else ip


def _shown(text: str) -> str:
    """Quote and cut what was written, so that a refusal stays a sentence."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
