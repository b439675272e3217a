"""``migrate-controller``: wires the parts together, and ends them in order."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import structlog
from aiohttp import web

from controller.evidence.clients.monitor import Answered
from controller.evidence.probes import ProberReport
from controller.kube.api import Chance, Cluster, ClusterAccess, Pace
from controller.kube.objects import Change, Freshness
from controller.report.health import Health, beat_with_loop, serve
from controller.report.logs import configure_logging
from controller.report.metrics import Metrics
from controller.report.tracing import Tracing, tracing_to
from controller.report.ui import Feed, serve_board
from controller.runtime.cluster_store import LEASE_WATCHED, WATCHED
from controller.runtime.credentials import watch_ends
from controller.runtime.lease import Leader
from controller.runtime.notifications import Notifications
from controller.runtime.probers import Probers
from controller.runtime.prometheus import Traffic, prometheus_of
from controller.runtime.receivers import read_receivers
from controller.runtime.reconciler import Evidence, Reconciler, Telemetry
from controller.runtime.settings import CONFIG_ENV, Settings, SettingsError, load, reread
from controller.runtime.sources import further
from controller.runtime.store import Store
from controller.runtime.terms import Terms
from prober.pauses import keep_pauses_short
from prober.stderr import unblock_stderr

REREAD_S = 5.0
"""How often the settings file is read again for ``paused`` and ``max_in_progress``."""

FINISH_S = 2.0
"""What a write in flight is given at SIGTERM. With the lease's release, the servers and the traces the whole
end stays under 5 s, whatever hangs."""

TRACES_S = 0.5
"""What the spans that wait are given to leave."""


def main() -> None:
    """Run until SIGTERM. A user's mistake is one sentence on stderr and exit code 2."""
    asked = _arguments()
    path = asked.config or os.environ.get(CONFIG_ENV)
    if path is None:
        sys.exit(_mistake(f"no settings: give --config FILE, or set {CONFIG_ENV}"))
    try:
        settings = load(Path(path), os.environ)
    except SettingsError as error:
        sys.exit(_mistake(str(error)))
    if asked.check_config and settings.notifications:
        try:
            read_receivers(Path(settings.notifications))
        except SettingsError as error:
            sys.exit(_mistake(f"notifications: {error}"))
    if asked.check_config:
        sys.stdout.write(f"{path}: the settings are good\n")
        return
    unblock_stderr()
    configure_logging(settings.log_level)
    keep_pauses_short()
    try:
        asyncio.run(Controller(settings, Path(path)).run())
    except SettingsError as error:
        sys.exit(_mistake(str(error)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="migrate-controller",
        description="Moves annotated Services between two Linkerd-linked clusters, step by step.",
    )
    parser.add_argument("--config", metavar="FILE", help=f"settings (YAML); else ${CONFIG_ENV}")
    parser.add_argument(
        "--check-config", action="store_true", help="say whether the settings are good, and end"
    )
    parser.add_argument("--version", action="version", version=version("mesh-migrate"))
    return parser.parse_args()


def _mistake(sentence: str) -> int:
    sys.stderr.write(f"migrate-controller: {sentence}\n")
    return 2


class Controller:
    """Everything that one process is made of. ``clock`` gives monotonic seconds."""

    def __init__(
        self, settings: Settings, path: Path, clock: Callable[[], float] = monotonic
    ) -> None:
        release = version("mesh-migrate")
        self._settings = settings
        self._path = path
        self._log = structlog.get_logger()
        self._clock = clock
        chance = Chance(monotonic=clock)
        self._metrics = Metrics(release, clock, settings.installation)
        self._tracing: Tracing = tracing_to(settings.otlp_endpoint, release)
        self._further = further(settings)
        self._store = Store(
            {name: c.gateway_namespace for name, c in settings.clusters.items()},
            settings.domain,
            domains=settings.domains,
            prometheus=[name for name, c in settings.clusters.items() if c.prometheus.url],
            tick_s=settings.traffic.tick_s,
            further=self._further,
            control=settings.prober.control,
            terms=Terms(settings.lease.full_name, settings.lease.duration_s),
            fleets_in=settings.lease.cluster,
        )
        self._settings_error = ""
        self._clusters = {name: self._cluster(name, chance) for name in settings.clusters}
        self._leader = self._candidate(chance)
        self._probers = self._streams()
        self._traffic = Traffic(
            prometheus_of(settings, self._metrics.traffic),
            tick_s=settings.traffic.tick_s,
            answered=self._answered,
            log=self._log,
            clock=clock,
        )
        self._page = Feed(next(n for n in settings.clusters if n != settings.lease.cluster))
        self._notifications = Notifications(
            Path(settings.notifications) if settings.notifications else None,
            f"//migrate.tradeshift/{settings.lease.full_name}",
            meter=self._metrics.notifications,
            log=self._log,
        )
        self._reconciler = Reconciler(
            settings,
            self._store,
            self._clusters,
            Evidence(self._probers, self._traffic),
            self._leader,
            Telemetry(
                self._metrics, self._tracing, self._log, self._page, self._notifications.tell
            ),
            clock,
        )

    def _cluster(self, name: str, chance: Chance) -> Cluster:
        settings = self._settings.clusters[name]
        return Cluster(
            name,
            ClusterAccess(settings.kubeconfig, settings.context),
            meter=self._metrics.clusters,
            log=self._log.bind(cluster=name),
            pace=Pace(relist_s=self._settings.relist_s),
            chance=chance,
        )

    def _candidate(self, chance: Chance) -> Leader:
        lease = self._settings.lease
        return Leader(
            self._clusters[lease.cluster],
            lease,
            f"{socket.gethostname()}-{secrets.token_hex(4)}",
            newest=lambda: self._store.terms.newest,
            changed=self._leadership_changed,
            log=self._log,
            chance=chance,
        )

    def _streams(self) -> Probers:
        settings = self._settings
        return Probers(
            {name: cluster.prober for name, cluster in settings.clusters.items()},
            token_file=Path(settings.prober.token_file),
            streams=settings.prober.streams,
            proxy_url=settings.prober.proxy_url,
            on_report=self._on_report,
            meter=self._metrics.process,
            log=self._log,
            clock=self._clock,
        )

    def _on_report(self, on_report: ProberReport) -> None:
        self._reconciler.on_report(on_report)

    def _answered(self, answered: Answered) -> None:
        self._reconciler.answered(answered)

    def _leadership_changed(self) -> None:
        self._metrics.process.leads(self._leader.leads, self._leader.fencing_token)
        # An identity is the Pod's name and a draw of this process, see _candidate.
        pod = self._leader.holder.rpartition("-")[0]
        namespace, board = self._settings.lease.namespace, self._settings.board_address
        port = board[1] if board else ""
        reach = f"kubectl --namespace {namespace} port-forward pod/{pod} {port}"
        self._page.lead(self._leader.leads, pod, reach)
        self._reconciler.requeue_all()

    def _credentials_end(self, cluster: str, at: datetime | None) -> None:
        self._metrics.clusters.credentials_end(cluster, at)
        self._page.credentials_end(cluster, at)

    def _unready(self) -> dict[str, str]:
        found = {
            f"cluster {name}": view.stale_reason
            for name, view in self._store.views.items()
            if not view.current
        }
        if self._settings_error:
            found["settings"] = self._settings_error
        return found

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; then finish what is in flight and give the lease back."""
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stopped.set)
        health = Health(self._unready, self._clock)
        async with AsyncExitStack() as stack:
            for cluster in self._clusters.values():
                await stack.enter_async_context(cluster)
            runner = await self._serve(health)
            stack.push_async_callback(runner.cleanup)
            await self._open_page(stack)
            parts: list[Coroutine[Any, Any, None]] = [
                *self._watches(),
                self._leader.run(),
                self._probers.run(),
                self._traffic.run(),
                *(source.run(self._reconciler.requeue) for source in self._further),
                self._reconciler.run(),
                self._notifications.run(),
                watch_ends(self._clusters, self._credentials_end),
                self._watch_settings(),
                beat_with_loop(health, self._metrics),
            ]
            self._log.info("controller started", clusters=list(self._clusters))
            await self._until(stopped, parts)
        await asyncio.to_thread(self._tracing.shutdown, TRACES_S)
        self._log.info("controller stopped")

    def _watches(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Yield what follows each cluster; the Fleets stand in the one that holds the lease."""
        for name, cluster in self._clusters.items():
            holds_lease = name == self._settings.lease.cluster
            yield cluster.run(self._apply, LEASE_WATCHED if holds_lease else WATCHED)

    def _apply(self, change: Change) -> None:
        """Take a change in. What was listed stays, for the most part: a full collection need not look at it."""
        self._reconciler.apply(change)
        if isinstance(change, Freshness) and self._store.current:
            gc.freeze()

    async def _open_page(self, stack: AsyncExitStack) -> None:
        """Serve the page where one is asked for; without it everything else works as it does with it."""
        address = self._settings.board_address
        if address is None:
            return
        try:
            runner = await serve_board(address, self._page)
        except OSError as error:
            self._log.error("board not served", board=self._settings.board, error=str(error))
            return
        stack.push_async_callback(runner.cleanup)

    async def _serve(self, health: Health) -> web.AppRunner:
        try:
            return await serve(self._settings.listen_address, self._metrics, health)
        except OSError as error:
            where = self._settings.listen
            raise SettingsError(f"cannot listen on {where}: {error.strerror}") from error

    async def _until(self, stopped: asyncio.Event, parts: list[Coroutine[Any, Any, None]]) -> None:
        """Run all parts until a stop is asked for. A part that ends by itself ends the process: Kubernetes
        starts it again, and whatever stands on the splits is taken up from there."""
        tasks = [asyncio.create_task(part) for part in parts]
        waiter = asyncio.create_task(stopped.wait())
        await asyncio.wait([*tasks, waiter], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(self._reconciler.stop(FINISH_S), self._notifications.drain(FINISH_S))
        for task in (*tasks, waiter):
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def _watch_settings(self) -> None:
        """Re-read what may change while running; a broken file keeps what is in force, and is reported."""
        current = self._settings
        while True:
            await asyncio.sleep(REREAD_S)
            found = await asyncio.to_thread(reread, self._path, os.environ, current)
            if isinstance(found, SettingsError):
                if str(found) != self._settings_error:
                    self._log.error("settings not re-read", error=str(found))
                self._settings_error = str(found)
                continue
            self._settings_error = ""
            current = found
            self._reconciler.resettle(found)


if __name__ == "__main__":
    main()
