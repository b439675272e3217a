"""``python -m deploy.local``: the whole product on this machine, telling its stories."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.text import Text

from deploy.local.fleet import OF_A_FLEET
from deploy.local.observed import SplitKind
from deploy.local.pair import Pair, Plan
from deploy.local.screen import Screen, Terminal, coloured, terminal
from deploy.local.stage import CONDITIONS, SERVICE, Result, Stage, Verdict, judge
from deploy.local.stories import ON_PROMETHEUS, ON_TRAFFICSPLITS, STORIES, Outage, stand
from deploy.servers.processes import ServerFailed
from deploy.servers.prometheus import MISSING, find_binary
from deploy.stand_ins.mesh import EKS, LEGACY

EXITS: dict[Verdict, int] = {"broken": 1, "starved": 3, "kept": 0}
"""The worst first; 2 is for a call that makes no sense."""

NONE = "none"
YOURS = "50 probes/s and slo-success 99, so that a step takes seconds; the rest is yours to say"
KEEP_LIMIT_S = 7200.0
SERVICES = 409
"""As many as stand in the article's legacy cluster; 51 in eks then, and in proportion otherwise."""


def main() -> None:
    """Return the stories asked for; exit 1 where a promise was broken, 2 where the call makes no sense.

    Exit 3 where the machine was too busy to tell.
    """
    asked = _arguments()
    try:
        verdicts = asyncio.run(_tell(asked))
    except ServerFailed as error:
        sys.exit(f"deploy.local: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(exit_code(verdicts))


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Return 1 where a story is broken; else 3 where this machine was too busy for one, else 0."""
    found = {"kept", *verdicts}
    return next(code for verdict, code in EXITS.items() if verdict in found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description="Two clusters, a mesh, workloads and load on this machine, with the real"
        " controller and probers; a story shows one promise, and exits 1 where it is broken, 3 where"
        " this machine was too busy to show it.",
    )
    parser.add_argument(
        "--story",
        choices=[*STORIES, "all", NONE],
        default="move",
        help="none: you tell it, as --keep",
    )
    parser.add_argument(
        "--api",
        choices=["embedded", "real"],
        default="embedded",
        help="API servers: embedded ones, or real kube-apiservers with etcd (make tools)",
    )
    parser.add_argument(
        "--split",
        choices=["trafficsplit", "httproute"],
        default="trafficsplit",
        help="the kind of split that the Service has in both clusters; the stories article and adaptor have"
        " TrafficSplits",
    )
    parser.add_argument(
        "--services",
        type=_count,
        default=SERVICES,
        metavar="N",
        help=f"other Services that stand in legacy, default {SERVICES}; one in eight in eks",
    )
    parser.add_argument(
        "--prometheus",
        action="store_true",
        help="a real Prometheus in each cluster (make tools), so that real traffic is judged too;"
        f" {', '.join(sorted(ON_PROMETHEUS))} always has one",
    )
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    parser.add_argument("--json", action="store_true", help="one JSON line per story, no screen")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="leave the clusters running, to annotate from another terminal; at most 2 hours",
    )
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > 20_000:
        raise argparse.ArgumentTypeError(f"{text}: write a whole number from 0 to 20000")
    return int(text)


async def _tell(asked: argparse.Namespace) -> set[Verdict]:
    """Return the stories one after the other, each on clusters of its own."""
    names = [asked.story]
    if asked.story == "all":
        names = list(STORIES)
        if find_binary("prometheus") is None:
            names = [name for name in names if name not in ON_PROMETHEUS]
            left_out = ", ".join(name for name in STORIES if name in ON_PROMETHEUS)
            sys.stderr.write(f"deploy.local: left out: {left_out}; {MISSING}\n")
    results: list[Result] = []
    screen = terminal(quiet=asked.json)
    for number, name in enumerate(names):
        last = number == len(names) - 1
        result = await _story(name, asked, screen, keep=last and (asked.keep or name == NONE))
        results.append(result)
        if asked.json:
            sys.stdout.write(json.dumps(result.line()) + "\n")
            sys.stdout.flush()
        for sentence in result.broken:
            sys.stderr.write(f"BROKEN, {name}: {sentence}\n")
        if result.verdict == "starved":
            sys.stderr.write(f"STARVED, {name}: {result.starved}; {result.unreached}\n")
    screen.say(closing(results))
    return {result.verdict for result in results}


def closing(results: Sequence[Result]) -> Text:
    """Return the last line: how many stories were kept, and of all their requests how many failed by a move."""
    kept = sum(result.verdict == "kept" for result in results)
    requests, failed, by_target = (
        sum(getattr(result, name) for result in results)
        for name in ("requests", "failed", "failed_by_target")
    )
    bad = f"; {by_target:,} more by targets that were made to" if by_target else ""
    line = f"{kept} of {len(results)} kept, {requests:,} requests, {failed:,} failed{bad}"
    return coloured(f"\n{line}", "bold" if kept == len(results) else "bold red")


async def _story(name: str, asked: argparse.Namespace, screen: Terminal, *, keep: bool) -> Result:
    result = Result(name)
    split: SplitKind = "trafficsplit" if name in ON_TRAFFICSPLITS else asked.split
    plan = Plan(
        api=asked.api,
        services=asked.services,
        seed=asked.seed,
        splits=(split, split),
        prometheus=asked.prometheus or name in ON_PROMETHEUS,
    )
    pair = Pair(plan)
    pair.preparing = screen.preparing
    note = ""
    if split != asked.split:
        note = "\n   this is a story of TrafficSplits, so --split httproute does not change it"
    conditions = {"fleet": OF_A_FLEET, NONE: YOURS}.get(name, CONDITIONS)
    story = STORIES.get(name, stand)
    screen.say(coloured(f"\n== {name}: {story.__doc__}", "bold"))
    screen.say(coloured(f"   {conditions}{note}", "dim"))
    stage = Stage(pair, Screen(pair, SERVICE, screen.say), result)
    try:
        await judge(story, stage)
        if result.verdict != "kept" and hasattr(pair, "controller"):
            sys.stderr.write(f"the end of the controller's log:\n{pair.controller.tail()}\n")
        if keep:
            await _keep(stage)
            stage.count()
    finally:
        screen.ready()
        await pair.stop()
    screen.say(coloured(_summary(result), "bold"))
    return result


async def _keep(stage: Stage) -> None:
    """Leave it running until Ctrl-C, or for two hours; SIGUSR1 has eks fail, and heals it."""
    pair = stage.pair
    sys.stdout.write(
        "\nThe clusters stay for two hours, or until Ctrl-C. In another terminal (bash or zsh):\n\n"
        f'    export PATH="{Path(sys.executable).parent}:$PATH"\n'
        f"    export KUBECONFIG={pair.kubeconfig}\n"
        f"    CLUSTERS={os.getpid()}\n\n"
        "What to type then: docs/tutorial.md. `kill -USR1 $CLUSTERS` has eks fail, and heals it.\n"
        f"The page: {pair.board_url}\n"
        f"Metrics of the controller: {pair.controller_url}/metrics\n"
        f"Logs: {pair.folder}\n\n"
    )
    sys.stdout.flush()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGUSR1, Outage(stage).switch)
    watcher = asyncio.create_task(stage.screen.run())
    with suppress(TimeoutError):
        async with asyncio.timeout(KEEP_LIMIT_S):
            await stopped.wait()
    watcher.cancel()


def _summary(result: Result) -> str:
    kept = {
        "kept": "every promise kept",
        "broken": "BROKEN: " + "; ".join(result.broken),
        "starved": f"this machine is too busy to tell: {result.unreached}",
    }[result.verdict]
    starved = f"\n   {result.starved}" if result.starved else ""
    bad = (
        ""
        if result.seconds_bad_to_home is None
        else f"; rolled back {result.seconds_bad_to_home} s after the first fault"
    )
    served = (
        f"eks serves {result.shares[LEGACY]} % of the calls in legacy and {result.shares[EKS]} % in eks; "
        if len(result.shares) == 2
        else ""
    )
    return (
        f"== {result.story}: {kept}\n"
        f"   {result.requests:,} requests, {result.failed} failed by the move,"
        f" {result.failed_by_target:,} by the workload{bad}\n"
        f"   {served}{result.phase};"
        f" writes to splits: {result.writes.get(LEGACY)}, {result.writes.get(EKS)}{starved}"
    )


if __name__ == "__main__":
    main()
