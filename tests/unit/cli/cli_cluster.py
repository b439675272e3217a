"""A cluster for the command line's tests: an embedded API server, and the command run against it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from controller.cli import main
from controller.domain import PREFIX, Attempt, MigrationSpec, Record, SplitKind
from controller.domain.identity import STEPS_BEFORE
from controller.mesh.splits import RECORD, encode_record
from deploy.stand_ins.apiserver import EmbeddedApi

DEADLINE_S = 20.0

COMMAND = [sys.executable, "-c", "import sys; from controller.cli import main; sys.exit(main())"]
"""The command as a program of its own, installed or not."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def service(name: str, namespace: str = "default", **spec: str) -> dict[str, Any]:
    """A Service with annotations of ours; an underscore stands for a hyphen."""
    annotations = {PREFIX + key.replace("_", "-"): value for key, value in spec.items()}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }


def mirror(name: str, cluster: str) -> dict[str, Any]:
    """A Service as Linkerd's service mirror makes it, with the annotations that it copies."""
    made = service(f"{name}-{cluster}", target="eks")
    made["metadata"]["labels"] = {
        "mirror.linkerd.io/mirrored-service": "true",
        "mirror.linkerd.io/cluster-name": cluster,
    }
    full = f"{name}.default.svc.cluster.local"
    made["metadata"]["annotations"]["mirror.linkerd.io/remote-svc-fq-name"] = full
    return made


def status(**changed: Any) -> dict[str, Any]:
    """A status as the controller writes it: ten percent are moved, and one path is short of probes."""
    collecting = "412 of 764 clean probes of callers in legacy to eks"
    return {
        "service": "service-a",
        "observed": {"target": "eks", "attempt": 1},
        "clusters": ["legacy", "eks"],
        "phase": "Progressing",
        "share": "10/100",
        "shares": {"legacy": "10", "eks": "100"},
        "verdict": "UNKNOWN",
        "reason": "Collecting",
        "message": collecting,
        "next": "raise to 25 %",
        "waitingFor": collecting,
        "alert": False,
        "ways": [
            path("legacy", "target", verdict="UNKNOWN", reason="Collecting", clean=412),
            path("legacy", "home"),
        ],
        "warnings": [{"reason": "MirrorUnproven", "message": "only the pins prove the way"}],
        "conditions": [condition("Blocked", "False")],
        "history": [
            transition("2026-01-01T10:00:00Z", "Pending", "0/100", "Beginning", "first"),
            transition("2026-01-01T10:05:00Z", "Progressing", "10/100", "Raising", "second"),
        ],
        "asked": {"by": "kubectl-annotate", "at": "2026-01-01T09:59:00Z"},
        "asOf": "2026-01-01T10:05:30Z",
        **changed,
    }


def path(callers: str, side: str, **changed: Any) -> dict[str, Any]:
    """One way of a status, all well unless ``changed`` says otherwise."""
    return {
        "callers": callers,
        "side": side,
        "verdict": "PASS",
        "reason": "",
        "objective": "success",
        "points": 0.5,
        "threshold": 21.27,
        "clean": 764,
        "needed": 764,
        "usualAnswer": "200",
        **changed,
    }


def condition(kind: str, true: str) -> dict[str, Any]:
    """One condition of a status."""
    return {"type": kind, "status": true, "lastTransitionTime": "2026-01-01T10:05:00Z"}


def transition(at: str, phase: str, share: str, reason: str, message: str) -> dict[str, Any]:
    """One entry of a history."""
    return {
        "at": at,
        "phase": phase,
        "share": share,
        "reason": reason,
        "message": message,
        "noted": "",
        "target": "eks",
    }


def ended(phase: str, **changed: Any) -> dict[str, Any]:
    """The status of an attempt that is over."""
    message = (
        "attempt 1 was reverted: bad" if phase == "Reverted" else "eks serves 100 % by both splits"
    )
    reason = "TargetBad" if phase == "Reverted" else "Completed"
    said = {"phase": phase, "reason": reason, "message": message, "waitingFor": message, "next": ""}
    return status(**said | changed)


def migration(
    name: str = "service-a", namespace: str = "default", **changed: Any
) -> dict[str, Any]:
    """A Migration with :func:`status`."""
    return {
        "apiVersion": "migrate.tradeshift/v1alpha1",
        "kind": "Migration",
        "metadata": {"name": name, "namespace": namespace},
        "status": status(**changed),
    }


def split(completed: datetime | None = None, **spec: Any) -> dict[str, Any]:
    """A split of service-a with the record of an attempt."""
    attempt = Attempt(
        number=1,
        origin="legacy",
        target="eks",
        baseline={"legacy": 0, "eks": 1000},
        origin_ready=3,
        spec=MigrationSpec(target="eks", **spec),
        started=datetime(2026, 1, 1, 10, tzinfo=UTC),
    )
    record = Record(kind=SplitKind.TRAFFICSPLIT, attempt=attempt, completed=completed)
    return {
        "apiVersion": "split.smi-spec.io/v1alpha1",
        "kind": "TrafficSplit",
        "metadata": {"name": "own", "annotations": {RECORD: encode_record(record)}},
        "spec": {"service": "service-a", "backends": [{"service": "service-a", "weight": 1000}]},
    }


class CommandCluster:
    """A cluster named ``legacy``, with a kubeconfig file that names it."""

    def __init__(self, api: EmbeddedApi, kubeconfig: Path) -> None:
        self.api = api
        self.kubeconfig = kubeconfig
        kubeconfig.write_text(yaml.safe_dump(api.kubeconfig()))

    def put(self, *objects: dict[str, Any]) -> None:
        """Store objects."""
        for body in objects:
            self.api.put(body)

    def annotations(self, name: str, namespace: str = "default") -> dict[str, str]:
        """The annotations of a Service that are ours, without the prefix; that of the command itself whole."""
        found = self.api.store.get("services", namespace, name)
        assert found is not None
        every: dict[str, str] = found.body["metadata"].get("annotations") or {}
        ours = (PREFIX, STEPS_BEFORE)
        return {k.removeprefix(PREFIX): v for k, v in every.items() if k.startswith(ours)}

    async def run(self, *argv: str) -> Ended:
        """Run the command to its end."""
        return await asyncio.to_thread(run, *argv, "--kubeconfig", str(self.kubeconfig))

    def environ(self) -> dict[str, str]:
        """The environment of a subprocess that is to find this cluster."""
        # Buffered, as a user's is: what is left in a buffer at the end is part of the story.
        buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        return {**buffered, "KUBECONFIG": str(self.kubeconfig)}


def run(*argv: str) -> Ended:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(argv)
    return Ended(int(code), out.getvalue(), err.getvalue())


async def until(true: Callable[[], bool]) -> None:
    """Wait for a condition; fail after a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


def decoded(text: str) -> Any:
    """What a command printed as JSON."""
    return msgspec.json.decode(text)
