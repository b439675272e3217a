"""What a story is told on, what came of it, and whose fault it is where it did not come to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from deploy.local.pair import Pair, of_port
from deploy.local.screen import Screen
from deploy.local.starvation import NotReached, is_starved
from deploy.stand_ins.mesh import EKS, LEGACY
from deploy.stand_ins.mesh.objects import NO_PORTS

SERVICE = "service-a"
CALLER = "shop"
STORY_LIMIT_S = 240.0
END_S = 90.0
MEASURE_S = 3
SETTLED_S = 2.5

WISHES = {
    "slo-success": "99",
    "steps": "10,25,50",
    "probe-rate": "50",
    "dwell": "1s",
    "soak": "2s",
}
CONDITIONS = (
    "steps 10,25,50, 50 probes/s, dwell 1 s, soak 2 s: short, so that a story takes a minute"
)

Verdict = Literal["kept", "broken", "starved"]


@dataclass(slots=True)
class Result:
    """What came of a story. ``shares`` is the percentage of each cluster's calls that eks serves at the end."""

    story: str
    requests: int = 0
    failed: int = 0
    failed_by_target: int = 0
    seconds_bad_to_home: float | None = None
    shares: dict[str, float] = field(default_factory=dict)
    phase: str = ""
    writes: dict[str, int] = field(default_factory=dict)
    starved_s: float = 0.0
    broken: list[str] = field(default_factory=list)
    starved: str = ""
    """Who had no CPU and for how long."""
    unreached: str = ""
    """What was not reached while somebody had no CPU: it says nothing of the product."""

    @property
    def verdict(self) -> Verdict:
        """Whether every promise was kept; a broken one is broken, however busy the machine."""
        if self.broken:
            return "broken"
        return "starved" if self.unreached else "kept"

    def line(self) -> dict[str, Any]:
        """Return the story's line of ``--json``."""
        return {
            "story": self.story,
            "requests": self.requests,
            "failed": self.failed,
            "failed_by_target": self.failed_by_target,
            "seconds_bad_to_home": self.seconds_bad_to_home,
            "shares": self.shares,
            "phase": self.phase,
            "writes": self.writes,
            "starved_s": self.starved_s,
            "verdict": self.verdict,
        }


class Stage:
    """One pair, one screen, and what stories do with them."""

    def __init__(self, pair: Pair, screen: Screen, result: Result) -> None:
        self.pair = pair
        self.screen = screen
        self.result = result

    async def set_up(
        self,
        app_protocol: str | None = None,
        beside: Mapping[str, int] = NO_PORTS,
    ) -> None:
        """Everything on legacy, by short-name splits that are older than the clients; ``beside`` are further ports
        of the Service, each called by clients of its own."""
        ports = (80, *beside.values())
        await self.pair.service(SERVICE, app_protocol=app_protocol, beside=beside)
        for port in ports:
            await self.pair.split(LEGACY, SERVICE, local=100, mirror=0, port=port)
            await self.pair.split(EKS, SERVICE, local=0, mirror=100, port=port)
        await self.until(self.pair.observed.splits_known, "the mesh does not see the splits", 10.0)
        for port in ports:
            await self.pair.callers(SERVICE, of_port(CALLER, port), port=port)
        await self.pair.product()

    async def ask(self, **wishes: str | None) -> None:
        """Annotate as the developer does."""
        text = " ".join(f"{k}={v}" if v is not None else f"{k}-" for k, v in wishes.items())
        self.screen.tell(f"kubectl annotate service {SERVICE}: {text}")
        named = {key.replace("_", "-"): value for key, value in wishes.items()}
        await self.pair.annotate(LEGACY, SERVICE, named)

    async def move(self, target: str) -> None:
        """Ask for a target and see it through to Completed."""
        await self.pair.annotate(LEGACY, SERVICE, WISHES)
        await self.ask(target=target)
        await self.reach("Completed", target)

    async def reach(self, phase: str, target: str, limit_s: float = END_S) -> None:
        """Wait for a phase of the present wish. Raises StoryBroken or StoryStarved."""

        def there() -> bool:
            status = self.pair.observed.status(SERVICE)
            observed = status.get("observed", {})
            return status.get("phase") == phase and observed.get("target") == target

        await self.until(there, f"{phase} was not reached", limit_s)

    async def until(self, holds: Callable[[], bool], otherwise: str, limit_s: float) -> None:
        """Wait for a condition, for ``limit_s`` with CPU at most.

        Raises StoryBroken with ``otherwise`` and what the Migration says, or StoryStarved with the same.
        """
        try:
            await self.pair.watch.until(holds, limit_s)
        except NotReached as missed:
            text = f"{otherwise} in {limit_s:g} s"
            if status := self.pair.observed.status(SERVICE):
                text += f": it is {status['phase']}, {status['reason']}: {status['message']}"
            raise (StoryStarved if missed.starved else StoryBroken)(text) from None

    async def measure(self, expect: dict[str, float], ports: Sequence[int] = (80,)) -> None:
        """Let load run a while longer, and hold what it saw against what was promised, on each of these ports."""
        await self.pair.watch.rest(SETTLED_S + MEASURE_S)
        for port in ports:
            for cluster, counts in self.pair.served(SERVICE, MEASURE_S, port).items():
                total = sum(counts.values())
                share = round(100 * counts[EKS] / total, 1) if total else -1.0
                self.result.shares[cluster] = share
                if abs(share - expect[cluster]) > 0.5:
                    self.result.broken.append(
                        f"eks serves {share} % of the calls to port {port} in {cluster}, not"
                        f" {expect[cluster]} %"
                    )

    def count(self) -> None:
        """Count what was asked and written, however the story ended: a request that failed is a broken promise."""
        result = self.result
        result.requests, result.failed, result.failed_by_target = self.pair.totals()
        result.phase = str(self.pair.observed.status(SERVICE).get("phase", ""))
        result.writes = dict(self.pair.observed.writes)
        result.starved_s = round(self.pair.watch.starvation.total_s, 1)
        result.starved = self.pair.watch.starvation.sentence()
        if result.failed:
            result.broken.append(
                f"{result.failed} of {result.requests} requests failed by the move"
            )


class StoryBroken(Exception):  # noqa: N818 - it is the finding
    """A promise was not kept; the text says which."""


class StoryStarved(Exception):  # noqa: N818 - as StoryBroken
    """What was waited for did not come, on a machine too busy to say whose fault that is."""


Story = Callable[[Stage], Awaitable[None]]


async def judge(story: Story, stage: Stage) -> None:
    """Let a story come to its end, good or bad, and note in its result which it was."""
    result = stage.result
    try:
        async with asyncio.timeout(STORY_LIMIT_S):
            await _play(story, stage)
    except StoryBroken as broken:
        result.broken.append(str(broken))
    except StoryStarved as starved:
        result.unreached = str(starved)
    except TimeoutError as error:
        text = str(error) or f"it did not end within {STORY_LIMIT_S:g} s"
        if is_starved(stage.screen.at(), stage.pair.watch.starvation.total_s):
            result.unreached = text
        else:
            result.broken.append(text)
    stage.count()


async def _play(story: Story, stage: Stage) -> None:
    """Bring everything up, and tell the story before the screen."""
    await stage.pair.start()
    watcher = asyncio.create_task(stage.screen.run())
    try:
        await story(stage)
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
