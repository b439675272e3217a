"""The settings: one file, the environment over it, and errors that say what to write."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.runtime.settings import (
    CONFIG_ENV,
    ClusterSettings,
    LeaseSettings,
    ProberSettings,
    Settings,
    SettingsError,
    example,
    load,
    reread,
)

ROOT = Path(__file__).parents[3]
SMALL = """
clusters:
  legacy: {kubeconfig: /legacy}
  eks:
lease: {cluster: legacy}
prober: {token_file: /token}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The smallest settings that are whole."""
    path = tmp_path / "controller.yaml"
    path.write_text(SMALL)
    return path


def ruling(path: Path, text: str, environ: dict[str, str] | None = None) -> str:
    """What ``load`` says about this file."""
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(path, environ or {})
    return str(caught.value)


def test_what_is_left_out_has_its_default(file: Path) -> None:
    """A file with the required keys only is enough."""
    expected = Settings(
        clusters={"legacy": ClusterSettings(kubeconfig="/legacy"), "eks": ClusterSettings()},
        lease=LeaseSettings(cluster="legacy"),
        prober=ProberSettings(token_file="/token"),
    )
    assert load(file, {}) == expected
    assert expected.lease.duration_s == 15.0
    assert expected.max_in_progress == 20
    assert expected.paused is False
    assert expected.listen_address == ("0.0.0.0", 9990)  # noqa: S104 - the default itself


def test_the_example_is_what_the_code_says() -> None:
    """``deploy/controller.example.yaml`` is ``example()``, to the letter."""
    assert (ROOT / "deploy" / "controller.example.yaml").read_text() == example()


def test_the_example_can_be_loaded() -> None:
    """The example is valid and names every key."""
    path = ROOT / "deploy" / "controller.example.yaml"
    shown = load(path, {})
    assert list(shown.clusters) == ["legacy", "eks"]
    for field in msgspec.structs.fields(Settings):
        assert f"\n{field.name}:" in path.read_text()


@pytest.mark.parametrize(
    ("variable", "word", "place", "value"),
    [
        ("LEASE__DURATION_S", "5", "lease.duration_s", 5.0),
        ("PAUSED", "true", "paused", True),
        ("MAX_IN_PROGRESS", "7", "max_in_progress", 7),
        ("LISTEN", "127.0.0.1:0", "listen", "127.0.0.1:0"),
        ("PROBER__PROXY_URL", "http://127.0.0.1:1", "prober.proxy_url", "http://127.0.0.1:1"),
        ("PROBER__PROXY_URL", "", "prober.proxy_url", None),
    ],
)
def test_the_environment_overrides(
    file: Path, variable: str, word: str, place: str, value: object
) -> None:
    """A variable overrides the value at its path, read as that value's type; empty is null."""
    found: object = load(file, {f"MIGRATE_CONTROLLER_{variable}": word})
    for name in place.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_the_environment_names_clusters_with_hyphens(file: Path) -> None:
    """In a cluster's name ``_`` stands for ``-``, while other keys keep theirs."""
    file.write_text(SMALL.replace("eks", "eks-prod"))
    settings = load(file, {"MIGRATE_CONTROLLER_CLUSTERS__EKS_PROD__GATEWAY_NAMESPACE": "mesh"})
    assert settings.clusters["eks-prod"].gateway_namespace == "mesh"


def test_an_override_is_of_one_place_even_where_yaml_shares_it(file: Path) -> None:
    """Of two clusters written as one YAML alias, an override changes the one it names."""
    file.write_text(SMALL.replace("{kube", "&a {kube").replace("eks:", "eks: *a"))
    settings = load(file, {"MIGRATE_CONTROLLER_CLUSTERS__EKS__CONTEXT": "eks"})
    assert settings.clusters["legacy"].context is None
    assert settings.clusters["eks"] == ClusterSettings(kubeconfig="/legacy", context="eks")


def test_the_environment_alone_is_enough(file: Path) -> None:
    """Every value can come from the environment, sections that are missing in the file too."""
    file.write_text("lease:\n")
    prefix = "MIGRATE_CONTROLLER_"
    settings = load(
        file,
        {
            f"{prefix}CLUSTERS__LEGACY__KUBECONFIG": "/a",
            f"{prefix}CLUSTERS__EKS__KUBECONFIG": "/b",
            f"{prefix}LEASE__CLUSTER": "eks",
            f"{prefix}PROBER__TOKEN_FILE": "/token",
        },
    )
    assert settings.clusters["eks"].kubeconfig == "/b"
    assert settings.lease.cluster == "eks"


