"""The main scenarios are what their transcripts say."""

from __future__ import annotations

import pytest

from tests.scenarios.transcripts import FOLDER, SCENARIOS, transcript


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_as_it_was_told(name: str) -> None:
    """A scenario writes, posts and says what its transcript has, at the same virtual times.

    Where the change is meant: ``python -m tests.scenarios.transcripts``, and read the diff.
    """
    assert transcript(name) == (FOLDER / f"{name}.txt").read_text()


def test_no_transcript_is_left_behind() -> None:
    """Each file among the transcripts is of a scenario that is told."""
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(SCENARIOS)
