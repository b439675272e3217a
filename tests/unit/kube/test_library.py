"""The client library, of which a part is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

OURS = "import controller.kube.api.library as ours"
WHOLE = "import kubernetes_asyncio as theirs"
USE = (
    "from kubernetes_asyncio.config import kube_config\n"
    "assert ours.KubeConfigLoader is kube_config.KubeConfigLoader\n"
    "assert theirs.client.CoreV1Api and theirs.config.load_kube_config and theirs.client.Configuration\n"
)


@pytest.mark.parametrize("order", [(OURS, WHOLE), (WHOLE, OURS)])
def test_the_library_is_whole_for_others(order: tuple[str, str]) -> None:
    """Who imports the library whole, before or after our part of it, has it whole, and there is one of each module."""
    script = "\n".join([*order, USE])
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)
