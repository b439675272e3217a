"""What is said of the origin's pods once a migration is completed: measured, or not, and why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.decide.gates import finished
from controller.domain import Port
from controller.evidence.clients.claimed import AT_REST_S
from tests.unit.decide.gates.inputs import NOW, SERVICE, given, traffic

BOTH = {"context": {"prometheus": frozenset({"legacy", "eks"})}}
NONE = {"legacy": traffic(counted=True, proxied=3), "eks": traffic(counted=True, proxied=3)}
TCP = replace(SERVICE, ports=(Port("db", 5432),))


def message(**observed: Any) -> str:
    """What the gate says of a migration to eks that is completed."""
    ruling = finished.completed(given(1000, record={"completed": NOW}, **{**BOTH, **observed}))
    assert ruling is not None
    return ruling.message


@pytest.mark.parametrize(
    ("observed", "told"),
    [
        ({"traffic": NONE}, "no request reached legacy's pods in the last 2 min (Prometheus)"),
        (
            {"traffic": {"legacy": traffic(counted=True, proxied=3)}},
            (
                "no request from legacy reached legacy's pods in the last 2 min (Prometheus); whether any from"
                " eks did was not measured"
            ),
        ),
        (
            {"traffic": {**NONE, "eks": traffic(counted=True, proxied=3, unknown="away")}},
            (
                "no request from legacy reached legacy's pods in the last 2 min (Prometheus); whether any from"
                " eks did was not measured"
            ),
        ),
        (
            {"context": {}},
            "whether anybody still calls legacy's pods was not measured: no Prometheus of legacy",
        ),
        (
            {"traffic": {}},
            "whether anybody still calls legacy's pods is not known: the Prometheus of legacy does not tell",
        ),
        (
            {"traffic": {**NONE, "legacy": traffic(counted=True, proxied=3, unknown="away")}},
            "whether anybody still calls legacy's pods is not known: the Prometheus of legacy does not tell",
        ),
        (
            {"traffic": {**NONE, "legacy": traffic(proxied=3)}},
            "whether anybody still calls legacy's pods is being measured",
        ),
        (
            {"traffic": {**NONE, "legacy": traffic(counted=True, proxied=2)}},
            "whether anybody still calls legacy's pods is not known: of 3 pods only 2 have a proxy that counts",
        ),
        (
            {"traffic": NONE, "settled_s": AT_REST_S - 1},
            "whether anybody still calls legacy's pods is being measured",
        ),
        (
            {"traffic": NONE, "legacy": {"service": TCP}},
            "whether anybody still calls legacy's pods is not known: connections to a TCP port are not counted",
        ),
        (
            {"traffic": NONE, "legacy": {"service": None}},
            "whether anybody still calls legacy's pods is not known: legacy has no such Service",
        ),
        (
            {
                "traffic": {
                    **NONE,
                    "legacy": traffic(counted=True, proxied=3, reached={"shop/web": 1}),
                }
            },
            "callers in legacy still reach legacy's pods",
        ),
        (
            {
                "traffic": {**NONE, "legacy": traffic(proxied=3, reached={"shop/web": 99})},
                "settled_s": 1.0,
            },
            "callers in legacy still reach legacy's pods",
        ),
        (
            {
                "traffic": {**NONE, "legacy": traffic(proxied=3, reached={"shop/web": 9})},
                "settled_s": 1.0,
            },
            "whether anybody still calls legacy's pods is being measured",
        ),
        (
            {
                "traffic": {
                    "legacy": traffic(counted=True, proxied=3, unmeshed=1),
                    "eks": traffic(counted=True, proxied=3, to_origin=1),
                }
            },
            "callers in legacy and eks still reach legacy's pods",
        ),
    ],
)
def test_what_was_measured_is_said_and_what_was_not(observed: dict[str, Any], told: str) -> None:
    """A completed migration claims of the origin's pods what was measured, and says why nothing was."""
    assert message(**observed) == f"eks serves 100 % by both splits; {told}"


def test_weights_that_were_changed_are_not_claimed() -> None:
    """Where somebody changed a split since completion, it is said what was, not what is."""
    ruling = finished.completed(given(900, record={"completed": NOW}))
    assert ruling is not None
    assert ruling.message.startswith("eks served, when it was completed, 100 % by both splits; ")


@pytest.mark.parametrize(("settled_s", "again_s"), [(10.0, AT_REST_S - 10.0), (AT_REST_S, None)])
def test_it_looks_again_once_the_window_is_clean(settled_s: float, again_s: float | None) -> None:
    """After a step of the weights it is decided again when nothing of before is counted any more."""
    ruling = finished.completed(given(1000, record={"completed": NOW}, settled_s=settled_s))
    assert ruling is not None
    assert ruling.requeue_after_s == again_s
