from __future__ import annotations

import ast
import gc
from pathlib import Path


class _Parses:
    """Something that parses when it is collected, as whatever then prints a traceback does."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        ast.parse("a + b")


def test_who_parses_is_not_disturbed_by_a_finalizer_that_does() -> None:
    """However often the collector runs, what is thrown away meanwhile breaks no parse."""
    before = gc.get_threshold()
    gc.set_threshold(50, 2, 2)
    try:
        for _ in range(5):
            _Parses()
            assert ast.parse(Path(ast.__file__).read_text(encoding="utf-8"))
    finally:
        gc.set_threshold(*before)
