"""What is known of the paths that callers take, and of the callers' own requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from controller.domain.reasons import Reason


class Side(StrEnum):
    """Which way callers could go; the apex is where they go now. The gateway's own path is no migration's."""

    TARGET = "target"
    ORIGIN = "home"
    APEX = "apex"
    GATEWAY = "gateway"


class CallPath(NamedTuple):
    """How callers of one cluster reach one side."""

    callers: str
    side: Side


class Verdict(StrEnum):
    """Of a path."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class PathEvidence:
    """What is known of one path now. ``points``/``threshold`` are those of the objective nearest to FAIL,
    ``clean``/``needed`` those of the objective furthest from PASS (docs/evidence.md).

    ``silent_s`` is the time since the last valid sample (infinite: none yet); ``heard_s`` the time since
    anything at all came from this path's prober, and ``back_for_s`` the time since it was heard again after a
    second of silence (infinite: it always was). ``bad_share_3s`` is over the last 3 s and of the same
    objective as the points, None without a probe.
    ``loop_s`` is the time since the last answer 508 that counts (infinite: none).
    ``all_bad_1s``: in the last second at least 4 probes, all bad, the prober's control probes clean.
    ``unanswered_1s``: one at least, all bad, and no answer among them that an application gave (timeouts, errors,
    502-504). That proves nothing where the prober is ill, but nobody is sent where no one answers.
    ``good_sent_s`` and ``bad_sent_s`` are the times since the last good and the last bad probe was sent at the
    earliest (infinite: none was).
    ``suspected`` is the same path with the faults that still wait for an explanation counted: only for
    own pods, and only to keep callers from an origin that looks no better (None: nothing waits here).
    ``throttled_per_s`` is the base rate that the prober's cap leaves, None where it leaves all of it.
    ``usual_answer`` is what nearly every probe was answered (``404``, ``UNAVAILABLE``, ``timeout``), "" when
    mixed; ``wrong_cluster_3s`` counts the answers of another cluster than was asked, over the last 3 s.
    ``refused`` is why the prober does not probe this path at all, as a reason and a sentence. ``counted`` says
    what the points are of, in the plural, for the sentence that gives them.
    """

    verdict: Verdict
    reason: Reason
    points: float = 0.0
    threshold: float = 0.0
    objective: str = "success"
    clean: int = 0
    needed: int = 0
    silent_s: float = float("inf")
    heard_s: float = float("inf")
    back_for_s: float = float("inf")
    bad_share_3s: float | None = None
    loop_s: float = float("inf")
    all_bad_1s: bool = False
    unanswered_1s: bool = False
    good_sent_s: float = float("inf")
    bad_sent_s: float = float("inf")
    usual_answer: str = ""
    wrong_cluster_3s: int = 0
    success_share: float | None = None
    rate_per_s: float = 0.0
    throttled_per_s: float | None = None
    suspected: PathEvidence | None = None
    refused: tuple[str, str] | None = None
    counted: str = "probes"


@dataclass(frozen=True, slots=True)
class TrafficEvidence:
    """What real callers of one cluster see, by the Prometheus of that cluster.

    ``judged``: an attempt is, and ``points``, ``requests`` and ``failures`` are of what the target answered
    in it. ``unknown`` is why Prometheus does not tell ("": it does). ``bad_share`` is of the last requests to the
    target, ``origin_bad_share`` of the last 50 to the origin (None: fewer in this attempt). ``share`` is
    the part of the last minutes' ``measured_requests`` that the target answered (None: too few).
    ``looped``: callers were answered 508 while a gateway refused a loop.
    ``ignoring`` names the workloads that do not follow the split, and ``follow`` tells whether callers
    were seen to (None: not known). ``unmeshed`` counts the last minutes' requests from outside the mesh.
    ``to_origin`` of these callers' were answered by the origin. ``reached`` are the last minutes' requests that the
    cluster's own pods got, by caller and whichever way they came, ``sent`` by workload those that
    were sent there by the Service's name; ``counted``: all of these minutes were,
    by the proxies of so many own pods, ``proxied``.
    """

    verdict: Verdict
    reason: Reason
    unknown: str = ""
    judged: bool = False
    points: float = 0.0
    threshold: float = 0.0
    requests: int = 0
    failures: int = 0
    bad_share: float | None = None
    origin_bad_share: float | None = None
    share: float | None = None
    measured_requests: int = 0
    looped: bool = False
    ignoring: tuple[str, ...] = ()
    follow: bool | None = None
    unmeshed: int = 0
    to_origin: int = 0
    counted: bool = False
    reached: Mapping[str, int] = field(default_factory=dict)
    sent: Mapping[str, int] = field(default_factory=dict)
    proxied: int = 0
