"""Output folders that are either complete or absent, even after an error or a kill."""

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.atomic import leftovers_of, temporary_beside
from boxrefine_d2.files.locks import lock_handle


@contextmanager
def whole_folder(
    path: str | os.PathLike[str],
    *,
    replaceable: Collection[str],
    overwrite: bool,
    is_own: Callable[[Path], bool] = lambda folder: False,
    source: str | os.PathLike[str] | None = None,
) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `path` when the block ends without an error.

    The folder is filled beside `path` under a hidden name, then renamed. On any error it is
    removed, and the old content of `path` stays unchanged. Missing parents are made. A link at
    `path` is followed.

    Args:   replaceable: names that a replaced folder may have at its top.
            overwrite: allow to replace a folder that is not empty.
            is_own: function that returns True for a folder at the top that may be replaced, too.
            source: file that is read while the folder is filled; the replaced folder must not
            contain it.
    Raises: UserError if `path` may not be replaced, or the operating system refuses to write.
    """
    target = Path(os.path.realpath(path))
    filled, old = temporary_beside(target), temporary_beside(target, "old")
    handles: list[int] = []
    try:
        _clear_up(target)
        occupied = _check(target, os.fspath(path), replaceable, overwrite, is_own)
        if source is not None and occupied:
            _check_apart(target, os.fspath(path), source)
        target.parent.mkdir(parents=True, exist_ok=True)
        filled.mkdir()
        handles.append(_locked(filled))  # a folder without a lock was left by a killed process
        yield filled
        if occupied:
            handles.append(_locked(target))
            target.rename(old)
        filled.rename(target)
    except OSError as error:
        raise UserError(f"cannot write {os.fspath(path)!r}: {error.strerror or error}") from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        for leftover in (filled, old):
            shutil.rmtree(leftover, ignore_errors=True)
        for handle in handles:
            os.close(handle)


def _clear_up(target: Path) -> None:
    """Repair after a kill: restore the folder being replaced, remove the folder being filled."""
    for old in leftovers_of(target, "old"):
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)
    for filled in leftovers_of(target):
        shutil.rmtree(filled, ignore_errors=True)


def _locked(folder: Path) -> int:
    handle = os.open(folder, os.O_RDONLY)
    lock_handle(handle)
    return handle


def _check_apart(target: Path, shown: str, source: str | os.PathLike[str]) -> None:
    if any(
        os.path.samefile(target, folder)
        for folder in Path(os.path.realpath(source)).parents
        if folder.exists()
    ):
        raise UserError(
            f"cannot overwrite {shown!r}: it holds {os.fspath(source)!r}, which is read; name "
            "another folder"
        )


def _check(
    target: Path,
    shown: str,
    replaceable: Collection[str],
    overwrite: bool,
    is_own: Callable[[Path], bool],
) -> bool:
    """Return True if a folder with content has to be replaced; refuse one that must not be."""
    if not target.exists():
        return False
    if not target.is_dir():
        raise UserError(f"cannot write {shown!r}: it is a file; name a folder")
    if target == Path.cwd().resolve():
        raise UserError(f"cannot write {shown!r}: it is the current folder; name one inside it")
    entries = sorted(entry.name for entry in target.iterdir())
    if entries and not overwrite:
        raise UserError(f"folder {shown!r} is not empty; name another one, or add --overwrite")
    foreign = [name for name in entries if name not in replaceable and not is_own(target / name)]
    if foreign:
        raise UserError(
            f"folder {shown!r} holds {foreign[0]!r}, which an export of this format does not "
            "write, so it is not overwritten; name another folder"
        )
    return bool(entries)
