"""Notifications, against real servers on loopback: what arrives, what is tried again, and what is never told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from structlog.testing import capture_logs

from controller.domain.notices import Notice, NoticeKind
from controller.runtime import notifications
from controller.runtime.notifications import HELD_S, QUEUE, TRIES, Notifications
from controller.runtime.receivers import Receiver, read_receivers
from controller.runtime.settings import SettingsError
from controller.runtime.webhooks import Answer
from tests.faults.virtual import VirtualLoop

SECRET = "T0PSECRETPATH"
NOTICE = Notice(
    NoticeKind.REVERTED,
    datetime(2026, 1, 1, tzinfo=UTC),
    "shop",
    "cart",
    "share 0/0 %: the target is bad",
)
Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Meter(Counter[tuple[str, str]]):
    """Counts."""

    def notified(self, receiver: str, result: str, count: int = 1) -> None:
        """Count."""
        self[receiver, result] += count


async def until(reached: Callable[[], object]) -> None:
    """Wait until something is so, for 10 s at most."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - a file is read by a thread, a call comes from a server
            await asyncio.sleep(0.005)


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    """A server that answers every call so; its address, with a secret in it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/services/{SECRET}"
    finally:
        await runner.cleanup()


def answers(*statuses: int, headers: dict[str, str] | None = None) -> tuple[list[Any], Serve]:
    """What such a server heard, and the server: these statuses in turn, the last one for ever."""
    heard: list[Any] = []

    async def serve(request: web.Request) -> web.Response:
        heard.append((dict(request.headers), await request.json()))
        status = statuses[min(len(heard), len(statuses)) - 1]
        more = headers if status != 200 else None
        return web.Response(status=status, text=f"no: {request.path}", headers=more)

    return heard, serve


class Desk:
    """Notifications to the receivers of a file, whose pauses take no time."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "receivers.yaml"
        self.meter = Meter()
        self.pauses: list[float] = []

    def write(self, *receivers: dict[str, Any]) -> None:
        """Write the file, as the kubelet does: whole, at once."""
        self.file.with_suffix(".new").write_text(json.dumps({"receivers": receivers}))
        self.file.with_suffix(".new").replace(self.file)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    @asynccontextmanager
    async def running(self, deadline_s: float = 10.0) -> AsyncIterator[Notifications]:
        """Run them, from the first reading of the file on."""
        told = Notifications(
            self.file,
            "//test",
            meter=self.meter,
            log=structlog.get_logger(),
            deadline_s=deadline_s,
            pause=self._pause,
        )
        task = asyncio.create_task(told.run())
        try:
            await until(lambda: self.meter)
            yield told
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def sent(self, url: str, deadline_s: float = 10.0, **more: Any) -> list[Any]:
        """Tell of one thing, and wait for what becomes of it; what the log says."""
        self.write({"name": "ops", "url": url, **more})
        with capture_logs() as logged:
            async with self.running(deadline_s) as told:
                told.tell(NOTICE.subject, NOTICE)
                await told.drain(10.0)
        assert SECRET not in repr((logged, told))
        return [line for line in logged if line["event"] == "notification lost"]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Notifications to nobody yet."""
    return Desk(tmp_path)


async def test_what_is_sent_arrives_once_with_its_headers(desk: Desk) -> None:
    """A receiver hears a notice once, as JSON of its form, with the headers that its file gives it."""
    heard, serve = answers(200)
    async with server(serve) as url:
        assert await desk.sent(url, headers={"Authorization": f"Bearer {SECRET}"}) == []
    ((headers, body),) = heard
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert body["subject"] == "shop/cart"
    assert desk.meter == Meter({("ops", "sent"): 1, ("ops", "failed"): 0, ("ops", "dropped"): 0})


async def test_a_server_in_trouble_is_tried_again(desk: Desk) -> None:
    """After 500 and 503 the same event is sent again, and counts once when it is taken."""
    heard, serve = answers(500, 503, 200)
    async with server(serve) as url:
        assert await desk.sent(url) == []
    assert len({body["id"] for _, body in heard}) == 1
    assert (len(heard), desk.meter["ops", "sent"], len(desk.pauses)) == (3, 1, 2)


@pytest.mark.parametrize(("asked", "least"), [("7", 7.0), ("86400", 300.0), ("tomorrow", 0.0)])
async def test_a_server_is_left_alone_as_long_as_it_asks(
    desk: Desk, asked: str, least: float
) -> None:
    """The Retry-After of a 429 is waited for, up to five minutes, and something drawn after it."""
    _, serve = answers(429, 200, headers={"Retry-After": asked})
    async with server(serve) as url:
        await desk.sent(url)
    (pause,) = desk.pauses
    assert least <= pause <= least + 2.0


@pytest.mark.parametrize(
    ("statuses", "calls", "why"),
    [
        ((500,), TRIES, "it answers HTTP 500: no: ***"),
        ((404,), 1, "it answers HTTP 404: no: ***"),
        ((307,), 1, "it redirects (HTTP 307), which is not followed: write where it leads"),
    ],
)
async def test_what_cannot_be_sent_is_counted_and_told(
    desk: Desk, statuses: tuple[int, ...], calls: int, why: str
) -> None:
    """A notice is given up after six tries, or at once where another would change nothing; no line has the address."""
    heard, serve = answers(*statuses, headers={"Location": "/elsewhere"})
    async with server(serve) as url:
        (line,) = await desk.sent(url)
    assert (len(heard), desk.meter["ops", "failed"]) == (calls, 1)
    assert (line["why"], line["kind"], line["about"]) == (why, "Reverted", "shop/cart")


async def test_a_server_that_hangs_is_left_at_the_deadline(desk: Desk) -> None:
    """Of a server that takes the call and says nothing, each try ends at the deadline, and the notice is lost."""

    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with server(hang) as url:
        (line,) = await desk.sent(url, deadline_s=0.05)
    assert line["why"] == "no answer within 0.05 s"
    assert desk.meter["ops", "failed"] == 1


async def test_an_address_where_nobody_listens_is_told(desk: Desk) -> None:
    """A refused connection is tried again, and told without the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET}"
        (line,) = await desk.sent(url)
    assert line["why"].startswith("it cannot be reached: ")
    assert len(desk.pauses) == TRIES - 1


