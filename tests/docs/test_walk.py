"""What the pages tell people to type with kubectl is typed, with a real kubectl, on two real API servers.

One Service is taken along a walk: each stop is a state of its migration, and every command of the pages belongs
to the stop where a reader would type it. A command that belongs to none is a page that nobody tried.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.observed import PREFIX
from deploy.local.pair import Plan
from deploy.servers.kube_apiserver import MISSING, find_binaries
from tests.docs.commands import commands
from tests.integration.stories.scene import QUICK, Scene, playing
from tests.parts import missing

COMMAND_S = 60.0
NO_KUBECTL = f"kubectl is missing beside kube-apiserver ({MISSING})"
NAME = "service-a"
MIGRATE = r"kubectl[ -]migrate "


TESTED_ELSEWHERE = ("deploy/README.md", "docs/fleet.md")
"""tests/deploy/test_readme.py runs the one page on API servers without a migration, test_fleet_guide.py the other."""

OF_MANY = MIGRATE + r"(fleet .*|check --wave \S+|\S+ (service-a service-b|--all --to|-l) ?.*)"
"""What is said of several Services, or of a Fleet."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A state of the migration, by its phase (a pattern), and what is typed there.

    ``typed`` are patterns of whole commands, in the order in which they are run. ``leads`` is what is typed
    last, where no page has it: it brings the migration on to the next stop. ``undone``: the pages show one
    thing or the other here, so each annotation is removed before the next is written.
    """

    phase: str
    typed: tuple[str, ...]
    leads: tuple[str, ...] = ()
    undone: bool = False


ANYWHERE = (
    MIGRATE + r"(status|plan|explain)( service-a)?( -A)?",
    MIGRATE + r"status service-a --watch",
    r"kubectl get (migrations|mig|pods|lease|serviceprofiles)( -w| -A)?( -l \S+)?",
    r"kubectl get (trafficsplit|serviceprofile) service-a\S* -o yaml( --show-managed-fields)?",
    r"kubectl get endpointslices( -l \S+)?",
    r"kubectl get --raw /readyz",
    r"kubectl describe (service|migration) service-a",
)
ELSEWHERE = {
    r"kubectl (logs|top|rollout|port-forward)( .*)?": "there is no kubelet here, and no Deployment",
    r"kubectl apply -f dashboards/out/.*": "the Prometheus operator's kinds are not served here",
    r"kubectl patch (trafficsplit|httproute) .*": "tests/deploy/test_by_hand.py types it, with the policies in force",
    r"kubectl delete validatingadmissionpolicybinding .*": "as above",
    OF_MANY: "tests/docs/test_fleet_guide.py types it",
    MIGRATE + r"fleet (status|resume|rollback) FLEET": "the runbooks' Fleet is anyone's",
    r"kubectl create secret generic migrate-notifications .*": "there is no Pod here that would mount it",
    r"kubectl get endpoints prober-legacy": "that mirror stands in the other cluster",
}
"""What cannot be typed here, and why not."""
WALK = (
    Stop(
        ".*",
        (
            MIGRATE + r"pause service-a",
            MIGRATE + "version",
            MIGRATE + r"check (service-a|--all|-A)( -o json)?",
            r"kubectl annotate service service-a migrate\.tradeshift/probe-[a-z]+=\S+",
            r"kubectl annotate service service-a migrate\.tradeshift/[a-z-]+-",
        ),
        (f"kubectl annotate service {NAME} {PREFIX}dwell=1s",),
        undone=True,
    ),
    Stop(
        ".*",
        (
            r"kubectl annotate service service-a migrate\.tradeshift/target=eks",
            MIGRATE + r"resume service-a",
            MIGRATE + r"start service-a --to eks",
            *ANYWHERE,
            MIGRATE + r"wait service-a --for completed --timeout 3h",
            r"kubectl wait --for=condition=Completed migration/service-a.*",
        ),
    ),
    Stop(
        "Completed",
        (
            MIGRATE + r"drained service-a",
            MIGRATE + r"start service-a --to legacy --now",
            r"kubectl annotate --overwrite service service-a migrate\.tradeshift/target=legacy",
        ),
        (f"kubectl migrate wait {NAME} --for completed --timeout 1m",),
    ),
    Stop(
        "Completed",
        (MIGRATE + r"convert service-a",),
        (f"kubectl migrate start {NAME} --to eks",),
    ),
    Stop(
        "Progressing|Soaking",
        (
            r"kubectl annotate service service-a --overwrite migrate\.tradeshift/abort=true",
            MIGRATE + r"abort service-a",
        ),
        (f"kubectl migrate wait {NAME} --for reverted --timeout 1m",),
    ),
    Stop("Reverted", (MIGRATE + r"retry service-a",)),
)


def of_kubectl() -> list[str]:
    """Return every command of the pages that kubectl runs and that is whole; each once, in the usual namespace."""
    found = dict.fromkeys(
        command.text.replace(" -n default", "")
        for command in commands()
        if command.page not in TESTED_ELSEWHERE
        and command.words[0] in ("kubectl", "kubectl-migrate")
        and not re.fullmatch(MIGRATE + "[a-z]+", command.text)
    )
    return list(found)


def fits(pattern: str, text: str) -> bool:
    """Return whether a command is meant by a pattern; it may name its namespace besides."""
    return bool(re.fullmatch(pattern, re.sub(r" (-n|--namespace) \S+", "", text)))


def test_every_command_belongs_to_a_stop() -> None:
    """No page has a kubectl command that the walk would not run."""
    patterns = [*ELSEWHERE, *(pattern for stop in WALK for pattern in stop.typed)]
    lost = [text for text in of_kubectl() if not any(fits(p, text) for p in patterns)]
    assert lost == []


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Two real API servers with one Service, the real controller and probers."""
    binaries = find_binaries()
    if binaries is None or not os.access(binaries / "kubectl", os.X_OK):
        missing(NO_KUBECTL)
    async with playing(Plan(api="real")) as scene:
        await scene.service(NAME)
        await scene.ask(NAME, **{**QUICK, "steps": "25,50"})
        yield scene


