"""What each writing verb changes on a Service, and when it is refused. Pure: what was found in, a change out.

A change is of annotations without their prefix (one of another prefix has its whole key), and None removes one.
It may hold what is there already:
:func:`effective` leaves only what differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from controller.cli.arguments import PROG, Asked, is_label
from controller.cli.exit_codes import Exit, Failure, NothingToDo
from controller.cli.migration import Migration, asked_attempt
from controller.domain import PREFIX, Key, Malformed, Phase, Record
from controller.domain.annotations import read
from controller.domain.identity import STEPS_BEFORE
from controller.domain.status import MigrationStatus
from controller.kube.objects import MIRROR_OF, ServiceObject

Change = dict[str, str | None]

MIRRORED = "mirror.linkerd.io/mirrored-service"
MIRRORED_FROM = "mirror.linkerd.io/cluster-name"


@dataclass(frozen=True, slots=True)
class Found:
    """One Service as it stands. ``clusters`` are the names of the pair, None where nothing tells them.
    ``everywhere``: it is one of all namespaces, so it is called by its own as well.
    """

    service: ServiceObject
    migration: Migration | None = None
    record: Record | None = None
    clusters: tuple[str, str] | None = None
    everywhere: bool = False

    @property
    def key(self) -> Key:
        """The Service."""
        return Key(self.service.metadata.namespace, self.service.metadata.name)

    @property
    def name(self) -> str:
        """What the Service is called in a sentence."""
        return str(self.key) if self.everywhere else self.key.service

    @property
    def typed(self) -> str:
        """What is typed for it after a verb."""
        return f"{self.key.service} -n {self.key.namespace}" if self.everywhere else self.name

    @property
    def annotations(self) -> Mapping[str, str]:
        """Those with our prefix, and Linkerd's."""
        return self.service.metadata.annotations

    @property
    def reported(self) -> MigrationStatus | None:
        """The status, where it is about what the annotations ask for: not about another target or attempt."""
        migration = self.migration
        return migration.status if migration and migration.answers(self.annotations) else None

    def own(self, key: str) -> str | None:
        """Return an annotation of ours, of a whole key or one without our prefix; None where it is absent."""
        return self.annotations.get(key if "/" in key else PREFIX + key)

    def problems(self, change: Mapping[str, str | None] = MappingProxyType({})) -> tuple[str, ...]:
        """Return what would be wrong with the annotations after this change, as the controller would."""
        after = {k: v for k, v in self.annotations.items() if k.startswith(PREFIX)}
        for key, value in change.items():
            if value is None:
                after.pop(PREFIX + key, None)
            elif key != STEPS_BEFORE:
                after[PREFIX + key] = value
        # Where the pair is not known any name that could be a cluster's is let pass: the controller knows.
        pair = self.clusters or (after.get(PREFIX + "target", ""), "")
        spec = read({pair[0]: after}, pair)
        if isinstance(spec, Malformed):
            return tuple(problem.message for problem in spec.problems)
        return ()


def effective(found: Found, change: Mapping[str, str | None]) -> Change:
    """Return what of a change is not so already."""
    return {key: value for key, value in change.items() if found.own(key) != value}


def refuse_mirror(service: ServiceObject) -> None:
    """Raise Failure where Linkerd made this Service: it names the one to use instead."""
    if not service.is_mirror:
        return
    meta = service.metadata
    cluster = meta.labels.get(MIRRORED_FROM, "")
    full = meta.annotations.get(MIRROR_OF, "")
    name = full.partition(".")[0] or meta.name.removesuffix(f"-{cluster}")
    raise Failure(
        f"{meta.name} is Linkerd's mirror of {name} in {cluster or 'the other cluster'}, and the"
        f" annotations of a mirror count for nothing: use {name}, here or in"
        f" {cluster or 'that cluster'}",
        code=Exit.USAGE,
    )


