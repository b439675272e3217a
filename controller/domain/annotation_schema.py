"""What each annotation may say: one row per key, in the order of the reference (docs/annotations.md).

A row turns text into a field of MigrationSpec, or into what is wrong with it, and back. Nothing here raises on
what a person wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from controller.domain import LatencySpec
from prober.contract import GRPC_STATUSES

MAX_SHOWN = 60
"""How much of a value a message repeats, in characters."""

MAX_STEPS = 20
MAX_STEP_PERMILLE = 900
MAX_PATH = 256
MAX_TEXT = 256
"""Of a header's value and of a part of the body, in characters."""

MAX_STRETCH_S = 7 * 24 * 3600
PROBE_TIMEOUT_MS = 1000
"""A probe is given up after 1 s, so that no latency objective above it can be measured."""

MAX_PORTS = 20

_UNITS_S = {"h": 3600, "m": 60, "s": 1}
_PERCENT_STEP = re.compile(r"[0-9]{1,4}(\.[0-9])?")
_PERCENT_OBJECTIVE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?")
_STRETCH = re.compile(r"([0-9]+)([smh])")
_PORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CODES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_LATENCY = re.compile(r"([0-9]+)ms@(.+)", re.DOTALL)
_LOOP = 508
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_HEADER_VALUE = re.compile(rf"[!-~]([ -~]{{0,{MAX_TEXT - 2}}}[!-~])?")
_GRPC_SERVICE = re.compile(rf"[!-~]{{1,{MAX_TEXT}}}")


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a value is outside the grammar, as the middle of a sentence, and the value to write instead
    where that can be told (else the row's general advice is given)."""

    why: str
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One key: the field of MigrationSpec (or of its ``probe``) that it sets, and both directions of its grammar.

    ``write`` and ``example`` are for messages, and for the reference like ``does``, what happens; ``absent`` is
    what holds without the key, where that is no fixed value.
    """

    key: str
    field: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str]
    write: str
    example: str
    of_probe: bool = False
    does: str = ""
    absent: str = "none"


def shortened(text: str, most: int = MAX_SHOWN) -> str:
    """Return what a message repeats of a person's text: control characters escaped, ``most`` characters."""
    safe = visible(text[: most + 1])
    return safe if len(safe) <= most else safe[: most - 1] + "…"


def visible(text: str) -> str:
    """Return a text that may hold somebody else's, with control characters and marks of direction escaped."""
    return (
        text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


# --- one parser per grammar; each gives the value or what is wrong with it --------------------------


def _whole(text: str, *, low: int, high: int) -> int | Wrong:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        return Wrong("which is not a whole number")
    number = int(text)
    return number if low <= number <= high else Wrong(f"which is not within {low} to {high}")


def _one_of(text: str, *, words: tuple[str, ...]) -> str | Wrong:
    return text if text in words else Wrong("which is none of its values")


def _target(text: str, *, clusters: tuple[str, str]) -> str | Wrong:
    return text if text in clusters else Wrong("which is neither of the two clusters")


def _flag(text: str) -> bool | Wrong:
    if text in ("true", "false"):
        return text == "true"
    return Wrong("which is neither true nor false")


def _steps(text: str) -> tuple[int, ...] | str | Wrong:
    if text == "now":
        return text
    permille: list[int] = []
    for item in text.split(","):
        if not _PERCENT_STEP.fullmatch(item):
            return Wrong(f'where "{shortened(item)}" is no percentage with at most one decimal')
        share = int(Decimal(item) * 10)
        if not 1 <= share <= MAX_STEP_PERMILLE:
            more = "; 99.9 and 100 follow by themselves" if share > MAX_STEP_PERMILLE else ""
            return Wrong(f"where {item} is not within 0.1 to 90{more}")
        if permille and share <= permille[-1]:
            return Wrong(f"where {item} is not above the step before it")
        permille.append(share)
    if len(permille) > MAX_STEPS:
        return Wrong(f"which are {len(permille)} steps, more than {MAX_STEPS}")
    return tuple(permille)


def _stretch(text: str) -> float | Wrong:
    found = _STRETCH.fullmatch(text)
    if not found:
        return Wrong("which is not a whole number followed by s, m or h")
    seconds = int(found[1]) * _UNITS_S[found[2]]
    if not 1 <= seconds <= MAX_STRETCH_S:
        return Wrong("which is not within 1 second to 7 days")
    return float(seconds)


def _port(text: str) -> str | int | Wrong:
    if re.fullmatch(r"[0-9]+", text):
        number = _whole(text, low=1, high=65535)
        return Wrong("which is not within 1 to 65535") if isinstance(number, Wrong) else number
    return text if _PORT_NAME.fullmatch(text) else Wrong("which is no port name and no port number")


def _ports(text: str) -> tuple[str | int, ...] | Wrong:
    found: list[str | int] = []
    for item in text.split(","):
        port = _port(item)
        if isinstance(port, Wrong):
            return Wrong(f'where "{shortened(item)}" is no name and no number of a port')
        found.append(port)
    if len(found) > MAX_PORTS:
        return Wrong(f"which are {len(found)} ports, more than {MAX_PORTS}")
    return tuple(found)


def _path(text: str) -> str | Wrong:
    wrong: Wrong | None = None
    if not text.startswith("/"):
        wrong = Wrong(
            "which is a URL, and probes go to this Service and nowhere else"
            if "://" in text
            else 'which does not start with "/"'
        )
    elif text.startswith("//"):
        wrong = Wrong('which starts with "//" and would name a host')
    elif len(text) > MAX_PATH:
        wrong = Wrong(f"which is {len(text)} characters long, more than {MAX_PATH}")
    elif not all("\x21" <= c <= "\x7e" for c in text):
        wrong = Wrong("which holds a space or another character that must be percent-encoded")
    elif "#" in text:
        path = text.partition("#")[0]
        wrong = Wrong('which holds a fragment ("#..."), and no server ever sees one', path)
    return wrong or text


def _expect(text: str) -> tuple[tuple[int, int], ...] | Wrong:
    items = text.split(",")
    named = [item for item in items if item in GRPC_STATUSES]
    return _statuses_of_grpc(items, named) if named else _codes(items)


def _statuses_of_grpc(items: list[str], named: list[str]) -> tuple[tuple[int, int], ...] | Wrong:
    other = next((item for item in items if item not in named), None)
    if other is not None:
        why = f'where "{shortened(other)}" is no status of gRPC, as {named[0]} is'
        return Wrong(why, ",".join(named))
    return tuple((GRPC_STATUSES.index(name),) * 2 for name in named)


def _codes(items: list[str]) -> tuple[tuple[int, int], ...] | Wrong:
    ranges: list[tuple[int, int]] = []
    for item in items:
        found = _CODES.fullmatch(item)
        if not found:
            return Wrong(
                f'where "{shortened(item)}" is no status code of 100 to 599, no range, and no status'
                " of gRPC"
            )
        low, high = int(found[1]), int(found[2] or found[1])
        if low > high:
            return Wrong(f"where {item} runs backwards")
        ranges.append((low, high))
    without_loop = tuple(_without_loop(ranges))
    if without_loop != tuple(ranges):
        return Wrong(
            "which takes in 508, and that is how a gateway reports a loop",
            shown_expect(without_loop),
        )
    return without_loop


def _without_loop(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for low, high in ranges:
        if low <= _LOOP <= high:
            pieces = ((low, _LOOP - 1), (_LOOP + 1, high))
            yield from ((first, last) for first, last in pieces if first <= last)
        else:
            yield low, high


def _grpc_service(text: str) -> str | Wrong:
    if _GRPC_SERVICE.fullmatch(text):
        return text
    return Wrong(f"which is not 1 to {MAX_TEXT} characters of printable ASCII without spaces")


def _header_name(text: str) -> str | Wrong:
    # Names of headers have no case, and those of HTTP/2 are written in lower case.
    return text.lower() if _HEADER_NAME.fullmatch(text) else Wrong("which is no name of a header")


def _header(text: str) -> tuple[str, str] | Wrong:
    name, equals, value = text.partition("=")
    if not equals:
        return Wrong('which is not a name, "=" and a value')
    known = _header_name(name)
    if isinstance(known, Wrong):
        return Wrong(f'where "{shortened(name)}" is no name of a header')
    if not _HEADER_VALUE.fullmatch(value):
        return Wrong(
            f"whose value is not 1 to {MAX_TEXT} characters of printable ASCII without a space at"
            " either end"
        )
    return known, value


def _body(text: str) -> str | Wrong:
    if not text:
        return Wrong("which is empty, and every body contains that")
    if len(text) > MAX_TEXT:
        return Wrong(f"which is {len(text)} characters long, more than {MAX_TEXT}")
    if not text.isprintable():
        return Wrong("which holds a character that cannot be printed")
    return text


def _objective(text: str) -> Decimal | Wrong:
    if not _PERCENT_OBJECTIVE.fullmatch(text):
        return Wrong("which is no percentage with at most two decimals")
    percent = Decimal(text)
    if percent == 100:
        return Wrong("which no number of probes can show", "99.99")
    if not 50 <= percent <= Decimal("99.99"):
        return Wrong("which is not within 50 to 99.99")
    # 99.90 and 99.9 are one objective and have one text in the record.
    return Decimal(_plain(percent))


def _latency(text: str) -> LatencySpec | Wrong:
    found = _LATENCY.fullmatch(text)
    if not found:
        return Wrong('which is not milliseconds, "ms@" and a percentage')
    limit_ms = _whole(found[1], low=1, high=PROBE_TIMEOUT_MS)
    if isinstance(limit_ms, Wrong):
        return Wrong(
            f"whose time is not within 1ms to {PROBE_TIMEOUT_MS}ms, where a probe is given up"
        )
    percent = _objective(found[2])
    if isinstance(percent, Wrong):
        instead = f"{limit_ms}ms@{percent.instead}" if percent.instead else ""
        return Wrong(f'whose percentage is "{shortened(found[2])}", {percent.why}', instead)
    return LatencySpec(limit_s=limit_ms / 1000, percent=percent)


# --- and back ---------------------------------------------------------------------------------------


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _shown_flag(flag: bool) -> str:
    return "true" if flag else "false"


def _shown_steps(steps: tuple[int, ...] | str) -> str:
    return steps if isinstance(steps, str) else ",".join(_plain(Decimal(s) / 10) for s in steps)


def _shown_stretch(seconds: float) -> str:
    whole = int(seconds)
    unit = next(unit for unit, length in _UNITS_S.items() if whole % length == 0)
    return f"{whole // _UNITS_S[unit]}{unit}"


def _shown_ports(ports: tuple[str | int, ...]) -> str:
    return ",".join(str(port) for port in ports)


def shown_expect(ranges: tuple[tuple[int, int], ...]) -> str:
    """Return statuses as probe-expect has them."""
    return ",".join(_shown_range(low, high) for low, high in ranges)


def _shown_range(low: int, high: int) -> str:
    if high < len(GRPC_STATUSES):
        return ",".join(GRPC_STATUSES[low : high + 1])
    return str(low) if low == high else f"{low}-{high}"


def _shown_latency(latency: LatencySpec) -> str:
    return f"{round(latency.limit_s * 1000)}ms@{_plain(latency.percent)}"


# --- the table ----------------------------------------------------------------------------------------

_PROTOCOLS = ("http", "h2c", "grpc", "tcp")
_SPLITS = ("auto", "trafficsplit", "httproute")
_TRAFFIC = ("off", "advisory", "required")
_STRETCH_WRITE = "a whole number and s, m or h, from 1s to 168h"


def rows(clusters: tuple[str, str]) -> tuple[Row, ...]:
    """Return the rows of all keys, in the order of the reference, for these two clusters."""
    target = Row(
        "target",
        "target",
        partial(_target, clusters=clusters),
        str,
        f'"{clusters[0]}" or "{clusters[1]}"',
        clusters[1],
        does=(
            "The name of a cluster: callers of both are moved there step by step. Set to the cluster they came"
            " from while they are under way, it rolls back."
        ),
        absent="none: nothing moves",
    )
    return (target, *GRAMMAR)


GRAMMAR = (
    Row(
        "attempt",
        "attempt",
        partial(_whole, low=1, high=999_999),
        str,
        "a whole number from 1 to 999999",
        "2",
        does=(
            "Raise it to try again after a revert or an abort; until then nothing starts. Never"
            " lower it. While callers are shifted a raised one waits."
        ),
        absent="that of the record, else 1",
    ),
    Row(
        "paused",
        "paused",
        _flag,
        _shown_flag,
        '"true" or "false"',
        "true",
        does=(
            "The share stays where it is, and a bad target is still left. From the start: pins and"
            " splits are made, and nothing moves."
        ),
    ),
    Row(
        "abort",
        "abort",
        _flag,
        _shown_flag,
        '"true" or "false"',
        "true",
        does="Rolls back at once, and stays.",
    ),
    Row(
        "steps",
        "steps",
        _steps,
        _shown_steps,
        'rising percentages from 0.1 to 90 with commas and no spaces, or "now"',
        "1,10,25,50",
        does=(
            "The shares on the way; 99.9 (the soak) and 100 follow by themselves. `now` is one"
            " raise to 99.9 after PASS, only back to the origin of the last completed attempt. At"
            " most 20, each with at most one decimal."
        ),
    ),
    Row(
        "dwell",
        "step_pause_s",
        _stretch,
        _shown_stretch,
        _STRETCH_WRITE,
        "90s",
        does="The least time at a step.",
    ),
    Row(
        "soak",
        "soak_s",
        _stretch,
        _shown_stretch,
        _STRETCH_WRITE,
        "2h",
        does="The time at 99.9 %, where one call in a thousand still goes to the origin.",
    ),
    Row(
        "probe-port",
        "port",
        _port,
        str,
        "the name or the number of a port of the Service",
        "http",
        of_probe=True,
        does="Where probes go.",
        absent="the first HTTP port, else the first that probes speak",
    ),
    Row(
        "probe-path",
        "path",
        _path,
        str,
        f'a path that starts with one "/", of at most {MAX_PATH} printable ASCII characters',
        "/healthz",
        of_probe=True,
        does=(
            "What probes ask for. With gRPC a method, `/package.Service/Method`, called with an"
            " empty message; `/` is the Check of `grpc.health.v1`."
        ),
    ),
    Row(
        "probe-protocol",
        "protocol",
        partial(_one_of, words=_PROTOCOLS),
        str,
        '"http", "h2c", "grpc" or "tcp"',
        "grpc",
        of_probe=True,
        does="How probes ask; see below.",
        absent="what the port says, else `http`",
    ),
    Row(
        "probe-grpc-service",
        "grpc_service",
        _grpc_service,
        str,
        "the name of a service that the server's grpc.health.v1 knows",
        "shop.Cart",
        of_probe=True,
        does="Whose health the Check of `grpc.health.v1` asks for.",
        absent="none: the server as a whole",
    ),
    Row(
        "probe-expect",
        "expect",
        _expect,
        shown_expect,
        "status codes and ranges from 100 to 599, or statuses of gRPC, with commas and no spaces",
        "200-399,404",
        of_probe=True,
        does="Which answers are good. 508 cannot be: with it a gateway reports a loop.",
        absent="`200-399`, with gRPC `OK`",
    ),
    Row(
        "probe-expect-header",
        "header",
        _header,
        "=".join,
        "the name of a header, =, and the value that it must have",
        "x-ready=yes",
        of_probe=True,
        does="A good answer has this header with this value. With gRPC: its metadata.",
    ),
    Row(
        "probe-expect-body",
        "body",
        _body,
        str,
        f"a text of at most {MAX_TEXT} printable characters",
        "ready",
        of_probe=True,
        does=(
            "A good answer has this in the first 64 KiB of its body. With gRPC: in its message;"
            " with TCP: in the first 4 KiB that the server says by itself."
        ),
    ),
    Row(
        "probe-cluster-header",
        "cluster_header",
        _header_name,
        str,
        "the name of the header that names the cluster that answered",
        "x-cluster",
        of_probe=True,
        does=(
            "The application writes the name of its cluster there, as the Link has it. An answer"
            " that names another cluster, or none, is bad: `wrong-cluster`."
        ),
    ),
    Row(
        "probe-rate",
        "rate_per_s",
        partial(_whole, low=1, high=100),
        str,
        "a whole number of probes per second from 1 to 100",
        "10",
        of_probe=True,
        does="Probes per second and path. More of them find smaller faults sooner.",
    ),
    Row(
        "slo-success",
        "success_percent",
        _objective,
        _plain,
        "a percentage from 50 to 99.99 with at most two decimals",
        "99.5",
        does="How many probes must be good; see below.",
    ),
    Row(
        "slo-latency",
        "latency",
        _latency,
        _shown_latency,
        "a time from 1ms to 1000ms, an @, and a percentage from 50 to 99.99",
        "300ms@99",
        does=(
            "That percentage of the probes must be good within the time. A probe is given up after"
            " 1000ms."
        ),
    ),
    Row(
        "origin-floor",
        "origin_floor_percent",
        partial(_whole, low=0, high=100),
        str,
        "a whole percentage from 0 to 100",
        "30",
        does=(
            "The part of the origin's endpoints at the start that must stay for the share to rise."
        ),
    ),
    Row(
        "split",
        "split",
        partial(_one_of, words=_SPLITS),
        str,
        '"auto", "trafficsplit" or "httproute"',
        "httproute",
        does=(
            "The object that holds the weights ([how `auto`"
            " chooses](how-it-works.md#kinds-of-split)). Fixed once it is made; `kubectl migrate"
            " convert` changes it."
        ),
        absent="the settings' `split`, else `auto`",
    ),
    Row(
        "ports",
        "ports",
        _ports,
        _shown_ports,
        "names or numbers of ports of the Service, with commas and no spaces",
        "http,9090",
        does="The ports that move with HTTPRoutes, one for each; the others stay local.",
        absent="all that Linkerd takes for HTTP",
    ),
    Row(
        "traffic",
        "traffic",
        partial(_one_of, words=_TRAFFIC),
        str,
        '"off", "advisory" or "required"',
        "required",
        does=(
            "Whether real traffic is judged too. `advisory`: when it fails it rolls back, when it"
            " is not known nothing waits. `required`: a Prometheus that is away or stale holds the"
            " rise; too few requests do not."
        ),
        absent=(
            "`traffic.mode` of the controller's settings (`advisory`), where a Prometheus is set"
        ),
    ),
)
"""Every key but ``target``, whose values are the clusters of the settings."""

EXCLUDED = "excluded"
"""On a Service or a namespace: no Fleet has a say in it. It asks for nothing else, so it is no row."""

KEYS = ("target", *(row.key for row in GRAMMAR))
"""Without the prefix, in the order of the reference."""
