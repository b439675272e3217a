"""What a probe asks and expects, in words: what in it does not fit, and what to ask instead.

Each answer is a sentence for people, or None where there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.domain import Port, ProbeSpec, Reason
from controller.domain.annotation_schema import shown_expect
from controller.domain.ports import port_to_probe, protocol_to_probe
from prober.contract import (
    GRPC_STATUSES,
    WRONG_BODY,
    WRONG_CLUSTER,
    WRONG_HEADER,
    Protocol,
)

HEALTH_METHOD = "grpc.health.v1.Health/Check"
GARBLED = "garbled"
"""What the prober says of an answer that is not of the protocol."""

NO_WORK = frozenset({408, 421, 424, 425, 429, 499})
"""Statuses below 500 that tell of a server in trouble or of the way to it, as every 5xx does: late, misdirected,
failed elsewhere, too early, too many, given up (RFC 9110, 4918, 8470, 6585; nginx)."""

_FAILED_CALLS = ("CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED")
NO_WORK_GRPC = frozenset((*_FAILED_CALLS, "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))
"""Those of gRPC, by its own status codes and by what it makes of HTTP's 5xx and 429."""

_DEFAULT = ProbeSpec()
_MENDED = "set probe-protocol to http, h2c, grpc or tcp, or name another port in probe-port"


def unfit(service: object, ports: Sequence[Port], probe: ProbeSpec) -> tuple[Reason, str] | None:
    """Return why a Service of these ports cannot be probed so: a reason and a sentence; None where it can."""
    port = port_to_probe(ports, probe)
    if port is None:
        known = shown_ports((p.name, p.number, p.protocol) for p in ports)
        if probe.port is not None:
            return Reason.NO_PORT_TO_PROBE, f"probe-port is {probe.port}, but {service} has {known}"
        speaks = probe.protocol or "HTTP"
        message = f"no port of {service} looks like {speaks} ({known}): name one in probe-port"
        return Reason.NO_PORT_TO_PROBE, message
    wrong = _misfit(probe, protocol_to_probe(port, probe), port)
    return (Reason.PROBE_UNFIT, wrong) if wrong else None


def shown_ports(ports: Iterable[tuple[str, int, str]]) -> str:
    """Return ports, each a name, a number and TCP or UDP, as people read them."""
    return ", ".join(
        f"{name or '(no name)'} {number}/{transport}" for name, number, transport in sorted(ports)
    )


def _misfit(probe: ProbeSpec, protocol: Protocol | None, port: Port) -> str | None:
    """Return what the annotations ask of a port that its protocol cannot do."""
    if protocol is None:
        return (
            f"port {port.number} is {port.app_protocol or port.name}, which probes do not speak: set"
            " probe-protocol=tcp, which only connects, or name another port in probe-port"
        )
    if protocol == "tcp":
        return _beyond_tcp(probe, port)
    if protocol == "grpc":
        return _beyond_grpc(probe, port)
    if probe.grpc_service:
        return (
            f"port {port.number} is probed by {protocol}: remove probe-grpc-service, or {_MENDED}"
        )
    if probe.expects_grpc:
        return (
            f"probe-expect names statuses of gRPC, but port {port.number} is probed by {protocol}: write"
            f" codes such as 200-399, or {_MENDED}"
        )
    return None


def _beyond_tcp(probe: ProbeSpec, port: Port) -> str | None:
    asked = {
        "probe-path": probe.path != _DEFAULT.path,
        "probe-grpc-service": probe.grpc_service,
        "probe-expect": probe.expect != _DEFAULT.expect,
        "probe-expect-header": probe.header,
        "probe-cluster-header": probe.cluster_header,
    }
    keys = " and ".join(key for key, said in asked.items() if said)
    if not keys:
        return None
    return (
        f"port {port.number} is probed by tcp, which only connects, and may hear the server's first words"
        f" (probe-expect-body): remove {keys}, or {_MENDED}"
    )