def start(found: Found, asked: Asked) -> Change:
    """Return the change that asks for the Service to be moved."""
    if not is_label(asked.to):
        raise Failure(f'"{asked.to}" is no name of a cluster', code=Exit.USAGE)
    flags = {"steps": asked.steps, "dwell": asked.dwell, "soak": asked.soak}
    given = {key: value for key, value in flags.items() if value is not None}
    change: Change = {"target": asked.to, "paused": None, "abort": None}
    change |= {**_steps(found, asked), **given}
    _refuse_malformed(found, change, tuple(given))
    _refuse_reverted(found, moves=True)
    return change


def _steps(found: Found, asked: Asked) -> Change:
    """Return the change of ``steps``. What ``now`` takes the place of is kept, and comes back with the next start."""
    own, kept = found.own("steps"), found.own(STEPS_BEFORE)
    if asked.now:
        return {"steps": "now", STEPS_BEFORE: kept if own == "now" else own}
    change: Change = {STEPS_BEFORE: None}
    if asked.steps is not None or own == "now":
        change["steps"] = asked.steps or kept
    return change


def _refuse_reverted(found: Found, *, moves: bool) -> None:
    """Raise Failure where the attempt was rolled back, and no other is asked for: NothingToDo, unless it ``moves``."""
    status = found.migration.status if found.migration else None
    if status is None or _retried(found):
        return
    if status.phase in (Phase.REVERTING, Phase.REVERTED):
        going = "is being" if status.phase == Phase.REVERTING else "was"
        sentence = (
            f"attempt {status.observed.attempt} of {found.name} {going} reverted ({status.reason}), and"
            f" nothing starts before another is asked for: use {PROG} retry {found.typed}"
        )
        raise Failure(sentence) if moves else NothingToDo(sentence, "reverted")


def _refuse_completed(found: Found, verb: str) -> None:
    """Raise Failure where nothing is under way any more: what the verb asks for would never happen."""
    ends = _completed(found)
    if ends is None:
        return
    origin, target = ends
    raise NothingToDo(
        f"there is nothing to {verb}: {found.name} is Completed, {target} serves every call; for {origin} to"
        f" serve them again use {PROG} start {found.typed} --to {origin}",
        "completed",
    )


def _completed(found: Found) -> tuple[str, str] | None:
    """Return origin and target of an attempt that is completed, None where another is asked for, or none is.

    Where the Migration is in the other cluster, the record on the split tells.
    """
    if found.migration is not None:
        status = found.reported
        if status is None or status.phase != Phase.COMPLETED or status.asks_otherwise:
            return None
        return status.origin or "CLUSTER", status.observed.target
    record = found.record
    if record is None or record.attempt is None or record.completed is None:
        return None
    asks_otherwise = found.own("target") not in (None, record.attempt.target)
    return None if asks_otherwise else (record.attempt.origin, record.attempt.target)


def pause(found: Found, _asked: Asked) -> Change:
    """Return the change that keeps the share where it is."""
    _refuse_unknown(found, "pause")
    _refuse_completed(found, "pause")
    _refuse_reverted(found, moves=False)
    return {"paused": "true"}


def resume(found: Found, _asked: Asked) -> Change:
    """Return the change that ends a pause."""
    _refuse_completed(found, "resume")
    _refuse_reverted(found, moves=False)
    return {"paused": None}


def abort(found: Found, _asked: Asked) -> Change:
    """Return the change that rolls everything back. Nothing else about the annotations matters for that."""
    _refuse_unknown(found, "abort")
    _refuse_completed(found, "abort")
    return {"abort": "true"}


def retry(found: Found, _asked: Asked) -> Change:
    """Return the change that asks for another attempt after one that was reverted."""
    told = found.migration
    if told is None:
        raise NothingToDo(no_migration(found), "without a Migration")
    status = told.status
    if _retried(found):
        raise NothingToDo(
            f"attempt {asked_attempt(found.annotations)} of {found.name} is asked for already;"
            f" see {PROG} status {found.typed}",
            "asked for already",
        )
    if status.phase == Phase.REVERTING:
        raise Failure(
            f"attempt {status.observed.attempt} of {found.name} is still being rolled back:"
            f" try again after {PROG} wait {found.typed} --for reverted"
        )
    if status.phase != Phase.REVERTED:
        raise NothingToDo(
            f"attempt {status.observed.attempt} of {found.name} was not reverted (it is"
            f" {status.phase or 'not begun'}), so there is nothing to retry",
            "not reverted",
        )
    change: Change = {
        "attempt": str(status.observed.attempt + 1),
        "paused": None,
        "abort": None,
    }
    _refuse_malformed(found, change)
    return change


