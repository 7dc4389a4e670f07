"""A command that another one runs: when that is interrupted, so is this, and it has the time to end well."""

import subprocess
from collections.abc import Sequence
from typing import Any

SECONDS_TO_END = 20


def run_child(command: Sequence[str], **how: Any) -> int:
    """Run a program and return its exit code, negative where a signal killed it. Args: how: as of `subprocess.Popen`."""
    with subprocess.Popen(command, **how) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            try:
                child.wait(SECONDS_TO_END)
            except BaseException:
                child.kill()
                raise
            raise
