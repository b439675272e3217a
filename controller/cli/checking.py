"""``check`` and ``drained``, done: both clusters are read, writes are tried, and what was found is printed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime

from controller.cli import drained as drainage
from controller.cli import kubeconfig, report
from controller.cli.api import Account, Api
from controller.cli.arguments import PROG, Asked
from controller.cli.documents import DOCUMENTS, print_document
from controller.cli.dry_run import Actor, Say, actor, rehearse, rights_of
from controller.cli.exit_codes import Exit, Failure, tell
from controller.cli.fleet.waves import of_fleet
from controller.cli.inventory import Inventory, read_inventory
from controller.cli.kubeconfig import Place
from controller.cli.look import look
from controller.cli.migration import Migration
from controller.cli.pair import Pair, paired
from controller.cli.selection import crowd, nobody
from controller.cli.service_labels import metas
from controller.cli.verbs import Found, no_migration, refuse_mirror
from controller.decide.preflight import Finding, findings
from controller.domain import Key
from controller.domain.reasons import Level, Reason
from controller.evidence.gateways import PROBERS
from controller.kube.api import ApiError, Refused
from controller.kube.objects import Resource, ServiceObject
from controller.mesh.splits import mirror_name

LATE_S = 60.0
"""A Lease that was not renewed for so long has no controller behind it: it is renewed every few seconds."""


async def check(api: Api, asked: Asked) -> Exit:
    """Return what would hold a migration of the Services asked for. Raises Failure."""
    async with AsyncExitStack() as stack:
        say = stack.enter_context(_progress())
        say(f"reading {api.place}")
        pair, there = await read_pair(stack, api, asked, _namespace(api, asked))
        account = _account(asked.controller)
        actors = {}
        for name, each in zip(pair.names, (api, there), strict=True):
            stage = await stack.enter_async_context(Api(each.place, account))
            actors[name] = await actor(name, each, stage, account)
        found = await _report(pair, actors, asked, say)
    _show(found, asked)
    return Exit.BLOCKED if found.blocks else Exit.OK


async def drained(api: Api, asked: Asked) -> Exit:
    """Return whether the origin of each Service's migration may be scaled down. Raises Failure."""
    async with AsyncExitStack() as stack:
        say = stack.enter_context(_progress())
        say(f"reading {api.place}")
        pair, there = await read_pair(stack, api, asked, _namespace(api, asked))
        keys = await _keys((api, there), pair, asked, pair.names[1])
        told = pair.told(keys)
        why = [await _untold(api, key) for key in keys if asked.named and key not in told]
        now = api.now()
        runs = [await _runs(each, asked, now) for each in (api, there)]
    if not told:
        raise Failure(*(why or ["no Service that is meant has a Migration"]))
    notes = [*pair.here.notes, *pair.far.notes, *_stopped(runs)]
    ended = _tell_drained(
        [_answer(pair, key, each, now, notes) for key, each in told.items()], asked
    )
    tell(why)
    return Exit.FAILED if why else ended


async def _untold(api: Api, key: Key) -> str:
    return no_migration(Found(await api.service(key.service)))


def _tell_drained(answers: Sequence[drainage.Answer], asked: Asked) -> Exit:
    if asked.output in DOCUMENTS:
        documents = [drainage.as_json(each) for each in answers]
        print_document(documents[0] if asked.one is not None else documents, asked.output)
    else:
        sys.stdout.write("\n\n".join(map(drainage.page, answers)) + "\n")
    codes = {drainage.CODES[each.verdict] for each in answers}
    return next((each for each in _BY_WEIGHT if each in codes), Exit.OK)


def _namespace(api: Api, asked: Asked) -> str | None:
    return None if asked.everywhere else api.place.namespace


_BY_WEIGHT = (Exit.BLOCKED, Exit.UNREACHED)
"""How ``drained`` ends for several: one no is a no, and one that is not known is no yes."""


def _answer(
    pair: Pair, key: Key, migration: Migration, now: datetime, notes: Sequence[str]
) -> drainage.Answer:
    observed = pair.observed(key, migration.status.observed.target or None, now)
    found = findings(observed, pair.facts(observed), now)
    return drainage.answer(observed, found, migration, now, notes)


