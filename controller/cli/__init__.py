"""``kubectl migrate``: what developers, platform engineers and CI jobs type.

kubectl finds ``kubectl-migrate`` on the PATH. It works on one cluster, reads Migrations, Services and splits,
and writes annotations of Services; whatever moves traffic is done by the controller. Only ``check`` reads both
clusters, and all that a preflight needs; it writes nothing.
What talks to a cluster is imported late: ``--help`` and a user's mistake are answered at once.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from controller.cli.arguments import parse
from controller.cli.exit_codes import Exit, Failure, tell

COMPLETE = "__complete"
"""What Cobra's commands are asked by what may be typed next: kubectl's plugins are, too."""

__all__ = ["Exit", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments (None: those of the process) ask; return the exit code.

    ``--help`` ends as in every argparse program, by SystemExit with code 0.
    """
    try:
        return _main(sys.argv[1:] if argv is None else argv)
    except Failure as failure:
        tell(failure.sentences)
        return failure.code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left, as in "| head". What is still buffered must not be tried again
        # when the interpreter ends (the recipe of Python's signal documentation).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED


def _complete(words: Sequence[str]) -> Exit:
    """Answer kubectl, which asks as Cobra's commands are asked, or the shell (it does not return from that)."""
    from controller.cli.completing import answer_kubectl, answer_shell  # noqa: PLC0415 - as below

    if "_ARGCOMPLETE" in os.environ:
        answer_shell()
    answer_kubectl(words)
    return Exit.OK


def _main(argv: Sequence[str]) -> Exit:
    if list(argv[:1]) == [COMPLETE] or "_ARGCOMPLETE" in os.environ:
        return _complete(argv[1:])
    asked = parse(argv)
    if asked.verb == "version":
        from importlib.metadata import version  # noqa: PLC0415 - see the module's docstring

        sys.stdout.write(f"kubectl-migrate {version('mesh-migrate')}\n")
        return Exit.OK
    if asked.verb == "completion":
        from controller.cli.completing import script  # noqa: PLC0415 - as above

        sys.stdout.write(script(asked.shell))
        return Exit.OK
    gc.disable()  # What is imported stays: to look through it for garbage takes a twentieth of a status.
    from controller.cli.commands import command, run  # noqa: PLC0415 - see the module's docstring

    does = command(asked.verb)
    gc.enable()
    ended = run(does, asked)
    sys.stdout.flush()  # here a reader that has left is still ours to handle
    return ended
