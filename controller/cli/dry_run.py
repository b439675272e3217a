"""The writes that the controller would make, tried as dry runs; and the rights that it needs, asked for.

Which writes they are is what ``plan`` says. A dry run is admitted, counted against quotas and validated as a
write is, and not stored. It is made with the rights of whoever asks; the controller's own rights are asked
for by access reviews, where those may be made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from controller.cli.api import Account, Api
from controller.cli.exit_codes import Exit, Failure
from controller.cli.inventory import Inventory
from controller.cli.pair import Pair
from controller.decide import gates
from controller.decide.input import Input, input_of
from controller.decide.plan import plan
from controller.decide.preflight import Finding
from controller.decide.resolve import split_parts
from controller.decide.writes import write_away
from controller.domain import Key, Observed, Record, WritePin, WriteSplit
from controller.domain.reasons import Level, Reason
from controller.kube.api import AlreadyExists, ApiError, Conflict, Unavailable
from controller.kube.api.discovery import PLACES
from controller.kube.objects import Resource
from controller.mesh import pin
from controller.mesh.splits import mirror_name
from controller.mesh.splits.kinds import PROVIDERS

AT_A_TIME = 16
"""Requests to one cluster at a time."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Write:
    """One write to try. ``name`` is None where the object would be made."""

    key: Key
    cluster: str
    resource: Resource
    namespace: str
    name: str | None
    body: Mapping[str, Any]

    def __str__(self) -> str:
        """Return in words what it does."""
        verb = "the change of" if self.name else "a new"
        made = self.body["metadata"]["name"]
        return f"{verb} {PLACES[self.resource].kind} {self.namespace}/{made}"

    @property
    def right(self) -> Right:
        """What one must be allowed to do for it."""
        return Right(self.resource, "patch" if self.name else "create", self.namespace)


@dataclass(frozen=True, slots=True)
class Right:
    """To do something with a resource, in one namespace or (None) in all."""

    resource: Resource
    verb: str
    namespace: str | None = None
    subresource: str = ""

    def attributes(self) -> dict[str, str]:
        """Return it as an access review has it."""
        asked = {
            "group": PLACES[self.resource].group,
            "resource": self.resource.plural,
            "verb": self.verb,
            "subresource": self.subresource,
            "namespace": self.namespace or "",
        }
        return {name: value for name, value in asked.items() if value}

    def __str__(self) -> str:
        """Return it in words."""
        group = PLACES[self.resource].group
        what = f"{self.resource.plural}{'.' if group else ''}{group}"
        part = f"{what}/{self.subresource}" if self.subresource else what
        where = f"in namespace {self.namespace}" if self.namespace else "in all namespaces"
        return f"{self.verb} {part} {where}"


# --- what would be written ------------------------------------------------------------------------


def writes_of(observed: Observed, pair: Pair, now: datetime) -> list[Write]:
    """Return the writes that would be made to enrol this Service, and those of a step on what is there."""
    planned = [
        action
        for action in plan(observed, now).actions
        if isinstance(action, (WriteSplit, WritePin)) and not _is_latch(action)
    ]
    given = input_of(observed, now)
    enrols = gates.first(gates.SERVABLE, given) is None
    steps = _steps(given, planned) if given.state.records or enrols else ()
    return [_write(single, pair) for action in (*planned, *steps) for single in _singles(action)]


def _singles(action: WriteSplit | WritePin) -> tuple[WriteSplit | WritePin, ...]:
    """Return the writes of single objects that an action consists of."""
    return action.each() if isinstance(action, WriteSplit) else (action,)


def _is_latch(action: WriteSplit | WritePin) -> bool:
    return isinstance(action, WritePin) and action.resource_version is not None


def _steps(given: Input, planned: Iterable[WriteSplit | WritePin]) -> Iterator[WriteSplit]:
    """Find the splits that no write is planned of, each as it is now: what a step writes but for its weights."""
    written = {
        (action.cluster, single.name)
        for action in planned
        if isinstance(action, WriteSplit)
        for single in action.each()
    }
    for name, cluster in given.observed.clusters.items():
        for part in split_parts(cluster):
            if (name, part.name) not in written:
                record = part.record if isinstance(part.record, Record) else Record(kind=part.kind)
                yield write_away(given, cluster, record, part.away_permille, part=part)


def _write(action: WriteSplit | WritePin, pair: Pair) -> Write:
    key, cluster = action.key, action.cluster
    if isinstance(action, WritePin):
        namespace = pair.inventories[cluster].gateway_namespace
        body = pin.body(action, namespace, pair.domain(cluster))
        return Write(key, cluster, Resource.SERVICEPROFILES, namespace, None, body)
    provider = PROVIDERS[action.kind]
    body = provider.body(action, mirror_name(key.service, pair.other(cluster)))
    made = action.name if action.resource_version is not None else None
    return Write(key, cluster, provider.RESOURCE, key.namespace, made, body)


