"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# The build server runs the same examples each time: what it refuses is what the change broke. New
# examples are found where people work.
settings.register_profile("same", derandomize=True)
if os.environ.get("CI_ALL"):
    settings.load_profile("same")
