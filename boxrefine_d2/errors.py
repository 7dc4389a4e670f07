"""What a user got wrong, said in one line, and the exit code that goes with it."""

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

_SECONDS_OF_A_POOL = 5.0  # to notice that its processes are gone
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


class UserError(ValueError):
    """Something the user gave is wrong. The message is one line: the value, why, and the remedy."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


def check_choice(what: str, value: object, known: Iterable[object]) -> None:
    """Refuse a value that is not among the known ones. Args: what: the key, flag or kind of thing that has the value.

    Raises: UserError, naming the value and the known ones.
    """
    names = list(known)
    if value not in names:
        shown = ", ".join(map(str, names))
        raise UserError(f"{what} {str(value)[:200]!r} is unknown; known: {shown}")


class CommandParser(argparse.ArgumentParser):
    """argparse, whose complaints become a `UserError`.

    Args: examples: command lines that the help shows at its end.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any):
        if examples:
            kwargs["epilog"] = "\n".join(["examples:", *(f"  {line}" for line in examples)])
            kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        super().__init__(*args, **kwargs)

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


def run_command(main: Callable[[], int | None], kept: str = NOTHING_HALF) -> int:
    """Run a command and turn what is no bug of ours into one line on stderr.

    Args:    kept: what is left of a run that is cut short, and how to go on; said in the line.
    Returns: 0 or what `main` returns; 2 for a user's mistake, a full disk or a killed worker; 128 + number for
        SIGINT, SIGTERM and SIGHUP; 141, as the shell has it, where nobody reads the output any more (`| head`).
        Any other exception is our bug and passes.
    """
    _open_closed_streams()
    # names of files may hold bytes that are no text: shown as escapes, never an error of their own
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # a log that cannot be written is no traceback on the terminal for each of its lines
    raises, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        with interruptible(kept):
            return _code_of(main, kept)
    except Interrupted as interrupted:
        _end_workers()
        if os.environ.get("RANK", "0") == "0":  # of torchrun's processes one speaks
            sys.stderr.flush()
            say(interrupted.line)
        return 128 + interrupted.number
    finally:
        logging.raiseExceptions = raises
        _flush_or_give_up()


def expected_end(error: BaseException) -> str | None:
    """Return the line for an error that is no bug; None for a bug.

    It is none if it is a `UserError`, a full disk, a folder that was removed meanwhile, or a killed worker.
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
    """End progress bars that are still open, so that what is said next has a line of its own."""
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
        if isinstance(error.__context__, Interrupted):  # a library made its own error of it
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
    """Kill what multiprocessing started in this process, without a word of any library about it.

    The thread that manages a pool of processes is waited for: where it still closes its pipes while Python ends, Python
    shows a traceback.
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
    """Where a standard stream is closed (`2>&-`), give it to nobody, lest the next file take its place."""
    for handle, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(handle)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), handle)
            os.set_inheritable(handle, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if handle else "r"))  # noqa: SIM115


def _flush_or_give_up() -> None:
    """What cannot be written to a stream any more goes nowhere; else Python complains of it at its end."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [handler for logger in loggers for handler in getattr(logger, "handlers", ())]
    logs = [handler.stream for handler in handlers if isinstance(handler, logging.StreamHandler)]
    for stream in (sys.stdout, sys.stderr, *logs):
        try:
            stream.flush()
        except AttributeError:  # a handler without a stream
            continue
        except (OSError, ValueError):
            with suppress(OSError, ValueError):  # of a closed one nothing is left to be written
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