VERBS: Mapping[str, Callable[[Found, Asked], Change]] = MappingProxyType(
    {"start": start, "pause": pause, "resume": resume, "abort": abort, "retry": retry}
)


def outcome(found: Found, verb: str, change: Mapping[str, str | None]) -> str:
    """Return what was written."""
    if not change:
        return f"{found.name}: nothing to change, {_stands(found, verb)}"
    line = f"{found.name}: {written(change)}"
    if verb == "start":
        line += _turned_back(found, change.get("target"))
    if verb == "resume" and found.own("abort") == "true":
        line += f"; abort is still true, use {PROG} start"
    return line


MOVING: Mapping[str, str] = MappingProxyType(
    {
        "start": "ask for {} to be moved to {}",
        "resume": "let {} go on",
        "abort": "roll {} back",
        "retry": "begin another attempt of {}",
    }
)
"""The verbs that move traffic, and what each does, to which Services and (``start``) where to."""

WATCHED = ("start", "retry")
"""The verbs after which there is something to watch."""


def written(change: Mapping[str, str | None]) -> str:
    """Return a change of annotations in words."""
    own = {key: value for key, value in change.items() if key != STEPS_BEFORE}
    said = [f"{key}={value}" for key, value in own.items() if value is not None]
    said += [f"{key} removed" for key, value in own.items() if value is None]
    kept = change.get(STEPS_BEFORE)
    return ", ".join(said) + (f" (steps={kept} comes back with the next start)" if kept else "")


def _turned_back(found: Found, target: str | None) -> str:
    """Return what it means that ``target`` is the origin of an attempt under way, "" where it is not."""
    status = found.migration.status if found.migration else None
    if status is None or not status.pair or status.phase not in _UNDER_WAY:
        return ""
    if target != status.origin:
        return ""
    return (
        f"; it was under way to {status.observed.target} at {status.share} %, so {target} serves its"
        " callers again"
    )


_UNDER_WAY = (Phase.PROGRESSING, Phase.HOLDING, Phase.SOAKING)


def _stands(found: Found, verb: str) -> str:
    return {
        "start": f"it asks for {found.own('target')} already",
        "pause": "it is paused already",
        "resume": "it is not paused",
        "abort": "abort is asked for already",
    }[verb]


def no_migration(found: Found) -> str:
    """Return why there may be no Migration of a Service."""
    if found.own("target") is None:
        return (
            f"no Migration of {found.name}: the Service is not annotated here; start with {PROG} start"
            f" {found.typed} --to CLUSTER, or use the context of the cluster where it is annotated"
        )
    return f"no Migration of {found.name}: it is annotated, so does the controller run?"


def _retried(found: Found) -> bool:
    """Return whether the annotations already ask for more than the attempt that is reported."""
    number = asked_attempt(found.annotations)
    told = found.migration
    return told is not None and number is not None and number > told.status.observed.attempt


def _refuse_malformed(
    found: Found, change: Mapping[str, str | None], flags: Iterable[str] = ()
) -> None:
    """Raise Failure where the annotations would be malformed; of what ``flags`` give, the flag is named."""
    problems = found.problems(change)
    for flag in flags:
        key = re.escape(PREFIX + flag)
        problems = tuple(re.sub(rf"{key}=", f"--{flag} ", text) for text in problems)
        problems = tuple(re.sub(rf"{key}\b", f"--{flag}", text) for text in problems)
    if problems:
        raise Failure(*problems, code=Exit.USAGE)


def _refuse_unknown(found: Found, verb: str) -> None:
    """Raise Failure where nothing here is about a migration: that is more likely the wrong cluster than what was meant.

    The target may stand in the other cluster; then there is a Migration here, or a record on the split.
    """
    if found.own("target") is None and found.migration is None and found.record is None:
        raise NothingToDo(
            f"there is nothing to {verb}: {found.name} is not annotated here, and no split of it has"
            " the controller's record",
            "not annotated here",
        )
