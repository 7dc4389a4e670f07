"""The processes that a command leaves behind: those of its session."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

GRACE = 3.0  # seconds in which worker processes may end after their command


def end_session(session: int, grace: float) -> list[str]:
    """Return the processes of a session that have not ended in the time of grace; they are killed."""
    end = monotonic() + grace
    while (found := members(session)) and monotonic() < end:
        sleep(0.05)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"{pid} {line}" for pid, line in found.items()]


def members(session: int) -> dict[int, str]:
    """Return the command lines of the processes of a session that have not ended, by their ids."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] not in "ZX":
                    line = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(name)] = line.decode(errors="replace").strip()
    return found
