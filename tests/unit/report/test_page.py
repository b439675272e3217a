"""The board without a browser: rows, the feed to readers, and what its listener answers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from controller.domain import Key
from controller.report.ui import Feed, Shown, serve_board, site
from controller.report.ui.rows import details, row
from tests.integration.page.fleet import fleet, key, shown, shows, status
from tests.scenarios.world import A as WORLD_A
from tests.scenarios.world import World

A = Key("default", "service-a")
B = Key("default", "service-b")


# --- rows -----------------------------------------------------------------------------------------


def test_a_row_says_what_the_status_says() -> None:
    """Shares are numbers by cluster, the progress is that of the path furthest from PASS, times are texts."""
    told = status(share="99.9", warnings=[{"reason": "ConnectOnly", "message": "..."}])
    told["ways"][1]["clean"] = 40
    due = datetime(2026, 1, 1, 8, 1, tzinfo=UTC)
    assert row(A, shown(told, due)) == {
        "namespace": "default",
        "name": "service-a",
        "fleet": "",
        "wave": "",
        "target": "eks",
        "attempt": 1,
        "phase": "Progressing",
        "shares": {"legacy": 99.9, "eks": 99.9},
        "measured": {},
        "asks": "",
        "verdict": "PASS",
        "reason": "Dwelling",
        "message": "the dwell at 99.9 % ends in 42 s",
        "alert": False,
        "person": False,
        "next": "raise to 25 %",
        "due": "2026-01-01T08:01:00+00:00",
        "waitingFor": "",
        "clean": 40,
        "needed": 100,
        "by": "kubectl-annotate",
        "asked": "2026-01-01T08:00:00Z",
        "since": "2026-01-01T08:00:05Z",
        "warnings": 1,
    }


def test_a_row_has_what_was_measured_and_what_is_asked_for() -> None:
    """Beside the split's shares stands what callers did, and beside the target another one that is asked for."""
    told = status(asked={"by": "kubectl-annotate", "target": "legacy"})
    told["traffic"] = [
        {"callers": "legacy", "sharePercent": 3.5, "measuredRequests": 812, "strays": True},
        {"callers": "eks"},
    ]
    found = row(A, shown(told))
    assert (found["target"], found["asks"]) == ("eks", "legacy")
    assert found["measured"] == {
        "legacy": {"percent": 3.5, "requests": 812, "strays": True},
        "eks": {"percent": None, "requests": 0, "strays": False},
    }


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, False),
        ({"alert": True}, True),
        ({"phase": "Reverted"}, True),
        ({"phase": "Reverting"}, False),
        ({"conditions": [{"type": "Blocked", "status": "True"}]}, True),
        ({"conditions": [{"type": "Blocked", "status": "False"}]}, False),
        ({"conditions": [{"type": "Blocked", "status": "True"}], "reason": "Paused"}, False),
    ],
)
def test_a_row_says_who_needs_a_person(changes: dict[str, Any], needed: bool) -> None:
    """Who asks for somebody, is rolled back, or held by what nobody chose and does not pass, needs a person."""
    assert row(A, shown(status(**changes)))["person"] is needed


def test_a_row_names_its_wave() -> None:
    """A migration that a Fleet names has the Fleet and the wave in its row, and the wish's source in its story."""
    told = status(fleet="to-eks", wave="catalog", wish="fleet/to-eks/catalog")
    found = details(A, shown(told))
    assert (found["fleet"], found["wave"], found["wish"]) == (
        "to-eks",
        "catalog",
        "fleet/to-eks/catalog",
    )


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"shares": {"legacy": "?"}},
        {"ways": "none", "history": [1, None], "warnings": {}, "asked": 3, "observed": []},
    ],
)
def test_an_odd_status_has_a_row_all_the_same(odd: dict[str, Any]) -> None:
    """What somebody else wrote into a status, or nobody yet, is shown as not known."""
    made = row(A, shown(odd))
    assert made["shares"] in ({}, {"legacy": None})
    assert (made["by"], made["due"], made["clean"], made["needed"]) == ("", "", 0, 0)
    assert details(A, shown(odd))["history"] == ()


# --- the feed -------------------------------------------------------------------------------------


async def test_a_reader_gets_everything_and_then_what_changed() -> None:
    """First all rows, then only those that say something else, then those that are gone."""
    feed = fleet(3)
    with feed.reading() as reader:
        rows, gone = await reader.take()
        assert (len(rows), gone) == (3, [])
        feed.put(key(0), feed._sources[key(0)])
        assert await reader.take() == ([], [])
        feed.put(key(1), shows(status("Reverted")))
        feed.drop(key(2))
        (changed,), gone = await reader.take()
    assert json.loads(changed)["phase"] == "Reverted"
    assert gone == [key(2)]


async def test_changes_that_nobody_read_become_one() -> None:
    """A thousand changes of one migration are one row, the last; its source is asked once."""
    feed = Feed()
    asked = []

    def source(number: int) -> Any:
        def say() -> Shown:
            asked.append(number)
            return shown(status(message=f"number {number}"))

        return say

    with feed.reading() as reader:
        for number in range(1000):
            feed.put(A, source(number))
        (told,), _ = await reader.take()
    assert json.loads(told)["message"] == "number 999"
    assert asked == [999]


