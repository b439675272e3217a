from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.kube.api import (
    AlreadyExists,
    ApiError,
    Cluster,
    ClusterAccess,
    Conflict,
    NotFound,
    Refused,
    Unavailable,
)
from controller.kube.objects import Resource, ServiceObject
from tests.unit.kube.scripted_api import (
    Handler,
    Server,
    answer,
    cut,
    html,
    kubeconfig,
    made_cluster,
    service,
    serving,
    stall,
    status,
    until,
    watch,
)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Serve on a port of its own."""
    async with serving() as made:
        yield made


@pytest.fixture
async def cluster(server: Server, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Return a cluster at the server."""
    async with made_cluster(kubeconfig(tmp_path, server.url)) as made:
        yield made


# --- single requests -----------------------------------------------------------------------------------


async def test_patch_is_a_merge_patch(server: Server, cluster: Cluster) -> None:
    """Every patch says its content type and who writes, of an object and of its status."""
    server.always = answer(service("a", 2))
    body = {"metadata": {"resourceVersion": "1"}, "spec": {"x": None}}
    found = await cluster.patch(Resource.SERVICES, "n", "a", body)
    await cluster.patch(Resource.MIGRATIONS, "n", "a", body, subresource="status")
    assert isinstance(found, ServiceObject)
    assert found.metadata.resource_version == "2"
    assert [r.path for r in server.asked] == [
        "/api/v1/namespaces/n/services/a",
        "/apis/migrate.tradeshift/v1alpha1/namespaces/n/migrations/a/status",
    ]
    for request, sent in zip(server.asked, server.bodies, strict=True):
        assert request.method == "PATCH"
        assert request.headers["Content-Type"] == "application/merge-patch+json"
        assert request.query["fieldManager"] == "migrate-controller"
        assert json.loads(sent) == body


async def test_create_names_the_kind_that_is_served(server: Server, cluster: Cluster) -> None:
    """What is made has the kind and version that the cluster serves, whatever the body said."""
    server.script += [
        answer({"versions": [{"version": "v1alpha1"}]}),
        answer({"resources": [{"name": "trafficsplits"}]}),
        answer(service("a"), 201),
    ]
    body = {"apiVersion": "split.smi-spec.io/v1alpha2", "metadata": {"name": "a"}}
    await cluster.create(Resource.TRAFFICSPLITS, "n", body)
    assert server.asked[2].path == "/apis/split.smi-spec.io/v1alpha1/namespaces/n/trafficsplits"
    assert json.loads(server.bodies[2]) == {
        "apiVersion": "split.smi-spec.io/v1alpha1",
        "kind": "TrafficSplit",
        "metadata": {"name": "a"},
    }


async def test_split_kind_that_is_not_served(server: Server, cluster: Cluster) -> None:
    """Where the group is absent, asking for one of its objects is NotFound."""
    server.script.append(status(404))
    with pytest.raises(NotFound):
        await cluster.get(Resource.TRAFFICSPLITS, "n", "a")


