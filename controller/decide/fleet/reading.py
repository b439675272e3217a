"""A Fleet as it was written to a :class:`Fleet`: what is wrong is a problem, told in a sentence, and never raises.

The API server's schema refuses most of it before it comes here; what an older schema let through, or a cluster whose
CRD somebody changed, must still move nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

from controller.decide.fleet.windows import wrong_schedule, wrong_zone
from controller.domain import PREFIX, Malformed
from controller.domain.annotation_schema import EXCLUDED, KEYS, shortened
from controller.domain.annotations import read as read_annotations
from controller.domain.fleet import (
    ALL,
    ByHand,
    Fleet,
    FleetProblem,
    Limits,
    Operator,
    Requirement,
    Selection,
    Selector,
    StopRule,
    Wave,
    Window,
)
from controller.domain.spelling import nearest

_STRETCH = re.compile(r"([0-9]{1,7})([smh])")
_UNITS_S = {"h": 3600, "m": 60, "s": 1}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")

LONGEST_S = 366 * 24 * 3600
"""Nothing in a Fleet lasts longer."""

MOST_NAMED = 1_000_000
"""A number of Services or reverts above this is a slip of the hand."""

OF_ONE_SERVICE = frozenset({"target", "attempt", "paused", "abort", EXCLUDED})
"""Annotations that are no default: they are about one Service, or have a place of their own in a Fleet."""

HAND_KEYS = ("open", "paused", "resumed-at", "rollback", "return")
"""Annotations of a Fleet, without the prefix."""

_SPEC = (
    "target",
    "defaults",
    "maxInProgress",
    "perNamespace",
    "windows",
    "stopTheLine",
    "waves",
)
_WAVE = ("name", "services", "opens", "bake", "together", "maxInProgress", "perNamespace")
_ENTRY = ("namespace", "names", "namespaceSelector", "selector")
_WINDOW = ("kind", "schedule", "duration", "timeZone", "from", "until", "reason")


@dataclass(frozen=True, slots=True)
class Written:
    """A Fleet's object, as far as it is read. ``spec`` is any JSON, ``annotations`` those under our prefix."""

    name: str
    spec: Any
    annotations: Mapping[str, str] = field(default_factory=dict)
    uid: str = ""
    generation: int = 0
    created: datetime | None = None


def read(written: Written, clusters: tuple[str, str]) -> Fleet:
    """Return what a Fleet asks for, with all that is wrong in it; what is right stands beside that."""
    told = _Told()
    spec = written.spec if isinstance(written.spec, Mapping) else {}
    if spec is not written.spec:
        told.add("spec", f"is {_shown(written.spec)}: write target and waves")
    told.unknown(spec, _SPEC, "spec")
    target = _target(spec, clusters, told)
    defaults, bad = _defaults(spec.get("defaults"), clusters, told)
    waves = tuple(_waves(spec.get("waves"), told))
    return Fleet(
        name=written.name,
        uid=written.uid,
        generation=written.generation,
        created=written.created,
        origin=next((c for c in clusters if c != target), "") if target else "",
        target=target,
        defaults=defaults,
        bad_defaults=bad,
        limits=_limits(spec, "spec", 0, told),
        windows=tuple(_windows(spec.get("windows"), told)),
        line=_line(spec.get("stopTheLine"), told),
        waves=waves,
        by_hand=_by_hand(written.annotations, waves, told),
        problems=tuple(told.problems),
    )


@dataclass(slots=True)
class _Told:
    """The problems found so far."""

    problems: list[FleetProblem] = field(default_factory=list)

    def add(self, where: str, message: str, wave: int = 0, *, holds: bool = True) -> None:
        """Note what is wrong at a place; the sentence begins with it."""
        self.problems.append(FleetProblem(where, f"{where} {message}.", wave, holds))

    def unknown(
        self, found: Mapping[str, Any], keys: Sequence[str], where: str, wave: int = 0
    ) -> None:
        """Note each key that is none of these."""
        for key in sorted(map(str, found.keys() - set(keys))):
            meant = nearest(key, keys)
            write = f"write {meant} instead" if meant else f"the keys are {', '.join(keys)}"
            self.add(where, f"has {shortened(key)}, which is no key: {write}", wave)


def _shown(value: Any) -> str:
    return "missing" if value is None else f'"{shortened(str(value))}"'


