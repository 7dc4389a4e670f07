"""The processes that a command leaves behind, found by its session."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

GRACE = 3.0  # seconds in which worker processes may end after their command


def end_session(session: int, grace: float) -> list[str]:
    """Wait `grace` seconds for a session to end; kill and return the remaining processes.

    Returns: id and command line of each killed process.
    """
    end = monotonic() + grace
    while (running := members(session)) and monotonic() < end:
        sleep(0.05)
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"{pid} {line}" for pid, line in running.items()]


def members(session: int) -> dict[int, str]:
    """Return the running processes of a session: process id -> command line."""
    running = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] not in "ZX":
                    line = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ")
                    running[int(name)] = line.decode(errors="replace").strip()
    return running