def _beyond_grpc(probe: ProbeSpec, port: Port) -> str | None:
    if probe.path != _DEFAULT.path and not _is_method(probe.path):
        return (
            f"port {port.number} is probed by grpc, and probe-path is {probe.path}: write"
            f" /package.Service/Method, or remove it to ask {HEALTH_METHOD}"
        )
    if probe.grpc_service and probe.path not in (_DEFAULT.path, f"/{HEALTH_METHOD}"):
        return (
            f"probe-grpc-service is for {HEALTH_METHOD}: remove it, or remove probe-path, which is"
            f" {probe.path}"
        )
    if probe.expect != _DEFAULT.expect and not probe.expects_grpc:
        return (
            f"probe-expect is {shown_expect(probe.expect)}, but port {port.number} is probed by grpc: write"
            " statuses such as OK,NOT_FOUND, or remove it for OK"
        )
    return None


def _is_method(path: str) -> bool:
    service, slash, method = path.removeprefix("/").partition("/")
    words = (*service.split("."), method)
    return bool(slash) and all(word.isidentifier() and word.isascii() for word in words)


def rejection(answer: str, probe: ProbeSpec, protocol: Protocol) -> str | None:
    """Return what to ask instead where every path gives this answer; None where it is good, or is none."""
    if answer == GARBLED:
        return f"no way answers as {protocol} does: {_MENDED}"
    if answer == WRONG_CLUSTER:
        return (
            f"no way's answer names the cluster that was asked in the header {probe.cluster_header}: have"
            " the application write the name that the cluster's Link has, or remove probe-cluster-header"
        )
    if answer == WRONG_HEADER and probe.header:
        lacks, key = f"without the header {'='.join(probe.header)}", "probe-expect-header"
    elif answer == WRONG_BODY:
        lacks, key = f'without "{probe.body}"', "probe-expect-body"
    else:
        return _unexpected_status(answer, probe, protocol)
    return f"{asked(probe, protocol)} is answered {lacks} on every way: change {key}, or remove it"


def _unexpected_status(answer: str, probe: ProbeSpec, protocol: Protocol) -> str | None:
    what = f"{asked(probe, protocol)} is answered {answer} on every way"
    if protocol == "grpc":
        if answer.isdecimal() and not _works(int(answer)):
            return f"{what}{_advice((), answer, works=False)}"
        if answer.isdecimal():
            return f"{what}, a status of HTTP that no server of gRPC gives: {_MENDED}"
        return _unexpected_grpc(answer, what, probe)
    if not answer.isdecimal() or _is_within(int(answer), probe.expect):
        return None
    return f"{what}{_advice(probe.expect, answer, works=_works(int(answer)))}"


def _works(status: int) -> bool:
    """Return whether an application that works may well answer this status of HTTP."""
    return status < 500 and status not in NO_WORK


def _advice(expect: tuple[tuple[int, int], ...], answer: str, *, works: bool) -> str:
    """Return what to do about an answer. One that a broken application gives is never called good: that would
    take the evidence away, and what it would let pass is what probes are for."""
    if works:
        return f": set probe-path, or probe-expect={shown_expect(expect)},{answer}"
    return ", as by what does not work: repair it, or set probe-path to what it answers well"


def _unexpected_grpc(answer: str, what: str, probe: ProbeSpec) -> str | None:
    expect = expected(probe, "grpc")
    if answer in GRPC_STATUSES and _is_within(GRPC_STATUSES.index(answer), expect):
        return None
    if answer in ("NOT_SERVING", "SERVICE_UNKNOWN"):
        return (
            f"{what}: set probe-grpc-service to what the server says is SERVING, or set probe-path"
        )
    if answer in GRPC_STATUSES:
        return f"{what}{_advice(expect, answer, works=answer not in NO_WORK_GRPC)}"
    return None


def asked(probe: ProbeSpec, protocol: Protocol) -> str:
    """Return the name of what is asked, as people would."""
    if protocol == "tcp":
        return "connecting"
    if protocol == "grpc":
        method = probe.path.removeprefix("/") or HEALTH_METHOD
        return f"{method} of {probe.grpc_service}" if probe.grpc_service else method
    return f"GET {probe.path}"


def expected(probe: ProbeSpec, protocol: Protocol) -> tuple[tuple[int, int], ...]:
    """Return the statuses that are good: those that the owner names, else OK where it is gRPC."""
    if protocol == "grpc" and not probe.expects_grpc:
        return ((0, 0),)
    return probe.expect


def is_connect_only(probe: ProbeSpec, protocol: Protocol | None) -> bool:
    """Return whether probes see no more than that a connection is taken and kept."""
    return protocol == "tcp" and not probe.body


def _is_within(status: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= status <= high for low, high in ranges)
