"""What is read from the API servers themselves before anything is concluded from it."""

from __future__ import annotations

from controller.decide.gates.endpoints import emptinesses
from controller.decide.input import Input
from controller.domain import Action, ReadEndpoints


def reads(given: Input) -> list[Action]:
    """Return what is to be read: slices that show nobody, where somebody depends on them."""
    found = {each.cluster for each in emptinesses(given) if each.is_to_be_read}
    return [ReadEndpoints(cluster, given.observed.key) for cluster in sorted(found)]


def ends_s(given: Input) -> float | None:
    """Return when a doubt ends, or a read is due again, in seconds from now; None where nothing is doubted."""
    found = list(emptinesses(given))
    times = [each.doubted_s for each in found if each.doubted_s]
    times += [each.rereads_s for each in found]
    return min(times, default=None)
