"""Ctrl-C, SIGTERM and SIGHUP: a command and its workers end at once, with one printed line."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# a terminal, torchrun and a pipeline may each send a signal for the same Ctrl-C
SAME_PRESS_SECONDS = 1.0
NOTHING_HALF = "no file was left half written"

_kept: list[str] = []  # for each running command of this process: the remaining files, in words
_written: list[str] = []  # the line of an interruption, once it is written


class Interrupted(KeyboardInterrupt):
    """Interruption of a command by a signal, raised in the main thread.

    Attributes:
        number: number of the signal.
        line: line that the command prints.
    """

    def __init__(self, number: int):
        self.number = number
        self.line = _line_of(number)
        super().__init__(self.line)


@contextmanager
def interruptible(kept: str = NOTHING_HALF) -> Iterator[None]:
    """Let the signals raise `Interrupted` in this block; an ignored signal (nohup) stays ignored.

    A second signal ends the process at once, if the first has not ended it.

    Args: kept: remaining files of an interrupted run, in words; part of the line.
    """
    before = _installed(_raise_once())
    hook, sys.unraisablehook = sys.unraisablehook, _end_if_swallowed
    _kept.append(kept)
    _written.clear()
    try:
        yield
    finally:
        _kept.pop()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def say(line: str) -> None:
    """Write a line to stderr, once per process: pressing Ctrl-C twice is one interruption."""
    if not _written:
        _written.append(line)
        with suppress(OSError):
            start = "\n" if os.isatty(2) else ""  # after ^C, or a progress bar
            os.write(2, f"{start}{line}\n".encode(errors="backslashreplace"))


def _line_of(number: int) -> str:
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    return f"interrupted{by}; {_kept[-1] if _kept else NOTHING_HALF}"


def end_quietly_while_loading(package: Path) -> None:
    """Make a signal end this process with one line until its main function runs.

    This applies to commands of this package only; other programs are left alone.
    """
    if multiprocessing.current_process().name != "MainProcess":
        return  # a worker; its parent ends it
    program = Path(sys.argv[0] if getattr(sys, "argv", None) else "")
    ours = program.resolve().parent in (package.parent / "tools", package / "tools")
    if ours or program.name == "boxrefine":
        _installed(_end_at_once)


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Block SIGINT; processes started in this block never see it, and here it waits for the end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _installed(handler: Any) -> dict[signal.Signals, Any]:
    """Install a handler for every signal that is not ignored; return the replaced handlers."""
    replaced: dict[signal.Signals, Any] = {}
    # only the main thread is ever interrupted
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                replaced[number] = signal.signal(number, handler)
    return replaced


def _raise_once() -> Callable[[int, FrameType | None], None]:
    first: list[float] = []

    def handler(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not first:
            first.append(now)
            raise Interrupted(number)
        if now - first[0] > SAME_PRESS_SECONDS:
            _end_at_once(number, frame)

    return handler


def _end_at_once(number: int, frame: FrameType | None) -> None:
    say(_line_of(number))
    os._exit(128 + number)


def _end_if_swallowed(unraisable: Any) -> None:
    """End the process at an interruption inside a destructor or callback, which Python drops."""
    if isinstance(unraisable.exc_value, Interrupted):
        _end_at_once(unraisable.exc_value.number, None)
    sys.__unraisablehook__(unraisable)


def _leave_it_to_the_parent() -> None:
    """Leave interruptions of a forked worker to its parent.

    The parent ends the worker at Ctrl-C, and SIGTERM ends it without a message. The worker reports
    no error after its parent was killed, and no lost connection to an interrupted parent.
    """
    if not _kept:
        return
    parent = os.getppid()

    def report(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if os.getppid() == parent and not isinstance(error, ConnectionError | EOFError):
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = report
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)


os.register_at_fork(after_in_child=_leave_it_to_the_parent)
