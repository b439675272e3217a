"""docs/fleet.md is typed from its first week to its last, with a real kubectl, on two real API servers.

No controller runs: what it would tell by then is written into the status at each week, so that eight weeks pass in
a minute. What other pages tell people to type of several Services, or of a Fleet, is typed last.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.domain import PREFIX
from deploy.servers.kube_apiserver import RealApi, find_binaries
from deploy.stand_ins.mesh.objects import link_object, service_object
from tests.docs.commands import ROOT, Command, commands
from tests.docs.test_walk import COMMAND_S, NO_KUBECTL, OF_MANY, fits
from tests.parts import missing
from tests.unit.cli.cli_cluster import ended, status
from tests.unit.cli.fleets import under_way, wave

GUIDE = "docs/fleet.md"
TEAMS = ("tools", "shop", "catalog", "search", "checkout", "payments", "identity")
SERVICES = {"shop": ["newsletter", "survey"], "catalog": ["price", "stock"], "checkout": ["cart"]}
FAR = {"legacy": "eks", "eks": "legacy"}
WAVES = ("internal-tools", "low-tier", "catalog", "web", "checkout", "payments", "identity")
MIGRATE_API = "/apis/migrate.tradeshift/v1alpha1"


def typed() -> Iterator[tuple[str, Command]]:
    """Each command of the guide's code blocks, with the heading that it stands under."""
    lines = (ROOT / GUIDE).read_text().splitlines()
    for command in commands():
        if command.page == GUIDE and lines[command.line - 1].startswith("    "):
            above = [line for line in lines[: command.line] if line.startswith("## ")]
            yield above[-1].removeprefix("## ").partition(":")[0], command


def elsewhere() -> list[Command]:
    """What other pages, and the sentences of this one, have people type of several Services or of a Fleet."""
    known = {command.text for _, command in typed()}
    found = {c.text: c for c in commands() if fits(OF_MANY, c.text) and c.text not in known}
    return [
        c for c in found.values() if not re.fullmatch(r"kubectl migrate fleet( [a-z]+)?", c.text)
    ]


