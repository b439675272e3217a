from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from prober.settings import Settings, SettingsError, load

GOOD = "cluster: eks\ntoken_file: /tokens\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the settings are written."""
    return tmp_path / "prober.yaml"


def test_two_keys_are_enough(path: Path) -> None:
    """A cluster and a token file are all one must write."""
    path.write_text(GOOD + "name: prober-1\n")
    settings = load(path, {})
    assert settings == Settings(cluster="eks", token_file="/tokens", name="prober-1")
    assert settings.address == ("0.0.0.0", 8080)  # noqa: S104  a pod is reached from outside


def test_a_prober_is_named_after_its_host(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name the host's is taken, as a pod's is its own."""
    monkeypatch.setattr("socket.gethostname", lambda: "prober-abc")
    path.write_text(GOOD)
    assert load(path, {}).name == "prober-abc"


def test_the_environment_overrides_the_file(path: Path) -> None:
    """Each key can be set by a variable, whatever its type."""
    path.write_text(GOOD)
    settings = load(
        path,
        {
            "MIGRATE_PROBER_CONFIG": "elsewhere",
            "MIGRATE_PROBER_CLUSTER": "1",
            "MIGRATE_PROBER_CAP_PER_S": "250",
            "MIGRATE_PROBER_REFERENCE_PORT": "9090",
            "MIGRATE_PROBER_PROXY_URL": "http://127.0.0.1:4140",
            "MIGRATE_PROBER_LISTEN": "[::1]:0",
            "MIGRATE_PROBER_LOG_LEVEL": "debug",
            "OTHER": "x",
        },
    )
    assert (settings.cluster, settings.cap_per_s, settings.reference_port) == ("1", 250.0, 9090)
    assert (settings.proxy_url, settings.log_level) == ("http://127.0.0.1:4140", "debug")
    assert settings.address == ("::1", 0)


def test_the_environment_alone_is_enough() -> None:
    """Without a file the variables say it all."""
    settings = load(None, {"MIGRATE_PROBER_CLUSTER": "eks", "MIGRATE_PROBER_TOKEN_FILE": "/tokens"})
    assert settings.token_file == "/tokens"


def test_what_kubernetes_says_of_a_service_is_no_setting(path: Path) -> None:
    """A Service named migrate-prober puts variables into every container; they are not ours."""
    path.write_text(GOOD)
    load(
        path,
        {
            "MIGRATE_PROBER_SERVICE_HOST": "10.0.0.1",
            "MIGRATE_PROBER_SERVICE_PORT": "8080",
            "MIGRATE_PROBER_SERVICE_PORT_HTTP": "8080",
            "MIGRATE_PROBER_PORT": "tcp://10.0.0.1:8080",
            "MIGRATE_PROBER_PORT_8080_TCP_ADDR": "10.0.0.1",
            "MIGRATE_PROBER_METRICS_SERVICE_HOST": "10.0.0.2",
        },
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the settings lack 'cluster': write it, or set MIGRATE_PROBER_CLUSTER"),
        ("cluster: eks\n", "the settings lack 'token_file'"),
        (GOOD + "listn: x\n", "the settings have no key 'listn': write one of cluster, "),
        (GOOD + "cap_per_s: many\n", "the settings' cap_per_s is not what it must be: expected"),
        (GOOD + "cap_per_s: 0\n", "the settings' cap_per_s"),
        (GOOD + "cap_per_s: .nan\n", "the settings' cap_per_s"),
        (GOOD + "reference_port: 70000\n", "the settings' reference_port"),
        (GOOD + "reference_service: prober\n", "write <service>.<namespace>"),
        (GOOD + "domain: a_b\n", "the settings' domain 'a_b'"),
        (GOOD + "listen: 8080\n", "the settings' listen"),
        (GOOD + "listen: ':8080'\n", "write ip:port"),
        (GOOD + "listen: 127.0.0.1:99999\n", "write ip:port"),
        (GOOD + "proxy_url: https://x\n", "write http://ip:port"),
        (GOOD + "proxy_url: 'http://[x'\n", "write http://ip:port"),
        (GOOD + "allow: [127.0.0.1/8]\n", "the settings' allow '127.0.0.1/8' is no network"),
        (GOOD + "allow: [all]\n", "write it as 127.0.0.0/8"),
        (GOOD + "log_level: loud\n", "the settings' log_level"),
        ("cluster: EKS\ntoken_file: /t\n", "the settings' cluster 'EKS'"),
        ("cluster: [eks]\ntoken_file: /t\n", "the settings' cluster"),
        ("token_file: 5\ncluster: eks\n", "the settings' token_file"),
        (GOOD + "installation: My_Own\n", "the settings' installation 'My_Own' is not a name"),
        ("- cluster\n", "must be a mapping"),
        ("cluster: [\n", "are not YAML"),
    ],
)
def test_a_mistake_in_the_file_is_told_in_a_sentence(path: Path, text: str, sentence: str) -> None:
    """A mistake names its key and says what to write."""
    path.write_text(text)
    with pytest.raises(SettingsError) as told:
        load(path, {})
    assert sentence in str(told.value)


def test_a_file_that_is_not_there_is_told(path: Path) -> None:
    """A missing file is named."""
    with pytest.raises(SettingsError, match=r"cannot read the settings .*prober\.yaml"):
        load(path, {})


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("MIGRATE_PROBER_LISTN", "x", "MIGRATE_PROBER_LISTN overrides nothing"),
        ("MIGRATE_PROBER_CAP_PER_S", "many", "MIGRATE_PROBER_CAP_PER_S is 'many': write a number"),
        ("MIGRATE_PROBER_CAP_PER_S", "inf", "the settings' cap_per_s"),
        ("MIGRATE_PROBER_REFERENCE_PORT", "80.5", "the settings' reference_port"),
    ],
)
def test_a_mistake_in_the_environment_is_told_in_a_sentence(
    path: Path, variable: str, value: str, sentence: str
) -> None:
    """A mistake in a variable names it."""
    path.write_text(GOOD)
    with pytest.raises(SettingsError) as told:
        load(path, {variable: value})
    assert sentence in str(told.value)


def test_where_probes_may_go_is_closed_until_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loopback is probed where the settings allow it; the API server of this cluster never is."""
    path.write_text(GOOD)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    loopback, api, pod = map(IPv4Address, ("127.0.0.1", "10.96.0.1", "10.96.0.2"))
    closed = load(path, {}).aims
    assert [closed.why_not(each) for each in (loopback, api, pod)] == [
        "a loopback address",
        "the API server",
        "",
    ]
    opened = load(path, {"MIGRATE_PROBER_ALLOW": "127.0.0.0/8 10.9.0.0/16"}).aims
    assert [opened.why_not(each) for each in (loopback, api)] == ["", "the API server"]
