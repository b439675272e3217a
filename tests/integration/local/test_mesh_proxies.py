"""Sidecars and gateways with real sockets: what passes through them, and what they do when it cannot."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from deploy.stand_ins.mesh.addresses import wire
from deploy.stand_ins.mesh.config import Endpoint
from deploy.stand_ins.mesh.exchange import Downstream, Pool, Upstream
from deploy.stand_ins.mesh.objects import Pod, slice_object
from tests.integration.local.mesh_pair import (
    URL,
    WEB,
    Answer,
    Pair,
    read_response,
    running_pair,
    split_object,
    until,
    write_split,
)

ALL_AWAY = 1.0
EKS_URL = "http://web-eks.default.svc.cluster.local/"


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Yield a pair of one pod in each cluster."""
    async with running_pair(pods=1) as running:
        yield running


async def held(pair: Pair, request: asyncio.Task[Answer], since: float) -> None:
    """Wait until a request is held until 3 s after ``since``."""
    await until(lambda: request.done() or pair.clock.waiting_for(since + 3.0))
    assert not request.done(), request.result()


async def serve_elsewhere(pair: Pair, app: web.Application) -> web.AppRunner:
    """Put an application in the place of the pods of web in eks."""
    runner = web.AppRunner(app)
    await runner.setup()
    ip = pair.addresses.take()
    await web.TCPSite(runner, wire(ip), 8080).start()
    pair.eks.config.put("EndpointSlice", slice_object(WEB, [Pod("app", ip)], 8080))
    return runner


# --- what the server sees


async def test_the_server_sees_the_clients_host_locally_and_its_own_name_by_the_mirror(
    pair: Pair,
) -> None:
    """Virtual hosts break exactly when a step is made (fact 18)."""
    client = await pair.legacy.client()
    assert (await client.get(host="shop.example")).host == "shop.example"
    away = await client.get(EKS_URL, host="shop.example")
    assert away == Answer(200, "eks", "web.default.svc.cluster.local")


async def test_a_pods_own_address_is_never_split(pair: Pair) -> None:
    """200 of 200 local at (1, 1), whatever Host such a request carries (fact 23)."""
    pair.legacy.split(ALL_AWAY)
    pair.eks.split(ALL_AWAY)
    client = await pair.legacy.client()
    (pod,) = pair.legacy.workload.pods
    for _ in range(200):
        answer = await client.get(f"http://{pod.ip}:8080/", host="web.default.svc.cluster.local")
        assert answer == Answer(200, "legacy", "web.default.svc.cluster.local")


async def test_an_address_without_a_pod_is_502(pair: Pair) -> None:
    """A connection refused at a literal address is told at once."""
    client = await pair.legacy.client()
    assert (await client.get("http://10.1.2.3:9/")).status == 502
    assert (await client.get("http://example.com/")).proxy_error == "no such host"


# --- what passes through


async def test_a_websocket_passes_through_a_gateway(pair: Pair) -> None:
    """An upgrade through sidecar and gateway is tunnelled, and its end comes through (WebSocket, M)."""

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
            if message.data == "bye":
                await socket.close(code=4000)
        return socket

    app = web.Application()
    app.router.add_get("/ws", echo)
    runner = await serve_elsewhere(pair, app)
    client = await pair.legacy.client()
    proxy = f"http://{client._proxy[0]}:{client._proxy[1]}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{EKS_URL}ws", proxy=proxy) as socket,
    ):
        for word in ("one", "two" * 50_000, "bye"):
            await socket.send_str(word)
            assert await socket.receive_str(timeout=5) == word.upper()
        end = await socket.receive(timeout=5)
        assert (end.type, end.data) == (aiohttp.WSMsgType.CLOSE, 4000)
    await runner.cleanup()


async def test_a_chunked_answer_and_a_long_body_come_whole(pair: Pair) -> None:
    """Bodies pass both ways unchanged, chunked or not, and the connection is kept."""

    async def mirror(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        async for data in request.content.iter_any():
            await answer.write(data)
        return answer

    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/", mirror)
    runner = await serve_elsewhere(pair, app)
    client = await pair.legacy.client()
    proxy = f"http://{client._proxy[0]}:{client._proxy[1]}"
    sent = random.Random(1).randbytes(900_000)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(sent), 100_000):
            yield sent[at : at + 100_000]

    async with aiohttp.ClientSession() as session:
        for body in (sent, pieces(), b""):
            async with session.post(EKS_URL, data=body, proxy=proxy) as answer:
                assert await answer.read() == (b"" if body == b"" else sent)
    await runner.cleanup()