@pytest.mark.story
@pytest.mark.real
@pytest.mark.timeout(300)
async def test_the_pages_commands_do_what_they_say(scene: Scene) -> None:
    """Typed one after the other where a reader would, every kubectl command of the pages succeeds."""
    pages = of_kubectl()
    for stop in WALK:
        await scene.until(
            lambda phase=stop.phase: bool(re.fullmatch(phase, scene.status(NAME).get("phase", ""))),  # type: ignore[misc]  # bound at once
            f"not {stop.phase}",
            NAME,
        )
        texts = [t for pattern in stop.typed for t in pages if fits(pattern, t)]
        for text in texts:
            await run(scene, text.split())
            if stop.undone and (keys := re.findall(rf"{PREFIX}[a-z-]+(?==)", text)):
                await run(scene, ["kubectl", "annotate", "service", NAME, *(f"{k}-" for k in keys)])
        for text in stop.leads:
            await run(scene, text.split())


async def run(scene: Scene, words: Sequence[str]) -> None:
    """Run a command as from a shell; one that watches is interrupted after its first line."""
    watches = "--watch" in words or "-w" in words
    process = await asyncio.create_subprocess_exec(
        *words,
        env=environment(scene),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(COMMAND_S):
            if watches and process.stdout is not None:
                assert await process.stdout.readline()
                process.send_signal(signal.SIGINT)
            said, told = await process.communicate()
    except TimeoutError:
        process.kill()
        status = scene.status(NAME)
        pytest.fail(f"{' '.join(words)}: not ended in {COMMAND_S:g} s; the status is {status}")
    assert process.returncode in ends(words, watches=watches), (
        f"{' '.join(words)}: {said.decode()}{told.decode()}"
    )


def ends(words: Sequence[str], *, watches: bool) -> tuple[int, ...]:
    """Return the exit codes of a command that did what the page says."""
    if watches:
        return (0, 1, -signal.SIGINT)  # kubectl ends with 1 where it is interrupted
    if "check" in words and NAME not in words:
        return (0, 5)  # of all Services some may be held
    if "drained" in words:
        return (6,)  # without a Prometheus nobody has counted who calls the origin's pods
    return (0,)


def environment(scene: Scene) -> dict[str, str]:
    """Return the environment of a developer: kubectl and its plugin on the PATH, legacy the current context."""
    binaries = find_binaries()
    path = (str(Path(sys.executable).parent), str(binaries), os.environ.get("PATH", ""))
    return {**os.environ, "PATH": os.pathsep.join(path), "KUBECONFIG": str(scene.pair.kubeconfig)}
