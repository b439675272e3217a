"""What kube-apiserver fills in or refuses for built-in objects, as far as anyone here looks."""

from __future__ import annotations

from typing import Any

from deploy.stand_ins.apiserver.failures import Cause
from deploy.stand_ins.apiserver.resources import Resource


def drop_empty(body: dict[str, Any]) -> None:
    """Leave out what ObjectMeta leaves out when it is empty."""
    metadata = body["metadata"]
    for field in ("labels", "annotations", "ownerReferences", "finalizers", "generateName"):
        if field in metadata and not metadata[field]:
            del metadata[field]


def fill_in(resource: Resource, body: dict[str, Any], cluster_ip: str) -> None:
    """Set the defaults of a built-in object; `cluster_ip` is for a Service that has none yet."""
    if resource.plural == "namespaces":
        body["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = body["metadata"][
            "name"
        ]
        body.setdefault("spec", {"finalizers": ["kubernetes"]})
        body.setdefault("status", {"phase": "Active"})
    elif resource.plural == "services":
        _fill_in_service(body, cluster_ip)
    elif resource.plural == "endpointslices":
        for port in body.get("ports") or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")
        # Go prints an empty list here as null, and so must every client expect it.
        for field in ("endpoints", "ports"):
            body[field] = body.get(field) or None
    elif resource.plural == "endpoints":
        for subset in body.get("subsets") or ():
            for port in subset.get("ports", ()):
                port.setdefault("protocol", "TCP")
        if not body.get("subsets"):
            body.pop("subsets", None)
    elif resource.plural == "events":
        body.setdefault("eventTime", None)
        body.setdefault("reportingComponent", "")
        body.setdefault("reportingInstance", "")
    elif resource.plural == "pods":
        body.setdefault("status", {"phase": "Pending", "qosClass": "BestEffort"})


def _fill_in_service(body: dict[str, Any], cluster_ip: str) -> None:
    spec = body.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if spec["type"] != "ExternalName":
        spec["clusterIP"] = spec.get("clusterIP") or cluster_ip
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("internalTrafficPolicy", "Cluster")
    body.setdefault("status", {"loadBalancer": {}})


def service_causes(body: dict[str, Any]) -> list[Cause]:
    """Return what is wrong with a Service's ports."""
    spec = body["spec"]
    ports = spec.get("ports") or []
    if not ports and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        return [Cause("FieldValueRequired", "Required value", "spec.ports")]
    causes = [
        Cause("FieldValueRequired", "Required value", f"spec.ports[{index}].name")
        for index, port in enumerate(ports)
        if len(ports) > 1 and not port.get("name")
    ]
    for index, port in enumerate(ports):
        number = port.get("port")
        if not isinstance(number, int) or not 1 <= number <= 65535:
            sentence = f"Invalid value: {number}: must be between 1 and 65535, inclusive"
            causes.append(Cause("FieldValueInvalid", sentence, f"spec.ports[{index}].port"))
    return causes
