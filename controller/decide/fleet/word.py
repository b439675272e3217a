"""What Fleets say to one Service, put together for one time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.decide.fleet.placing import Placement
from controller.decide.fleet.progress import Picture, WaveView
from controller.domain import PREFIX, Key
from controller.domain.fleet import Fleet, FleetWord, Limits, Wave


def word_for(
    key: Key,
    placement: Placement,
    pictures: Mapping[str, Picture],
    owner: frozenset[str] = frozenset(),
) -> FleetWord | None:
    """Return what Fleets say to a Service, None where none has a say. ``owner`` are the keys that it says itself."""
    if not placement.is_member:
        return None
    said = [(pictures[name], pictures[name].waves[n - 1]) for name, n in placement.places]
    if len(said) > 1:
        return _torn(key, said)
    ((found, view),) = said
    fleet, wave = found.fleet, view.wave
    return FleetWord(
        fleet=fleet.name,
        wave=wave.name,
        wish=_wish(fleet, returns=view.returns),
        unclear=" ".join(filter(None, (found.unclear, view.unclear, _bad_defaults(fleet, owner)))),
        waits=view.waits,
        closed=found.closed,
        stopped=found.stopped,
        paused=_paused(fleet),
        rollback=_rollback(fleet, view),
        fallen=view.fallen,
        returns=view.returns,
        limits=() if view.returns else (*_limits(key, fleet, view),),
    )


def _torn(key: Key, said: Sequence[tuple[Picture, WaveView]]) -> FleetWord:
    """Return the word to a Service that more than one wave names: it moves by none, and whoever wants it back, or to
    stay, is heard."""
    fleets = [found.fleet for found, _ in said]
    first, names = fleets[0], sorted({fleet.name for fleet in fleets})
    where = [torn_between(view.wave, found.fleet.name) for found, view in said]
    return FleetWord(
        fleet=first.name,
        wish=_wish(first, returns=said[0][1].returns) if len(names) == 1 else {},
        unclear=torn_message(key, where),
        paused=next(filter(None, map(_paused, fleets)), ""),
        rollback=next(filter(None, (_rollback(found.fleet, view) for found, view in said)), ""),
    )


def torn_between(wave: Wave, fleet: str) -> str:
    """Return how a wave is named beside another."""
    return f"wave {wave.name} of Fleet {fleet}"


def torn_message(key: Key, waves: Sequence[str]) -> str:
    """Return that several waves name a Service, and what to do."""
    return f"{key} is in {' and in '.join(waves)}, so it moves by none: leave it in one."


def _wish(fleet: Fleet, *, returns: bool) -> dict[str, str]:
    target = fleet.origin if returns else fleet.target
    return {**fleet.defaults, "target": target} if target else dict(fleet.defaults)


def _bad_defaults(fleet: Fleet, owner: frozenset[str]) -> str:
    """Return what is wrong with the defaults that a Service would take."""
    return " ".join(wrong for key, wrong in fleet.bad_defaults.items() if key not in owner)


def _paused(fleet: Fleet) -> str:
    if not fleet.by_hand.paused:
        return ""
    return (
        f"the annotation {PREFIX}paused of Fleet {fleet.name} keeps everybody: kubectl migrate fleet"
        f" resume {fleet.name}"
    )


def _rollback(fleet: Fleet, view: WaveView) -> str:
    if not view.rollback:
        return ""
    names = ",".join(sorted(fleet.by_hand.rollback))
    return f"the annotation {PREFIX}rollback of Fleet {fleet.name} is {names}"


def _limits(key: Key, fleet: Fleet, view: WaveView) -> list[tuple[str, int]]:
    """Return under which names a Service takes a slot, and how many may be held under each."""
    return [
        *_limit(key, f"fleet {fleet.name}", fleet.limits),
        *_limit(key, f"wave {view.wave.name} of fleet {fleet.name}", view.wave.limits),
    ]


def _limit(key: Key, name: str, limits: Limits) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    if limits.in_progress is not None:
        found.append((name, limits.in_progress))
    if limits.per_namespace is not None:
        found.append((f"{name} in {key.namespace}", limits.per_namespace))
    return found
