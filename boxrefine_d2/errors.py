"""What a user got wrong, said in one line, and the exit code that goes with it."""

import argparse
import importlib.util
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn


class UserError(ValueError):
    """Something the user gave is wrong. The message is one line: the value, why, and the remedy."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


class CommandParser(argparse.ArgumentParser):
    """argparse, whose complaints become a `UserError`."""

    def error(self, message: str) -> NoReturn:
        """Instead of a usage text and an exit."""
        raise UserError(f"{message}; see --help")


def key_values(flag: str, pairs: Sequence[str]) -> dict[str, str]:
    """{"k_patches": "50"} from ["k_patches=50"]. Raises: UserError, naming the flag, for anything else."""
    changes = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"{flag} {pair!r} is not of the form KEY=VALUE")
        changes[key] = value
    return changes


def require_grounding(what: str) -> None:
    """Raises: UserError without the extra that CLIP needs. Args: what: that asks for it."""
    if importlib.util.find_spec("transformers") is None:
        raise UserError(f"{what} needs transformers: pip install 'boxrefine_d2[grounding]'")


def run_command(main: Callable[[], int | None]) -> int:
    """Runs a command and turns a `UserError` into one line on stderr and exit code 2.

    Returns: 0 or what `main` returns; 2 for a user's mistake; 141, as the shell has it, where nobody reads the output
        any more (`| head`). Any other exception is our bug and passes.
    """
    # names of files may hold bytes that are no text: shown as escapes, never an error of their own
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # what is still to be written goes nowhere; else Python complains of it at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
