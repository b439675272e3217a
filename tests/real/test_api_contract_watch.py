"""Watches, the same for the embedded and the real API server."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.real.client import Client, Json, config_map, split

_WRITES = 60


def _versions(events: list[Json]) -> list[int]:
    return [int(event["object"]["metadata"]["resourceVersion"]) for event in events]


def _apply(held: dict[str, Json], events: list[Json]) -> None:
    for event in events:
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            del held[name]
        else:
            held[name] = event["object"]


async def _churn(api: Client) -> None:
    """Create, change and delete; every third object stays."""
    for number in range(_WRITES // 3):
        name = f"c{number}"
        await api.create(api.core("configmaps"), config_map(name))
        await api.merge(api.core("configmaps", name), {"data": {"n": str(number)}})
        if number % 3:
            await api.delete(api.core("configmaps", name))


async def test_list_and_watches_leave_no_gap(api: Client) -> None:
    """A list and then watches, broken off and taken up while writes go on, end at the new list."""
    listed = await api.get(api.core("configmaps"))
    held: dict[str, Json] = {}
    observed: list[int] = []
    version = listed.version
    writer = asyncio.create_task(_churn(api))
    expected = _WRITES - (_WRITES // 3 + 2) // 3
    while len(observed) < expected:
        async with api.watch(api.core("configmaps"), resourceVersion=version) as stream:
            events = await stream.take(min(7, expected - len(observed)))
        _apply(held, events)
        observed += _versions(events)
        version = str(observed[-1])
    await writer
    final = await api.get(api.core("configmaps"))
    assert observed == sorted(set(observed))
    assert sorted(held) == sorted(final.names)
    for item in final.body["items"]:
        name = item["metadata"]["name"]
        assert held[name]["metadata"] == item["metadata"]
        assert held[name]["data"] == item["data"]


async def test_watch_opened_amid_writes_misses_none(api: Client) -> None:
    """Watches opened from fresh lists while writes go on see each later write once, in order."""
    writer = asyncio.create_task(_churn(api))

    async def follow() -> tuple[list[int], int]:
        listed = await api.get(api.core("configmaps"))
        observed: list[int] = []
        query = {"resourceVersion": listed.version}
        async with api.watch(api.core("configmaps"), **query) as stream:
            # One that listed after the last write has nothing to see.
            while max([int(listed.version), *observed]) < await asyncio.shield(last):
                observed += _versions(await stream.take(1))
        return observed, int(listed.version)

    async def end() -> int:
        await writer
        return int((await api.create(api.core("configmaps"), config_map("end"))).version)

    last = asyncio.ensure_future(end())
    async with api.watch(api.core("configmaps"), resourceVersion="0") as stream:
        followers = []
        whole: list[int] = []
        name = ""
        while name != "end":
            events = await stream.take(1)
            name = events[0]["object"]["metadata"]["name"]
            whole += _versions(events)
            if len(whole) % 10 == 0:
                followers.append(asyncio.create_task(follow()))
    assert followers
    for observed, since in await asyncio.gather(*followers):
        assert observed == [version for version in whole if version > since]


async def test_watch_without_a_version_begins_with_what_is_there(api: Client) -> None:
    """A watch from version 0, or from none, tells the present objects as ADDED, then goes on."""
    await api.create(api.core("configmaps"), config_map("a"))
    for query in ({"resourceVersion": "0"}, {}):
        async with api.watch(api.core("configmaps"), **query) as stream:
            (first,) = await stream.take(1)
            await api.merge(api.core("configmaps", "a"), {"data": {"q": str(query)}})
            (second,) = await stream.take(1)
        assert (first["type"], second["type"]) == ("ADDED", "MODIFIED")


async def test_deletion_has_a_version_of_its_own(api: Client) -> None:
    """A DELETED event shows the last state, at the version of the deletion."""
    made = await api.create(api.splits(), split("a", ("a", 1000)))
    async with api.watch(api.splits(), resourceVersion=made.version) as stream:
        await api.delete(api.splits("a"))
        (event,) = await stream.take(1)
    assert event["type"] == "DELETED"
    assert event["object"]["spec"] == made.body["spec"]
    assert _versions([event])[0] > int(made.version)


async def test_watch_ends_by_itself_and_has_bookmarks_when_asked(api: Client) -> None:
    """After timeoutSeconds the server ends a watch; only one that asks has bookmarks before."""
    made = await api.create(api.core("configmaps"), config_map("a"))

    async def all_of(**query: str) -> list[Json]:
        query |= {"resourceVersion": made.version, "timeoutSeconds": "5"}
        async with api.watch(api.core("configmaps"), **query) as stream:
            await api.create(api.core("configmaps"), {"metadata": {"generateName": "x-"}})
            return await stream.rest()

    asked, plain = await asyncio.gather(all_of(allowWatchBookmarks="true"), all_of())
    assert [event["type"] for event in plain] == ["ADDED", "ADDED"]
    kinds = [event["type"] for event in asked]
    assert [kind for kind in kinds if kind != "BOOKMARK"] == ["ADDED", "ADDED"]
    assert kinds[-1] == "BOOKMARK"
    last = asked[-1]["object"]
    assert last["kind"] == "ConfigMap"
    assert set(last["metadata"]) == {"resourceVersion"}
    assert _versions(asked) == sorted(_versions(asked))
    later = await api.create(api.core("configmaps"), config_map("later"))
    version = last["metadata"]["resourceVersion"]
    async with api.watch(api.core("configmaps"), resourceVersion=version) as stream:
        assert _versions(await stream.take(1)) == [int(later.version)]


async def test_watch_from_a_forgotten_version_is_expired(api: Client) -> None:
    """A watch from before the kept history is one ERROR event with a 410 Status, then the end."""
    await api.create(api.splits(), split("a", ("a", 1)))
    await api.server.compact()
    async with api.watch(api.splits(), resourceVersion="1") as stream:
        events = await stream.rest()
    (event,) = events
    status = event["object"]
    assert event["type"] == "ERROR"
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")


async def test_compaction_does_not_break_a_running_watch(api: Client) -> None:
    """A watch that is open when the history is compacted goes on."""
    made = await api.create(api.core("configmaps"), config_map("a"))
    async with api.watch(api.core("configmaps"), resourceVersion=made.version) as stream:
        await api.server.compact()
        second = await api.create(api.core("configmaps"), config_map("b"))
        assert _versions(await stream.take(1)) == [int(second.version)]


async def test_selector_makes_leaving_a_deletion(api: Client) -> None:
    """Through a selector an object that stops to match is DELETED, one that starts is ADDED."""
    path = api.core("configmaps", "a")
    made = await api.create(api.core("configmaps"), config_map("a", labels={"on": "yes"}))
    query = {"resourceVersion": made.version, "labelSelector": "on=yes"}
    async with api.watch(api.core("configmaps"), **query) as stream:
        left = await api.merge(path, {"metadata": {"labels": {"on": "no"}}})
        await api.merge(path, {"data": {"unseen": "x"}})
        came = await api.merge(path, {"metadata": {"labels": {"on": "yes"}}})
        changed = await api.merge(path, {"data": {"seen": "x"}})
        events = await stream.take(3)
    assert [event["type"] for event in events] == ["DELETED", "ADDED", "MODIFIED"]
    assert _versions(events) == [int(answer.version) for answer in (left, came, changed)]
    assert events[0]["object"]["metadata"]["labels"] == {"on": "yes"}


async def test_watch_of_one_name_sees_that_alone(api: Client) -> None:
    """A watch narrowed to a name by a field selector sees nothing else."""
    made = await api.create(api.core("configmaps"), config_map("a"))
    query = {"resourceVersion": made.version, "fieldSelector": "metadata.name=b"}
    async with api.watch(api.core("configmaps"), **query) as stream:
        await api.create(api.core("configmaps"), config_map("c"))
        wanted = await api.create(api.core("configmaps"), config_map("b"))
        assert _versions(await stream.take(1)) == [int(wanted.version)]


async def test_watch_of_a_namespace_sees_that_alone(api: Client) -> None:
    """A watch of one namespace does not see another's, one of all sees both."""
    here = api.core("configmaps")
    made = await api.create(here, config_map("a"))
    other = await api.create("/api/v1/namespaces", {"metadata": {"generateName": "t-"}})
    api.namespace = other.body["metadata"]["name"]
    there = api.core("configmaps")
    async with (
        api.watch(here, resourceVersion=made.version) as narrow,
        api.watch("/api/v1/configmaps", resourceVersion=made.version) as wide,
    ):
        first = await api.create(there, config_map("b"))
        second = await api.create(here, config_map("c"))
        assert _versions(await narrow.take(1)) == [int(second.version)]
        assert _versions(await wide.take(2)) == [int(first.version), int(second.version)]


async def test_watch_shows_the_version_it_was_opened_for(api: Client) -> None:
    """A watch through v1alpha2 sees what was written through v1alpha1, as v1alpha2."""
    made = await api.create(api.splits(), split("a", ("a", 1)))
    newer = api.splits(version="v1alpha2")
    async with api.watch(newer, resourceVersion=made.version) as stream:
        await api.merge(api.splits("a"), {"metadata": {"labels": {"a": "b"}}})
        (event,) = await stream.take(1)
    assert event["object"]["apiVersion"] == "split.smi-spec.io/v1alpha2"


async def test_watch_that_lists_first_marks_the_end_of_the_list(api: Client) -> None:
    """With sendInitialEvents a watch tells what is there, then a bookmark that says so."""
    await api.create(api.core("configmaps"), config_map("a"))
    query: dict[str, Any] = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    async with api.watch(api.core("configmaps"), **query) as stream:
        added, bookmark = await stream.take(2)
    assert (added["type"], bookmark["type"]) == ("ADDED", "BOOKMARK")
    annotations = bookmark["object"]["metadata"]["annotations"]
    assert annotations == {"k8s.io/initial-events-end": "true"}
