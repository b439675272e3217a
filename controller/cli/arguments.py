"""What may be typed: verbs, flags, and the names and durations in them. Imports nothing that is slow."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from functools import partial
from typing import Literal

from controller.cli.exit_codes import Exit, Failure
from controller.cli.fleet.arguments import add_actions
from controller.cli.typed import Parser, add_output, typed

PROG = "kubectl migrate"

WRITING = ("start", "pause", "resume", "abort", "retry")
"""The verbs that write annotations of Services."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DURATION = re.compile(r"([0-9]{1,6})([smh])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600}

_CODES = """\
exit codes:
  0  done, or reached
  1  the cluster did not answer, or it or the state of the Service does not allow this
  2  wrong usage or input
  3  wait: the migration came to the other end
  4  wait: not reached in time
  5  check: something blocks a migration; drained: the origin is still needed
  6  check: a cluster was not reached, so nothing is known; drained: the same, or it was not measured
"""

_ABOUT = """\
Moves Services between two Linkerd-linked clusters, and shows how that goes. It works on one cluster,
that of the kubeconfig's context: the one where the Service is annotated. Only check and drained read both.
"""


class Asked(argparse.Namespace):
    """The arguments. A field that its verb does not have is never read."""

    verb: str
    words: list[str]
    shell: Literal["bash", "zsh", "fish"]
    kubeconfig: str | None
    context: str | None
    namespace: str | None
    services: list[str]
    selector: str | None
    output: Literal["table", "wide", "json", "yaml", "name"]
    everywhere: bool
    every: bool
    watch: bool
    yes: bool
    dry_run: bool
    to: str
    toward: str | None
    other_context: str | None
    controller: str
    now: bool
    steps: str | None
    dwell: str | None
    soak: str | None
    action: str
    fleet: str | None
    waves: list[str]
    undo: bool
    wave: str | None
    goal: Literal["completed", "reverted"]
    timeout_s: float

    @property
    def one(self) -> str | None:
        """The Service that is named, where it is one by its name; else None."""
        return self.services[0] if len(self.services) == 1 else None

    @property
    def of_fleet(self) -> bool:
        """Whether the Services of a Fleet are meant, or of a wave of one."""
        return self.verb == "check" and (self.wave is not None or self.fleet is not None)

    @property
    def named(self) -> bool:
        """Whether the Services are named, one or several."""
        return bool(self.services)


def parse(argv: Sequence[str]) -> Asked:
    """Return the arguments. Raises Failure with the code USAGE; SystemExit(0) after ``--help``."""
    parses = parser()
    asked = parses.parse_args(argv, namespace=Asked())
    if asked.verb == "help":
        parses.parse_args([*asked.words, "--help"])
    if not asked.verb:
        parses.error("the following arguments are required: COMMAND")
    if asked.namespace is not None and not _LABEL.fullmatch(asked.namespace):
        flag = typed(("--namespace", "-n"), argv)
        raise Failure(f'{flag}: "{asked.namespace}" is no name of a namespace', code=Exit.USAGE)
    if asked.verb not in ("version", "completion", "fleet"):
        asked.services = list(dict.fromkeys(map(service_name, asked.services)))
        _refuse_unclear(asked)
        asked.everywhere = asked.everywhere or asked.of_fleet
    return asked


def _refuse_unclear(asked: Asked) -> None:
    """Raise Failure unless there is exactly one way of saying which Services."""
    sentence = _unclear_fleet(asked) if asked.of_fleet else _unclear(asked)
    if sentence:
        raise Failure(f"{sentence}; see {PROG} {asked.verb} --help", code=Exit.USAGE)


def _unclear_fleet(asked: Asked) -> str:
    """Return that a Fleet says already what is said besides, "" where nothing is."""
    besides = (asked.named, asked.every, asked.everywhere, asked.selector, asked.namespace)
    return (
        "a Fleet says which Services, in every namespace: leave out names, -l, --all, -A and -n"
        if any(besides)
        else ""
    )


def _unclear(asked: Asked) -> str:
    """Return what is unclear about which Services are meant, "" where nothing is. As kubectl has it."""
    ways = (asked.named, asked.every or asked.everywhere, asked.selector is not None)
    wrong = (
        (
            asked.everywhere and asked.namespace,
            "-A is every namespace: leave it out, or leave out --namespace",
        ),
        (
            asked.named and sum(ways) > 1,
            "Services are named or selected: leave out the names, or leave out -l, --all and -A",
        ),
        (
            asked.every and ways[2],
            "--all is every Service, -l SELECTOR those with a label: leave one out",
        ),
        (
            ways[2] and not (asked.selector or "").strip(),
            "-l is empty: write a label, as in -l app=shop, or --all",
        ),
        (asked.everywhere and not _says_which(asked), "with -A say which: --all or -l SELECTOR"),
        (
            not _says_which(asked),
            "say which Services: by name, by -l SELECTOR, or --all of the namespace, with -A of all namespaces",
        ),
    )
    return next((sentence for is_so, sentence in wrong if is_so), "")


