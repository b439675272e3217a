"""Credentials that run out, rotate, hang or are garbage: exec plugins, token files, projected tokens."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_asyncio.config import incluster_config

from controller.kube.api import Chance, Cluster, ClusterAccess, Pace, Unavailable
from controller.kube.api.exec_credential import PluginError, issue
from controller.kube.objects import Resource
from tests.unit.kube.scripted_api import (
    LOG,
    Server,
    Silent,
    answer,
    kubeconfig,
    made_cluster,
    page,
    service,
    serving,
    status,
    until,
    watch,
)

LOOPBACK = Path(__file__).parents[2] / "data" / "loopback.pem"
"""A key and its certificate for 127.0.0.1, made for these tests and trusted by nobody else."""

API = "client.authentication.k8s.io/v1"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """An API server that says what the test wrote down."""
    async with serving() as made:
        yield made


def plugin(folder: Path, *lines: str) -> dict[str, Any]:
    """Write a plugin, and give the user of a kubeconfig that runs it; ``give`` prints a status."""
    path = folder / "plugin.py"
    head = (
        "import json, os, pathlib, subprocess, sys, time",
        f"folder = pathlib.Path({str(folder)!r})",
        "def give(status, version=" + repr(API) + "):",
        "    print(json.dumps({'apiVersion': version, 'kind': 'ExecCredential', 'status': status}))",
    )
    path.write_text("\n".join((*head, *lines)) + "\n")
    return {"exec": {"apiVersion": API, "command": sys.executable, "args": [str(path)]}}


COUNTED = (
    "runs = folder / 'runs'",
    "n = len(runs.read_text()) if runs.exists() else 0",
    "runs.write_text('x' * (n + 1))",
)
HANGS = (
    "fifo = open(folder / 'fifo', 'w')",
    "subprocess.Popen(['sleep', '600'], stdout=fifo)",
    "time.sleep(600)",
)
"""It and its child hold the pipe open: whoever reads it hears of the end of both."""


def rewrite(access: ClusterAccess, differs: dict[str, Any]) -> None:
    """Write something else into a kubeconfig."""
    path = Path(access.kubeconfig or "")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | differs))


async def ends(fifo: Path) -> None:
    """Wait until everybody who holds the other end of the pipe is gone, 10 s at most."""
    async with asyncio.timeout(10):
        await asyncio.to_thread(fifo.read_bytes)


def runs(folder: Path) -> int:
    """How often the plugin ran."""
    path = folder / "runs"
    return len(path.read_text()) if path.exists() else 0


# --- exec plugins ---------------------------------------------------------------------------------


async def test_a_plugin_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """At its deadline a plugin is told of in a sentence, and neither it nor its children live on."""
    os.mkfifo(tmp_path / "fifo")
    over = asyncio.create_task(ends(tmp_path / "fifo"))
    section = plugin(tmp_path, *HANGS)["exec"]
    with pytest.raises(PluginError, match=r"gave no answer in 1.5 s"):
        await issue(section, "", deadline_s=1.5)
    await over


async def test_requests_do_not_wait_for_a_plugin_that_hangs(server: Server, tmp_path: Path) -> None:
    """Each request ends at its own deadline, nothing of it was sent, and all of them ran one plugin."""
    os.mkfifo(tmp_path / "fifo")
    over = asyncio.create_task(ends(tmp_path / "fifo"))
    access = kubeconfig(tmp_path, server.url, plugin(tmp_path, *COUNTED, *HANGS))
    async with made_cluster(access, deadline_s=0.5) as cluster:
        asked = [cluster.patch(Resource.SERVICES, "n", "a", {}) for _ in range(5)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        await until(lambda: runs(tmp_path) > 0)
    await over  # closing the cluster ends the plugin
    assert {str(answer) for answer in answers} == {"no credentials within 0.5 s"}
    assert not any(isinstance(a, Unavailable) and a.outcome_unknown for a in answers)
    assert (runs(tmp_path), server.asked) == (1, [])


async def test_a_plugin_may_be_slower_than_a_request(server: Server, tmp_path: Path) -> None:
    """What a plugin gives after the request that asked for it gave up serves the next one."""
    gate = tmp_path / "gate"
    slow = f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    access = kubeconfig(
        tmp_path, server.url, plugin(tmp_path, *COUNTED, slow, "give({'token': 't'})")
    )
    server.always = answer(service("a"))
    async with made_cluster(access, deadline_s=0.2) as cluster:
        with pytest.raises(Unavailable, match="no credentials"):
            await cluster.get(Resource.SERVICES, "n", "a")
        gate.touch()
        await until(lambda: cluster.transport._credentials is not None)
        await cluster.get(Resource.SERVICES, "n", "a")
    assert server.asked[0].headers["Authorization"] == "Bearer t"
    assert runs(tmp_path) == 1


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["sys.exit('no session: log in')"], "ended with 1: no session: log in"),
        (["sys.exit(3)"], "ended with 3: without a word"),
        (["print('oops')"], "printed no ExecCredential"),
        (["print('[' * 100000)"], "printed no ExecCredential"),
        (["print(json.dumps(['no', 'object']))"], "printed no ExecCredential"),
        (["give('none')"], "printed no ExecCredential"),
        (["give({})"], "neither a token nor a certificate"),
        (["give({'token': ''})"], "neither a token nor a certificate"),
        (["give({'clientCertificateData': 'x'})"], "neither a token nor a certificate"),
        (["give({'token': 't'}, 'v0')"], "answers in v0, the kubeconfig asks for"),
        (["give({'token': 't', 'expirationTimestamp': 'soon'})"], "printed no ExecCredential"),
        (["sys.stdout.write('x' * (2 << 20))"], "printed more than"),
        (["sys.stderr.write('x' * (2 << 20))"], "printed more than"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_plugin_without_credentials_is_a_sentence(
    tmp_path: Path, lines: list[str], sentence: str
) -> None:
    """Whatever a plugin prints or ends with, the answer says which plugin and what was wrong."""
    access = kubeconfig(tmp_path, "http://127.0.0.1:1", plugin(tmp_path, *lines))
    with pytest.raises(Unavailable, match=sentence) as raised:
        await access.load()
    assert str(raised.value).startswith("credentials: the exec plugin")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"command": "no-such-plugin", "installHint": "get it"}, "cannot be started: .*: get it"),
        ({"command": "/dev/null"}, "cannot be started"),
        ({"command": "a\0b"}, "cannot be started"),
        ({}, "malformed: .*command"),
        ({"command": ["sh"]}, "malformed"),
        ({"command": "sh", "env": {"A": "b"}}, "malformed"),
    ],
)
async def test_a_plugin_that_cannot_be_run_is_a_sentence(
    section: dict[str, Any], sentence: str
) -> None:
    """A section that names no program is answered with what is wrong in it, and the hint that it has."""
    with pytest.raises(PluginError, match=sentence):
        await issue({"apiVersion": API, **section}, "")


async def test_a_plugin_is_told_what_kubectl_tells_it(tmp_path: Path) -> None:
    """Arguments, variables and KUBERNETES_EXEC_INFO reach a plugin whose path is relative to the kubeconfig."""
    path = tmp_path / "tell"
    path.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "told = '-'.join([sys.argv[1], os.environ['WHERE'], info['kind'], sys.stdin.read()])\n"
        "print(json.dumps({'apiVersion': info['apiVersion'], 'status': {'token': told}}))\n"
    )
    path.chmod(0o700)
    user = {
        "exec": {
            "apiVersion": API,
            "command": "./tell",
            "args": ["--a"],
            "env": [{"name": "WHERE", "value": "here"}],
        }
    }
    loaded = await kubeconfig(tmp_path, "http://127.0.0.1:1", user).load()
    assert await loaded.authorization() == "Bearer --a-here-ExecCredential-"


class Clock:
    """A monotonic clock that moves when told."""

    now_s = 0.0

    def monotonic(self) -> float:
        """The time."""
        return self.now_s


def clocked(access: ClusterAccess, clock: Clock) -> Cluster:
    """A cluster whose time is the clock's."""
    chance = Chance(monotonic=clock.monotonic)
    return Cluster("eks", access, meter=Silent(), log=LOG, chance=chance, deadline_s=20)


