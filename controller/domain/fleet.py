"""What Fleets ask for, and what they say to one migration. Fields that end in ``_s`` are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

ALL = "all"
"""Every wave, where an annotation of a Fleet names waves."""


@dataclass(frozen=True, slots=True)
class FleetProblem:
    """One thing that is wrong in a Fleet: where, as ``spec.waves[1].name``, and a sentence that says what to write.

    ``wave`` is the number of the wave that it concerns, from 1 (0: all of the Fleet). ``holds``: who is concerned
    stays until it is mended.
    """

    where: str
    message: str
    wave: int = 0
    holds: bool = True


Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]
"""How a label is compared."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One of a selector's ``matchExpressions``."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels meet it, as Kubernetes has it: what is absent is not in any values."""
        if self.operator == "In":
            return labels.get(self.key) in self.values
        if self.operator == "NotIn":
            return labels.get(self.key) not in self.values
        return (self.key in labels) == (self.operator == "Exists")


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector as Kubernetes has it: without labels and requirements it admits everything."""

    labels: tuple[tuple[str, str], ...] = ()
    requirements: tuple[Requirement, ...] = ()

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels meet all of it."""
        return all(labels.get(key) == value for key, value in self.labels) and all(
            requirement.admits(labels) for requirement in self.requirements
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """An entry of a wave's ``services``. ``namespace`` is "" where ``namespaces`` selects them; without ``names`` it is
    every Service there whose labels ``services`` admits."""

    namespace: str = ""
    names: frozenset[str] = frozenset()
    namespaces: Selector = Selector()
    services: Selector = Selector()


@dataclass(frozen=True, slots=True)
class Limits:
    """How many Services may hold a slot at once, together and of one namespace (None: no limit of its own)."""

    in_progress: int | None = None
    per_namespace: int | None = None


@dataclass(frozen=True, slots=True)
class Wave:
    """Services that move together in time. ``number`` counts from 1, ``bake_s`` from the last one's completion."""

    name: str
    number: int
    services: tuple[Selection, ...] = ()
    by_hand: bool = False
    bake_s: float = 0.0
    together: bool = False
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Window:
    """A time when nothing rises (``deny``), or when alone something does (``allow``).

    Either it begins by ``schedule`` (cron, in ``zone``) and lasts ``duration_s``, which is time that passes, whatever
    clocks are set to; or it is from ``begins`` until ``ends`` (None: without an end).
    """

    kind: Literal["deny", "allow"]
    schedule: str = ""
    duration_s: float = 0.0
    zone: str = "UTC"
    begins: datetime | None = None
    ends: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StopRule:
    """The line stops after ``reverts`` attempts that ended by evidence ``within_s`` of each other."""

    reverts: int
    within_s: float


@dataclass(frozen=True, slots=True)
class ByHand:
    """What people ask by a Fleet's annotations; of ``open``, ``rollback`` and ``returns`` the names of waves, or
    :data:`ALL`."""

    opened: frozenset[str] = frozenset()
    paused: bool = False
    resumed_at: datetime | None = None
    rollback: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fleet:
    """A programme that moves many Services from ``origin`` to ``target`` ("": it names no cluster). ``defaults`` are
    texts of annotations by key, without the prefix, and ``bad_defaults`` what is wrong with the others. ``uid``,
    ``generation`` and ``created`` are the object's."""

    name: str
    uid: str = ""
    generation: int = 0
    created: datetime | None = None
    origin: str = ""
    target: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    windows: tuple[Window, ...] = ()
    line: StopRule | None = None
    waves: tuple[Wave, ...] = ()
    by_hand: ByHand = ByHand()
    problems: tuple[FleetProblem, ...] = ()
    bad_defaults: Mapping[str, str] = field(default_factory=dict)

    def asks(self, names: frozenset[str], wave: Wave) -> bool:
        """Return whether an annotation that names waves names this one."""
        return ALL in names or wave.name in names


class MemberState(StrEnum):
    """Where a Service of a Fleet stands, as its status counts it."""

    COMPLETED = "completed"
    UNDER_WAY = "underWay"
    REVERTED = "reverted"
    BLOCKED = "blocked"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Standing:
    """What was decided last for one migration, as far as Fleets ask. ``target`` is of the attempt that stands.

    ``own_target``: its owner names another cluster than its Fleet. ``fell`` is when an attempt was ended by evidence
    last (None: none was), ``rose`` when its share was written last.
    """

    state: MemberState
    target: str = ""
    own_target: bool = False
    reason: str = ""
    message: str = ""
    started: datetime | None = None
    completed: datetime | None = None
    fell: datetime | None = None
    rose: datetime | None = None


@dataclass(frozen=True, slots=True)
class FleetWord:
    """What Fleets say to one migration. ``wave`` is "" where more than one names it.

    ``wish`` holds what the Fleet asks for a Service that does not say it itself: texts of annotations by key. Each of
    the others is "" or a sentence for people: ``unclear`` says why it moves by no Fleet, ``waits`` what its wave waits
    for, ``closed`` which window keeps it, ``stopped`` which reverts, ``paused`` and ``rollback`` which annotation, and
    ``fallen`` who of its wave, which moves together, was rolled back. ``returns``: it is to go back, if it has moved.
    ``limits`` are of slots: a name, and how many may hold one under it.
    """

    fleet: str
    wave: str = ""
    wish: Mapping[str, str] = field(default_factory=dict)
    unclear: str = ""
    waits: str = ""
    closed: str = ""
    stopped: str = ""
    paused: str = ""
    rollback: str = ""
    fallen: str = ""
    returns: bool = False
    limits: tuple[tuple[str, int], ...] = ()

    @property
    def source(self) -> str:
        """Return where its wish comes from, as people are told."""
        return f"fleet/{self.fleet}/{self.wave}" if self.wave else f"fleet/{self.fleet}"