async def test_a_connection_that_breaks_is_tried_again(desk: Desk) -> None:
    """A server that hangs up in the middle is tried again."""

    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with server(hang_up) as url:
        (line,) = await desk.sent(url)
    assert line["why"] == "it gives no answer: ServerDisconnectedError"
    assert len(desk.pauses) == TRIES - 1


async def test_a_proxy_of_the_environment_is_used(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only a proxy leads out of the cluster, HTTP_PROXY names it."""
    heard, serve = answers(200)
    async with server(serve) as url:
        monkeypatch.setenv("HTTP_PROXY", url.removesuffix(f"/services/{SECRET}"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert await desk.sent("http://hooks.example/x") == []
    assert heard[0][0]["Host"] == "hooks.example"


async def test_one_that_hangs_keeps_nobody_else_waiting(desk: Desk) -> None:
    """While one receiver hangs, another is told at once."""
    heard, serve = answers(200)

    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with server(serve) as quick, server(hang) as slow:
        desk.write({"name": "slow", "url": slow}, {"name": "quick", "url": quick})
        async with desk.running() as told:
            told.tell(NOTICE.subject, NOTICE)
            await until(lambda: heard)
    assert desk.meter["slow", "sent"] == 0


async def test_a_rotated_secret_is_taken_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written anew counts without a restart, one that is broken keeps what was; what waits goes on."""
    monkeypatch.setattr(notifications, "REREAD_S", 0.01)
    heard, serve = answers(200)
    taken = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        taken.set()
        await asyncio.Event().wait()
        return web.Response()

    async with server(hang) as before, server(serve) as after:
        desk.write({"name": "ops", "url": before})
        with capture_logs() as logged:
            async with desk.running() as told:
                desk.file.write_text("receivers: [")
                await until(lambda: any("error" in line for line in logged))
                told.tell("a/b", replace(NOTICE, name="first"))
                told.tell("a/b", replace(NOTICE, name="second"))
                await taken.wait()
                desk.write({"name": "ops", "url": after})
                await until(lambda: len(heard) == 2)
    assert [body["subject"] for _, body in heard] == ["shop/first", "shop/second"]
    assert "is no YAML" in next(line["error"] for line in logged if "error" in line)
    assert SECRET not in repr(logged)


def unsent(loop: VirtualLoop, **wanted: Any) -> tuple[Notifications, Meter, list[bytes]]:
    """Notifications to a receiver that takes the first and answers nothing, in virtual time."""
    meter, asked = Meter(), list[bytes]()

    async def hang(_: Receiver, body: bytes, _type: str) -> Answer:
        asked.append(body)
        await asyncio.Event().wait()
        return Answer()

    told = Notifications(None, "//test", meter=meter, log=structlog.get_logger())
    receiver = Receiver(name="ops", url="http://ops.example/", **wanted)
    loop.run_until_complete(told.take((receiver,), hang))
    return told, meter, asked


@pytest.fixture
def loop() -> Any:
    """A loop in virtual time."""
    made = VirtualLoop()
    yield made
    for task in asyncio.all_tasks(made):
        task.cancel()
    made.go_to(made.time() + 1)
    made.close()


def tell(loop: VirtualLoop, told: Notifications, subject: str, notice: Notice | None) -> None:
    """Tell of it inside the loop."""
    loop.call_soon(told.tell, subject, notice)
    loop.go_to(loop.time() + 0.1)


def test_of_too_many_the_oldest_is_dropped(loop: VirtualLoop) -> None:
    """A receiver that takes nothing has a bounded queue: what is too much is counted, and the newest stays."""
    told, meter, _ = unsent(loop)
    for number in range(QUEUE + 3):
        tell(loop, told, f"a/{number}", replace(NOTICE, name=str(number)))
    assert meter["ops", "dropped"] == 2


def test_a_hold_is_told_when_it_lasts(loop: VirtualLoop) -> None:
    """A hold that something else follows within half a minute is told to nobody, one that stays is, once."""
    told, _, asked = unsent(loop)
    hold = replace(NOTICE, kind=NoticeKind.HELD)
    tell(loop, told, "shop/cart", hold)
    tell(loop, told, "shop/cart", None)
    loop.go_to(loop.time() + 2 * HELD_S)
    assert asked == []
    tell(loop, told, "shop/cart", hold)
    loop.go_to(loop.time() + 0.7 * HELD_S)
    tell(loop, told, "shop/cart", replace(hold, message="another reason"))
    loop.go_to(loop.time() + 0.7 * HELD_S)
    assert asked == []
    loop.go_to(loop.time() + 2 * HELD_S)
    assert [b"another reason" in body for body in asked] == [True]


def test_a_hold_is_told_before_the_end(loop: VirtualLoop) -> None:
    """What the next leader would take for told is told at the latest when this one ends."""
    told, _, asked = unsent(loop)
    tell(loop, told, "shop/cart", replace(NOTICE, kind=NoticeKind.HELD))
    loop.run_until_complete(told.drain(2.0))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("wanted", "notice", "told"),
    [
        ({}, NOTICE, True),
        ({"kinds": (NoticeKind.REVERTED,)}, NOTICE, True),
        ({"kinds": (NoticeKind.HELD,)}, NOTICE, False),
        ({"namespaces": ("shop",)}, NOTICE, True),
        ({"namespaces": ("office",)}, NOTICE, False),
        ({"namespaces": ("shop",)}, replace(NOTICE, namespace=""), False),
    ],
)
def test_each_is_told_what_it_wants(
    loop: VirtualLoop, wanted: dict[str, Any], notice: Notice, told: bool
) -> None:
    """A receiver hears of its kinds and its namespaces; one with namespaces hears of no Fleet."""
    all_told, _, asked = unsent(loop, **wanted)
    tell(loop, all_told, notice.subject, notice)
    assert bool(asked) is told


