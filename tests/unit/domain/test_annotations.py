"""Service annotations to specs, and what people are told when they are none."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import PREFIX, LatencySpec, Malformed, MigrationSpec, ProbeSpec
from controller.domain.annotation_schema import KEYS, rows
from controller.domain.annotations import read, shown
from controller.evidence import (
    SAMPLES_IN_MIGRATION,
    Cusum,
    Sprt,
    allowed_bad,
    alpha_share,
    fail_threshold,
)
from tests.unit.domain.annotation_cases import BAD, GOOD

CLUSTERS = ("legacy", "eks")
P = PREFIX
DOC = (Path(__file__).parents[3] / "docs" / "annotations.md").read_text()


def on_one(**texts: str) -> MigrationSpec | Malformed | None:
    """Read annotations of the Service in legacy alone; ``_`` in a name stands for ``-``."""
    return read({"legacy": {P + k.replace("_", "-"): v for k, v in texts.items()}}, CLUSTERS)


def on_both(
    legacy: dict[str, str], eks: dict[str, str], clusters: tuple[str, str] = CLUSTERS
) -> MigrationSpec | Malformed | None:
    """Read annotations of both Services, by names without the prefix."""
    by_cluster = {"legacy": legacy, "eks": eks}
    return read({c: {P + k: v for k, v in t.items()} for c, t in by_cluster.items()}, clusters)


def problem(key: str, value: str) -> str:
    """The one message about this value on the Service in legacy."""
    malformed = read({"legacy": {P + key: value}}, CLUSTERS)
    assert isinstance(malformed, Malformed)
    (only,) = malformed.problems
    assert (P + key, "legacy") == (only.key, only.cluster)
    return only.message


# --- no spec, and the whole table ------------------------------------------------------------------


@pytest.mark.parametrize(
    "by_cluster",
    [
        {},
        {"legacy": {}, "eks": {}},
        {"legacy": {"linkerd.io/inject": "enabled", "migrate.tradeshift.com/target": "eks"}},
        {"elsewhere": {P + "target": "eks"}},
    ],
)
def test_nothing_of_ours_is_no_wish(by_cluster: dict[str, dict[str, str]]) -> None:
    """Without an annotation under the prefix, in either of the two clusters, nobody asks for anything."""
    assert read(by_cluster, CLUSTERS) is None


def test_target_alone_takes_every_default() -> None:
    """A target is enough, and other people's annotations are none of ours."""
    assert MigrationSpec(target="eks") == read(
        {"legacy": {P + "target": "eks", "app": "\x00"}, "eks": {"app": "b"}}, CLUSTERS
    )


def test_without_target_there_is_a_wish_that_moves_nothing() -> None:
    """A spec may lack its target: it is well-formed and nothing moves."""
    assert MigrationSpec(step_pause_s=90.0) == on_one(dwell="90s")


@pytest.mark.parametrize(("key", "value", "spec"), GOOD)
def test_good_value(key: str, value: str, spec: MigrationSpec) -> None:
    """Each of these values is within its row's grammar, up to both ends, and sets one field."""
    assert spec == read({"legacy": {P + key: value}}, CLUSTERS)


def test_one_objective_has_one_text() -> None:
    """99.90 is stored as 99.9: two texts of one objective are no difference in the record."""
    spec = on_one(slo_success="99.90", slo_latency="5ms@90.00")
    assert isinstance(spec, MigrationSpec)
    assert spec.latency is not None
    assert (str(spec.success_percent), str(spec.latency.percent)) == ("99.9", "90")


@pytest.mark.parametrize(("key", "value"), BAD)
def test_bad_value(key: str, value: str) -> None:
    """Each of these values is malformed, and its message shows the key and something that parses."""
    message = problem(key, value)
    assert message.startswith(P + key)
    offered = re.search(rf"{re.escape(P + key)}=(\S+)\.$", message)
    assert offered is not None, message
    assert isinstance(read({"legacy": {P + key: offered[1]}}, CLUSTERS), MigrationSpec), offered[1]