class Programme:
    """Two API servers with the Services of a few teams, and a shell whose current context is legacy."""

    def __init__(self, folder: Path, servers: dict[str, RealApi]) -> None:
        self.folder = folder
        self.servers = servers

    async def begin(self) -> None:
        """Make the teams' Services in both clusters, of which some are under way."""
        merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": "legacy"}
        for part in ("clusters", "users", "contexts"):
            merged[part] = [
                e for server in self.servers.values() for e in server.kubeconfig()[part]
            ]
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(merged))
        for name in self.servers:
            link = link_object(FAR[name], "10.9.9.9", "gateway.test")
            links = "/apis/multicluster.linkerd.io/v1alpha3/namespaces/linkerd-multicluster/links"
            await self._post(name, links, {**link, "kind": "Link"})
            named = [(team, service) for team, found in SERVICES.items() for service in found]
            for key in [*named, ("default", "service-a"), ("default", "service-b")]:
                made = service_object(key)
                if key == ("default", "service-a"):
                    made["metadata"]["labels"]["team"] = "shop"
                if key[0] not in ("catalog", "checkout"):
                    made["metadata"]["annotations"] = {f"{PREFIX}target": "eks"}
                await self._post(name, f"/api/v1/namespaces/{key[0]}/services", made)
        for team, service in (("catalog", "price"), ("checkout", "cart")):
            await self.migration(team, service, **ended("Reverted"))
        for service in ("service-a", "service-b"):
            await self.migration("default", service)

    async def migration(self, namespace: str, name: str, **told: Any) -> None:
        """Have the controller tell this of a Service."""
        path = f"{MIGRATE_API}/namespaces/{namespace}/migrations"
        await self._post("legacy", path, {"metadata": {"name": name}})
        await self._tell(f"{path}/{name}", status(**told))

    async def told(self, **changed: Any) -> None:
        """Have the controller tell this of the Fleet."""
        hand = ("checkout", "payments", "identity")
        waves = [wave(name, n, "Waiting", 60) for n, name in enumerate(WAVES, 1)]
        told = under_way(waves=[w | {"opens": "byHand"} if w["name"] in hand else w for w in waves])
        await self._tell(f"{MIGRATE_API}/fleets/to-eks", told | changed)

    async def fleet(self) -> Any:
        """The Fleet as it stands."""
        async with (
            self.servers["legacy"].session() as session,
            session.get(f"{MIGRATE_API}/fleets/to-eks") as answer,
        ):
            return await answer.json()

    async def run(self, command: Command) -> None:
        """Run a command as from a shell; one that watches is interrupted after its first line."""
        watches = "--watch" in command.words
        path = (str(Path(sys.executable).parent), str(find_binaries()), os.environ["PATH"])
        process = await asyncio.create_subprocess_exec(
            *command.words,
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": os.pathsep.join(path),
                "KUBECONFIG": str(self.folder / "kubeconfig"),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(COMMAND_S):
            if watches and process.stdout is not None:
                assert await process.stdout.readline()
                process.send_signal(signal.SIGINT)
            said, told = await process.communicate()
        assert process.returncode in ends(command), f"{command}\n{said.decode()}{told.decode()}"

    async def _post(self, cluster: str, path: str, body: dict[str, Any]) -> None:
        kinds = {"services": ("v1", "Service"), "migrations": (MIGRATE_API[6:], "Migration")}
        version, kind = kinds.get(
            path.rpartition("/")[2], ("multicluster.linkerd.io/v1alpha3", "Link")
        )
        whole = {"apiVersion": version, "kind": kind, **body}
        async with (
            self.servers[cluster].session() as session,
            session.post(path, json=whole) as answer,
        ):
            assert answer.status == 201, await answer.text()

    async def _tell(self, path: str, told: dict[str, Any]) -> None:
        async with (
            self.servers["legacy"].session() as session,
            session.patch(
                f"{path}/status",
                data=json.dumps({"status": told}),
                headers={"Content-Type": "application/merge-patch+json"},
            ) as answer,
        ):
            assert answer.status == 200, await answer.text()


def ends(command: Command) -> tuple[int, ...]:
    """Return the exit codes of a command that did what the page says."""
    if "check" in command.words:
        return (0, 5)  # these Services have no mirrors and no pods
    if "drained" in command.words:
        return (5,)  # the one Migration of catalog is reverted
    return (0,)


@pytest.fixture
async def programme(tmp_path: Path) -> AsyncIterator[Programme]:
    """Two real API servers with the teams' Services."""
    binaries = find_binaries()
    if binaries is None or not os.access(binaries / "kubectl", os.X_OK):
        missing(NO_KUBECTL)
    spaces = ("default", "linkerd-multicluster", *TEAMS)
    async with (
        RealApi("legacy", namespaces=spaces) as legacy,
        RealApi("eks", namespaces=spaces) as eks,
    ):
        made = Programme(tmp_path, {"legacy": legacy, "eks": eks})
        await made.begin()
        yield made


STOPPED = {
    "stopped": True,
    "reverts": 3,
    "limit": 3,
    "within": "24h",
    "services": ["catalog/price"],
}
DONE = {
    "type": "Completed",
    "status": "True",
    "reason": "Completed",
    "message": "",
    "lastTransitionTime": "2026-01-05T10:00:00Z",
}
TOLD: dict[str, dict[str, Any]] = {
    "Week 3": {},
    "Week 4": {"state": "Stopped", "line": STOPPED},
    "Week 5": {},
    "Week 8": {"conditions": [DONE]},
}
"""What the controller tells of the Fleet from this heading on."""
LEFT: dict[str, set[str]] = {
    "Week 2": {"paused"},
    "Week 3": set(),
    "Week 4": {"resumed-at"},
    "Week 5": {"resumed-at"},
    "Any week": {"resumed-at"},
    "Week 8": {"open", "resumed-at"},
}
"""What is asked of the Fleet by hand once a section was typed."""


@pytest.mark.story
@pytest.mark.real
@pytest.mark.timeout(300)
async def test_the_guide_from_its_first_week_to_its_last(programme: Programme) -> None:
    """Typed in their order, the guide's commands do what it says, and leave the spec that was applied alone."""
    at = ""
    asked: dict[str, set[str]] = {}
    for heading, command in typed():
        if heading != at and heading in TOLD:
            await programme.told(**TOLD[heading])
        at = heading
        await programme.run(command)
        if heading in LEFT:
            notes = (await programme.fleet())["metadata"].get("annotations", {})
            asked[heading] = {k.removeprefix(PREFIX) for k in notes if k.startswith(PREFIX)}
    assert asked == LEFT
    assert (await programme.fleet())["metadata"]["generation"] == 1
    for command in elsewhere():
        await programme.run(command)
