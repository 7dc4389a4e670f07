"""Checks of outputs before the work: a mistake in `--output` stops a command at its start."""

import os
import secrets
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from boxrefine_d2.errors import UserError

from .inputs import FilePath
from .names import MAX_NAME_BYTES, can_be_path, cut_to_bytes

_ROOM_FOR_JOURNALS = 32  # bytes that a journal adds to a file name: ".journal.12-3"


def check_output_file(
    path: FilePath,
    *,
    inputs: Iterable[FilePath] = (),
    others: Iterable[FilePath] = (),
    suffixes: Collection[str] = (),
    flag: str = "--output",
) -> None:
    """Refuse an output file that could not be written or that would replace an input.

    Missing parent folders are made. A file is made in the folder and removed, because no other
    check is certain.

    Args:
        path: the output file.
        inputs: files that the command reads; compared by inode, not by name.
        others: files that the command writes as well.
        suffixes: suffixes that the name may have, in lower case; empty accepts any.
        flag: flag by which the user named the output, for messages.
    Raises: UserError, naming the flag and the path.
    """
    shown = f"{flag} {os.fspath(path)!r}"
    target = _target(path, shown)
    _check_name(target, shown)
    # os.path.isdir, because Path.is_dir raises if a name above is too long
    if os.path.isdir(target):
        raise UserError(f"{shown} is a folder; name a file in it")
    if os.path.exists(target) and not os.path.isfile(target):
        raise UserError(f"{shown} is a pipe or a device; name a regular file")
    if suffixes and target.suffix.lower() not in suffixes:
        raise UserError(f"{shown}: its name must end in {' or '.join(suffixes)}")
    _check_no_input(target, inputs, shown)
    for path in others:
        if os.path.realpath(path) == os.fspath(target):
            raise UserError(f"{shown} is another output of this command, too; name another file")
    _check_writable(target.parent, shown)


def check_output_folder(
    path: FilePath, *, inputs: Iterable[FilePath] = (), flag: str = "--output"
) -> None:
    """Refuse an output folder that cannot be written to; a missing folder is made.

    Args:
        path: the output folder.
        inputs: folders that the command reads and must not write to.
        flag: flag by which the user named the output, for messages.
    Raises: UserError, naming the flag and the path.
    """
    shown = f"{flag} {os.fspath(path)!r}"
    target = _target(path, shown)
    if os.path.exists(target) and not os.path.isdir(target):
        raise UserError(f"{shown} is a file; a folder is needed")
    _check_no_input(target, inputs, shown)
    _check_writable(target, shown)


@contextmanager
def output_folder_if_done(folder: Path) -> Iterator[None]:
    """Make an output folder before the work; remove it if the work fails and it is empty.

    Raises: UserError (see `check_output_folder`).
    """
    is_new = not os.path.exists(folder)
    try:
        check_output_folder(folder)
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def is_same_file(one: FilePath, other: FilePath) -> bool:
    """Return whether two paths lead to one file: one inode, or one place without a file yet."""
    with suppress(OSError, ValueError):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def _target(path: FilePath, shown: str) -> Path:
    """Return the place that a path leads to, with links resolved.

    Callers ask os.path whether something is there, because it also accepts names that are too long.
    """
    if not os.fspath(path):
        raise UserError(f"{shown} is empty; name a place")
    if not can_be_path(os.fspath(path)):
        raise UserError(f"{shown} has a character that no path can have")
    return Path(os.path.realpath(path))


def _check_no_input(target: Path, inputs: Iterable[FilePath], shown: str) -> None:
    # os.stat of the target is called once, because inputs may be many
    status = os.stat(target) if os.path.exists(target) else None
    for path in inputs:
        if _is(target, status, path):
            raise UserError(
                f"{shown} is an input of this command, {os.fspath(path)!r}; name another file"
            )


def _is(target: Path, status: os.stat_result | None, path: FilePath) -> bool:
    """Return whether a path leads to the target.

    Args: status: status of the target; None if the target does not exist yet.
    """
    if status is None:
        return os.path.abspath(path) == os.fspath(target)
    try:
        return os.path.samestat(status, os.stat(path))
    except (OSError, ValueError):
        return False


def _check_name(target: Path, shown: str) -> None:
    most = MAX_NAME_BYTES - _ROOM_FOR_JOURNALS
    length = len(os.fsencode(target.name))
    if length > most:
        raise UserError(f"{shown}: its name has {length} bytes, at most {most} are possible")


def _check_writable(folder: Path, shown: str) -> None:
    probe = folder / f".{cut_to_bytes(folder.name, 50)}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
    except OSError as error:
        raise UserError(f"cannot write {shown}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            probe.unlink()