def test_an_error_of_ours_is_counted_and_ends_nothing(loop: VirtualLoop) -> None:
    """Where a post raises what nobody expected, that notice is lost, and the next is sent."""
    meter, asked = Meter(), list[bytes]()

    async def raise_once(_: Receiver, body: bytes, _type: str) -> Answer:
        asked.append(body)
        if len(asked) == 1:
            raise RuntimeError(SECRET)
        return Answer()

    told = Notifications(None, "//test", meter=meter, log=structlog.get_logger())
    receiver = Receiver(name="ops", url="http://ops.example/")
    loop.run_until_complete(told.take((receiver,), raise_once))
    with capture_logs() as logged:
        tell(loop, told, "a/b", NOTICE)
        tell(loop, told, "a/b", NOTICE)
    assert (meter["ops", "failed"], meter["ops", "sent"]) == (1, 1)
    assert SECRET not in repr(logged)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "write one key, receivers, with a list of them"),
        ("receivers: {}", "receivers: is no list"),
        ("receivers: [text]", "receivers[0]: is no mapping"),
        ("receivers: [{name: a}]", "receivers[0].url: is missing; write an https:// URL"),
        (
            f"receivers: [{{name: a, ulr: 'https://x/{SECRET}'}}]",
            "receivers[0]: has a key that is unknown; did you mean url?",
        ),
        (f"receivers: [{{name: a, url: '{SECRET}'}}]", "receivers[0].url: cannot be used; write"),
        (
            f"receivers: [{{name: a, url: 'https://user:{SECRET}@x/'}}]",
            "go into headers, as Authorization",
        ),
        (
            f"receivers: [{{name: a, url: 'https://x/', form: {SECRET}}}]",
            "receivers[0].form: cannot be used; write cloudevents, slack or teams",
        ),
        (
            "receivers: [{name: a, url: 'https://x/', kinds: [Reverted, Moved]}]",
            "receivers[0].kinds: cannot be used; write a list of Started, StepRaised",
        ),
        (
            f'receivers: [{{name: a, url: "https://x/", headers: {{A: "{SECRET}\\n"}}}}]',
            "receivers[0].headers: cannot be used; write a mapping",
        ),
        (
            "receivers: [{name: a, url: 'https://x/'}, {name: a, url: 'https://y/'}]",
            "two receivers are named a",
        ),
    ],
)
def test_a_mistake_is_named_and_no_secret_is(tmp_path: Path, written: str, said: str) -> None:
    """What is wrong in the file is told with its place and what to write, and nothing that stands in it."""
    path = tmp_path / "receivers.yaml"
    path.write_text(written)
    with pytest.raises(SettingsError) as error:
        read_receivers(path)
    assert said in str(error.value)
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None


def test_the_page_has_receivers_that_are_good(tmp_path: Path) -> None:
    """The receivers that docs/notifications.md shows are read, with all that it says of them."""
    page = (Path(__file__).parents[3] / "docs" / "notifications.md").read_text()
    path = tmp_path / "receivers.yaml"
    path.write_text(page.partition("```yaml\n")[2].partition("```")[0])
    slack, portal = read_receivers(path)
    assert (slack.form, slack.namespaces, portal.form) == (
        "slack",
        ("shop", "office"),
        "cloudevents",
    )
    assert portal.headers == {"Authorization": "Bearer XXXX"}


def test_a_receiver_is_known_by_its_name_alone() -> None:
    """Nothing that prints a receiver prints its address or its headers."""
    receiver = Receiver(name="ops", url=f"https://x/{SECRET}", headers={"A": SECRET})
    assert SECRET not in f"{receiver} {receiver!r} {[receiver]}"
