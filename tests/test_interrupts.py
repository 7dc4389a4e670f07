"""Interruptions of a command: one line, the shell's exit code, no process left."""

import errno
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from boxrefine_d2 import interrupts
from boxrefine_d2.errors import UserError, run_command
from tests.processes import end_all, leftover_children, no_traceback, send, start, wait_until

KEPT = "go on with --resume"
START = """
import multiprocessing, os, pathlib, sys, time
from boxrefine_d2.errors import run_command
ready = pathlib.Path(sys.argv[1]).touch
def forever():
    while True:
        time.sleep(0.01)
"""
END = f"\nsys.exit(run_command(main, {KEPT!r}))"
PROGRAMS = {
    "main": """
def main():
    ready()
    forever()
""",
    "workers": """
def main():
    for _ in range(2):
        multiprocessing.get_context("fork").Process(target=forever).start()
    ready()
    forever()
""",
    "a library that replaces the error": """
def main():
    try:
        ready()
        forever()
    except BaseException:
        raise RuntimeError("unexpected pos")
""",
    "a destructor": """
class Slow:
    def __del__(self):
        ready()
        forever()
def main():
    Slow()
    forever()
""",
}


@pytest.fixture
def run(tmp_path):
    """A function that starts a program and waits until it works; the rest of it is killed."""
    started = []

    def run(main, **options):
        ready = tmp_path / "ready"
        process = start(["-c", START + main + END, ready], tmp_path / "log", **options)
        started.append(process)
        assert wait_until(ready.exists, process), (tmp_path / "log").read_text()
        return process

    yield run
    for process in started:
        end_all(process)


@pytest.mark.parametrize("main", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_one_line_and_no_process_is_left(tmp_path, run, main, number):
    """SIGINT goes to the whole group, as from a terminal; SIGTERM to the command."""
    process = run(main)
    send(process, number, group=number == signal.SIGINT)
    assert process.wait(20) == 128 + number
    by = "" if number == signal.SIGINT else " by SIGTERM"
    assert (tmp_path / "log").read_text() == f"interrupted{by}; {KEPT}\n"
    assert not leftover_children(process)


def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path, run):
    process = run(PROGRAMS["main"], preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    send(process, signal.SIGHUP)
    send(process, signal.SIGTERM)
    assert process.wait(20) == 143


def test_the_earlier_handlers_are_back_at_the_end():
    before = [signal.getsignal(number) for number in interrupts.SIGNALS]

    def main():
        assert signal.getsignal(signal.SIGTERM) not in before
        signal.raise_signal(signal.SIGTERM)

    assert run_command(main) == 143
    assert [signal.getsignal(number) for number in interrupts.SIGNALS] == before


@pytest.mark.parametrize(
    ("program", "ours"),
    [
        ("tools/discover.py", True),
        ("bin/boxrefine", True),
        ("bin/boxrefine-other", False),
        ("mine/discover.py", False),
    ],
)
def test_only_commands_of_the_package_end_while_they_load(monkeypatch, tmp_path, program, ours):
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    monkeypatch.setattr(sys, "argv", [str(tmp_path / program)])
    try:
        interrupts.end_quietly_while_loading(tmp_path / "boxrefine_d2")
        installed = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (installed != before) == ours


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("a value is wrong"), "a value is wrong"),
        (
            OSError(errno.ENOSPC, "No space left on device", "metrics.json"),
            f"cannot write 'metrics.json': No space left on device; {KEPT}",
        ),
        (
            BrokenProcessPool("A process in the process pool was terminated abruptly"),
            f"a worker process was killed; if memory is short, use fewer workers; {KEPT}",
        ),
        (
            RuntimeError("DataLoader worker (pid 23191) is killed by signal: Killed. "),
            f"a worker process was killed; if memory is short, use fewer workers; {KEPT}",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"),
            f"a worker process was killed; if memory is short, use fewer workers; {KEPT}",
        ),
    ],
    ids=["mistake", "disk", "pool", "loader", "loaders"],
)
def test_an_error_that_is_no_bug_is_one_line(capsys, error, line):
    def main():
        raise error

    assert run_command(main, KEPT) == 2
    assert capsys.readouterr().err == f"error: {line}\n"


@pytest.mark.parametrize(
    "error", [RuntimeError("DataLoader is None"), PermissionError(errno.EACCES, "denied")]
)
def test_other_errors_are_bugs_and_are_not_caught(error):
    def main():
        raise error

    with pytest.raises(type(error)):
        run_command(main)


@pytest.mark.parametrize(
    ("streams", "code", "output"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, "output\n"),
        (">&- 2>&-", 0, ""),
        (">/dev/full", 2, f"error: cannot write: No space left on device; {KEPT}\n"),
    ],
)
def test_streams_that_are_closed_or_full(tmp_path, streams, code, output):
    """A file opened later must not get the number of a closed stream: output would go into it."""
    main = """
def main():
    with open(sys.argv[1], "w") as file:
        print("output", flush=True)
        os.write(2, b"")
        file.write("whole")
"""
    program, kept = tmp_path / "program.py", tmp_path / "kept"
    program.write_text(START + main + END)
    result = subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {streams}', sys.executable, program, kept],
        cwd=Path(__file__).parents[1],
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout + result.stderr) == (code, output)
    no_traceback(result.stderr)
    if code == 0:
        assert kept.read_text() == "whole"


WORKER = """
import os, sys
from boxrefine_d2.interrupts import interruptible

with interruptible("kept"):
    if not (child := os.fork()):
        for error in (ConnectionResetError(104, "reset"), EOFError("ended"), ValueError("told")):
            sys.excepthook(type(error), error, None)
        sys.stderr.flush()
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_worker_does_not_report_a_connection_that_its_parent_closed():
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == "ValueError: told\n"
