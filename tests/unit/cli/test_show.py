from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cli import show
from controller.cli.migration import Migration, read_migration
from controller.cli.waiting import unprinted
from controller.decide.schedule import ScheduledStep, Stage, pass_s, schedule
from controller.domain import PREFIX, LatencySpec, MigrationSpec
from controller.domain.status import Transition
from tests.unit.cli.cli_cluster import ended, migration, path, status

NOW = datetime(2026, 1, 1, 10, 5, 40, tzinfo=UTC)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)


JSON = st.recursive(
    SCALARS,
    _branches,
)


def told(**changed: Any) -> Migration:
    """A Migration that was made five minutes before now."""
    raw = migration(**changed)
    raw["metadata"]["creationTimestamp"] = "2026-01-01T10:00:40Z"
    return read_migration(raw)


def test_the_table_of_all() -> None:
    """The table has a line for each migration, with a namespace where it is asked for."""
    found = [told(), told(name="b", namespace="team", verdict="", next="", phase="Pending")]
    assert show.status_table(found, NOW) == (
        "SERVICE     TARGET   PHASE         SHARE    VERDICT   REASON       NEXT            AGE\n"
        "service-a   eks      Progressing   10/100   UNKNOWN   Collecting   raise to 25 %   5m\n"
        "b           eks      Pending       10/100   -         Collecting   -               5m"
    )
    assert (
        show.status_table(found, NOW, namespaces=True).splitlines()[2].startswith("team        b ")
    )


def test_the_page_of_one() -> None:
    """The page of a Service has its shares, what it waits for, its paths and its warnings."""
    _, facts, paths, warning = show.status_page(told(), NOW).split("\n\n")
    assert facts.splitlines() == [
        "Share         legacy 10 %, eks 100 % of the calls made there go to eks",
        "Waiting for   412 of 764 clean probes of callers in legacy to eks",
        "As of         2026-01-01T10:05:30Z, 10s ago",
    ]
    assert paths.splitlines() == [
        "CALLERS   TO       VERDICT   REASON       POINTS     CLEAN     BAD 3S   ANSWER",
        "legacy    eks      UNKNOWN   Collecting   0.5/21.3   412/764   -        200",
        "legacy    legacy   PASS      -            0.5/21.3   764/764   -        200",
    ]
    assert warning == "Warning   MirrorUnproven: only the pins prove the way"


def test_the_page_has_what_was_bad_just_now() -> None:
    """A path's share of bad probes over the last three seconds is shown, where there were any probes."""
    ways = [path("legacy", "target", badPercent3s=12.5), path("eks", "target")]
    rows = show.paths_table(told(ways=ways).status).splitlines()
    assert rows[1].split()[-3:] == ["12.5", "%", "200"]
    assert rows[2].split()[-2:] == ["-", "200"]


