"""Service annotations to a MigrationSpec, or to what is wrong with them: a closed grammar.

Every key is a row of :mod:`controller.domain.annotation_schema`. A key under the prefix that is not there, or a value
outside its row's grammar, is malformed and named in a sentence that says what to write instead. Nothing
raises on what a person wrote, and nothing that is malformed ever moves traffic towards a target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from controller.domain import PREFIX, Malformed, MigrationSpec, ProbeSpec, Problem
from controller.domain.annotation_schema import EXCLUDED, GRAMMAR, KEYS, Row, Wrong, rows, shortened
from controller.domain.spelling import nearest

MAX_VALUE_BYTES = 1024
"""A longer value is refused unread; the longest that is well-formed has a few hundred."""

NO_WISH: Mapping[str, str] = MappingProxyType({})

MAX_NAME = 63
"""The longest name that Kubernetes allows after the prefix: shown whole, because people paste it."""


def read(
    by_cluster: Mapping[str, Mapping[str, str]],
    clusters: tuple[str, str],
    wish: Mapping[str, str] = NO_WISH,
) -> MigrationSpec | Malformed | None:
    """Read the annotations that the Service of one name has in each of the two clusters.

    ``by_cluster`` holds all annotations of each, or only ours; a cluster may be absent. None where no
    annotation under the prefix is found. Where both are annotated, ``abort`` and ``paused`` hold if
    either says so, the higher ``attempt`` counts, and any other difference is a conflict, given as a
    problem of cluster "" (both). ``wish`` is what a Fleet asks for, by key without the prefix, where neither Service
    says it. Never raises on what a person wrote.
    """
    ours = {cluster: _ours(by_cluster.get(cluster, {})) for cluster in clusters}
    if not any(ours.values()) and not wish:
        return None
    problems: list[Problem] = []
    spec: dict[str, Any] = {}
    probe: dict[str, Any] = {}
    for row in rows(clusters):
        merged, wrong = _row(row, ours, wish)
        problems += wrong
        if merged is not None:
            (probe if row.of_probe else spec)[row.field] = merged
    problems.extend(_unknown(ours))
    if problems:
        abort = any(texts.get("abort") == "true" for texts in ours.values())
        return Malformed(tuple(problems), abort=abort, target=spec.get("target"))
    return MigrationSpec(probe=ProbeSpec(**probe), **spec)


def shown(spec: MigrationSpec) -> dict[str, str]:
    """Return the annotations that say this spec, in the reference's order: :func:`read` reads it back.

    Only what differs from the defaults is shown, with the prefix.
    """
    default = MigrationSpec()
    said: dict[str, str] = {}
    # The names of the clusters matter for reading only.
    for row in rows(("", "")):
        value = getattr(spec.probe if row.of_probe else spec, row.field)
        if value != getattr(default.probe if row.of_probe else default, row.field):
            said[PREFIX + row.key] = row.show(value)
    return said


def _ours(annotations: Mapping[str, str]) -> dict[str, str]:
    found = {
        k.removeprefix(PREFIX): text for k, text in annotations.items() if k.startswith(PREFIX)
    }
    found.pop(EXCLUDED, None)
    return found


def _row(
    row: Row, ours: Mapping[str, Mapping[str, str]], wish: Mapping[str, str]
) -> tuple[Any, list[Problem]]:
    """Return what the clusters say in one row together, else a Fleet's wish (None: nothing that counts), and what is
    wrong there."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    own = any(row.key in texts for texts in ours.values())
    for cluster, texts in (ours if own else {"": wish}).items():
        if row.key in texts:
            value = _value(row, texts[row.key])
            if isinstance(value, Wrong):
                problems.append(_problem(row, cluster, texts[row.key], value))
            else:
                values[cluster] = value
    merged = _merged(row, values)
    return (None, [*problems, merged]) if isinstance(merged, Problem) else (merged, problems)


def _value(row: Row, text: str) -> Any:
    """Return the row's value or Wrong; a text that is too long is not even parsed."""
    length = _bytes(text)
    if length > MAX_VALUE_BYTES:
        return Wrong(f"is {length:,} bytes long, and no value has more than {MAX_VALUE_BYTES:,}")
    return row.parse(text)


def _bytes(text: str) -> int:
    # Lone surrogates cannot come from an API server's JSON, but must not raise if they do.
    return len(text.encode("utf-8", "surrogatepass"))


def _merged(row: Row, values: Mapping[str, Any]) -> Any:
    """Return what the clusters say together, None where neither says anything, or the conflict."""
    said = list(values.values())
    if not said:
        return None
    if row.key in ("abort", "paused"):
        return any(said)
    if row.key == "attempt":
        return max(said)
    if all(value == said[0] for value in said):
        return said[0]
    texts = " and ".join(
        f'"{shortened(row.show(value))}" in {cluster}' for cluster, value in values.items()
    )
    key = PREFIX + row.key
    message = f"{key} is {texts}: write one value in both, or remove it from one with {key}-."
    return Problem(key, "", message)


def _problem(row: Row, cluster: str, text: str, wrong: Wrong) -> Problem:
    key = PREFIX + row.key
    what = wrong.why if _bytes(text) > MAX_VALUE_BYTES else f'is "{shortened(text)}", {wrong.why}'
    write = (
        f"{key}={wrong.instead}"
        if wrong.instead
        else f"{row.write}, for example {key}={row.example}"
    )
    return Problem(key, cluster, f"{key} {what}: write {write}.")


def _unknown(ours: Mapping[str, Mapping[str, str]]) -> Iterator[Problem]:
    examples = {PREFIX + row.key: row.example for row in GRAMMAR}
    for cluster, texts in ours.items():
        for key in sorted(texts.keys() - set(KEYS)):
            name = PREFIX + shortened(key, MAX_NAME)
            meant = nearest(key, KEYS)
            if meant:
                near = PREFIX + meant
                example = f"{near}={examples[near]}" if near in examples else near
                write = f"write {example} instead, and remove this one with {name}-"
            else:
                write = f"remove it with {name}-; the keys are {', '.join(KEYS)}"
            yield Problem(PREFIX + key, cluster, f"{name} is not a key: {write}.")
