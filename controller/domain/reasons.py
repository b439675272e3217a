"""Every reason that people are told, once: what the product calls it, what it means, and what to do.

A gate, a warning, a verdict and an Event name their finding by a member of :class:`Reason`, and whoever
decides by a reason asks its :class:`Meaning`; nobody compares texts. The texts are read by alerts, dashboards
and records: a reason may be added, and none is ever renamed. docs/reasons.md is generated from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from prober import contract


class Level(StrEnum):
    """What a reason does to a migration.

    BLOCK: a gate holds, or a write would fail, until somebody acts. WAIT: a gate holds until time or evidence
    has come, or whoever asked for it says otherwise. WARN: it is told and never holds. INFO: it is told of a
    path, of real callers, or of what was done.
    """

    BLOCK = "BLOCK"
    WAIT = "WAIT"
    WARN = "WARN"
    INFO = "INFO"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is known of one reason.

    ``transient``: it ends by itself in the ordinary course; else somebody must do something. ``pages``: where
    it lasts, callers depend on somebody looking now. ``reverts``: an attempt may end by it. ``chosen``: a
    person, the settings or the queue said so, or nobody asked yet. ``quiet``: its Event warns nobody.
    """

    level: Level
    means: str
    do: str
    transient: bool = False
    pages: bool = False
    reverts: bool = False
    chosen: bool = False
    quiet: bool = False


def _block(means: str, do: str, **more: bool) -> Meaning:
    return Meaning(Level.BLOCK, means, do, **more)


def _wait(means: str, do: str = "nothing", **more: bool) -> Meaning:
    return Meaning(Level.WAIT, means, do, transient=True, **more)


def _chosen(means: str, do: str) -> Meaning:
    return Meaning(Level.WAIT, means, do, chosen=True, quiet=True)


def _warn(means: str, do: str) -> Meaning:
    return Meaning(Level.WARN, means, do)


def _info(means: str, do: str = "nothing", **more: bool) -> Meaning:
    return Meaning(Level.INFO, means, do, **more)


UNLISTED = _block(
    "the controller holds the migration for this",
    "kubectl migrate explain shows it with its numbers; docs/reasons.md says what to do",
)
"""Of a reason that another version of the controller or of a prober has told."""