async def _runs(api: Api, asked: Asked, now: datetime) -> bool | None:
    """Return whether a controller renews its Lease in this cluster; None where it is not to be seen."""
    try:
        lease = await api.lease(*_account(asked.controller))
    except Refused:
        return None
    if lease is None or not lease.renew_time:
        return False
    renewed = datetime.fromisoformat(lease.renew_time)
    return bool(lease.holder) and (now - renewed).total_seconds() < LATE_S


def _stopped(runs: Sequence[bool | None]) -> Iterator[str]:
    if True not in runs:
        why = "may not be read" if None in runs else "is not renewed"
        yield f"the controller's Lease {why}, so what its Migration says may be old"


# --- which clusters -------------------------------------------------------------------------------


async def read_pair(
    stack: AsyncExitStack, api: Api, asked: Asked, namespace: str | None
) -> tuple[Pair, Api]:
    """Read both clusters, and return them with the connection to the other one. Raises Failure."""
    if asked.other_context is None:
        here = await read_inventory(api, namespace)
        there = Api(_other(here))
        far = await read_inventory(await stack.enter_async_context(there), namespace)
    else:
        there = Api(_place(api.place, asked.other_context))
        await stack.enter_async_context(there)
        here, far = await _both(api, there, namespace)
    return paired(here, far), there


async def _both(here: Api, far: Api, namespace: str | None) -> tuple[Inventory, Inventory]:
    """Read both at once; where both are not reached, both are named."""
    one, other = await asyncio.gather(_inventory(here, namespace), _inventory(far, namespace))
    if isinstance(one, Inventory) and isinstance(other, Inventory):
        return one, other
    failures = [each for each in (one, other) if isinstance(each, Failure)]
    sentences = (sentence for failure in failures for sentence in failure.sentences)
    raise Failure(*sentences, code=max(failure.code for failure in failures))


async def _inventory(api: Api, namespace: str | None) -> Inventory | Failure:
    """Return what a cluster has, or its failure: the other cluster's is to be reported as well."""
    try:
        return await read_inventory(api, namespace)
    except Failure as failure:
        return failure


def _place(here: Place, context: str) -> Place:
    """Return the other cluster, by the context that was given. Raises Failure."""
    if here.kubeconfig is None:
        raise Failure(f"{PROG} check needs a kubeconfig with both clusters", code=Exit.USAGE)
    if context == here.context:
        raise Failure(
            f"--other-context is {context}, which is this cluster: give the other one's",
            code=Exit.USAGE,
        )
    known = kubeconfig.contexts(here)
    if context not in known:
        raise Failure(
            f"there is no context {context}; there are: {', '.join(known)}", code=Exit.USAGE
        )
    return kubeconfig.other(here, context)


def _other(here: Inventory) -> Place:
    """Return the other cluster, where nobody said which: the one context that is named as a Link here."""
    place = here.place
    known = kubeconfig.contexts(place)
    named = [name for name in here.linked if name in known and name != place.context]
    if len(named) == 1:
        return _place(place, named[0])
    linked = ", ".join(here.linked) or "no other cluster"
    raise Failure(
        f"{place} is linked to {linked}, and {'no' if not named else 'more than one'} context is"
        " called so: give the other cluster's with --other-context",
        code=Exit.USAGE,
    )


# --- what is found --------------------------------------------------------------------------------


async def _report(pair: Pair, actors: Mapping[str, Actor], asked: Asked, say: Say) -> report.Report:
    target = _target(pair, asked)
    keys = await _keys([each.api for each in actors.values()], pair, asked, target)
    say(f"checking {len(keys)} Services")
    now = actors[pair.names[0]].api.now()
    looks = {key: look(pair, key, asked.toward and target, now) for key in keys}
    tried = await rehearse(actors, [w for each in looks.values() for w in each.writes], say)
    say("asking for the controller's rights")
    account = _account(asked.controller)
    lacking, notes = await rights_of(actors, pair, {key.namespace for key in keys}, account)
    unasked = await _unasked(pair, actors, account)
    return report.Report(
        clusters=pair.names,
        services={key: each.findings(pair, tried.of(key), now) for key, each in looks.items()},
        targets={key: each.target for key, each in looks.items()},
        told={key: found.status for key, found in pair.told(keys).items()},
        general=(*_gateways(pair), *unasked, *lacking),
        notes=(*pair.here.notes, *pair.far.notes, *tried.notes, *notes),
    )


