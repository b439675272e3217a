"""What one cluster's proxies have counted, by Prometheus: the questions, and how the counters increase.

Pure: rows come in, what callers did since the rows before goes out. Proxies count for ever, begin again when
they restart, drop what was idle for ten minutes (facts 22), and more than one Prometheus may know one of
them. So an increase is only what one proxy counted between two answers: what was not known before says nothing
yet, and a proxy whose counters fell says nothing this time.

The metrics and their labels are those of facts 20 and 21 (measured), but for the requests that come from
outside the mesh, which were read in linkerd2-proxy (``inbound/src/metrics/authz.rs``).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeVar

from controller.domain import Key, SplitKind, TrafficOrder
from controller.evidence.clients import served
from prober.contract import Counts

G = TypeVar("G", bound=Hashable)
S = TypeVar("S", bound=Hashable)

Row = tuple[Mapping[str, str], float]
"""One sample of an answer: its labels and its value."""

FORGET_S = 900.0
"""A proxy that is not heard of for so long is forgotten; what was idle for 600 s is dropped by the proxy."""

_WORKLOADS = ("deployment", "statefulset", "daemonset", "k8s_job")
"""Labels that name who owns a pod, as Linkerd's own scrape configuration sets them."""

_POD = ", ".join(("namespace", "pod", *_WORKLOADS))
_COPIES = (
    "job, instance, endpoint, container, prometheus, prometheus_replica, replica, receive, receive_replica,"
    " rule_replica, tenant_id, exported_job, exported_instance"
)
"""Labels in which two copies of one proxy's series may differ: two scrape jobs, two replicas, a federation.

Not those that tell clusters apart, as ``cluster``: two pods of one name in two clusters are no copies. Where copies
differ in such a label, as a federated one that has it and a scraped one that has not, a matcher chooses one.
"""

_MOST_OTHERS = 5
"""So many other values of the matchers' labels are named."""


_NONE = Counts()


@dataclass(frozen=True, slots=True)
class Increase:
    """What callers of one cluster did with one Service between two answers.

    ``here`` was answered by the cluster's own pods, ``across`` through the mirror; ``loops`` are answers 508.
    ``following`` and ``ignoring`` name the workloads that called by the split, and past it. ``unmeshed``
    counts requests that reached the own pods from outside the mesh. Not ``whole``: what the own pods
    answered could not be told from what the split does not move, and was left out. ``sent`` is ``here`` by
    workload (``shop/web``), and ``reached`` what the own pods counted, by caller, whichever way it came (``served``);
    of so many of these there is a proxy that counts, ``proxied``.
    """

    here: Counts = _NONE
    across: Counts = _NONE
    loops: int = 0
    following: frozenset[str] = frozenset()
    ignoring: frozenset[str] = frozenset()
    unmeshed: int = 0
    whole: bool = True
    sent: Mapping[str, int] = field(default_factory=dict)
    reached: Mapping[str, int] = field(default_factory=dict)
    proxied: int = 0


class ProxyCounters(Generic[G, S]):
    """The last values of one kind of counters, by proxy (a hashable group) and series."""

    def __init__(self) -> None:
        self._known: dict[G, dict[S, float]] = {}
        self._present: dict[G, frozenset[S]] = {}
        self._heard_s: dict[G, float] = {}

    def increase(self, rows: Iterable[tuple[G, S, float]], now_s: float) -> list[tuple[G, S, int]]:
        """Take one answer in; return by how much each series has increased since the one before.

        Rows of one series are added up.
        """
        found: dict[G, dict[S, float]] = defaultdict(dict)
        for group, series, value in rows:
            if math.isfinite(value) and value >= 0:
                found[group][series] = found[group].get(series, 0.0) + value
        increases = [
            (group, series, round(by))
            for group, values in found.items()
            for series, by in self._increases(group, values)
            if by >= 0.5
        ]
        self._note(found, now_s)
        return increases

    def _note(self, found: Mapping[G, Mapping[S, float]], now_s: float) -> None:
        """Note which series are there; forget the proxies that are not heard of any more."""
        for group, values in found.items():
            self._present[group] = frozenset(values)
            self._heard_s[group] = now_s
        for group in [g for g, at_s in self._heard_s.items() if now_s - at_s > FORGET_S]:
            del self._known[group], self._present[group], self._heard_s[group]
        for group in self._present.keys() - found.keys():
            self._present[group] = frozenset()

    def _increases(self, group: G, values: dict[S, float]) -> list[tuple[S, float]]:
        before = self._known.get(group)
        present = self._present.get(group, frozenset())
        if before is None or any(value < before[s] for s, value in values.items() if s in present):
            # Never heard of, or it fell: by a restart, or because the proxy dropped a part of the sum.
            self._known[group] = dict(values)
            return []
        increases = []
        for series, value in values.items():
            base = before.get(series, 0.0)
            # A series that was away and is back lower has begun again.
            increases.append((series, value - base if value >= base else value))
        before.update(values)
        return increases


