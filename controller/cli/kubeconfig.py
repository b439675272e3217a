"""Which cluster and namespace are meant, as kubectl finds them: flags, KUBECONFIG, ~/.kube/config, this Pod."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from controller.cli.exit_codes import Exit, Failure

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look. ``kubeconfig`` is one path, or several as in KUBECONFIG; None is this Pod's own cluster,
    which has no ``context`` either."""

    kubeconfig: str | None
    context: str | None
    namespace: str

    def __str__(self) -> str:
        """Return the name of the cluster for people."""
        return f"context {self.context}" if self.context else "this Pod's cluster"


class _Details(msgspec.Struct):
    namespace: str | None = None


class _Context(msgspec.Struct):
    name: str
    context: _Details | None = None


class _Kubeconfig(msgspec.Struct, rename="kebab"):
    contexts: list[_Context] | None = None
    current_context: str | None = None


def find(
    kubeconfig: str | None, context: str | None, namespace: str | None, environ: Mapping[str, str]
) -> Place:
    """Return which place these flags mean (None: not given). Raises Failure.

    Of several files the first that names a thing decides it, as in kubectl.
    """
    written = kubeconfig or environ.get("KUBECONFIG") or "~/.kube/config"
    paths = [kubeconfig] if kubeconfig else written.split(os.pathsep)
    files = [path for path in (Path(part).expanduser() for part in paths if part) if path.exists()]
    if not files:
        if kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in environ:
            return Place(None, None, namespace or _pod_namespace())
        raise Failure(
            f"there is no kubeconfig at {written}: give --kubeconfig FILE, or set KUBECONFIG",
            code=Exit.USAGE,
        )
    read = {file: found for file in files if (found := _read(file)) is not None}
    named = context or next((f.current_context for f in read.values() if f.current_context), None)
    if named is None:
        raise Failure(
            f"{written} has no current context: give --context NAME, or set one with"
            " kubectl config use-context",
            code=Exit.USAGE,
        )
    contexts = [known for found in read.values() for known in found.contexts or ()]
    meant = next((known for known in contexts if known.name == named), None)
    if meant is None:
        names = ", ".join(known.name for known in contexts) or "none"
        raise Failure(
            f"there is no context {named} in {written}; there are: {names}", code=Exit.USAGE
        )
    own = meant.context.namespace if meant.context else None
    return Place(os.pathsep.join(map(str, read)), named, namespace or own or "default")


def contexts(place: Place) -> tuple[str, ...]:
    """Return the name of the contexts that stand beside a place's own; a Pod's own cluster has none. Raises Failure."""
    files = [Path(part) for part in (place.kubeconfig or "").split(os.pathsep) if part]
    read = [found for file in files if (found := _read(file)) is not None]
    return tuple(known.name for found in read for known in found.contexts or ())


def _read(file: Path) -> _Kubeconfig | None:
    """Read one file; None where it is empty."""
    try:
        return msgspec.yaml.decode(file.read_bytes(), type=_Kubeconfig | None)
    except OSError as error:
        raise Failure(f"{file}: cannot be read: {error.strerror}", code=Exit.USAGE) from error
    except (msgspec.MsgspecError, ValueError) as error:
        sentence = " ".join(str(error).split())
        raise Failure(f"{file}: is no kubeconfig: {sentence}", code=Exit.USAGE) from error


def _pod_namespace() -> str:
    try:
        return POD_NAMESPACE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"
