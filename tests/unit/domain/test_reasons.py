"""The catalogue of reasons: each has its meaning, and whoever greps for one lands in what finds it."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from controller.decide import gates, warnings
from controller.decide.gates import rollback, rollback_guard
from controller.domain import Reason
from controller.domain.reasons import CATALOGUE, UNLISTED, Level
from controller.report.metrics import REVERTS
from tests.unit.decide.gates.inputs import name_of

ROOT = Path(__file__).resolve().parents[3]

OF_SEVERAL = {
    "latched",
    "reverted",
    "pin_latched",
    "split_defective",
    "cannot_probe",
}
"""Gates whose reason is another's to say: the latch's, the defect's, the probe's."""


def test_every_reason_has_its_meaning() -> None:
    """Each reason has one row, in the order of the enum, that says what it means and what to do."""
    assert list(CATALOGUE) == list(Reason)
    assert all(meaning.means and meaning.do for meaning in CATALOGUE.values())


@pytest.mark.parametrize("reason", Reason)
def test_a_member_is_named_as_its_text(reason: Reason) -> None:
    """HAND_EDITED is HandEdited: who knows one knows the other."""
    assert reason.value == "".join(word.capitalize() for word in reason.name.split("_"))


def test_gates_are_named_by_their_finding() -> None:
    """Each gate, each guard of a rollback and each warning has the name of the reason that it gives."""
    found = [*gates.ALL, *rollback_guard.GUARDS, *warnings.ALL]
    names = {str(getattr(each, "every", each).__name__) for each in found}
    assert names - {reason.name.lower() for reason in Reason} == OF_SEVERAL


def test_what_reverts_is_what_the_gates_of_rollback_find() -> None:
    """The reasons that metrics count reverts by are those of the gates that revert, and no other."""
    found = {name_of(gate) for gate in rollback.GATES} - OF_SEVERAL
    assert {reason.lower() for reason in REVERTS} == {name.replace("_", "") for name in found}


def test_what_passes_by_itself_asks_for_nobody() -> None:
    """A reason that ends in the ordinary course pages nobody, and one that is waited for is such a reason."""
    for reason in Reason:
        meaning = reason.meaning
        assert not (meaning.transient and meaning.pages)
        assert (meaning.transient or meaning.chosen) or meaning.level is not Level.WAIT


@pytest.mark.parametrize("text", ["TargetHaunted", "", "two words"])
def test_a_text_of_another_version_is_taken_as_it_is(text: str) -> None:
    """A reason that is not in the catalogue keeps its text, equals it, and has a meaning all the same."""
    reason = Reason(text)
    assert (reason, f"{reason}", reason.meaning) == (text, text, UNLISTED)
    assert msgspec.json.encode(reason) == msgspec.json.encode(text)
    assert reason not in list(Reason)


def test_only_a_text_is_a_reason() -> None:
    """What is no text is refused."""
    with pytest.raises(ValueError, match="7 is not a valid Reason"):
        Reason(7)  # type: ignore[arg-type]  # what is refused


def test_alerts_name_reasons_that_there_are() -> None:
    """Each reason that an alert's expression names is in the catalogue."""
    rules = (ROOT / "dashboards" / "out" / "rules.yaml").read_text()
    named = {
        text for found in re.findall(r'reason[=!]~?"([^"]+)"', rules) for text in found.split("|")
    }
    assert len(named) > 5
    assert named <= {reason.value for reason in Reason}
