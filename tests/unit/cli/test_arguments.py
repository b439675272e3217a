from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cli import main
from controller.cli.arguments import duration_s, parse, service_name
from controller.cli.exit_codes import Exit, Failure
from tests.unit.cli.cli_cluster import run

VERBS = ["status", "plan", "explain", "check", "start", "pause", "resume", "abort", "retry", "wait"]


@pytest.mark.parametrize("verb", [*VERBS, "version"])
def test_every_verb_helps_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of each verb ends well and shows how to use it, and the exit codes."""
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert f"example:\n  kubectl migrate {verb}" in told
    assert "exit codes:\n  0  done" in told


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_each_verb_can_be_typed(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the help shows as an example is understood."""
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    example = re.search(r"example:\n  kubectl migrate (.*)", capsys.readouterr().out)
    assert example
    assert parse(example[1].split()).verb == verb


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of the command lists its verbs and the exit codes."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert [verb for verb in VERBS if f"\n    {verb} " not in told] == []
    assert "exit codes:" in told


def test_help_imports_nothing_slow() -> None:
    """Help and version load none of the libraries that talk to clusters or draw."""
    script = (
        "import sys\n"
        "from controller.cli import main\n"
        "main(['version'])\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'aiohttp', 'asyncio', 'kubernetes_asyncio', 'msgspec', 'rich', 'yaml'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == "[]\n"


HEAVY = (
    "rich",
    "urllib3",
    "argcomplete",
    "kubernetes_asyncio.client",
    "prometheus_client",
    "opentelemetry",
    "controller.cli.checking",
    "controller.decide",
    "controller.evidence",
    "controller.runtime",
    "controller.report",
)
"""What takes time to load, and what a status can be shown without."""


def test_status_imports_only_what_it_needs() -> None:
    """``status`` loads neither what decides nor what draws, and of the client library only what reads credentials."""
    script = (
        "import sys\n"
        "from controller.cli.commands import command\n"
        "command('status')\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("typed", ["version", "--version"])
def test_version_is_that_of_the_package(typed: str) -> None:
    """``version`` and ``--version`` print the installed version."""
    assert run(typed).out == f"kubectl-migrate {version('mesh-migrate')}\n"


@pytest.mark.parametrize("words", [(), ("start",), ("fleet", "open")])
def test_help_is_a_command_too(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """``help`` with or without a verb prints what ``--help`` behind it prints."""
    told = []
    for argv in (["help", *words], [*words, "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(argv)
        assert ended.value.code == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] != ""


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ((), "the following arguments are required: COMMAND; see kubectl migrate --help"),
        (("strat", "a"), "no command strat: did you mean start? See kubectl migrate --help"),
        (("help", "flet"), "no command flet: did you mean fleet?"),
        (("fleet", "rollbak"), "did you mean rollback? See kubectl migrate fleet --help"),
        (("move", "a"), "there is no command move; see kubectl migrate --help"),
        (("start", "a"), "the following arguments are required: --to"),
        (("start", "--to", "eks"), "say which Services: by name, by -l SELECTOR, or --all"),
        (("start", "a", "--to", "eks", "--now", "--steps", "1"), "not allowed with argument --now"),
        (("wait", "a"), "the following arguments are required: --for"),
        (
            ("wait", "a", "--for", "gone"),
            "--for gone: write completed or reverted; see kubectl migrate wait --help",
        ),
        (
            ("wait", "a", "--for", "completed", "--timeout", "30"),
            '"30" is no whole number followed',
        ),
        (("status", "-A", "a"), "Services are named or selected: leave out the names"),
        (("pause", "--all", "a"), "Services are named or selected: leave out the names"),
        (("pause", "-l", "app=x", "a"), "Services are named or selected: leave out the names"),
        (("pause", "-l", "app=x", "--all"), "leave one out; see kubectl migrate pause --help"),
        (("pause", "-l", " "), "-l is empty: write a label, as in -l app=shop, or --all"),
        (("pause", "-A"), "with -A say which: --all or -l SELECTOR"),
        (("status", "-A", "-n", "b"), "-A is every namespace: leave it out, or leave out"),
        (
            ("status", "-o", "yml"),
            "-o yml: write table, wide, name, json or yaml: did you mean yaml?",
        ),
        (("status", "--output=xml"), "--output xml: write table, wide, name, json or yaml; see"),
        (("status", "-n"), "-n: expected one argument"),
        (("status", "--namespace"), "--namespace: expected one argument"),
        (("check",), "say which Services: by name, by -l SELECTOR, or --all of the namespace"),
        (("check", "a", "--controller", "migrate"), '"migrate" is no NAMESPACE/NAME'),
        (("check", "serviceA"), "refuses uppercase letters in Service names"),
        (("pause", "a", "--names", "b"), "there is no flag --names"),
        (
            ("pause", "a", "--dryrun"),
            "no flag --dryrun: did you mean --dry-run? See kubectl migrate pause",
        ),
        (("--contxt=b", "status"), "no flag --contxt: did you mean --context?"),
        (("version", "b"), "this is too much: b; see kubectl migrate version --help"),
        (("pause", "a", "-n", "Bad"), '-n: "Bad" is no name of a namespace'),
        (("pause", "a", "--namespace=Bad"), '--namespace: "Bad" is no name of a namespace'),
        (("pause", "a b"), '"a b" is no name of a Service'),
        (("pause", "service_a"), '"service_a" is no name of a Service'),
        (("start", "serviceA", "--to", "eks"), "refuses uppercase letters in Service names"),
    ],
)
def test_wrong_usage_is_one_sentence(argv: tuple[str, ...], sentence: str) -> None:
    """Wrong usage ends with code 2 and one line on stderr that says what is wrong."""
    done = run(*argv)
    assert done.code == Exit.USAGE
    assert done.out == ""
    assert done.err.startswith("kubectl migrate: ")
    assert sentence in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("written", "instead"),
    [("serviceA", "service-a"), ("ServiceA", "service-a"), ("API", "api"), ("my-Svc", "my-svc")],
)
def test_uppercase_is_answered_with_a_name_to_use(written: str, instead: str) -> None:
    """A name with uppercase letters, which no Service can have, is answered with one that it may have."""
    with pytest.raises(Failure, match=f"so there is no {written}: use {instead}$"):
        service_name(written)


@pytest.mark.parametrize("written", ["a", "service/a", "svc/a", "services/a"])
def test_a_kind_before_the_name_is_allowed(written: str) -> None:
    """A Service may be named as kubectl's other commands name it."""
    assert service_name(written) == "a"


@given(st.text(max_size=70))
def test_what_is_taken_for_a_service_could_be_one(text: str) -> None:
    """A name is either refused or one that Kubernetes allows, so that no text reaches a path."""
    try:
        name = service_name(text)
    except Failure:
        return
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("30m", 1800), ("2h", 7200), ("007m", 420)]
)
def test_durations_are_those_of_the_annotations(text: str, seconds: float) -> None:
    """A timeout is a whole number and s, m or h."""
    assert duration_s(text) == seconds


def test_flags_of_the_place_may_stand_on_both_sides() -> None:
    """Where to look may be said before the verb and after it; the later one counts."""
    asked = parse(["-n", "one", "--context", "c", "pause", "a", "-n", "two"])
    assert (asked.namespace, asked.context, asked.kubeconfig) == ("two", "c", None)


@pytest.mark.parametrize(
    "argv",
    [
        ("start", "b", "--to", "eks", "a", "b"),
        ("start", "--to", "eks", "b", "a"),
        ("start", "b", "a", "--to", "eks"),
    ],
)
def test_names_stand_among_the_flags(argv: tuple[str, ...]) -> None:
    """Several names may be given before, between and behind the flags, and each counts once."""
    asked = parse(argv)
    assert (asked.services, asked.to, asked.one) == (["b", "a"], "eks", None)


def test_minus_a_alone_is_everything_to_what_only_reads() -> None:
    """``status -A`` and ``check -A`` mean every Service; a verb that writes asks for --all or a selector."""
    assert [parse([verb, "-A"]).everywhere for verb in ("status", "check")] == [True, True]
    assert parse(["abort", "-A", "--all"]).every
    assert parse(["abort", "-A", "-l", "app=x"]).selector == "app=x"
