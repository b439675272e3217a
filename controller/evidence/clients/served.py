"""Who still reaches the own pods of a Service, as these pods' own proxies count it, by the caller's identity.

Calls to the address of a pod are never split (facts 33), and no proxy of a caller tells for which Service it
made them; but the pods' proxies see them all (facts 21). Our probers' calls are left out, and those that a gateway
passes on for the other cluster, whose own proxies tell of them. No I/O and no clock, as ``counters``.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from controller.domain import Key, TrafficOrder

LABELS = "namespace, pod, target_addr, client_id"
"""By which the pods' counters are summed up."""

SLACK = 50
"""So many requests of two minutes may be counted at the pods and not yet at their callers: scrapes differ."""

SLACK_SHARE = 0.25
"""And such a part of them."""

_SERVICE_ACCOUNT = ".serviceaccount."

Owners = Mapping[tuple[str, str], tuple[Key, ...]]
Caller = tuple[Key, str]
"""A Service, and one of its pods that was called."""


def series(namespaces: str, pod: str) -> str:
    """Return the series to ask for; ``namespaces`` is a regular expression, ``pod`` selects those of pods.

    Ours are asked for too: a pod that somebody called is known, and so the first call of another is counted.
    """
    return f'inbound_http_authz_allow_total{{tls="true", namespace=~"{namespaces}", {pod}}}'


def owners_of(orders: Mapping[Key, TrafficOrder], cluster: str) -> Owners:
    """Return the Services whose pod is at an address, by namespace and ``ip:port``: twins share theirs."""
    owners: dict[tuple[str, str], tuple[Key, ...]] = {}
    for key, order in orders.items():
        for address in order.pods.get(cluster, ()):
            at = (key.namespace, address)
            owners[at] = (*owners.get(at, ()), key)
    return owners


def asked(
    rows: Iterable[tuple[Mapping[str, str], float]], owners: Owners
) -> Iterator[tuple[Caller, str, float]]:
    """Return what counts of an answer: the Service and its pod, the caller's identity, and the counter."""
    for labels, value in rows:
        at = (labels.get("namespace", ""), labels.get("target_addr", ""))
        for key in owners.get(at, ()):
            yield (key, labels.get("pod", "")), labels.get("client_id", ""), value


def by_caller(
    increases: Iterable[tuple[Caller, str, int]], apart: frozenset[str]
) -> Mapping[Key, Counter[str]]:
    """Return the requests of each caller, by Service; ``apart`` are the namespaces of those that do not count."""
    found: dict[Key, Counter[str]] = {}
    for (key, _), identity, count in increases:
        namespace, caller = caller_of(identity)
        if namespace not in apart:
            found.setdefault(key, Counter())[caller] += count
    return found


def caller_of(identity: str) -> tuple[str, str]:
    """Return the namespace and the name (``shop/web``) of a caller by the identity of its proxy.

    What is not the identity of a service account has no namespace, and is its own name.
    """
    account, found, _ = identity.partition(_SERVICE_ACCOUNT)
    name, _, namespace = account.rpartition(".")
    return (namespace, f"{namespace}/{name}") if found else ("", identity or "?")


class _Tick(NamedTuple):
    at_s: float
    reached: Mapping[str, int]
    sent: Mapping[str, int]


class Reached:
    """What reached the own pods of a Service in the last ``window_s``: by caller as the pods counted it, and by
    workload as the callers' proxies ``sent`` it there by the Service's name."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._ticks: deque[_Tick] = deque()
        self._since_s = float("inf")
        self.callers: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    def add(self, now_s: float, reached: Mapping[str, int], sent: Mapping[str, int] | None) -> None:
        """Take one answer in; where it is not known what was ``sent``, all of it may have been."""
        sent = reached if sent is None else sent
        self._since_s = min(self._since_s, now_s)
        self._ticks.append(_Tick(now_s, reached, sent))
        self.callers.update(reached)
        self.sent.update(sent)

    def forget(self, now_s: float) -> None:
        """Let go of what is older than the window."""
        while self._ticks and now_s - self._ticks[0].at_s >= self._window_s:
            tick = self._ticks.popleft()
            self.callers -= Counter(tick.reached)
            self.sent -= Counter(tick.sent)

    def counted(self, now_s: float) -> bool:
        """Return whether all of the window was counted."""
        return now_s - self._since_s >= self._window_s


def past_split(
    reached: Mapping[str, int], sent: Mapping[str, int], *, exact: bool
) -> Mapping[str, int]:
    """Return the callers who reach the pods past the split, each with its requests.

    ``reached`` is by caller what the pods counted, ``sent`` by workload (``shop/web``) what proxies sent there by
    the Service's name. A workload mostly calls as the service account of its own name; what others sent may be any
    caller's of their namespace. ``exact``: the split sends nothing there, so that whoever comes from a
    namespace that sent nothing came past it.
    """
    found: dict[str, int] = {}
    for namespace in {_namespace(caller) for caller in reached}:
        mine = {caller: n for caller, n in reached.items() if _namespace(caller) == namespace}
        by_name = {who: n for who, n in sent.items() if _namespace(who) == namespace}
        found |= _beyond(mine, by_name, 0 if exact and not any(by_name.values()) else SLACK)
    return found


def _beyond(reached: Mapping[str, int], sent: Mapping[str, int], slack: int) -> dict[str, int]:
    """Return the callers of one namespace that reached more pods than they, and unnamed others, sent by name."""
    share = SLACK_SHARE if slack else 0
    beyond = {
        caller: count
        for caller, count in reached.items()
        if count - sent.get(caller, 0) > slack + share * count
    }
    others = sum(count for who, count in sent.items() if who not in reached)
    total = sum(beyond.values())
    known = sum(sent.get(caller, 0) for caller in beyond)
    return beyond if total - known - others > slack + share * total else {}


def _namespace(caller: str) -> str:
    return caller.partition("/")[0]