class _Pod(NamedTuple):
    """One caller's proxy and the Service that it calls."""

    key: Key
    workload: str
    pod: str


class _Series(NamedTuple):
    across: bool
    failed: bool
    looped: bool


@dataclass(slots=True)
class _Called:
    here: Counts = _NONE
    across: Counts = _NONE
    loops: int = 0

    def add(self, series: _Series, count: int) -> None:
        called = Counts(count, count if series.failed else 0)
        if series.across:
            self.across += called
        else:
            self.here += called
        self.loops += count if series.looped else 0

    def plus(self, other: _Called) -> None:
        self.here += other.here
        self.across += other.across
        self.loops += other.loops


@dataclass(frozen=True, slots=True)
class Increases:
    """One answer of one cluster's Prometheus, read. ``looped``: a gateway has refused a loop since the last."""

    services: Mapping[Key, Increase] = field(default_factory=dict)
    looped: bool = False


class Counters:
    """One cluster's counters. ``far`` is the other cluster, ``apart`` the namespaces whose pods call for us:
    the gateway's, which passes on the calls of the other cluster, and the probers'. ``matchers`` are the labels
    that tell this cluster's series from those of others.
    """

    def __init__(
        self,
        cluster: str,
        far: str,
        *,
        gateways: str,
        apart: frozenset[str],
        matchers: Mapping[str, str] | None = None,
    ) -> None:
        self.cluster = cluster
        self.matchers = {} if matchers is None else matchers
        self._far = far
        self._gateways = gateways
        self._apart = apart | {gateways}
        self._callers: dict[str, ProxyCounters[_Pod, _Series]] = {
            family: ProxyCounters() for family in ("responses", "routes")
        }
        self._gateway: ProxyCounters[str, str] = ProxyCounters()
        self._strangers: ProxyCounters[tuple[Key, str], str] = ProxyCounters()
        self._pods_served: ProxyCounters[served.Caller, str] = ProxyCounters()

    def queries(self, orders: Mapping[Key, TrafficOrder]) -> dict[str, str]:
        """Return the questions by name, the same number of them for any number of migrations.

        Each sums up what the same pod counted; copies of one series count once.
        """
        services = sorted({key.service for key in orders})
        mine = "|".join([*services, *(f"{service}-{self._far}" for service in services)])
        spaces = "|".join(sorted({key.namespace for key in orders}))
        pod = f'pod!=""{self._only}'
        caller = f'{pod}, namespace!~"{"|".join(sorted(self._apart))}"'
        responses = f'response_total{{direction="outbound", dst_service=~"{mine}", {caller}}}'
        routes = (
            "outbound_http_route_backend_response_statuses_total"
            f'{{parent_name=~"{"|".join(services)}", error!="CANCEL", {caller}}}'
        )
        return {
            "responses": _summed(
                f"{_POD}, dst_namespace, dst_service, classification, loop",
                _replaced(responses, ("loop", "508", "status_code", "508")),
            ),
            "routes": _summed(
                f"{_POD}, parent_namespace, parent_name, backend_name, classification, loop",
                _replaced(
                    routes,
                    ("classification", "success", "http_status", "[1-4].."),
                    ("classification", "failure", "error", ".+"),
                    ("loop", "508", "http_status", "508"),
                ),
            ),
            "loops": _summed(
                "pod",
                f'inbound_http_errors_total{{error="gateway loop", namespace="{self._gateways}", {pod}}}',
            ),
            "unmeshed": _summed(
                "namespace, pod, target_addr",
                f'inbound_http_authz_allow_total{{tls="no_identity", namespace=~"{spaces}", {pod},'
                ' route_name!="probe", authz_name!="probe"}',
            ),
            "served": _summed(served.LABELS, served.series(spaces, pod)),
            "proxies": f'count by (namespace, pod) (proxy_build_info{{namespace=~"{spaces}", {pod}}})',
            # Of a selector: timestamp() of anything else is the time of the question.
            "newest": "max("
            + " or ".join(
                f"timestamp({series})"
                for series in (f"proxy_build_info{{{pod}}}", responses, routes)
            )
            + ")",
        }

    @property
    def _only(self) -> str:
        """The matchers as a selector ends with them; what is in a value stays in it."""
        return "".join(
            f', {label}="{_quoted(value)}"' for label, value in sorted(self.matchers.items())
        )

    def others(self) -> str:
        """Return the question after the values that the labels of the matchers have, whoever's series they are."""
        return f'count by ({", ".join(sorted(self.matchers))}) (proxy_build_info{{pod!=""}})'

    def why_empty(self, others: Iterable[Row]) -> str:
        """Return what is wrong where no sample of a proxy was found, by the answer to ``others``."""
        asked = _labelled(self.matchers, self.matchers)
        found = sorted(_labelled(self.matchers, labels) for labels, _ in others)
        there = f"some with {'; '.join(found[:_MOST_OTHERS])}" if found else "none at all"
        return (
            f"it has no sample of a Linkerd proxy with {asked}, and {there}: write under prometheus.matchers"
            " the labels that this cluster's series have"
        )

    def count(
        self, answers: Mapping[str, Iterable[Row]], orders: Mapping[Key, TrafficOrder], now_s: float
    ) -> Increases:
        """Read the answers to all questions (but ``newest``); return what has increased, by Service."""
        by_response = self._pods("responses", self._responses(answers["responses"], orders), now_s)
        routes = list(self._routes(answers["routes"], orders))
        by_route = self._pods("routes", routes, now_s)
        strangers = self._unmeshed(answers["unmeshed"], orders, now_s)
        reached = self._served(answers["served"], orders, now_s)
        looped = self._gateway.increase(
            ((labels.get("pod", ""), "", value) for labels, value in answers["loops"]), now_s
        )
        routed = {pod for pod, _, _ in routes}
        proxies = {(row.get("namespace", ""), row.get("pod", "")) for row, _ in answers["proxies"]}
        services = {
            key: replace(
                self._increase(order, by_response.get(key, {}), by_route.get(key, {}), routed),
                unmeshed=strangers.get(key, 0),
                reached=reached.get(key, {}),
                proxied=sum(
                    (key.namespace, name) in proxies for name in order.names.get(self.cluster, ())
                ),
            )
            for key, order in orders.items()
        }
        return Increases(services, looped=bool(looped))

    def _increase(
        self,
        order: TrafficOrder,
        responses: Mapping[_Pod, _Called],
        routes: Mapping[_Pod, _Called],
        routed: Set[_Pod],
    ) -> Increase:
        """Put together what callers did, from what is certainly of this Service; ``routed`` are the pods that have a
        series of any route of it."""
        by_route = order.kinds.get(self.cluster) is SplitKind.HTTPROUTE
        if self.cluster in order.shared_names:
            found = _anonymous(responses)
        elif by_route:
            found = _with_unrouted(_routed(routes), responses, routed)
        else:
            found = _split(responses, routes)
        if by_route and self.cluster in order.shared_ports:
            return Increase(across=found.across, loops=found.loops, whole=False)
        return found

    # --- rows to series -----------------------------------------------------------------------------

    def _responses(
        self, rows: Iterable[Row], orders: Mapping[Key, TrafficOrder]
    ) -> Iterable[tuple[_Pod, _Series, float]]:
        names = {(key.namespace, key.service): (key, False) for key in orders}
        names |= {(key.namespace, f"{key.service}-{self._far}"): (key, True) for key in orders}
        for labels, value in rows:
            found = names.get((labels.get("dst_namespace", ""), labels.get("dst_service", "")))
            if found is not None:
                yield _pod(found[0], labels), _series(labels, across=found[1]), value

    def _routes(
        self, rows: Iterable[Row], orders: Mapping[Key, TrafficOrder]
    ) -> Iterable[tuple[_Pod, _Series, float]]:
        for labels, value in rows:
            key = Key(labels.get("parent_namespace", ""), labels.get("parent_name", ""))
            backend = labels.get("backend_name", "")
            across = backend == f"{key.service}-{self._far}"
            if key in orders and (across or backend in ("", key.service)):
                yield _pod(key, labels), _series(labels, across=across), value

    def _pods(
        self, name: str, rows: Iterable[tuple[_Pod, _Series, float]], now_s: float
    ) -> dict[Key, dict[_Pod, _Called]]:
        """Return what each pod called since the last answer, by Service."""
        found: dict[Key, dict[_Pod, _Called]] = defaultdict(lambda: defaultdict(_Called))
        for pod, series, count in self._callers[name].increase(rows, now_s):
            found[pod.key][pod].add(series, count)
        return found

    def _served(
        self, rows: Iterable[Row], orders: Mapping[Key, TrafficOrder], now_s: float
    ) -> Mapping[Key, Mapping[str, int]]:
        """Return what the own pods of each Service counted since the last answer, by caller."""
        found = served.asked(rows, served.owners_of(orders, self.cluster))
        return served.by_caller(self._pods_served.increase(found, now_s), self._apart)

    def _unmeshed(
        self, rows: Iterable[Row], orders: Mapping[Key, TrafficOrder], now_s: float
    ) -> dict[Key, int]:
        """Return the requests from outside the mesh, by the Service whose pod got them."""
        owners = {
            (key.namespace, address): key
            for key, order in orders.items()
            for address in order.pods.get(self.cluster, ())
        }
        asked = (
            ((key, labels.get("pod", "")), "", value)
            for labels, value in rows
            if (key := owners.get((labels.get("namespace", ""), labels.get("target_addr", ""))))
        )
        found: dict[Key, int] = defaultdict(int)
        for (key, _), _, count in self._strangers.increase(asked, now_s):
            found[key] += count
        return found


