"""What the Pod of `helm test` runs, run here: the chart's words, with other paths."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.rendering import ROOT, Json, one

HERE = "/etc/migrate/check/kubeconfig"
THERE = "/etc/migrate/peer/kubeconfig"


async def run_check(
    objects: list[Json], kubeconfigs: Mapping[str, Path]
) -> subprocess.CompletedProcess[str]:
    """Run the container's command; ``kubeconfigs`` says which files stand where the Pod has its own."""
    (container,) = one(objects, "Pod", "migrate-check")["spec"]["containers"]

    def placed(text: str) -> str:
        for path, real in kubeconfigs.items():
            text = text.replace(path, str(real))
        return text

    environ = {found["name"]: placed(found["value"]) for found in container["env"]}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return await asyncio.to_thread(
        subprocess.run,
        [placed(word) for word in (*container["command"], *container["args"])],
        env={**environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
