"""The command ``migrate-prober``."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

import structlog

from prober.listening import listen, runner_of, url_of
from prober.pauses import keep_pauses_short
from prober.server import Server
from prober.settings import CONFIG_ENV, Settings, SettingsError, load
from prober.stderr import unblock_stderr
from prober.telemetry import new_metrics, set_up_logs

MISTAKE = 2
"""Exit code for what the person who started it can put right."""

CLEANUP_S = 1.0
"""Longest wait for requests other than streams when ending."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the prober until SIGTERM."""
    options = _options(arguments)
    try:
        settings = load(options.config)
    except SettingsError as error:
        _give_up(str(error))
    if options.check_config:
        sys.stdout.write("The settings are good.\n")
        return
    unblock_stderr()
    set_up_logs(settings.log_level)
    _raise_file_limit()
    try:
        asyncio.run(_serve(settings))
    except SettingsError as error:
        _give_up(str(error))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="migrate-prober",
        description="Probes what controllers ask for, and says honestly what became of it.",
    )
    configured = os.environ.get(CONFIG_ENV)
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(configured) if configured else None,
        help=f"the settings, a YAML file (default: ${CONFIG_ENV})",
    )
    parser.add_argument("--check-config", action="store_true", help="check the settings and end")
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    return parser.parse_args(arguments)


def _version() -> str:
    try:
        return version("mesh-migrate")
    except PackageNotFoundError:
        return "of a source tree"


def _give_up(sentence: str) -> NoReturn:
    sys.stderr.write(f"migrate-prober: {sentence}\n")
    sys.exit(MISTAKE)


def _raise_file_limit() -> None:
    """Take every file descriptor there is: an outage holds a second's probes open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(settings: Settings) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    server = Server(settings, new_metrics(settings.cluster, settings.installation))
    runner = runner_of(server.app(), CLEANUP_S)
    await runner.setup()
    try:
        host, port = settings.address
        try:
            listener = await listen(runner, host, port)
        except OSError as error:
            raise SettingsError(f"cannot listen on {settings.listen}: {error.strerror}") from error
        keep_pauses_short()
        log = structlog.get_logger()
        log.info(
            "listening",
            address=url_of(listener),
            cluster=settings.cluster,
            prober=settings.name,
        )
        await ending.wait()
        log.info("ending")
        await server.drain()
        listener.close()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
