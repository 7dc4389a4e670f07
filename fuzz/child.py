"""A process that runs tries: a fork of the warm process, with limits and a pipe to its parent."""

import atexit
import faulthandler
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

from .family import Family
from .outcomes import CODE_RAN, FILE, MEMORY, PROCESS, TRACEBACK, Outcome, judge
from .sandbox import MARK_SUFFIX, Sandbox

MEMORY_MIB = 2048  # a try that needs more has failed
_EXTRA_BYTES = 3 * 2**30  # address space of a try beyond that of the warm process
_FILE_BYTES = 2**32  # largest file that a try may write


class Enough(BaseException):
    """End of a command that has run long enough to show that it works; not a fault."""


def serve(
    family: Family, seed: int, numbers: Sequence[int], until: float, root: Path, pipe: int
) -> NoReturn:
    """Run tries until none is left or the time is over. Never returns.

    Writes a message to the pipe at the beginning and the end of each try.

    Args:
        family: draws the tries.
        seed: of the whole run.
        numbers: the tries to run.
        until: end of the time, in seconds of `monotonic`.
        root: folder in which each try gets a folder.
        pipe: file descriptor to write to.
    """
    code = 1
    try:
        os.setsid()
        _limit()
        tell: Callable[[Any], None] = lambda x: _write(pipe, x)  # noqa: E731
        for number in numbers:
            if monotonic() >= until:
                break
            tell({"begin": number})
            _one(family, seed, number, root, tell)
        _silent()
        atexit._run_exitfuncs()  # as Python does at its end: they stop worker processes
        code = 0
    finally:
        os._exit(code)


def seeded(seed: int, family: str, number: int) -> random.Random:
    """Return the generator of one try."""
    return random.Random(f"{seed}/{family}/{number}")


def become(command: Callable[[], int | None], log: Path) -> NoReturn:
    """Run a command in a forked process and end like the Python interpreter. Never returns.

    The process has a session of its own and writes its output to the file `log`.
    """
    code = 1
    try:
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
        try:
            code = command() or 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except KeyboardInterrupt:
            traceback.print_exc()
            code = 130
        except BaseException:  # noqa: BLE001 - like the interpreter
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        threading._shutdown()
        atexit._run_exitfuncs()
    finally:
        os._exit(code)


def run_main(main: Callable[[Sequence[str]], int | None], argv: Sequence[str]) -> Outcome:
    """Run a command in this process; judge its exit code and all output since the try began."""
    try:
        code = main(argv) or 0
    except Enough:
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # noqa: BLE001 - a fault that the harness looks for
        traceback.print_exc()
        code = 1
    return judge(code, printed())


def printed() -> str:
    """Return all output of this try so far, also that of libraries and child processes."""
    sys.stdout.flush()
    sys.stderr.flush()
    size = os.fstat(1).st_size
    return os.pread(1, size, 0).decode("utf-8", "replace")


def _one(family: Family, seed: int, number: int, root: Path, tell: Callable[[Any], None]) -> None:
    folder = root / f"{family.name}-{number}"
    box = Sandbox(folder)
    _listen(box.log)
    box.enter()
    _forget_peak()
    start, title = monotonic(), "while it was drawn"
    try:
        tried = family.draw(seeded(seed, family.name, number), box)
        title = tried.title
        (box.log / "try.txt").write_text(
            f"{title}\n{tried.command}\nseed {seed}, try {number} of {family.name}\n",
            errors="backslashreplace",
        )
        box.remember()
        outcome = tried.act()
    except BaseException:  # noqa: BLE001 - a fault that the harness looks for
        traceback.print_exc()
        outcome = judge(1, printed())
        if not outcome.failed:
            outcome = Outcome(TRACEBACK, outcome.detail)
    sys.stdout.flush()
    sys.stderr.flush()
    if family.per_child > 1 and not outcome.failed and (left := _left_behind()):
        outcome = Outcome(PROCESS, left)
    outcome = replace(_checked(outcome, box), seconds=round(monotonic() - start, 2))
    os.chdir(root)
    if not outcome.failed:
        _remove(folder)
    tell({"end": number, "title": title, "outcome": outcome.to_json()})


def _checked(outcome: Outcome, box: Sandbox) -> Outcome:
    """Return the outcome, or a worse one by the files and the memory of the try."""
    peak = _peak_mib()
    strays = box.strays()
    marks = [name for name in strays if name.endswith(MARK_SUFFIX)]
    if box.mark.exists() or marks:
        return Outcome(
            CODE_RAN, f"{' '.join(marks) or 'the mark'} was written; {outcome.detail}", peak
        )
    if outcome.failed:
        return Outcome(outcome.kind, outcome.detail, peak)
    if peak > MEMORY_MIB:
        return Outcome(MEMORY, f"{peak} MiB; {outcome.detail}", peak)
    if strays:
        return Outcome(FILE, f"{len(strays)}: {', '.join(strays[:3])}", peak)
    return Outcome(outcome.kind, outcome.detail, peak)


def _left_behind() -> str:
    """Kill the processes that a try left running; return the name of one, or "".

    The pool cannot see them if several tries share a process.
    """
    message = ""
    for task in os.listdir("/proc/self/task"):
        for pid in Path(f"/proc/self/task/{task}/children").read_text().split():
            gone, _ = os.waitpid(int(pid), os.WNOHANG)
            if not gone:
                message = f"{pid} outlived its command"
                os.kill(int(pid), signal.SIGKILL)
                os.waitpid(int(pid), 0)
    return message


def _limit() -> None:
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    space = pages * resource.getpagesize() + _EXTRA_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does: an error, not a death
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _listen(log: Path) -> None:
    """Redirect all output to a file; make SIGUSR1 write the stack to another file."""
    file = os.open(log / "printed.txt", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    stack = os.open(log / "stack.txt", os.O_WRONLY | os.O_CREAT, 0o600)
    faulthandler.enable(2, all_threads=False)
    faulthandler.register(signal.SIGUSR1, file=stack, all_threads=True)


def _silent() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _forget_peak() -> None:
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _peak_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024


def _remove(folder: Path) -> None:
    shutil.rmtree(os.fsencode(folder), ignore_errors=True)


def _write(pipe: int, message: dict[str, Any]) -> None:
    os.write(pipe, json.dumps(message).encode() + b"\n")
