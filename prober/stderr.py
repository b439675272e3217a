"""A stderr that nobody waits for: what cannot be written is dropped and counted.

A pipe that nobody reads blocks a write for ever, and a closed one or a full disk lets it fail. Neither may hold up
or end a process whose promise is the way back, so only a thread of its own writes, from a bounded queue.
"""

from __future__ import annotations

import atexit
import io
import os
import queue
import select
import sys
import threading
import time

LINES_KEPT = 1000
"""How many lines wait at most: some 300 KB, with a traceback in each 10 MB."""

GATHER_S = 0.02
"""How long the next lines wait for each other: to wake up for each stops whoever writes them."""

FINISH_S = 0.5
"""What the last lines are given at the exit."""


class Stderr(io.TextIOBase):
    """Text to a file descriptor (None: to nowhere), in order. ``dropped`` counts what was written in vain."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._torn = False
        self.dropped = 0
        # Unlike queue.Queue's, its put may be interrupted by another, as a finalizer that logs does.
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._run, name="stderr", daemon=True)
        self._writer.start()

    def writable(self) -> bool:
        """Report that it may be written to."""
        return True

    def write(self, text: str) -> int:
        """Have a text written when its turn comes; drop it where too many wait already."""
        if self._waiting.qsize() >= LINES_KEPT:
            self.dropped += 1
        elif text:
            self._waiting.put(text)
        return len(text)

    def finish(self, within_s: float) -> None:
        """Wait until all that was written before has left, not longer than ``within_s`` seconds."""
        self._waiting.put(None)
        self._writer.join(within_s)

    def _run(self) -> None:
        while (text := self._waiting.get()) is not None:
            try:
                self._send(text)
            except OSError:  # EPIPE, ENOSPC, EIO: the next line may be luckier
                self.dropped += 1
            if self._waiting.empty():
                time.sleep(GATHER_S)

    def _send(self, text: str) -> None:
        """Write all of a text. What follows one that was cut off begins a line of its own."""
        if self._descriptor is None:
            self.dropped += 1
            return
        left = memoryview(("\n" + text if self._torn else text).encode(errors="backslashreplace"))
        while left:
            try:
                written = os.write(self._descriptor, left)
            except BlockingIOError:  # whoever shares the file made it non-blocking
                room = select.poll()
                room.register(self._descriptor, select.POLLOUT)
                room.poll()
                continue
            left = left[written:]
            self._torn = bool(left)


def unblock_stderr() -> None:
    """Put such a stderr in the place of this process's, tracebacks and warnings included, until it exits."""
    # Python has none where it was started without: the descriptor may be a socket's by now.
    stderr = Stderr(sys.stderr.fileno() if sys.stderr else None)
    sys.stderr = stderr
    atexit.register(stderr.finish, FINISH_S)


def lines_dropped() -> int:
    """Return how many lines this process's stderr has dropped."""
    return sys.stderr.dropped if isinstance(sys.stderr, Stderr) else 0
