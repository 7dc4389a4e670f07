"""Starting, killing and checking of commands; without pytest, so that other programs can use it."""

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
    """Start a Python command of this checkout in its own session; its output goes to `log`.

    Args:
        command: arguments of the interpreter.
        log: file of the output.
        changes: changes of the arguments of `subprocess.Popen`.
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
                # a shell may ignore SIGINT in its background jobs
                "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
                **changes,
            },
        )


def wait_until(ready: Callable[[], object], process: subprocess.Popen, most: float = 60) -> bool:
    """Wait until `ready()`; return False if the process ends, or `most` seconds pass, before."""
    end = time.monotonic() + most
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            return bool(ready())
        time.sleep(0.01)
    return True


def send(process: subprocess.Popen, number: int, group: bool = False) -> None:
    """Send a signal to a process, or to its whole group, as a terminal does."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number) if group else process.send_signal(number)


def kill_at_random(
    process: subprocess.Popen, number: int, seed: int, most: float, group: bool = False
) -> float:
    """Send a signal after a random delay of up to `most` seconds, unless the process has ended.

    Returns: the delay in seconds.
    """
    delay = random.Random(seed).uniform(0, most)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    if process.poll() is None:
        send(process, number, group)
    return delay


def leftover_children(process: subprocess.Popen, most: float = 8) -> list[str]:
    """Return the command lines of processes that a command left, after up to `most` seconds."""
    end = time.monotonic() + most
    while (left := _of_session(process.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def end_all(process: subprocess.Popen) -> None:
    """Kill all remaining processes of a command started here."""
    send(process, signal.SIGKILL, group=True)
    process.wait()


def no_traceback(text: str) -> str:
    """Return the output of a command. Raises: AssertionError if it holds a traceback."""
    assert not _TRACEBACK.search(text), text[-3000:]
    return text


def _of_session(session: int) -> list[str]:
    """Return the command lines of the running processes of a session."""
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # PID (NAME) STATE PARENT GROUP SESSION ...
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                words = (folder / "cmdline").read_bytes().split(b"\0")
                lines.append(f"{folder.name} {b' '.join(words).decode(errors='replace')[:200]}")
    return lines