async def test_nobody_reading_costs_nothing() -> None:
    """Without a reader no row is made."""
    feed = Feed()
    feed.put(A, lambda: pytest.fail("a row was made for nobody"))
    feed.drop(A)
    feed.drop(A)
    assert feed.details(A) is None


async def test_what_came_and_went_unread_is_not_told() -> None:
    """A migration that a reader never saw is not told as gone."""
    feed = Feed()
    with feed.reading() as reader:
        feed.put(A, shows(status()))
        feed.drop(A)
        assert await reader.take() == ([], [])


async def test_a_reader_gets_the_fleets_and_then_what_changed() -> None:
    """First all Fleets by name, then all again where one says something else or is gone, else nothing."""
    feed = Feed()
    feed.put_fleet("to-gcp", lambda: {"state": "Open"})
    feed.put_fleet("to-eks", lambda: {"state": "Open"})
    with feed.reading() as reader:
        assert _fleets(reader.take_fleets()) == [("to-eks", "Open"), ("to-gcp", "Open")]
        feed.put_fleet("to-eks", lambda: {"state": "Open"})
        assert reader.changed.is_set()
        assert reader.take_fleets() is None
        feed.put_fleet("to-eks", lambda: {"state": "Stopped"})
        assert _fleets(reader.take_fleets()) == [("to-eks", "Stopped"), ("to-gcp", "Open")]
        feed.drop_fleet("to-eks")
        feed.drop_fleet("nobody")
        assert _fleets(reader.take_fleets()) == [("to-gcp", "Open")]
        assert reader.take_fleets() is None


def _fleets(told: bytes | None) -> list[tuple[str, str]]:
    return [(one["name"], one["state"]) for one in json.loads(told or b"null")]


# --- over HTTP ------------------------------------------------------------------------------------


@dataclass
class Open:
    """A board that is served."""

    runner: web.AppRunner
    port: int
    session: aiohttp.ClientSession

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, str]:
        """Ask for a path: status, headers and text."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, headers=headers) as answer:
            return answer.status, answer.headers, await answer.text()


@asynccontextmanager
async def opened(feed: Feed) -> AsyncIterator[Open]:
    """Serve a board, and read it with a plain client."""
    runner = await serve_board(("127.0.0.1", 0), feed)
    try:
        async with aiohttp.ClientSession() as session:
            yield Open(runner, runner.addresses[0][1], session)
    finally:
        await runner.cleanup()


class Events:
    """A stream of server-sent events, as they come."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def next(self) -> tuple[str, Any]:
        """Wait for an event: its kind and its data."""
        async with asyncio.timeout(10):
            text = (await self._answer.content.readuntil(b"\n\n")).decode()
        kind, data = text.strip().split("\n")
        return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers are told at once."""
    monkeypatch.setattr(site.Site.__init__, "__kwdefaults__", {"pace_s": 0.01})


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/board.css",
        *(f"/{name}.js" for name in ("parts", "lanes", "board")),
        "/icon.svg",
        "/migrations/a/b",
    ],
)
async def test_every_answer_forbids_what_is_from_elsewhere(path: str) -> None:
    """No answer may be framed, guessed at or kept, and the page may load and reach only its own origin."""
    async with opened(fleet(1)) as board:
        status_code, headers, text = await board.get(path)
    assert status_code == (404 if "migrations" in path else 200)
    policy = dict(
        part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert {policy[kind] for kind in ("script-src", "style-src", "connect-src", "img-src")} == {
        "'self'"
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/events", "/migrations/default/service-0"])
async def test_the_board_is_read_only(method: str, path: str) -> None:
    """Nothing but GET and HEAD is answered with more than 405."""
    async with opened(fleet(1)) as board:
        assert (await board.get(path, method))[0] == 405


async def test_head_is_get_without_a_body() -> None:
    """HEAD of the page has its headers and no body."""
    async with opened(fleet(1)) as board:
        status_code, headers, text = await board.get("/", "HEAD")
    assert (status_code, text) == (200, "")
    assert headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("localhost", 200),
        ("localhost:9991", 200),
        ("127.9.9.9:1", 200),
        ("[::1]:9991", 200),
        ("board.example", 421),
        ("board.example:9991", 421),
        ("127.0.0.1.example", 421),
        ("10.0.0.1", 421),
    ],
)
async def test_a_name_of_elsewhere_does_not_lead_here(host: str, answered: int) -> None:
    """On a loopback address only this machine's own names are answered: another's page cannot read it."""
    async with opened(fleet(1)) as board:
        assert (await board.get("/", Host=host))[0] == answered


async def test_one_migration_is_shown_whole() -> None:
    """What is known of one migration has its paths, warnings and history; one that is none is 404 with a sentence."""
    async with opened(fleet(1)) as board:
        _, headers, text = await board.get("/migrations/default/service-0")
        assert headers["Content-Type"].startswith("application/json")
        told = json.loads(text)
        assert (told["name"], len(told["ways"]), len(told["history"])) == ("service-0", 6, 1)
        missing = await board.get("/migrations/default/nobody")
        assert missing[::2] == (404, "No migration default/nobody is known here.\n")


@pytest.mark.usefixtures("quick")
async def test_events_are_live() -> None:
    """A reader hears everything, then each change, and who leads."""
    feed = fleet(2)
    async with (
        opened(feed) as board,
        board.session.get(f"http://127.0.0.1:{board.port}/events") as answer,
    ):
        assert answer.headers["Content-Type"] == "text/event-stream"
        events = Events(answer)
        kind, told = await events.next()
        assert (kind, len(told["rows"]), told["leads"]) == ("all", 2, True)
        assert datetime.fromisoformat(told["now"]).tzinfo is not None
        assert told["fleets"] == []
        feed.leads = False
        feed.put(B, shows(status("Holding", message="two\nlines\u2028\r")))
        feed.drop(key(1))
        kind, told = await events.next()
        assert (kind, told["leads"], told["gone"]) == ("some", False, [list(key(1))])
        assert [one["message"] for one in told["rows"]] == ["two\nlines\u2028\r"]
        assert "fleets" not in told
        feed.put_fleet("to-eks", lambda: {"state": "Open"})
        kind, told = await events.next()
        assert (kind, told["rows"]) == ("some", [])
        assert told["fleets"] == [{"name": "to-eks", "state": "Open"}]
        feed.lead(True, "pod-1", "kubectl port-forward")
        feed.credentials_end("eks", datetime(2026, 1, 1, tzinfo=UTC))
        kind, told = await events.next()
        assert (kind, told["rows"], told["leads"], told["leader"]) == ("some", [], True, "pod-1")
        assert told["ends"] == {"eks": "2026-01-01T00:00:00Z"}


@pytest.mark.usefixtures("quick")
async def test_silence_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing changes a reader hears a beat, so that proxies keep its connection."""
    monkeypatch.setattr(site, "BEAT_S", 0.01)
    async with (
        opened(fleet(1)) as board,
        board.session.get(f"http://127.0.0.1:{board.port}/events") as answer,
    ):
        events = Events(answer)
        assert [(await events.next())[0] for _ in range(3)] == ["all", "beat", "beat"]