class Reason(StrEnum):
    """A finding, by the text that people and tools know it by; ``Reason(text)`` takes any text."""

    # The two Services.
    SERVICE_MISSING = "ServiceMissing"
    NAMESPACE_MISSING = "NamespaceMissing"
    KIND_UNFIT = "KindUnfit"
    PORTS_DIFFER = "PortsDiffer"
    NO_PORT_TO_PROBE = "NoPortToProbe"
    PROBE_UNFIT = "ProbeUnfit"
    APP_PROTOCOL_DIFFERS = "AppProtocolDiffers"
    SESSION_AFFINITY = "SessionAffinity"
    CONNECTIONS_STAY = "ConnectionsStay"
    PORTS_STAY = "PortsStay"
    PORTS_NOT_PROBED = "PortsNotProbed"
    POLICIES_OFF = "PoliciesOff"
    CONNECT_ONLY = "ConnectOnly"
    HOST_HEADER_MATTERS = "HostHeaderMatters"

    # Their pods.
    TARGET_WITHOUT_ENDPOINTS = "TargetWithoutEndpoints"
    NO_PODS_TO_PROBE = "NoPodsToProbe"
    ENDPOINT_STRANGE = "EndpointStrange"
    ORIGIN_SHRUNK = "OriginShrunk"
    FEWER_ENDPOINTS = "FewerEndpoints"

    # Link, mirror, gateway.
    NOT_EXPORTED = "NotExported"
    MIRROR_MISSING = "MirrorMissing"
    MIRROR_OTHER_CLUSTER = "MirrorOtherCluster"
    MIRROR_EMPTY = "MirrorEmpty"
    GATEWAY_NOT_ALIVE = "GatewayNotAlive"
    MIRROR_UNPROVEN = "MirrorUnproven"

    # Splits and pins.
    FOREIGN_OWNER = "ForeignOwner"
    SECOND_SPLIT = "SecondSplit"
    SPLIT_IGNORED = "SplitIgnored"
    BACKEND_NOT_SHORT = "BackendNotShort"
    BACKEND_FOREIGN = "BackendForeign"
    TWO_MECHANISMS = "TwoMechanisms"
    ROUTE_UNFIT = "RouteUnfit"
    PORTS_UNFIT = "PortsUnfit"
    WEIGHTS_ALL_ZERO = "WeightsAllZero"
    BACKEND_WITHOUT_PORT = "BackendWithoutPort"
    PARENTS_FOREIGN = "ParentsForeign"
    RULES_DIFFER = "RulesDiffer"
    ROUTE_IGNORED = "RouteIgnored"
    ROUTE_NOT_ACCEPTED = "RouteNotAccepted"
    ROUTE_REDIRECTS = "RouteRedirects"
    WEIGHTS_HARMFUL = "WeightsHarmful"
    SPLIT_KIND_FIXED = "SplitKindFixed"
    SPLIT_KIND_UNSERVED = "SplitKindUnserved"
    SPLIT_UNANSWERED = "SplitUnanswered"
    SPLIT_NOT_IN_FORCE = "SplitNotInForce"
    SPLIT_FLAWED = "SplitFlawed"
    SPLIT_MISSING = "SplitMissing"
    SPLIT_WILL_BE_REWRITTEN = "SplitWillBeRewritten"
    RECORD_UNREADABLE = "RecordUnreadable"
    HAND_EDITED = "HandEdited"
    PIN_MISSING = "PinMissing"
    PIN_FOREIGN = "PinForeign"
    PROFILE_WINS = "ProfileWins"
    ROUTE_WINS = "RouteWins"
    ROUTES_MERGED = "RoutesMerged"
    CALLERS_MAY_NOT_FOLLOW = "CallersMayNotFollow"
    CALLERS_DO_NOT_FOLLOW = "CallersDoNotFollow"
    CALLERS_UNMESHED = "CallersUnmeshed"
    TRAFFIC_AMBIGUOUS = "TrafficAmbiguous"

    # Past the split.
    CALLERS_BYPASS = "CallersBypass"
    SAME_PODS = "SamePods"
    SERVICE_EXPOSED = "ServiceExposed"
    FEDERATED_MEMBER = "FederatedMember"
    INGRESS_DIALS_PODS = "IngressDialsPods"
    ORIGIN_CALLED = "OriginCalled"
    ORIGIN_CALLS_UNKNOWN = "OriginCallsUnknown"

    # What is asked for.
    NO_TARGET = "NoTarget"
    MALFORMED = "Malformed"
    ATTEMPT_TOO_LOW = "AttemptTooLow"
    NOW_NOT_ALLOWED = "NowNotAllowed"
    TRAFFIC_UNAVAILABLE = "TrafficUnavailable"
    TRAFFIC_UNKNOWN = "TrafficUnknown"
    TRAFFIC_BAD = "TrafficBad"
    TRAFFIC_LOOP = "TrafficLoop"
    ABORTED = "Aborted"
    PAUSED = "Paused"
    FLEET_PAUSED = "FleetPaused"
    FLEET_UNCLEAR = "FleetUnclear"
    WAVE_WAITS = "WaveWaits"
    WINDOW_CLOSED = "WindowClosed"
    LINE_STOPPED = "LineStopped"
    FLEET_ROLLBACK = "FleetRollback"
    TOGETHER_REVERTED = "TogetherReverted"
    NO_SLOT = "NoSlot"

    # Writes.
    WRITE_REFUSED = "WriteRefused"
    RIGHTS_MISSING = "RightsMissing"
    NOT_CHECKED = "NotChecked"
    WRITE_FAILED = "WriteFailed"

    # What only the controller finds.
    GATEWAY_NOT_PINNED = "GatewayNotPinned"
    BLIND = "Blind"
    WAY_BAD = "WayBad"
    BOTH_WAYS_BAD = "BothWaysBad"
    HOME_WITHOUT_ENDPOINTS = "HomeWithoutEndpoints"
    LINK_SUSPECT = "LinkSuspect"
    CLUSTER_STALE = "ClusterStale"
    OBJECT_UNREADABLE = "ObjectUnreadable"
    NO_LEASE = "NoLease"
    TWO_LEASES = "TwoLeases"
    PROBE_REJECTED = "ProbeRejected"
    WRONG_CLUSTER = "WrongCluster"
    PROTOCOL_UNSERVED = contract.PROTOCOL_UNSERVED
    PROBE_REFUSED = "ProbeRefused"
    TARGET_BAD = "TargetBad"
    ORIGIN_BAD = "OriginBad"
    GATEWAY_LOOP = "GatewayLoop"
    GATEWAY_DEAD = "GatewayDead"
    LINK_LOST = "LinkLost"
    TARGET_CHANGED = "TargetChanged"

    # What ends by itself.
    BEGINNING = "Beginning"
    TAKING_OVER = "TakingOver"
    RECORDING = "Recording"
    PIN_YOUNG = "PinYoung"
    SETTLING = "Settling"
    DWELLING = "Dwelling"
    SOAKING = "Soaking"
    COLLECTING = "Collecting"
    RECOVERING = "Recovering"
    FIRST_SLICES = "FirstSlices"

    # The attempt.
    COMPLETED = "Completed"
    SERVED_BEFORE = "ServedBefore"
    MOVED_SINCE = "MovedSince"
    ATTEMPT_WAITS = "AttemptWaits"
    PROBES_LOWERED = "ProbesLowered"

    # Of one path, or of real callers.
    MET = "Met"
    SUCCESS_MISSED = "SuccessMissed"
    LATENCY_MISSED = "LatencyMissed"
    NO_STREAM = "NoStream"
    SILENT = "Silent"
    VOID = "Void"
    TOO_FEW = "TooFew"
    NOT_JUDGED = "NotJudged"
    AWAY = "Away"

    # What was done.
    RAISING = "Raising"
    SPLIT_MADE = "SplitMade"
    SPLIT_REWRITTEN = "SplitRewritten"
    SPLIT_REMADE = "SplitRemade"
    PIN_REMADE = "PinRemade"
    RECORD_REMADE = "RecordRemade"

    @property
    def meaning(self) -> Meaning:
        """What is known of it."""
        return CATALOGUE.get(self, UNLISTED)

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        """Return a reason that is not in the catalogue, so that what another version wrote is shown as it is."""
        if not isinstance(value, str):
            return None
        stranger = str.__new__(cls, value)
        stranger._name_ = stranger._value_ = value
        return stranger


