"""A real Prometheus as a throw-away child process on loopback.

The binaries come from Debian's package (`make tools` puts them into .tools/bin) or from PATH.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
import yaml

from deploy.local.processes import spawn

_REPOSITORY = Path(__file__).resolve().parents[2]
_READY_S = 30.0
_REQUEST_S = 2.0
_POLL_S = 0.05
_LOG_TAIL_LINES = 25
_LISTENING = re.compile(r'msg="Listening on" address=(127\.0\.0\.1:\d+)')

MISSING = (
    "prometheus and promtool are missing: `make tools` puts Debian's into .tools/bin where there is "
    "apt, or put both on PATH, version 2.42 or later"
)


class PrometheusFailed(Exception):  # noqa: N818 - it is the finding
    """The binaries are missing, or the server did not become ready; the text says which and why."""


def find_binary(name: str) -> Path | None:
    """Return ``prometheus`` or ``promtool``, from .tools/bin before PATH, or None."""
    own = _REPOSITORY / ".tools" / "bin"
    found = shutil.which(name, path=f"{own}{os.pathsep}{os.environ.get('PATH', '')}")
    return Path(found) if found else None


class Prometheus:
    """One server, with an empty data folder or a given one.

    ``jobs`` maps a job's name to the ``host:port`` of its targets (their ``/metrics`` is scraped every
    ``every_s``) or to a whole ``scrape_config`` without its name. It ends with `stop`, with this
    process however it dies (on Linux), and after ``lifetime_s`` in any case.
    """

    def __init__(
        self,
        jobs: Mapping[str, Sequence[str] | Mapping[str, object]],
        *,
        every_s: float = 1.0,
        data: Path | None = None,
        rules: Sequence[Path] = (),
        lifetime_s: float = 3600.0,
    ) -> None:
        self.url = ""
        self._config = _config(jobs, every_s, rules)
        self._data = data
        self._lifetime_s = lifetime_s
        self._child: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lifetime: threading.Timer | None = None

    async def start(self) -> str:
        """Start it, wait until it answers queries, return its URL; raises PrometheusFailed."""
        binary = find_binary("prometheus")
        if binary is None:
            raise PrometheusFailed(MISSING)
        self._folder = tempfile.TemporaryDirectory(prefix="prometheus-")
        folder = Path(self._folder.name)
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(self._config))
        command = [
            str(binary),
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self._data or folder / 'data'}",
            # It says in its log which port it got.
            "--web.listen-address=127.0.0.1:0",
            "--enable-feature=exemplar-storage",
            "--log.level=info",
        ]
        self._child = spawn(command, folder / "log")
        self._lifetime = threading.Timer(self._lifetime_s, self._child.kill)
        self._lifetime.daemon = True
        self._lifetime.start()
        try:
            async with asyncio.timeout(_READY_S):
                await self._until_ready(self._child)
        except TimeoutError:
            told = f"prometheus was not ready in {_READY_S:.0f} s\n{self.tail()}"
            await self.stop()
            raise PrometheusFailed(told) from None
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def stop(self) -> None:
        """End it and remove its files (not a data folder that was given); a second stop does nothing."""
        if self._lifetime is not None:
            self._lifetime.cancel()
        if self._child is not None:
            self._child.kill()
            await asyncio.to_thread(self._child.wait)
            self._child = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def __aenter__(self) -> Prometheus:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def tail(self) -> str:
        """Give the end of its log."""
        return "\n".join(self._log().splitlines()[-_LOG_TAIL_LINES:])

    def _log(self) -> str:
        if self._folder is None:
            return ""
        log = Path(self._folder.name) / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    async def _until_ready(self, child: subprocess.Popen[bytes]) -> None:
        """Poll it; the caller's deadline bounds this."""
        while not await self._is_ready():
            if child.poll() is not None:
                raise PrometheusFailed(f"prometheus ended with {child.returncode}\n{self.tail()}")
            await asyncio.sleep(_POLL_S)

    async def _is_ready(self) -> bool:
        listening = _LISTENING.search(self._log())
        if listening is None:
            return False
        self.url = f"http://{listening[1]}"
        timeout = aiohttp.ClientTimeout(total=_REQUEST_S)
        try:
            async with (
                aiohttp.ClientSession(self.url, timeout=timeout) as session,
                session.get("/-/ready") as response,
            ):
                return response.status == 200
        except (TimeoutError, OSError, aiohttp.ClientError):
            return False


def _config(
    jobs: Mapping[str, Sequence[str] | Mapping[str, object]],
    every_s: float,
    rules: Sequence[Path],
) -> dict[str, object]:
    """Build a configuration file; an interval has whole milliseconds."""
    every = f"{round(every_s * 1000)}ms"
    scrapes = [
        {"job_name": name}
        | (dict(job) if isinstance(job, Mapping) else {"static_configs": [{"targets": list(job)}]})
        for name, job in jobs.items()
    ]
    return {
        "global": {
            "scrape_interval": every,
            "scrape_timeout": every,
            "evaluation_interval": every,
        },
        "rule_files": [str(path) for path in rules],
        "scrape_configs": scrapes,
    }
