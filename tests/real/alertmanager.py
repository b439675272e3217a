"""A real Alertmanager as a throw-away child process on loopback."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from deploy.servers.processes import Servers
from deploy.servers.prometheus import find_binary

_LISTENING = re.compile(r'msg="?Listening on"? address=(127\.0\.0\.1:\d+)')
_READY_S = 30.0


class Alertmanager:
    """One server with this configuration and a receiver that does nothing."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = {"route": {"receiver": "none"}, "receivers": [{"name": "none"}], **config}
        self._servers = Servers("alertmanager", 300.0)
        self._url = ""

    async def __aenter__(self) -> Alertmanager:
        folder: Path = self._servers.folder
        (folder / "config.yaml").write_text(yaml.safe_dump(self._config))
        binary = find_binary("alertmanager")
        assert binary is not None
        command = [
            # Debian's, unpacked by tests/real/tools/packages, reads its templates below the folder it is started in.
            *("env", f"--chdir={binary.parents[1]}"),
            str(binary),
            f"--config.file={folder / 'config.yaml'}",
            f"--storage.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:0",
            "--cluster.listen-address=",
        ]
        async with self._servers.starting(_READY_S):
            self._servers.start("alertmanager", command)
            await self._servers.until(self._is_ready)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._servers.stop()

    async def told(self, alerts: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        """Fire these alerts, by their labels; return those that are told, and not inhibited by another."""
        async with aiohttp.ClientSession(self._url) as session:
            body = [{"labels": dict(labels)} for labels in alerts]
            async with session.post("/api/v2/alerts", json=body) as answer:
                assert answer.status == 200, await answer.text()
            # Whether an alert is inhibited is asked anew by each request.
            asked = {"inhibited": "false"}
            async with session.get("/api/v2/alerts", params=asked) as answer:
                return [found["labels"] for found in await answer.json()]

    async def _is_ready(self) -> bool:
        """Find out by its log, which says where it listens."""
        listening = _LISTENING.search(self._servers.log("alertmanager"))
        if listening is None:
            return False
        self._url = f"http://{listening[1]}"
        return True