@pytest.mark.parametrize(
    "variable",
    [
        CONFIG_ENV,
        "PATH",
        "MIGRATE_PROBER_LISTEN",
        "MIGRATE_CONTROLLER_SERVICE_HOST",
        "MIGRATE_CONTROLLER_SERVICE_PORT_METRICS",
        "MIGRATE_CONTROLLER_PORT",
        "MIGRATE_CONTROLLER_PORT_9990_TCP_ADDR",
    ],
)
def test_other_peoples_variables_are_let_be(file: Path, variable: str) -> None:
    """The file's own variable, others' and those Kubernetes sets for a Service are no overrides."""
    assert load(file, {variable: "tcp://10.0.0.1:9990"}) == load(file, {})


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (
            {"MIGRATE_CONTROLLER_LEASE__DURATIONS": "5"},
            (
                "lease.durations (from MIGRATE_CONTROLLER_LEASE__DURATIONS): unknown key; "
                "did you mean duration_s?"
            ),
        ),
        (
            {"MIGRATE_CONTROLLER_LEAS__DURATION_S": "5"},
            "leas (from MIGRATE_CONTROLLER_LEAS__DURATION_S): unknown key; did you mean lease?",
        ),
        (
            {"MIGRATE_CONTROLLER_LEASE__DURATION_S": "long"},
            (
                "lease.duration_s (from MIGRATE_CONTROLLER_LEASE__DURATION_S): is 'long'; "
                "write seconds a leader may go without renewing, from 1 to 300"
            ),
        ),
        (
            {"MIGRATE_CONTROLLER_LEASE": "5"},
            "lease (from MIGRATE_CONTROLLER_LEASE): is '5'; write a mapping of keys",
        ),
        (
            {"MIGRATE_CONTROLLER_CLUSTERS__LEGACY__KUBECONFIG__X": "5"},
            (
                "MIGRATE_CONTROLLER_CLUSTERS__LEGACY__KUBECONFIG__X: clusters.legacy.kubeconfig "
                "holds no keys to override"
            ),
        ),
    ],
)
def test_a_wrong_variable_is_named(file: Path, environ: dict[str, str], told: str) -> None:
    """An override that cannot be used is an error that names the place and the variable."""
    assert ruling(file, SMALL, environ) == told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "kubeconfig",
            "kubconfig",
            "clusters.legacy.kubconfig: unknown key; did you mean kubeconfig?",
        ),
        ("prober", "zzz", "zzz: unknown key; known are clusters, lease, prober, traffic"),
        ("{cluster: legacy}", "", "lease.cluster: is missing; write the cluster that holds"),
        ("{cluster: legacy}", "5", "lease: is 5; write a mapping of keys"),
        ("cluster: legacy", "cluster: other", "lease.cluster: is 'other'; write legacy or eks"),
        ("  eks:\n", "", "clusters: has 1; write exactly two"),
        ("  eks:\n", "  eks:\n  aks:\n", "clusters: has 3; write exactly two"),
        ("eks:", "EKS:", "clusters.EKS: is 'EKS'; write a DNS label"),
        ("eks:", f"{'e' * 64}:", "write a DNS label: at most 63"),
        ("eks:", "-eks:", "clusters.-eks: is '-eks'; write a DNS label"),
        ("eks:", "1:", "clusters.1: is 1; write a DNS label"),
        ("{kubeconfig: /legacy}", "", "clusters.eks: is the same cluster as legacy"),
        ("/token", "null", "prober.token_file: is null; write the path of the file"),
        ("/token", "''", "prober.token_file: is ''; write the path of the file"),
        ("/token}", "/token, streams: 1}", "prober.streams: is 1; write streams to each prober"),
        ("/token}", "/token, streams: 9}", "prober.streams: is 9; write streams to each prober"),
        ("/token}", "/token, streams: 2.5}", "prober.streams: is 2.5"),
        ("/token}", "/token, proxy_url: ftp://a}", "prober.proxy_url: is 'ftp://a'; write the"),
        ("/legacy}", "/legacy, prober: host:1}", "clusters.legacy.prober: is 'host:1'; write ws:/"),
        ("legacy}\nprober", "legacy, duration_s: 0.9}\nprober", "lease.duration_s: is 0.9; write"),
        ("legacy}\nprober", "legacy, duration_s: 301}\nprober", "lease.duration_s: is 301; write"),
        ("legacy}\nprober", "legacy, duration_s: .nan}\nprober", "lease.duration_s: is nan; write"),
        ("lease", "paused: 1\nlease", "paused: is 1; write true"),
        ("lease", "max_in_progress: 0\nlease", "max_in_progress: is 0; write how many"),
        ("lease", "max_in_progress: true\nlease", "max_in_progress: is True; write how many"),
        ("lease", "listen: '9990'\nlease", "listen: is '9990'; write host:port"),
        ("lease", "listen: 'a:65536'\nlease", "listen: is 'a:65536'; write a port up to 65535"),
        (
            "lease",
            "domain: 'a b'\nlease",
            "domain: is 'a b'; write the DNS domain of a cluster",
        ),
        ("lease", 'domain: "a\\n"\nlease', "domain: is 'a\\n'; write the DNS domain"),
        ("lease", "log_level: loud\nlease", "log_level: is 'loud'; write debug, info, warning or"),
        ("lease", "otlp_endpoint: host:4318\nlease", "otlp_endpoint: is 'host:4318'; write the ht"),
    ],
)
def test_a_wrong_value_says_what_to_write(file: Path, old: str, new: str, told: str) -> None:
    """An unknown key, a wrong type or a value out of range is told with its path and the remedy."""
    assert old in SMALL
    assert told in ruling(file, SMALL.replace(old, new, 1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "clusters: is missing; write exactly two clusters"),
        ("- a\n", "the file: is ['a']; write a mapping of keys"),
        ("clusters: [\n", "line 2 is no YAML"),
        ("paused: true\npaused: false\n", "line 2 is no YAML: paused is written twice"),
        ("a: !!python/object:os.system {}\n", "line 1 is no YAML"),
        ("\x00", "is no YAML"),
        ("? [a]\n: b\n", "line 1 is no YAML"),
        ("domain: 2026-99-99\n", "is no YAML: month must be in 1..12"),
        ("lease: &lease {cluster: *lease}\n", "is nested too deep"),
        ("[" * 10_000, "is nested too deep"),
    ],
)
def test_a_file_that_is_no_settings_is_told(file: Path, text: str, told: str) -> None:
    """A file that is no YAML mapping is an error that says where."""
    assert told in ruling(file, text)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A missing file and one that is no text are errors that name it."""
    path = tmp_path / "none.yaml"
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read: No such file"):
        load(path, {})
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"none\.yaml: is no UTF-8 text"):
        load(path, {})


def test_an_ipv6_address_can_be_listened_at(file: Path) -> None:
    """Brackets around an IPv6 address are taken off for the socket."""
    settings = load(file, {"MIGRATE_CONTROLLER_LISTEN": "[::1]:9990"})
    assert settings.listen_address == ("::1", 9990)


def test_reread_takes_what_may_change_and_nothing_else(file: Path) -> None:
    """Of a changed file only ``max_in_progress`` and ``paused`` are taken while running."""
    current = load(file, {})
    file.write_text(SMALL + "paused: true\nmax_in_progress: 3\ndomain: other\nrelist_s: 7\n")
    assert reread(file, {}, current) == msgspec.structs.replace(
        current, paused=True, max_in_progress=3
    )


def test_reread_returns_the_error_of_a_broken_file(file: Path) -> None:
    """A file broken while running raises nothing: its error is a value, to be told."""
    current = load(file, {})
    file.write_text(SMALL + "max_in_progress: 0\n")
    error = reread(file, {}, current)
    assert isinstance(error, SettingsError)
    assert str(error).startswith("max_in_progress: is 0")
    file.unlink()
    assert isinstance(reread(file, {}, current), SettingsError)


KEYS = st.sampled_from(
    ["clusters", "legacy", "lease", "cluster", "prober", "paused", "listen", "x"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(KEYS | LEAVES, inner)


TREES = st.recursive(LEAVES, _branches, max_leaves=20)


@given(tree=TREES, variable=st.lists(KEYS), word=st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_written_raises_anything_else(
    file: Path, tree: object, variable: list[str], word: str
) -> None:
    """Whatever stands in the file and the environment, the answer is settings or a SettingsError."""
    file.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    environ = {f"MIGRATE_CONTROLLER_{'__'.join(variable).upper()}": word}
    with contextlib.suppress(SettingsError):
        load(file, environ)
