"""Which Services ``check`` is asked about by the name of a wave. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from controller.cli.arguments import Asked
from controller.cli.asking import listed
from controller.cli.exit_codes import Exit, Failure
from controller.cli.kubeconfig import Place
from controller.domain import Key
from controller.domain.spelling import nearest
from controller.runtime.fleets import Fleets


def of_fleet(fleets: Fleets, place: Place, asked: Asked) -> list[Key]:
    """Return the Services that a Fleet moves, or one wave of it. Raises Failure where that is not there."""
    name = chosen(fleets.all(), asked.fleet, str(place))
    waves = fleets.waves_of(name)
    if asked.wave is None:
        found = sorted(waves)
    else:
        refuse_unknown(name, [wave.name for wave in fleets.programme(name).fleet.waves], asked.wave)
        found = sorted(key for key, wave in waves.items() if wave == asked.wave)
    if not found:
        what = f"wave {asked.wave}" if asked.wave else "it"
        raise Failure(f"Fleet {name}: {what} names no Service that can be moved")
    return found


def chosen(known: Sequence[str], name: str | None, place: str) -> str:
    """Return the name of the Fleet that is meant. Raises Failure where there is none, or several and no name."""
    if not known:
        raise Failure(
            f"there is no Fleet in {place}: apply one where the controller holds its Lease, or use that"
            " cluster's --context"
        )
    if name is None and len(known) > 1:
        raise Failure(
            f"there are {len(known)} Fleets, {listed(known)}: say which one", code=Exit.USAGE
        )
    if name is not None and name not in known:
        meant = nearest(name, known)
        instead = f"did you mean {meant}?" if meant else f"there is {listed(known)}"
        raise Failure(f"there is no Fleet {name} in {place}: {instead}", code=Exit.USAGE)
    return name or known[0]


def refuse_unknown(fleet: str, waves: Sequence[str], name: str, every: str = "") -> None:
    """Raise Failure for a wave that a Fleet has not; ``every`` is what is typed for all of them."""
    if name in waves:
        return
    meant = every if every and name == "all" else nearest(name, waves)
    instead = f"did you mean {meant}?" if meant else f"it has {', '.join(waves)}"
    raise Failure(f"Fleet {fleet} has no wave {name}: {instead}", code=Exit.USAGE)