EXPIRING = (
    *COUNTED,
    "left = time.gmtime(time.time() + 1000)",
    "give({'token': f't{n}', 'expirationTimestamp': time.strftime('%Y-%m-%dT%H:%M:%SZ', left)})",
)


async def test_a_token_is_renewed_before_it_runs_out(server: Server, tmp_path: Path) -> None:
    """In the last quarter of a token's life another is fetched beside the requests, and none waits for it."""
    server.always = answer(service("a"))
    clock = Clock()
    access = kubeconfig(tmp_path, server.url, plugin(tmp_path, *EXPIRING))
    async with clocked(access, clock) as cluster:
        for now_s in (0.0, 700.0, 760.0):
            clock.now_s = now_s
            await cluster.get(Resource.SERVICES, "n", "a")
        await until(lambda: cluster.transport._loading is None)
        await cluster.get(Resource.SERVICES, "n", "a")
    used = [request.headers["Authorization"] for request in server.asked]
    assert used == ["Bearer t0", "Bearer t0", "Bearer t0", "Bearer t1"]
    assert runs(tmp_path) == 2


async def test_a_token_that_cannot_be_renewed_is_used_on(server: Server, tmp_path: Path) -> None:
    """Where the renewal fails the old token goes on, and the plugin is not run with every request."""
    server.always = answer(service("a"))
    clock = Clock()
    broken = (*EXPIRING[:3], "n and sys.exit('no session')", *EXPIRING[3:])
    access = kubeconfig(tmp_path, server.url, plugin(tmp_path, *broken))
    async with clocked(access, clock) as cluster:
        await cluster.get(Resource.SERVICES, "n", "a")
        for now_s in (800.0, 801.0, 802.0, 811.0):
            clock.now_s = now_s
            await cluster.get(Resource.SERVICES, "n", "a")
            await until(lambda: cluster.transport._loading is None)
    assert {request.headers["Authorization"] for request in server.asked} == {"Bearer t0"}
    assert runs(tmp_path) == 3


