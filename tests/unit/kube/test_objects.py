from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import PREFIX, Endpoints, Port
from controller.kube.objects import (
    DECODERS,
    Backend,
    EndpointSliceObject,
    FleetObject,
    LeaseObject,
    MigrationObject,
    Resource,
    ServiceObject,
    ServiceProfileObject,
    TrafficSplitObject,
    Undecodable,
    endpoints_of,
    head,
    read_weight,
)


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["metadata", "spec", "name", "namespace", "ports", "backends", "weight", "labels"]
        )
        | st.text(max_size=4),
        inner,
        max_size=5,
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    _branches,
    max_leaves=25,
)


def decode(resource: Resource, body: Any) -> Any:
    """Decode an object given as Python values."""
    return DECODERS[resource](json.dumps(body).encode())


def service(**metadata: Any) -> dict[str, Any]:
    """Return a Service with this metadata."""
    return {
        "metadata": {"name": "a", "namespace": "default", "resourceVersion": "7", **metadata},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "10.0.0.1",
            "ports": [{"name": "http", "port": 80, "targetPort": "web", "appProtocol": "http"}],
            "sessionAffinity": "ClientIP",
        },
    }


MANAGED = [
    {
        "manager": "kubectl-annotate",
        "operation": "Update",
        "time": "2024-05-01T10:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:annotations": {".": {}, f"f:{PREFIX}target": {}, "f:other": {}}},
            "f:spec": {"f:backends": {}, "f:service": {}},
        },
    }
]


def test_service_is_decoded() -> None:
    """A Service gives the fields that decisions look at."""
    found = decode(Resource.SERVICES, service(uid="u1"))
    assert isinstance(found, ServiceObject)
    assert found.ports == (Port("http", 80, "TCP", "http"),)
    assert (found.type, found.cluster_ip, found.session_affinity) == (
        "ClusterIP",
        "10.0.0.1",
        "ClientIP",
    )
    assert (found.metadata.name, found.metadata.uid, found.metadata.resource_version) == (
        "a",
        "u1",
        "7",
    )


def test_a_service_without_our_annotations_may_be_a_fleets() -> None:
    """Of any Service all labels stay, for a Fleet's selectors, and who writes its spec; of its annotations ours and the
    mesh's."""
    found = decode(
        Resource.SERVICES,
        service(
            labels={
                "app": "a",
                "mirror.linkerd.io/exported": "true",
                "app.kubernetes.io/managed-by": "Helm",
            },
            annotations={
                "kubectl.kubernetes.io/last-applied-configuration": "x",
                "mirror.linkerd.io/y": "z",
            },
            managedFields=MANAGED,
        ),
    )
    assert found.metadata.labels == {
        "app": "a",
        "mirror.linkerd.io/exported": "true",
        "app.kubernetes.io/managed-by": "Helm",
    }
    assert found.metadata.annotations == {"mirror.linkerd.io/y": "z"}
    (manager,) = found.metadata.managers
    assert "f:service" in manager.fields_v1["f:spec"]


def test_annotated_service_keeps_who_wrote_what() -> None:
    """Of an annotated Service the managed fields stay, cut down to our annotations and the spec's fields."""
    found = decode(
        Resource.SERVICES,
        service(annotations={f"{PREFIX}target": "eks"}, managedFields=MANAGED),
    )
    (manager,) = found.metadata.managers
    assert manager.manager == "kubectl-annotate"
    assert manager.time is not None
    assert manager.time.isoformat() == "2024-05-01T10:00:00+00:00"
    assert manager.fields_v1 == {
        "f:metadata": {"f:annotations": {f"f:{PREFIX}target": {}}},
        "f:spec": {"f:backends": {}, "f:service": {}},
    }


def test_mirror_keeps_little() -> None:
    """A mirror carries copies of annotations and is never a spec or a Fleet's: nobody asks who wrote them, or for its
    labels beside the mesh's."""
    found = decode(
        Resource.SERVICES,
        service(
            labels={"mirror.linkerd.io/mirrored-service": "true", "app": "a"},
            annotations={f"{PREFIX}target": "eks"},
            managedFields=MANAGED,
        ),
    )
    assert found.is_mirror
    assert found.metadata.managers == ()
    assert found.metadata.labels == {"mirror.linkerd.io/mirrored-service": "true"}


