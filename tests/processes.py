"""Commands that are started, killed at random and looked after; no pytest, so that other programs may use it."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
_TRACEBACK = re.compile(
    r"Traceback \(most recent call last\)|Exception ignored in|--- Logging error ---"
)


def start(command: Sequence[object], log: Path, **changes: object) -> subprocess.Popen:
    """Start a Python command of this checkout in a session of its own, all that it says going to `log`.

    Args: command: what follows the interpreter.  changes: to the arguments of `subprocess.Popen`.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, *map(str, command)],
            **{
                "cwd": ROOT,
                "env": environment,
                "stdin": subprocess.DEVNULL,
                "stdout": file,
                "stderr": file,
                "start_new_session": True,
                # a shell may have had it ignored for its background jobs
                "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
                **changes,
            },
        )


def wait_until(ready: Callable[[], object], process: subprocess.Popen, most: float = 60) -> bool:
    """Wait until something is there; False if the process ends, or so many seconds pass, before."""
    end = time.monotonic() + most
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            return bool(ready())
        time.sleep(0.01)
    return True


def send(process: subprocess.Popen, number: int, group: bool = False) -> None:
    """Send a signal to a process, or as a terminal does to its whole group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number) if group else process.send_signal(number)


def kill_at_random(
    process: subprocess.Popen, number: int, seed: int, most: float, group: bool = False
) -> float:
    """Send a signal after up to `most` seconds; return after how many. A process that has ended by then is left."""
    delay = random.Random(seed).uniform(0, most)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    if process.poll() is None:
        send(process, number, group)
    return delay


def leftover_children(process: subprocess.Popen, most: float = 8) -> list[str]:
    """Return the command lines of what is left of a command started here, once so many seconds have passed."""
    end = time.monotonic() + most
    while (left := _of_session(process.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def end_all(process: subprocess.Popen) -> None:
    """Kill what is left of a command started here."""
    send(process, signal.SIGKILL, group=True)
    process.wait()


def no_traceback(text: str) -> str:
    """Return a text of a command if it holds no traceback. Raises: AssertionError with its end otherwise."""
    assert not _TRACEBACK.search(text), text[-3000:]
    return text


def _of_session(session: int) -> list[str]:
    """The command lines of the processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # PID (NAME) STATE PARENT GROUP SESSION ...
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                words = (folder / "cmdline").read_bytes().split(b"\0")
                found.append(f"{folder.name} {b' '.join(words).decode(errors='replace')[:200]}")
    return found
