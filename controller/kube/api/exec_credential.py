"""The exec plugin of a kubeconfig: somebody else's program, which prints credentials and may hang.

It has a deadline, no terminal and a bounded voice. When it is late, or nobody wants its answer any more, it
and everything that it started is killed: else each attempt would leave one more behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

DEADLINE_S = 30.0
"""A cloud's command line may need several seconds where the machine is busy."""

LONGEST_BYTES = 1 << 20

REAP_S = 1.0
"""How long a plugin that was killed is waited for: who left its session may hold its pipes."""


class PluginError(Exception):
    """The plugin gave no credentials; the text is a sentence."""


class Issued(msgspec.Struct, rename="camel"):
    """What a plugin gives: a token, or a certificate with its key, and until when it is good."""

    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None


class _Answer(msgspec.Struct, rename="camel"):
    api_version: str
    status: Issued


class _Variable(msgspec.Struct):
    name: str
    value: str


class _Exec(msgspec.Struct, rename="camel"):
    """The section of the kubeconfig; what only a person at a terminal needs is left out."""

    command: str
    api_version: str
    args: list[str] | None = None
    env: list[_Variable] | None = None
    install_hint: str = ""


async def issue(section: Any, folder: str, deadline_s: float = DEADLINE_S) -> Issued:
    """Run the plugin of this ``exec`` section; ``folder`` is where its kubeconfig is. Raises PluginError."""
    try:
        wanted = msgspec.convert(section, _Exec)
    except msgspec.ValidationError as error:
        raise PluginError(f"the exec section is malformed: {error}") from error
    name = wanted.command
    try:
        async with asyncio.timeout(deadline_s):
            code, out, err = await _run(wanted, folder)
    except TimeoutError:
        raise PluginError(f"the exec plugin {name} gave no answer in {deadline_s:g} s") from None
    except (OSError, ValueError) as error:
        hint = f": {wanted.install_hint}" if wanted.install_hint else ""
        raise PluginError(f"the exec plugin {name} cannot be started: {error}{hint}") from error
    if code != 0:
        raise PluginError(f"the exec plugin {name} ended with {code}: {_words(err)}")
    return _read(out, wanted)


def _read(out: bytes, wanted: _Exec) -> Issued:
    try:
        answer = msgspec.json.decode(out, type=_Answer)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise PluginError(
            f"the exec plugin {wanted.command} printed no ExecCredential: {error}"
        ) from error
    if answer.api_version != wanted.api_version:
        raise PluginError(
            f"the exec plugin {wanted.command} answers in {answer.api_version}, the kubeconfig asks"
            f" for {wanted.api_version}"
        )
    issued = answer.status
    if not issued.token and not (issued.client_certificate_data and issued.client_key_data):
        raise PluginError(
            f"the exec plugin {wanted.command} gave neither a token nor a certificate with its key"
        )
    return issued


async def _run(wanted: _Exec, folder: str) -> tuple[int, bytes, bytes]:
    """Return exit code, stdout and stderr. Whatever ends this early ends the plugin."""
    process = await asyncio.create_subprocess_exec(
        _command(wanted.command, folder),
        *(wanted.args or ()),
        env=_environment(wanted),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # so that what it starts can be killed with it
    )
    pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
    try:
        out, err = await asyncio.gather(*map(_all_of, pipes))
        return await process.wait(), out, err
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(REAP_S):
                await process.wait()
        raise


async def _all_of(stream: asyncio.StreamReader) -> bytes:
    read = bytearray()
    while chunk := await stream.read(1 << 16):
        read += chunk
        if len(read) > LONGEST_BYTES:
            raise PluginError(f"the exec plugin printed more than {LONGEST_BYTES} bytes")
    return bytes(read)


def _command(command: str, folder: str) -> str:
    """A command with a slash is relative to the kubeconfig, as for kubectl; one without is in the PATH."""
    return str(Path(folder, command)) if "/" in command else command


def _environment(wanted: _Exec) -> Mapping[str, str]:
    info = {
        "apiVersion": wanted.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    own = {variable.name: variable.value for variable in wanted.env or ()}
    return {**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _words(raw: bytes) -> str:
    """Return the last words of what was printed, in one line."""
    return " ".join(raw.decode(errors="replace").split())[-300:] or "without a word"