def test_the_page_has_what_real_callers_see() -> None:
    """Where a Prometheus is known the page tells what callers see, by their cluster, or why it does not."""
    observed = {
        "callers": "legacy",
        "verdict": "FAIL",
        "reason": "SuccessMissed",
        "points": 20.04,
        "threshold": 16.67,
        "requests": 1000,
        "failures": 50,
        "badPercent": 5.0,
        "homeBadPercent": 0.0,
        "sharePercent": 4.8,
        "claimedPercent": 10.0,
        "measuredRequests": 1040,
        "strays": True,
    }
    away = {"callers": "eks", "verdict": "UNKNOWN", "reason": "Away", "unknown": "it answers 503"}
    found = told(traffic=[observed, away], share="10?/100")
    _, facts, _, traffic, _ = show.status_page(found, NOW).split("\n\n")
    assert facts.splitlines()[:2] == [
        "Share         legacy 10? %, eks 100 % of the calls made there go to eks",
        "Measured      legacy 4.8 % of 1040 requests, which is not what the split says, eks not known",
    ]
    assert found.status.step_permille == 100
    assert traffic.splitlines() == [
        "REAL CALLERS   VERDICT   REASON          POINTS      FAILED    LAST   ORIGIN   CLAIMED   MEASURED",
        "legacy         FAIL      SuccessMissed   20.0/16.7   50/1000   5 %    0 %      10 %      4.8 % !",
        "eks            UNKNOWN   Away            -           -         -      -        -         -",
        "The Prometheus of eks does not tell: it answers 503",
    ]
    assert traffic in show.explain_page(found, NOW)


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        (ended("Reverted"), ["Message   attempt 1 was reverted: bad"]),
        (ended("Completed"), ["Message   eks serves 100 % by both splits"]),
        (status(message="", waitingFor=""), []),
        (status(), ["Waiting for   412 of 764 clean probes of callers in legacy to eks"]),
        (
            status(
                message="paused is true",
                waitingFor="paused is true",
                conditions=[{"type": "Blocked", "status": "True"}],
            ),
            ["Message   paused is true"],
        ),
        (status(message="a", waitingFor="b"), ["Message       a", "Waiting for   b"]),
    ],
)
def test_what_is_waited_for_is_said_once(changed: dict[str, Any], lines: list[str]) -> None:
    """What comes by itself is waited for; what holds, or is over, is a message."""
    assert show.pairs(show.said(told(**changed).status)).splitlines() == lines


def test_the_page_of_why() -> None:
    """The explanation begins with the last transition and names who asked, and when."""
    page = show.explain_page(told(), NOW)
    assert "40s ago: Progressing, because of Raising\n  second" in page
    assert (
        "Attempt 1 to eks, asked for by kubectl-annotate at 2026-01-01T09:59:00Z, 6m40s ago."
    ) in page
    assert (
        "AT                     TARGET   PHASE         SHARE    REASON      MESSAGE\n"
        "2026-01-01T10:00:00Z   eks      Pending       0/100    Beginning   first\n"
        "2026-01-01T10:05:00Z   eks      Progressing   10/100   Raising     second"
    ) in page


def test_a_cluster_without_the_service_has_no_share() -> None:
    """Where a cluster has no such Service a dash stands for its share, and a sentence says so."""
    page = show.status_page(told(share="10/-"), NOW)
    assert "10/-" in page
    assert "legacy 10 % of the calls made there go to eks; there is no such Service in eks" in page


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10799, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 300, "3h5m"),
        (8 * 3600 + 300, "8h"),
        (48 * 3600 + 3600, "2d1h"),
        (8 * 86400 + 3600, "8d"),
    ],
)
def test_spans_are_those_of_kubectl(seconds: float, text: str) -> None:
    """A stretch of time has one or two units, as in kubectl's AGE."""
    assert show.span(seconds) == text


def test_a_terminal_is_safe_from_what_a_cluster_holds() -> None:
    """Control characters in a status never reach the terminal, and a line stays a line."""
    evil = "a\x1b[2Jb\nc"
    found = told(
        message=evil,
        phase=evil,
        next=evil,
        warnings=[{"reason": "R", "message": evil}],
        history=[{"at": "2026-01-01T10:00:00Z", "phase": evil, "message": evil, "reason": evil}],
        asked={"by": evil},
    )
    pages = [
        show.status_page(found, NOW),
        show.explain_page(found, NOW),
        show.change_line(found),
        show.history_line(found.status.history[0]),
    ]
    for page in pages:
        assert "\x1b" not in page
        assert "b\nc" not in page


@given(st.dictionaries(st.sampled_from(sorted(status())), JSON) | JSON)
def test_any_status_can_be_shown(body: Any) -> None:
    """Whatever somebody wrote into a Migration is shown or called unreadable, and never raises."""
    found = read_migration({"metadata": {"name": "a"}, "status": body})
    assert show.status_page(found, NOW)
    assert show.explain_page(found, NOW)
    assert isinstance(found.answers({}), bool)
    assert found.status.step_permille is None or found.status.step_permille >= 0