# --- what people are told --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "target",
            "ekss",
            (
                f'{P}target is "ekss", which is neither of the two clusters: write "legacy" or "eks", '
                f"for example {P}target=eks."
            ),
        ),
        (
            "paused",
            "True",
            (
                f'{P}paused is "True", which is neither true nor false: write "true" or "false", '
                f"for example {P}paused=true."
            ),
        ),
        (
            "steps",
            "10,100",
            (
                f'{P}steps is "10,100", where 100 is not within 0.1 to 90; 99.9 and 100 follow by '
                "themselves: write rising percentages from 0.1 to 90 with commas and no spaces, or "
                f'"now", for example {P}steps=1,10,25,50.'
            ),
        ),
        (
            "slo-success",
            "100",
            (
                f'{P}slo-success is "100", which no number of probes can show: write '
                f"{P}slo-success=99.99."
            ),
        ),
        (
            "slo-latency",
            "300ms@100",
            (
                f'{P}slo-latency is "300ms@100", whose percentage is "100", which no number of probes '
                f"can show: write {P}slo-latency=300ms@99.99."
            ),
        ),
        (
            "probe-expect",
            "200,500-599",
            (
                f'{P}probe-expect is "200,500-599", which takes in 508, and that is how a gateway '
                f"reports a loop: write {P}probe-expect=200,500-507,509-599."
            ),
        ),
        (
            "probe-path",
            "/a#b",
            (
                f'{P}probe-path is "/a#b", which holds a fragment ("#..."), and no server ever sees '
                f"one: write {P}probe-path=/a."
            ),
        ),
        (
            "probe-path",
            "http://other/x",
            (
                f'{P}probe-path is "http://other/x", which is a URL, and probes go to this Service and '
                'nowhere else: write a path that starts with one "/", of at most 256 printable ASCII '
                f"characters, for example {P}probe-path=/healthz."
            ),
        ),
        (
            "probe-rate",
            "1000",
            (
                f'{P}probe-rate is "1000", which is not within 1 to 100: write a whole number of probes '
                f"per second from 1 to 100, for example {P}probe-rate=10."
            ),
        ),
        (
            "origin-floor",
            "é" * 600,
            (
                f"{P}origin-floor is 1,200 bytes long, and no value has more than 1,024: write a whole "
                f"percentage from 0 to 100, for example {P}origin-floor=30."
            ),
        ),
        (
            "prob-path",
            "/",
            (
                f"{P}prob-path is not a key: write {P}probe-path=/healthz instead, and remove this one "
                f"with {P}prob-path-."
            ),
        ),
        (
            "tarjet",
            "eks",
            f"{P}tarjet is not a key: write {P}target instead, and remove this one with {P}tarjet-.",
        ),
        (
            "record",
            "{}",
            (
                f"{P}record is not a key: remove it with {P}record-; the keys are target, attempt, "
                "paused, abort, steps, dwell, soak, probe-port, probe-path, probe-protocol, "
                "probe-grpc-service, probe-expect, probe-expect-header, probe-expect-body, "
                "probe-cluster-header, probe-rate, slo-success, slo-latency, origin-floor, split, ports, traffic."
            ),
        ),
    ],
)
def test_message(key: str, value: str, message: str) -> None:
    """The sentence says what is wrong with which value, and what to write instead."""
    assert message == problem(key, value)


def test_long_values_are_shortened_and_control_characters_escaped() -> None:
    """A message never repeats more than 60 characters of a value, and nothing that a terminal obeys."""
    message = problem("target", "a\x1b[2J\n\u202e" + "x" * 200)
    found = re.search(r'"(a.*?)"', message)
    assert found is not None
    assert found[1].startswith("a\\x1b[2J\\n\\u202exxx")
    assert (len(found[1]), found[1][-1]) == (60, "…")


def test_a_value_of_1024_bytes_is_read_and_a_longer_one_is_not() -> None:
    """The limit is 1,024 bytes, and what is beyond it is not repeated."""
    assert "bytes long" not in problem("target", "a" * 1024)
    message = problem("target", "a" * 1025)
    assert "1,025 bytes long" in message
    assert "aaa" not in message


