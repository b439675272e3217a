"""How many requests the controller sends: for one step of one migration, and when nothing happens.

    python -m tests.benchmarks calls [--idle-s SECONDS]

Counted by the embedded API servers themselves, by user agent. A step is counted from the Event of one step
to the Event of a later one, so each window holds whole steps; the dwell is 1 s, and a longer step
adds one status every 10 s. Idle: 50 migrations enrolled and paused, but lists and watches opened anew.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh import EKS
from tests.benchmarks.ground import CLUSTERS, Ground
from tests.benchmarks.inventory import Inventory, service_name
from tests.benchmarks.product import Product, Progress
from tests.benchmarks.result import Line, Result
from tests.benchmarks.stand_in import StandIn

AGENT = "migrate-controller"
STEPS = (1, 5, 10, 20, 30, 40, 50, 60)
STEPPING = {
    "target": EKS,
    "slo-success": "99",
    "probe-rate": "50",
    "dwell": "1s",
    "steps": ",".join(str(step) for step in STEPS),
}
STEP_LIMIT_S = 60.0
ENROLLED = 50
QUIET_S = 3.0
"""Without a write: everything has been said."""

WRITES = ("create", "update", "patch", "delete")


async def measure(say: Progress, idle_s: float) -> Result:
    """Measure the idle controller first, then the steps, on the same servers."""
    with tempfile.TemporaryDirectory() as folder:
        apis = {name: EmbeddedApi(name) for name in CLUSTERS}
        async with (
            Ground(apis, Inventory(ENROLLED + 1, ENROLLED + 1)) as ground,
            StandIn() as stand_in,
            Product(Path(folder), ground.kubeconfigs(), stand_in.urls),
        ):
            say(f"enrolling {ENROLLED} Services")
            for number in range(ENROLLED):
                await ground.enrol(service_name(number), {})
            await _quiet(apis)
            say(f"counting calls for {idle_s:g} s")
            before = _calls(apis)
            await asyncio.sleep(idle_s)
            idle = _calls(apis) - before
            say(f"a migration through {len(STEPS)} steps")
            stepping = await _stepping(ground, apis, service_name(ENROLLED))
    return Result(
        (_step_line(stepping), _idle_line(idle, idle_s)),
        {
            "writes_per_step": round(_writes(stepping) / (len(STEPS) - 1), 2),
            "idle_calls_per_minute": round(_not_relist(idle).total() * 60.0 / idle_s, 1),
        },
    )


async def _stepping(
    ground: Ground, apis: dict[str, EmbeddedApi], service: str
) -> Counter[tuple[str, str]]:
    """Return the calls from the first step's Event to the last step's."""
    await ground.enrol(service, STEPPING)
    await ground.annotate(service, {"paused": "false"})
    await ground.until(lambda: ground.told(service, _at(STEPS[0])), "no first step", STEP_LIMIT_S)
    before = _calls(apis)
    await ground.until(lambda: ground.told(service, _at(STEPS[-1])), "no last step", STEP_LIMIT_S)
    return _calls(apis) - before


def _at(step: int) -> str:
    """Return what the Event says once both clusters stand at this step."""
    return f"share {step}/{step} %"


def _calls(apis: dict[str, EmbeddedApi]) -> Counter[tuple[str, str]]:
    """Count the controller's requests so far, by verb and resource."""
    found: Counter[tuple[str, str]] = Counter()
    for api in apis.values():
        for request, count in api.requests.items():
            if request.user_agent.startswith(AGENT):
                found[request.verb, request.resource] += count
    return found


async def _quiet(apis: dict[str, EmbeddedApi]) -> None:
    """Wait until the controller has written nothing but the Lease for a while, 60 s at most."""
    async with asyncio.timeout(60.0):
        while True:
            before = _calls(apis)
            await asyncio.sleep(QUIET_S)
            if not _writes(_calls(apis) - before):
                return


def _writes(calls: Counter[tuple[str, str]]) -> int:
    return sum(n for (verb, what), n in calls.items() if verb in WRITES and what != "leases")


def _not_relist(calls: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    return Counter({at: n for at, n in calls.items() if at[0] not in ("list", "watch")})


def _step_line(stepping: Counter[tuple[str, str]]) -> Line:
    steps = len(STEPS) - 1
    kinds = ", ".join(
        f"{verb} {what} {count / steps:.2f}"
        for (verb, what), count in sorted(stepping.items())
        if what != "leases" and verb in WRITES
    )
    return Line(
        "writes per step",
        steps,
        f"{_writes(stepping) / steps:.2f}",
        "",
        "4: 2 splits, 1 status, 1 Event",
        f"{kinds}; embedded API servers, dwell 1 s",
    )


def _idle_line(idle: Counter[tuple[str, str]], idle_s: float) -> Line:
    kinds = ", ".join(f"{verb} {what} {count}" for (verb, what), count in sorted(idle.items()))
    return Line(
        "idle calls per minute",
        1,
        f"{_not_relist(idle).total() * 60.0 / idle_s:.1f}",
        "",
        "the Lease only",
        f"{ENROLLED} enrolled migrations, in {idle_s:g} s: {kinds or 'none'}; lists and watches"
        " that are opened anew are not in the figure",
    )
