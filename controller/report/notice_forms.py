"""A notice in the form that a receiver takes: CloudEvents, Slack's or Teams'. Pure.

Texts may come from anybody who may annotate a Service: in no form can they be markup, call a channel or hide a link.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from controller.domain.notices import Notice, Tone
from controller.domain.status import rfc3339

Form = Literal["cloudevents", "slack", "teams"]

LONGEST = 1400
"""Characters of one text. Slack refuses a section of more than 3,000, which is two of them; Teams a card of 28 KB."""

PEOPLE_READ = MappingProxyType(
    {"target": "Target", "share": "Share", "reason": "Reason", "next": "Next", "wave": "Wave"}
)
"""The facts that are shown to people, and how they are called there."""

MARKS = MappingProxyType({Tone.GOOD: "✅", Tone.INFO: "▶️", Tone.WARNING: "⚠️"})
COLOURS = MappingProxyType({Tone.GOOD: "Good", Tone.INFO: "Accent", Tone.WARNING: "Attention"})


def body_of(form: Form, notice: Notice, source: str) -> tuple[bytes, str]:
    """Return what is posted, and its Content-Type. ``source`` names this installation, as a URI reference."""
    make, content_type = _FORMS[form]
    return msgspec.json.encode(make(notice, source)), content_type


def identity(notice: Notice, source: str) -> str:
    """Return the same text for the same notice, however often and by whomever it is sent."""
    parts = (source, notice.kind, notice.subject, rfc3339(notice.at), notice.message)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _cloud_event(notice: Notice, source: str) -> dict[str, Any]:
    """Return a CloudEvent 1.0 in the JSON format's structured mode."""
    whom = {"service": notice.name} if notice.namespace else {"fleet": notice.name}
    namespace = {"namespace": notice.namespace} if notice.namespace else {}
    return {
        "specversion": "1.0",
        "id": identity(notice, source),
        "source": source,
        "type": f"tradeshift.migrate.{notice.kind}",
        "subject": notice.subject,
        "time": rfc3339(notice.at),
        "datacontenttype": "application/json",
        "data": {
            "kind": notice.kind,
            "tone": notice.tone,
            "message": notice.message,
            **notice.facts,
            **namespace,
            **whom,
        },
    }


def _slack(notice: Notice, _source: str) -> dict[str, Any]:
    """Return a message of an incoming webhook. ``text`` is what a notification on a telephone shows."""
    head = f"{MARKS[notice.tone]} {notice.kind}: {notice.subject}"
    blocks: list[dict[str, Any]] = [
        _section(f"*{_slack_text(head)}*\n{_slack_text(notice.message)}")
    ]
    if facts := _read_by_people(notice.facts):
        line = " · ".join(f"{name}: {_slack_text(value)}" for name, value in facts)
        blocks.append({"type": "context", "elements": [_mrkdwn(line)]})
    return {"text": _slack_text(f"{head}: {notice.message}"), "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> dict[str, Any]:
    """Return a text in which Slack makes no links of names and addresses by itself."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


_SLACK = MappingProxyType({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def _slack_text(text: str) -> str:
    """Return a text in which <!channel> calls nobody, and <http://...|here> is no link; bounded as it is sent."""
    escaped = ""
    for character in text:
        piece = _SLACK.get(character, character)
        if len(escaped) + len(piece) > LONGEST:
            return f"{escaped} ..."
        escaped += piece
    return escaped


def _teams(notice: Notice, _source: str) -> dict[str, Any]:
    """Return an Adaptive Card, as a Workflow takes it at "When a Teams webhook request is received".

    Of text runs, because the other elements read Markdown.
    """
    title = {"weight": "Bolder", "size": "Medium", "color": COLOURS[notice.tone]}
    rows = [
        _runs(_run(f"{notice.kind}: {notice.subject}", **title)),
        _runs(_run(notice.message)),
        *(
            _runs(_run(f"{name}: ", weight="Bolder"), _run(value), spacing="Small")
            for name, value in _read_by_people(notice.facts)
        ),
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": _short(f"{notice.kind}: {notice.subject}: {notice.message}"),
        "body": rows,
        "msteams": {"width": "Full"},
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def _runs(*runs: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs), **more}


def _run(text: str, **more: str) -> dict[str, Any]:
    return {"type": "TextRun", "text": _short(text), **more}


def _read_by_people(facts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, facts[key]) for key, name in PEOPLE_READ.items() if facts.get(key)]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


_FORMS: Mapping[Form, tuple[Callable[[Notice, str], dict[str, Any]], str]] = MappingProxyType(
    {
        "cloudevents": (_cloud_event, "application/cloudevents+json; charset=utf-8"),
        "slack": (_slack, "application/json; charset=utf-8"),
        "teams": (_teams, "application/json; charset=utf-8"),
    }
)