# --- trying it ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Actor:
    """By whom writes are tried in one cluster: the controller's ``account`` where there is one that whoever
    asks may act as, else (None) themselves. ``api`` is theirs, for questions; ``stage`` is the actor's.
    ``known``: there is such an account."""

    api: Api
    stage: Api
    account: Account | None
    known: bool
    note: str


async def actor(name: str, api: Api, stage: Api, account: Account) -> Actor:
    """Find out who may try writes in a cluster; ``stage`` is the same cluster, asked as the account."""
    who = "/".join(account)
    try:
        known = await api.has_account(*account)
        may = known and await api.allowed(_impersonation(account), None)
    except Unavailable as error:
        raise _gone(name, error) from error
    except ApiError as error:
        note = f"{name}: writes were tried as you; whether there is {who} is not known: {error}"
        return Actor(api, api, None, known=False, note=note)
    if may:
        return Actor(api, stage, account, known=True, note=f"{name}: writes were tried as {who}")
    why = f"you may not act as {who}" if known else f"there is no service account {who}"
    note = f"{name}: writes were tried as you: {why}"
    return Actor(api, api, None, known=known, note=note)


def _impersonation(account: Account) -> dict[str, str]:
    namespace, name = account
    asked = {"verb": "impersonate", "resource": "serviceaccounts"}
    return {**asked, "namespace": namespace, "name": name}


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What came of the dry runs: sentences by Service, and notes on what could not be tried."""

    refused: Mapping[Key, tuple[str, ...]]
    notes: tuple[str, ...]


async def rehearse(actors: Mapping[str, Actor], writes: Sequence[Write], say: Say) -> Rehearsed:
    """Try all writes, so many at a time. Raises Failure where a cluster is not reached any more.

    The chart's admission policies, which keep records and pins for the controller, let dry runs pass.
    """
    may = await _rights(
        {name: who.api for name, who in actors.items()},
        {(w.cluster, w.right) for w in writes if not actors[w.cluster].account},
        None,
    )
    tried = [write for write in writes if may.get((write.cluster, write.right)) is not False]
    answers = await _each(
        {name: who.stage for name, who in actors.items()},
        [(write.cluster, partial(_try, write)) for write in tried],
        _Counted(say, len(tried)),
    )
    notes = (*(who.note for who in actors.values()), *_untried(may))
    return Rehearsed(_refused(tried, answers), notes)


def _refused(tried: Sequence[Write], answers: Sequence[str]) -> dict[Key, tuple[str, ...]]:
    refused: dict[Key, tuple[str, ...]] = {}
    for write, answer in zip(tried, answers, strict=True):
        if answer:
            sentence = f"{write.cluster} refuses {write}: {answer}"
            refused[write.key] = (*refused.get(write.key, ()), sentence)
    return refused


def _untried(may: Mapping[tuple[str, Right], bool | None]) -> tuple[str, ...]:
    """Return what was not tried because whoever asks may not do it, once for all namespaces."""
    where: dict[tuple[str, str, str], list[str]] = {}
    for (cluster, right), allowed in may.items():
        if allowed is False:
            doing = (cluster, right.verb, right.resource.value)
            where.setdefault(doing, []).append(right.namespace or "")
    return tuple(
        f"{cluster}: writes were not tried where you may not {verb} {resource}:"
        f" {namespaces[0] if len(namespaces) == 1 else f'{len(namespaces)} namespaces'}"
        for (cluster, verb, resource), namespaces in sorted(where.items())
    )


async def _try(write: Write, api: Api) -> str:
    """Try one write; return what refused it, "" where nothing did."""
    try:
        await api.rehearse(write.resource, write.namespace, write.name, write.body)
    except Conflict:
        return ""  # it was changed since it was read, and that it can be
    except AlreadyExists as error:
        # A pin that may not be read is as good as one that is seen.
        return "" if write.resource is Resource.SERVICEPROFILES else str(error)
    except Unavailable as error:
        if not error.status:
            raise
        return str(error)  # an answer is about this write: a webhook that is away, or that says 503
    except ApiError as error:
        return str(error)
    return ""


async def rights_of(
    actors: Mapping[str, Actor], pair: Pair, namespaces: Iterable[str], account: Account
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Ask for everything that the controller must be allowed to do, as its service account in each cluster.

    Returns what it lacks, and notes that say where its rights were not asked for.
    """
    who = "/".join(account)
    apis = {name: each.api for name, each in actors.items() if each.known}
    asked = [
        (name, right)
        for name in apis
        for right in _needed_in(pair.inventories[name], set(namespaces))
    ]
    may = await _rights(apis, asked, account)
    unknown = {name for (name, _), allowed in may.items() if allowed is None}
    asks = ((name, "you may not ask" if name in unknown else "asked") for name in apis)
    notes = tuple(f"{name}: {verb} for the rights of {who}" for name, verb in asks)
    return tuple(_lacking(may, who)), notes


