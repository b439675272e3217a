"""Which key was meant: measured on slips of the hand, and on keys that people bring from elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.annotation_schema import KEYS
from controller.domain.spelling import nearest

TYPOS = {
    # a letter too few, too many, another, or two swapped
    "tarjet": "target",
    "traget": "target",
    "targe": "target",
    "targets": "target",
    "atempt": "attempt",
    "attempts": "attempt",
    "pause": "paused",
    "step": "steps",
    "dwel": "dwell",
    "dwelll": "dwell",
    "sok": "soak",
    "saok": "soak",
    "trafic": "traffic",
    "spilt": "split",
    "origin-flor": "origin-floor",
    "prob-path": "probe-path",
    "probe-pat": "probe-path",
    "probe-prot": "probe-port",
    "probe-ports": "probe-port",
    "probe-protcol": "probe-protocol",
    "prob-protocl": "probe-protocol",
    "slo-sucess": "slo-success",
    "slo-latancy": "slo-latency",
    "probe-cluster-hedaer": "probe-cluster-header",
    "port": "ports",
    # other spellings of the same words
    "probePath": "probe-path",
    "probe_path": "probe-path",
    "Probe-Port": "probe-port",
    "probeport": "probe-port",
    "sloLatency": "slo-latency",
    "probe.rate": "probe-rate",
    "probepot": "probe-port",
    # without the family that the rest belongs to
    "path": "probe-path",
    "latency": "slo-latency",
    "success": "slo-success",
    "rate": "probe-rate",
}

FOREIGN = [
    # near in letters only
    *("probe-host", "probe-post", "probe-part", "probe-cost", "soap", "host", "root", "poll"),
    # of Flagger, Argo Rollouts, linkerd-failover, ingress-nginx, Kubernetes' own probes and Prometheus
    *("interval", "threshold", "max-weight", "step-weight", "iterations", "analysis", "metrics"),
    *("weight", "set-weight", "pause-duration", "canary", "canary-weight", "canary-by-header"),
    *("primary-service", "probe-interval", "probe-timeout", "probe-method", "probe-scheme"),
    *("probe-header", "probe-body", "probe-headers", "probe-threshold", "timeout", "retries"),
    *("initial-delay", "period", "failure-threshold", "success-threshold", "scrape", "scheme"),
    *("source", "from", "to", "cluster", "mirror", "min-ready", "rollback", "enabled", "reason"),
    *("slo", "probe", "slo-errors", "slo-availability", "origin", "floor-origin", "", "-", "é"),
]


@pytest.mark.parametrize("written", TYPOS)
def test_a_slip_of_the_hand_is_understood(written: str) -> None:
    """A key that is one slip in a word, or another spelling of the same words, is named."""
    assert nearest(written, KEYS) == TYPOS[written]


@pytest.mark.parametrize("written", FOREIGN)
def test_what_means_something_else_is_not_guessed(written: str) -> None:
    """A key that only looks like one of ours, or is of another tool, is answered with all that there are."""
    assert nearest(written, KEYS) is None


def test_two_that_are_as_near_are_not_guessed() -> None:
    """Where more than one key is as near, none is named."""
    assert nearest("steps", ("stepss", "tsteps")) is None


@given(st.text(max_size=300))
def test_any_text_has_an_answer(written: str) -> None:
    """Whatever is written is answered with a known key or none, and a known one with itself."""
    assert nearest(written, KEYS) in (None, *KEYS)
    assert [nearest(key, KEYS) for key in KEYS] == list(KEYS)
