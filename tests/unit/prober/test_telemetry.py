"""What the prober tells about itself."""

from __future__ import annotations

from prober.telemetry import LINGER_S, new_metrics

ROUTE = ("shop", "cart", "mirror")


def test_latencies_of_a_service_go_when_nobody_probes_it() -> None:
    """A route's latencies stay while any stream probes it and a quarter of an hour after, and no longer."""
    metrics = new_metrics("eks")

    def answers() -> float | None:
        labels = dict(
            zip(("migration_namespace", "migration_service", "route"), ROUTE, strict=True)
        )
        name = "migrate_prober_way_latency_seconds_count"
        return metrics.registry.get_sample_value(name, labels)

    metrics.paths.observe(ROUTE, 0.1)
    assert answers() is None
    metrics.paths.begin(ROUTE)
    metrics.paths.begin(ROUTE)
    metrics.paths.end(ROUTE, 10.0)
    metrics.paths.observe(ROUTE, 0.1)
    assert answers() == 1
    metrics.paths.end(ROUTE, 20.0)
    metrics.paths.observe(ROUTE, 0.1)
    other = ("shop", "till", "mirror")
    for now in (20.0 + LINGER_S - 1, 20.0 + LINGER_S):
        assert answers() == 2
        metrics.paths.begin(other)
        metrics.paths.end(other, now)
    assert answers() is None
