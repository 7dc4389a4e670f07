"""Files that are written as a whole or not at all."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from boxrefine_d2.errors import UserError

from .locks import is_abandoned, lock_handle
from .names import cut_to_bytes

_TEMPORARY = re.compile(r"\.(.+)\.\d+-[0-9a-f]{8}\.\w+", re.DOTALL)


@contextmanager
def atomic_text_file(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Open a text file (UTF-8, "\\n") that replaces `path` when the block ends without an error.

    The file is written beside `path`, flushed to the disk and renamed, which is atomic on POSIX
    file systems. After an error, such as a full disk or an interruption, it is removed, and `path`
    keeps its earlier content. Missing folders are made. A link at `path` is followed, not replaced.

    Raises: UserError, naming the path, if the operating system refuses to write.
    """
    with _atomic(path, "x", encoding="utf-8", newline="\n") as file:
        yield file


@contextmanager
def atomic_binary_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file with the guarantees of `atomic_text_file`."""
    with _atomic(path, "xb") as file:
        yield file


@contextmanager
def _atomic(path: str | os.PathLike[str], mode: str, **options: Any) -> Iterator[Any]:
    target = Path(os.path.realpath(path))
    temporary = temporary_beside(target)
    try:
        if target.is_dir():
            raise UserError(f"cannot write {os.fspath(path)!r}: it is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, **options) as file:
            lock_handle(file.fileno())  # a file without a lock was left by a killed process
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, target)
        _sync_folder(target.parent)
    except BaseException as error:
        _remove(temporary)
        # torch.save raises an error of its own in place of the disk's error, or of Ctrl-C
        cause = error.__context__ if isinstance(error, RuntimeError) else error
        if isinstance(cause, KeyboardInterrupt):
            raise cause from None
        if not isinstance(cause, OSError):
            raise
        raise UserError(f"cannot write {os.fspath(path)!r}: {cause.strerror or cause}") from error


def temporary_beside(target: Path, suffix: str = "tmp") -> Path:
    """Return a hidden path, new at each call, for the file or folder that will replace `target`."""
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"
    return target.with_name(f".{_start(target)}.{mark}.{suffix}")


def leftovers_of(target: Path, suffix: str = "tmp") -> list[Path]:
    """Return the paths of `temporary_beside` that killed processes left; no process locks them."""
    return list(_leftovers(target.parent, suffix, _start(target)))


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Delete the temporary files that killed processes left beside the file `path`."""
    for leftover in leftovers_of(Path(os.path.realpath(path))):
        _remove(leftover)


def remove_leftovers_in(folder: Path) -> None:
    """Delete the temporary files that killed processes left in a folder of this process alone."""
    for leftover in _leftovers(folder, "tmp"):
        _remove(leftover)


def _leftovers(folder: Path, suffix: str, start: str | None = None) -> Iterator[Path]:
    for path in folder.glob(f".*.{suffix}"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and start in (None, match[1]) and is_abandoned(path):
            yield path


def _start(target: Path) -> str:
    return cut_to_bytes(target.name, 100)


def _remove(temporary: Path) -> None:
    with suppress(OSError):  # the file may not exist
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename durable, on file systems that can synchronise a folder."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
