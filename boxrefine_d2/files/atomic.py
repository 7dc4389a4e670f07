"""Files that are whole or absent, whatever happens while they are written."""

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
    """A text file (UTF-8, "\\n") that takes the place of `path` when the block ends without an error.

    It is written beside `path`, flushed to the disk and renamed, which is atomic on POSIX file
    systems. On any error, including a full disk and an interruption, it is removed and what was at
    `path` before stays as it was. Missing folders are made. A link at `path` is followed, not
    replaced.

    Raises: UserError, naming the path, if the operating system refuses to write.
    """
    with _atomic(path, "x", encoding="utf-8", newline="\n") as file:
        yield file


@contextmanager
def atomic_binary_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """`atomic_text_file` for bytes."""
    with _atomic(path, "xb") as file:
        yield file


@contextmanager
def _atomic(path: str | os.PathLike[str], mode: str, **how: Any) -> Iterator[Any]:
    target = Path(os.path.realpath(path))
    temporary = temporary_beside(target)
    try:
        if target.is_dir():
            raise UserError(f"cannot write {os.fspath(path)!r}: it is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, **how) as file:
            lock_handle(file.fileno())  # what nobody holds was left by a killed process
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, target)
        _sync_folder(target.parent)
    except BaseException as error:
        _remove(temporary)
        # torch.save hides the error of the disk, or Ctrl-C, behind one of its own
        cause = error.__context__ if isinstance(error, RuntimeError) else error
        if isinstance(cause, KeyboardInterrupt):
            raise cause from None
        if not isinstance(cause, OSError):
            raise
        raise UserError(f"cannot write {os.fspath(path)!r}: {cause.strerror or cause}") from error


def temporary_beside(target: Path, suffix: str = "tmp") -> Path:
    """Return a hidden path, new at each call, for what is to take the place of `target`."""
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"
    return target.with_name(f".{_start(target)}.{mark}.{suffix}")


def leftovers_of(target: Path, suffix: str = "tmp") -> list[Path]:
    """Return what killed processes left of `temporary_beside`: paths that no process holds locked."""
    return list(_leftovers(target.parent, suffix, _start(target)))


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Delete what killed processes left beside a file that they were about to write."""
    for leftover in leftovers_of(Path(os.path.realpath(path))):
        _remove(leftover)


def remove_leftovers_in(folder: Path) -> None:
    """Delete what killed processes left of any file in a folder, which is this process's alone."""
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
    with suppress(OSError):  # it may never have come to exist
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, on file systems that let a folder be synchronised."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
