"""Settings of a Prometheus: whose series it has, what is sent to it, and that no message quotes a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controller.runtime.settings import PrometheusSettings, SettingsError, load

URL = "http://thanos-query:9090"
HALF = "clusters.legacy.prometheus"


def loaded(
    folder: Path, legacy: Any = None, eks: Any = None, **environ: str
) -> tuple[PrometheusSettings, ...]:
    """Load settings whose clusters have these for their Prometheus; what was read of each."""
    file = folder / "controller.yaml"
    file.write_text(
        json.dumps(
            {
                "clusters": {
                    "legacy": {"kubeconfig": "/legacy", "prometheus": legacy},
                    "eks": {"prometheus": eks},
                },
                "lease": {"cluster": "legacy"},
                "prober": {"token_file": "/token"},
            }
        )
    )
    return tuple(cluster.prometheus for cluster in load(file, environ).clusters.values())


def told(folder: Path, legacy: Any = None, eks: Any = None, **environ: str) -> str:
    """What is said about settings that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        loaded(folder, legacy, eks, **environ)
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://jane:hunter2@thanos:9090",
        "http://jane:hun@ter2@thanos",
        "http://jane:hun/ter2@thanos",
        "https://hunter2@thanos/api",
        "https://thanos/api?token=hunter2",
        "https://thanos/api#hunter2",
    ],
)
def test_a_url_with_a_secret_is_refused_and_not_quoted(tmp_path: Path, url: str) -> None:
    """A user, a password or a query in the URL is refused with what to write, from a file or a variable, and
    the message shows the rest of the URL alone."""
    variable = "MIGRATE_CONTROLLER_CLUSTERS__LEGACY__PROMETHEUS__URL"
    for said in (told(tmp_path, {"url": url}), told(tmp_path, **{variable: url})):
        assert "write the http(s):// URL of a Prometheus" in said
        assert "with no user or password in it" in said
        assert "***" in said
        assert not any(part in said for part in ("hunter2", "hun@", "hun/", "ter2", "jane"))
    assert "hunter2" not in told(tmp_path, [url.replace("hun/ter2", "hunter2")])


@pytest.mark.parametrize(
    "url",
    [
        "http://prometheus",
        "https://prometheus.example.com:9443/prometheus/",
        "http://[2001:db8::1]:9090",
        "https://mimir/tenants/a@b/prometheus",
    ],
)
def test_every_other_url_is_taken(tmp_path: Path, url: str) -> None:
    """A URL with a port, a path (also one with @) or an IPv6 address is as good as the shortest."""
    assert loaded(tmp_path, {"url": url})[0].url == url


@pytest.mark.parametrize(
    ("legacy", "eks"),
    [
        ({}, {}),
        ({"matchers": {"cluster": "legacy"}}, {}),
        ({"matchers": {"cluster": "one"}}, {"matchers": {"cluster": "one"}}),
        ({"matchers": {"cluster": "legacy"}}, {"matchers": {"region": "eu"}}),
        ({"tenant": "legacy"}, {}),
        ({"tenant": "one"}, {"tenant": "one"}),
        ({"headers_file": "/one"}, {"headers_file": "/other"}),
        ({"url": "http://THANOS-query:9090/"}, {}),
    ],
)
def test_one_prometheus_taken_for_two_is_refused(
    tmp_path: Path, legacy: dict[str, Any], eks: dict[str, Any]
) -> None:
    """The same URL, however it is spelled, with nothing that tells the clusters' series apart is refused."""
    said = told(tmp_path, {"url": URL, **legacy}, {"url": URL, **eks})
    assert said == (
        "clusters.eks.prometheus.url: is that of legacy too, and nothing tells their series apart; give both"
        " matchers in which a label differs, as {cluster: legacy} and {cluster: eks}, or tenants that differ"
    )


@pytest.mark.parametrize(
    ("legacy", "eks"),
    [
        (
            {"matchers": {"cluster": "legacy", "env": "prod"}},
            {"matchers": {"cluster": "eks", "env": "prod"}},
        ),
        ({"matchers": {"cluster": ""}}, {"matchers": {"cluster": "eks"}}),
        ({"tenant": "legacy"}, {"tenant": "eks"}),
        ({"url": f"{URL}/legacy"}, {"url": f"{URL}/eks"}),
        ({"url": "http://prometheus"}, {"url": "https://prometheus"}),
        ({"url": None}, {}),
    ],
)
def test_series_that_are_told_apart_are_taken(
    tmp_path: Path, legacy: dict[str, Any], eks: dict[str, Any]
) -> None:
    """A label or a tenant that differs tells one Prometheus's series apart; two URLs need neither."""
    assert len(loaded(tmp_path, {"url": URL, **legacy}, {"url": URL, **eks})) == 2


def test_the_environment_may_name_a_matcher(tmp_path: Path) -> None:
    """A matcher is one more level of a variable's name."""
    place = "MIGRATE_CONTROLLER_CLUSTERS__LEGACY__PROMETHEUS__MATCHERS__CLUSTER"
    assert loaded(tmp_path, **{place: "old"})[0].matchers == {"cluster": "old"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"matchers": {"a-b": "c"}}, f"{HALF}.matchers.a-b: is 'a-b'; write a label's name"),
        (
            {"matchers": {"__name__": "c"}},
            f"{HALF}.matchers.__name__: is '__name__'; write a label",
        ),
        ({"matchers": {"cluster": 7}}, f"{HALF}.matchers.cluster: is 7; write the label's value"),
        ({"matchers": "cluster"}, f"{HALF}.matchers: is 'cluster'; write a mapping of keys"),
        ({"tenant": "a b"}, f"{HALF}.tenant: is 'a b'; write what is sent as X-Scope-OrgID"),
        ({"username_file": "/u"}, f"{HALF}.password_file: is missing; username_file needs it"),
        ({"password_file": "/p"}, f"{HALF}.username_file: is missing; password_file needs it"),
        ({"cert_file": "/c"}, f"{HALF}.key_file: is missing; cert_file needs it"),
        ({"key_file": "/k"}, f"{HALF}.cert_file: is missing; key_file needs it"),
        (
            {"token_file": "/t", "username_file": "/u", "password_file": "/p"},
            f"{HALF}.token_file: stands beside username_file; write one of the two",
        ),
        ({"password": "hunter2"}, f"{HALF}.password: unknown key; did you mean password_file?"),
    ],
)
def test_what_cannot_be_sent_is_refused(tmp_path: Path, written: dict[str, Any], said: str) -> None:
    """A matcher that is none, half of a pair, two authentications at once, and a secret in place of its file
    are told with what to write."""
    found = told(tmp_path, written)
    assert found.startswith(said)
    assert "hunter2" not in found
