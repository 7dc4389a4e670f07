"""Child process of a command, which ends with its parent and has time to finish properly."""

import subprocess
from collections.abc import Sequence
from typing import Any

SECONDS_TO_END = 20  # for a child after SIGTERM; then it is killed


def run_child(command: Sequence[str], **options: Any) -> int:
    """Run a program and return its exit code; the code is negative if a signal killed it.

    Any exception in the meantime, such as an interruption, ends the program, too.

    Args: options: keyword arguments of `subprocess.Popen`.
    """
    with subprocess.Popen(command, **options) as child:
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
