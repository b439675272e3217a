"""The resources that an embedded API server knows: built-in ones, and custom ones by their CRDs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

_DEPLOY = Path(__file__).resolve().parents[2]
CRD_FOLDERS = (_DEPLOY / "chart" / "files" / "crds", _DEPLOY / "servers" / "crd")

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML has it: the Gateway API's CRD has 5,600 lines."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})

LINKERD_POLICY = "policy.linkerd.io"
"""Linkerd's own group, which has had HTTPRoutes since before the Gateway API had them."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column in which kubectl prints a kind: its ``head`` as a Table has it, and the keys that lead to its value."""

    head: Mapping[str, Any]
    type: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object and how it behaves.

    `versions` are served, the preferred one first; all serve the same objects. `schemas` are the
    openAPIV3Schemas by version; a version without one keeps whatever it is given. `merge_keys` says
    which lists a strategic merge patch merges by which field, by dotted path; it has a meaning for
    built-in resources alone. `field_labels` are what field selectors may name besides name and
    namespace. `columns` are what a version is printed in; one without them is no Table here.
    """

    group: str
    versions: tuple[str, ...]
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    builtin: bool = False
    has_status: bool = False
    has_generation: bool = False
    name_is_label: bool = False
    unconditional_update: bool = False
    schemas: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    merge_keys: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    field_labels: tuple[str, ...] = ()
    columns: Mapping[str, tuple[Column, ...]] = field(default_factory=lambda: _NOTHING)

    @property
    def key(self) -> str:
        """What its objects are kept by: the plural, with the group where another group has that plural."""
        return self.qualified if self.group == LINKERD_POLICY else self.plural

    @property
    def qualified(self) -> str:
        """Plural and group as messages name a resource, e.g. `trafficsplits.split.smi-spec.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def api_version(self, version: str) -> str:
        """Group and version as an object's `apiVersion` has them."""
        return f"{self.group}/{version}" if self.group else version


_CONDITIONS = {"status.conditions": "type"}

BUILTIN = (
    Resource(
        "", ("v1",), "namespaces", "Namespace",
        namespaced=False, short_names=("ns",), builtin=True, name_is_label=True,
        unconditional_update=True,
    ),
    Resource(
        "", ("v1",), "services", "Service",
        short_names=("svc",), builtin=True, has_status=True, name_is_label=True,
        unconditional_update=True, merge_keys={"spec.ports": "port", **_CONDITIONS},
    ),
    Resource(
        "", ("v1",), "endpoints", "Endpoints",
        short_names=("ep",), builtin=True, unconditional_update=True,
    ),
    Resource(
        "", ("v1",), "pods", "Pod",
        short_names=("po",), builtin=True, has_status=True, has_generation=True,
        unconditional_update=True,
        merge_keys={
            "spec.containers": "name",
            "spec.containers.ports": "containerPort",
            "spec.containers.env": "name",
            "spec.volumes": "name",
            "status.podIPs": "ip",
            **_CONDITIONS,
        },
        field_labels=("status.phase", "status.podIP", "spec.nodeName"),
    ),
    Resource(
        "", ("v1",), "events", "Event",
        short_names=("ev",), builtin=True, unconditional_update=True,
        field_labels=(
            "involvedObject.kind", "involvedObject.name", "involvedObject.namespace",
            "involvedObject.uid", "reason", "type",
        ),
    ),
    Resource(
        "", ("v1",), "configmaps", "ConfigMap",
        short_names=("cm",), builtin=True, unconditional_update=True,
    ),
    Resource(
        "discovery.k8s.io", ("v1",), "endpointslices", "EndpointSlice",
        builtin=True, has_generation=True, unconditional_update=True,
    ),
    Resource("coordination.k8s.io", ("v1",), "leases", "Lease", builtin=True),
    Resource(
        "networking.k8s.io", ("v1",), "ingresses", "Ingress",
        short_names=("ing",), builtin=True, has_status=True, has_generation=True,
        unconditional_update=True,
    ),
)  # fmt: skip

# Of the Gateway API's CRD neither the defaults nor the rules in CEL are obeyed here: a route is kept as it
# comes, and only a real API server refuses a wrong one.
HTTP_ROUTE = Resource(
    "gateway.networking.k8s.io", ("v1", "v1beta1"), "httproutes", "HTTPRoute",
    has_status=True, has_generation=True,
)  # fmt: skip


def custom_resource(crd: dict[str, Any]) -> Resource:
    """Read a Resource off a CustomResourceDefinition object (apiextensions.k8s.io/v1)."""
    spec = crd["spec"]
    served = [version for version in spec["versions"] if version["served"]]
    return Resource(
        group=spec["group"],
        versions=tuple(sorted((version["name"] for version in served), reverse=True)),
        plural=spec["names"]["plural"],
        kind=spec["names"]["kind"],
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(spec["names"].get("shortNames", ())),
        has_status=any("status" in version.get("subresources", {}) for version in served),
        has_generation=True,
        schemas={version["name"]: version["schema"]["openAPIV3Schema"] for version in served},
        columns={
            version["name"]: tuple(map(_column, version["additionalPrinterColumns"]))
            for version in served
            if "additionalPrinterColumns" in version
        },
    )


def _column(given: Mapping[str, Any]) -> Column:
    """Read a printer column; of JSONPath only keys after dots are understood, which is what the CRDs here have."""
    path = given["jsonPath"]
    told = f"Custom resource definition column (in JSONPath format): {path}"
    head = {
        "name": given["name"],
        "type": given["type"],
        "format": given.get("format", ""),
        "description": given.get("description", told),
        "priority": given.get("priority", 0),
    }
    return Column(head, given["type"], tuple(path.lstrip(".").split(".")))


def crd_documents(*, without: str = "") -> list[dict[str, Any]]:
    """Return the CRDs that the API servers of the local clusters get; ``without`` one file's, by its stem."""
    # iterdir, since a folder that is missing is told, where glob finds nothing in it.
    files = [path for folder in CRD_FOLDERS for path in sorted(folder.iterdir())]
    return [
        document
        for path in files
        if path.stem != without
        for document in yaml.load_all(path.read_text(), _Loader)
    ]


def known_resources(*, http_routes: bool = True) -> tuple[Resource, ...]:
    """Return what a cluster of this project serves, with or without the Gateway API."""
    custom = tuple(custom_resource(crd) for crd in crd_documents(without=HTTP_ROUTE.plural))
    every = (*BUILTIN, *custom, HTTP_ROUTE)
    return tuple(each for each in every if http_routes or each.group != HTTP_ROUTE.group)
