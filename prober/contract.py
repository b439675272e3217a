"""The messages between controller and prober: the one module that both packages know.

The controller dials ``ws://<prober>/v1/stream`` with ``Authorization: Bearer <token>``; the prober
answers with :class:`Hello` and from then on with one :class:`Report` every 100 ms. The stream is
the assignment: what the controller said on it is probed, and probing ends with the connection.

Every message is one WebSocket text frame holding one JSON object whose ``type`` names it.
There is no wall clock in any message: a sample carries its age, and the receiver has its own clock.

The JSON names are those of version 1 (``slices``, ``reference``, ``lowered``, ``void``).

Within a version messages only grow, by fields whose default says what was the case before. A default is
not written, so an older peer meets a new field only where it is used: an older prober then answers
:class:`Refused`, and its controller holds that one migration and says so.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

import msgspec

PATH = "/v1/stream"
"""Where the prober's WebSocket stands."""

CONTROL_PATH = "/reference"
"""What every stream probes to learn whether the prober itself is well: GET, answered 200."""

VERSION = 1
"""Of this contract. A prober of another version is not used, and the log says so."""

SAMPLE_S = 0.1
"""Length of a sample, and the beat of the reports, in seconds (docs/evidence.md)."""

MAX_MESSAGE_BYTES = 1 << 20
"""Longest frame either side accepts."""

USER_AGENT = "migrate-prober/1"
"""Marks every probe, so that an application can tell them from its users."""

Route = Literal["mirror", "pods", "apex"]
"""What is asked: the mirror of another cluster's Service, own pods by address, or the Service."""

Protocol = Literal["http", "h2c", "grpc", "tcp"]
"""How is asked: HTTP/1.1, HTTP/2 in clear text with prior knowledge, a unary gRPC call, or connecting."""

GRPC_STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""The statuses of gRPC, each at the place of its number: below every status of HTTP."""

LOOP = "508"
"""The answer of a gateway to a request that has passed it before, whatever the protocol says it with."""

WRONG_CLUSTER = "wrong-cluster"
"""The answer of a cluster that was not asked: the request bounced, and was not refused (facts 4)."""

WRONG_HEADER = "wrong-header"
WRONG_BODY = "wrong-body"
OPEN = "open"
"""The answer of a TCP port that took the connection and kept it."""

UNTIMED = "untimed"
"""Discards only what is slow: the prober's loop lagged, so latencies may be its own."""

LAG = "lag"
"""Discards what is slow and what was not answered: the loop stood so long that it may have missed an answer."""

DRAINING = "draining"
"""Discards what is due from now on: the prober is ending, and the other streams take over."""

PROTOCOL_UNSERVED = "ProtocolUnserved"
"""The reason of a refusal: this prober, as it is installed, does not speak the protocol."""


Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Whoever may write what a Service leads to would have a prober ask these in his stead. 240.0.0.0/4, 100.64.0.0/10
# and unique local addresses are not here: clusters have Pods and Services there.
_NEVER_PROBED = tuple(
    (network.version, int(network.network_address), int(network.netmask), what)
    for what, networks in (
        ("unspecified", "0.0.0.0/8 ::/128"),
        ("a loopback address", "127.0.0.0/8 ::1/128"),
        ("link-local, where clouds keep credentials", "169.254.0.0/16 fe80::/10"),
        ("a multicast or broadcast address", "224.0.0.0/4 255.255.255.255/32 ff00::/8"),
        # Alibaba, Azure, Oracle (classic); AWS, Google, Oracle, Scaleway, Akamai
        ("a cloud's metadata service", "100.100.100.200/32 168.63.129.16/32 192.0.0.192/32"),
        ("a cloud's metadata service", "fd00:ec2::/32 fd20:ce::254/128 fd00:c1::a9fe:a9fe/128"),
        ("a cloud's metadata service", "fd00:42::42/128 fd00:a9fe:a9fe::1/128"),
        # mapped, compatible, NAT64 (RFC 6052 and 8215), 6to4, Teredo
        (
            "an IPv4 address in another form",
            "::ffff:0:0/96 ::/96 64:ff9b::/96 64:ff9b:1::/48 2002::/16 2001::/32",
        ),
    )
    for network in map(ipaddress.ip_network, networks.split())
)


