"""Advisory locks, by which two commands that would write the same output notice each other.

A lock ends when its process ends, for whatever reason. Forked workers do not keep it. On a file
system without locks every command seems to be alone.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from boxrefine_d2.errors import UserError

_handles: set[int] = set()  # locks of this process, which its forked workers must not keep


class Lock:
    """A lock on a file, from `take_lock` until `release`."""

    def __init__(self, path: Path, handle: int):
        self.path = path
        self._handle = handle
        self._owner = os.getpid()
        _handles.add(handle)

    def release(self, remove: bool = False) -> None:
        """End the lock.

        Args: remove: whether to delete the file before the lock ends.
        """
        if self._handle not in _handles or self._owner != os.getpid():
            return
        if remove:
            with suppress(OSError):
                self.path.unlink()
        _handles.discard(self._handle)
        os.close(self._handle)


def take_lock(path: Path, *, wait: bool = False) -> Lock | None:
    """Lock a file, which is made if it is missing.

    Args:
        path: the file.
        wait: whether to wait while another process holds the lock.
    Returns: the lock; None if another process holds it and `wait` is false.
    Raises: OSError if the file cannot be made.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if _flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)) is False:
                os.close(handle)
                return None
            if _is_at(handle, path):  # the last owner may have removed the file in between
                return Lock(path, handle)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def is_held(path: Path) -> bool:
    """Return whether a process holds a lock on a file, as far as the file system tells."""
    return _try(path) is False


def is_abandoned(path: Path) -> bool:
    """Return whether certainly no process locks a file or folder that was locked when made."""
    return _try(path) is True


@contextmanager
def alone(path: Path, message: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of the file `path` during the block; the file is removed at the end.

    Args:
        path: the lock file.
        message: error message if another process holds the lock.
        wait: whether to wait for that process instead of raising.
    Raises: UserError if another process holds the lock, or the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = take_lock(path, wait=wait)
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    if lock is None:
        raise UserError(message)
    try:
        yield
    finally:
        lock.release(remove=True)


def lock_handle(handle: int) -> None:
    """Lock an open file or folder of this process until it is closed, where the file system can."""
    _flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _try(path: Path) -> bool | None:
    """Return whether a shared lock is free; None if that cannot be found out."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def _flock(handle: int, operation: int) -> bool | None:
    """Return whether the lock was taken; None on a file system without locks."""
    try:
        fcntl.flock(handle, operation)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(handle: int, path: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.fstat(handle), os.stat(path))
    return False


def _forget() -> None:
    """Close the parent's locks in a forked worker; the parent keeps holding them."""
    for handle in _handles:
        os.close(handle)
    _handles.clear()


os.register_at_fork(after_in_child=_forget)
