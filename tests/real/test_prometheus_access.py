"""The product's client and a real Prometheus that has two clusters, lets not everybody in, or sends one elsewhere.

A Thanos or a Mimir is not run here; both answer as Prometheus does, and what they ask for beyond that is a header
(tests/unit/runtime/test_prometheus_session.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.domain import Key, SplitKind, TrafficOrder
from controller.evidence.clients.counters import Counters
from controller.evidence.clients.monitor import Answered
from controller.runtime.prometheus import Prometheus
from controller.runtime.settings import PrometheusSettings
from deploy.servers import prometheus
from prober.contract import Counts
from tests.real.test_traffic import EVERY_S, LIMIT_S, Meter
from tests.unit.runtime.proxy_metrics import Proxies, response

A = Key("default", "service-a")
ORDERS = {A: TrafficOrder(A, "eks", {"legacy": SplitKind.TRAFFICSPLIT}, {}, {})}
AWKWARD = 'le"g}a\\cy\n{$1}, \u00fc=~'
PEM = Path(__file__).parents[1] / "data" / "loopback.pem"
USER, PASSWORD = "jane", "open sesame"
BCRYPT = "$2a$10$Xfh64epqildUltRt7Cfyf.3Vqz3HfSCZmGeCBLhw.YpmPD9VS7gEq"


@pytest.fixture(autouse=True)
def _prometheus(real_prometheus: None) -> None:
    """Skip all of this where there is no Prometheus."""


def client(url: str, **settings: Any) -> Prometheus:
    """The product's client of a Prometheus of legacy."""
    asked = PrometheusSettings(url=url, **settings)
    counters = Counters(
        "legacy",
        "eks",
        gateways="linkerd-multicluster",
        apart=frozenset(),
        matchers=asked.matchers,
    )
    return Prometheus(asked, counters, Meter())


async def query(found: Prometheus) -> Answered:
    """One tick."""
    return await asyncio.to_thread(found.query, ORDERS)


async def called(found: Prometheus, proxies: Proxies, calls: int) -> Counts:
    """Let its callers make so many calls more; what is told of them once all were scraped."""
    await until(found, lambda answer: answer.newest is not None)
    proxies.count(response("service-a"), calls)
    before, total = proxies.scrapes, Counts()

    def all_heard(answer: Answered) -> bool:
        nonlocal total
        total += answer.increases.services[A].here
        return total.sent >= calls and proxies.scrapes >= before + 4

    await until(found, all_heard)
    return total


async def until(found: Prometheus, reached: Callable[[Answered], bool]) -> Answered:
    """Ask until an answer is so; that answer."""
    answer = await query(found)
    async with asyncio.timeout(LIMIT_S):
        while not reached(answer):
            await asyncio.sleep(EVERY_S / 2)
            answer = await query(found)
    return answer


def labelled(proxies: Proxies, **labels: str) -> dict[str, object]:
    """A scrape of these proxies that puts labels on all that they say."""
    return {"static_configs": [{"targets": [proxies.address], "labels": labels}]}


@asynccontextmanager
async def two_clusters(**values: str) -> AsyncIterator[tuple[str, dict[str, Proxies]]]:
    """One Prometheus with the proxies of two clusters, told apart by this value of the label ``cluster``; its
    URL, and the proxies. Pods, namespaces and Services have the same names in both."""
    async with Proxies() as legacy, Proxies() as eks:
        proxies = {"legacy": legacy, "eks": eks}
        jobs = {name: labelled(proxies[name], cluster=value) for name, value in values.items()}
        for one in proxies.values():
            one.count(response("service-a"), 1)
        async with prometheus.Prometheus(jobs, every_s=EVERY_S) as server:
            yield server.url, proxies


@pytest.mark.parametrize("value", ["legacy", AWKWARD])
async def test_of_one_prometheus_only_ones_own_series_count(value: str) -> None:
    """By a matcher, however awkward its value, calls of the other cluster's pods of the same names are nobody's."""
    async with two_clusters(legacy=value, eks="eks") as (url, proxies):
        proxies["eks"].count(response("service-a"), 1000)
        found = client(url, matchers={"cluster": value})
        await query(found)
        proxies["eks"].count(response("service-a"), 1000)
        assert await called(found, proxies["legacy"], 7) == Counts(7, 0)