@pytest.mark.usefixtures("quick")
async def test_readers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One reader more than there may be is told to come back, and may as soon as another has left."""
    monkeypatch.setattr(site, "MAX_READERS", 1)
    feed = fleet(1)
    async with opened(feed) as board:
        async with board.session.get(f"http://127.0.0.1:{board.port}/events") as first:
            await Events(first).next()
            status_code, headers, text = await board.get("/events")
            assert (status_code, headers["Retry-After"]) == (503, "10")
            assert "boards are open already" in text
        async with asyncio.timeout(10):
            while feed.readers:  # noqa: ASYNC110 - the server notices the end in its own time
                await asyncio.sleep(0.01)
        async with board.session.get(f"http://127.0.0.1:{board.port}/events") as again:
            assert (await Events(again).next())[0] == "all"


@pytest.mark.usefixtures("quick")
async def test_a_reader_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes nothing for too long loses the connection, and what waited for him is let go."""
    monkeypatch.setattr(site, "SEND_S", 0.2)
    feed = fleet(1)
    long = "x" * 100_000
    async with opened(feed) as board:
        with socket.create_connection(("127.0.0.1", board.port)) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(20):
                while not feed.readers:  # noqa: ASYNC110 - until the server has taken it
                    await asyncio.sleep(0.01)
                number = 0
                while feed.readers:
                    number += 1
                    feed.put(A, shows(status(message=f"{number} {long}")))
                    await asyncio.sleep(0.01)


# --- what the controller puts on it -------------------------------------------------------------------


def test_the_leader_shows_what_it_decides_and_a_standby_what_was_written() -> None:
    """A standby shows the Migration as it stands; the leader its own word, and when the next step is due."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_share(100)
    leader = world.replica
    standby = world.join("eks", fencing_token=1, leads=False)
    standby.may_roll_back = False
    world.run(1)
    written = world.status()
    told = json.loads(standby.board.details(WORLD_A) or b"{}")
    assert not standby.board.leads
    assert (told["phase"], told["reason"]) == (written["phase"], written["reason"])
    assert (told["shares"], told["due"]) == ({"legacy": 10.0, "eks": 10.0}, "")
    assert [one["share"] for one in told["history"]][-1] == "10/10"
    told = json.loads(leader.board.details(WORLD_A) or b"{}")
    assert leader.board.leads
    decided = leader.decided(WORLD_A)
    assert decided is not None
    assert decided.ruling is not None
    assert told["reason"] == decided.ruling.reason
    assert datetime.fromisoformat(told["due"]) > world.now - timedelta(seconds=10)


def test_a_service_that_is_no_migration_any_more_leaves_the_board() -> None:
    """Where neither annotation nor record is left, the row goes."""
    world = World()
    world.ask()
    world.run(1)
    board = world.replica.board
    assert board.row(WORLD_A) is not None
    world.forget_wish()
    for name in world.clusters:
        world.delete_split(name)
    world.run(1)
    assert board.row(WORLD_A) is None
