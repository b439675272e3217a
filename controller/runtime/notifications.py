"""Notices to other people's servers, which may hang: never in the way of a decision.

``tell`` puts a notice into the queue of each receiver that wants it, and returns. Each receiver has a task of its
own, which sends one after the other, with a deadline, a bounded number of tries, and a pause between two that grows
and is drawn. What cannot be sent, or finds the queue full, is counted and told in the log. An address and its headers
are secrets: no line of the log has them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, Protocol

from structlog.typing import FilteringBoundLogger

from controller.domain.notices import Notice, NoticeKind
from controller.kube.api import Backoff
from controller.report.notice_forms import body_of
from controller.runtime.receivers import Receiver, read_receivers
from controller.runtime.settings import SettingsError
from controller.runtime.webhooks import DEADLINE_S, Post, webhooks

QUEUE = 256
"""Notices that wait for one receiver at most; then the oldest goes, which tells the least of how things stand."""

HELD_S = 30.0
"""A hold that ends sooner needed nobody: a new leader is blind for seconds."""

TRIES = 6
BASE_S, CAP_S = 2.0, 60.0
"""Pauses after a failure: drawn from 0 to 2, 4, 8, 16 and 32 s, and after what ``Retry-After`` asks for."""

REREAD_S = 5.0
"""How often the receivers' file is read again: the kubelet takes up to a minute to show a Secret's change."""

Result = Literal["sent", "failed", "dropped"]


class Meter(Protocol):
    """Who counts."""

    def notified(self, receiver: str, result: Result, count: int = 1) -> None:
        """Count notices by what became of them."""


class Outbox:
    """What waits for one receiver, and the task that sends it. ``pause`` sleeps, by seconds."""

    def __init__(
        self,
        receiver: Receiver,
        source: str,
        *,
        post: Post,
        meter: Meter,
        log: FilteringBoundLogger,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self.receiver = receiver
        self._source = source
        self._post = post
        self._meter = meter
        self._log = log.bind(receiver=receiver.name)
        self._pause = pause
        self._waiting: deque[Notice] = deque()
        self._put = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        meter.notified(receiver.name, "dropped", 0)
        meter.notified(receiver.name, "failed", 0)
        meter.notified(receiver.name, "sent", 0)

    def put(self, notice: Notice) -> None:
        """Have it sent; of too many the oldest goes."""
        self._waiting.append(notice)
        if len(self._waiting) > QUEUE:
            self._lose(self._waiting.popleft(), "dropped", f"{QUEUE} wait already")
        self.idle.clear()
        self._put.set()

    async def run(self) -> None:
        """Send what comes, one after the other, until cancelled."""
        while True:
            self._put.clear()
            while self._waiting:
                notice = self._waiting.popleft()
                try:
                    await self._send_safely(notice)
                except asyncio.CancelledError:
                    self._waiting.appendleft(notice)  # whoever takes over sends it
                    raise
            self.idle.set()
            await self._put.wait()

    async def _send_safely(self, notice: Notice) -> None:
        """Send; an error of ours in telling must not end the process that rolls callers back."""
        try:
            await self._send(notice)
        except Exception as error:  # noqa: BLE001 - see the docstring; its text could hold a secret
            self._lose(notice, "failed", f"an error of ours: {type(error).__name__}")

    async def _send(self, notice: Notice) -> None:
        body, content_type = body_of(self.receiver.form, notice, self._source)
        backoff = Backoff(BASE_S, CAP_S)
        for left in reversed(range(TRIES)):
            answer = await self._post(self.receiver, body, content_type)
            if not answer.why:
                self._meter.notified(self.receiver.name, "sent")
                return
            if not (answer.again and left):
                break
            await self._pause(backoff.after_failure_s(answer.asked_s))
        self._lose(notice, "failed", answer.why)

    def drop_all(self) -> None:
        """Give up what waits: nobody is there any more who sends it."""
        while self._waiting:
            self._lose(self._waiting.popleft(), "dropped", "the receiver is gone")

    def take_over(self, other: Outbox) -> None:
        """Go on with what waits in another, whose receiver was written anew."""
        for notice in other._waiting:
            self.put(notice)
        other._waiting.clear()

    def _lose(self, notice: Notice, result: Result, why: str) -> None:
        self._meter.notified(self.receiver.name, result)
        self._log.warning(
            "notification lost", kind=notice.kind, about=notice.subject, result=result, why=why
        )


class Notifications:
    """All receivers of a file, which is read anew while this runs; ``path`` None: nobody is told."""

    def __init__(
        self,
        path: Path | None,
        source: str,
        *,
        meter: Meter,
        log: FilteringBoundLogger,
        deadline_s: float = DEADLINE_S,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._source = source
        self._meter = meter
        self._log = log
        self._deadline_s = deadline_s
        self._pause = pause
        self._boxes: dict[str, tuple[Outbox, asyncio.Task[None]]] = {}
        self._holds: dict[str, tuple[Notice, asyncio.TimerHandle]] = {}
        self._error = ""

    def tell(self, subject: str, notice: Notice | None) -> None:
        """Have everybody told who wants it, of a hold only once nothing else came of its ``subject`` for a while.
        Returns at once."""
        if (waiting := self._holds.pop(subject, None)) is not None:
            waiting[1].cancel()
        if notice is None or not self._boxes:
            return
        if notice.kind is NoticeKind.HELD:
            loop = asyncio.get_running_loop()
            self._holds[subject] = notice, loop.call_later(HELD_S, self._tell_hold, subject)
        else:
            self._put(notice)

    def _tell_hold(self, subject: str) -> None:
        self._put(self._holds.pop(subject)[0])

    def _put(self, notice: Notice) -> None:
        for box, _ in self._boxes.values():
            if box.receiver.wants(notice):
                box.put(notice)

    async def run(self) -> None:
        """Send, and take up what the file says, until cancelled."""
        if self._path is None:
            await asyncio.Event().wait()
            return
        async with webhooks(self._deadline_s) as post:
            try:
                while True:
                    await self._reread(self._path, post)
                    await asyncio.sleep(REREAD_S)
            finally:
                await self._end(list(self._boxes))

    async def drain(self, deadline_s: float) -> None:
        """Return when nothing waits any more, or at the deadline. Of holds the next leader knows only that they were
        told."""
        for subject in list(self._holds):
            self._holds[subject][1].cancel()
            self._tell_hold(subject)
        try:
            async with asyncio.timeout(deadline_s):
                for box, _ in list(self._boxes.values()):
                    await box.idle.wait()
        except TimeoutError:
            self._log.warning("notifications left unsent", receivers=sorted(self._busy()))

    def _busy(self) -> set[str]:
        return {name for name, (box, _) in self._boxes.items() if not box.idle.is_set()}

    async def _reread(self, path: Path, post: Post) -> None:
        """Take up what the file says now; one that cannot be used keeps what is in force, and is told once."""
        try:
            found = await asyncio.to_thread(read_receivers, path)
        except SettingsError as error:
            if str(error) != self._error:
                self._log.error("receivers of notifications not read", error=str(error))
            self._error = str(error)
            return
        self._error = ""
        await self.take(found, post)

    async def take(self, receivers: tuple[Receiver, ...], post: Post) -> None:
        """Have these receivers and no others; one that says the same goes on as it is."""
        wanted = {one.name: one for one in receivers}
        known = {name: box for name, (box, _) in self._boxes.items()}
        changed = [name for name, box in known.items() if wanted.get(name) != box.receiver]
        await self._end(changed)
        for name, receiver in wanted.items():
            if name not in self._boxes:
                self._open(receiver, post, known.get(name))
        for name in changed:
            known[name].drop_all()
        if changed or len(wanted) != len(known):
            self._log.info("receivers of notifications", receivers=sorted(wanted))

    def _open(self, receiver: Receiver, post: Post, before: Outbox | None) -> None:
        box = Outbox(
            receiver, self._source, post=post, meter=self._meter, log=self._log, pause=self._pause
        )
        if before is not None:
            box.take_over(before)
        task = asyncio.create_task(box.run(), name=f"notifications/{receiver.name}")
        self._boxes[receiver.name] = box, task

    async def _end(self, names: list[str]) -> None:
        tasks = [self._boxes.pop(name)[1] for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
