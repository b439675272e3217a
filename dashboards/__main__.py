"""``python -m dashboards``: build the boards and rules, check them on a real Prometheus, draw them."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from dashboards import build, check, pictures, rules
from dashboards.play import StoryFailed
from deploy.servers.processes import ServerFailed


def main() -> None:
    """Do what is asked; exit 1 where something is wrong, with a sentence for each."""
    try:
        _do(_arguments())
    except (StoryFailed, ServerFailed) as error:
        sys.exit(f"dashboards: {error}")


def _do(asked: argparse.Namespace) -> None:
    if asked.what == "build":
        told = rules.Told(asked.runbooks, asked.page, asked.ticket)
        for folder in (asked.folder,) if asked.folder else (build.OUT, build.IN_CHART):
            for path in build.write(folder, told):
                sys.stdout.write(f"{path}\n")
        return
    if asked.what == "draw":
        asked.folder.mkdir(parents=True, exist_ok=True)
        for path in asyncio.run(pictures.take(asked.folder, _say)):
            sys.stdout.write(f"{path}\n")
        return
    report = check.check(_say)
    for sentence in report.wrong:
        sys.stderr.write(f"WRONG: {sentence}\n")
    sys.stdout.write(report.line() + "\n")
    sys.exit(1 if report.wrong else 0)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    built = what.add_parser("build", help="write the boards' JSON and the rules' YAML")
    built.add_argument(
        "--runbooks",
        default=rules.RUNBOOKS,
        metavar="URL",
        help=f"where the alerts say their runbooks are, default {rules.RUNBOOKS}",
    )
    for severity in ("page", "ticket"):
        built.add_argument(
            f"--{severity}",
            default=severity,
            metavar="WORD",
            help=f"the label severity of alerts that are a {severity}, default {severity}",
        )
    built.add_argument("--folder", type=Path, help=f"default {build.OUT}, and the chart's")
    what.add_parser("check", help="check them all, with a story on the local clusters")
    drawn = what.add_parser("draw", help="draw the boards that the README shows, after that story")
    drawn.add_argument(
        "--folder", type=Path, default=pictures.PICTURES, help=f"default {pictures.PICTURES}"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