async def test_requests_in_one_packet_are_answered_in_order(pair: Pair) -> None:
    """Pipelined requests each get their own answer."""
    client = await pair.legacy.client()
    reader, writer = await asyncio.open_connection(*client._proxy)
    paths = [b"a", b"b", b"c"]
    writer.write(b"".join(b"GET %s%s HTTP/1.1\r\n\r\n" % (URL.encode(), p) for p in paths))
    for path in paths:
        response, body = await read_response(reader)
        assert response.status == 200
        assert b'"path": "/%s"' % path in body
    writer.close()


async def test_nonsense_is_answered_400(pair: Pair) -> None:
    """What is not HTTP closes its connection and touches nobody else."""
    client = await pair.legacy.client()
    reader, writer = await asyncio.open_connection(*client._proxy)
    writer.write(b"nonsense\r\n\r\n")
    response, _ = await read_response(reader)
    assert (response.status, response.keep_alive) == (400, False)
    assert await reader.read() == b""
    writer.close()
    assert (await client.get()).status == 200


async def test_an_endpoint_that_closes_without_an_answer_is_502(pair: Pair) -> None:
    """Nothing is tried twice: the caller hears that the connection was lost."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    ip = pair.addresses.take()
    server = await asyncio.start_server(close, wire(ip), 8080)
    client = await pair.legacy.client()
    answer = await client.get(f"http://{ip}:8080/")
    assert (answer.status, answer.proxy_error) == (502, "connection closed before an answer")
    server.close()
    await server.wait_closed()


# --- the facts about endpoints, with sockets


async def test_an_emptied_mirror_is_504_for_three_seconds_and_then_skipped(pair: Pair) -> None:
    """Its share waits and gets 504, then the local Service answers all (fact 16)."""
    write_split(pair.legacy.config, split_object([("web", 1), ("web-eks", 99_999)]))
    client = await pair.legacy.client()
    assert (await client.get()).cluster == "eks"
    pair.legacy.mirror("empty")
    pair.propagate()
    began = pair.clock.now()
    waiting = asyncio.create_task(client.get())
    await held(pair, waiting, began)
    pair.clock.advance(3.0)
    answer = await waiting
    assert (answer.status, answer.proxy_error) == (504, "service in fail-fast")
    assert await client.count(50) == {"legacy": 50}


@pytest.mark.parametrize("mode", ["refuse", "hang"])
async def test_a_dead_gateway_is_like_an_empty_backend(pair: Pair, mode: str) -> None:
    """504 for 3 s, then others; with weight zero on them 503; alive again it is used (fact 19)."""
    pair.legacy.split(ALL_AWAY)
    client = await pair.legacy.client()
    await pair.eks.gateway.die("refuse" if mode == "refuse" else "hang")
    began = pair.clock.now()
    waiting = asyncio.create_task(client.get())
    await held(pair, waiting, began)
    pair.clock.advance(3.0)
    assert (await waiting).status == 504
    assert (await client.get()).status == 503
    pair.legacy.split(0.999)
    pair.propagate()
    assert await client.count(20) == {"legacy": 20}
    await pair.eks.gateway.revive()
    async with asyncio.timeout(10):
        while (await client.get()).cluster != "eks":  # noqa: ASYNC110 - it is asked each time
            await asyncio.sleep(0.01)


async def test_a_request_in_a_gateway_that_hangs_waits(pair: Pair) -> None:
    """What is under way when the gateway hangs gets no answer until the gateway is gone."""
    client = await pair.legacy.client()
    assert (await client.get(EKS_URL)).status == 200
    await pair.eks.gateway.die("hang")
    waiting = asyncio.create_task(client.get(EKS_URL))
    (sidecar,) = pair.legacy.sidecars
    await until(lambda: any(d._upstream is not None for d in sidecar._proxy._downstreams))
    await pair.eks.gateway.revive()
    assert (await waiting).status == 502
    assert (await client.get(EKS_URL)).cluster == "eks"


async def test_an_answer_does_not_leave_a_gateway_that_hangs(pair: Pair) -> None:
    """What the pod answers after the gateway hung is lost with the connection."""
    client = await pair.legacy.client()
    pair.eks.workload.latency(0.1)
    waiting = asyncio.create_task(client.get(EKS_URL))
    (pod,) = pair.eks.workload._pods.values()
    await until(lambda: any(c.answering for c in pod.connections))
    await pair.eks.gateway.die("hang")
    await until(lambda: not any(c.answering for c in pod.connections))
    entrances = pair.eks.gateway._proxy._downstreams
    await until(lambda: all(d._upstream is None for d in entrances))
    await pair.eks.gateway.revive()
    assert (await waiting).status == 502


async def test_a_pod_that_is_gone_fails_nobody_while_another_stands() -> None:
    """A connection refused is not a request sent: the next pod in turn gets it."""
    async with running_pair(pods=2) as pair:
        client = await pair.legacy.client()
        gone = next(iter(pair.legacy.workload._pods.values()))
        await gone.close()
        assert await client.count(20) == {"legacy": 20}


async def test_a_held_request_goes_on_when_an_endpoint_comes_back(pair: Pair) -> None:
    """Within the 3 s nothing is lost but time."""
    client = await pair.legacy.client()
    await client.get()
    saved = list(pair.legacy.config._slices[WEB].values())
    pair.legacy.empty()
    pair.propagate()
    began = pair.clock.now()
    waiting = asyncio.create_task(client.get())
    await held(pair, waiting, began)
    for piece in saved:
        pair.legacy.config.put("EndpointSlice", piece)
    pair.propagate()
    assert (await waiting).cluster == "legacy"


# --- weights and splits, with sockets


async def test_bad_weights_drop_the_connections_of_new_proxies(pair: Pair) -> None:
    """The busy client keeps the old weights, a new one is closed on (fact 15)."""
    pair.legacy.split(ALL_AWAY)
    busy = await pair.legacy.client(1)
    assert (await busy.get()).cluster == "eks"
    write_split(pair.legacy.config, split_object([("web", 1), ("web-eks", -1)]))
    pair.propagate()
    new = await pair.legacy.client(2)
    assert (await busy.get()).cluster == "eks"
    assert await new.get() == Answer(0)


async def test_a_backend_as_fqdn_is_500(pair: Pair) -> None:
    """For 100 % of requests, and marked as the mesh's own (fact 17)."""
    backends = [("web", 999), ("web-eks.default.svc.cluster.local", 1)]
    write_split(pair.legacy.config, split_object(backends))
    client = await pair.legacy.client()
    answers = [await client.get() for _ in range(20)]
    assert {a.status for a in answers} == {500}
    assert all(a.proxy_error for a in answers)


