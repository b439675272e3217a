"""A question to whoever types, before traffic of many moves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from controller.cli.exit_codes import Exit, Failure

FEW = 3
"""So many names stand in a sentence; of more it is said how many."""


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them: three at most, and how many more."""
    more = len(names) - FEW
    if more > 0:
        return f"{', '.join(names[:FEW])} and {more} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


async def agreed(what: str) -> None:
    """Ask on a terminal whether to do this. Raises Failure where the answer is not yes, or nobody can give one."""
    if not sys.stdin.isatty():
        raise Failure(
            f"this would {what}, and nobody is there to agree: add --yes, or look at it with --dry-run",
            code=Exit.USAGE,
        )
    sys.stderr.write(f"This will {what}. Go on? [y/N] ")
    sys.stderr.flush()
    answer = await asyncio.to_thread(sys.stdin.readline)
    if answer.strip().lower() not in ("y", "yes"):
        raise Failure("nothing was written")
