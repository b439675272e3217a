"""The controller's streams to the probers, against probers that refuse, hang, lie or talk garbage.

The other side is a real WebSocket server on loopback that says what a test wrote down.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import WSMsgType, web
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain import CallPath, Key, ProbeOrder, ProbeSpec, Side
from controller.evidence.probes import ProbeMonitor, ProberReport
from controller.kube.api import Backoff
from controller.runtime import probers
from controller.runtime.probers import Probers
from prober import contract
from prober.contract import Assign, Counts, Hello, Readdress, Report, Sample, Withdraw
from tests.unit.kube.scripted_api import until

A, B = Key("default", "service-a"), Key("default", "service-b")
HELLO = Hello(contract.VERSION, "eks", "prober-1", 100.0)
Session = Callable[[web.WebSocketResponse, "Far"], Awaitable[None]]


def order(side: Side = Side.TARGET, addresses: tuple[str, ...] = (), **differs: Any) -> ProbeOrder:
    """One way of service-a to be probed by eks."""
    values: dict[str, Any] = {
        "path": CallPath("eks", side),
        "key": A,
        "route": "pods",
        "mirror_of": "",
        "port": 80,
        "addresses": addresses,
        "protocol": "http",
        "probe": ProbeSpec(),
        "success_percent": Decimal(99),
        "latency": None,
        "judges": 1,
        "shifted": True,
        "generation": 1,
        "identity": ("service-a", side),
    }
    return ProbeOrder(**values | differs)


@dataclass
class Far:
    """The other side: what was dialled and said, and how each session goes."""

    session: Session
    dials: int = 0
    said: list[contract.ToProber] = field(default_factory=list)
    url: str = ""
    status: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one dial."""
        self.dials += 1
        if self.status:
            return web.Response(status=self.status)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await self.session(socket, self)
        return socket

    async def hear(self, socket: web.WebSocketResponse) -> None:
        """Write down what is said until the stream ends."""
        async for frame in socket:
            if frame.type is WSMsgType.TEXT:
                self.said.append(contract.decode_to_prober(frame.data))