def _lacking(may: Mapping[tuple[str, Right], bool | None], who: str) -> Iterator[Finding]:
    for (name, right), allowed in may.items():
        if allowed is False:
            message = f"in {name} {who} may not {right}"
            yield Finding(Level.BLOCK, Reason.RIGHTS_MISSING, message)


def _needed_in(inventory: Inventory, namespaces: Iterable[str]) -> Iterator[Right]:
    served = (p.RESOURCE for p in PROVIDERS.values() if p.RESOURCE not in inventory.unserved)
    return needed(inventory.gateway_namespace, served, namespaces)


LIST = ("list", "watch")
GET = ("get", *LIST)
WRITE = ("create", "patch")


def needed(pins: str, splits: Iterable[Resource], namespaces: Iterable[str]) -> Iterator[Right]:
    """Return the rights that the controller needs in a cluster, as the chart's roles grant them.

    ``pins`` is the gateway's namespace; lists are of all namespaces, writes are asked for in each.
    """
    splits = tuple(splits)
    lists = (
        Resource.SERVICES,
        Resource.ENDPOINTSLICES,
        Resource.SERVICEPROFILES,
        Resource.GRPCROUTES,
        Resource.POLICY_HTTPROUTES,
        Resource.NAMESPACES,
    )
    read = dict.fromkeys(lists, LIST) | {Resource.MIGRATIONS: GET}
    for resource, verbs in (read | dict.fromkeys(splits, GET)).items():
        yield from (Right(resource, verb) for verb in verbs)
    yield from (Right(Resource.SERVICEPROFILES, verb, pins) for verb in ("get", *WRITE))
    for namespace in sorted(set(namespaces)):
        for resource in (*splits, Resource.EVENTS):
            yield from (Right(resource, verb, namespace) for verb in WRITE)
        yield Right(Resource.MIGRATIONS, "create", namespace)
        yield Right(Resource.MIGRATIONS, "patch", namespace, "status")


async def _rights(
    apis: Mapping[str, Api],
    asked: Iterable[tuple[str, Right]],
    account: Account | None,
) -> dict[tuple[str, Right], bool | None]:
    """Ask for rights, each once; None where that cannot be asked."""
    wanted = sorted(set(asked), key=lambda each: (each[0], str(each[1])))
    answers = await _each(
        apis,
        [(cluster, partial(_allowed, right, account)) for cluster, right in wanted],
    )
    return dict(zip(wanted, answers, strict=True))


async def _allowed(right: Right, account: Account | None, api: Api) -> bool | None:
    try:
        return await api.allowed(right.attributes(), account)
    except Unavailable:
        raise
    except ApiError:
        return None


class _Counted:
    """Says now and then how far it is."""

    def __init__(self, say: Say, total: int) -> None:
        self._say = say
        self._total = total
        self._done = 0

    def __call__(self) -> None:
        """Count one more."""
        self._done += 1
        self._say(f"trying writes, {self._done} of {self._total}")


async def _each(
    apis: Mapping[str, Api],
    work: Sequence[tuple[str, Callable[[Api], Awaitable[Any]]]],
    done: Callable[[], None] = lambda: None,
) -> list[Any]:
    """Do all of it, so much at a time in each cluster; answers in the same order.

    The first cluster that does not answer ends it, as one sentence. Raises Failure.
    """
    turns = {name: asyncio.Semaphore(AT_A_TIME) for name in apis}

    async def one(cluster: str, ask: Callable[[Api], Awaitable[Any]]) -> Any:
        async with turns[cluster]:
            try:
                answer = await ask(apis[cluster])
            except Unavailable as error:
                raise _gone(cluster, error) from error
            done()
            return answer

    gone: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(cluster, ask)) for cluster, ask in work]
    except* Failure as failed:
        gone = failed.exceptions[0]
    if gone is not None:
        raise gone
    return [task.result() for task in tasks]


def _gone(cluster: str, error: Unavailable) -> Failure:
    return Failure(f"{cluster} is not reached any more: {error}", code=Exit.UNREACHED)
