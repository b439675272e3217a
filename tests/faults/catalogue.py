"""What can be done to a call and to an event: each fault by its name.

A call's fault does everything that happens to the call. ``KINDS`` says which calls it can be done to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

from tests.faults.proxy import Call, CallFault, Event, EventFault, Exchange, Feed, Reply

LATE_S = 12.0
"""Later than the controller's own deadline of 10 s."""

READ_S = 0.002
"""From an answer's leaving the proxy until the controller has read it."""

RETRY_AFTER_S = 2
JSON = "application/json"

ARRIVES = 0.8
"""The part of a stop after which a write that was on its way arrives: the other controller leads since long."""


class Signals(Protocol):
    """Sends signals to the controller of a name.

    ``stopped_s`` is longer than the lease and all its waiting: by then the other controller leads.
    """

    stopped_s: float

    def kill(self, name: str) -> None:
        """SIGKILL; it is started again a second later."""

    def stop(self, name: str, for_s: float) -> None:
        """SIGSTOP, and SIGCONT after ``for_s``."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault of calls: what it does, and to which calls it can be done."""

    make: Callable[[Signals], CallFault]
    fits: Callable[[Call], bool]


def anything(_: Call) -> bool:
    """Any call."""
    return True


def writes(call: Call) -> bool:
    """Calls that change something."""
    return call.is_write


def lists(call: Call) -> bool:
    """Calls that ask for all objects of a kind."""
    return reads(call) and "limit=" in call.target


def reads(call: Call) -> bool:
    """Calls that ask for objects."""
    return not call.is_write and not call.is_watch


def answers(call: Call) -> bool:
    """Calls with a whole answer: all but watches."""
    return not call.is_watch


# --- kills ------------------------------------------------------------------------------------------


def killed_before(signals: Signals) -> CallFault:
    """SIGKILL before the call was passed on."""

    async def fault(exchange: Exchange) -> None:
        signals.kill(exchange.call.by)

    return fault


def killed_between(signals: Signals) -> CallFault:
    """SIGKILL after the server has done it, before the answer."""

    async def fault(exchange: Exchange) -> None:
        await exchange.forward()
        signals.kill(exchange.call.by)

    return fault


def killed_after(signals: Signals) -> CallFault:
    """SIGKILL as soon as the answer was read."""

    async def fault(exchange: Exchange) -> None:
        reply = await exchange.forward()
        asyncio.get_running_loop().call_later(READ_S, signals.kill, exchange.call.by)
        await exchange.proxy.deliver(exchange, reply)

    return fault


# --- stops --------------------------------------------------------------------------------------------


def stopped_before(signals: Signals) -> CallFault:
    """SIGSTOP with the call still in its own kernel: it leaves when the process goes on."""

    async def fault(exchange: Exchange) -> None:
        signals.stop(exchange.call.by, signals.stopped_s)
        await asyncio.sleep(signals.stopped_s)
        await exchange.proxy.usual(exchange)

    return fault


def stopped_on_the_way(signals: Signals) -> CallFault:
    """SIGSTOP with the call on its way: it arrives when the other controller has led for a while."""

    async def fault(exchange: Exchange) -> None:
        signals.stop(exchange.call.by, signals.stopped_s)
        await asyncio.sleep(ARRIVES * signals.stopped_s)
        await exchange.proxy.usual(exchange)

    return fault


def stopped_after(signals: Signals) -> CallFault:
    """SIGSTOP when it was done; the answer waits in its kernel."""

    async def fault(exchange: Exchange) -> None:
        signals.stop(exchange.call.by, signals.stopped_s)
        await exchange.proxy.usual(exchange)

    return fault


# --- answers in the server's place --------------------------------------------------------------------


def ruling(
    code: int, reason: str, *, headers: Mapping[str, str] | None = None
) -> Callable[[Signals], CallFault]:
    """A Status of the API server, which has done nothing."""
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"made up: {reason}",
        "reason": reason,
        "code": code,
    }
    return instead(code, JSON, json.dumps(status).encode(), headers=headers)


def instead(
    code: int, content_type: str, body: bytes, *, headers: Mapping[str, str] | None = None
) -> Callable[[Signals], CallFault]:
    """Answer this; the call is not passed on."""
    reply = Reply(code, "Made Up", {"content-type": content_type, **(headers or {})}, body)

    def make(_: Signals) -> CallFault:
        async def fault(exchange: Exchange) -> None:
            await exchange.reply(reply)

        return fault

    return make


def garbled(change: Callable[[bytes], bytes]) -> Callable[[Signals], CallFault]:
    """Do it, and answer with the body changed."""

    def make(_: Signals) -> CallFault:
        async def fault(exchange: Exchange) -> None:
            reply = await exchange.forward()
            await exchange.reply(replace(reply, body=change(reply.body)))

        return fault

    return make


def other_shape(_: bytes) -> bytes:
    """Return JSON that is none of Kubernetes."""
    return b'{"metadata": 7, "items": {"a": []}, "spec": "none", "versions": 3}'