def _routed(called: Mapping[_Pod, _Called]) -> Increase:
    """Put together who calls by an HTTPRoute, and so is routed by policy (facts 20)."""
    return replace(_anonymous(called), following=frozenset(pod.workload for pod in called))


def _with_unrouted(
    found: Increase, responses: Mapping[_Pod, _Called], routed: Set[_Pod]
) -> Increase:
    """Add who calls past an HTTPRoute: a pod without a series of any route, which is still served as before it took
    a TrafficSplit's place (facts 27). One that only calls the mirror by its own name is none."""
    past = {pod: by for pod, by in responses.items() if pod not in routed and by.here.sent}
    here = sum((by.here for by in past.values()), found.here)
    sent = Counter(found.sent) + _sent(past)
    return replace(found, here=here, sent=sent, ignoring=frozenset(pod.workload for pod in past))


def _split(responses: Mapping[_Pod, _Called], routes: Mapping[_Pod, _Called]) -> Increase:
    """Put together who calls past a TrafficSplit: only those who ignore it are routed by policy (facts 20)."""
    return replace(
        _anonymous({**responses, **routes}),
        following=frozenset(pod.workload for pod in responses.keys() - routes.keys()),
        ignoring=frozenset(pod.workload for pod in routes),
    )


def _anonymous(called: Mapping[_Pod, _Called]) -> Increase:
    """Add up what was called, and say of nobody that they follow the split, or do not."""
    total = _Called()
    for by in called.values():
        total.plus(by)
    return Increase(total.here, total.across, total.loops, sent=_sent(called))


