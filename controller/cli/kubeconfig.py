"""Which cluster and namespace are meant, as kubectl finds them: flags, KUBECONFIG, ~/.kube/config, this Pod."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from controller.cli.exit_codes import Exit, Failure
from controller.kube.api import unsupported

HOME_CONFIG = "~/.kube/config"
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
    cluster: str = ""
    user: str = ""


class _Context(msgspec.Struct):
    name: str
    context: _Details | None = None


class _Named(msgspec.Struct):
    name: str
    user: dict[str, Any] | None = None
    cluster: dict[str, Any] | None = None


class _Kubeconfig(msgspec.Struct, rename="kebab"):
    contexts: list[_Context] | None = None
    users: list[_Named] | None = None
    clusters: list[_Named] | None = None
    current_context: str | None = None


def find(
    kubeconfig: str | None, context: str | None, namespace: str | None, environ: Mapping[str, str]
) -> Place:
    """Return which place these flags mean (None: not given). Raises Failure.

    Of several files the first that names a thing decides it, as in kubectl.
    """
    written, files = _meant(kubeconfig, environ)
    if files:
        return _place(files, written, context, namespace)
    if kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in environ:
        return Place(None, None, namespace or _pod_namespace())
    raise Failure(
        f"there is no kubeconfig at {written}: give --kubeconfig FILE, or set KUBECONFIG",
        code=Exit.USAGE,
    )


def _meant(kubeconfig: str | None, environ: Mapping[str, str]) -> tuple[str, list[Path]]:
    """Return the files that are meant, as written and as found: the flag's one, KUBECONFIG's, or that at home."""
    written = kubeconfig or environ.get("KUBECONFIG") or HOME_CONFIG
    return written, _files([kubeconfig] if kubeconfig else written.split(os.pathsep))


def _files(paths: Sequence[str]) -> list[Path]:
    """Return the files that exist."""
    return [path for path in (Path(part).expanduser() for part in paths if part) if path.exists()]


def _place(
    files: Sequence[Path], written: str, context: str | None, namespace: str | None
) -> Place:
    """Return the place that these files and flags mean. Raises Failure."""
    read = _read_all(files)
    meant = _context(tuple(read.values()), context, written)
    _refuse_unsupported(tuple(read.values()), meant)
    own = meant.context.namespace if meant.context else None
    return Place(os.pathsep.join(map(str, read)), meant.name, namespace or own or "default")


def _context(files: Sequence[_Kubeconfig], asked: str | None, written: str) -> _Context:
    """Return the context that is asked for, else the current one. Raises Failure where there is none such."""
    name = asked or next((file.current_context for file in files if file.current_context), None)
    if name is None:
        raise Failure(
            f"{written} has no current context: give --context NAME, or set one with"
            " kubectl config use-context",
            code=Exit.USAGE,
        )
    known = _contexts(files)
    meant = next((each for each in known if each.name == name), None)
    if meant is None:
        names = ", ".join(each.name for each in known) or "none"
        raise Failure(
            f"there is no context {name} in {written}; there are: {names}", code=Exit.USAGE
        )
    return meant


def _refuse_unsupported(files: Sequence[_Kubeconfig], meant: _Context) -> None:
    """Raise Failure where a context asks to act as somebody else, or to go a way that is not taken here."""
    details = meant.context or _Details()
    user = _first((file.users for file in files), details.user)
    cluster = _first((file.clusters for file in files), details.cluster)
    wrong = unsupported(details.user, user.user or {}, cluster.cluster or {})
    if wrong:
        raise Failure(f"context {meant.name}: {wrong}", code=Exit.USAGE)


def _first(lists: Iterable[list[_Named] | None], name: str) -> _Named:
    """Return the first entry of this name, an empty one where there is none: the library says so."""
    found = (each for entries in lists for each in entries or () if each.name == name)
    return next(found, _Named(name))


def known_contexts(kubeconfig: str | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of all contexts of the files that are meant. Raises Failure."""
    _, files = _meant(kubeconfig, environ)
    return tuple(each.name for each in _contexts(tuple(_read_all(files).values())))


def other(here: Place, context: str) -> Place:
    """Return another context of the same files, which has it. Raises Failure where it is not supported."""
    files = [Path(part) for part in (here.kubeconfig or "").split(os.pathsep) if part]
    return _place(files, here.kubeconfig or "", context, here.namespace)


def contexts(place: Place) -> tuple[str, ...]:
    """Return the names of all contexts beside a place's own; a Pod's own cluster has none. Raises Failure."""
    files = [Path(part) for part in (place.kubeconfig or "").split(os.pathsep) if part]
    return tuple(each.name for each in _contexts(tuple(_read_all(files).values())))


def _contexts(files: Sequence[_Kubeconfig]) -> list[_Context]:
    return [known for file in files for known in file.contexts or ()]


def _read_all(files: Sequence[Path]) -> dict[Path, _Kubeconfig]:
    """Read the files that are not empty."""
    return {file: found for file in files if (found := _read(file)) is not None}


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
