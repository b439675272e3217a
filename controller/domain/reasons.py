"""What each finding of a preflight means, and what to do. Pure data; docs/reasons.md shows the same table.

A reason has one level wherever it is found. Reasons of gates that a preflight cannot ask, because they are
about probes or the controller itself, are here where a Migration may tell them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Level(StrEnum):
    """BLOCK: a gate holds, or nothing could be written. WARN: told, and never held."""

    BLOCK = "BLOCK"
    WARN = "WARN"


class Meaning(NamedTuple):
    """One reason: its level, what it means, and what to do."""

    level: Level
    means: str
    do: str


def _block(means: str, do: str) -> Meaning:
    return Meaning(Level.BLOCK, means, do)


def _warn(means: str, do: str) -> Meaning:
    return Meaning(Level.WARN, means, do)


_SERVICES = {
    "ServiceMissing": _block(
        "there is no Service of this name in one of the clusters",
        "deploy it there; a migration that is asked for goes on by itself then",
    ),
    "NamespaceMissing": _block(
        "the namespace of the Service, or of the gateway, does not exist in one of the clusters",
        "make the namespace; the gateway's comes with Linkerd's multicluster extension",
    ),
    "KindUnfit": _block(
        "a headless or ExternalName Service: Linkerd cannot split its calls",
        "migrate its callers by their configuration, or give it a cluster IP",
    ),
    "PortsDiffer": _block(
        "ports, their names, protocols or appProtocols are not equal in both clusters",
        "make them equal: callers use one set of ports for both",
    ),
    "NoPortToProbe": _block(
        "no port looks like HTTP, or probe-port names none",
        "set the annotation probe-port to a name or number of the Service's ports",
    ),
    "ProbeUnfit": _block(
        "the probe's annotations ask what the port's protocol cannot do",
        "write what the message says, or set the annotation probe-protocol",
    ),
    "AppProtocolDiffers": _warn(
        "a port has an appProtocol in one cluster only",
        "write the same in both, or in none",
    ),
    "SessionAffinity": _warn(
        "sessionAffinity is asked for, and a split decides for each request",
        "keep sessions outside the pods, or expect them to be lost at every step",
    ),
    "ConnectionsStay": _warn(
        "a port is opaque, or its server speaks first: Linkerd forwards connections, not requests",
        "nothing; open connections stay where they began, also in a revert, until callers reconnect",
    ),
    "ConnectOnly": _warn(
        "probes only connect, and so do not see whether anything is answered",
        "say what the server says first in probe-expect-body, or probe a port of HTTP or gRPC",
    ),
    "HostHeaderMatters": _warn(
        "the application answers otherwise when the Host header is the Service's full name, as it is"
        " through the mirror",
        "let it serve <service>.<namespace>.svc.<domain> as it serves its other names",
    ),
}

_PODS = {
    "TargetWithoutEndpoints": _block(
        "no pod of the Service is ready in the target",
        "scale it up there, and see that its pods become ready",
    ),
    "NoPodsToProbe": _block(
        "one of the clusters has no ready pod to probe by its address",
        "scale it up there; a Service whose endpoints are no Pods cannot be probed",
    ),
    "OriginShrunk": _block(
        "the origin could not take its callers back",
        "set the HPA's minReplicas, or the annotation origin-floor",
    ),
    "FewerEndpoints": _warn(
        "the target has fewer ready pods than the origin",
        "scale it up before it gets every call, or let its HPA do so",
    ),
}

_LINKS = {
    "NotExported": _block(
        "the Service's labels do not meet the selector of the other cluster's Link",
        "kubectl label service NAME mirror.linkerd.io/exported=true, or what the selector asks for",
    ),
    "MirrorMissing": _block(
        "there is no mirror of the other cluster's Service",
        "export the Service there; then see what the service mirror's log says",
    ),
    "MirrorOtherCluster": _block(
        "the mirrors here lead to a cluster of another name",
        "name the clusters in the controller's settings as the Links do",
    ),
    "MirrorEmpty": _block(
        "the mirror has no endpoint, as when the other cluster has no ready pod",
        "make the pods there ready",
    ),
    "GatewayNotAlive": _block(
        "the other cluster's gateway does not answer the service mirror's probe",
        "see linkerd multicluster gateways, and the network between the clusters",
    ),
    "MirrorUnproven": _warn(
        "the clusters have different trust domains, so a request that bounces looks good",
        "nothing; the pins are the only proof then, so leave them alone",
    ),
}

_SPLITS = {
    "ForeignOwner": _block(
        "another controller moves this traffic: linkerd-failover, Flagger or Argo Rollouts",
        "take the Service out of its hands first",
    ),
    "SecondSplit": _block(
        "there are two splits for the Service in one cluster",
        "delete the one that is not used",
    ),
    "SplitIgnored": _block(
        "spec.service of a split is no short name: Linkerd ignores it, and its weights say other than"
        " what happens",
        "set its weights to what you mean, all local, or delete it; the controller writes short names",
    ),
    "BackendNotShort": _block(
        "a backend of a split is no short name: Linkerd answers 500 to every call",
        "write the short name",
    ),
    "BackendForeign": _block(
        "a split sends calls to a Service that is neither the local one nor the mirror",
        "remove that backend",
    ),
    "TwoMechanisms": _block(
        "a ServiceProfile with routes or overrides, or an HTTPRoute in a client's namespace, beats the HTTPRoute"
        " that splits the Service",
        "remove it",
    ),
    "RouteUnfit": _block(
        "an HTTPRoute cannot carry the Service: it has several ports, or its port is TCP to Linkerd",
        "let it have a TrafficSplit, or make a Service for each port",
    ),
    "WeightsAllZero": _block(
        "all weights of a split are 0: an HTTPRoute breaks the proxies that read it",
        "write weights of 0 to 1,000 that are not all 0, and restart the callers",
    ),
    "BackendWithoutPort": _block(
        "a backend of an HTTPRoute has no port: Linkerd answers 500 to its part",
        "write the Service's port",
    ),
    "ParentsForeign": _block(
        "an HTTPRoute is for others too, whose calls our weights would move",
        "give the Service a route of its own, with one parent",
    ),
    "RulesDiffer": _block(
        "the rules of an HTTPRoute send different shares to the mirror",
        "give them all the same weights, or one rule",
    ),
    "RouteIgnored": _block(
        "an HTTPRoute has a filter for which Linkerd ignores all of it",
        "remove the filter",
    ),
    "RouteNotAccepted": _block(
        "Linkerd says in an HTTPRoute's status that it does not accept it, so its weights count for nothing",
        "mend what the condition Accepted says",
    ),
    "RouteRedirects": _block(
        "a rule of an HTTPRoute answers with a redirect, so its weights count for nothing",
        "remove the filter",
    ),
    "WeightsHarmful": _block(
        "a weight is negative or no number, or the sum is above 429,496: proxies freeze",
        "write weights of 0 to 1,000, and restart the callers",
    ),
    "SplitKindFixed": _block(
        "the annotation split asks for another kind than the Service has",
        "write auto, or the kind it has",
    ),
    "SplitKindUnserved": _block(
        "a cluster does not serve the kind of split that is asked for",
        "install what serves it, or write another kind",
    ),
    "SplitFlawed": _block(
        "a split of ours is being mended",
        "nothing; where it stays, see the controller's log",
    ),
    "SplitMissing": _block(
        "an enrolled Service has no split in one of the clusters",
        "nothing; where it stays, see the controller's log",
    ),
    "SplitWillBeRewritten": _warn(
        "somebody's split is wrong in a way that is mended without moving traffic",
        "nothing; where the split is kept in Git, change it there too",
    ),
    "RecordUnreadable": _block(
        "somebody wrote in the controller's record, or a newer controller wrote it",
        "put it back, or remove the annotation migrate.tradeshift/record",
    ),
    "HandEdited": _block(
        "somebody set other weights than the controller's, during an attempt",
        "put the weights back, or set the annotation abort; in Git ignore spec.backends",
    ),
    "PinMissing": _block(
        "an enrolled Service has no pin in one of the gateways' namespaces",
        "nothing, it is put back; where it stays, see the controller's log",
    ),
    "PinForeign": _block(
        "the ServiceProfile in the pin's place sends the gateway's calls elsewhere",
        "remove its dstOverrides",
    ),
    "ProfileWins": _warn(
        "a ServiceProfile in the callers' own namespace decides for them, and the split does not",
        "delete it, or expect the callers of that namespace to stay where it sends them",
    ),
    "RouteWins": _warn(
        "an HTTPRoute in the callers' own namespace decides for them, and the split does not",
        "delete it, or expect the callers of that namespace to stay where it sends them",
    ),
    "CallersMayNotFollow": _warn(
        "a TrafficSplit was made or rewritten while callers may have been busy",
        "restart them, or let them be idle for 5 s, before the origin is scaled down",
    ),
    "CallersDoNotFollow": _warn(
        "workloads were seen that ignore the TrafficSplit, so the share is not theirs",
        "restart the workloads that are named, or let them be idle for 5 s",
    ),
    "CallersUnmeshed": _warn(
        "requests reach the origin's pods from outside the mesh: such callers never follow a split",
        "give those callers a proxy (linkerd.io/inject), or move them yourself",
    ),
}

_WISH = {
    "Malformed": _block("an annotation is not of the grammar", "write what the message says"),
    "AttemptTooLow": _block("attempt is lower than one that was made", "raise it, or leave it out"),
    "NowNotAllowed": _block(
        "steps is now, which is only for going back after a completed migration",
        "write steps such as 1,10,25,50, or remove it",
    ),
    "TrafficUnavailable": _block(
        "traffic is required, and the controller has no Prometheus",
        "write advisory or off, or give the controller a Prometheus",
    ),
    "TrafficUnknown": _block(
        "traffic is required, and the Prometheus of a cluster is away or stale",
        "mend that Prometheus, or write traffic: advisory",
    ),
    "TrafficBad": _block(
        "the target failed real callers, whatever the probes said, and the attempt was reverted",
        "mend the target; then kubectl migrate retry",
    ),
    "TrafficLoop": _block(
        "real callers were answered 508 and their gateway refused loops: a pin was not obeyed",
        "look at the pin, and at the destination controller of that cluster; then retry",
    ),
    "Aborted": _block(
        "the annotation abort is true, or an attempt was aborted",
        "kubectl migrate start, or retry",
    ),
}

_WRITES = {
    "WriteRefused": _block(
        "an API server refuses what the controller would write: a webhook, a quota or a policy",
        "let it pass for the controller; the message is the server's own",
    ),
    "RightsMissing": _block(
        "the controller's service account may not do what it must",
        "grant it: the chart's ClusterRole has all that it needs",
    ),
}

_TOLD = {
    "GatewayNotPinned": _block(
        "the mirror answers 508: the other gateway does not obey its pin",
        "does the destination controller of that cluster run, and is the ServiceProfile there?",
    ),
    "Blind": _block(
        "a prober is silent, or does not trust itself",
        "see /readyz of the prober, its token, and migrate_controller_prober_streams",
    ),
    "WayBad": _block(
        "above home, a way home fails while the target is good",
        "mend the origin or its gateway before you need it",
    ),
    "BothWaysBad": _block(
        "the way home is as bad as the way to the target, so callers stay where they are",
        "mend what both depend on; then the callers go by themselves",
    ),
    "HomeWithoutEndpoints": _block(
        "a revert is due, and nothing is ready at home",
        "scale the origin up; then the callers go by themselves",
    ),
    "LinkSuspect": _block(
        "a revert is due, and the link between the clusters looks dead",
        "mend the link; the callers go once anything is heard of it",
    ),
    "ClusterStale": _block(
        "the controller has heard nothing of a cluster for a while",
        "see /readyz of the controller, and whether it reaches that API server",
    ),
    "NoLease": _block(
        "no controller holds the lease, so nobody may raise",
        "does the controller run, and does it reach the lease's cluster?",
    ),
    "ProbeRejected": _block(
        "the application gives the same unexpected answer on every way",
        "set the annotation that the message names",
    ),
    "WrongCluster": _block(
        "the answers of a way do not name the cluster that was asked in probe-cluster-header",
        "see that both gateways obey their pins, and what the application writes in that header",
    ),
    "ProtocolUnserved": _block(
        "a prober does not speak the protocol of the port, as it is installed",
        "install mesh-migrate[http2] in the prober's image",
    ),
    "ProbeRefused": _block(
        "a prober does not probe what the controller asks of it",
        "run controller and probers of one version; the message is the prober's own",
    ),
    "TargetBad": _block(
        "the way to the target fails its objective, now or when the attempt was reverted",
        "mend the target; after a revert, kubectl migrate retry",
    ),
    "OriginBad": _block(
        "the way to the origin fails its objective before anything moved",
        "mend the origin, or write a lower slo-success",
    ),
    "GatewayLoop": _block(
        "a request bounced between the gateways, and the attempt was reverted",
        "see that both gateways obey their pins; then kubectl migrate retry",
    ),
    "LinkLost": _block(
        "the link between the clusters was lost, and the attempt was reverted",
        "mend it; then kubectl migrate retry",
    ),
    "TargetChanged": _block(
        "the target was changed back during an attempt, which brought its callers home",
        "kubectl migrate retry, to try again",
    ),
}

MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {**_SERVICES, **_PODS, **_LINKS, **_SPLITS, **_WISH, **_WRITES, **_TOLD}
)
"""By reason."""

TOLD_ELSEWHERE = Meaning(
    Level.BLOCK,
    "the controller holds the migration for this",
    "kubectl migrate explain shows it with its numbers; docs/reasons.md says what to do",
)
"""Of a reason that only the controller finds, and that has no row of its own."""
