"""Errors of the user as one line each, and the exit codes of commands."""

import argparse
import errno
import importlib.util
import io
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import suppress
from typing import Any, NoReturn

from boxrefine_d2.interrupts import NOTHING_HALF, Interrupted, interruptible, say

_SECONDS_OF_A_POOL = 5.0  # time for a pool to notice that its processes are gone
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


class UserError(ValueError):
    """Error for a wrong value from the user; one line with the value, the reason and the remedy."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


def check_choice(subject: str, value: object, known: Iterable[object]) -> None:
    """Refuse a value that is not among the known ones.

    Args:
        subject: key, flag or kind of thing that has the value.
        value: the value.
        known: the values that are accepted.
    Raises: UserError, naming the value and the known ones.
    """
    names = list(known)
    if value not in names:
        shown = ", ".join(map(str, names))
        raise UserError(f"{subject} {str(value)[:200]!r} is unknown; known: {shown}")


class CommandParser(argparse.ArgumentParser):
    """argparse parser that raises a `UserError` for wrong arguments.

    Args: examples: command lines shown at the end of the help text.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any):
        if examples:
            kwargs["epilog"] = "\n".join(["examples:", *(f"  {line}" for line in examples)])
            kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise a `UserError` in place of printing the usage and exiting."""
        raise UserError(f"{message}; see --help")


def key_values(flag: str, pairs: Sequence[str]) -> dict[str, str]:
    """Return {"k_patches": "50"} from ["k_patches=50"].

    Raises: UserError, naming the flag, for a pair of another form.
    """
    changes = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"{flag} {pair!r} is not of the form KEY=VALUE")
        changes[key] = value
    return changes


def require_grounding(feature: str) -> None:
    """Refuse to go on without the extra that CLIP needs.

    Args: feature: name of the feature that needs it.
    Raises: UserError, with the install command.
    """
    if importlib.util.find_spec("transformers") is None:
        raise UserError(f"{feature} needs transformers: pip install 'boxrefine_d2[grounding]'")


def run_command(main: Callable[[], int | None], kept: str = NOTHING_HALF) -> int:
    """Run a command; an error that is no bug becomes one line on stderr.

    Args:
        main: the command.
        kept: remaining files of an interrupted run, and the way to continue it; part of the line.
    Returns: 0 or the value of `main`; 2 for a user's mistake, a full disk or a killed worker; 128 +
        number for SIGINT, SIGTERM and SIGHUP; 141, as in a shell, if nobody reads the output any
        more (`| head`). Any other exception is a bug of this package and is not caught.
    """
    _open_closed_streams()
    # names of files may hold undecodable bytes; these are printed as escapes and raise no error
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # without this, logging would print a traceback for each line that cannot be written
    raises, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        with interruptible(kept):
            return _code_of(main, kept)
    except Interrupted as interrupted:
        _end_workers()
        if os.environ.get("RANK", "0") == "0":  # one of torchrun's processes writes the line
            sys.stderr.flush()
            say(interrupted.line)
        return 128 + interrupted.number
    finally:
        logging.raiseExceptions = raises
        _flush_or_give_up()


def expected_end(error: BaseException) -> str | None:
    """Return the line for an error that is no bug; None for a bug.

    A `UserError`, a full disk, a folder that was removed meanwhile, and a killed worker are no
    bugs.
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        where = f" {os.fsdecode(error.filename)!r}" if _names_a_file(error) else ""
        return f"cannot write{where}: {error.strerror}"
    if isinstance(error, FileNotFoundError) and _names_a_file(error):
        path = os.path.abspath(os.fsdecode(error.filename))
        if not os.path.isdir(os.path.dirname(path)):
            return f"cannot open {path!r}: its folder is not there; was it removed while this ran?"
    worker = re.search(r"DataLoader worker \(pid\S* [\d, ]+\)", str(error))
    if isinstance(error, BrokenExecutor) or (isinstance(error, RuntimeError) and worker):
        return "a worker process was killed; if memory is short, use fewer workers"
    return None


def _close_bars() -> None:
    """Close open progress bars; the next message then starts on its own line."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        for bar in list(getattr(tqdm, "_instances", ())):
            bar.close()


def _names_a_file(error: OSError) -> bool:
    return isinstance(error.filename, str | bytes)


def _code_of(main: Callable[[], int | None], kept: str) -> int:
    try:
        code = main() or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except Exception as error:
        if isinstance(error.__context__, Interrupted):  # a library replaced it by its own error
            raise error.__context__ from None
        line = expected_end(error)
        if line is None:
            raise
        _close_bars()
        print(
            f"error: {line}" if isinstance(error, UserError) else f"error: {line}; {kept}",
            file=sys.stderr,
        )
        return 2


def _end_workers() -> None:
    """Kill the processes that multiprocessing started here, without messages of any library.

    The function waits for the thread that manages a pool: if that thread still closes its pipes
    while Python ends, Python prints a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join(1)
    for thread in threading.enumerate():
        if type(thread).__module__ == ProcessPoolExecutor.__module__:
            thread.join(_SECONDS_OF_A_POOL)
    signal.signal(signal.SIGCHLD, handler)


def _open_closed_streams() -> None:
    """Open closed standard streams (`2>&-`) on /dev/null; a new file would get their number."""
    for handle, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(handle)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), handle)
            os.set_inheritable(handle, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if handle else "r"))  # noqa: SIM115


def _flush_or_give_up() -> None:
    """Flush all streams; a stream that cannot be written to is sent to /dev/null.

    Otherwise Python would print an error at its end.
    """
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [handler for logger in loggers for handler in getattr(logger, "handlers", ())]
    logs = [handler.stream for handler in handlers if isinstance(handler, logging.StreamHandler)]
    for stream in (sys.stdout, sys.stderr, *logs):
        try:
            stream.flush()
        except AttributeError:  # a handler without a stream
            continue
        except (OSError, ValueError):
            with suppress(OSError, ValueError):  # a closed stream has nothing left to write
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
