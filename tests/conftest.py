"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine and nothing of the code: no test asserts it.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("new", _UNTIMED)
# The build server runs the same examples each time: what it refuses is what the change broke. New
# examples are found where people work.
settings.register_profile("same", _UNTIMED, derandomize=True)
settings.load_profile("same" if os.environ.get("CI_ALL") else "new")
