from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.kube.api import Chance, Cluster, ClusterAccess, Events, Pace, ServiceRef
from controller.kube.api.discovery import Places
from controller.kube.api.reflector import Reflector
from controller.kube.api.transport import Transport
from controller.kube.objects import (
    Change,
    Deleted,
    Freshness,
    LeaseObject,
    Listed,
    Resource,
    ServiceObject,
    Undecodable,
    Upserted,
    identify,
)
from controller.runtime.cluster_store import LEASE_WATCHED
from tests.unit.kube.scripted_api import (
    LOG,
    Handler,
    Pauses,
    Server,
    Silent,
    answer,
    cut,
    event,
    html,
    kubeconfig,
    made_cluster,
    page,
    service,
    serving,
    status,
    until,
    watch,
)

SPLITS: dict[str, Any] = {"resources": [{"name": "trafficsplits"}]}
"""What discovery says where TrafficSplits are served."""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Serve on a port of its own."""
    async with serving() as made:
        yield made


class Watching:
    """A reflector of Services at work, and what it delivered."""

    def __init__(
        self, access: ClusterAccess, resource: Resource, pace: Pace, chance: Chance
    ) -> None:
        self.changes: list[Change] = []
        self.transport = Transport("eks", access, Silent())
        self.reflector = Reflector(
            "eks",
            resource,
            self.transport,
            Places(self.transport),
            self.changes.append,
            meter=Silent(),
            log=LOG,
            pace=pace,
            chance=chance,
        )

    @property
    def names(self) -> list[str]:
        """The names that somebody who follows the changes holds now."""
        held: set[str] = set()
        for change in self.changes:
            match change:
                case Listed(objects=objects):
                    held = {identify(thing)[1] for thing in objects}
                case Upserted(object=thing):
                    held.add(identify(thing)[1])
                case Deleted(name=name):
                    held.discard(name)
        return sorted(held)

    @property
    def freshness(self) -> list[bool]:
        """What was told of being current, in order."""
        return [c.current for c in self.changes if isinstance(c, Freshness)]

    def of(self, kind: type[Change]) -> list[Any]:
        """Return the changes of one kind."""
        return [change for change in self.changes if isinstance(change, kind)]


@asynccontextmanager
async def watching(
    folder: Path,
    server: Server,
    *,
    resource: Resource = Resource.SERVICES,
    pace: Pace | None = None,
    pauses: Pauses | None = None,
    draw: float = 1.0,
) -> AsyncIterator[Watching]:
    """Run a reflector for the length of a block."""
    chance = Chance(sleep=(pauses or Pauses()).sleep, draw=lambda: draw)
    made = Watching(kubeconfig(folder, server.url), resource, pace or Pace(), chance)
    task = asyncio.create_task(made.reflector.run())
    try:
        yield made
        assert not task.done() or task.result() is None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.transport.close()


# --- list and watch ----------------------------------------------------------------------------------


async def test_pages_are_one_list_and_current_begins_with_the_watch(
    server: Server, tmp_path: Path
) -> None:
    """All pages make one Listed, and only an open watch makes it current."""
    hold = asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        await hold.wait()
        return await watch(server)(request)

    server.script += [page(service("a"), more="next"), page(service("b")), late]
    async with watching(tmp_path, server) as observed:
        await until(lambda: len(server.asked) == 3)
        assert observed.names == ["a", "b"]
        assert observed.freshness == [False]
        hold.set()
        await until(lambda: observed.freshness == [False, True])
    assert len(observed.of(Listed)) == 1
    assert server.asked[1].query["continue"] == "next"
    assert "resourceVersion" not in server.asked[0].query
    query = server.asked[2].query
    assert (query["resourceVersion"], query["allowWatchBookmarks"]) == ("10", "true")


async def test_events_fall_anyhow_into_chunks(server: Server, tmp_path: Path) -> None:
    """One event over three chunks and two events in one chunk all arrive, in order."""
    one, two, three = (event("ADDED", service(name, 11 + i)) for i, name in enumerate("bcd"))
    chunks = [one[:7], one[7:50], one[50:], two + three, event("DELETED", service("a", 14))]
    server.script += [page(service("a")), watch(server, *chunks)]
    async with watching(tmp_path, server) as observed:
        await until(lambda: observed.names == ["b", "c", "d"])
    assert [identify(c.object)[1] for c in observed.of(Upserted)] == ["b", "c", "d"]
    assert observed.of(Deleted) == [Deleted("eks", Resource.SERVICES, "n", "a", "14")]


@pytest.mark.parametrize("form", ["answer", "event"])
async def test_gone_leads_to_a_list_that_reports_deletions(
    server: Server, tmp_path: Path, form: str
) -> None:
    """After 410, as an answer or as an event, the new list reports who vanished meanwhile as deleted."""
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    ruling = status(410, "Expired") if form == "answer" else watch(server, event("ERROR", gone))
    server.script += [
        page(service("a", 3), service("b", 4)),
        ruling,
        page(service("b", 4), version=19),
        page(service("b", 4), version=20),
        watch(server),
    ]
    async with watching(tmp_path, server) as observed:
        await until(lambda: server.kinds == ["list", "watch@10", "list", "list", "watch@20"])
        await until(lambda: observed.names == ["b"])
    assert observed.of(Deleted) == [Deleted("eks", Resource.SERVICES, "n", "a", "3")]


@pytest.mark.parametrize("wrong", [page(version=19), page(service("b", 4), version=19)])
async def test_nobody_is_gone_by_one_list(server: Server, tmp_path: Path, wrong: Handler) -> None:
    """Who is missing from one list, and is in another a moment later, is never told to be deleted."""
    server.script += [page(service("a", 3), service("b", 4)), status(410), wrong]
    server.script += [page(service("a", 3), service("b", 4), version=20), watch(server)]
    async with watching(tmp_path, server) as observed:
        await until(lambda: server.kinds == ["list", "watch@10", "list", "list", "watch@20"])
        await until(lambda: len(observed.of(Listed)) == 2)
    assert observed.names == ["a", "b"]
    assert observed.of(Deleted) == []


@pytest.mark.parametrize("kind", ["MODIFIED", "DELETED"])
async def test_an_event_about_nobody_leads_to_a_list(
    server: Server, tmp_path: Path, kind: str
) -> None:
    """An event whose object has no name says nothing of anybody: what there is, is listed."""
    nameless = {"metadata": {"name": 7, "resourceVersion": "12"}}
    server.script += [page(service("a")), watch(server, event(kind, nameless))]
    server.script += [page(service("a"), version=20), watch(server)]
    async with watching(tmp_path, server) as observed:
        await until(lambda: server.kinds == ["list", "watch@10", "list", "watch@20"])
    assert observed.of(Deleted) == []


async def test_broken_watch_goes_on_from_the_last_version(server: Server, tmp_path: Path) -> None:
    """A connection that breaks costs a pause, and the watch goes on after the last event or bookmark."""
    server.script += [
        page(service("a")),
        watch(server, event("MODIFIED", service("a", 12)), then="break"),
        watch(server, event("BOOKMARK", {"metadata": {"resourceVersion": "30"}}), then="break"),
        watch(server),
    ]
    pauses = Pauses()
    async with watching(tmp_path, server, pauses=pauses) as observed:
        await until(lambda: len(server.asked) == 4)
    assert server.kinds == ["list", "watch@10", "watch@12", "watch@30"]
    assert len(pauses.taken) == 2
    assert observed.freshness == [False, True]


@pytest.mark.parametrize("ruling", [status(503), html(502), cut(), answer(["no", "list"])])
async def test_trouble_is_no_storm(server: Server, tmp_path: Path, ruling: Handler) -> None:
    """While lists fail, each request is followed by a pause, and the pauses grow to a bound."""
    server.always = ruling
    pauses = Pauses(stop_after=8)
    async with watching(tmp_path, server, pauses=pauses) as observed:
        await until(lambda: len(pauses.taken) == 8)
        assert len(server.asked) <= 8 * 2  # aiohttp sends a GET again on a connection that was kept
    assert pauses.taken == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
    assert observed.freshness == [False]


async def test_watch_that_closes_at_once_is_no_storm(server: Server, tmp_path: Path) -> None:
    """A server that ends each watch as soon as it is open is asked with growing pauses, not at once."""
    server.script.append(page())
    server.always = watch(server, then="end")
    pauses = Pauses(stop_after=5)
    async with watching(tmp_path, server, pauses=pauses):
        await until(lambda: len(pauses.taken) == 5)
        assert server.kinds == ["list"] + ["watch@10"] * 5
    assert pauses.taken == [0.5, 1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_is_obeyed(server: Server, tmp_path: Path, code: int) -> None:
    """The pause that a server asks for is taken at least, and bounded."""
    server.script += [status(code, Retry_After="7"), status(code, Retry_After="999999")]
    pauses = Pauses()
    async with watching(tmp_path, server, pauses=pauses, draw=0.0):
        await until(lambda: len(server.asked) == 3)
    assert pauses.taken == [7.0, 120.0]


async def test_undecodable_object_does_not_stop_the_stream(server: Server, tmp_path: Path) -> None:
    """An object of the wrong shape arrives as Undecodable, in two lists and in a watch, and what follows arrives."""
    server.script += [
        page(service("bad", 1, ports="x"), service("a")),
        page(service("bad", 1, ports="x"), service("a")),
        watch(
            server,
            event("ADDED", service("worse", 11, ports=[3])),
            event("ADDED", service("b", 12)),
        ),
    ]
    async with watching(tmp_path, server) as observed:
        await until(lambda: observed.names == ["a", "b", "bad", "worse"])
    (listed,) = observed.of(Listed)
    assert isinstance(listed.objects[0], Undecodable)
    assert isinstance(listed.objects[1], ServiceObject)
    assert [type(c.object) for c in observed.of(Upserted)] == [Undecodable, ServiceObject]


async def test_what_one_list_alone_garbles_is_read_from_the_next(
    server: Server, tmp_path: Path
) -> None:
    """A list with an object that cannot be read is asked for once more, and what that says is taken."""
    server.script += [page(service("a", 1, ports="x")), page(service("a", 1)), watch(server)]
    async with watching(tmp_path, server) as observed:
        await until(lambda: observed.names == ["a"])
    assert server.kinds[:2] == ["list", "list"]
    (listed,) = observed.of(Listed)
    assert isinstance(listed.objects[0], ServiceObject)


@pytest.mark.parametrize("line", [b"<html>\n", b'{"type": 3}\n', b"x" * 5000 + b"\n"])
async def test_unreadable_line_leads_to_a_list(server: Server, tmp_path: Path, line: bytes) -> None:
    """A line that is no event, or too long, would come again: only a list leads on."""
    server.script += [page(), watch(server, line), page(service("a"), version=20), watch(server)]
    async with watching(tmp_path, server, pace=Pace(line_limit_bytes=4000)):
        await until(lambda: server.kinds == ["list", "watch@10", "list", "watch@20"])


async def test_silent_watch_is_cut(server: Server, tmp_path: Path) -> None:
    """A watch on which nothing is heard, no bookmark either, is cut; a list says what it may have kept back."""
    server.script += [page(), watch(server), page(version=20), watch(server)]
    async with watching(tmp_path, server, pace=Pace(silent_s=0.05)):
        await until(lambda: server.kinds[:4] == ["list", "watch@10", "list", "watch@20"])


async def test_stale_without_a_watch_and_current_only_after_a_list(
    server: Server, tmp_path: Path
) -> None:
    """A watch that stays broken makes the knowledge stale in time, and no mere watch makes it current."""
    server.script += [page(service("a")), watch(server, then="break")]
    server.script += [page(version=20), page(version=20), watch(server)]
    pauses = Pauses(stop_after=1)
    async with watching(tmp_path, server, pace=Pace(stale_after_s=0.03), pauses=pauses) as observed:
        await until(lambda: observed.freshness == [False, True, False])
        assert server.kinds == ["list", "watch@10"]
        pauses.go_on.set()
        await until(lambda: observed.freshness == [False, True, False, True])
    assert server.kinds == ["list", "watch@10", "list", "list", "watch@20"]
    assert observed.names == []
    assert "no watch" in observed.of(Freshness)[2].reason


async def test_stale_while_a_watch_opens_too_slowly(server: Server, tmp_path: Path) -> None:
    """A watch that opens after the knowledge went stale is not taken for a continuation."""
    hold = asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        await hold.wait()
        return await watch(server)(request)

    server.script += [page(), watch(server, then="break"), late, page(version=20), watch(server)]
    async with watching(tmp_path, server, pace=Pace(stale_after_s=0.03)) as observed:
        await until(lambda: observed.freshness == [False, True, False])
        hold.set()
        await until(lambda: observed.freshness == [False, True, False, True])
    assert server.kinds == ["list", "watch@10", "watch@10", "list", "watch@20"]


async def test_short_break_does_not_make_stale(server: Server, tmp_path: Path) -> None:
    """A watch that is open again within the grace was current all the time."""
    server.script += [page(), watch(server, then="break"), watch(server)]
    async with watching(tmp_path, server, pace=Pace(stale_after_s=5)) as observed:
        await until(lambda: len(server.asked) == 3)
        assert observed.freshness == [False, True]


async def test_planned_list_repairs_and_its_failure_keeps_the_watch(
    server: Server, tmp_path: Path
) -> None:
    """When its time has come a list is made; if that is refused the watch goes on where it was."""
    server.script += [
        page(service("a"), service("lost")),
        watch(server, then="end"),
        status(503),
        watch(server, then="end"),
        page(service("a"), version=19),
        page(service("a"), version=20),
        watch(server),
    ]
    pace = Pace(relist_s=0, relist_retry_s=0, settled_s=0)
    async with watching(tmp_path, server, pace=pace) as observed:
        await until(lambda: len(server.asked) == 7)
        await until(lambda: observed.names == ["a"])
    assert server.kinds == ["list", "watch@10", "list", "watch@10", "list", "list", "watch@20"]
    assert observed.freshness == [False, True]
    assert [d.name for d in observed.of(Deleted)] == ["lost"]


async def test_list_that_is_due_soon_is_made_before_another_watch(
    server: Server, tmp_path: Path
) -> None:
    """A watch until then would be so short that it looked like one that was closed at once."""
    server.script += [page(), watch(server, then="end"), page(version=20), watch(server)]
    async with watching(tmp_path, server, pace=Pace(relist_s=8.0, settled_s=5.0)):
        await until(lambda: len(server.asked) == 4)
    assert server.kinds == ["list", "watch@10", "list", "watch@20"]


async def test_expired_continue_begins_the_list_anew(server: Server, tmp_path: Path) -> None:
    """A page that comes too late throws the half list away."""
    server.script += [
        page(service("a"), more="x"),
        status(410, "Expired"),
        page(service("b")),
        watch(server),
    ]
    async with watching(tmp_path, server) as observed:
        await until(lambda: observed.names == ["b"])
    assert len(observed.of(Listed)) == 1


async def test_stop_is_prompt(server: Server, tmp_path: Path) -> None:
    """Cancelling ends an open watch at once, and the connection with it."""
    closed = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            # aiohttp tells nobody that a client has left
            while not (request.transport is None or request.transport.is_closing()):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        finally:
            closed.set()
        return response

    server.script += [page(), handle]
    async with watching(tmp_path, server) as observed:
        await until(lambda: observed.freshness == [False, True])
    async with asyncio.timeout(5):
        await closed.wait()


# --- which splits are served -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "used"),
    [(["v1alpha1", "v1alpha2"], "v1alpha2"), (["v1alpha1"], "v1alpha1")],
)
async def test_split_version_is_discovered(
    server: Server, tmp_path: Path, versions: list[str], used: str
) -> None:
    """TrafficSplits are listed in the best version that the cluster serves."""
    group = {
        "versions": [{"version": v, "groupVersion": f"split.smi-spec.io/{v}"} for v in versions]
    }
    server.script += [answer(group), answer(SPLITS), page(), watch(server)]
    async with watching(tmp_path, server, resource=Resource.TRAFFICSPLITS) as observed:
        await until(lambda: observed.freshness == [False, True])
    assert [r.path for r in server.asked[:3]] == [
        "/apis/split.smi-spec.io",
        f"/apis/split.smi-spec.io/{used}",
        f"/apis/split.smi-spec.io/{used}/trafficsplits",
    ]
    assert observed.of(Listed)[0].served


@pytest.mark.parametrize(
    ("kinds", "paths"),
    [
        ({"v1": ["httproutes"], "v1beta1": ["httproutes"]}, ["", "/v1", "/v1/httproutes"]),
        ({"v1": ["gateways"], "v1beta1": ["httproutes"]}, ["", "/v1", "/v1beta1"]),
        ({"v1beta1": ["httproutes"]}, ["", "/v1beta1", "/v1beta1/httproutes"]),
        ({"v1": ["gateways"], "v1beta1": ["gateways"]}, ["", "/v1", "/v1beta1"]),
        ({"v1alpha2": ["httproutes"]}, [""]),
    ],
)
async def test_a_group_is_not_a_kind(
    server: Server, tmp_path: Path, kinds: dict[str, list[str]], paths: list[str]
) -> None:
    """HTTPRoute is served where a known version of its group has it, not where the group is there alone."""
    group = "/apis/gateway.networking.k8s.io"

    async def serve(request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(group)
        if path == "":
            return await answer({"versions": [{"version": v} for v in kinds]})(request)
        names = kinds.get(path.strip("/"))
        if names is not None:
            return await answer({"resources": [{"name": name} for name in names]})(request)
        return await page()(request)

    server.always = serve
    async with watching(tmp_path, server, resource=Resource.HTTPROUTES) as observed:
        await until(lambda: bool(observed.of(Listed)))
    assert [r.path.removeprefix(group) for r in server.asked[: len(paths)]] == paths
    usable = any("httproutes" in names for v, names in kinds.items() if v != "v1alpha2")
    assert observed.of(Listed)[0].served is usable


@pytest.mark.parametrize(
    ("resource", "version", "before"),
    [
        (Resource.TRAFFICSPLITS, "v1alpha2", [status(404)]),
        (Resource.FLEETS, "v1alpha1", [status(404)]),
        (
            Resource.FLEETS,
            "v1alpha1",
            [
                answer({"versions": [{"version": "v1alpha1"}]}),
                answer({"resources": [{"name": "migrations"}]}),
            ],
        ),
    ],
)
async def test_a_kind_that_is_not_served_is_known_to_be_none(
    server: Server, tmp_path: Path, resource: Resource, version: str, before: list[Handler]
) -> None:
    """Without the group, or the kind in it, there are no such objects, currently; when it appears they are listed."""
    server.script += [
        *before,
        answer({"versions": [{"version": version}]}),
        answer({"resources": [{"name": resource.plural}]}),
        page(service("a")),
        watch(server),
    ]
    async with watching(tmp_path, server, resource=resource) as observed:
        await until(lambda: observed.names == ["a"])
    assert [listed.served for listed in observed.of(Listed)] == [False, True]
    assert observed.freshness[:2] == [False, True]


async def test_a_kind_that_is_not_found_once_is_still_served(
    server: Server, tmp_path: Path
) -> None:
    """Of a kind whose objects are known nothing is gone because the API server once does not find the group."""
    group = answer({"versions": [{"version": "v1alpha2"}]})
    server.script += [group, answer(SPLITS), page(service("a")), status(404), status(404)]
    server.script += [group, answer(SPLITS), page(service("a"), version=20), watch(server)]
    async with watching(tmp_path, server, resource=Resource.TRAFFICSPLITS) as observed:
        await until(lambda: "watch@20" in server.kinds)
    assert all(listed.served for listed in observed.of(Listed))
    assert observed.of(Deleted) == []


@pytest.mark.parametrize("ruling", [status(503), html(404), answer([])])
async def test_discovery_error_is_unknown(server: Server, tmp_path: Path, ruling: Handler) -> None:
    """What cannot be asked is not "not served": it is not current, and asked again."""
    server.always = ruling
    pauses = Pauses(stop_after=3)
    async with watching(
        tmp_path, server, resource=Resource.TRAFFICSPLITS, pauses=pauses
    ) as observed:
        await until(lambda: len(pauses.taken) == 3)
    assert observed.changes == [
        Freshness("eks", Resource.TRAFFICSPLITS, current=False, reason="not listed yet")
    ]


@pytest.fixture
async def cluster(server: Server, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Return a cluster at the server."""
    async with made_cluster(kubeconfig(tmp_path, server.url)) as made:
        yield made


