"""The real parts that a test needs, and what becomes of it where one cannot be had."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from deploy.servers.kube_apiserver import MISSING, find_binaries


def missing(what: str) -> NoReturn:
    """Skip the test that asks, for this reason; where nothing may be left out, fail."""
    if os.environ.get("CI_ALL"):
        pytest.fail(what)
    pytest.skip(what)


def need_api_servers() -> None:
    """Real kube-apiservers can be had here, or the test that asks is left out."""
    if find_binaries() is None:
        missing(MISSING)
