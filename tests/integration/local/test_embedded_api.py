"""What the embedded API server offers beyond the contract that it shares with the real one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from deploy.stand_ins.apiserver import ApiError, EmbeddedApi, Resource, known_resources
from deploy.stand_ins.apiserver.store import VersionExpired
from deploy.stand_ins.apiserver.tables import age
from deploy.stand_ins.apiserver.watching import open_watch
from deploy.stand_ins.apiserver.writes import Target

_SPLITS = "/apis/split.smi-spec.io/v1alpha1/namespaces/default/trafficsplits"
_CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def _split(weight: int) -> dict[str, Any]:
    return {
        "apiVersion": "split.smi-spec.io/v1alpha1",
        "kind": "TrafficSplit",
        "metadata": {"name": "a"},
        "spec": {"service": "a", "backends": [{"service": "a", "weight": weight}]},
    }


def _config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


async def test_writes_are_counted_by_who_made_them() -> None:
    """Requests are counted by verb, resource, object, manager and status code."""
    async with EmbeddedApi("legacy") as api, aiohttp.ClientSession(api.url) as session:
        api.put(_split(1000))
        headers = {"Content-Type": "application/merge-patch+json", "User-Agent": "kubectl/1.36"}
        for path in (f"{_SPLITS}/a", f"{_SPLITS}/a", f"{_SPLITS}/gone"):
            async with session.patch(path, data="{}", headers=headers):
                pass
        await session.get(f"{_SPLITS}?watch=1&timeoutSeconds=1")
    found = {(r.verb, r.resource, r.name, r.manager, r.code): n for r, n in api.requests.items()}
    assert found == {
        ("patch", "trafficsplits", "a", "kubectl", 200): 2,
        ("patch", "trafficsplits", "gone", "kubectl", 404): 1,
        ("watch", "trafficsplits", "", "Python", 200): 1,
    }


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-60, "<invalid>"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (700, "11m"),
        (11_100, "3h5m"),
        (108_000, "30h"),
        (180_000, "2d2h"),
        (777_600, "9d"),
    ],
)
def test_an_age_is_told_in_two_units_at_most(seconds: float, told: str) -> None:
    """Ages in Tables are those of apimachinery's HumanDuration."""
    assert age(seconds) == told


async def test_objects_outlive_a_stop() -> None:
    """Stopped and started on its port, the server has its objects and goes on counting."""
    api = EmbeddedApi("legacy")
    url = await api.start()
    made = api.put(_split(1000))
    async with aiohttp.ClientSession(url) as session:
        watch = await session.get(f"{_SPLITS}?watch=1&resourceVersion={made.version}")
        await api.stop()
        async with asyncio.timeout(5):
            assert await watch.content.read() == b""
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get("/readyz")
        assert await api.start(port=int(url.rpartition(":")[2])) == url
        watch = await session.get(f"{_SPLITS}?watch=1&resourceVersion={made.version}")
        later = api.put(_split(999))
        event = json.loads(await watch.content.readline())
        assert event["object"]["metadata"]["resourceVersion"] == str(later.version)
        watch.close()
    await api.stop()


async def test_put_in_process_stores_spec_and_status() -> None:
    """An object put in-process keeps its status, and putting it again changes nothing."""
    api = EmbeddedApi("legacy")
    status = {"phase": "Running", "podIP": "127.0.0.9"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": []},
        "status": status,
    }
    first = api.put(pod)
    assert first.body["status"] == status
    assert api.put(pod) is first
    api.remove("pods", "default", "p")
    assert api.store.get("pods", "default", "p") is None
    with pytest.raises(ApiError, match='pods "p" not found'):
        api.remove("pods", "default", "p")


async def test_deleted_namespace_takes_its_objects_along() -> None:
    """Deleting a namespace deletes what is in it, and nothing else, and watches see it."""
    api = EmbeddedApi("legacy")
    api.put(_split(1000))
    there = _split(1000)
    there["metadata"]["namespace"] = "migrate"
    api.put(there)
    watched = api.store.subscribe("trafficsplits")
    api.remove("namespaces", "", "migrate")
    assert [(e.type, e.stored.namespace) for e in watched.take()] == [("DELETED", "migrate")]
    assert [stored.namespace for stored in api.store.objects("trafficsplits")] == ["default"]


async def test_history_is_kept_for_each_resource() -> None:
    """The oldest events of a busy resource are forgotten, those of a quiet one are not."""
    api = EmbeddedApi("legacy", history=3)
    quiet = api.put(_split(1000))
    versions = [api.put(_config_map(f"c{number}")).version for number in range(5)]
    told = api.store.subscribe("configmaps", versions[1]).take()
    assert [event.stored.version for event in told] == versions[2:]
    with pytest.raises(VersionExpired, match=f"{versions[0]} is older than {versions[1]}"):
        api.store.subscribe("configmaps", versions[0])
    assert api.store.subscribe("trafficsplits", quiet.version - 1).take()[0].stored is quiet


