"""``kubectl migrate fleet``, done: Fleets are read, what is asked is agreed, written to annotations, and told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from controller.cli import watching
from controller.cli.api import Api
from controller.cli.arguments import PROG, Asked
from controller.cli.asking import agreed
from controller.cli.documents import DOCUMENTS, print_document
from controller.cli.exit_codes import Exit, Failure
from controller.cli.fleet import page
from controller.cli.fleet.objects import Fleet, read_fleet
from controller.cli.fleet.verbs import VERBS, Step
from controller.cli.fleet.waves import chosen
from controller.cli.verbs import written
from controller.kube.api import Backoff, Conflict, NotFound

WRITES = 5
"""How often a change is tried when the Fleet changes under it."""

API_VERSION = "migrate.tradeshift/v1alpha1"

COLOURS = {
    "green": ("Completed",),
    "yellow": ("Waits", "Closed", "Paused", "Returning", "blocked", "Needs a person"),
    "red": ("Stopped", "stopped", "RollingBack", "Invalid", "Problem", "reverted"),
}


async def fleet(api: Api, asked: Asked) -> Exit:
    """Do what is asked of Fleets. Raises Failure."""
    if asked.action == "status":
        return await _status(api, asked)
    return await _write(api, asked)


async def read_fleets(api: Api) -> tuple[Fleet, ...]:
    """Read every Fleet, by name. Raises Failure where the cluster knows none."""
    try:
        found = await api.fleets()
    except NotFound as error:
        raise Failure(
            f"{api.place} knows no Fleets: is the controller's CRD installed there, and is it the cluster where the"
            " controller holds its Lease?"
        ) from error
    return tuple(sorted(map(read_fleet, found), key=lambda each: each.name))


def meant(api: Api, found: Sequence[Fleet], name: str | None) -> Fleet:
    """Return the Fleet that is meant. Raises Failure where there is none, or more than one without a name."""
    by_name = {each.name: each for each in found}
    return by_name[chosen(list(by_name), name, str(api.place))]


# --- status ---------------------------------------------------------------------------------------


async def _status(api: Api, asked: Asked) -> Exit:
    if asked.watch:
        await watching.watch(lambda: _reading(api, asked), asked.output, COLOURS)
        return Exit.OK
    found = await _found(api, asked)
    if asked.output == "name":
        sys.stdout.write("".join(f"{each.resource_name}\n" for each in found))
    elif asked.output in DOCUMENTS:
        every = {
            "apiVersion": API_VERSION,
            "kind": "FleetList",
            "items": [each.raw for each in found],
        }
        print_document(found[0].raw if asked.fleet else every, asked.output)
    else:
        watching.show_once("\n\n".join(page.page(each, api.now()) for each in found), COLOURS)
    return Exit.OK


async def _reading(api: Api, asked: Asked) -> watching.Reading:
    found = await _found(api, asked)
    lines = [
        watching.Line(each.name, each.resource_name, page.line(each), each.raw) for each in found
    ]
    return watching.Reading("\n\n".join(page.page(each, api.now()) for each in found), lines)


async def _found(api: Api, asked: Asked) -> Sequence[Fleet]:
    """Return the Fleet that is named, else all. Raises Failure where there is none."""
    found = await read_fleets(api)
    if found and asked.fleet is None:
        return found
    return (meant(api, found, asked.fleet),)


# --- what is asked by hand ------------------------------------------------------------------------


async def _write(api: Api, asked: Asked) -> Exit:
    """Change the annotations; what was read, and agreed to, is what the change is made for."""
    backoff = Backoff(0.1, 2.0)
    agreed_to = ""
    for _ in range(WRITES):
        found = meant(api, await read_fleets(api), asked.fleet)
        step = VERBS[asked.action](found, asked, api.now())
        ask = bool(step.change and step.moves) and not (asked.yes or asked.dry_run)
        if ask and step.moves != agreed_to:
            await agreed(step.moves)
            agreed_to = step.moves
        try:
            if step.change:
                await api.annotate_fleet(
                    found.name, found.version, step.change, dry_run=asked.dry_run
                )
        except Conflict:
            sys.stderr.write(f"Fleet {found.name} was changed meanwhile: reading it again\n")
            await asyncio.sleep(backoff.after_failure_s())
            continue
        _tell(found, step, asked)
        return Exit.OK
    raise Failure(f"the Fleet was changed by somebody else {WRITES} times meanwhile: try again")


def _tell(found: Fleet, step: Step, asked: Asked) -> None:
    then = step.then if step.change else f"nothing to change, {step.stands}"
    if asked.output == "name":
        sys.stdout.write(f"{found.resource_name}\n")
        return
    if asked.output in DOCUMENTS:
        told = {"fleet": found.name, "verb": asked.action, "dryRun": asked.dry_run}
        document = {**told, "change": dict(step.change), "message": then}
        print_document(document, asked.output)
        return
    lines = [then]
    if step.change:
        lines.insert(0, f"{written(step.change)}{' (dry run)' if asked.dry_run else ''}")
    if step.change and not asked.dry_run:
        lines.append(f"watch it with {PROG} fleet status {found.name} --watch")
    sys.stdout.write(f"{found.name}: " + "\n".join([*filter(None, lines), ""]))
