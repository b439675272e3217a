"""Metrics of the API servers: requests, watches and writes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from controller.report.metrics.series import API_BUCKETS_S, Maker
from controller.report.tracing import exemplar
from prober.labelled import CLUSTER


class ClusterMetrics:
    """The meter of the clusters."""

    def __init__(self, make: Maker, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._api = make.histogram(
            "api_request_seconds",
            "Requests to the API servers, by HTTP status or kind of error.",
            API_BUCKETS_S,
            *(CLUSTER, "verb", "resource", "code"),
        )
        self._watch_age = make.gauge(
            "watch_age_seconds",
            "Time since anything was heard of a resource.",
            *(CLUSTER, "resource"),
        )
        self._watch_current = make.gauge(
            "watch_current",
            "1 where what is known of a resource is current, else 0.",
            *(CLUSTER, "resource"),
        )
        self._watch_failures = make.counter(
            "watch_failures", "Lists and watches that failed.", CLUSTER, "resource"
        )
        self._ends = make.gauge(
            "peer_credential_expiry_timestamp_seconds",
            "When the credentials for a cluster end, where somebody has to renew them.",
            CLUSTER,
        )
        self._writes = make.counter(
            "writes",
            "Writes to the clusters, by kind of object and what became of them.",
            *(CLUSTER, "kind", "outcome"),
        )

    def api_call(self, cluster: str, verb: str, resource: str, code: str, seconds: float) -> None:
        """Count one request; ``code`` is the HTTP status, or the kind of error where none came."""
        self._api.labels(cluster, verb, resource, code).observe(seconds, exemplar())

    def watch_heard(self, cluster: str, resource: str) -> None:
        """Count a resource's age from now on; it is computed at each scrape."""
        heard_s = self._clock()
        self._watch_age.labels(cluster, resource).set_function(lambda: self._clock() - heard_s)

    def watch_broke(self, cluster: str, resource: str) -> None:
        """Count one list or watch that failed."""
        self._watch_failures.labels(cluster, resource).inc()

    def watch_current(self, cluster: str, resource: str, current: bool) -> None:
        """Show whether what is known of a resource is current; failures are counted from zero."""
        self._watch_failures.labels(cluster, resource)
        self._watch_current.labels(cluster, resource).set(current)

    def credentials_end(self, cluster: str, at: datetime | None) -> None:
        """Show when the credentials for a cluster end; None: nobody has to renew them."""
        if at is not None:
            self._ends.labels(cluster).set(at.timestamp())
        else:
            with suppress(KeyError):
                self._ends.remove(cluster)

    def wrote(self, cluster: str, kind: str, outcome: str) -> None:
        """Count one write of a split or a pin."""
        self._writes.labels(cluster, kind, outcome).inc()
