"""An event loop whose time jumps, and processes in it that can be stopped and killed like real ones.

Nothing here waits: when no callback is ready, the clock goes to the next timer. There is no I/O but the
in-memory wires of ``wires.py``, so "nothing is ready" means that nothing is under way. A process is whatever
runs in a context that names it. To kill it is to never run a callback of it again: nothing is cleaned up, and
its connections end as a kernel ends them. To stop it is to keep its callbacks until it is continued.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import ContextVar, copy_context
from enum import Enum, auto
from typing import Any

from tests.faults.wires import Network, Server

PASS_S = 1e-6
"""What a pass over the ready callbacks takes: whoever waits for a time that rounds to now must get there."""


class QuiescentError(Exception):
    """Nothing is ready and no timer is set: what is waited for will never come."""


class Life(Enum):
    """How a process is."""

    RUNNING = auto()
    STOPPED = auto()
    KILLED = auto()


class Process:
    """Something of the world that can be stopped, continued and killed. ``name`` is for people."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.name = name
        self.life = Life.RUNNING
        self._loop = loop
        self._held: list[asyncio.Handle] = []
        self._grave: list[object] = []

    def start(self, main: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run ``main`` as this process."""
        context = copy_context()
        context.run(PROCESS.set, self)
        return context.run(lambda: self._loop.create_task(main(), name=self.name))

    def keep(self, handle: asyncio.Handle) -> None:
        """Take a callback that is not to run now. One of a killed process is kept, so that nothing is freed:
        freeing a coroutine would run what it has to clean up.
        """
        self._held.append(handle)

    def stop(self) -> None:
        """SIGSTOP."""
        if self.life is Life.RUNNING:
            self.life = Life.STOPPED

    def go_on(self) -> None:
        """SIGCONT: what came on its wires is seen first, then the timers that ran out."""
        if self.life is not Life.STOPPED:
            return
        self.life = Life.RUNNING
        held, self._held = self._held, []
        held.sort(key=lambda handle: isinstance(handle, asyncio.TimerHandle))
        self._loop.put_back(held)

    def kill(self) -> None:
        """SIGKILL."""
        if self.life is Life.KILLED:
            return
        self.life = Life.KILLED
        self._grave.extend(asyncio.all_tasks(self._loop))
        self._loop.network.hang_up(self)


PROCESS: ContextVar[Process] = ContextVar("process")
"""Whose the running callback is; unset for the world."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Callbacks in order, time by jumps, connections in memory."""

    # BaseEventLoop's own, which its stubs do not tell of.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._clock_resolution = 1e-9
        self.network = Network(self)
        self.signals: dict[Process | None, dict[int, Callable[[], object]]] = {}

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now_s

    def go_to(self, when_s: float) -> None:
        """Let everything happen that is due by then: for who drives the loop from outside."""
        self.call_at(when_s, self.stop)
        self.run_forever()

    def put_back(self, handles: list[asyncio.Handle]) -> None:
        """Make these callbacks ready, in this order."""
        self._ready.extend(handles)

    # BaseEventLoop's own, replaced: it would ask a selector, and there is none.
    def _run_once(self) -> None:
        self._now_s += PASS_S
        if not self._ready:
            self._jump()
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if handle.cancelled():
                continue
            process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
            if process is None or process.life is Life.RUNNING:
                handle._run()
            else:
                process.keep(handle)

    def _jump(self) -> None:
        """Go to the next timer, and make ready what is due then."""
        timers = self._scheduled
        while timers and timers[0].cancelled():
            heapq.heappop(timers)._scheduled = False  # type: ignore[attr-defined]
        if self._stopping:
            return
        if not timers:
            raise QuiescentError(f"nothing will happen after {self._now_s:.3f} s")
        self._now_s = max(self._now_s, timers[0].when())
        while timers and timers[0].when() <= self._now_s:
            handle = heapq.heappop(timers)
            handle._scheduled = False  # type: ignore[attr-defined]
            self._ready.append(handle)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """BaseEventLoop counts these, to sweep; the jump sweeps as it goes."""

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run it now: a thread would have a time of its own."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits
            future.set_exception(error)
        return future

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """Keep it for the process that asks."""
        mine = self.signals.setdefault(PROCESS.get(None), {})
        mine[sig] = lambda: callback(*args)

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: Any = None,
        **_: Any,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect in memory; ``sock`` is one that ``sock_connect`` saw."""
        if sock is not None:
            host, port = self.network.dialled(sock)
            sock.close()
        return await self.network.connect(protocol_factory, (str(host), int(port or 0)))

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Note where a socket goes to, or refuse."""
        self.network.dial(sock, (address[0], address[1]))

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str | None = None,
        port: int | None = None,
        **_: Any,
    ) -> Server:
        """Listen in memory."""
        return self.network.listen(protocol_factory, str(host), int(port or 0))
