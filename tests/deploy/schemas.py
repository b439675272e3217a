"""JSON schemas for kubeconform, made of what a real API server publishes about its kinds, CRDs included."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import aiohttp

from tests.deploy.rendering import Json

LOCATION = "{{ .Group }}_{{ .ResourceAPIVersion }}_{{ .ResourceKind }}.json"
"""How kubeconform is told to name the files of :func:`write`."""

_REF = "#/components/schemas/"


async def write(session: aiohttp.ClientSession, objects: Iterable[Json], folder: Path) -> None:
    """Write the schema of every kind among the objects into the folder; fails where one is not published."""
    by_version: dict[str, set[str]] = {}
    for found in objects:
        by_version.setdefault(found["apiVersion"], set()).add(found["kind"])
    for version, kinds in by_version.items():
        group = f"apis/{version}" if "/" in version else f"api/{version}"
        async with session.get(f"/openapi/v3/{group}") as answer:
            answer.raise_for_status()
            published = (await answer.json())["components"]["schemas"]
        strict = {name: _strict(schema) for name, schema in published.items()}
        for kind in kinds:
            name = _schema_of(published, version, kind)
            schema = {"$ref": f"#/definitions/{name}", "definitions": strict}
            text = json.dumps(schema).replace(_REF, "#/definitions/")
            # Of the core group, which has no name, kubeconform takes the version for it.
            first, last = version.split("/")[0], version.split("/")[-1]
            (folder / f"{first}_{last}_{kind.lower()}.json").write_text(text)


def _schema_of(published: Json, version: str, kind: str) -> str:
    group, _, bare = version.rpartition("/")
    wanted = {"group": group, "version": bare, "kind": kind}
    (name,) = [
        name
        for name, schema in published.items()
        if wanted in schema.get("x-kubernetes-group-version-kind", [])
    ]
    return name


def _strict(schema: Json) -> Json:
    """The schema where what has named properties has no others: a misspelt key is an error."""
    made = dict(schema)
    if "properties" in made:
        made["properties"] = {key: _strict(inner) for key, inner in made["properties"].items()}
        if not made.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    if isinstance(made.get("items"), dict):
        made["items"] = _strict(made["items"])
    if isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = _strict(made["additionalProperties"])
    return made
