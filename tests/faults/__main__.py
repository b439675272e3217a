"""``make faults``: run the matrix, print a table, and name whatever did not survive.

The last line is one JSON object, ``{"runs", "survived", "by_fault": {fault: [runs, survived]}}``; the exit code
is 1 if any run did not survive. ``--replay`` tells the story of one run, a line for each call, event and decision.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from multiprocessing import get_context

from tests.faults import matrix
from tests.faults.run import Case, Clean, Injection, Outcome, Run, Setup, clean_run, in_child

SEED = 1
CI_PAIRS = 1_000
TELL_EVERY = 250


def main() -> int:
    """Run what is asked for."""
    asked = _arguments()
    if os.environ.get("PYTHONHASHSEED") != "0":  # so that a replay is the same run
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.faults", *sys.argv[1:]])  # noqa: S606
    if asked.replay:
        return _replay(asked.replay, asked.seed, Setup(asked.setup))
    outcomes = [
        *_run_all(asked, Setup.ONE, _of_one(asked.seed, asked.pairs)),
        *_run_all(asked, Setup.TWO, matrix.of_two),
        *_run_all(asked, Setup.HTTPROUTE, matrix.of_routes),
        *_run_all(asked, Setup.FLEET, matrix.of_fleets),
    ]
    return _tell(outcomes, asked.seed)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help="of jitter, and of the pairs")
    parser.add_argument("--pairs", type=int, default=CI_PAIRS, help="how many pairs of faults")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th run")
    parser.add_argument("--only", default="", help="only faults whose name holds this text")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument(
        "--setup",
        choices=[setup.value for setup in Setup],
        default=Setup.ONE.value,
        help="in which the run to replay is: one controller, two, one with HTTPRoutes, or one with a Fleet",
    )
    parser.add_argument("--replay", default="", metavar="RUN", help="tell the story of one run")
    return parser.parse_args()


def _of_one(seed: int, pairs: int) -> Callable[[Clean], Iterator[Case]]:
    return lambda clean: chain(
        matrix.crashes(clean),
        matrix.replies(clean),
        matrix.events(clean),
        matrix.disturbances(),
        matrix.lost(),
        matrix.pairs(clean, seed, pairs),
    )


def _run_all(
    asked: argparse.Namespace,
    setup: Setup,
    cases_of: Callable[[Clean], Iterator[Case]],
) -> list[Outcome]:
    """Share the runs out; each process travels the journey once, and branches off for its share."""
    clean = clean_run(asked.seed, setup)
    cases = [case for case in cases_of(clean) if asked.only in case.group][:: asked.every]
    legs = ", ".join(f"{leg} {clean.calls_of(leg)}" for leg in clean.ends)
    _say(
        f"seed {asked.seed}, {setup.title}: a clean journey has"
        f" {len(clean.calls)} calls ({legs}) and {len(clean.events)} events of watches;"
        f" {len(cases)} runs"
    )
    context = get_context("fork")
    queue = context.SimpleQueue()
    workers = [
        context.Process(
            target=_work,
            args=(cases[number :: asked.processes], asked.seed, setup, clean, queue.put),
        )
        for number in range(asked.processes)
    ]
    for worker in workers:
        worker.start()
    outcomes: list[Outcome] = []
    working = len(workers)
    while working:
        found = queue.get()
        if found is None:
            working -= 1
            continue
        outcomes.append(found)
        if len(outcomes) % TELL_EVERY == 0:
            _say(f"{len(outcomes)} of {len(cases)} runs are over")
        if found.wrong:
            _say(f"FAILED {found.case}: {'; '.join(found.wrong)[:600]}")
    for worker in workers:
        worker.join()
    return outcomes


def _work(
    cases: list[Case],
    seed: int,
    setup: Setup,
    clean: Clean,
    put: Callable[[Outcome | None], None],
) -> None:
    left = Counter(map(str, cases))

    def report(outcome: Outcome) -> None:
        left[str(outcome.case)] -= 1
        put(outcome)

    try:
        Run(seed, cases, setup=setup, clean=clean, report=report).go()
    finally:
        for case in cases:
            if left[str(case)] > 0:
                left[str(case)] -= 1
                put(Outcome(case, setup, ("it was never reached",), 0, 0.0))
        put(None)


def _tell(outcomes: list[Outcome], seed: int) -> int:
    runs = Counter(outcome.case.group for outcome in outcomes)
    survived = Counter(outcome.case.group for outcome in outcomes if not outcome.wrong)
    longest = {g: max(o.seconds for o in outcomes if o.case.group == g) for g in runs}
    _say(f"\n{'fault':<30}{'runs':>7}{'survived':>10}{'longest leg, s':>16}")
    for group in runs:
        _say(f"{group:<30}{runs[group]:>7}{survived[group]:>10}{longest[group]:>16.1f}")
    failed = [outcome for outcome in outcomes if outcome.wrong]
    for outcome in failed:
        _say(f"\nFAILED (seed {seed}): {'; '.join(outcome.wrong)}")
        setup = "" if outcome.setup is Setup.ONE else f" --setup {outcome.setup.value}"
        _say(f'  python -m tests.faults --seed {seed}{setup} --replay "{outcome.case}"')
    by_fault = {group: [runs[group], survived[group]] for group in runs}
    total = {"runs": sum(runs.values()), "survived": sum(survived.values()), "by_fault": by_fault}
    _say(json.dumps(total))
    return 1 if failed or not outcomes else 0


def _replay(text: str, seed: int, setup: Setup) -> int:
    clean = clean_run(seed, setup)
    injections = []
    for part in text.split("+"):
        what, number, kind = part.split(":", 2)
        injections.append(Injection(what, int(number), kind))
    outcomes: list[Outcome] = []

    def travel() -> list[Outcome]:
        Run(
            seed,
            [Case("replay", tuple(injections))],
            setup=setup,
            clean=clean,
            report=outcomes.append,
            story=_say,
        ).go()
        return outcomes

    return 1 if any(outcome.wrong for outcome in in_child(travel)) else 0


if __name__ == "__main__":
    sys.exit(main())
