"""Ctrl-C, SIGTERM and SIGHUP: a command and its workers end at once, with one line from the command alone."""

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
SAME_PRESS_SECONDS = (
    1.0  # a terminal, torchrun and a pipeline may each send one for the same Ctrl-C
)
NOTHING_HALF = "no file was left half written"

_kept: list[str] = []  # of the command at work in this process: what its line says
_said: list[str] = []


class Interrupted(KeyboardInterrupt):
    """Raised in the main thread by a signal that asks a command to end.

    Attributes: number: of the signal.  line: what the command says.
    """

    def __init__(self, number: int):
        self.number = number
        self.line = _line_of(number)
        super().__init__(self.line)


@contextmanager
def interruptible(kept: str = NOTHING_HALF) -> Iterator[None]:
    """Let the signals raise `Interrupted` in this block; a signal that is ignored (nohup) stays ignored.

    A second one, if the first is not heeded, ends the process on the spot. Args: kept: what the line says is kept.
    """
    before = _installed(_raise_once())
    hook, sys.unraisablehook = sys.unraisablehook, _end_if_swallowed
    _kept.append(kept)
    _said.clear()
    try:
        yield
    finally:
        _kept.pop()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def say(line: str) -> None:
    """Write a line to stderr, once in the life of this process: Ctrl-C pressed twice is one interruption."""
    if not _said:
        _said.append(line)
        with suppress(OSError):
            start = "\n" if os.isatty(2) else ""  # after ^C, or a progress bar
            os.write(2, f"{start}{line}\n".encode(errors="backslashreplace"))


def _line_of(number: int) -> str:
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    return f"interrupted{by}; {_kept[-1] if _kept else NOTHING_HALF}"


def end_quietly_while_loading(package: Path) -> None:
    """Until its main function runs, a command of ours ends at a signal in a line; another program is left alone."""
    if multiprocessing.current_process().name != "MainProcess":
        return  # a worker, which its parent ends
    program = Path(sys.argv[0] if getattr(sys, "argv", None) else "")
    ours = program.resolve().parent in (package.parent / "tools", package / "tools")
    if ours or program.name == "boxrefine":
        _installed(_end_at_once)


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Start processes in this block: they never see a SIGINT. Here it waits for the end of the block."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _installed(handler: Any) -> dict[signal.Signals, Any]:
    """Install a handler where Python's own or none is; return those that it replaces."""
    replaced: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():  # others are never interrupted
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
    """An interruption inside a destructor or callback is lost to Python, not to us."""
    if isinstance(unraisable.exc_value, Interrupted):
        _end_at_once(unraisable.exc_value.number, None)
    sys.__unraisablehook__(unraisable)


def _leave_it_to_the_parent() -> None:
    """In a forked worker of a command: Ctrl-C is its parent's, which ends it; SIGTERM ends it without a word.

    Where the parent was killed, or lets go of a connection since it is interrupted, nobody wants to know what the worker
    was doing.
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