def test_a_status_of_another_shape_is_called_so() -> None:
    """A status that cannot be read is a row that says so, and times without a zone are such."""
    for broken in ({"phase": 1}, {"asOf": "2026-01-01T10:00:00"}):
        found = told(**broken)
        assert found.status.reason == "Unreadable"
        assert found.service == "service-a"


def test_what_an_older_controller_measured_is_shown_without_its_count() -> None:
    """A share without the number of requests behind it is shown, and is no share of none."""
    found = told(traffic=[{"callers": "eks", "sharePercent": 24.8}])
    assert show.measured_line(found.status) == "legacy not known, eks 24.8 %"
    assert show.measured_line(told().status) == ""


def test_another_target_that_is_asked_for_is_told_beside_what_stands() -> None:
    """Target, shares and phase are of what stands, and what the annotations name is said in a line of its own."""
    asked = {"by": "kubectl-annotate", "target": "legacy", "at": "2026-01-01T08:00:00Z"}
    found = told(**{**ended("Completed"), "asked": asked})
    row, facts, *_ = show.status_page(found, NOW).split("\n\n")
    assert row.splitlines()[1].split()[:3] == ["service-a", "eks", "Completed"]
    assert "Asked for   legacy; all else here is about eks" in facts
    assert "Attempt 1 to eks; legacy is asked for since, by kubectl-annotate" in show.explain_page(
        found, NOW
    )
    nothing = told(observed={"target": "", "attempt": 1}, asked=asked)
    assert "all else here is about no target" in show.status_page(nothing, NOW)


@pytest.mark.parametrize(
    ("annotations", "observed", "answers"),
    [
        ({"target": "eks"}, ("eks", 7), True),
        ({"target": "legacy"}, ("eks", 1), False),
        ({"target": "eks", "attempt": "2"}, ("eks", 1), False),
        ({"target": "eks", "attempt": "2"}, ("eks", 2), True),
        ({"target": "eks", "attempt": "2"}, ("eks", 3), True),
        ({"target": "eks", "attempt": "x"}, ("eks", 1), True),
        ({"attempt": "2"}, ("eks", 2), True),
    ],
)
def test_a_status_answers_what_is_asked(
    annotations: dict[str, str], observed: tuple[str, int], answers: bool
) -> None:
    """A status of another target, or of an earlier attempt, is no answer to the annotations."""
    target, attempt = observed
    found = told(observed={"target": target, "attempt": attempt})
    assert found.answers({PREFIX + k: v for k, v in annotations.items()}) is answers


def test_a_status_that_took_the_annotations_up_answers_them() -> None:
    """What counts is the target that the controller read, also where another one stands."""
    found = told(asked={"by": "", "target": "legacy"})
    assert found.answers({PREFIX + "target": "legacy"})
    assert not found.answers({PREFIX + "target": "eks"})


@pytest.mark.parametrize(
    ("share", "permille"),
    [
        ("10/100", 100),
        ("99.9/99.9", 999),
        ("?/100", None),
        ("nan/1", None),
        ("inf/1", None),
        ("-1/1", None),
        ("10", None),
        ("", None),
    ],
)
def test_the_step_is_the_lowest_share(share: str, permille: int | None) -> None:
    """Callers who were on the target before stand at 100 %, so the lowest share is the step."""
    assert told(share=share).status.step_permille == permille


def test_a_step_began_when_its_share_was_first_told() -> None:
    """The time at a step counts from its first transition, whatever else was told since."""
    entries = [("10:00", "1/100"), ("10:01", "10/100"), ("10:02", "10/100")]
    history = [
        {"at": f"2026-01-01T{at}:00Z", "phase": "Holding", "share": share} for at, share in entries
    ]
    assert told(history=history).status.step_since == datetime(2026, 1, 1, 10, 1, tzinfo=UTC)
    assert told(history=history, share="25/100").status.step_since is None


# --- the ladder -----------------------------------------------------------------------------------------