def test_all_problems_are_told_in_a_stable_order() -> None:
    """Everything that is wrong is told at once: by key as in the reference, then cluster, then unknown keys."""
    legacy = {"zzz": "1", "traffic": "on", "zz": "1", "target": "x", "aaa": "1", "z": "1"}
    eks = {"target": "y", "dwell": "1", "bbb": "1"}
    malformed = on_both(legacy, eks)
    assert isinstance(malformed, Malformed)
    assert [(p.key.removeprefix(P), p.cluster) for p in malformed.problems] == [
        ("target", "legacy"),
        ("target", "eks"),
        ("dwell", "eks"),
        ("traffic", "legacy"),
        ("aaa", "legacy"),
        ("z", "legacy"),
        ("zz", "legacy"),
        ("zzz", "legacy"),
        ("bbb", "eks"),
    ]
    reordered = on_both(dict(reversed(legacy.items())), dict(reversed(eks.items())))
    assert malformed == reordered


# --- both annotated -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("legacy", "eks", "spec"),
    [
        ({"target": "eks"}, {"target": "eks"}, MigrationSpec(target="eks")),
        ({"target": "eks"}, {"dwell": "90s"}, MigrationSpec(target="eks", step_pause_s=90.0)),
        ({"paused": "false"}, {"paused": "true"}, MigrationSpec(paused=True)),
        ({"abort": "true"}, {"abort": "false"}, MigrationSpec(abort=True)),
        ({"abort": "false"}, {"abort": "false"}, MigrationSpec()),
        ({"attempt": "3"}, {"attempt": "20"}, MigrationSpec(attempt=20)),
        ({"dwell": "120s"}, {"dwell": "2m"}, MigrationSpec(step_pause_s=120.0)),
        (
            {"probe-path": "/a"},
            {"probe-port": "80"},
            MigrationSpec(probe=ProbeSpec(path="/a", port=80)),
        ),
    ],
)
def test_both_annotated(legacy: dict[str, str], eks: dict[str, str], spec: MigrationSpec) -> None:
    """Two Services make one spec where they agree, by what they mean and not by how they write it."""
    assert spec == on_both(legacy, eks) == on_both(eks, legacy)


def test_conflict_names_both_clusters_and_values() -> None:
    """Two different values are a conflict of both clusters, and neither is taken."""
    malformed = on_both({"target": "eks", "dwell": "90s"}, {"target": "legacy", "dwell": "1h"})
    assert isinstance(malformed, Malformed)
    assert [
        (
            P + "target",
            "",
            (
                f'{P}target is "eks" in legacy and "legacy" in eks: write one value in both, or remove '
                f"it from one with {P}target-."
            ),
        ),
        (
            P + "dwell",
            "",
            (
                f'{P}dwell is "90s" in legacy and "1h" in eks: write one value in both, or remove it '
                f"from one with {P}dwell-."
            ),
        ),
    ] == [(p.key, p.cluster, p.message) for p in malformed.problems]
    assert malformed.target is None


@pytest.mark.parametrize(
    ("legacy", "eks", "abort", "target"),
    [
        ({"abort": "true", "steps": "x"}, {}, True, None),
        ({"abort": "false"}, {"abort": "true", "nonsense": "1"}, True, None),
        ({"abort": "True", "target": "eks"}, {}, False, "eks"),
        ({"abort": "true"}, {"abort": "maybe"}, True, None),
        ({"target": "legacy", "dwell": "x"}, {}, False, "legacy"),
        ({"target": "legacy"}, {"target": "nowhere"}, False, "legacy"),
        ({"target": "nowhere"}, {}, False, None),
        ({"target": "legacy"}, {"target": "eks"}, False, None),
    ],
)
def test_the_way_home_is_read_from_malformed_annotations(
    legacy: dict[str, str], eks: dict[str, str], abort: bool, target: str | None
) -> None:
    """``abort`` and the target are kept where they can be read, whatever else is wrong."""
    malformed = on_both(legacy, eks)
    assert isinstance(malformed, Malformed)
    assert (abort, target) == (malformed.abort, malformed.target)


