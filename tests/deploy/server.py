"""A real API server that has what the chart meets in a cluster, and objects applied to it as kubectl does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import aiohttp
import yaml
from multidict import CIMultiDict

from tests.deploy.rendering import Json

CRDS = Path(__file__).parent / "crd"
CLUSTER_SCOPED = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Fleet",
    "Namespace",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
_SERVED_S = 20.0


class Refused(AssertionError):  # noqa: N818 - it is the finding
    """The API server did not take an object; the text is what it says."""


def known_crds() -> list[Json]:
    """The kinds of Linkerd that clusters have and the local ones do without."""
    return [
        document
        for path in sorted(CRDS.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]


def plural(kind: str) -> str:
    """The plural of a kind in paths."""
    lower = kind.lower()
    return f"{lower[:-1]}ies" if lower.endswith("y") else f"{lower}s"


def path_of(found: Json, *, named: bool = True) -> str:
    """The path of an object, or of its collection."""
    version, kind, meta = found["apiVersion"], found["kind"], found["metadata"]
    parts = ["", "apis" if "/" in version else "api", version]
    if kind not in CLUSTER_SCOPED:
        parts += ["namespaces", meta["namespace"]]
    return "/".join([*parts, plural(kind), *([meta["name"]] if named else [])])


async def apply(session: aiohttp.ClientSession, found: Json, *, dry_run: bool = False) -> Json:
    """``kubectl apply --server-side``; with ``dry_run`` ``--dry-run=server``. Raises Refused."""
    query = {"fieldManager": "chart-test", "force": "true", "fieldValidation": "Strict"}
    async with session.patch(
        path_of(found),
        params={**query, **({"dryRun": "All"} if dry_run else {})},
        data=json.dumps(found),
        headers={"Content-Type": "application/apply-patch+yaml"},
    ) as answer:
        said: Json = await answer.json()
        if answer.status not in (200, 201):
            raise Refused(f"{path_of(found)}: {answer.status} {said.get('message')}")
        return said


async def install(session: aiohttp.ClientSession, objects: Iterable[Json]) -> None:
    """Apply all, kinds before what is of them, and wait until the kinds are served."""
    crds = [o for o in objects if o["kind"] == "CustomResourceDefinition"]
    for crd in crds:
        await apply(session, crd)
    async with asyncio.timeout(_SERVED_S):
        for crd in crds:
            spec = crd["spec"]
            for version in spec["versions"]:
                listed = f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}"
                while not await _served(session, listed):  # noqa: ASYNC110 - it is another process's doing
                    await asyncio.sleep(0.05)
    for found in objects:
        if found["kind"] != "CustomResourceDefinition":
            await apply(session, found)


async def _served(session: aiohttp.ClientSession, path: str) -> bool:
    async with session.get(path) as answer:
        return answer.status == 200


def as_user(name: str, *groups: str) -> Mapping[str, str]:
    """Headers of a request that an administrator sends as somebody else, who may do everything too."""
    # system:masters: authorization lets all through, so that what refuses is admission alone.
    fields = [("Impersonate-User", name), ("Impersonate-Group", "system:masters")]
    return CIMultiDict([*fields, *(("Impersonate-Group", group) for group in groups)])