async def test_a_kept_connection_follows_new_weights(pair: Pair) -> None:
    """New requests on a kept-alive connection go by the new weights (fact 14)."""
    pair.legacy.split(0.0)
    client = await pair.legacy.client()
    assert (await client.get()).cluster == "legacy"
    pair.legacy.split(ALL_AWAY)
    pair.propagate()
    assert (await client.get()).cluster == "eks"


async def test_a_busy_client_ignores_a_new_split_with_sockets(pair: Pair) -> None:
    """Local while busy; away after five seconds without a request (fact 11)."""
    client = await pair.legacy.client()
    for second in range(8):
        assert (await client.get()).cluster == "legacy"
        if second == 2:
            pair.legacy.split(ALL_AWAY)
        pair.clock.advance(1.0)
    pair.clock.advance(4.0)
    assert (await client.get()).cluster == "eks"


# --- loops (facts 1 to 4, 7, 8)


async def test_loops_are_back_when_the_pin_is_gone(pair: Pair) -> None:
    """At (1, 1) all is 508, with pins all is served away, without them 508 again."""
    pair.legacy.split(ALL_AWAY)
    pair.eks.split(ALL_AWAY)
    client = await pair.legacy.client()
    assert await client.count(20) == {"508": 20}
    pair.eks.pin()
    pair.propagate()
    assert await client.count(20) == {"eks": 20}
    pair.eks.unpin()
    pair.propagate()
    assert await client.count(20) == {"508": 20}


async def test_a_pin_protects_the_other_clusters_clients(pair: Pair) -> None:
    """The pin of eks saves clients of legacy only: both are needed (fact 8)."""
    pair.legacy.split(ALL_AWAY)
    pair.eks.split(ALL_AWAY)
    pair.eks.pin()
    counts = [await (await side.client()).count(20) for side in (pair.legacy, pair.eks)]
    assert counts == [Counter({"eks": 20}), Counter({"508": 20})]


