"""What a gate is given, made in one place: a healthy migration from legacy to eks, with what a row changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from controller.decide.gates import Gate
from controller.decide.input import Input, input_of
from controller.decide.resolve import stored
from controller.domain import (
    WHOLE,
    Attempt,
    Begun,
    CallPath,
    Endpoints,
    GlobalContext,
    Hold,
    Key,
    Latch,
    Malformed,
    MigrationSpec,
    Observed,
    ObservedCluster,
    ObservedService,
    PathEvidence,
    Pin,
    Port,
    ProbeSpec,
    Reason,
    Record,
    Reverted,
    Ruling,
    Side,
    Split,
    SplitKind,
    TrafficEvidence,
    Verdict,
    Weights,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EARLIER = NOW - timedelta(days=1)
SPEC = MigrationSpec(target="eks")
REVERTED = Reverted("TargetBad", "500s", EARLIER)
GOOD = PathEvidence(
    Verdict.PASS, Reason.MET, threshold=20.0, clean=764, needed=764, silent_s=0.1, heard_s=0.1
)
BAD = replace(
    GOOD, verdict=Verdict.FAIL, reason=Reason.SUCCESS_MISSED, points=25.0, bad_share_3s=0.5
)
SERVICE = ObservedService("u", (Port("http", 80),), cluster_ip="10.0.0.1")
PODS = Endpoints(3, pods={"http": ("10.1.0.1:8080",)})
Change = Mapping[str, Any]


def spec(**changed: Any) -> MigrationSpec:
    """Return the spec with this changed; ``probe`` is what is asked of the probes."""
    if "probe" in changed:
        changed["probe"] = ProbeSpec(**changed["probe"])
    return msgspec.structs.replace(SPEC, **changed)


def attempt(**changed: Any) -> Attempt:
    """Return an attempt that began on three pods of the origin, with nobody at the target."""
    begun = Attempt(1, "legacy", "eks", {"legacy": 0, "eks": 0}, 3, stored(SPEC), EARLIER)
    return msgspec.structs.replace(begun, **changed)


def split(away: int = 0, record: Any = None, **changed: Any) -> Split:
    """Return a TrafficSplit of ours that sends this much to the mirror."""
    ours = record or Record(SplitKind.TRAFFICSPLIT, fencing_token=1)
    weights = Weights(Decimal(WHOLE - away), Decimal(away))
    made = Split(SplitKind.TRAFFICSPLIT, "service-a", "1", away, weights, ours)
    return replace(made, **changed)


def traffic(**changed: Any) -> TrafficEvidence:
    """Return what real callers see, of whom nothing is known but what is given."""
    return replace(TrafficEvidence(Verdict.UNKNOWN, Reason.TOO_FEW), **changed)


def given(
    share: int | None = None,
    *,
    asked: MigrationSpec | Malformed | None = SPEC,
    begun: Change | None = None,
    record: Change | None = None,
    legacy: Change | None = None,
    eks: Change | None = None,
    context: Change | None = None,
    paths: Mapping[tuple[str, Side], Change | PathEvidence] | None = None,
    **observed: Any,
) -> Input:
    """Return the input of a gate: all callers at this share by an attempt (None: none has begun).

    ``begun`` changes the attempt, ``record`` both records, ``legacy`` and ``eks`` what is in a cluster,
    ``context`` the settings, ``paths`` what is known of a path, and the rest what was observed beside it.
    """
    records = {
        name: Record(
            SplitKind.TRAFFICSPLIT,
            fencing_token=1,
            attempt=None if share is None else attempt(**(begun or {})),
            share_permille=share or 0,
            since=EARLIER if share else None,
        )
        for name in ("legacy", "eks")
    }
    changes = {"legacy": legacy or {}, "eks": eks or {}}
    made = Observed(
        key=Key("default", "service-a"),
        context=replace(
            GlobalContext(("legacy", "eks"), leads=True, may_roll_back=True, fencing_token=1),
            **(context or {}),
        ),
        clusters={
            name: replace(
                _cluster(name, share or 0, msgspec.structs.replace(kept, **(record or {}))),
                **changes[name],
            )
            for name, kept in records.items()
        },
        spec=asked,
        paths=_paths(paths or {}),
        has_slot=True,
    )
    made = replace(made, **observed)
    return input_of(made, NOW)


def _cluster(name: str, share: int, record: Record) -> ObservedCluster:
    other = "eks" if name == "legacy" else "legacy"
    return ObservedCluster(
        name,
        current=True,
        service=SERVICE,
        mirror=replace(SERVICE, mirror_of=other),
        endpoints=PODS,
        mirror_endpoints=Endpoints(1),
        splits=(split(share if name == "legacy" else WHOLE - share, record),),
        pin=Pin("1", EARLIER, begun=_copy_of(record)),
        split_kinds=frozenset(SplitKind),
    )


def _copy_of(record: Record) -> Begun | None:
    """Return what a pin remembers of the attempt that every record names."""
    names: dict[str, tuple[str, ...]] = {"legacy": ("service-a",), "eks": ("service-a",)}
    return Begun(record.attempt, names, record.completed) if record.attempt else None


def _paths(
    changes: Mapping[tuple[str, Side], Change | PathEvidence],
) -> dict[CallPath, PathEvidence]:
    found = {}
    for callers in ("legacy", "eks"):
        for side in (Side.TARGET, Side.ORIGIN):
            changed = changes.get((callers, side), {})
            known = changed if isinstance(changed, PathEvidence) else replace(GOOD, **changed)
            found[CallPath(callers, side)] = known
    return found


def latched_pin(number: int) -> Pin:
    """Return a pin that remembers an attempt that was reverted."""
    return Pin("1", EARLIER, Latch("eks", number, REVERTED))


@dataclass(frozen=True, slots=True)
class Row:
    """What a gate is given, and its answer as :func:`said` writes it: ``hold HandEdited``, "" where silent."""

    gate: Callable[[Input], Ruling | None]
    given: Input
    answer: str = ""

    def __str__(self) -> str:
        """Return what pytest calls the row."""
        return f"{name_of(self.gate)}: {self.answer or 'silent'}"


def name_of(gate: Gate) -> str:
    """Return the name of the function behind a gate."""
    return str(getattr(gate, "every", gate).__name__)


def said(ruling: Ruling | None) -> str:
    """Return a ruling in two words: hold, wait (it ends by itself), page (a person is asked for) or revert."""
    if ruling is None:
        return ""
    kind = "revert"
    if isinstance(ruling, Hold):
        kind = "wait" if ruling.waits else "page" if ruling.alert else "hold"
    return f"{kind} {ruling.reason}"


def one_sided(rows: Sequence[Row], gates: Sequence[Gate]) -> set[str]:
    """Return the gates without a row in which they speak, or without one in which they are silent."""
    speaking = {name_of(row.gate) for row in rows if row.answer}
    silent = {name_of(row.gate) for row in rows if not row.answer}
    return {name_of(gate) for gate in gates} - (speaking & silent)