def test_a_ladder_adds_up_the_least_times() -> None:
    """Each step lasts as long as its dwell, or as PASS takes where that is longer."""
    spec = MigrationSpec(target="eks", steps=(100, 500), step_pause_s=300.0, soak_s=600.0)
    begun = NOW - timedelta(seconds=100)
    rungs = schedule(spec, 100, begun, NOW)
    pass_time_s = 76.4
    assert pass_s(spec) == pass_time_s
    assert rungs == (
        ScheduledStep(0, Stage.DONE, pass_time_s, None),
        ScheduledStep(100, Stage.NOW, 300.0, None),
        ScheduledStep(500, Stage.NEXT, 300.0, NOW + timedelta(seconds=200)),
        ScheduledStep(999, Stage.LATER, 600.0, NOW + timedelta(seconds=500)),
        ScheduledStep(1000, Stage.LATER, 0.0, NOW + timedelta(seconds=1100)),
    )


def test_a_step_whose_time_is_over_may_end_now() -> None:
    """What lasted longer than it had to is foreseen to end at once, never in the past."""
    rungs = schedule(MigrationSpec(steps=(100,)), 100, NOW - timedelta(days=1), NOW)
    assert rungs[2].earliest == NOW


def test_the_way_back_has_one_step() -> None:
    """With steps=now there is one raise to the soak's share."""
    assert [r.share_permille for r in schedule(MigrationSpec(steps="now"), 0, None, NOW)] == [
        0,
        999,
        1000,
    ]


def test_what_is_not_known_is_not_foreseen() -> None:
    """Without a known share no step is done and no time told; when all is done none is to come."""
    assert {(r.stage, r.earliest) for r in schedule(MigrationSpec(), None, None, NOW)} == {
        (Stage.OPEN, None)
    }
    assert {(r.stage, r.earliest) for r in schedule(MigrationSpec(), 1000, None, NOW)} == {
        (Stage.DONE, None)
    }
    assert {r.earliest for r in schedule(MigrationSpec(), 10, None, None)} == {None}


def test_the_stricter_objective_counts() -> None:
    """PASS takes what the objective that needs most takes, at the rate of the probes."""
    strict = LatencySpec(limit_s=0.3, percent=Decimal("99.99"))
    assert pass_s(MigrationSpec(success_percent=Decimal(99), latency=strict)) == pytest.approx(
        767.2
    )


@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=20, unique=True).map(sorted),
    st.integers(0, 1000),
    st.floats(-1e6, 1e6),
)
def test_a_ladder_only_rises(steps: list[int], reached: int, ago_s: float) -> None:
    """Shares and times rise from step to step, none of them in the past, and at most one step is now."""
    rungs = schedule(
        MigrationSpec(steps=tuple(steps)), reached, NOW - timedelta(seconds=ago_s), NOW
    )
    shares = [r.share_permille for r in rungs]
    times = [r.earliest for r in rungs if r.earliest]
    assert shares == [0, *steps, 999, 1000]
    assert times == sorted(times)
    assert all(time >= NOW for time in times)
    assert len(times) == sum(share > reached for share in shares)
    assert sum(r.stage is Stage.NOW for r in rungs) == (reached < 1000)


# --- what is told once ----------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 3), max_size=12), st.integers(4, 10))
def test_each_transition_is_told_once(grown: list[int], kept: int) -> None:
    """However a history of the last few grows between two looks, each entry is told once and in order."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    every = [
        Transition(at=start + timedelta(seconds=n), message=str(n)) for n in range(1 + sum(grown))
    ]
    length = 1
    observed = list(unprinted(every[:1], None))
    for more in grown:
        length += more
        observed += unprinted(every[:length][-kept:], observed[-1])
    assert observed == every


def test_at_first_only_the_newest_is_told() -> None:
    """What happened before the command began is not told, but where it stands is."""
    first, second = told().status.history
    assert unprinted((first, second), None) == (second,)
    assert unprinted((second,), Transition(at=first.at, message="cut off")) == [second]
