"""Fixtures of the prober's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.prober.loopback import Target, running_target


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    """A target that answers 200 until told otherwise."""
    async with running_target() as running:
        yield running