# --- the whole cluster ----------------------------------------------------------------------------------


async def test_cluster_delivers_every_resource(server: Server, cluster: Cluster) -> None:
    """Running a cluster watches every resource, in all namespaces; two groups may have one of the same plural."""

    async def serve(request: web.Request) -> web.StreamResponse:
        discovery = {
            "/apis/split.smi-spec.io": {"versions": [{"version": "v1alpha2"}]},
            "/apis/split.smi-spec.io/v1alpha2": SPLITS,
            "/apis/gateway.networking.k8s.io": {"versions": [{"version": "v1"}]},
            "/apis/gateway.networking.k8s.io/v1": {
                "resources": [{"name": "httproutes"}, {"name": "grpcroutes"}]
            },
            "/apis/policy.linkerd.io": {"versions": [{"version": "v1beta3"}]},
            "/apis/policy.linkerd.io/v1beta3": {"resources": [{"name": "httproutes"}]},
            "/apis/migrate.tradeshift": {"versions": [{"version": "v1alpha1"}]},
            "/apis/migrate.tradeshift/v1alpha1": {"resources": [{"name": "fleets"}]},
        }
        if request.path in discovery:
            return await answer(discovery[request.path])(request)
        return await (watch(server) if "watch" in request.query else page())(request)

    server.always = serve
    changes: list[Change] = []
    task = asyncio.create_task(cluster.run(changes.append, LEASE_WATCHED))
    current = {resource.value for resource in LEASE_WATCHED}
    await until(
        lambda: (
            {c.resource.value for c in changes if isinstance(c, Freshness) and c.current} == current
        )
    )
    task.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert {r.path for r in server.asked} == {
        "/api/v1/services",
        "/apis/discovery.k8s.io/v1/endpointslices",
        "/apis/split.smi-spec.io",
        "/apis/split.smi-spec.io/v1alpha2",
        "/apis/split.smi-spec.io/v1alpha2/trafficsplits",
        "/apis/gateway.networking.k8s.io",
        "/apis/gateway.networking.k8s.io/v1",
        "/apis/gateway.networking.k8s.io/v1/httproutes",
        "/apis/gateway.networking.k8s.io/v1/grpcroutes",
        "/apis/policy.linkerd.io",
        "/apis/policy.linkerd.io/v1beta3",
        "/apis/policy.linkerd.io/v1beta3/httproutes",
        "/apis/linkerd.io/v1alpha2/serviceprofiles",
        "/apis/migrate.tradeshift/v1alpha1/migrations",
        "/apis/migrate.tradeshift",
        "/apis/migrate.tradeshift/v1alpha1",
        "/apis/migrate.tradeshift/v1alpha1/fleets",
        "/api/v1/namespaces",
    }
    assert cluster.now() is not None


