"""What the benchmarks stand on. What they measure is printed by ``make bench`` and asserted nowhere."""

from __future__ import annotations

from itertools import pairwise

import pytest

from controller.domain import PREFIX, MigrationSpec
from controller.domain.annotations import read
from deploy.stand_ins.mesh import EKS, LEGACY
from deploy.stand_ins.mesh.kube import SERVICES, SLICES
from tests.benchmarks import calls
from tests.benchmarks.__main__ import KEYS
from tests.benchmarks.inventory import Inventory
from tests.benchmarks.result import Line, percentile, spread, table
from tests.benchmarks.stand_in import StandIn

MIRRORED = "mirror.linkerd.io/mirrored-service"


def test_the_json_object_has_exactly_these_keys() -> None:
    """All benchmarks together fill the keys that whoever reads the last line counts on."""
    assert sorted(key for keys in KEYS.values() for key in keys) == [
        "annotation_to_patched_httproute_ms",
        "annotation_to_patched_ms",
        "bad_to_home_ms",
        "check_s",
        "cpu_ms_per_probe",
        "fleet_plan_ms",
        "fleet_rollback_ms",
        "herd_gateway_ms",
        "herd_ms",
        "idle_calls_per_minute",
        "probes_per_s",
        "prometheus_queries_per_tick",
        "rss_mb",
        "start_to_ready_s",
        "starved_verdict_ms",
        "status_ms",
        "traffic_answers_ms",
        "traffic_evaluation_ms",
        "writes_per_step",
    ]


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (1, 1.0), (50, 50.0), (99, 99.0), (99.1, 100.0)]
)
def test_a_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    """Of 1 to 100 in any order the percentile is a value that was measured, never one in between."""
    assert percentile([float(value) for value in range(100, 0, -1)], percent) == expected


def test_a_percentile_of_nothing_is_an_error() -> None:
    """A benchmark that measured nothing cannot print a figure."""
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_a_spread_is_in_milliseconds() -> None:
    """Seconds go in, and the JSON has ms with one decimal and how many there were."""
    assert spread([0.0301, 0.04567, 0.05]) == {"p50": 45.7, "p99": 50.0, "n": 3}


def test_the_table_is_aligned() -> None:
    """Every line of the table is as wide as the others."""
    lines = [
        Line("a", 1, "2 ms", "3 ms", "", "short"),
        Line("b c", 10, "2", "", "< 3", "much longer"),
    ]
    assert len({len(line) for line in table(lines).splitlines()}) == 1


@pytest.mark.parametrize(("cluster", "own", "mirrors"), [(LEGACY, 7, 3), (EKS, 3, 7)])
def test_the_inventory_is_what_it_says(cluster: str, own: int, mirrors: int) -> None:
    """Each cluster has its Services, a mirror of each of the other's, and a slice for all of them."""
    objects = list(Inventory(7, 3).objects(cluster))
    services = [body for resource, body in objects if resource is SERVICES]
    mirrored = [body for body in services if MIRRORED in body["metadata"]["labels"]]
    slices = [body for resource, body in objects if resource is SLICES]
    assert (len(services) - len(mirrored), len(mirrored)) == (own, mirrors)
    assert len(slices) == len(services)
    names = {(body["metadata"]["namespace"], body["metadata"]["name"]) for body in services}
    assert len(names) == len(services)


def test_no_two_pods_share_an_address() -> None:
    """The addresses of 10,000 Services in both clusters are all different."""
    inventory = Inventory(10_000, 10_000)
    addresses = [
        address
        for cluster in (LEGACY, EKS)
        for resource, body in inventory.objects(cluster)
        if resource is SLICES and MIRRORED not in body["metadata"]["labels"]
        for endpoint in body["endpoints"]
        for address in endpoint["addresses"]
    ]
    assert len(set(addresses)) == len(addresses) == 60_000


@pytest.mark.parametrize(
    ("callers", "url", "bad"),
    [
        (LEGACY, "http://service-a-eks.default.svc.cluster.local/", True),
        (EKS, "http://10.2.0.1:8080/", True),
        (LEGACY, "http://10.1.0.1:8080/", False),
        (EKS, "http://service-a-legacy.default.svc.cluster.local/", False),
        (EKS, "http://service-a.default.svc.cluster.local/", False),
        (LEGACY, "http://prober.migrate.svc.cluster.local:8080/reference", False),
        (LEGACY, "http://service-b-eks.default.svc.cluster.local/", False),
    ],
)
def test_an_outage_is_of_the_target_only(callers: str, url: str, bad: bool) -> None:
    """Where service-a fails, its paths to eks are answered 500, and nothing else is."""
    stand_in = StandIn()
    stand_in.failing.add("service-a")
    head = f"GET {url} HTTP/1.1\r\nHost: service-a.default.svc.cluster.local"
    answer = stand_in.answer(callers, head.encode())
    assert answer.startswith(b"HTTP/1.1 500" if bad else b"HTTP/1.1 200")
    assert ("service-a" in stand_in.first_bad_s) == bad


def test_the_steps_are_a_wish() -> None:
    """What the migration of ``calls`` asks for is well-formed, and its steps are those that are counted."""
    spec = read({LEGACY: {PREFIX + k: v for k, v in calls.STEPPING.items()}}, (LEGACY, EKS))
    assert isinstance(spec, MigrationSpec)
    assert spec.steps == tuple(10 * step for step in calls.STEPS)
    assert all(low < high for low, high in pairwise(calls.STEPS))