def list_of_nothing(body: bytes) -> bytes:
    """Return a list without its items; what is no list as it is."""
    found = json.loads(body or b"null")
    if not isinstance(found, dict) or not isinstance(found.get("items"), list):
        return body
    return json.dumps({**found, "items": []}).encode()


def list_of_odd_things(body: bytes) -> bytes:
    """Return a list in which every object is of another shape; what is no list as it is."""
    found = json.loads(body or b"null")
    if not isinstance(found, dict) or not isinstance(found.get("items"), list):
        return body
    return json.dumps({**found, "items": [odd(each) for each in found["items"]]}).encode()


def odd(thing: dict[str, Any]) -> dict[str, Any]:
    """Return an object whose labels are of no shape that there is."""
    return {**thing, "metadata": {**thing.get("metadata", {}), "labels": {"odd": 7}}}


# --- connections --------------------------------------------------------------------------------------


def reset_before(_: Signals) -> CallFault:
    """The connection breaks; nothing was done."""

    async def fault(exchange: Exchange) -> None:
        exchange.reset()

    return fault


def reset_after(_: Signals) -> CallFault:
    """It was done, and the connection breaks before the answer."""

    async def fault(exchange: Exchange) -> None:
        await exchange.forward()
        exchange.reset()

    return fault


def stalled(_: Signals) -> CallFault:
    """Nothing is done and nothing is said, for ever."""

    async def fault(exchange: Exchange) -> None:
        await exchange.stall()

    return fault


def done_in_silence(_: Signals) -> CallFault:
    """It is done, and nothing is said: the controller times out."""

    async def fault(exchange: Exchange) -> None:
        await exchange.forward()
        await exchange.stall()

    return fault


