"""What must be so, whatever the product thinks of it: checked at each decision, each write and at rest.

Nothing here asks the product's own judgement: shares come from the weights on the API servers, evidence
from the model's weather, and what a record says counts only as what was written.
"""

from __future__ import annotations

from controller.domain import SOAK_SHARE, WHOLE
from tests.model.search import BrokenError
from tests.model.state import (
    CLUSTERS,
    STORED,
    Controller,
    Moment,
    Note,
    Place,
    SplitAt,
    SplitWrite,
    Try,
)
from tests.model.weather import WEATHERS, WISHES, Weather


def share(place: Place, cluster: int, target: str) -> int:
    """Return the target's share of a cluster's calls, by its weights; without a split calls stay local."""
    away = place.split.away if place.split else 0
    return WHOLE - away if CLUSTERS[cluster] == target else away


def decided(moment: Moment, who: Controller, weather: Weather, write: SplitWrite) -> None:
    """A share is raised only on PASS of all paths, with the lease, by one step, in an attempt not over."""
    attempt = write.note.attempt
    if attempt is None:
        return
    observed = who.views[write.cluster]
    before, after = share(observed, write.cluster, attempt.target), _share_of(write, attempt)
    baseline = attempt.baseline[write.cluster]
    if write.revert:
        _require(
            after in (before, baseline), f"a revert moves to {after}, neither home nor where it is"
        )
        _require(write.note.reverted is not None, "a revert does not latch")
    _require(after in (write.note.share, before), "record and weights tell two shares")
    for place in who.views:
        _after_a_revert(attempt, place.split.note if place.split else None)
    if after <= before:
        return
    _require(weather.passes, f"a share rises while the evidence is: {weather.name}")
    _require(who.leads, "a share rises without the lease")
    spec = WISHES[moment.spec]
    _require(spec.rises, f"a share rises while the annotations say: {spec.name}")
    _require(
        _name(attempt) not in moment.over,
        "a share rises in an attempt that is over",
    )
    for place in who.views:
        known = place.split.note if place.split else None
        latched = known and known.reverted and known.attempt and _name(known.attempt)
        _require(latched != _name(attempt), "a share rises though a record is latched")
    _require(after <= _next_step(who, attempt), f"a share rises to {after}, more than one step")


def _after_a_revert(attempt: Try, known: Note | None) -> None:
    """After a revert only an attempt with a higher number is written, whatever its target."""
    if known is None or known.attempt is None or known.reverted is None:
        return
    if _name(attempt) != _name(known.attempt) and attempt.started > known.attempt.started:
        _require(
            attempt.number > known.attempt.number,
            f"attempt {attempt.number} begins though attempt {known.attempt.number} was reverted",
        )


def landed(before: Moment, write: SplitWrite, after: Moment) -> None:
    """What a write does to a split is lawful, by what stood there just before."""
    _require(0 <= write.away <= WHOLE, f"a weight is {write.away}")
    old = before.servers[write.cluster].split
    attempt = write.note.attempt
    _epochs(before, write, old)
    if attempt is None:
        return
    for cluster, place in enumerate(before.servers):
        known = place.split.note if place.split else None
        if known is not None and known.attempt is not None:
            _against(write.note, attempt, known, known.attempt, same_split=cluster == write.cluster)
    if not before.touched:
        _home(before, attempt)
        shares = [share(after.servers[k], k, attempt.target) for k in (0, 1)]
        bounces = shares[0] > 0 and shares[1] < WHOLE
        pinned = all(place.pin for place in after.servers)
        _require(
            not bounces or pinned, "requests bounce: both splits point away and a pin is missing"
        )


def _epochs(before: Moment, write: SplitWrite, old: SplitAt | None) -> None:
    epochs = [
        place.split.note.fencing_token
        for place in before.servers
        if place.split and place.split.note
    ]
    if old is not None and old.note is not None:
        _require(
            write.note.fencing_token >= old.note.fencing_token,
            "a write of an older epoch is accepted",
        )
    if not write.revert and len(epochs) == len(CLUSTERS):
        _require(
            write.note.fencing_token >= min(epochs),
            "an older leader's raise lands after a newer one led",
        )