def _sent(called: Mapping[_Pod, _Called]) -> Counter[str]:
    """Return what was sent to the own pods, by workload as an identity would name it (``shop/web``)."""
    sent: Counter[str] = Counter()
    for pod, by in called.items():
        namespace, _, owner = pod.workload.partition("/")
        sent[f"{namespace}/{owner.rpartition(' ')[2]}"] += by.here.sent
    return sent


def _pod(key: Key, labels: Mapping[str, str]) -> _Pod:
    namespace, pod = labels.get("namespace", ""), labels.get("pod", "")
    owner = next(
        (f"{kind} {labels[kind]}" for kind in _WORKLOADS if labels.get(kind)), f"pod {pod}"
    )
    return _Pod(key, f"{namespace}/{owner}", pod)


def _series(labels: Mapping[str, str], *, across: bool) -> _Series:
    failed = labels.get("classification", "failure") != "success"
    return _Series(across, failed, labels.get("loop") == "508")


def _labelled(names: Iterable[str], labels: Mapping[str, str]) -> str:
    return ", ".join(f'{name}="{_quoted(labels.get(name, ""))}"' for name in sorted(names))


def _quoted(value: str) -> str:
    """Return a value as it stands between the quotes of PromQL."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _summed(by: str, series: str) -> str:
    return f"sum by ({by}) (max without ({_COPIES}) ({series}))"


def _replaced(series: str, *rules: tuple[str, str, str, str]) -> str:
    """Return the series with a label set to a value where another matches, one rule after the other."""
    for label, value, source, pattern in rules:
        series = f'label_replace({series}, "{label}", "{value}", "{source}", "{pattern}")'
    return series