@pytest.mark.parametrize("broken", ["x", [{"manager": 3}], [{"fieldsV1": "x"}], 3, None])
def test_broken_managed_fields_cost_nothing_else(broken: Any) -> None:
    """Managed fields of any shape leave the Service readable."""
    found = decode(
        Resource.SERVICES, service(annotations={f"{PREFIX}target": "eks"}, managedFields=broken)
    )
    assert isinstance(found, ServiceObject)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (
            {"metadata": {"name": "a", "namespace": "n", "resourceVersion": "7"}, "spec": 3},
            "$.spec",
        ),
        (
            {
                "metadata": {
                    "name": "a",
                    "namespace": "n",
                    "resourceVersion": "7",
                    "labels": {"x": 1},
                }
            },
            "$.metadata.labels",
        ),
    ],
)
def test_wrong_shape_is_a_value(body: Any, place: str) -> None:
    """An object of the wrong shape is Undecodable, with its name and the place of the fault."""
    found = decode(Resource.SERVICES, body)
    assert isinstance(found, Undecodable)
    assert (found.namespace, found.name, found.resource_version) == ("n", "a", "7")
    assert place in found.message


@given(body=JSON, resource=st.sampled_from(tuple(DECODERS)))
def test_no_json_raises(body: Any, resource: Resource) -> None:
    """Whatever JSON an object is, decoding gives a value."""
    raw = json.dumps(body).encode()
    DECODERS[resource](raw)
    head(raw)


@given(raw=st.binary(max_size=60), resource=st.sampled_from(tuple(DECODERS)))
def test_no_bytes_raise(raw: bytes, resource: Resource) -> None:
    """Whatever bytes an object is, decoding gives a value."""
    for text in (raw, b'{"metadata": {"name": "' + raw + b'"}}', b"[" * 100_000):
        DECODERS[resource](text)
        head(text)


@pytest.mark.parametrize(
    ("written", "weight"),
    [
        ("900", Decimal(900)),
        ("0.5", Decimal("0.5")),
        ("900m", Decimal("0.9")),
        ("1k", Decimal(1000)),
        ("1Ki", Decimal(1024)),
        ("1e3", Decimal(1000)),
        ("1E", Decimal(10**18)),
        ("-1", Decimal(-1)),
        (".5", Decimal("0.5")),
        ("5.", Decimal(5)),
        ("", None),
        ("NaN", None),
        ("Infinity", None),
        ("ten", None),
        ("1e999", None),
        ("9" * 50, None),
        ("\u0661", None),
        ("true", None),
    ],
)
def test_weights(written: str, weight: Decimal | None) -> None:
    """A weight is a number or a Kubernetes quantity of a bounded size; all else is unreadable."""
    assert read_weight(written) == weight


def test_split_weights_of_any_json() -> None:
    """A weight may be an integer, a fraction, text or absent (zero); what is no number keeps its text."""
    weights: list[Any] = [900, 0.5, "900m", "x", True, None, {"a": 1}]
    backends = [{"service": "a", "weight": w} for w in weights] + [{"service": "a"}]
    found = decode(
        Resource.TRAFFICSPLITS,
        {
            "apiVersion": "split.smi-spec.io/v1alpha1",
            "metadata": {"name": "a", "namespace": "n", "managedFields": MANAGED},
            "spec": {"service": "a", "backends": backends},
        },
    )
    assert isinstance(found, TrafficSplitObject)
    assert found.spec.service == "a"
    assert found.spec.backends == (
        Backend("a", Decimal(900), "900"),
        Backend("a", Decimal("0.5"), "0.5"),
        Backend("a", Decimal("0.9"), "900m"),
        Backend("a", None, "x"),
        Backend("a", None, "true"),
        Backend("a", Decimal(0), ""),
        Backend("a", None, '{"a": 1}'),
        Backend("a", Decimal(0), ""),
    )
    assert found.metadata.managers[0].fields_v1["f:spec"] == {"f:backends": {}, "f:service": {}}


