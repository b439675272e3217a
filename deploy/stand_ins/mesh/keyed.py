"""Work that is asked for by key and done one key at a time, as controllers do it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import aiohttp

from deploy.stand_ins.mesh.kube import ApiError

K = TypeVar("K")

_RETRY_S: Final = (0.1, 5.0)

log = logging.getLogger(__name__)


class KeyedWork(Generic[K]):
    """Runs ``job`` for each key that was touched, and again after what an API server refuses."""

    def __init__(self, job: Callable[[K], Awaitable[None]], rng: random.Random) -> None:
        self._job = job
        self._rng = rng
        self._waiting: dict[K, None] = {}
        self._touched = asyncio.Event()
        self._at_work = False

    @property
    def busy(self) -> bool:
        """Whether something touched is not done yet."""
        return self._at_work or bool(self._waiting)

    def touch(self, key: K) -> None:
        """Have the job done for a key, soon; once where it was touched many times."""
        self._waiting[key] = None
        self._touched.set()

    async def run(self) -> None:
        """Work until cancelled."""
        pause, longest = _RETRY_S
        while True:
            await self._touched.wait()
            self._touched.clear()
            while self._waiting:
                key = next(iter(self._waiting))
                del self._waiting[key]
                self._at_work = True
                try:
                    await self._job(key)
                    pause = _RETRY_S[0]
                except (ApiError, aiohttp.ClientError, OSError) as error:
                    log.info("%s not done: %r", key, error)
                    self._waiting[key] = None
                    await asyncio.sleep(pause * self._rng.uniform(0.5, 1.0))
                    pause = min(longest, pause * 2)
                finally:
                    self._at_work = False
