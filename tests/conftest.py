"""What holds for all tests."""

from __future__ import annotations

import ast
import gc
import os
import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A shell's background job ignores Ctrl-C, and so would the programs that tests start to interrupt them.
signal.signal(signal.SIGINT, signal.default_int_handler)

_parse = ast.parse


def _parse_uncollected(*of: Any, **how: Any) -> Any:
    """Parse with the collector at rest.

    Early Python 3.11 counts the depth of a parse in one place (gh-106905): where a finalizer prints a traceback, which
    parses too, whoever was parsing gets a SystemError. Hypothesis parses to describe a lambda.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return _parse(*of, **how)
    finally:
        if collects:
            gc.enable()


ast.parse = _parse_uncollected

# How long an example takes says something of the machine and nothing of the code: no test asserts it.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("new", _UNTIMED)
# The build server runs the same examples each time: what it refuses is what the change broke. New
# examples are found where people work.
settings.register_profile("same", _UNTIMED, derandomize=True)
# A look at each property, for `make quick`.
settings.register_profile("few", _UNTIMED, max_examples=10)
_QUICK = "few" if os.environ.get("TESTS") == "quick" else "new"
settings.load_profile("same" if os.environ.get("CI_ALL") else _QUICK)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On the build server, run once more what failed while real processes ran against deadlines.

    A fault of a busy machine passes then, a fault of the code does not. The summary names each rerun.
    """
    if not os.environ.get("CI_ALL"):
        return
    for item in items:
        if item.get_closest_marker("story") or item.get_closest_marker("real"):
            item.add_marker(pytest.mark.flaky(reruns=1))