def _target(pair: Pair, asked: Asked) -> str:
    """Return where the Services would go. Raises Failure for what is neither cluster."""
    if asked.toward is None:
        return pair.names[1]
    if asked.toward not in pair.names:
        raise Failure(
            f"--to is {asked.toward}; the clusters are {' and '.join(pair.names)}", code=Exit.USAGE
        )
    return asked.toward


async def _keys(apis: Sequence[Api], pair: Pair, asked: Asked, target: str) -> list[Key]:
    """Return the Services asked for. Raises Failure where one is named that is nowhere, or none is meant."""
    if asked.named:
        return [await _named(apis[0], pair, name) for name in asked.services]
    if asked.of_fleet:
        return of_fleet(pair.store.fleets, pair.inventories[pair.fleets_in].place, asked)
    everyone = pair.everyone(target)
    if asked.selector is None:
        return everyone
    labelled: set[Key] = set()
    for api in apis:
        services, _ = await crowd(api, asked)
        labelled |= {Key(each.metadata.namespace, each.metadata.name) for each in services}
    chosen = [key for key in everyone if key in labelled]
    if not chosen:
        raise Failure(f"{await nobody(apis[0], asked)}, nor of {pair.far.place}")
    return chosen


async def _named(api: Api, pair: Pair, name: str) -> Key:
    key = Key(pair.here.place.namespace, name)
    for each in pair.inventories.values():
        for found in each.of(ServiceObject, Resource.SERVICES):
            if (found.metadata.namespace, found.metadata.name) == key:
                refuse_mirror(found)
                return key
    where = f"namespace {key.namespace} of {' or '.join(pair.names)}"
    lost = f"there is no Service {key.service} in {where}"
    raise Failure(await api.unknown_namespace() or lost)


def _account(text: str) -> Account:
    namespace, _, name = text.partition("/")
    return namespace, name


def _gateways(pair: Pair) -> Iterator[Finding]:
    """Find what is missing for pins: they stand in the gateway's namespace."""
    for name, each in pair.inventories.items():
        if each.namespaces is not None and each.gateway_namespace not in each.namespaces:
            yield Finding(
                Level.BLOCK,
                Reason.NAMESPACE_MISSING,
                f"there is no namespace {each.gateway_namespace}, where the gateway is, in {name}",
            )


async def _unasked(pair: Pair, actors: Mapping[str, Actor], controller: Account) -> list[Finding]:
    """Find the gateways without a path of their own: the probers' Service behind them is not mirrored.

    Where there are no probers yet, or they may not be seen, nothing is said.
    """
    found = {name: await _services(each.api, controller[0]) for name, each in actors.items()}
    return [
        Finding(
            Level.WARN,
            Reason.MIRROR_MISSING,
            f"there is no mirror {mirror_name(PROBERS.key.service, far)} in namespace {controller[0]} of {name}, so"
            f" the death of the gateway of {far} is seen Service by Service: export the Service"
            f" {PROBERS.key.service} of {far}",
        )
        for name in pair.names
        if PROBERS.key.service in found[far := pair.other(name)]
        and mirror_name(PROBERS.key.service, far) not in found[name]
    ]


async def _services(api: Api, namespace: str) -> set[str]:
    """Return the names of the Services of a namespace, none where they may not be read."""
    try:
        raw = await api.items(Resource.SERVICES, namespace)
    except ApiError:
        return set()
    return {key.service for key in metas(raw)}


# --- telling --------------------------------------------------------------------------------------


def _show(found: report.Report, asked: Asked) -> None:
    if asked.output in DOCUMENTS:
        print_document(report.as_json(found), asked.output)
    elif sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 - a command in a pipe needs none of it

        console = Console()
        for part in report.drawn(found, namespaces=asked.everywhere):
            console.print(part)
    else:
        sys.stdout.write(f"{report.page(found, namespaces=asked.everywhere)}\n")


@contextmanager
def _progress() -> Iterator[Say]:
    """Return on a terminal's stderr what is being done; in a log nobody waits."""
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    from rich.console import Console  # noqa: PLC0415 - as in _show

    with Console(stderr=True).status("") as status:
        yield status.update
