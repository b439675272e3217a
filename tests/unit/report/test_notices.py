"""What a notice says, and how: of which transition, and in the form of each receiver."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.domain import Key
from controller.domain.notices import NOTICES, Notice, NoticeKind
from controller.domain.status import readable
from controller.report import fleet_status
from controller.report.notice_forms import Form, body_of
from controller.report.notices import of_migration

AT = datetime(2026, 1, 1, 8, tzinfo=UTC)
EVIL = "<!channel> <https://evil.example|log in> & [log in](https://evil.example) **now**"
NOTICE = Notice(
    NoticeKind.REVERTED, AT, "shop", "cart", EVIL, {"target": "eks", "reason": EVIL, "phase": "x"}
)


def status(*history: tuple[str, str], reason: str = "Dwelling", blocked: bool = False) -> Any:
    """The status after these transitions, each a phase and a share."""
    return readable(
        {
            "phase": history[-1][0] if history else "",
            "share": history[-1][1] if history else "",
            "clusters": ["legacy", "eks"],
            "observed": {"target": "eks", "attempt": 2},
            "reason": reason,
            "conditions": [{"type": "Blocked", "status": str(blocked)}],
            "history": [
                {"at": "2026-01-01T08:00:00Z", "phase": phase, "share": share, "message": "why"}
                for phase, share in history
            ],
        }
    )


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (status(), None),
        (status(("Pending", "0/0")), None),
        (status(("Pending", "0/0"), ("Progressing", "0/0")), "Started"),
        (status(("Reverted", "0/0"), ("Holding", "0/0"), reason="Paused"), "Started"),
        (status(("Progressing", "0/0"), ("Progressing", "1/1")), "StepRaised"),
        (status(("Progressing", "1/1"), ("Progressing", "10/1")), None),
        (status(("Progressing", "10/1"), ("Progressing", "10/10?")), "StepRaised"),
        (status(("Progressing", "50/50"), ("Soaking", "99.9/99.9")), "StepRaised"),
        (status(("Progressing", "?/1"), ("Progressing", "1/1")), None),
        (status(("Progressing", "1/1"), ("Progressing", "?/1")), None),
        (status(("Holding", "1/1"), ("Progressing", "1/1")), None),
        (status(("Pending", "0/0"), reason="NotExported", blocked=True), "Held"),
        (status(("Pending", "0/0"), reason="Paused", blocked=True), None),
        (
            status(("Progressing", "1/1"), ("Holding", "1/1"), reason="HandEdited", blocked=True),
            "Held",
        ),
        (status(("Progressing", "10/10"), ("Reverting", "10/10")), "Reverting"),
        (status(("Reverting", "10/10"), ("Reverting", "0/10")), None),
        (status(("Reverting", "0/10"), ("Reverted", "0/0"), reason="TargetBad"), "Reverted"),
        (status(("Soaking", "99.9/99.9"), ("Completed", "100/100")), "Completed"),
        (status(("Completed", "100/100"), ("Completed", "100/100")), None),
    ],
)
def test_each_transition_is_of_its_kind(found: Any, kind: str | None) -> None:
    """A transition makes the notice of its kind, or none, by what stood before it."""
    notice = of_migration(Key("shop", "cart"), found)
    assert (notice.kind if notice else None) == kind
    if notice:
        assert (notice.subject, notice.message, notice.at) == ("shop/cart", "why", AT)
        assert notice.facts["attempt"] == "2"
        assert "fleet" not in notice.facts


def test_each_event_of_a_fleet_is_a_kind() -> None:
    """Whatever reason an Event on a Fleet has is in the catalogue, as of a Fleet; the catalogue has every kind."""
    reasons = set(re.findall(r'Event\(\s*"(\w+)"', inspect.getsource(fleet_status)))
    assert reasons == {kind.value for kind, told in NOTICES.items() if told.of_fleet}
    assert set(NOTICES) == set(NoticeKind)


def sent(form: Form, notice: Notice = NOTICE) -> tuple[Any, str]:
    """What is posted, and its type."""
    body, content_type = body_of(form, notice, "//migrate.tradeshift/legacy/migrate/x")
    return json.loads(body), content_type


def texts(found: Any) -> list[str]:
    """Every text in a body."""
    if isinstance(found, Mapping):
        return [text for value in found.values() for text in texts(value)]
    if isinstance(found, list):
        return [text for value in found for text in texts(value)]
    return [found] if isinstance(found, str) else []


def test_a_cloud_event_has_what_the_specification_asks_for() -> None:
    """It is a CloudEvent 1.0 in structured mode, of a type by its kind; sent again it has the same id."""
    event, content_type = sent("cloudevents")
    assert content_type.startswith("application/cloudevents+json")
    known = event.pop("id")
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "source": "//migrate.tradeshift/legacy/migrate/x",
        "type": "tradeshift.migrate.Reverted",
        "subject": "shop/cart",
        "time": "2026-01-01T08:00:00Z",
        "datacontenttype": "application/json",
    }
    assert (data["namespace"], data["service"], data["message"]) == ("shop", "cart", EVIL)
    assert sent("cloudevents")[0]["id"] == known
    others = [
        replace(NOTICE, message="x"),
        replace(NOTICE, name="x"),
        replace(NOTICE, namespace=""),
    ]
    assert known not in [sent("cloudevents", other)[0]["id"] for other in others]
    fleet, _ = sent("cloudevents", replace(NOTICE, namespace=""))
    assert (fleet["data"]["fleet"], fleet["subject"]) == ("cart", "fleet/cart")


def test_in_slack_nothing_is_markup() -> None:
    """Every text is escaped and verbatim, so that no channel is called and no link is made, and short enough."""
    message, _ = sent("slack")
    assert not [text for text in texts(message) if re.search(r"<|>|&(?!amp;|lt;|gt;)", text)]
    assert "&lt;!channel&gt;" in message["text"]
    marked = [part for part in _objects(message) if part.get("type") == "mrkdwn"]
    assert marked
    assert all(part["verbatim"] for part in marked)
    long, _ = sent("slack", replace(NOTICE, message="&" * 5000, name="<" * 5000))
    assert (
        max(map(len, (block["text"]["text"] for block in long["blocks"] if "text" in block))) < 3000
    )


def test_in_teams_nothing_is_markup() -> None:
    """It is a message with one Adaptive Card, whose texts are runs, which read no Markdown, and small enough."""
    message, _ = sent("teams")
    assert message["type"] == "message"
    (attachment,) = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert {run["type"] for block in card["body"] for run in block["inlines"]} == {"TextRun"}
    assert EVIL in texts(card["body"])
    long = replace(
        NOTICE, message="ä" * 9000, facts=dict.fromkeys(("target", "reason"), "ä" * 9000)
    )
    assert len(body_of("teams", long, "x")[0]) < 28_000


def _objects(found: Any) -> list[Mapping[str, Any]]:
    """Every mapping in a body."""
    if isinstance(found, Mapping):
        return [found, *(one for value in found.values() for one in _objects(value))]
    return [one for value in found for one in _objects(value)] if isinstance(found, list) else []