async def test_expired_watch_can_be_an_http_status() -> None:
    """Where it is asked to, the server answers an expired watch with HTTP 410."""
    api = EmbeddedApi("legacy", expired_watch="status")
    async with api, aiohttp.ClientSession(api.url) as session:
        async with session.get(f"{_SPLITS}?watch=1&resourceVersion=1") as answer:
            body = await answer.json()
        assert (answer.status, body["code"], body["reason"]) == (410, 410, "Expired")


async def test_bookmarks_come_where_nothing_happens() -> None:
    """A watch of a quiet resource is told the versions that other resources have reached."""
    api = EmbeddedApi("legacy", bookmark_every_s=0.02)
    async with api, aiohttp.ClientSession(api.url) as session:
        query = {"watch": "1", "resourceVersion": str(api.store.version)}
        query["allowWatchBookmarks"] = "true"
        async with session.get(_SPLITS, params=query) as watch, asyncio.timeout(5):
            written = api.put(_config_map("a")).version
            reached = 0
            while reached < written:
                event = json.loads(await watch.content.readline())
                assert event["type"] == "BOOKMARK"
                reached = int(event["object"]["metadata"]["resourceVersion"])


async def test_bookmark_comes_after_the_events_it_covers() -> None:
    """When an event and a bookmark are due at once, the event is told first."""
    api = EmbeddedApi("legacy")
    resource = api.store.resources["configmaps"]
    query = {"resourceVersion": str(api.store.version), "allowWatchBookmarks": "true"}
    watch = open_watch(api.store, Target(resource, "v1", "default"), query, 0.0)
    written = str(api.put(_config_map("a")).version)
    told = [json.loads(line) for line in (await anext(watch.lines())).splitlines()]
    watch.close()
    assert [event["type"] for event in told] == ["ADDED", "BOOKMARK"]
    assert [event["object"]["metadata"]["resourceVersion"] for event in told] == [written] * 2


async def test_compaction_forgets_what_was_just_written() -> None:
    """After a compaction only the present version can be watched from."""
    api = EmbeddedApi("legacy")
    before = api.store.version
    now = api.put(_config_map("a")).version
    assert len(api.store.subscribe("configmaps", before).take()) == 1
    await api.compact()
    with pytest.raises(VersionExpired):
        api.store.subscribe("configmaps", before)
    assert api.store.subscribe("configmaps", now).take() == []


async def test_slow_watcher_is_cut_off() -> None:
    """A subscription whose reader falls too far behind ends instead of skipping events."""
    api = EmbeddedApi("legacy")
    watched = api.store.subscribe("configmaps")
    watched._backlog = 3
    for number in range(5):
        api.put(_config_map(f"c{number}"))
    assert [event async for event in watched] == []


async def test_gateway_api_can_be_absent() -> None:
    """HTTPRoute is served in v1 and v1beta1 unless it is left out; then its group is 404."""
    gateway = "/apis/gateway.networking.k8s.io"
    for http_routes, wanted in ((True, 200), (False, 404)):
        resources = known_resources(http_routes=http_routes)
        api = EmbeddedApi("legacy", resources=resources)
        async with api, aiohttp.ClientSession(api.url) as session:
            for path in ("", "/v1", "/v1beta1", "/v1/namespaces/default/httproutes"):
                async with session.get(gateway + path) as answer:
                    assert answer.status == wanted


def test_schema_with_more_than_is_understood_is_refused() -> None:
    """A CRD that uses a rule the server would not check is refused, not served without it."""
    schema = {"type": "object", "properties": {"spec": {"type": "string", "multipleOf": 2}}}
    resource = Resource("example.com", ("v1",), "things", "Thing", schemas={"v1": schema})
    with pytest.raises(ValueError, match="multipleOf"):
        EmbeddedApi("legacy", namespaces=(), resources=(resource,))


async def test_without_tokens_everybody_is_let_in() -> None:
    """A server without tokens asks for none and has none in its kubeconfig."""
    async with EmbeddedApi("legacy") as api, aiohttp.ClientSession(api.url) as session:
        assert api.kubeconfig()["users"] == [{"name": "legacy", "user": {}}]
        async with session.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok")


async def test_body_in_protobuf_is_unsupported() -> None:
    """A body that is no JSON is 415, so that a client knows what is wrong."""
    async with EmbeddedApi("legacy") as api, aiohttp.ClientSession(api.url) as session:
        headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
        async with session.post(_CONFIG_MAPS, data=b"k8s\0", headers=headers) as answer:
            assert answer.status == 415