async def test_a_certificate_from_a_plugin_is_shown(tmp_path: Path) -> None:
    """A plugin may give a certificate with its key instead of a token, and neither stays on the disk."""
    key, _, certificate = LOOPBACK.read_text().partition("-----END PRIVATE KEY-----\n")
    pair = {
        "clientCertificateData": certificate,
        "clientKeyData": key + "-----END PRIVATE KEY-----\n",
    }
    user = plugin(tmp_path, f"give({pair!r})")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(LOOPBACK))
    context.load_cert_chain(LOOPBACK)
    context.verify_mode = ssl.CERT_REQUIRED

    async def handle(_: web.Request) -> web.Response:
        return web.json_response(service("a"))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        access = kubeconfig(tmp_path, url, user)
        cluster = {"server": url, "certificate-authority": str(LOOPBACK)}
        rewrite(access, {"clusters": [{"name": "c", "cluster": cluster}]})
        async with made_cluster(access, deadline_s=20) as made:
            await made.get(Resource.SERVICES, "n", "a")
    finally:
        await runner.cleanup()


# --- tokens ---------------------------------------------------------------------------------------


async def test_a_watch_that_is_refused_reads_the_token_anew(server: Server, tmp_path: Path) -> None:
    """Where a token runs out between list and watch the watch opens with the new one, without a pause."""
    token = tmp_path / "token"
    token.write_text("old")

    async def refuse(request: web.Request) -> web.StreamResponse:
        token.write_text("new")
        return await status(401, "Unauthorized")(request)

    server.script.extend([page(service("a")), refuse, watch(server)])
    cluster = made_cluster(kubeconfig(tmp_path, server.url, {"tokenFile": str(token)}))
    observed: list[Any] = []
    async with cluster, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_services_of(cluster, observed))
        await until(lambda: any(getattr(change, "current", False) for change in observed))
        task.cancel()
    assert [r.headers["Authorization"] for r in server.asked] == [
        "Bearer old",
        "Bearer old",
        "Bearer new",
    ]
    assert server.kinds == ["list", "watch@10", "watch@10"]


async def _services_of(cluster: Cluster, observed: list[Any]) -> None:
    from controller.kube.api.reflector import Reflector  # noqa: PLC0415 - of one resource only here

    await Reflector(
        "eks", Resource.SERVICES, cluster.transport, cluster._places, observed.append,
        meter=Silent(), log=LOG, pace=Pace(), chance=Chance(),
    ).run()  # fmt: skip


