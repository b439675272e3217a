"""What is read from the API servers themselves before anything is concluded from it."""

from __future__ import annotations

from controller.decide.gates.endpoints import emptinesses, lasts_in_s
from controller.decide.gates.gate import IN_FORCE_S, in_force_was_read, unproven
from controller.decide.input import Input
from controller.domain import Action, ReadEndpoints, ReadSplits


def reads(given: Input) -> list[Action]:
    """Return what is to be read: slices that show nobody, where somebody depends on them, and splits that should be in
    force and are not seen to be."""
    key = given.observed.key
    found = {each.cluster for each in emptinesses(given) if each.is_to_be_read}
    slices = [ReadEndpoints(cluster, key) for cluster in sorted(found)]
    overdue = given.observed.settled_s >= IN_FORCE_S and not in_force_was_read(given)
    return [*slices, ReadSplits(key)] if overdue and unproven(given) else [*slices]


def ends_s(given: Input) -> float | None:
    """Return when a doubt ends, or a read is due again, or has lasted for
    long enough, in seconds from now; None where nothing is doubted."""
    found = list(emptinesses(given))
    times = [each.doubted_s for each in found if each.doubted_s]
    times += [each.rereads_s for each in found]
    times += lasts_in_s(given)
    return min(times, default=None)
