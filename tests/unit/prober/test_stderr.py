"""Logs on a stderr that takes them, that takes no more, and that fails."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from prober.stderr import LINES_KEPT, Stderr

PATIENCE_S = 20.0
FULL = Path("/dev/full")  # every write fails with ENOSPC, as on a full disk
MANY = 20_000


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: where to read and where to write."""
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        with contextlib.suppress(OSError):  # the test closed it
            os.close(end)


def flood(program: str, stderr: int, *, module: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program that logs much more than a pipe takes, with the shipped logging of ``module``."""
    lines = (
        "import sys",
        "from prober.stderr import lines_dropped, unblock_stderr",
        f"from {module}",
        "unblock_stderr()",
        program,
    )
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        stdout=subprocess.PIPE,
        stderr=stderr,
        timeout=PATIENCE_S,
        check=False,
    )


CONTROLLER = """
log = configure_logging("info")
for number in range(20000):
    log.info("line", number=number, padding="x" * 100)
print(lines_dropped())
"""
PROBER = """
import structlog
set_up_logs("info")
for number in range(20000):
    structlog.get_logger().info("line", number=number, padding="x" * 100)
print(lines_dropped())
"""
EITHER = pytest.mark.parametrize(
    ("program", "module"),
    [
        (CONTROLLER, "controller.report.logs import configure_logging"),
        (PROBER, "prober.telemetry import set_up_logs"),
    ],
    ids=["controller", "prober"],
)


@EITHER
def test_a_program_whose_stderr_nobody_reads_goes_on_and_ends(
    pipe: tuple[int, int], program: str, module: str
) -> None:
    """20,000 lines into a pipe without a reader hold nobody up: what does not fit is dropped, counted, and it ends."""
    ended = flood(program, pipe[1], module=module)
    assert ended.returncode == 0
    assert MANY - 2 * LINES_KEPT < int(ended.stdout) < MANY


@EITHER
def test_a_program_whose_stderr_is_closed_goes_on(
    pipe: tuple[int, int], program: str, module: str
) -> None:
    """A pipe whose reader has gone (EPIPE, SIGPIPE) ends nobody."""
    os.close(pipe[0])
    ended = flood(program, pipe[1], module=module)
    assert ended.returncode == 0
    assert int(ended.stdout) > 0


@EITHER
@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_ends_nobody(program: str, module: str) -> None:
    """Lines that a full disk refuses (ENOSPC) are dropped and counted."""
    with FULL.open("wb") as full:
        ended = flood(program, full.fileno(), module=module)
    assert ended.returncode == 0
    assert int(ended.stdout) > 0


def test_a_traceback_into_a_full_pipe_does_not_keep_the_process(pipe: tuple[int, int]) -> None:
    """An error that nobody caught ends the process, as ever, also where its traceback cannot be written."""
    program = "for _ in range(20000):\n    sys.stderr.write('x' * 100)\nraise RuntimeError"
    assert flood(program, pipe[1], module="prober import stderr").returncode == 1


def test_a_process_without_a_stderr_writes_to_no_other_file() -> None:
    """Where the process was started without a stderr, nothing is written to what has its number by then."""
    program = """
import os
from prober.stderr import lines_dropped, unblock_stderr
os.open(os.devnull, os.O_RDONLY)  # takes the number 2, where it is free
reader, writer = os.pipe()
os.dup2(writer, 2)
unblock_stderr()
import sys
sys.stderr.write("a line")
sys.stderr.finish(20)
os.set_blocking(reader, False)
try:
    print(os.read(reader, 100))
except BlockingIOError:
    print(lines_dropped())
"""
    ended = subprocess.run(  # noqa: S602 - the program is ours, and only a shell closes a descriptor
        f"exec {sys.executable} -c '{program}' 2>&-",
        shell=True,
        stdout=subprocess.PIPE,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.stdout == b"1\n"


def test_the_last_lines_before_the_exit_are_written_in_order(pipe: tuple[int, int]) -> None:
    """What was logged right before the exit leaves, in the order in which it was logged."""
    program = "for number in range(500):\n    sys.stderr.write(f'{number}\\n')"
    flood(program, pipe[1], module="prober import stderr")
    os.close(pipe[1])
    with os.fdopen(os.dup(pipe[0])) as reader:
        assert reader.read().split() == [str(number) for number in range(500)]


def test_what_waits_is_written_when_the_pipe_is_read_again(pipe: tuple[int, int]) -> None:
    """What waits for a full pipe, also a non-blocking one, leaves later, whole and in order: at least 1,000 lines."""
    os.set_blocking(pipe[1], False)
    stderr = Stderr(pipe[1])
    for number in range(MANY):
        stderr.write(f"{number:0100}\n")
    assert stderr.dropped > 0
    read: list[bytes] = []
    kept = MANY - stderr.dropped

    def drain() -> None:
        while sum(map(len, read)) < kept * 101:
            read.append(os.read(pipe[0], 65536))

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    stderr.finish(PATIENCE_S)
    reader.join(PATIENCE_S)
    numbers = [int(line) for line in b"".join(read).split()]
    assert numbers[:LINES_KEPT] == list(range(LINES_KEPT))
    assert numbers == sorted(set(numbers))
    assert len(numbers) == kept


def test_a_line_after_one_that_was_cut_off_is_whole(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    """Where the disk was full in the middle of a line, the next begins a line of its own."""
    write, broken = os.write, [OSError(28, "No space left on device"), None]

    def short(descriptor: int, data: memoryview) -> int:
        if len(broken) == 2:
            broken.pop()
            return write(descriptor, data[:3])
        if broken and (error := broken.pop()):
            raise error
        return write(descriptor, data)

    monkeypatch.setattr("prober.stderr.os.write", short)
    stderr = Stderr(pipe[1])
    stderr.write("first\n")
    stderr.write("second\n")
    stderr.finish(PATIENCE_S)
    assert os.read(pipe[0], 100) == b"fir\nsecond\n"
    assert stderr.dropped == 1
