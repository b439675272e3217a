"""The controller's streams to a real prober: what is asked beyond HTTP/1.1, and what cannot be."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import structlog
from aiohttp import web

from controller.domain import CallPath, Key, ProbeOrder, ProbeSpec, Side
from controller.evidence.probes import ProberReport
from controller.runtime.probers import Probers
from prober import contract
from prober.contract import PROTOCOL_UNSERVED, Assign, Protocol, Refused
from prober.server import Server
from prober.settings import Settings
from prober.telemetry import new_metrics
from tests.unit.prober.servers import App, grpc_server, hypercorn

KEY = Key("default", "service-a")


class Streams:
    """No meter: nobody reads the number of streams here."""

    def prober_streams(self, cluster: str, connected: int) -> None:
        """Nothing to note."""


@asynccontextmanager
async def streams(
    folder: Path, on_report: Callable[[ProberReport], None], proxy_url: str | None = None
) -> AsyncIterator[Probers]:
    """Run a real prober of eks, and the controller's streams to it."""
    token = folder / "token"
    token.write_text("a-token\n")
    settings = Settings(
        cluster="eks", token_file=str(token), name="p", proxy_url=proxy_url, allow=("127.0.0.0/8",)
    )
    runner = web.AppRunner(
        Server(settings, new_metrics("eks")).app(), access_log=None, shutdown_timeout=1
    )
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    probers = Probers(
        {"eks": f"ws://127.0.0.1:{listening.getsockname()[1]}"},
        token_file=token,
        streams=1,
        proxy_url=None,
        on_report=on_report,
        meter=Streams(),
        log=structlog.get_logger(),
    )
    running = asyncio.create_task(probers.run())
    try:
        yield probers
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await runner.cleanup()


def order(protocol: Protocol, port: int, probe: ProbeSpec) -> ProbeOrder:
    """Have own pods of the target probed, of which there is one."""
    return ProbeOrder(
        path=CallPath("eks", Side.TARGET),
        key=KEY,
        route="pods",
        mirror_of="",
        port=port,
        addresses=(f"127.0.0.1:{port}",),
        protocol=protocol,
        probe=probe,
        success_percent=Decimal(99),
        latency=None,
        judges=1,
        shifted=True,
        generation=0,
        identity=(),
    )


async def answers(folder: Path, asked: ProbeOrder) -> set[str]:
    """What the probes of an order are answered; one second of them."""
    told: set[str] = set()
    enough = asyncio.Event()

    def take(on_report: ProberReport) -> None:
        for _, part in on_report.samples:
            told.update(part.answers)
        if told:
            enough.set()

    async with streams(folder, take) as probers, asyncio.timeout(20):
        probers.order(KEY, (asked,))
        await enough.wait()
    return told


async def test_grpc_is_probed_from_order_to_answer(tmp_path: Path) -> None:
    """An order to probe gRPC is answered by the status's name, as the controller reads it."""
    with grpc_server() as server:
        server.health.set("shop.Cart", 2)
        asked = order("grpc", server.port, ProbeSpec(grpc_service="shop.Cart"))
        assert await answers(tmp_path, asked) == {"NOT_SERVING"}


async def test_the_cluster_that_answers_is_held_to_the_way(tmp_path: Path) -> None:
    """Own pods that name another cluster are answers of the wrong one; of h2c and HTTP/1.1 alike."""
    async with hypercorn(App(headers=[(b"x-cluster", b"legacy")])) as port:
        probe = ProbeSpec(cluster_header="x-cluster")
        assert await answers(tmp_path, order("h2c", port, probe)) == {"wrong-cluster"}
        assert await answers(tmp_path, order("http", port, probe)) == {"wrong-cluster"}
    async with hypercorn(App(headers=[(b"x-cluster", b"eks")])) as port:
        assert await answers(tmp_path, order("h2c", port, probe)) == {"200"}


async def test_a_prober_that_cannot_says_so(tmp_path: Path) -> None:
    """What a prober refuses reaches the controller once, with the order, a reason and a sentence."""
    refused: list[tuple[ProbeOrder, str, str]] = []
    came = asyncio.Event()

    def take(on_report: ProberReport) -> None:
        refused.extend(on_report.refused)
        if refused:
            came.set()

    asked = order("grpc", 9000, ProbeSpec())
    async with (
        streams(tmp_path, take, proxy_url="http://127.0.0.1:9") as probers,
        asyncio.timeout(20),
    ):
        probers.order(KEY, (asked,))
        await came.wait()
    ((about, reason, message),) = refused
    assert (about, reason) == (asked, PROTOCOL_UNSERVED)
    assert "cannot probe grpc" in message


def test_an_older_peer_reads_what_is_as_it_was() -> None:
    """A plain assignment and a plain ruling have no field that the first probers and controllers lack."""
    plain = Assign(1, "k", "default", "web", "apex", 80, 10.0, ((200, 399),))
    known = {"type", "id", "key", "namespace", "service", "route", "port", "rate_per_s", "expect"}
    assert set(json.loads(contract.encode(plain))) == known
    assert set(json.loads(contract.encode(Refused("no", id=1)))) == {"type", "message", "id"}


def test_a_prober_of_before_refuses_what_it_does_not_know() -> None:
    """A field that a peer does not know is an error that names it, and never silently left out."""
    newer = contract.encode(Assign(1, "k", "d", "web", "apex", 80, 1.0, ((0, 0),), protocol="grpc"))
    odd = newer.replace(b'"protocol"', b'"protocol_of_tomorrow"')
    with pytest.raises(msgspec.ValidationError, match="protocol_of_tomorrow"):
        contract.decode_to_prober(odd)