@pytest.mark.parametrize(
    ("handler", "expected", "retry_after_s", "outcome_unknown"),
    [
        (status(409, "Conflict"), Conflict, None, None),
        (status(409, "AlreadyExists"), AlreadyExists, None, None),
        (status(404, "NotFound"), NotFound, None, None),
        (status(403, "Forbidden"), Refused, None, None),
        (status(422, "Invalid"), Refused, None, None),
        (status(429, Retry_After="3"), Unavailable, 3.0, False),
        (status(500), Unavailable, None, True),
        (status(503, Retry_After="2"), Unavailable, 2.0, True),
        (html(502), Unavailable, None, True),
        (html(404), Unavailable, None, True),
        (status(302, Location="http://127.0.0.1:1/"), Unavailable, None, True),
        (answer({"metadata": 3}), Unavailable, None, True),
        (html(200), Unavailable, None, True),
        (cut(), Unavailable, None, True),
    ],
)
async def test_what_answers_to_a_write_mean(
    server: Server,
    cluster: Cluster,
    handler: Handler,
    expected: type[ApiError],
    retry_after_s: float | None,
    outcome_unknown: bool | None,
) -> None:
    """Each failure has its name; whether the write may have been done is said, and it is sent once."""
    server.always = handler
    with pytest.raises(ApiError) as raised:
        await cluster.patch(Resource.SERVICES, "n", "a", {})
    assert type(raised.value) is expected
    if isinstance(raised.value, Unavailable):
        assert raised.value.retry_after_s == retry_after_s
        assert raised.value.outcome_unknown is outcome_unknown
    else:
        assert "because" in str(raised.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize("handler", [status(500), html(200), cut()])
async def test_failed_read_leaves_nothing_unknown(
    server: Server, cluster: Cluster, handler: Handler
) -> None:
    """A read changes nothing, so its failure leaves no outcome open."""
    server.always = handler
    with pytest.raises(Unavailable) as raised:
        await cluster.get(Resource.SERVICES, "n", "a")
    assert not raised.value.outcome_unknown


async def test_deadline_on_a_server_that_says_nothing(server: Server, tmp_path: Path) -> None:
    """A stalled server costs the deadline: a write is then unknown, a read is not."""
    server.always = stall(server)
    async with made_cluster(kubeconfig(tmp_path, server.url), deadline_s=0.05) as cluster:
        with pytest.raises(Unavailable) as write:
            await cluster.create(Resource.EVENTS, "n", {})
        with pytest.raises(Unavailable) as read:
            await cluster.get(Resource.SERVICES, "n", "a")
    assert (write.value.outcome_unknown, read.value.outcome_unknown) == (True, False)


async def test_deadline_on_an_answer_that_stops_halfway(server: Server, tmp_path: Path) -> None:
    """The deadline is of the whole answer, not of its first byte."""
    server.always = watch(server, b'{"metadata":')
    async with made_cluster(kubeconfig(tmp_path, server.url), deadline_s=0.05) as cluster:
        with pytest.raises(Unavailable):
            await cluster.get(Resource.SERVICES, "n", "a")


async def test_refused_connection_did_nothing(tmp_path: Path, unused_tcp_port: int) -> None:
    """A write that found nobody was certainly not done."""
    access = kubeconfig(tmp_path, f"http://127.0.0.1:{unused_tcp_port}")
    async with made_cluster(access) as cluster:
        with pytest.raises(Unavailable) as raised:
            await cluster.patch(Resource.SERVICES, "n", "a", {})
    assert not raised.value.outcome_unknown


async def test_cancelling_a_request_is_prompt(server: Server, cluster: Cluster) -> None:
    """A request that hangs ends at once when it is cancelled, as a cancellation."""
    server.always = stall(server)
    task = asyncio.create_task(cluster.get(Resource.SERVICES, "n", "a"))
    await until(lambda: len(server.asked) == 1)
    task.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_environment_does_not_choose_a_proxy(
    server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the kubeconfig names a proxy: a stray variable must not stand between us and the cluster."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.always = answer(service("a"))
    await cluster.get(Resource.SERVICES, "n", "a")
    assert len(server.asked) == 1


# --- credentials -----------------------------------------------------------------------------------------


def guarded(token: str, body: Any, refused: Callable[[], None] = lambda: None) -> Handler:
    """Answer only to this token."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {token}":
            refused()
            return await status(401, "Unauthorized")(request)
        return web.json_response(body)

    return handle


async def test_401_reads_the_token_anew_once(server: Server, tmp_path: Path) -> None:
    """A token that ran out is read again from its file and the request repeated, a write too."""
    token = tmp_path / "token"
    token.write_text("old")
    server.always = guarded("new", service("a"), lambda: void(token.write_text("new")))
    access = kubeconfig(tmp_path, server.url, {"tokenFile": str(token)})
    async with made_cluster(access) as cluster:
        await cluster.patch(Resource.SERVICES, "n", "a", {"x": 1})
        await cluster.get(Resource.SERVICES, "n", "a")
    assert [r.headers["Authorization"] for r in server.asked] == [
        "Bearer old",
        "Bearer new",
        "Bearer new",
    ]
    assert server.bodies[0] == server.bodies[1] == b'{"x":1}'


def void(_: object) -> None:
    """Take a value where none is wanted."""


async def test_401_for_good_is_refused_after_two(server: Server, tmp_path: Path) -> None:
    """Credentials that stay refused are tried twice and no more."""
    server.always = status(401, "Unauthorized")
    async with made_cluster(kubeconfig(tmp_path, server.url, {"token": "x"})) as cluster:
        with pytest.raises(Refused) as raised:
            await cluster.get(Resource.SERVICES, "n", "a")
    assert raised.value.status == 401
    assert len(server.asked) == 2


async def test_exec_plugin_runs_once_for_many_refusals(server: Server, tmp_path: Path) -> None:
    """Requests that are refused together run the exec plugin together, once."""
    runs = tmp_path / "runs"
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import json, pathlib\n"
        f"runs = pathlib.Path({str(runs)!r})\n"
        "n = len(runs.read_text()) if runs.exists() else 0\n"
        "runs.write_text('x' * (n + 1))\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1',"
        " 'kind': 'ExecCredential', 'status': {'token': f't{n}'}}))\n"
    )
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(plugin)],
        }
    }
    server.always = guarded("t1", service("a"))
    async with made_cluster(kubeconfig(tmp_path, server.url, user), deadline_s=20) as cluster:
        asks = [cluster.get(Resource.SERVICES, "n", "a") for _ in range(5)]
        assert len(await asyncio.gather(*asks)) == 5
    assert runs.read_text() == "xx"


async def test_missing_kubeconfig_is_unavailable(tmp_path: Path) -> None:
    """Credentials that cannot be read are trouble to be retried, and nothing was sent."""
    access = ClusterAccess(str(tmp_path / "none"), "nowhere")
    async with made_cluster(access) as cluster:
        with pytest.raises(Unavailable, match="credentials") as raised:
            await cluster.patch(Resource.SERVICES, "n", "a", {})
    assert not raised.value.outcome_unknown