def _says_which(asked: Asked) -> bool:
    """Return whether Services are named or selected; to some verbs ``-A`` alone, or nothing, says all."""
    alone = asked.verb == "status" or (asked.verb == "check" and asked.everywhere)
    return alone or asked.named or asked.every or bool(asked.selector)


def service_name(text: str) -> str:
    """Return the name of a Service as Kubernetes has it; ``service/a`` and ``svc/a`` are ``a``.

    Raises Failure that says what to write instead.
    """
    kind, slash, rest = text.partition("/")
    name = rest if slash and kind in ("service", "services", "svc") else text
    if _LABEL.fullmatch(name):
        return name
    lower = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
    if name != name.lower() and _LABEL.fullmatch(lower):
        raise Failure(
            f"Kubernetes refuses uppercase letters in Service names, so there is no {name}:"
            f" use {lower}",
            code=Exit.USAGE,
        )
    raise Failure(
        f'"{text}" is no name of a Service: those have at most 63 lower case letters, digits and "-",'
        ' and neither begin nor end with "-"',
        code=Exit.USAGE,
    )


def is_label(text: str) -> bool:
    """Return whether this could be the name of a cluster, a namespace or a Service."""
    return bool(_LABEL.fullmatch(text))


def duration_s(text: str) -> float:
    """Return the seconds of a duration as the annotations have it, ``90s``, ``30m`` or ``2h``; zero is one."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(
            f'"{text}" is no whole number followed by s, m or h, as in 30m'
        )
    return float(int(found[1]) * _UNITS_S[found[2]])


def parser() -> Parser:
    """Return what parses, and helps."""
    parser = Parser(
        prog=PROG,
        description=_ABOUT,
        epilog=f"{_CODES}\nexample:\n  kubectl migrate start service-a --to eks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_place(default=None)],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", dest="verb", action="store_const", const="version", help="print the version"
    )
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND")
    _add_showing(verbs)
    _add_check(verbs)
    _add_start(verbs)
    _add_writing(verbs, "pause", "keep a Service at its share; a bad target is still left")
    _add_writing(verbs, "resume", "end a pause")
    _add_writing(verbs, "abort", "roll back at once: the origin serves all callers again")
    _add_writing(verbs, "retry", "try again after a revert or an abort")
    convert = _add(
        verbs,
        "convert",
        "put an HTTPRoute in the place of the TrafficSplit in this cluster, where all calls are local",
        "service-a",
    )
    _add_yes(convert)
    _add_wait(verbs)
    _add_drained(verbs)
    _add_fleet(verbs)
    _add_completion(verbs)
    helps = verbs.add_parser(
        "help", help="show how a command is typed", description="Shows how a command is typed."
    )
    helps.add_argument("words", metavar="COMMAND", nargs="*")
    _add(verbs, "version", "print the version", "", services=False)
    return parser


def _add_completion(verbs: argparse._SubParsersAction[Parser]) -> None:
    completion = _add(
        verbs,
        "completion",
        "print what a shell reads to complete kubectl-migrate",
        "bash",
        services=False,
    )
    completion.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"))


def _place(*, default: str | None) -> Parser:
    """Return the flags that say where. They may stand before the verb and after it, so only one may default."""
    place = Parser(add_help=False)
    place.add_argument("--kubeconfig", metavar="FILE", default=default, help="else $KUBECONFIG")
    place.add_argument("--context", metavar="NAME", default=default, help="else the current one")
    place.add_argument(
        "-n",
        "--namespace",
        metavar="NAME",
        default=default,
        help="else the context's, else default",
    )
    return place


def _add(
    verbs: argparse._SubParsersAction[Parser],
    verb: str,
    text: str,
    example: str,
    *,
    services: bool = True,
    under: str = PROG,
) -> Parser:
    parser = verbs.add_parser(
        verb,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:\n  {under} {verb} {example}".rstrip() + f"\n\n{_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[] if verb in ("version", "completion") else [_place(default=argparse.SUPPRESS)],
        allow_abbrev=False,
    )
    if services:
        _add_which(parser)
    return parser


def _add_which(parser: Parser) -> None:
    """Add the ways to say which Services, as kubectl has them."""
    parser.add_argument("services", metavar="SERVICE", nargs="*", help="names of Services")
    parser.add_argument(
        "-l", "--selector", metavar="SELECTOR", help="Services with these labels, as in app=shop"
    )
    parser.add_argument(
        "--all", dest="every", action="store_true", help="every Service of the namespace"
    )
    parser.add_argument(
        "-A",
        "--all-namespaces",
        dest="everywhere",
        action="store_true",
        help="of every namespace, not only of one",
    )


def _add_writing(
    verbs: argparse._SubParsersAction[Parser], verb: str, text: str, example: str = "service-a"
) -> Parser:
    """Add a verb that writes annotations."""
    parser = _add(verbs, verb, text, example)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be written, and write nothing"
    )
    _add_yes(parser)
    add_output(parser, "name")
    return parser


def _add_yes(parser: Parser) -> None:
    parser.add_argument(
        "-y", "--yes", action="store_true", help="do not ask before traffic of several moves"
    )


def _add_fleet(verbs: argparse._SubParsersAction[Parser]) -> None:
    fleet = verbs.add_parser(
        "fleet",
        help="show a Fleet, open its waves, pause it, roll it back",
        description="Shows a Fleet, opens its waves, pauses it, rolls it back: many Services as one programme.",
        epilog=f"example:\n  {PROG} fleet status\n\n{_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_place(default=argparse.SUPPRESS)],
        allow_abbrev=False,
    )
    actions = fleet.add_subparsers(dest="action", metavar="COMMAND", required=True)
    add_actions(partial(_add, actions, services=False, under=f"{PROG} fleet"))


def _add_showing(verbs: argparse._SubParsersAction[Parser]) -> None:
    status = _add(
        verbs,
        "status",
        "show where traffic goes, what comes next and what it waits for",
        "service-a --watch",
    )
    status.add_argument(
        "-w", "--watch", action="store_true", help="go on until Ctrl-C; a line per change in a pipe"
    )
    plan = _add(
        verbs, "plan", "show the steps ahead and the earliest end; writes nothing", "service-a"
    )
    explain = _add(verbs, "explain", "show why the last thing happened", "service-a")
    add_output(status, "wide", "name")
    add_output(plan)
    add_output(explain)


def _add_check(verbs: argparse._SubParsersAction[Parser]) -> None:
    check = _add(
        verbs,
        "check",
        "say what would hold a migration, and what to do; writes nothing",
        "service-a --to eks",
    )
    check.add_argument("--wave", metavar="WAVE", help="the Services of a Fleet's wave")
    check.add_argument(
        "--fleet", metavar="FLEET", help="of this Fleet, every wave or the one that is named"
    )
    check.add_argument(
        "--to",
        dest="toward",
        metavar="CLUSTER",
        help="where they would go; else what is annotated, else the other cluster",
    )
    _add_both(check, "the controller's service account, whose rights are asked for")


def _add_both(parser: Parser, controller: str) -> None:
    """Add the flags of what reads both clusters."""
    parser.add_argument(
        "--other-context",
        metavar="NAME",
        help="the other cluster's context; else the one called as the Link calls that cluster",
    )
    parser.add_argument(
        "--controller",
        metavar="NAMESPACE/NAME",
        type=_account,
        default="migrate/migrate-controller",
        help=f"{controller}; default: %(default)s",
    )
    add_output(parser)


def _add_drained(verbs: argparse._SubParsersAction[Parser]) -> None:
    drained = _add(
        verbs,
        "drained",
        "say whether the origin may be scaled down: yes, no and why, or what is not known",
        "service-a",
    )
    _add_both(drained, "the controller's Lease, by which it is seen to run")


def _account(text: str) -> str:
    namespace, slash, name = text.partition("/")
    if (
        not slash
        or not is_label(namespace)
        or not re.fullmatch(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?", name)
    ):
        raise argparse.ArgumentTypeError(f'"{text}" is no NAMESPACE/NAME of a service account')
    return text


def _add_start(verbs: argparse._SubParsersAction[Parser]) -> None:
    start = _add_writing(
        verbs,
        "start",
        "ask for a Service to be moved to a cluster",
        "service-a --to eks --steps 5,25,50 --dwell 5m",
    )
    start.add_argument("--to", metavar="CLUSTER", required=True, help="where it is to be served")
    steps = start.add_mutually_exclusive_group()
    steps.add_argument(
        "--now",
        action="store_true",
        help="one raise to 99.9 %%: only for going back after a completed migration",
    )
    steps.add_argument("--steps", metavar="LIST", help="percentages with commas, as in 1,10,25,50")
    start.add_argument("--dwell", metavar="TIME", help="the least time at a step, as in 90s")
    start.add_argument("--soak", metavar="TIME", help="the time at 99.9 %%, as in 1h")


def _add_wait(verbs: argparse._SubParsersAction[Parser]) -> None:
    wait = _add(
        verbs,
        "wait",
        "wait for the end of a migration, with a line per transition",
        "service-a --for completed --timeout 2h",
    )
    wait.add_argument(
        "--for", dest="goal", choices=("completed", "reverted"), required=True, help="which end"
    )
    wait.add_argument(
        "--timeout",
        dest="timeout_s",
        metavar="TIME",
        type=duration_s,
        default=1800.0,
        help="default: 30m; 0s asks once",
    )