@asynccontextmanager
async def far(session: Session) -> AsyncIterator[Far]:
    """Run the other side."""
    made = Far(session)
    app = web.Application()
    app.router.add_get(contract.PATH, made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


class Near:
    """The controller's side, with everything it tells."""

    def __init__(self, url: str, folder: Path, streams: int = 1, **urls: str) -> None:
        self.on_report: list[ProberReport] = []
        self.standing: list[int] = []
        self.log = structlog.testing.CapturingLogger()
        token = folder / "token"
        if not token.exists():
            token.write_text("a-token\n")
        self.probers = Probers(
            {"eks": url, **urls},
            token_file=token,
            streams=streams,
            proxy_url=None,
            on_report=self.on_report.append,
            meter=self,
            log=self.log,
        )

    def prober_streams(self, cluster: str, connected: int) -> None:
        """Note how many streams stand."""
        if cluster == "eks":
            self.standing.append(connected)

    def ends(self) -> list[str]:
        """Why streams ended, so far."""
        return [
            str(call.kwargs["error"])
            for call in self.log.calls
            if call.args == ("prober stream ended",)
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Near]:
        """Keep the streams up for a while; an error that leaves them is one of the test."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.probers.run())
            yield self
            task.cancel()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dial again at once: what the pauses are is another test."""
    monkeypatch.setattr(probers, "Backoff", lambda *bounds: Backoff(*bounds, draw=lambda: 0.0))


def message(said: contract.FromProber) -> str:
    """Write a message of the prober."""
    return contract.encode(said).decode()


async def say(socket: web.WebSocketResponse, *messages: contract.FromProber) -> None:
    """Send messages."""
    for one in messages:
        await socket.send_str(message(one))


async def honest(socket: web.WebSocketResponse, there: Far) -> None:
    """Return Hello, then report 50 times a second until the stream ends."""
    await say(socket, HELLO)

    async def report() -> None:
        number = 0
        while True:
            ids = [said.id for said in there.said if isinstance(said, Assign)]
            part = tuple(Sample(n, number, 0.0, base=Counts(1)) for n in ids)
            await say(socket, Report(number, part))
            number += 1
            await asyncio.sleep(0.02)

    reporting = asyncio.create_task(report())
    try:
        await there.hear(socket)
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


def saying(*texts: str | bytes) -> Session:
    """Send these frames after Hello, then wait for the end."""

    async def session(socket: web.WebSocketResponse, there: Far) -> None:
        await say(socket, HELLO)
        for text in texts:
            await (socket.send_str(text) if isinstance(text, str) else socket.send_bytes(text))
        await there.hear(socket)

    return session


# --- as it should be ------------------------------------------------------------------------------


async def test_a_stream_is_told_what_to_probe_and_what_changed(tmp_path: Path) -> None:
    """Orders become assignments, new pods a readdress, other orders a withdrawal and an assignment."""
    async with far(honest) as there, Near(there.url, tmp_path).running() as near:
        near.probers.order(A, (order(addresses=("10.0.0.1:80",)),))
        await until(lambda: len(there.said) == 1)
        near.probers.order(A, (order(addresses=("10.0.0.2:80",)),))
        await until(lambda: len(there.said) == 2)
        near.probers.order(A, (order(generation=2),))
        await until(lambda: len(there.said) == 4)
        near.probers.order(A, ())
        await until(lambda: len(there.said) == 5)
    kinds = [type(said) for said in there.said]
    assert kinds == [Assign, Readdress, Withdraw, Assign, Withdraw]
    assert [said.id for said in there.said] == [1, 1, 1, 2, 2]


async def test_what_is_spared_is_withdrawn_until_it_is_ordered_anew(tmp_path: Path) -> None:
    """Only the path that is spared is; ordered again before the prober was told it goes on as it was."""
    both = (order(), order(Side.ORIGIN))
    async with far(honest) as there, Near(there.url, tmp_path).running() as near:
        near.probers.order(A, both)
        await until(lambda: len(there.said) == 2)
        near.probers.spare(A, [both[0].path])
        near.probers.order(A, both)
        near.probers.spare(Key("default", "nobody"), [both[0].path])
        near.probers.order(B, (order(key=B),))
        await until(lambda: len(there.said) == 3)
        near.probers.spare(A, [both[0].path])
        await until(lambda: len(there.said) == 4)
        near.probers.order(A, both)
        await until(lambda: len(there.said) == 5)
    assert [type(said) for said in there.said[2:]] == [Assign, Withdraw, Assign]
    assert there.said[3].id == there.said[0].id


async def test_a_stream_that_is_made_anew_is_told_everything(tmp_path: Path) -> None:
    """After a stream broke, all that is to be probed is said again, under other numbers."""

    async def once(socket: web.WebSocketResponse, there: Far) -> None:
        if there.dials > 1:
            await honest(socket, there)
        else:
            await say(socket, HELLO)
            await socket.receive()

    async with far(once) as there:
        near = Near(there.url, tmp_path)
        near.probers.order(A, (order(), order(Side.ORIGIN)))
        async with near.running():
            await until(lambda: len(there.said) == 2 and near.on_report != [])
    assert {said.id for said in there.said}.isdisjoint({1, 2})
    assert {one.samples[0][0].path for one in near.on_report if one.samples} <= {
        CallPath("eks", Side.TARGET),
        CallPath("eks", Side.ORIGIN),
    }


async def test_a_lying_prober_is_cut_short(tmp_path: Path) -> None:
    """Its name in the log, its words and its sentences are clean and few by the time they arrive."""
    evil = "\x1b[2J\u202e" * 100

    async def lies(socket: web.WebSocketResponse, there: Far) -> None:
        await say(socket, Hello(contract.VERSION, "eks", evil, 100.0))
        hearing = asyncio.create_task(there.hear(socket))
        await until(lambda: there.said != [])
        number = there.said[0].id
        words = {f"{evil}{n}": 1 for n in range(100)}
        await say(socket, contract.Refused(evil, id=number, reason=evil))
        await say(socket, Report(0, (Sample(number, 0, 0.0, base=Counts(100), answers=words),)))
        await hearing

    async with far(lies) as there:
        near = Near(there.url, tmp_path)
        near.probers.order(A, (order(),))
        async with near.running():
            await until(lambda: near.on_report != [])
    (found,) = near.on_report
    assert found.samples[0][1].answers == {"other": 100}
    ((_, reason, sentence),) = found.refused
    assert reason == ""
    assert sentence.isprintable()
    assert len(sentence) == 300
    (stands,) = [call.kwargs for call in near.log.calls if call.args == ("prober stream stands",)]
    assert stands["prober"].isprintable()
    assert len(stands["prober"]) == 64


@dataclass
class Replicas:
    """Every session is a replica of its own: what it is asked for, and how it ends."""

    asked: dict[int, Assign] = field(default_factory=dict)
    ends: dict[int, asyncio.Event] = field(default_factory=dict)
    open_to: int = 1

    async def session(self, socket: web.WebSocketResponse, there: Far) -> None:
        """Serve one; beyond those that there are, say nothing and end."""
        me = there.dials
        if len(self.ends) >= self.open_to:
            return
        self.ends[me] = asyncio.Event()
        await say(socket, Hello(contract.VERSION, "eks", f"prober-{me}", 100.0))
        hearing = asyncio.create_task(self.hear(me, socket))
        try:
            while not (self.ends[me].is_set() or hearing.done()):
                await say(socket, Report(0))
                await asyncio.sleep(0.01)
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            self.asked.pop(me, None)
            del self.ends[me]

    async def hear(self, me: int, socket: web.WebSocketResponse) -> None:
        """Note what is asked for now."""
        async for frame in socket:
            said = contract.decode_to_prober(frame.data)
            if isinstance(said, Assign):
                self.asked[me] = said
            elif self.asked[me].id == said.id:
                del self.asked[me]

    def share(self, streams: int) -> bool:
        """Whether so many streams have each another part of the path, and together all of it."""
        parts = {(one.part, one.parts) for one in self.asked.values()}
        return parts == {(part, streams) for part in range(streams)}


async def test_replicas_that_come_and_go_share_each_path(tmp_path: Path) -> None:
    """Of 1, 4 and then 2 replicas each probes its part of a path, and together they probe all of it."""
    replicas = Replicas()
    async with far(replicas.session) as there, Near(there.url, tmp_path, 4).running() as near:
        near.probers.order(A, (order(),))
        await until(lambda: replicas.share(1))
        replicas.open_to = 4
        await until(lambda: replicas.share(4))
        replicas.open_to = 2
        for end in list(replicas.ends.values())[:2]:
            end.set()
        await until(lambda: replicas.share(2))


async def test_what_an_ending_prober_probed_is_taken_over_at_once(tmp_path: Path) -> None:
    """A prober that says that it is ending is sent no more, and the other has the whole path before it ends."""
    said: list[tuple[str, contract.ToProber]] = []
    drains = asyncio.Event()

    async def session(socket: web.WebSocketResponse, there: Far) -> None:
        name = f"prober-{there.dials}"
        await say(socket, Hello(contract.VERSION, "eks", name, 100.0))

        async def report() -> None:
            while True:
                ending = name == "prober-1" and drains.is_set()
                await say(socket, Report(0, discarded=contract.DRAINING if ending else ""))
                await asyncio.sleep(0.01)

        reporting = asyncio.create_task(report())
        try:
            while (frame := await socket.receive()).type is WSMsgType.TEXT:
                said.append((name, contract.decode_to_prober(frame.data)))
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    def last(name: str) -> tuple[int, int] | None:
        parts = [(s.part, s.parts) for n, s in said if n == name and isinstance(s, Assign)]
        return parts[-1] if parts else None

    async with far(session) as there, Near(there.url, tmp_path, 2).running() as near:
        near.probers.order(A, (order(),))
        await until(lambda: {last("prober-1"), last("prober-2")} == {(0, 2), (1, 2)})
        before = sum(name == "prober-1" for name, _ in said)
        drains.set()
        await until(lambda: last("prober-2") == (0, 1))
        assert near.standing[-1] == 2
    assert sum(name == "prober-1" for name, _ in said) == before


async def test_an_older_prober_is_asked_at_the_full_rate(tmp_path: Path) -> None:
    """One that knows no bursts of their own refuses them, and a soak is then asked as a step is: no disarming."""

    async def old(socket: web.WebSocketResponse, there: Far) -> None:
        await say(socket, HELLO)
        async for frame in socket:
            assign = contract.decode_to_prober(frame.data)
            there.said.append(assign)
            if isinstance(assign, Assign) and assign.burst_per_s is not None:
                await say(socket, contract.Refused("unknown field `burst_per_s`", id=assign.id))

    async with far(old) as there, Near(there.url, tmp_path).running() as near:
        near.probers.order(A, (order(slowed=True),))
        await until(lambda: len(there.said) == 2)
    slow, full = there.said
    assert isinstance(slow, Assign)
    assert isinstance(full, Assign)
    assert (slow.rate_per_s, slow.burst_per_s) == (3.0, 47.0)
    assert (full.rate_per_s, full.burst_per_s) == (10.0, None)


# --- as it should not -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (["oops"], "not of the contract"),
        (["[]"], "not of the contract"),
        (['{"type":"report"}'], "not of the contract"),
        (['{"type":"assign","id":1}'], "not of the contract"),
        (['{"type":"report","number":0,"extra":1}'], "not of the contract"),
        (['{"type":"report","number":0,"reference":{"sent":1,"bad":2}}'], "not of the contract"),
        (["[" * 100_000], "not of the contract"),
        ([b"\x00\x01"], "BINARY"),
        (["x" * (contract.MAX_MESSAGE_BYTES + 1)], "ERROR|CLOSE"),
        ([message(Hello(contract.VERSION + 1, "eks", "p", 1.0))], "contract 1, is due|is due"),
        ([message(Hello(contract.VERSION, "legacy", "p", 1.0))], "a prober of legacy"),
        ([message(Hello(contract.VERSION, "eks", "p", 1e308))], "can send 1e.308 probes"),
        (['{"type":"report","\\u202e\\u001b[2J":1}'], r"unknown field `\\u202e\\x1b\[2J`"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_is_no_message_ends_its_stream_only(
    tmp_path: Path, frames: list[str | bytes], why: str
) -> None:
    """A stream on which something else than the contract comes ends, says why and is dialled again; the
    other cluster's stream goes on, and nothing of it was heard."""
    async with far(saying(*frames)) as bad, far(honest) as good:

        async def as_legacy(socket: web.WebSocketResponse, there: Far) -> None:
            await say(socket, Hello(contract.VERSION, "legacy", "prober-2", 100.0))
            await there.hear(socket)

        good.session = as_legacy
        near = Near(bad.url, tmp_path, legacy=good.url)
        async with near.running():
            await until(lambda: bad.dials > 2)
    assert any(re.search(why, end) for end in near.ends()), near.ends()[:2]
    assert good.dials == 1
    assert near.on_report == []


async def test_a_stream_of_an_unknown_assignment_is_no_evidence(tmp_path: Path) -> None:
    """Slices of what was never ordered are left out, and the report still counts as a sign of life."""
    report = Report(0, (Sample(77, 0, 0.0, base=Counts(9, 9)),), throttled={77: 1.0}, pending=(77,))
    async with far(saying(message(report))) as there, Near(there.url, tmp_path).running() as near:
        await until(lambda: near.on_report != [])
    assert (
        near.on_report[0].samples,
        near.on_report[0].resting,
        dict(near.on_report[0].throttled),
    ) == (
        (),
        (),
        {},
    )


async def test_a_prober_that_says_nothing_is_dialled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream without a heartbeat is closed at its limit."""
    monkeypatch.setattr(probers, "SILENT_CLOSE_S", 0.05)
    async with far(saying()) as there, Near(there.url, tmp_path).running() as near:
        await until(lambda: there.dials > 2)
    assert near.ends()[0] == "nothing was heard for 0.05 s"


async def test_a_prober_that_does_not_listen_is_dialled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prober that takes no assignment within the limit loses its stream, though it goes on talking."""
    monkeypatch.setattr(probers, "SEND_DEADLINE_S", 0.1)

    async def deaf(socket: web.WebSocketResponse, there: Far) -> None:
        await say(socket, HELLO)
        number = 0
        while not socket.closed:
            await say(socket, Report(number))
            number += 1
            await asyncio.sleep(0.01)

    addresses = tuple(f"10.{n % 250}.{n // 250}.1:8080" for n in range(2000))
    orders = tuple(order(addresses=addresses, key=Key("default", f"s{n}")) for n in range(400))
    async with far(deaf) as there:
        near = Near(there.url, tmp_path)
        for one in orders:
            near.probers.order(one.key, (one,))
        async with near.running():
            await until(lambda: there.dials > 1)
    told = [call.args for call in near.log.calls]
    assert ("prober not told",) in told


@pytest.mark.parametrize("status", [401, 404, 500, 503])
async def test_a_dial_that_is_refused_is_dialled_again(tmp_path: Path, status: int) -> None:
    """Whatever a dial is answered with, the next follows, and the log names the status."""
    async with far(honest) as there, Near(there.url, tmp_path).running() as near:
        there.status = status
        await until(lambda: there.dials > 3 or near.standing[-1:] == [1])
        there.status = 0
        await until(lambda: near.standing[-1:] == [1])
    assert all(str(status) in end for end in near.ends() if "Handshake" in end)


@pytest.mark.parametrize("written", [b"", b"\n \n", b"\xff\xfe", b"a\x00b"])
async def test_a_token_file_that_holds_none_is_trouble(tmp_path: Path, written: bytes) -> None:
    """Without a token that can be sent nothing stands, and the log says why; a token ends that."""
    async with far(honest) as there:
        token = tmp_path / "token"
        token.write_bytes(written)
        near = Near(there.url, tmp_path)
        async with near.running():
            await until(lambda: len(near.ends()) > 2 or there.dials > 2)
            token.write_text("a-token")
            await until(lambda: near.on_report != [])


async def test_an_error_over_a_report_ends_the_stream_and_no_more(tmp_path: Path) -> None:
    """Where taking a report in breaks, that is logged and the stream is dialled again; the rest goes on."""
    async with far(honest) as there:
        near = Near(there.url, tmp_path)

        def broken(_: ProberReport) -> None:
            raise ZeroDivisionError("a bug")

        near.probers._on_report = broken
        async with near.running():
            await until(lambda: there.dials > 2)
    assert near.ends()[0] == "an error of ours"


async def test_pauses_grow_with_full_jitter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """Each pause is drawn between nothing and a bound that doubles up to 5 s."""
    pauses: list[float] = []

    class Noting(Backoff):
        """Waits no time, and notes the longest that it might have been told to wait."""

        def after_failure_s(self, asked_s: float | None = None) -> float:
            pauses.append(super().after_failure_s(asked_s))
            return 0.0

    monkeypatch.setattr(probers, "Backoff", lambda *bounds: Noting(*bounds, draw=lambda: 1.0))
    async with Near(f"http://127.0.0.1:{unused_tcp_port}", tmp_path).running():
        await until(lambda: len(pauses) > 8)
    assert pauses[:6] == [0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_a_prober_may_be_away_for_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """After thousands of dials in vain the next one follows: nothing grows without bound."""
    dials = 0

    async def refused(*_: object) -> str:
        nonlocal dials
        dials += 1
        await asyncio.sleep(0)
        return "refused"

    monkeypatch.setattr(Probers, "_once", refused)
    async with Near(f"http://127.0.0.1:{unused_tcp_port}", tmp_path).running():
        await until(lambda: dials > 3000)


# --- anything -------------------------------------------------------------------------------------

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
COUNTS = st.integers(0, 2**40).flatmap(
    lambda sent: st.builds(Counts, st.just(sent), st.integers(0, sent), st.integers(0, sent))
)
SLICES: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"assignment": st.sampled_from([1, 2, 3, -1]), "number": NUMBERS, "age_s": st.floats(-9, 1e12)},
    optional={
        "base": COUNTS,
        "burst": COUNTS,
        "void": st.sampled_from(["", "lag"]),
        "answers": st.dictionaries(st.sampled_from(["200", "508", "timeout", "", "²"]), NUMBERS),
        "loops": NUMBERS,
        "faults": st.dictionaries(st.sampled_from(["10.0.0.1:80", ""]), st.tuples(COUNTS, COUNTS)),
    },
)
REPORTS = st.fixed_dictionaries(
    {"type": st.just("report"), "number": NUMBERS},
    optional={
        "slices": st.lists(SLICES, max_size=4),
        "reference": COUNTS,
        "lowered": st.dictionaries(st.sampled_from(["1", "2"]), st.floats(-1e300, 1e300)),
        "void": st.sampled_from(["", "lag"]),
        "pending": st.lists(NUMBERS, max_size=3),
    },
)


@given(
    st.lists(REPORTS, min_size=1, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12)
)
@settings(deadline=None, max_examples=60)
def test_no_report_that_can_be_read_breaks_an_account(
    reports: list[dict[str, Any]], missing: list[bool]
) -> None:
    """Whatever numbers a readable report holds, the evidence of a migration takes it and says something."""
    monitor = ProbeMonitor()
    orders = {1: order(addresses=("10.0.0.1:80",)), 2: order(Side.ORIGIN, ("10.0.0.1:80",))}
    monitor.order(orders.values())
    for tick, (body, is_missing) in enumerate(zip(reports, missing, strict=False)):
        text = contract.encode(body).decode()
        try:
            report = contract.decode_from_prober(text)
        except ValueError:
            continue
        assert isinstance(report, Report)
        now_s = tick / 10
        monitor.pins(missing=is_missing, now_s=now_s)
        for part in report.samples:
            if part.assignment in orders:
                monitor.take(
                    orders[part.assignment],
                    part,
                    now_s,
                    discarded=report.discarded,
                    control_clean=True,
                )
        monitor.fold(now_s)
        for found in monitor.evidence(now_s).values():
            json.dumps([found.points, found.clean, found.bad_share_3s, found.usual_answer])