def why_never_probed(address: Address) -> str:
    """Return what an address is that no prober asks and no controller has asked, "" of one that a Pod can have."""
    number, version = int(address), address.version
    return next(
        (
            what
            for of, network, mask, what in _NEVER_PROBED
            if of == version and number & mask == network
        ),
        "",
    )


Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
"""Of things that were counted."""


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A message or part of one. None refers to itself, so the collector need not look for that: there are thousands."""


class Assign(Frozen, frozen=True, gc=False, tag="assign", tag_field="type"):
    """Controller to prober: probe this path until withdrawn.

    ``rate_per_s`` is the whole path's base rate; this stream probes the due times ``k`` with
    ``k % parts == part``. ``key`` seeds the phase of the schedule, so that many paths are spread.
    ``priority`` says what keeps its rate when the prober's cap is reached: 0 above the baseline, 1 at it,
    2 apex; the highest number is throttled first. ``latency_limit_s`` is where an answer counts as
    slow. ``burst_per_s`` is what a bad probe adds to the whole path's rate for 10 s (None: four times the base rate).
    The apex is asked with the Service's short name as its Host, every other route with its full name.
    ``expect`` holds inclusive ranges of status codes. ``mirror_of`` names the other cluster when
    ``route`` is ``mirror``; ``addresses`` are ``ip:port`` when it is ``pods``.

    Of gRPC, ``expect`` holds numbers of statuses, ``path`` names the method (``/``: the Check of
    ``grpc.health.v1``) and ``grpc_service`` whose health is asked. ``header`` is a name and the value that a
    good answer has there, ``body`` what it contains, ``cluster`` the name of the header in which the
    application says which cluster answered, and the cluster that must stand there.
    """

    id: int
    key: str
    namespace: str
    service: str
    route: Route
    port: int
    rate_per_s: float
    expect: tuple[tuple[int, int], ...]
    path: str = "/"
    method: Literal["GET", "HEAD"] = "GET"
    mirror_of: str = ""
    addresses: tuple[str, ...] = ()
    part: int = 0
    parts: int = 1
    priority: int = 0
    latency_limit_s: float | None = None
    protocol: Protocol = "http"
    grpc_service: str = ""
    header: tuple[str, str] | None = None
    body: str = ""
    cluster: tuple[str, str] | None = None
    burst_per_s: float | None = None


class Readdress(Frozen, frozen=True, gc=False, tag="readdress", tag_field="type"):
    """Controller to prober: the ready pods of this assignment are now these (``ip:port``)."""

    id: int
    addresses: tuple[str, ...]


class Withdraw(Frozen, frozen=True, gc=False, tag="withdraw", tag_field="type"):
    """Controller to prober: stop probing this assignment. Probes in flight are still reported."""

    id: int


class Counts(Frozen, frozen=True, gc=False):
    """Probes or requests: how many were sent, how many were bad, how many not within the limit.

    The limit is the assignment's ``latency_limit_s``. A probe that could not be sent is not counted
    here: its sample is discarded.
    """

    sent: Number = 0
    bad: Number = 0
    slow: Number = 0

    def __post_init__(self) -> None:
        """Refuse counts that cannot be: the arithmetic behind them would raise later, far from here."""
        if not (0 <= self.bad <= self.sent and 0 <= self.slow <= self.sent):
            raise ValueError(f"{self.bad} bad and {self.slow} slow of {self.sent} probes cannot be")

    def __add__(self, other: Counts) -> Counts:
        """Return both together."""
        if not other.sent:
            return self
        if not self.sent:
            return other
        return Counts(self.sent + other.sent, self.bad + other.bad, self.slow + other.slow)

    def __sub__(self, other: Counts) -> Counts:
        """Return these without those, as if they had not been sent; never below none."""
        sent = max(0, self.sent - other.sent)
        bad, slow = self.bad - other.bad, self.slow - other.slow
        return Counts(sent, min(max(0, bad), sent), min(max(0, slow), sent))


class Sample(Frozen, frozen=True, gc=False):
    """The probes of one assignment due in one stretch of 100 ms; sent once, after the last ended.

    ``number`` counts the samples of an assignment from 0; one in which nothing was due is not sent.
    ``age_s`` is the time from the end of the sample to the sending of the report. ``base`` and
    ``burst`` are apart because burst probes count for FAIL only. ``discarded`` says why the prober does
    not stand behind this sample (empty: it does): :data:`UNTIMED` and :data:`LAG` are about a part of it,
    any other reason about everything. ``answers`` counts by status code, name of a gRPC
    status, expectation that was not met (``wrong-cluster``, ...) or kind of error (``timeout``,
    ``refused``, ``reset``, ...). ``loops`` counts answers 508. ``faults``
    holds, by pod address, the base and the burst counts of the probes that were bad or slow, so
    that taking them off ``base`` and ``burst`` leaves the counts without that pod's faults.
    """

    assignment: int
    number: int
    age_s: float
    base: Counts = Counts()
    burst: Counts = Counts()
    discarded: str = msgspec.field(default="", name="void")
    answers: dict[str, Number] = {}
    loops: Number = 0
    faults: dict[str, tuple[Counts, Counts]] = {}


class Hello(Frozen, frozen=True, gc=False, tag="hello", tag_field="type"):
    """Prober to controller, first: who answers, and how many probes a second base rates may take of it."""

    version: int
    cluster: str
    prober: str
    cap_per_s: float


class Report(Frozen, frozen=True, gc=False, tag="report", tag_field="type"):
    """Prober to controller, every 100 ms, empty or not: the heartbeat.

    ``number`` counts the reports of a stream from 0. ``control`` counts the
    prober's control probes that ended since the last report. ``throttled`` says, by assignment, the
    base rate per second that the whole path would have at this stream's present pace, where the cap
    throttled it. ``discarded`` says why the prober does not trust itself now (empty: it does).
    ``pending`` names the assignments with a sample that is over and still to come, because a probe
    of it is under way: for every other assignment a report without a sample says that nothing was due.
    """

    number: int
    samples: tuple[Sample, ...] = msgspec.field(default=(), name="slices")
    control: Counts = msgspec.field(default=Counts(), name="reference")
    throttled: dict[int, float] = msgspec.field(default_factory=dict, name="lowered")
    discarded: str = msgspec.field(default="", name="void")
    pending: tuple[int, ...] = ()


class Refused(Frozen, frozen=True, gc=False, tag="refused", tag_field="type"):
    """Prober to controller: what cannot be served, and why, in a sentence.

    ``id`` names the assignment, where the message could be read that far; ``reason`` is given where
    something can be done about it on the prober's side.
    """

    message: str
    id: int | None = None
    reason: str = ""


ToProber = Assign | Readdress | Withdraw
FromProber = Hello | Report | Refused

encode = msgspec.json.Encoder().encode
decode_to_prober = msgspec.json.Decoder(ToProber).decode
decode_from_prober = msgspec.json.Decoder(FromProber).decode