@pytest.mark.parametrize("spec", [{}, {"spec": None}, {"spec": {"backends": None}}])
def test_empty_split(spec: dict[str, Any]) -> None:
    """A TrafficSplit that says nothing is read as saying nothing."""
    found = decode(Resource.TRAFFICSPLITS, {"metadata": {"name": "a"}, **spec})
    assert (found.spec.service, found.spec.backends) == ("", ())


BY_CONTROLLER = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}


def part(name: str, *endpoints: Any, **more: Any) -> EndpointSliceObject:
    """Return an EndpointSlice of the Service ``a``."""
    body = {
        "metadata": {
            "name": name,
            "namespace": "n",
            "labels": {"kubernetes.io/service-name": "a", **more.pop("labels", BY_CONTROLLER)},
            "annotations": more.pop("annotations", {}),
        },
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": "http", "port": 8080}],
        **more,
    }
    found = decode(Resource.ENDPOINTSLICES, body)
    assert isinstance(found, EndpointSliceObject)
    return found


def endpoint(
    address: str, pod: str = "", namespace: str = "n", **conditions: Any
) -> dict[str, Any]:
    """Return an endpoint, of a Pod where one is named."""
    ref = {"targetRef": {"kind": "Pod", "namespace": namespace, "name": pod}} if pod else {}
    return {"addresses": [address], "conditions": conditions, **ref}


def test_endpoints_of_slices() -> None:
    """Ready endpoints are counted once, and only Pods of the Service's namespace can be probed."""
    found = endpoints_of(
        [
            part("s1", endpoint("10.0.0.1", "p1"), endpoint("10.0.0.2", "p2", ready=True)),
            part("s2", endpoint("10.0.0.2", "p2"), endpoint("10.0.0.3", "p3", ready=False)),
            part("s3", endpoint("10.0.0.4"), endpoint("10.0.0.5", "p5", namespace="other")),
        ]
    )
    pods = {"http": ("10.0.0.1:8080", "10.0.0.2:8080")}
    names = frozenset({"p1", "p2"})
    assert found == Endpoints(ready=4, unready=1, pods=pods, names=names)


@pytest.mark.parametrize("labels", [{}, {"endpointslice.kubernetes.io/managed-by": "me"}])
def test_a_slice_that_kubernetes_did_not_make_has_no_pods(labels: dict[str, str]) -> None:
    """A hand-made slice may call any address a Pod: it is counted, and nobody in it is probed."""
    forged = part("mine", endpoint("10.9.9.9", "p9"), labels=labels)
    found = endpoints_of([part("s1", endpoint("10.0.0.1", "p1")), forged])
    assert (found.ready, found.handmade) == (2, "mine")
    assert found.pods == {"http": ("10.0.0.1:8080",)}


def test_an_empty_slice_is_nobodys() -> None:
    """A hand-made slice without a ready endpoint leads nowhere."""
    assert endpoints_of([part("mine", endpoint("10.9.9.9", ready=False), labels={})]).handmade == ""


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("100.100.100.200", "a cloud's metadata service"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("169.254.169.254", "link-local, where clouds keep credentials"),
        ("127.0.0.1", "a loopback address"),
        ("::ffff:10.0.0.1", "an IPv4 address in another form"),
        ("64:ff9b::a00:1", "an IPv4 address in another form"),
    ],
)
def test_an_address_that_is_never_probed_is_named(address: str, why: str) -> None:
    """Of a slice with such an address no Pod is probed, whoever made it, and it is said which one it is."""
    family = "IPv6" if ":" in address else "IPv4"
    bad = part("s2", endpoint("10.0.0.2", "p2"), endpoint(address, "p9"), addressType=family)
    found = endpoints_of([part("s1", endpoint("10.0.0.1", "p1")), bad])
    assert found.strange == f"{address} in the EndpointSlice s2, {why}"
    assert found.pods == {"http": ("10.0.0.1:8080",)}
    assert part("s3", endpoint("pod.example"), addressType="FQDN").strange == ""


