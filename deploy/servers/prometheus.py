"""A real Prometheus as a throw-away child process on loopback.

The binaries come from Debian's package (`make tools` puts them into .tools/bin) or from PATH.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from deploy.servers.processes import ServerFailed, Servers

_REPOSITORY = Path(__file__).resolve().parents[2]
_READY_S = 30.0
_READY = 'msg="Server is ready to receive web requests."'
_LISTENING = re.compile(r'msg="Listening on" address=(127\.0\.0\.1:\d+)')

MISSING = (
    "prometheus, promtool or alertmanager is missing: `make tools` puts Debian's into .tools/bin where there is "
    "apt, or put them on PATH, version 2.42 (alertmanager 0.25) or later"
)


def find_binary(name: str) -> Path | None:
    """Return ``prometheus``, ``promtool`` or ``alertmanager``, from .tools/bin before PATH, or None."""
    own = _REPOSITORY / ".tools" / "bin"
    found = shutil.which(name, path=f"{own}{os.pathsep}{os.environ.get('PATH', '')}")
    return Path(found) if found else None


class Prometheus:
    """One server, with an empty data folder or a given one.

    ``jobs`` maps a job's name to the ``host:port`` of its targets (their ``/metrics`` is scraped every
    ``every_s``) or to a whole ``scrape_config`` without its name. ``external_labels`` are on what others
    federate, ``web`` is its web configuration (TLS, users). It ends with `stop`, with this process however it
    dies (on Linux), and after ``lifetime_s`` in any case.
    """

    def __init__(
        self,
        jobs: Mapping[str, Sequence[str] | Mapping[str, object]],
        *,
        every_s: float = 1.0,
        data: Path | None = None,
        rules: Sequence[Path] = (),
        external_labels: Mapping[str, str] | None = None,
        web: Mapping[str, object] | None = None,
        lifetime_s: float = 3600.0,
    ) -> None:
        self.url = ""
        self._config = _config(jobs, every_s, rules, external_labels or {})
        self._web = web or {}
        self._data = data
        self._lifetime_s = lifetime_s
        self._servers: Servers | None = None

    async def start(self) -> str:
        """Start it, wait until it answers queries, return its URL; raises ServerFailed."""
        binary = find_binary("prometheus")
        if binary is None:
            raise ServerFailed(MISSING)
        servers = self._servers = Servers("prometheus", self._lifetime_s)
        config = servers.folder / "prometheus.yaml"
        config.write_text(yaml.safe_dump(self._config))
        web = servers.folder / "web.yaml"
        web.write_text(yaml.safe_dump(dict(self._web)))
        command = [
            str(binary),
            f"--config.file={config}",
            f"--web.config.file={web}",
            f"--storage.tsdb.path={self._data or servers.folder / 'data'}",
            # It says in its log which port it got.
            "--web.listen-address=127.0.0.1:0",
            "--enable-feature=exemplar-storage",
            "--log.level=info",
        ]
        async with servers.starting(_READY_S):
            servers.start("prometheus", command)
            await servers.until(lambda: self._is_ready(servers))
        return self.url

    async def stop(self) -> None:
        """End it and remove its files (not a data folder that was given); a second stop does nothing."""
        servers, self._servers = self._servers, None
        if servers is not None:
            await servers.stop()

    async def __aenter__(self) -> Prometheus:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _is_ready(self, servers: Servers) -> bool:
        """Find out by its log, which it also writes where nobody may ask it."""
        log = servers.log("prometheus")
        listening = _LISTENING.search(log)
        if listening is None or _READY not in log:
            return False
        scheme = "https" if "tls_server_config" in self._web else "http"
        self.url = f"{scheme}://{listening[1]}"
        return True


def _config(
    jobs: Mapping[str, Sequence[str] | Mapping[str, object]],
    every_s: float,
    rules: Sequence[Path],
    external_labels: Mapping[str, str],
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
            "external_labels": dict(external_labels),
        },
        "rule_files": [str(path) for path in rules],
        "scrape_configs": scrapes,
    }
