"""Locks: two owners of one file, forks, owners that are gone, file systems without locks."""

import errno
import os

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.files import locks
from boxrefine_d2.files.locks import alone, is_abandoned, is_held, take_lock


def test_a_second_owner_is_refused_and_the_file_is_removed_at_the_end(tmp_path):
    path = tmp_path / "folder" / "o.lock"
    with alone(path, "somebody is at work"):
        assert is_held(path) and not is_abandoned(path)
        with (
            pytest.raises(UserError, match="somebody is at work"),
            alone(path, "somebody is at work"),
        ):
            raise AssertionError("both hold it")
    assert not path.exists()
    with alone(path, "again"):
        pass


def test_a_file_that_a_killed_process_left_is_taken(tmp_path):
    path = tmp_path / "o.lock"
    path.touch()
    assert is_abandoned(path) and not is_held(path)
    with alone(path, "somebody is at work"):
        assert is_held(path)


def test_a_forked_worker_keeps_no_lock(tmp_path):
    path = tmp_path / "o.lock"
    lock = take_lock(path)
    told, tell = os.pipe()
    wait, go = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.write(tell, b"x")
        os.read(wait, 1)
        lock.release(remove=True)  # the lock is the parent's: this does nothing
        os._exit(0)
    os.read(told, 1)
    assert is_held(path)
    lock.release()
    assert not is_held(path)  # although the worker still runs
    os.write(go, b"x")
    assert os.waitpid(worker, 0)[1] == 0
    assert path.exists()


def test_a_lock_on_a_file_that_was_removed_is_taken_anew(tmp_path, monkeypatch):
    """The last owner removes the file between open and lock; another file then has the name."""
    path = tmp_path / "o.lock"
    flock, calls = locks.fcntl.flock, []

    def removed_first(handle, how):
        if not calls:
            path.unlink()
        calls.append(how)
        flock(handle, how)

    monkeypatch.setattr(locks.fcntl, "flock", removed_first)
    lock = take_lock(path)
    monkeypatch.undo()
    assert len(calls) == 2 and is_held(path)
    lock.release()


def test_on_a_file_system_without_locks_work_goes_on_and_nothing_counts_as_abandoned(
    tmp_path, monkeypatch
):
    def none(handle, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    with alone(tmp_path / "o.lock", "never"), alone(tmp_path / "o.lock", "never"):
        assert not is_held(tmp_path / "o.lock") and not is_abandoned(tmp_path / "o.lock")


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="cannot write .*file/o.lock"),
        alone(tmp_path / "file" / "o.lock", "never"),
    ):
        pass