# --- laws --------------------------------------------------------------------------------------------------------

any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates, too
tokens = st.sampled_from(
    [
        "true",
        "eks",
        "legacy",
        "now",
        "1",
        "100",
        "0.1",
        "508",
        ",",
        "-",
        "@",
        "ms",
        "s",
        "h",
        "/",
        "#",
    ]
)
texts = st.one_of(any_text, st.lists(tokens, max_size=6).map("".join), st.text(min_size=1025))
keys = st.one_of(st.sampled_from(KEYS), any_text).map(P.__add__)
written = st.dictionaries(st.one_of(keys, any_text), texts, max_size=6)


@given(written, written)
def test_nothing_a_person_writes_raises(legacy: dict[str, str], eks: dict[str, str]) -> None:
    """Any text gives a spec, nothing, or problems that are sentences about keys of ours."""
    result = read({"legacy": legacy, "eks": eks}, CLUSTERS)
    if result is None:
        assert not any(k.startswith(P) for k in [*legacy, *eks])
    elif isinstance(result, Malformed):
        assert result.problems
        for told in result.problems:
            assert told.key.startswith(P)
            assert told.cluster in {*CLUSTERS, ""}
            assert told.message.endswith(".")
            assert told.message.isprintable()
            assert len(told.message) < 600
    else:
        assert isinstance(result, MigrationSpec)
        assert result.target in {*CLUSTERS, None}


@given(written, written)
def test_merging_is_symmetric(legacy: dict[str, str], eks: dict[str, str]) -> None:
    """Which of the two Services says what makes no difference to what is asked."""
    one = read({"legacy": legacy, "eks": eks}, CLUSTERS)
    other = read({"legacy": eks, "eks": legacy}, CLUSTERS)
    if isinstance(one, Malformed):
        assert isinstance(other, Malformed)
        assert (one.abort, one.target) == (other.abort, other.target)
        assert {p.key for p in one.problems} == {p.key for p in other.problems}
    else:
        assert one == other


percents = st.decimals(50, Decimal("99.99"), places=2).map(
    lambda p: Decimal(f"{p:f}".rstrip("0").rstrip("."))
)
stretches = st.integers(1, 604_800).map(float)
ranges = st.tuples(st.integers(100, 599), st.integers(100, 599)).map(lambda r: (min(r), max(r)))
names = st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True)
specs = st.builds(
    MigrationSpec,
    target=st.sampled_from([None, *CLUSTERS]),
    attempt=st.none() | st.integers(1, 999_999),
    paused=st.booleans(),
    abort=st.booleans(),
    steps=st.just("now")
    | st.sets(st.integers(1, 900), min_size=1, max_size=20).map(lambda s: tuple(sorted(s))),
    step_pause_s=stretches,
    soak_s=stretches,
    probe=st.builds(
        ProbeSpec,
        port=st.none()
        | st.integers(1, 65535)
        | st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
        path=st.from_regex(r"/([!-\"$-.0-~][!-\"$-~]{0,200})?", fullmatch=True),
        protocol=st.sampled_from([None, "http", "h2c", "grpc", "tcp"]),
        expect=st.lists(
            ranges.filter(lambda r: not r[0] <= 508 <= r[1]), min_size=1, max_size=8
        ).map(tuple)
        | st.lists(st.integers(0, 16).map(lambda n: (n, n)), min_size=1, max_size=8).map(tuple),
        rate_per_s=st.integers(1, 100),
        grpc_service=st.from_regex(r"[!-~]{0,50}", fullmatch=True),
        header=st.none() | st.tuples(names, st.from_regex(r"[!-~]([ -~]*[!-~])?", fullmatch=True)),
        body=st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=60),
        cluster_header=st.just("") | names,
    ),
    success_percent=percents,
    latency=st.none()
    | st.builds(LatencySpec, st.integers(1, 1000).map(lambda ms: ms / 1000), percents),
    origin_floor_percent=st.integers(0, 100),
    split=st.sampled_from(["auto", "trafficsplit", "httproute"]),
    traffic=st.sampled_from([None, "off", "advisory", "required"]),
)