def _target(spec: Mapping[str, Any], clusters: tuple[str, str], told: _Told) -> str:
    found = spec.get("target")
    if found in clusters:
        return str(found)
    one, other = clusters
    told.add("spec.target", f"is {_shown(found)}: write {one} or {other}")
    return ""


def _list(value: Any, where: str, told: _Told, wave: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a list, each with where it stands; what is no list has none, and is told."""
    if value is None:
        return
    if not isinstance(value, list):
        told.add(where, f"is {_shown(value)}, which is no list", wave)
        return
    yield from ((f"{where}[{number}]", entry) for number, entry in enumerate(value))


def _map(value: Any, where: str, told: _Told, wave: int = 0) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    told.add(where, f"is {_shown(value)}, which is no map of keys and values", wave)
    return {}


def _whole(value: Any, where: str, told: _Told, wave: int = 0) -> int | None:
    """Return a number from 1, None where none is written or where it is none."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_NAMED:
        return value
    told.add(where, f"is {_shown(value)}: write a whole number from 1", wave)
    return None


def _stretch(value: Any, where: str, told: _Told, wave: int = 0) -> float | None:
    found = _STRETCH.fullmatch(value) if isinstance(value, str) else None
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if 1 <= seconds <= LONGEST_S:
        return float(seconds)
    told.add(where, f"is {_shown(value)}: write a whole number and s, m or h, as 24h", wave)
    return None


def _limits(found: Mapping[str, Any], where: str, wave: int, told: _Told) -> Limits:
    return Limits(
        _whole(found.get("maxInProgress"), f"{where}.maxInProgress", told, wave),
        _whole(found.get("perNamespace"), f"{where}.perNamespace", told, wave),
    )


# --- defaults -----------------------------------------------------------------------------------------


def _defaults(
    value: Any, clusters: tuple[str, str], told: _Told
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the texts that can be defaults, and of the others what is wrong: whoever says such a key itself is not
    concerned."""
    found = {} if value is None else _map(value, "spec.defaults", told)
    good: dict[str, str] = {}
    bad: dict[str, str] = {}
    for key, text in sorted((str(key), text) for key, text in found.items()):
        wrong = _wrong_default(key, text, clusters)
        if wrong:
            bad[key] = f"spec.defaults.{shortened(key)} {wrong}."
            told.problems.append(FleetProblem(f"spec.defaults.{key}", bad[key], holds=False))
        else:
            good[key] = text
    return good, bad


def _wrong_default(key: str, text: Any, clusters: tuple[str, str]) -> str:
    """Return what is wrong with a default, by the checks that a Service's annotation passes; "" where nothing is."""
    if key in OF_ONE_SERVICE:
        return "is asked of one Service by its annotation, and is no default: take it out"
    if not isinstance(text, str):
        return f'is {_shown(text)}, and no text: put it between quotation marks, as "{shortened(str(text))}"'
    read_as = read_annotations({clusters[0]: {PREFIX + key: text}}, clusters)
    if isinstance(read_as, Malformed):
        message = read_as.problems[0].message.replace(PREFIX, "")
        return message.removeprefix(f"{shortened(key)} ").removesuffix(".")
    return ""


# --- waves --------------------------------------------------------------------------------------------


def _waves(value: Any, told: _Told) -> Iterator[Wave]:
    if not value:
        told.add("spec.waves", "has no wave: write at least one, with its name and services")
    names: set[str] = set()
    for number, (where, entry) in enumerate(_list(value, "spec.waves", told), start=1):
        wave = _wave(_map(entry, where, told, number), where, number, told)
        if wave.name in names:
            told.add(f"{where}.name", f'is "{wave.name}", as another\'s: name each once', number)
        names.add(wave.name)
        yield wave


def _wave(found: Mapping[str, Any], where: str, number: int, told: _Told) -> Wave:
    told.unknown(found, _WAVE, where, number)
    opens, together = found.get("opens", "automatically"), found.get("together", False)
    if opens not in ("automatically", "byHand"):
        told.add(f"{where}.opens", f"is {_shown(opens)}: write automatically or byHand", number)
    if not isinstance(together, bool):
        told.add(f"{where}.together", f"is {_shown(together)}: write true or false", number)
    if not found.get("services"):
        told.add(f"{where}.services", "names nobody: write at least one namespace", number)
    services = tuple(
        selection
        for at, entry in _list(found.get("services"), f"{where}.services", told, number)
        if (selection := _selection(_map(entry, at, told, number), at, number, told))
    )
    bake = found.get("bake")
    return Wave(
        name=_wave_name(found.get("name"), where, number, told),
        number=number,
        services=services,
        by_hand=opens != "automatically",
        bake_s=0.0 if bake is None else _stretch(bake, f"{where}.bake", told, number) or 0.0,
        together=together is not False,
        limits=_limits(found, where, number, told),
    )


def _wave_name(value: Any, where: str, number: int, told: _Told) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value) and value != ALL:
        return value
    told.add(f"{where}.name", f"is {_shown(value)}: write lower-case letters, digits and -", number)
    return f"{number}"


def _selection(found: Mapping[str, Any], where: str, number: int, told: _Told) -> Selection | None:
    """Return who an entry names, None where anything is wrong in it: half of a selector names others."""
    before = len(told.problems)
    told.unknown(found, _ENTRY, where, number)
    namespace, by_labels = found.get("namespace"), found.get("namespaceSelector")
    names, selector = found.get("names"), found.get("selector")
    if (namespace is None) == (by_labels is None):
        told.add(where, "has to have either namespace or namespaceSelector", number)
    if namespace is not None and not _is_text(namespace):
        told.add(f"{where}.namespace", f"is {_shown(namespace)}: write its name", number)
    listed = [name for _, name in _list(names, f"{where}.names", told, number)]
    if names == [] or not all(map(_is_text, listed)):
        told.add(f"{where}.names", "has to have the names of Services, or be left out", number)
    selection = Selection(
        namespace=str(namespace or ""),
        names=frozenset(map(str, listed)),
        namespaces=_selector(by_labels, f"{where}.namespaceSelector", number, told),
        services=_selector(selector, f"{where}.selector", number, told),
    )
    return None if len(told.problems) > before else selection


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _selector(value: Any, where: str, number: int, told: _Told) -> Selector:
    if value is None:
        return Selector()
    found = _map(value, where, told, number)
    told.unknown(found, ("matchLabels", "matchExpressions"), where, number)
    labels = _map(found.get("matchLabels") or {}, f"{where}.matchLabels", told, number)
    if not all(isinstance(label, str) for label in labels.values()):
        told.add(f"{where}.matchLabels", "has a value that is no text: quote it", number)
    expressions = _list(found.get("matchExpressions"), f"{where}.matchExpressions", told, number)
    return Selector(
        labels=tuple(sorted((str(key), str(label)) for key, label in labels.items())),
        requirements=tuple(
            _requirement(_map(entry, at, told, number), at, number, told)
            for at, entry in expressions
        ),
    )


def _requirement(found: Mapping[str, Any], where: str, number: int, told: _Told) -> Requirement:
    key, operator, values = found.get("key"), found.get("operator"), found.get("values") or []
    if not (isinstance(key, str) and key):
        told.add(f"{where}.key", f"is {_shown(key)}: write a label's name", number)
    if operator not in _OPERATORS:
        told.add(
            f"{where}.operator",
            f"is {_shown(operator)}: write In, NotIn, Exists or DoesNotExist",
            number,
        )
        operator = "In"
    listed = [str(each) for _, each in _list(values, f"{where}.values", told, number)]
    if operator in ("In", "NotIn") and not listed:
        told.add(f"{where}.values", f"has to say which, for {operator}", number)
    return Requirement(str(key), cast("Operator", operator), frozenset(listed))


# --- windows and the stop rule --------------------------------------------------------------------------


def _windows(value: Any, told: _Told) -> Iterator[Window]:
    for where, entry in _list(value, "spec.windows", told):
        found = _map(entry, where, told)
        told.unknown(found, _WINDOW, where)
        kind = found.get("kind")
        if kind not in ("allow", "deny"):
            told.add(f"{where}.kind", f"is {_shown(kind)}: write deny or allow")
            continue
        reason = str(found.get("reason") or "")
        when = _recurring if "schedule" in found else _once
        window = when(Window(kind, reason=reason), found, where, told)
        if window is not None:
            yield window


def _recurring(window: Window, found: Mapping[str, Any], where: str, told: _Told) -> Window | None:
    schedule, zone = found["schedule"], found.get("timeZone", "UTC")
    before = len(told.problems)
    if wrong := wrong_schedule(schedule):
        told.add(f"{where}.schedule", f"is {_shown(schedule)}, {wrong}")
    if wrong := wrong_zone(zone):
        told.add(f"{where}.timeZone", f"is {_shown(zone)}, {wrong}")
    duration_s = _stretch(found.get("duration"), f"{where}.duration", told)
    if "from" in found or "until" in found:
        told.add(where, "has a schedule and a time: write schedule and duration, or from and until")
    if len(told.problems) > before:
        return None
    return replace(window, schedule=schedule, duration_s=duration_s or 0.0, zone=zone)


def _once(window: Window, found: Mapping[str, Any], where: str, told: _Told) -> Window | None:
    begins = _moment(found.get("from"), f"{where}.from", told)
    ends = _moment(found.get("until"), f"{where}.until", told)
    if begins is None or ends is None:
        return None
    if ends <= begins:
        told.add(where, "ends before it begins: write an until that is later than from")
        return None
    return replace(window, begins=begins, ends=ends)


def moment(text: Any) -> datetime | None:
    """Return a time as RFC 3339 has it, None where that is none."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _moment(value: Any, where: str, told: _Told) -> datetime | None:
    found = moment(value)
    if found is None:
        told.add(where, f"is {_shown(value)}: write a time with its zone, as 2026-12-18T00:00:00Z")
    return found


def _line(value: Any, told: _Told) -> StopRule | None:
    if value is None:
        return None
    where = "spec.stopTheLine"
    found = _map(value, where, told)
    told.unknown(found, ("reverts", "within"), where)
    reverts = _whole(found.get("reverts"), f"{where}.reverts", told)
    if "reverts" not in found:
        told.add(f"{where}.reverts", "is missing: write how many reverts stop the line")
    within_s = _stretch(found.get("within"), f"{where}.within", told)
    return StopRule(reverts, within_s) if reverts and within_s else None


# --- annotations ----------------------------------------------------------------------------------------


def _by_hand(annotations: Mapping[str, str], waves: Sequence[Wave], told: _Told) -> ByHand:
    said = {k.removeprefix(PREFIX): t for k, t in annotations.items() if k.startswith(PREFIX)}
    for key in sorted(said.keys() - set(HAND_KEYS)):
        meant = nearest(key, HAND_KEYS)
        write = f"write {PREFIX}{meant}" if meant else f"the keys are {', '.join(HAND_KEYS)}"
        where = f"annotation {PREFIX}{shortened(key)}"
        belongs = "belongs on Services" if key in (*KEYS, EXCLUDED) else "is no key"
        told.add(where, f"{belongs}: {write}, and remove this one", holds=False)
    paused, resumed = said.get("paused", "false"), said.get("resumed-at")
    if paused not in ("true", "false"):
        told.add(f"annotation {PREFIX}paused", f"is {_shown(paused)}: write true or false")
    resumed_at = moment(resumed)
    if resumed is not None and resumed_at is None:
        message = f"is {_shown(resumed)}: write a time with its zone, as 2026-12-18T08:00:00Z"
        told.add(f"annotation {PREFIX}resumed-at", message, holds=False)
    return ByHand(
        opened=_named(said, "open", waves, told),
        paused=paused != "false",
        resumed_at=resumed_at,
        rollback=_named(said, "rollback", waves, told),
        returns=_named(said, "return", waves, told),
    )


def _named(said: Mapping[str, str], key: str, waves: Sequence[Wave], told: _Told) -> frozenset[str]:
    """Return the names of waves that an annotation has. One that is no wave's opens nobody, and is told; a rollback
    of such a one holds everybody, for somebody wants callers back and does not get them."""
    names = frozenset(name.strip() for name in said.get(key, "").split(",")) - {""}
    known = {wave.name for wave in waves} | ({ALL} if key != "open" else set())
    for name in sorted(names - known):
        where = f"annotation {PREFIX}{key}"
        meant = nearest(name, sorted(known))
        write = f"write {meant}" if meant else f"the waves are {', '.join(sorted(known))}"
        told.add(where, f"has {_shown(name)}, which is no wave: {write}", holds=key == "rollback")
    return names & known