def stalled_half_way(_: Signals) -> CallFault:
    """It is done, and the answer stops in the middle."""

    async def fault(exchange: Exchange) -> None:
        reply = await exchange.forward()
        exchange.client.write(exchange.proxy.head(reply, length=len(reply.body) or 1000))
        exchange.client.write(reply.body[: len(reply.body) // 2])
        await exchange.stall()

    return fault


def closed_half_way(_: Signals) -> CallFault:
    """It is done, and the answer ends in the middle."""

    async def fault(exchange: Exchange) -> None:
        reply = await exchange.forward()
        exchange.client.write(exchange.proxy.head(reply, length=len(reply.body) or 1000))
        exchange.client.write(reply.body[: len(reply.body) // 2])
        exchange.client.close()

    return fault


# --- time ---------------------------------------------------------------------------------------------


def held(_: Signals) -> CallFault:
    """The write stays on the path until long after the controller gave up, and is done then."""

    async def fault(exchange: Exchange) -> None:
        await asyncio.sleep(LATE_S)
        await exchange.forward()
        exchange.reset()

    return fault


def held_a_moment(_: Signals) -> CallFault:
    """The connection breaks at once, and the write is done two seconds later."""

    async def fault(exchange: Exchange) -> None:
        exchange.reset()
        await asyncio.sleep(2.0)
        await exchange.forward()

    return fault


def twice(_: Signals) -> CallFault:
    """It is delivered twice; the controller hears the second answer."""

    async def fault(exchange: Exchange) -> None:
        await exchange.forward()
        await exchange.proxy.deliver(exchange, await exchange.forward())

    return fault


def twice_later(_: Signals) -> CallFault:
    """It is delivered, answered, and delivered again a while later."""

    async def fault(exchange: Exchange) -> None:
        await exchange.proxy.usual(exchange)
        exchange.proxy.again_later(exchange, 1.5)

    return fault


def slow(_: Signals) -> CallFault:
    """The answer takes five seconds."""

    async def fault(exchange: Exchange) -> None:
        reply = await exchange.forward()
        await asyncio.sleep(5.0)
        await exchange.proxy.deliver(exchange, reply)

    return fault


def stale(_: Signals) -> CallFault:
    """A read is answered with what stood there before the last change that anybody saw."""

    async def fault(exchange: Exchange) -> None:
        reply = await exchange.forward()
        before = exchange.proxy.counter.before(exchange.call)
        await exchange.proxy.deliver(exchange, replace(reply, body=before or reply.body))

    return fault


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "killed before": Kind(killed_before, anything),
        "killed between": Kind(killed_between, anything),
        "killed after": Kind(killed_after, anything),
        "401": Kind(ruling(401, "Unauthorized"), anything),
        "403": Kind(ruling(403, "Forbidden"), anything),
        "404": Kind(ruling(404, "NotFound"), anything),
        "409": Kind(ruling(409, "Conflict"), anything),
        "410": Kind(ruling(410, "Expired"), anything),
        "422": Kind(ruling(422, "Invalid"), anything),
        "429": Kind(ruling(429, "TooManyRequests"), anything),
        "429 Retry-After": Kind(
            ruling(429, "TooManyRequests", headers={"retry-after": str(RETRY_AFTER_S)}), anything
        ),
        "500": Kind(ruling(500, "InternalError"), anything),
        "503 empty": Kind(instead(503, "text/plain", b""), anything),
        "502 HTML": Kind(
            instead(502, "text/html", b"<html><h1>502 Bad Gateway</h1></html>"), anything
        ),
        "truncated JSON": Kind(garbled(lambda body: body[: len(body) // 2]), answers),
        "other shape": Kind(garbled(other_shape), answers),
        "empty list": Kind(garbled(list_of_nothing), lists),
        "undecodable list": Kind(garbled(list_of_odd_things), lists),
        "reset before": Kind(reset_before, anything),
        "reset after": Kind(reset_after, anything),
        "stalled": Kind(stalled, anything),
        "done in silence": Kind(done_in_silence, anything),
        "stalled half-way": Kind(stalled_half_way, answers),
        "closed half-way": Kind(closed_half_way, answers),
        "held": Kind(held, writes),
        "held a moment": Kind(held_a_moment, writes),
        "twice": Kind(twice, writes),
        "twice, later": Kind(twice_later, writes),
        "slow": Kind(slow, answers),
        "stale read": Kind(stale, reads),
    }
)
KILLS = ("killed before", "killed between", "killed after")
STOPS: Mapping[str, Kind] = MappingProxyType(
    {
        "stopped before": Kind(stopped_before, anything),
        "stopped on the way": Kind(stopped_on_the_way, writes),
        "stopped after": Kind(stopped_after, anything),
    }
)
"""For two controllers: with one, nothing happens in the meantime."""

OF_CALLS: Mapping[str, Kind] = MappingProxyType({**KINDS, **STOPS})


# --- events -------------------------------------------------------------------------------------------


async def withheld(_feed: Feed, _event: Event) -> None:
    """It never arrives."""


async def repeated(feed: Feed, event: Event) -> None:
    """It arrives twice."""
    await feed.pass_on(event.line)
    await feed.pass_on(event.line)


async def repeated_late(feed: Feed, event: Event) -> None:
    """It arrives, and again when others have come since."""
    await feed.pass_on(event.line)
    feed.pass_later(1.2, event.line)


async def delayed(feed: Feed, event: Event) -> None:
    """It arrives three seconds late, after those that came behind it."""
    feed.pass_later(3.0, event.line)


async def held_up(feed: Feed, event: Event) -> None:
    """It arrives three seconds late, and all that is behind it too."""
    await asyncio.sleep(3.0)
    await feed.pass_on(event.line)


async def cut_in_two(feed: Feed, event: Event) -> None:
    """Its line comes in two chunks, half a second apart."""
    middle = len(event.line) // 2
    await feed.pass_on(event.line[:middle])
    await asyncio.sleep(0.5)
    await feed.pass_on(event.line[middle:])


async def two_in_one_chunk(feed: Feed, event: Event) -> None:
    """It comes twice in one chunk."""
    await feed.pass_on(event.line, event.line)


async def half_closed(feed: Feed, _event: Event) -> None:
    """The stream ends in the middle, without this event."""
    feed.half_close()


async def half_a_line(feed: Feed, event: Event) -> None:
    """The stream ends in the middle of the line."""
    await feed.pass_on(event.line[: len(event.line) // 2])
    feed.half_close()


async def ended_instead(feed: Feed, _event: Event) -> None:
    """The server ends the watch in good order, without this event."""
    await feed.end()


async def expired(feed: Feed, _event: Event) -> None:
    """In its place comes 410: the history is gone."""
    status: dict[str, Any] = {"kind": "Status", "code": 410, "reason": "Expired", "message": "gone"}
    line = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
    await feed.pass_on(line)
    await feed.end()


async def garbage(feed: Feed, event: Event) -> None:
    """Something that is no JSON comes before it."""
    await feed.pass_on(b'{"type": "MODIFIED", "object": {"meta\n')
    await feed.pass_on(event.line)


async def undecodable(feed: Feed, event: Event) -> None:
    """The object that it is about is of another shape; a second later it comes as it is."""
    found = json.loads(event.line)
    if found.get("type") not in ("ADDED", "MODIFIED"):
        await feed.pass_on(event.line)
        return
    spoiled = json.dumps({**found, "object": odd(found["object"])}).encode() + b"\n"
    await feed.pass_on(spoiled)
    feed.pass_later(1.0, event.line)


async def stalled_watch(feed: Feed, _event: Event) -> None:
    """From here on the watch says nothing more, and stays open."""
    feed.mute()


EVENTS: Mapping[str, EventFault] = MappingProxyType(
    {
        "event withheld": withheld,
        "event repeated": repeated,
        "event repeated late": repeated_late,
        "event delayed": delayed,
        "events held up": held_up,
        "line cut in two": cut_in_two,
        "two in one chunk": two_in_one_chunk,
        "watch half-closed": half_closed,
        "watch ends in a line": half_a_line,
        "watch ended": ended_instead,
        "410 in the stream": expired,
        "garbage in the stream": garbage,
        "undecodable object": undecodable,
        "watch stalled": stalled_watch,
    }
)
