"""The product broken on purpose, each path by a name, to see that the oracle sees it.

    python -m tests.faults.broken "raises without the lease"

travels the journey with that defect, prints what the oracle says, and exits with 1 where it says nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from controller.decide import gates, laws, plan
from controller.decide.gates import endpoints, evidence
from controller.decide.input import Input
from controller.domain import Action, Verdict, WritePin
from controller.kube.api import Cluster
from controller.kube.objects import Resource
from controller.mesh.splits import trafficsplit
from controller.runtime.lease import Leader
from controller.runtime.terms import Terms
from tests.faults import matrix
from tests.faults.catalogue import OF_CALLS
from tests.faults.disturbances import SECOND
from tests.faults.run import Case, Clean, Injection, Outcome, Run, Setup, clean_run, in_child


def _ungated(*names: str) -> Callable[[], None]:
    """Leave gates out. A name that is no gate's is an error of the defect's own."""

    def break_it() -> None:
        assert set(names) <= {_name(gate) for gate in gates.ALL}, names
        gates.ALL = tuple(g for g in gates.ALL if _name(g) not in names)

    return break_it


def _name(gate: Any) -> str:
    return str(getattr(gate, "every", gate).__name__)


def _everybody_leads() -> None:
    """Believe in the lease without holding it."""
    Leader.leads = property(lambda _: True)  # type: ignore[assignment, method-assign]
    Leader.left_s = property(lambda _: 10.0)  # type: ignore[assignment, method-assign]


def _fail_is_nothing() -> None:
    """Look away from the paths that FAILed."""
    _ungated("target_bad")()
    four = vars(evidence)["four_paths"]

    def good(given: Input) -> Any:
        return [(path, found) for path, found in four(given) if found.verdict is not Verdict.FAIL]

    vars(evidence)["four_paths"] = good


def _no_versions() -> None:
    """Patch splits without resourceVersion; of the Lease it is what says who leads at all."""
    patch = Cluster.patch

    async def unguarded(
        self: Any, resource: Any, namespace: str, name: str, body: Any, **more: Any
    ) -> Any:
        metadata = dict(body.get("metadata", {}))
        if resource is not Resource.LEASES:
            metadata.pop("resourceVersion", None)
        return await patch(self, resource, namespace, name, {**body, "metadata": metadata}, **more)

    Cluster.patch = unguarded  # type: ignore[method-assign]


def _without_pins(make: Callable[[Input], list[Action]]) -> Callable[[Input], list[Action]]:
    return lambda given: [a for a in make(given) if not isinstance(a, WritePin)]


def _no_pins() -> None:
    """Pin nothing, and look away from what shows it."""
    for name in ("make", "repair"):
        vars(plan)[name] = _without_pins(vars(plan)[name])
    vars(evidence)["four_paths"] = lambda *_: []
    _ungated("pin_missing", "pin_young", "gateway_not_pinned", "gateway_loop", "target_bad")()


def _double_weights() -> None:
    """Write weights that sum to 2,000: Linkerd takes them for the same shares."""
    body = trafficsplit.body

    def doubled(write: Any, mirror: str) -> dict[str, Any]:
        made = body(write, mirror)
        for backend in made["spec"]["backends"]:
            backend["weight"] *= 2
        return made

    trafficsplit.body = doubled


def _endpoints_are_believed() -> None:
    """Take what slices show at its word, whatever the probes say."""
    endpoints.Emptiness.doubted_s = 0.0  # type: ignore[method-assign, assignment]  # a property becomes a number


def _one_lease_is_enough() -> None:
    """Look away from another Lease's leader."""
    _ungated("two_leases")()
    Terms.listens_s = lambda *_: 0.0  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Defect:
    """How the product is broken, the run in which that shows, and a part of what the oracle says then."""

    break_it: Callable[[], None]
    says: str
    setup: Setup = Setup.ONE
    fault: str = ""
    """Done to each raise of a split, or in each phase, in a run of its own: who leads by then is chance."""


DEFECTS: Mapping[str, Defect] = MappingProxyType(
    {
        "raises without the lease": Defect(
            _everybody_leads,
            "does not hold the lease",
            setup=Setup.TWO,
            fault="stopped before",
        ),
        "raises without evidence": Defect(
            _ungated("blind", "both_ways_bad", "way_bad", "collecting"), "good and 0 bad probes"
        ),
        "ignores FAIL": Defect(_fail_is_nothing, "the target FAILed"),
        "writes without resourceVersion": Defect(
            _no_versions,
            "an older leader, was accepted",
            setup=Setup.TWO,
            fault="stopped on the way",
        ),
        "believes endpoints alone": Defect(
            _endpoints_are_believed,
            "no probe was bad",
            fault="pods of eks unready for 0.3 s",
        ),
        "raises beside another lease's leader": Defect(
            _one_lease_is_enough, "with two leases", fault=SECOND
        ),
        "jumps to where a dropped record was": Defect(
            _ungated("hand_edited"),
            "somebody wrote the split in legacy anew",
            fault="split replaced",
        ),
        "rises in a closed window": Defect(
            _ungated("window_closed"),
            "the Fleet has a window closed",
            setup=Setup.FLEET,
            fault="window closed, Fleet",
        ),
        "rises in a Fleet that is paused": Defect(
            _ungated("fleet_paused"),
            "the Fleet is paused",
            setup=Setup.FLEET,
            fault="Fleet paused, Fleet",
        ),
        "moves without pins": Defect(_no_pins, "bounce"),
        "writes weights that are no shares": Defect(_double_weights, "the weights are"),
    }
)


def main(name: str) -> int:
    """Show one defect."""
    defect = DEFECTS[name]
    clean = clean_run(1, defect.setup)
    outcomes: list[Outcome] = []

    def travel() -> list[str]:
        vars(laws)["broken"] = (
            lambda *_: ()
        )  # they would keep the defect from raising, unseen by the oracle
        defect.break_it()
        if not defect.fault:
            return _wrong_in(lambda: Run(1, setup=defect.setup).go())
        run = Run(1, _cases(defect, clean), setup=defect.setup, clean=clean, report=outcomes.append)
        found = _wrong_in(run.go)
        return [*(wrong for outcome in outcomes for wrong in outcome.wrong), *found]

    found = in_child(travel)
    sys.stdout.write("\n".join(found) + "\n")
    return 0 if any(defect.says in wrong for wrong in found) else 1


def _cases(defect: Defect, clean: Clean) -> list[Case]:
    """Return the runs in which the fault is done that shows a defect."""
    if defect.fault in OF_CALLS:
        calls = _raises(clean)
        return [Case(defect.fault, (Injection("call", n, defect.fault),)) for n in calls]
    cases = (*matrix.lost(), *matrix.blinks(), *matrix.of_fleets(clean))
    return [case for case in cases if case.group == defect.fault]


def _raises(clean: Clean) -> list[int]:
    """Return the numbers of the writes of shares above the baseline: after the attempt's two records."""
    patches = [
        call.number
        for _, call in clean.calls
        if call.method == "PATCH" and "/trafficsplits/" in call.path
    ]
    return patches[2:]


def _wrong_in(travel: Callable[[], object]) -> list[str]:
    try:
        travel()
    except AssertionError as error:
        return [str(error)]
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