def test_dual_stack_pod_is_one() -> None:
    """A pod with both address families is one endpoint, probed by IPv4; IPv6 alone is in brackets."""
    six = part("a", endpoint("fd::1", "p1"), endpoint("fd::2", "p2"), addressType="IPv6")
    four = part("b", endpoint("10.0.0.1", "p1"))
    assert endpoints_of([six, four]) == Endpoints(
        ready=2,
        pods={"http": ("10.0.0.1:8080", "[fd::2]:8080")},
        names=frozenset({"p1", "p2"}),
    )


def test_gateway_identity_of_mirror() -> None:
    """The identity of a mirror's gateway comes from its slices."""
    found = part(
        "m",
        endpoint("1.2.3.4"),
        annotations={"mirror.linkerd.io/remote-gateway-identity": "gw.eks"},
    )
    assert found.service == "a"
    assert endpoints_of([found]) == Endpoints(ready=1, identity="gw.eks")


def test_slice_without_endpoints() -> None:
    """The API writes null for no endpoints and no ports, and that is none."""
    assert endpoints_of([part("s", endpoints=None, ports=None)]) == Endpoints()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"routes": []}, (False, False)),
        ({"routes": [{"x": 1}]}, (False, True)),
        ({"dstOverrides": [{"authority": "b"}], "routes": None}, (True, False)),
        (None, (False, False)),
    ],
)
def test_service_profile(spec: Any, expected: tuple[bool, bool]) -> None:
    """A ServiceProfile tells whether it overrides destinations and whether it has routes."""
    found = decode(Resource.SERVICEPROFILES, {"metadata": {"name": "a"}, "spec": spec})
    assert isinstance(found, ServiceProfileObject)
    assert (bool(found.overrides), found.has_routes) == expected


def test_lease() -> None:
    """A Lease gives holder, duration, transitions and the text of its times."""
    found = decode(
        Resource.LEASES,
        {
            "metadata": {"name": "l"},
            "spec": {
                "holderIdentity": "me",
                "leaseDurationSeconds": 15,
                "leaseTransitions": 3,
                "renewTime": "2024-05-01T10:00:00.000000Z",
            },
        },
    )
    assert isinstance(found, LeaseObject)
    assert (found.holder, found.duration_s, found.transitions) == ("me", 15, 3)
    assert (found.acquire_time, found.renew_time) == ("", "2024-05-01T10:00:00.000000Z")


@pytest.mark.parametrize("part", [{"target": "eks", "waves": [{"name": 3}]}, [1], "x", None])
def test_a_fleet_is_kept_as_it_was_written(part: Any) -> None:
    """A Fleet's spec and status are kept whatever they are; of its annotations ours, with who wrote them."""
    meta = {
        "name": "to-eks",
        "generation": 3,
        "annotations": {f"{PREFIX}open": "checkout", "else": "x"},
        "managedFields": MANAGED,
    }
    found = decode(Resource.FLEETS, {"metadata": meta, "spec": part, "status": part})
    assert isinstance(found, FleetObject)
    assert (found.metadata.namespace, found.metadata.name, found.generation) == ("", "to-eks", 3)
    assert found.annotations == {f"{PREFIX}open": "checkout"}
    assert [each.manager for each in found.metadata.managers] == ["kubectl-annotate"]
    assert (found.spec, found.status) == (part, part)


def test_a_namespace_keeps_its_labels() -> None:
    """Of a namespace all labels stay, for a Fleet's selectors, and our annotations."""
    meta = {
        "name": "shop",
        "labels": {"tier": "low"},
        "annotations": {f"{PREFIX}excluded": "true", "else": "x"},
    }
    found = decode(Resource.NAMESPACES, {"metadata": meta})
    assert found.metadata.labels == {"tier": "low"}
    assert found.metadata.annotations == {f"{PREFIX}excluded": "true"}


def test_migration_status_is_raw() -> None:
    """A Migration's status is kept as it was written."""
    found = decode(
        Resource.MIGRATIONS, {"metadata": {"name": "a"}, "status": {"phase": "X", "n": [1]}}
    )
    assert isinstance(found, MigrationObject)
    assert found.status == {"phase": "X", "n": [1]}