async def test_with_two_trust_domains_the_first_bounce_passes_silently() -> None:
    """The probe of the mirror at rest is answered 200 by the wrong cluster (fact 4)."""
    async with running_pair(trust_domains=("legacy.local", "eks.local")) as pair:
        pair.eks.split(ALL_AWAY)
        client = await pair.legacy.client()
        assert await client.count(20, EKS_URL) == {"legacy": 20}
        pair.legacy.split(ALL_AWAY)
        pair.propagate()
        assert await client.count(20, EKS_URL) == {"508": 20}


async def test_a_refused_loop_closes_the_connection_between_the_clusters(pair: Pair) -> None:
    """A 508 costs the connection it came on (fact 2), not the client's own."""
    pair.legacy.split(ALL_AWAY)
    pair.eks.split(ALL_AWAY)
    client = await pair.legacy.client()
    await client.get()
    own = client._streams
    lost = pair.legacy.gateway._proxy._downstreams
    await until(lambda: not lost)
    assert (await client.get()).status == 508
    assert client._streams is own


# --- ends


class Recorded(asyncio.Transport):
    """Keeps what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep nothing."""

    def pause_reading(self) -> None:
        """Note it."""
        self.calls.append("pause")

    def resume_reading(self) -> None:
        """Note it."""
        self.calls.append("resume")

    def close(self) -> None:
        """Note it."""
        self.calls.append("close")

    def abort(self) -> None:
        """Note it."""
        self.calls.append("abort")

    def is_closing(self) -> bool:
        """Never."""
        return False


def joined(method: bytes = b"GET") -> tuple[Downstream, Recorded, Upstream, Recorded]:
    """Return a client's and an endpoint's connection with one request between them."""
    near, far = Recorded(), Recorded()
    upstream = Upstream(Pool(Endpoint("127.0.0.1", 1), b"identity"))
    upstream.connection_made(far)
    downstream = Downstream(lambda d, r: d.forward(upstream, b"head"), set())
    downstream.connection_made(near)
    downstream.data_received(method + b" / HTTP/1.1\r\n\r\n")
    near.calls.clear()
    return downstream, near, upstream, far


def test_a_slow_client_does_not_leave_a_paused_connection_in_the_pool() -> None:
    """The last bytes of an answer may pause the endpoint; the next request finds it reading."""
    downstream, _, upstream, far = joined()
    downstream.pause_writing()
    upstream.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert far.calls == ["pause", "resume"]
    assert upstream._pool.take() is upstream


def test_a_tunnel_that_ends_is_closed_and_not_cut() -> None:
    """What an endpoint said last reaches a slow client, while half an answer is cut off."""
    _, near, upstream, _ = joined()
    upstream.data_received(b"HTTP/1.1 101 Switching Protocols\r\n\r\nlast words")
    upstream.connection_lost(None)
    assert near.calls == ["close"]
    _, near, upstream, _ = joined()
    upstream.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
    upstream.connection_lost(None)
    assert near.calls == ["abort"]


async def test_nothing_is_left_behind(pair: Pair) -> None:
    """A client that leaves in the middle takes its upstream connection with it."""
    client = await pair.legacy.client()
    pair.legacy.workload.hang()
    waiting = asyncio.create_task(client.get())
    (pod,) = pair.legacy.workload._pods.values()
    await until(lambda: bool(pod.connections))
    waiting.cancel()
    client.close()
    await until(lambda: not pod.connections)


def test_a_proxys_url_is_on_loopback() -> None:
    """Objects carry 10.x.y.z, sockets 127.x.y.z."""
    assert wire("10.16.0.2") == "127.16.0.2"
    assert wire("127.16.0.2") == "127.16.0.2"


async def test_each_cluster_knows_services_by_its_own_domain() -> None:
    """Facts 7 and 18 with two DNS domains: through a mirror the server sees the name of its own cluster's DNS, by
    which its gateway asks for the pin; a pin of the other cluster's domain pins nothing."""
    async with running_pair(domains=("cluster.local", "eks.example.com")) as pair:
        for side in pair.sides.values():
            side.split(1.0)
        client = await pair.legacy.client()
        assert (await client.get(URL)).status == 508
        pair.eks.pin("cluster.local")
        pair.propagate()
        assert (await client.get(URL)).status == 508
        pair.eks.pin()
        pair.propagate()
        away = Answer(200, "eks", "web.default.svc.eks.example.com")
        assert await client.get(URL) == away
        far = await pair.eks.client()
        assert (await far.get(URL)).status == 502
        pair.legacy.pin()
        pair.propagate()
        home = Answer(200, "legacy", "web.default.svc.cluster.local")
        assert await far.get("http://web.default.svc.eks.example.com/") == home