@given(specs)
def test_a_wish_can_be_written_down(spec: MigrationSpec) -> None:
    """What a spec shows reads back as that spec, and shows the same again."""
    told = shown(spec)
    again = read({"eks": told}, CLUSTERS)
    assert again == (spec if told else None)
    assert told or spec == MigrationSpec()
    assert told == (shown(again) if isinstance(again, MigrationSpec) else {})


def test_shown_is_canonical() -> None:
    """Only what differs from the defaults is shown, in the order of the reference and the largest unit."""
    spec = on_one(
        soak="7200s", steps="0.5,1.0", target="eks", slo_latency="050ms@99.0", ports="80,grpc"
    )
    assert isinstance(spec, MigrationSpec)
    assert list(shown(spec).items()) == [
        (P + "target", "eks"),
        (P + "steps", "0.5,1"),
        (P + "soak", "2h"),
        (P + "slo-latency", "50ms@99"),
        (P + "ports", "80,grpc"),
    ]
    assert shown(MigrationSpec()) == {}


# --- the reference --------------------------------------------------------------------------------------


def documented(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of docs/annotations.md, without its first two lines."""
    section = DOC.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_key_is_documented() -> None:
    """The reference has exactly the keys of the code, in its order, five cells each."""
    table = documented("Keys")
    assert [f"`{key}`" for key in KEYS] == [cells[0] for cells in table]
    assert {5} == {len(cells) for cells in table}


@pytest.mark.parametrize("cells", documented("Keys"), ids=lambda cells: cells[0])
def test_documented_example_parses(cells: list[str]) -> None:
    """Each example of the reference, alone on a Service, is a spec, and so is each example of a message."""
    key, example = cells[0].strip("`"), cells[3].strip("`")
    row = next(row for row in rows(CLUSTERS) if row.key == key)
    for text in (example, row.example):
        assert isinstance(read({"legacy": {P + key: text}}, CLUSTERS), MigrationSpec)


@pytest.mark.parametrize("cells", documented("Keys"), ids=lambda cells: cells[0])
def test_documented_default_is_the_default(cells: list[str]) -> None:
    """A default that the reference gives as a value reads as the spec without any annotation."""
    key, default = cells[0].strip("`"), cells[2]
    if re.fullmatch(r"`[^`]+`", default):
        assert MigrationSpec() == read({"legacy": {P + key: default.strip("`")}}, CLUSTERS)
    else:
        assert key in {
            "target",
            "attempt",
            "probe-port",
            "probe-protocol",
            "probe-grpc-service",
            "probe-expect",
            "probe-expect-header",
            "probe-expect-body",
            "probe-cluster-header",
            "slo-latency",
            "split",
            "ports",
            "traffic",
        }


@pytest.mark.parametrize("line", re.findall(r"kubectl annotate .*", DOC))
def test_documented_commands_parse(line: str) -> None:
    """Each command of the reference names a key of ours, with a value that parses where it gives one."""
    key, _, value = line.split(P)[1].partition("=")
    assert key.removesuffix("-") in KEYS
    assert not value or isinstance(read({"legacy": {P + key: value}}, CLUSTERS), MigrationSpec)


@pytest.mark.parametrize("cells", documented("What an objective costs"), ids=lambda c: c[0])
def test_documented_costs_are_true(cells: list[str]) -> None:
    """The probes to pass and the slices to fail that the reference promises are what the code needs."""
    allowed = allowed_bad(Decimal(cells[0].strip("`")))
    assert cells[1].split()[0] == f"{Sprt(allowed).needed:,}"
    points = Cusum(allowed)
    threshold = fail_threshold(SAMPLES_IN_MIGRATION, len(points.counters), alpha_share(2, 1))
    samples = 0
    while points.largest < threshold:
        points.observe(1, 1)
        samples += 1
    assert str(samples) == cells[2]