async def test_matchers_that_match_nothing_are_told() -> None:
    """Where no proxy has the label's value, it is said which values there are."""
    async with two_clusters(legacy="old", eks="eks") as (url, _):
        found = client(url, matchers={"cluster": "legacy"})
        both = 'cluster="eks"; cluster="old"'
        answer = await until(found, lambda answer: both in answer.empty)
    assert (answer.error, answer.newest) == ("", None)
    assert answer.empty.startswith(
        'it has no sample of a Linkerd proxy with cluster="legacy", and some with cluster="eks";'
    )


@pytest.mark.parametrize("value", ["", "legacy"])
async def test_a_matcher_chooses_between_copies_that_an_external_label_tells_apart(
    value: str,
) -> None:
    """Where the same proxies are scraped, and federated with an external label, a matcher takes either copy:
    each call counts once."""
    async with (
        Proxies() as proxies,
        prometheus.Prometheus(
            {"linkerd-proxy": [proxies.address]},
            every_s=EVERY_S,
            external_labels={"cluster": "legacy"},
        ) as inner,
        prometheus.Prometheus(
            {
                "linkerd-proxy": [proxies.address],
                "federate": {
                    "metrics_path": "/federate",
                    "params": {"match[]": ['{job="linkerd-proxy"}']},
                    "honor_labels": True,
                    "static_configs": [{"targets": [inner.url.removeprefix("http://")]}],
                },
            },
            every_s=EVERY_S,
        ) as outer,
    ):
        proxies.count(response("service-a"), 1)
        assert await called(client(outer.url, matchers={"cluster": value}), proxies, 7) == Counts(
            7, 0
        )


async def test_user_and_password_are_let_in(tmp_path: Path) -> None:
    """Basic authentication by two files works, and its refusal is told without the password."""
    for name, text in (("user", USER), ("right", f"{PASSWORD}\n"), ("wrong", "hunter2")):
        (tmp_path / name).write_text(text)

    def by(password: str) -> dict[str, str]:
        return {
            "username_file": str(tmp_path / "user"),
            "password_file": str(tmp_path / password),
        }

    async with prometheus.Prometheus({}, web={"basic_auth_users": {USER: BCRYPT}}) as server:
        assert (await query(client(server.url, **by("right")))).error == ""
        for settings in (by("wrong"), {}):
            answer = await query(client(server.url, **settings))
            assert answer.error == "it answers HTTP 401: Unauthorized"


async def test_a_client_certificate_is_asked_for_and_shown() -> None:
    """By mutual TLS it answers who shows a certificate; who shows none, or trusts nobody, is told of it."""
    pem = str(PEM)
    tls = {
        "cert_file": pem,
        "key_file": pem,
        "client_ca_file": pem,
        "client_auth_type": "RequireAndVerifyClientCert",
    }
    async with prometheus.Prometheus({}, web={"tls_server_config": tls}) as server:
        known = {"ca_file": pem}
        shown = {"cert_file": pem, "key_file": pem}
        assert (await query(client(server.url, **known, **shown))).error == ""
        without = (await query(client(server.url, **known))).error
        untrusted = (await query(client(server.url, **shown))).error
    # It closes at once: whether TLS or the connection ends first is not ours to say.
    assert without.startswith(("TLS with it fails: ", f"it cannot be reached at {server.url}"))
    assert untrusted.startswith("TLS with it fails: ")
    assert "certificate verify failed" in untrusted


async def test_its_own_redirect_is_not_followed() -> None:
    """A path that Prometheus redirects to its clean form is an error that says what to write."""
    async with prometheus.Prometheus({}) as server:
        answer = await query(client(f"{server.url}//nowhere"))
    assert answer.error == (
        "it redirects (HTTP 301), which is not followed: write in prometheus.url where its API is"
    )
