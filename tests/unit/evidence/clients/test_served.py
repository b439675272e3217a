"""Who reaches a Service's pods, by what these count themselves, and who of them came past the split."""

from __future__ import annotations

import pytest

from controller.domain import Key, SplitKind, TrafficOrder
from controller.evidence.clients.counters import Counters
from controller.evidence.clients.served import SLACK, Reached, caller_of, past_split

A, TWIN = Key("default", "service-a"), Key("default", "twin")
POD = "10.0.0.1:8080"


def identity(name: str, namespace: str) -> str:
    """The identity of a service account's proxies."""
    return f"{name}.{namespace}.serviceaccount.identity.linkerd.cluster.local"


def row(client: str, value: float, address: str = POD) -> tuple[dict[str, str], float]:
    """What one pod has counted of a caller."""
    labels = {"namespace": "default", "pod": "a-1", "target_addr": address, "client_id": client}
    return labels, value


def reached(*answers: list[tuple[dict[str, str], float]]) -> dict[Key, dict[str, int]]:
    """What the last answer says of service-a and of its twin, which have the same pod."""
    kinds = {"legacy": SplitKind.TRAFFICSPLIT}
    orders = {key: TrafficOrder(key, "eks", kinds, {}, {"legacy": (POD,)}) for key in (A, TWIN)}
    one = Counters("legacy", "eks", gateways="linkerd-multicluster", apart=frozenset({"migrate"}))
    none = dict.fromkeys(("responses", "routes", "loops", "unmeshed", "proxies"), ())
    found = [one.count({**none, "served": rows}, orders, 0.0) for rows in answers]
    return {key: dict(each.reached) for key, each in found[-1].services.items()}


def test_callers_are_counted_by_their_identity() -> None:
    """What a pod counted of a caller counts for each Service that has the pod; other pods' is nobody's."""
    web, nginx = identity("web", "shop"), identity("ingress-nginx", "ingress")
    found = reached(
        [row(web, 10), row(nginx, 5), row(web, 7, "10.0.0.9:8080")],
        [row(web, 14), row(nginx, 6), row(web, 9, "10.0.0.9:8080")],
    )
    assert found == {key: {"shop/web": 4, "ingress/ingress-nginx": 1} for key in (A, TWIN)}


def test_a_first_call_is_counted_where_the_pod_was_known() -> None:
    """Of a pod that only our prober called before, the first call of another counts; our own calls never do."""
    prober, gateway = identity("prober", "migrate"), identity("gw", "linkerd-multicluster")
    web = identity("web", "shop")
    assert reached(
        [row(prober, 10), row(gateway, 10)], [row(prober, 20), row(gateway, 20), row(web, 1)]
    ) == {key: {"shop/web": 1} for key in (A, TWIN)}


def test_a_pod_that_was_not_known_says_nothing_yet() -> None:
    """What a pod has counted before it was first heard of is nobody's call of now."""
    assert reached([], [row(identity("web", "shop"), 1000)]) == {A: {}, TWIN: {}}


@pytest.mark.parametrize(
    ("who", "caller"),
    [
        (identity("web", "shop"), ("shop", "shop/web")),
        (identity("my.web", "shop"), ("shop", "shop/my.web")),
        ("spiffe://root/vm", ("", "spiffe://root/vm")),
        ("", ("", "?")),
    ],
)
def test_a_caller_is_named_by_its_identity(who: str, caller: tuple[str, str]) -> None:
    """A service account is a namespace and a name, whatever dots are in it; any other identity is its own name."""
    assert caller_of(who) == caller


def test_more_than_was_sent_came_past_the_split() -> None:
    """Whoever reached the pods more often than was sent there by name, from the same namespace, came past it."""
    counted = {"shop/web": 1000, "ingress/nginx": 400}
    assert past_split(counted, {"shop/web": 1000}, exact=False) == {"ingress/nginx": 400}
    sent = {"shop/web": 600, "ingress/nginx": 400}
    assert past_split(counted, sent, exact=False) == {"shop/web": 1000}


def test_a_workload_that_calls_by_name_is_not_accused_for_its_neighbours() -> None:
    """In one namespace a workload's calls count for the account of its name, and only the others came past."""
    counted = {"shop/web": 1000, "shop/batch": 400}
    assert past_split(counted, {"shop/web": 1000}, exact=False) == {"shop/batch": 400}


def test_what_others_sent_may_be_anybodys_of_their_namespace() -> None:
    """Where accounts have other names than workloads, a namespace is held to all that it sent."""
    counted = {"shop/default": 1400}
    assert past_split(counted, {"shop/web": 1000, "shop/batch": 400}, exact=False) == {}
    assert past_split(counted, {"shop/web": 900}, exact=False) == {"shop/default": 1400}
    assert past_split(counted, {"other/web": 1400}, exact=False) == {"shop/default": 1400}


def test_scrapes_that_differ_accuse_nobody() -> None:
    """What may be due to pods and callers being scraped at other times is no call past the split."""
    assert past_split({"shop/web": 1000}, {"shop/web": 700}, exact=False) == {}
    assert past_split({"shop/web": SLACK}, {}, exact=False) == {}


def test_where_the_split_sends_nothing_one_request_is_enough() -> None:
    """At rest at 100 % whoever reaches the pods without having sent anything by name came past the split."""
    assert past_split({"shop/web": 1}, {}, exact=True) == {"shop/web": 1}
    assert past_split({"shop/web": 1}, {"shop/web": 0}, exact=True) == {"shop/web": 1}
    assert past_split({"shop/web": 10}, {"shop/web": 9}, exact=True) == {}
    assert past_split({}, {}, exact=True) == {}


def test_two_minutes_are_kept() -> None:
    """What is older than the window is let go of, and all of it was counted once the first answer is as old."""
    one = Reached(120.0)
    assert not one.counted(1e9)
    one.add(0.0, {"shop/web": 5}, {"shop": 5})
    one.add(60.0, {"shop/web": 2}, {})
    one.forget(119.0)
    assert (one.callers, one.sent, one.counted(119.0)) == ({"shop/web": 7}, {"shop": 5}, False)
    one.forget(120.0)
    assert (one.callers, one.sent, one.counted(120.0)) == ({"shop/web": 2}, {}, True)


def test_where_it_is_not_known_what_was_sent_nobody_is_accused() -> None:
    """What could not be told from calls that the split does not move is taken for sent by name."""
    one = Reached(120.0)
    one.add(0.0, {"shop/web": 1000, "shop/b": 1}, None)
    assert one.sent == {"shop/web": 1000, "shop/b": 1}


def test_own_pods_that_have_a_proxy_are_counted() -> None:
    """Of the own pods those count whose proxy Prometheus has seen; a pod of that name elsewhere is another."""
    names = {"legacy": frozenset({"a-1", "a-2", "a-3"})}
    order = TrafficOrder(A, "eks", {"legacy": SplitKind.TRAFFICSPLIT}, {}, {}, names=names)
    one = Counters("legacy", "eks", gateways="linkerd-multicluster", apart=frozenset())
    none = dict.fromkeys(("responses", "routes", "loops", "unmeshed", "served"), ())
    rows = [({"namespace": n, "pod": p}, 1.0) for n, p in (("default", "a-1"), ("shop", "a-2"))]
    assert one.count({**none, "proxies": rows}, {A: order}, 0.0).services[A].proxied == 1