def _against(note: Note, attempt: Try, known: Note, other: Try, *, same_split: bool) -> None:
    """Compare a record that lands with one of the same attempt that stands, on the same split or the other.

    A raise that was under way when the revert began may still land on the other split: nothing can call it
    back. It meets the revert's next write, and no raise is decided any more (see ``decided``).
    """
    if (*_name(attempt), attempt.started) != (*_name(other), other.started):
        return
    _require(attempt.baseline == other.baseline, "home changes within an attempt")
    kept = note.reverted is not None or known.reverted is None or not same_split
    _require(kept, "the latch of a revert is written over")


def _name(attempt: Try) -> tuple[str, int]:
    return attempt.target, attempt.number


def _home(before: Moment, attempt: Try) -> None:
    """At the first record of an attempt, home is where the callers are."""
    known = [p.split.note.attempt for p in before.servers if p.split and p.split.note]
    if any(a and (a.target, a.started) == (attempt.target, attempt.started) for a in known):
        return
    for cluster, baseline in enumerate(attempt.baseline):
        now = share(before.servers[cluster], cluster, attempt.target)
        _require(baseline == (WHOLE if now == WHOLE else 0), "home is not where the callers were")


def at_rest(moment: Moment) -> None:
    """Once nothing more comes, a migration stands where its spec and its evidence want it."""
    if moment.touched:
        return
    notes = [place.split.note for place in moment.servers if place.split and place.split.note]
    attempts = [note.attempt for note in notes if note.attempt]
    on_report = next((c.failed for c in moment.controllers if c.failed), moment.weather)
    weather, spec = WEATHERS[on_report], WISHES[moment.spec]
    if not attempts:
        _require(
            not (weather.passes and spec.rises), "nothing begins, though nothing is in the way"
        )
        return
    newest = max(attempts, key=lambda a: a.started)
    shares = [share(place, k, newest.target) for k, place in enumerate(moment.servers)]
    above = [now > baseline for now, baseline in zip(shares, newest.baseline, strict=True)]
    ended = [note for note in notes if note.reverted and note.attempt]
    latched = [note for note in ended if note.attempt and _name(note.attempt) == _name(newest)]
    completed = [note.completed for note in notes if note.completed and note.attempt == newest]
    both = attempts == [newest, newest]
    _require(both or not any(above), "callers moved, and the two records tell two attempts")
    if latched:
        _require(len(latched) == 2, "one of the two records does not know of the revert")
        _require(weather.keeps or not any(above), f"callers stay at {shares} after a revert")
        copies = [place.pin.latch for place in moment.servers if place.pin]
        known = {(c.target, c.attempt) for c in copies if c}
        _require(_name(newest) in known, "no pin remembers the revert")
        return
    if len(completed) == 2:
        _require(shares == [WHOLE, WHOLE], f"completed at {shares}")
        return
    _require(
        not (spec.goes_home(newest.target) and any(above)), f"callers stay at {shares}: {spec.name}"
    )
    _require(
        not (weather.leaves and any(above)), f"callers stay at {shares} with a target that is bad"
    )
    done = _name(newest) in moment.over
    free = weather.passes and spec.rises and not done
    _require(not free, f"it stops at {shares}, though nothing is in the way")


def _next_step(who: Controller, attempt: Try) -> int:
    """Return the highest share that may follow what both records, as they were seen, have reached."""
    reached = 0
    for cluster, place in enumerate(who.views):
        note = place.split.note if place.split else None
        mine = (
            note is not None
            and note.attempt is not None
            and note.attempt.started == attempt.started
        )
        if (
            mine
            and note is not None
            and note.since is not None
            and attempt.baseline[cluster] < WHOLE
        ):
            reached = max(reached, note.share)
    steps = STORED[attempt.spec].steps
    schedule = (*(() if steps == "now" else steps), SOAK_SHARE, WHOLE)
    return next((step for step in schedule if step > reached), WHOLE)


def _share_of(write: SplitWrite, attempt: Try) -> int:
    return WHOLE - write.away if CLUSTERS[write.cluster] == attempt.target else write.away


def _require(true: object, otherwise: str) -> None:
    if not true:
        raise BrokenError(otherwise)
