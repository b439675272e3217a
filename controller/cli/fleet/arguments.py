"""What may be typed after ``kubectl migrate fleet``. Imports nothing that is slow."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from controller.cli.typed import add_output

OF_WAVES = ("open", "rollback", "return")
"""The actions that are asked of waves; the others are of the Fleet."""

_TEXTS = {
    "status": ("show where each wave is, what it waits for and who needs a person", "--watch"),
    "open": ("open waves that open by hand, when it is their turn", "checkout"),
    "pause": ("raise nobody: each share stays; a bad target is still left", ""),
    "resume": ("end a pause, and start a stopped line again", ""),
    "rollback": ("roll back at once who of these waves is under way, and keep them", "--all"),
    "return": ("lead the Services of these waves back, the last wave first", "checkout"),
}

_UNDO = {
    "open": "close these waves again, for those that have not begun",
    "rollback": "take the rollback away; who was rolled back waits for kubectl migrate retry",
    "return": "take the return away: their Services are to go to the target again",
}


Add = Callable[[str, str, str], argparse.ArgumentParser]
"""Makes the parser of an action, from its name, its help and an example, with the flags of every verb."""


def add_actions(add: Add) -> None:
    """Add each action."""
    for action, (text, example) in _TEXTS.items():
        parser = add(action, text, example)
        if action in OF_WAVES:
            _add_waves(parser, action)
        else:
            parser.add_argument("fleet", metavar="FLEET", nargs="?", help=_WHICH)
        if action == "status":
            parser.add_argument(
                "-w",
                "--watch",
                action="store_true",
                help="go on until Ctrl-C; a line per change in a pipe",
            )
        else:
            _add_writing(parser)
        add_output(parser, "name")


_WHICH = "the name of a Fleet; left out where there is one"


def _add_waves(parser: argparse.ArgumentParser, action: str) -> None:
    parser.add_argument("waves", metavar="WAVE", nargs="*", help="names of waves")
    if action != "open":
        parser.add_argument("--all", dest="every", action="store_true", help="every wave")
    parser.add_argument("--fleet", metavar="FLEET", help=_WHICH)
    parser.add_argument("--undo", action="store_true", help=_UNDO[action])


def _add_writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be written, and write nothing"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before traffic moves")
