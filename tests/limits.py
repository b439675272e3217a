"""``make lint``: no class of the product above 250 lines, no function above 60 lines or of complexity above 10.

    python -m tests.limits

Complexity as radon counts it: also ``and``, ``or`` and comprehensions, which ruff's C901 leaves out. Prints what
is over a limit, and exits with 1 where anything is.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from radon.complexity import cc_visit

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("controller", "prober")
CLASS_LINES = 250
FUNCTION_LINES = 60
COMPLEXITY = 10


def product() -> list[Path]:
    """Return every module of the product."""
    return sorted(path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py"))


def over(source: str) -> Iterator[str]:
    """Yield each class or function that is over a limit: its line, its name and its size."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            limit = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > limit:
                yield f"{node.lineno}: {node.name} has {lines} lines, {limit} at most"
    for block in cc_visit(source):
        if not hasattr(block, "methods") and block.complexity > COMPLEXITY:
            yield (
                f"{block.lineno}: {block.fullname} has a complexity of {block.complexity},"
                f" {COMPLEXITY} at most"
            )


def main() -> int:
    """Print what is over a limit; return the exit code."""
    found = [
        f"{path.relative_to(ROOT)}:{what}" for path in product() for what in over(path.read_text())
    ]
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
