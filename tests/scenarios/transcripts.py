"""The main scenarios told as text, generated and compared: what is written, posted and decided, and when.

    python -m tests.scenarios.transcripts

writes ``tests/data/transcripts`` anew; a diff of these files is what a change does to people's migrations.
Seconds are virtual, from the annotation on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from controller.domain import Phase
from tests.scenarios.world import A, World
from tests.scenarios.world_kinds import MIXED, ROUTES, SMI, Pair

FOLDER = Path(__file__).resolve().parents[1] / "data" / "transcripts"

Told = Callable[[World], None]


def _move(world: World) -> None:
    world.ask()
    world.until_phase(Phase.COMPLETED)
    world.run(2)


def _revert(world: World) -> None:
    world.ask()
    world.until_share(250)
    world.fault("eks", "target")
    world.fault("legacy", "target")
    world.until_phase(Phase.REVERTED)
    world.run(2)


def _abort(world: World) -> None:
    world.ask()
    world.until_share(100)
    world.annotate(abort="true")
    world.until_phase(Phase.REVERTED)
    world.run(2)


def _crash(world: World) -> None:
    world.ask()
    world.until_share(100)
    world.crash()
    world.until_phase(Phase.COMPLETED)
    world.run(2)


SCENARIOS: Mapping[str, tuple[Told, Pair]] = MappingProxyType(
    {
        "move-trafficsplit": (_move, SMI),
        "move-httproute": (_move, ROUTES),
        "revert-trafficsplit": (_revert, SMI),
        "revert-httproute": (_revert, ROUTES),
        "abort": (_abort, MIXED),
        "crash": (_crash, MIXED),
    }
)


def transcript(name: str) -> str:
    """Return one scenario as it is told by what it wrote, posted and said."""
    tell, kinds = SCENARIOS[name]
    world = World(kinds=kinds)
    world.begin_on_legacy()
    begun_s = world.now_s
    tell(world)
    lines = sorted(_lines(world), key=lambda line: line[0])
    return "".join(f"{at_s - begun_s:7.1f} s  {text}\n" for at_s, text in lines)


def _lines(world: World) -> Iterator[tuple[float, str]]:
    for written in world.writes:
        attempt = written.record.attempt
        text = f"split   {written.cluster:6} mirror {written.away_permille:4}/1000"
        text += f", share {written.share:4}/1000, attempt {attempt.number if attempt else '-'}"
        text += f"{', reverted' if written.revert else ''}{', made' if written.made else ''}"
        yield written.at_s, text
    for at_s, key, event in world.events:
        if key == A:
            yield at_s, f"event   {event.kind} {event.reason}: {event.message}"
    for at_s, key, status in world.statuses:
        if key == A:
            yield at_s, f"status  {status['phase']} {status['share']} {status['reason']}"


def main() -> None:
    """Write every transcript anew."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in SCENARIOS:
        (FOLDER / f"{name}.txt").write_text(transcript(name))


if __name__ == "__main__":
    main()