CATALOGUE: Mapping[Reason, Meaning] = MappingProxyType(
    {
        # The two Services.
        Reason.SERVICE_MISSING: _block(
            "a cluster has no Service of this name",
            "deploy it there; the migration then goes on by itself",
            quiet=True,
        ),
        Reason.NAMESPACE_MISSING: _block(
            "a namespace, the Service's or the gateway's, is missing in a cluster",
            "make the namespace; the gateway's comes with Linkerd's multicluster extension",
        ),
        Reason.KIND_UNFIT: _block(
            "a headless or ExternalName Service: Linkerd cannot split its calls",
            "migrate its callers by their configuration, or give it a cluster IP",
        ),
        Reason.PORTS_DIFFER: _block(
            "ports, their names, protocols or what Linkerd takes them for differ",
            "make them equal in both clusters",
        ),
        Reason.NO_PORT_TO_PROBE: _block(
            "no port looks like HTTP, or probe-port names none",
            "set the annotation probe-port to one of the Service's ports",
        ),
        Reason.PROBE_UNFIT: _block(
            "the probe's annotations ask what the port's protocol cannot do",
            "write what the message says, or set the annotation probe-protocol",
        ),
        Reason.APP_PROTOCOL_DIFFERS: _warn(
            "a port has an appProtocol in one cluster only", "write the same in both, or in none"
        ),
        Reason.SESSION_AFFINITY: _warn(
            "a split decides for each request, whatever sessionAffinity asks",
            "keep sessions outside the pods, or lose them at every step",
        ),
        Reason.CONNECTIONS_STAY: _warn(
            "a port is opaque, or its server speaks first: Linkerd forwards connections, not requests",
            "nothing; open connections stay where they began, also in a revert",
        ),
        Reason.PORTS_STAY: _warn(
            "no split moves the calls to these ports",
            "keep the origin for them",
        ),
        Reason.PORTS_NOT_PROBED: _warn(
            "ports move that no probe asks",
            "see that the target serves them",
        ),
        Reason.POLICIES_OFF: _warn(
            "a TrafficSplit switches off the Service's retries, timeouts or failure accrual",
            "use HTTPRoutes",
        ),
        Reason.CONNECT_ONLY: _warn(
            "probes only connect, and so do not see whether anything is answered",
            "say what the server says first in probe-expect-body, or probe a port of HTTP or gRPC",
        ),
        Reason.HOST_HEADER_MATTERS: _warn(
            "the application answers otherwise to its full name as Host, as it comes through the mirror",
            "let it serve <service>.<namespace>.svc.<domain> as it serves its other names",
        ),
        # Their pods.
        Reason.TARGET_WITHOUT_ENDPOINTS: _block(
            "no pod of the Service is ready in the target",
            "scale it up there, and see that pods become ready",
            reverts=True,
        ),
        Reason.NO_PODS_TO_PROBE: _block(
            "a cluster has no ready pod to probe by its address",
            "scale it up there; a Service whose endpoints are no Pods cannot be probed",
        ),
        Reason.ENDPOINT_STRANGE: _block(
            "an EndpointSlice of the Service, or of its mirror, is hand-made or leads where probes never go",
            "delete it, or the Endpoints it mirrors; Kubernetes makes those of a selector",
        ),
        Reason.ORIGIN_SHRUNK: _block(
            "the origin could not take its callers back",
            "set the HPA's minReplicas, or the annotation origin-floor",
        ),
        Reason.FEWER_ENDPOINTS: _warn(
            "the target has fewer ready pods than the origin",
            "scale it up in time, or let its HPA do so",
        ),
        # Link, mirror, gateway.
        Reason.NOT_EXPORTED: _block(
            "the Service's labels do not meet the selector of the other cluster's Link",
            "kubectl label service NAME mirror.linkerd.io/exported=true, or what the selector asks for",
        ),
        Reason.MIRROR_MISSING: _block(
            "there is no mirror of the other cluster's Service",
            "what the message says: export it, rename it, or see the service mirror's log",
        ),
        Reason.MIRROR_OTHER_CLUSTER: _block(
            "the mirrors here lead to a cluster of another name",
            "name the clusters in the controller's settings as the Links do",
        ),
        Reason.MIRROR_EMPTY: _block(
            "the mirror has no endpoint: no ready pod there, not yet repaired, or of remote discovery",
            "what the message says; a new mirror is filled within a minute",
        ),
        Reason.GATEWAY_NOT_ALIVE: _block(
            "the other cluster's gateway does not answer the service mirror's probe",
            "see linkerd multicluster gateways, and the network between the clusters",
        ),
        Reason.MIRROR_UNPROVEN: _warn(
            "between two trust domains a request that bounces looks good",
            "leave the pins alone: they are the only proof",
        ),
        # Splits and pins.
        Reason.FOREIGN_OWNER: _block(
            "another controller moves this traffic: linkerd-failover, Flagger or Argo Rollouts",
            "take the Service from it first",
        ),
        Reason.SECOND_SPLIT: _block(
            "two splits of the Service are in one cluster", "delete the one that is not used"
        ),
        Reason.SPLIT_IGNORED: _block(
            "spec.service of a split is no short name, so Linkerd ignores its weights",
            "set its weights to all local, or delete it",
        ),
        Reason.BACKEND_NOT_SHORT: _block(
            "a backend of a split is no short name: Linkerd answers 500 to every call",
            "write the short name",
        ),
        Reason.BACKEND_FOREIGN: _block(
            "a split has a backend that is neither the local Service nor the mirror",
            "remove that backend, if no other tool uses it",
        ),
        Reason.TWO_MECHANISMS: _block(
            "a ServiceProfile, a GRPCRoute, or an older or more specific HTTPRoute beats the Service's own",
            "remove it; its timeouts and retries may be annotations of the Service",
        ),
        Reason.ROUTE_UNFIT: _block(
            "HTTPRoutes cannot carry the Service: its ports are TCP to Linkerd, or a route names no port",
            "write what the message says, or use a TrafficSplit",
        ),
        Reason.PORTS_UNFIT: _block(
            "the annotation ports names what cannot move",
            "write what the message says",
        ),
        Reason.WEIGHTS_ALL_ZERO: _block(
            "all weights of a split are 0: an HTTPRoute breaks the proxies that read it",
            "write weights of 0 to 1,000, not all 0, and restart the callers",
        ),
        Reason.BACKEND_WITHOUT_PORT: _block(
            "a backend of an HTTPRoute has no port: Linkerd answers 500 to its part",
            "write the Service's port",
        ),
        Reason.PARENTS_FOREIGN: _block(
            "an HTTPRoute is for others too, whose calls our weights would move",
            "give the Service a route of its own, with one parent",
        ),
        Reason.RULES_DIFFER: _block(
            "the rules of an HTTPRoute send different shares to the mirror",
            "give them all the same weights, or one rule",
        ),
        Reason.ROUTE_IGNORED: _block(
            "an HTTPRoute has a filter for which Linkerd ignores all of it", "remove the filter"
        ),
        Reason.ROUTE_NOT_ACCEPTED: _block(
            "Linkerd does not accept an HTTPRoute, so its weights count for nothing",
            "repair what the condition Accepted says",
        ),
        Reason.ROUTE_REDIRECTS: _block(
            "a rule of an HTTPRoute answers with a redirect, so its weights count for nothing",
            "remove the filter",
        ),
        Reason.WEIGHTS_HARMFUL: _block(
            "a weight is negative or no number, or the sum is above 429,496: proxies freeze",
            "write weights of 0 to 1,000, and restart the callers",
        ),
        Reason.SPLIT_KIND_FIXED: _block(
            "the annotation split asks for another kind than the Service has",
            "write auto, or the kind it has",
        ),
        Reason.SPLIT_KIND_UNSERVED: _block(
            "a cluster does not serve the split that is asked for",
            "install what serves it, or write another kind",
        ),
        Reason.SPLIT_UNANSWERED: _block(
            "the kind of split is served, and nobody is seen to obey it",
            "install Linkerd's SMI extension, or a Linkerd that knows HTTPRoutes",
        ),
        Reason.SPLIT_NOT_IN_FORCE: _block(
            "a split's weights are not seen to stand where proxies read them",
            "see to the SMI adaptor, or Linkerd's policy controller; callers are where the message says",
            pages=True,
        ),
        Reason.SPLIT_FLAWED: _block(
            "a split of ours is being repaired",
            "nothing; where it stays, see the controller's log",
            transient=True,
        ),
        Reason.SPLIT_MISSING: _block(
            "an enrolled Service has no split in a cluster",
            "nothing; where it stays, see the controller's log",
            transient=True,
        ),
        Reason.SPLIT_WILL_BE_REWRITTEN: _warn(
            "somebody's split is wrong, and is repaired without moving traffic",
            "nothing; where the split is kept in Git, change it there too",
        ),
        Reason.RECORD_UNREADABLE: _block(
            "somebody, or a newer controller, wrote in the controller's record",
            "put it back, or remove the annotation migrate.tradeshift/record",
        ),
        Reason.HAND_EDITED: _block(
            "somebody set other weights, or dropped a record, during an attempt",
            "put the weights back, or set the annotation abort; in Git ignore spec.backends",
        ),
        Reason.PIN_MISSING: _block(
            "an enrolled Service has no pin in a gateway's namespace",
            "nothing, it is put back; where it stays, see the controller's log",
            transient=True,
        ),
        Reason.PIN_FOREIGN: _block(
            "the ServiceProfile in the pin's place sends the gateway's calls elsewhere",
            "remove its dstOverrides",
        ),
        Reason.PROFILE_WINS: _warn(
            "a ServiceProfile in the callers' own namespace decides for them, not the split",
            "delete it, or that namespace's callers stay where it sends them",
        ),
        Reason.ROUTE_WINS: _warn(
            "an HTTPRoute in the callers' own namespace decides for them, not the split",
            "delete it, or that namespace's callers stay where it sends them",
        ),
        Reason.ROUTES_MERGED: _warn(
            "a younger HTTPRoute of the same calls loses to the one that splits them",
            "remove it: it wins once the other is made anew",
        ),
        Reason.CALLERS_MAY_NOT_FOLLOW: _warn(
            "a TrafficSplit was made, rewritten or converted while callers may have been busy",
            "restart them, or let them be idle for 5 s, before the origin is scaled down",
        ),
        Reason.CALLERS_DO_NOT_FOLLOW: _warn(
            "workloads were seen that ignore the split",
            "restart those that are named, or let them be idle for 5 s",
        ),
        Reason.CALLERS_UNMESHED: _warn(
            "requests reach the origin from outside the mesh, and never follow a split",
            "give those callers a proxy (linkerd.io/inject), or move them yourself",
        ),
        Reason.TRAFFIC_AMBIGUOUS: _warn(
            "proxies count the calls of this Service and of its namesake in another namespace as one",
            "see by other means who follows the split, before the origin is scaled down",
        ),
        # Past the split: calls to the address of a pod are never split (facts 33).
        Reason.CALLERS_BYPASS: _warn(
            "callers reach the origin's pods past the split, and stay there",
            "have those that are named call the Service's name",
        ),
        Reason.SAME_PODS: _warn(
            "another Service leads to the origin's pods, past the split",
            "have its callers call this one",
        ),
        Reason.SERVICE_EXPOSED: _warn(
            "the Service is called from outside, where no split is obeyed",
            "lead those callers to the target yourself",
        ),
        Reason.FEDERATED_MEMBER: _warn(
            "a federated Service leads to the origin's pods, past the split",
            "remove the label mirror.linkerd.io/federated in the origin",
        ),
        Reason.INGRESS_DIALS_PODS: _warn(
            "an Ingress or a Gateway sends to the origin's pods, past the split",
            "have it send to the Service's address (docs/check.md), meshed",
        ),
        Reason.ORIGIN_CALLED: _warn(
            "after completion callers still reach the origin's pods", "see its warnings for who"
        ),
        Reason.ORIGIN_CALLS_UNKNOWN: _warn(
            "whether anybody still calls the origin's pods was not measured",
            "wait, give the controller both clusters' Prometheus, or count at those pods",
        ),
        # What is asked for.
        Reason.NO_TARGET: _chosen("no annotation target", "write it: nothing moves without"),
        Reason.MALFORMED: _block(
            "an annotation cannot be read as what it asks for", "write what the message says"
        ),
        Reason.ATTEMPT_TOO_LOW: _block(
            "attempt is lower than one that was made", "raise it, or leave it out"
        ),
        Reason.NOW_NOT_ALLOWED: _block(
            "steps is now, which is only for going back once completed",
            "write steps such as 1,10,25,50, or remove it",
        ),
        Reason.TRAFFIC_UNAVAILABLE: _block(
            "traffic is required, and the controller has no Prometheus",
            "write advisory or off, or give the controller a Prometheus",
        ),
        Reason.TRAFFIC_UNKNOWN: _block(
            "traffic is required, and the Prometheus of a cluster is away or stale",
            "repair that Prometheus, or write traffic: advisory",
        ),
        Reason.TRAFFIC_BAD: _block(
            "the target failed real callers, and the attempt was reverted",
            "repair the target; then kubectl migrate retry",
            reverts=True,
        ),
        Reason.TRAFFIC_LOOP: _block(
            "real callers' requests bounced between the gateways: a pin was not obeyed",
            "see to the pin, and the destination controller of that cluster; then retry",
            reverts=True,
        ),
        Reason.ABORTED: _block(
            "the annotation abort is true, or an attempt was aborted",
            "kubectl migrate start, or retry",
            reverts=True,
            quiet=True,
        ),
        Reason.PAUSED: _chosen("the annotation paused is true", "kubectl migrate resume"),
        Reason.FLEET_PAUSED: _chosen(
            "the controller's settings, or its Fleet's annotation, say paused",
            "set paused to false there, or kubectl migrate fleet resume",
        ),
        Reason.FLEET_UNCLEAR: _block(
            "two waves or Fleets name the Service, or its Fleet is malformed",
            "change the Fleet as the message says",
        ),
        Reason.WAVE_WAITS: _chosen(
            "an earlier wave is not finished or bakes, or this one opens by hand",
            "nothing, or kubectl migrate fleet open",
        ),
        Reason.WINDOW_CLOSED: _chosen(
            "a window of its Fleet keeps everybody", "nothing, until the time that the message says"
        ),
        Reason.LINE_STOPPED: _chosen(
            "too many attempts of its Fleet were ended by evidence",
            "see to those that are named, then kubectl migrate fleet resume",
        ),
        Reason.FLEET_ROLLBACK: _block(
            "its Fleet's annotation rollback asks for callers back, or did",
            "kubectl migrate fleet rollback --undo; then retry",
            reverts=True,
            quiet=True,
        ),
        Reason.TOGETHER_REVERTED: _block(
            "one of its wave, which moves together, was rolled back",
            "see to that one; then kubectl migrate retry all of them",
            reverts=True,
        ),
        Reason.NO_SLOT: _wait(
            "max_in_progress others are on their way, or probers at their cap",
            "nothing, or raise max_in_progress or the probers' cap",
            chosen=True,
        ),
        # Writes.
        Reason.WRITE_REFUSED: _block(
            "an API server refuses what the controller would write: a webhook, a quota or a policy",
            "let it pass for the controller; the message is the server's own",
        ),
        Reason.RIGHTS_MISSING: _block(
            "the controller's service account may not do what it must",
            "grant it: the chart's ClusterRole has all that it needs",
        ),
        Reason.NOT_CHECKED: _block(
            "an error of ours ended the check of this Service",
            "report it with its message",
        ),
        Reason.WRITE_FAILED: _warn(
            "an API server refused a write, or did not answer it",
            "see the message, which is the server's own",
        ),
        # What only the controller finds.
        Reason.GATEWAY_NOT_PINNED: _block(
            "the mirror answers 508: the other gateway does not obey its pin",
            "does the destination controller of that cluster run, and is the ServiceProfile there?",
        ),
        Reason.BLIND: _block(
            "a prober is silent, or its self-check fails",
            "see /readyz of the prober, its token, and migrate_controller_prober_streams",
            pages=True,
        ),
        Reason.WAY_BAD: _block(
            "while callers are shifted, the path back fails",
            "repair the origin or its gateway before you need it",
            pages=True,
        ),
        Reason.BOTH_WAYS_BAD: _block(
            "the path back is as bad as the path to the target, so callers stay",
            "repair what both depend on; then callers are rolled back",
            pages=True,
        ),
        Reason.HOME_WITHOUT_ENDPOINTS: _block(
            "a revert is due, and nothing is ready in the origin",
            "scale the origin up; then callers are rolled back",
            pages=True,
        ),
        Reason.LINK_SUSPECT: _block(
            "a revert is due, and the link between the clusters looks dead",
            "repair the link; then callers are rolled back",
            pages=True,
        ),
        Reason.CLUSTER_STALE: _block(
            "nothing was heard of a cluster for a while",
            "see the controller's /readyz: does it reach that API server?",
        ),
        Reason.OBJECT_UNREADABLE: _block(
            "an object that may be the Service's cannot be read",
            "correct the object that the message names",
        ),
        Reason.NO_LEASE: _block(
            "no controller holds the lease, so nobody may raise",
            "does the controller run, and does it reach the lease's cluster?",
            quiet=True,
        ),
        Reason.TWO_LEASES: _block(
            "two controllers lead by two Leases: neither raises",
            "stop one, or write one lease in both settings",
        ),
        Reason.PROBE_REJECTED: _block(
            "the application gives the same unexpected answer on every path",
            "set the annotation that the message names",
        ),
        Reason.WRONG_CLUSTER: _block(
            "a path's answers do not name its cluster in probe-cluster-header",
            "see that both gateways obey their pins, and what the application writes there",
        ),
        Reason.PROTOCOL_UNSERVED: _block(
            "a prober, as installed, does not speak the port's protocol",
            "install mesh-migrate[http2] in the prober's image",
            pages=True,
        ),
        Reason.PROBE_REFUSED: _block(
            "a prober does not probe what the controller asks of it",
            "run controller and probers of one version; the message is the prober's own",
            pages=True,
        ),
        Reason.TARGET_BAD: _block(
            "the path to the target fails its objective, now or when the attempt was reverted",
            "repair the target; after a revert, kubectl migrate retry",
            reverts=True,
        ),
        Reason.ORIGIN_BAD: _block(
            "the path to the origin fails its objective before anything moved",
            "repair the origin, or write a lower slo-success",
        ),
        Reason.GATEWAY_LOOP: _block(
            "a request bounced between the gateways, and the attempt was reverted",
            "see that both gateways obey their pins; then kubectl migrate retry",
            reverts=True,
        ),
        Reason.GATEWAY_DEAD: _block(
            "a gateway answers nobody: every path through it fails, or did at the revert",
            "repair gateway or link; after a revert, kubectl migrate retry",
            pages=True,
            reverts=True,
        ),
        Reason.LINK_LOST: _block(
            "the link between the clusters was lost, and the attempt was reverted",
            "repair it; then kubectl migrate retry",
            reverts=True,
        ),
        Reason.TARGET_CHANGED: _block(
            "the target was changed back during an attempt",
            "kubectl migrate retry, to try again",
            reverts=True,
        ),
        # What ends by itself.
        Reason.BEGINNING: _wait(
            "the attempt is being written to both records",
            "nothing; where it stays, an API server is away",
        ),
        Reason.TAKING_OVER: _wait("a new leader is writing its fencing token to both records"),
        Reason.RECORDING: _wait("changed annotations are being written to both records"),
        Reason.PIN_YOUNG: _wait("a pin is younger than 5 s"),
        Reason.SETTLING: _wait("the last write is younger than 1 s"),
        Reason.DWELLING: _wait("the step is younger than dwell"),
        Reason.SOAKING: _wait("the soak is not over"),
        Reason.COLLECTING: _wait(
            "nothing is bad, and PASS needs more clean probes", "nothing; explain says how many"
        ),
        Reason.RECOVERING: _wait(
            "something was bad, and clean probes have not made up for it",
            "nothing; for long: is slo-success what the Service gives?",
        ),
        Reason.FIRST_SLICES: _wait("just started: a rollback waits a second for evidence"),
        # The attempt.
        Reason.COMPLETED: _info(
            "both splits send every call to the target",
            "ask kubectl migrate drained before you scale the origin down",
            quiet=True,
        ),
        Reason.SERVED_BEFORE: _warn(
            "this cluster's callers were on the target before the attempt",
            "nothing; they stay there, also in a rollback",
        ),
        Reason.MOVED_SINCE: _warn(
            "somebody changed the weights after completion", "nothing, where it was meant"
        ),
        Reason.ATTEMPT_WAITS: _warn(
            "a raised attempt begins when the present one is over",
            "nothing, or abort the present one",
        ),
        Reason.PROBES_LOWERED: _warn(
            "the prober is at its cap, so evidence comes more slowly",
            "raise the prober's cap, or lower max_in_progress",
        ),
        # Of one path, or of real callers.
        Reason.MET: _info("enough probes in a row were good"),
        Reason.SUCCESS_MISSED: _info(
            "more was bad than slo-success allows", "see what it usually answers"
        ),
        Reason.LATENCY_MISSED: _info(
            "more was slow than slo-latency allows", "see what the path waits for"
        ),
        Reason.NO_STREAM: _info("the prober is not heard at all", "see its /readyz, and its token"),
        Reason.SILENT: _info("the prober says nothing of the path", "see its log"),
        Reason.VOID: _info("the prober's self-check failed", "see its /readyz"),
        Reason.TOO_FEW: _info("too few requests to judge"),
        Reason.NOT_JUDGED: _info("no attempt is under way"),
        Reason.AWAY: _info("Prometheus has no fresh figures", "see that Prometheus"),
        # What was done.
        Reason.RAISING: _info("nothing holds: the next step is written"),
        Reason.SPLIT_MADE: _info("a split was made, and changes nothing yet"),
        Reason.SPLIT_REWRITTEN: _info(
            "a split was repaired without moving traffic", "change it in Git too"
        ),
        Reason.SPLIT_REMADE: _info("a deleted split was recreated", "see who deleted it"),
        Reason.PIN_REMADE: _info("a deleted pin was put back", "see who deleted it"),
        Reason.RECORD_REMADE: _info("a dropped record was put back", "see who wrote the split"),
    }
)
"""Of every reason, in the order in which the docs list them."""