async def test_lease_comes_back_typed(server: Server, cluster: Cluster) -> None:
    """A Lease that is read is a LeaseObject."""
    server.always = answer({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}})
    found = await cluster.get(Resource.LEASES, "n", "l")
    assert isinstance(found, LeaseObject)
    assert server.asked[0].path == "/apis/coordination.k8s.io/v1/namespaces/n/leases/l"


# --- Events -------------------------------------------------------------------------------------------------


async def test_events_are_counted(server: Server, cluster: Cluster) -> None:
    """The same word within ten minutes is counted on one Event; another word, or later, is a new one."""
    now_s = [0.0]
    events = Events(cluster, monotonic=lambda: now_s[0])
    server.always = answer({"metadata": {"name": "e"}, "count": 1})
    ref = ServiceRef("a", "u1")
    await events.tell("n", ref, "Holding", "why", "Warning")
    now_s[0] = 599.0
    await events.tell("n", ref, "Holding", "why", "Warning")
    await events.tell("n", ref, "Holding", "other", "Warning")
    now_s[0] = 599.0 + 601.0
    await events.tell("n", ref, "Holding", "why", "Warning")
    assert [r.method for r in server.asked] == ["POST", "PATCH", "POST", "POST"]
    first, counted = (json.loads(body) for body in server.bodies[:2])
    assert first["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": "n",
        "name": "a",
        "uid": "u1",
    }
    assert (first["reason"], first["message"], first["type"]) == ("Holding", "why", "Warning")
    assert server.asked[1].path.endswith(f"/events/{first['metadata']['name']}")
    assert counted["count"] == 2


async def test_event_that_is_gone_is_told_anew(server: Server, cluster: Cluster) -> None:
    """An Event that the server forgot is posted again."""
    events = Events(cluster)
    done = answer({"metadata": {"name": "e"}})
    server.script += [done, status(404, "NotFound"), done]
    for _ in range(2):
        await events.tell("n", ServiceRef("a", "u1"), "R", "m")
    assert [r.method for r in server.asked] == ["POST", "PATCH", "POST"]