async def test_a_projected_token_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token that the kubelet rotates is read again each minute, and at once when it is refused."""
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("one\n")
    authority.write_bytes(LOOPBACK.read_bytes())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    access = ClusterAccess()
    loaded = await access.load()
    assert await loaded.authorization() == "Bearer one"
    token.write_text("two\n")
    assert await loaded.authorization() == "Bearer one"
    assert await (await access.load()).authorization() == "Bearer two"
    monkeypatch.setattr(incluster_config, "TOKEN_REFRESH_PERIOD", timedelta(0))
    loaded = await access.load()
    token.write_text("three\n")
    assert await loaded.authorization() == "Bearer three"
    token.unlink()
    with pytest.raises(Unavailable, match="credentials"):
        await loaded.authorization()


@pytest.mark.parametrize("token", ["two\nlines", "bell\a", "ümlaut"])
async def test_a_token_that_is_none_is_a_sentence(
    server: Server, tmp_path: Path, token: str
) -> None:
    """A token that cannot stand in a header is trouble to be retried, and is not shown."""
    async with made_cluster(kubeconfig(tmp_path, server.url, {"token": token})) as cluster:
        with pytest.raises(Unavailable, match="no token has") as raised:
            await cluster.get(Resource.SERVICES, "n", "a")
    assert token not in str(raised.value)
    assert server.asked == []


# --- kubeconfigs ----------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=20)


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)


ANYTHING = st.recursive(
    SCALARS,
    _branches,
    max_leaves=8,
)
# No key is as long as apiVersion, so that no exec section among them names a program to run.
SERVERS = st.sampled_from(["http://127.0.0.1:1", "https://[::", "nowhere", "", "//"]) | ANYTHING
USERS = ANYTHING | st.fixed_dictionaries(
    {}, optional={"token": ANYTHING, "tokenFile": ANYTHING, "username": ANYTHING, "exec": ANYTHING}
)


@given(
    server=SERVERS,
    user=USERS,
    spoiled=st.sampled_from(["", "clusters", "contexts", "users", "current-context"]),
    value=ANYTHING,
)
async def test_no_kubeconfig_breaks_the_controller(
    tmp_path_factory: pytest.TempPathFactory, server: Any, user: Any, spoiled: str, value: Any
) -> None:
    """Whatever a kubeconfig holds, loading it gives credentials, or trouble in a sentence."""
    folder = tmp_path_factory.mktemp("kubeconfig")
    access = kubeconfig(folder, server, user)
    if spoiled:
        rewrite(access, {spoiled: value})
    try:
        loaded = await access.load()
        await loaded.authorization()
    except Unavailable as error:
        assert str(error).startswith("credentials: ")  # noqa: PT017 - both ends are good


@given(st.binary(max_size=200))
async def test_no_bytes_for_a_kubeconfig_break_the_controller(
    tmp_path_factory: pytest.TempPathFactory, written: bytes
) -> None:
    """A file that is no kubeconfig at all is trouble in a sentence."""
    path = tmp_path_factory.mktemp("kubeconfig") / "kubeconfig"
    path.write_bytes(written)
    with pytest.raises(Unavailable, match="credentials: "):
        await ClusterAccess(str(path)).load()


# --- what a kubeconfig may not ask --------------------------------------------------------------------


UNSUPPORTED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"as": "admin"}, {}, 'the user "u" of the kubeconfig has as, and nobody is impersonated here'),
    ({"as-uid": "7"}, {}, "has as-uid"),
    ({"as-groups": ["system:masters"]}, {}, "has as-groups"),
    ({"as-user-extra": {"reason": ["x"]}}, {}, "has as-user-extra"),
    ({"auth-provider": {"name": "azure", "config": {}}}, {}, "use its exec plugin instead"),
    ({}, {"proxy-url": "socks5://me:secret@10.0.0.1:1080"}, "is no http:// or https:// URL"),
    ({}, {"proxy-url": "10.0.0.1:3128"}, "is no http:// or https:// URL"),
    ({}, {"proxy-url": "http://["}, "is no http:// or https:// URL"),
]


@pytest.mark.parametrize(("user", "cluster", "sentence"), UNSUPPORTED)
async def test_what_would_be_left_out_is_refused(
    server: Server, tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], sentence: str
) -> None:
    """Who is to act as somebody else, or by a proxy that is none here, asks nothing, and no password is told."""
    access = kubeconfig(tmp_path, server.url, user)
    rewrite(access, {"clusters": [{"name": "c", "cluster": {"server": server.url, **cluster}}]})
    async with made_cluster(access) as asked:
        with pytest.raises(Unavailable) as refused:
            await asked.get(Resource.SERVICES, "n", "a")
    assert sentence in str(refused.value)
    assert "secret" not in str(refused.value)
    assert server.asked == []


@pytest.mark.parametrize(
    "cluster",
    [{}, {"proxy-url": "http://10.0.0.1:3128"}, {"proxy-url": "https://proxy.example.com:3128"}],
)
async def test_what_is_supported_is_let_be(tmp_path: Path, cluster: dict[str, Any]) -> None:
    """A user without impersonation, and no proxy or one of HTTP, are taken."""
    access = kubeconfig(tmp_path, "http://127.0.0.1:1", {"as": "", "token": "t"})
    rewrite(
        access,
        {"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1", **cluster}}]},
    )
    assert (await access.load()).proxy == cluster.get("proxy-url")
