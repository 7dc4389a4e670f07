"""Files that are written as a whole or not at all."""

import errno
import os

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.files import atomic
from boxrefine_d2.files.atomic import atomic_text_file


def _write(path, *parts):
    with atomic_text_file(path) as file:
        for part in parts:
            file.write(part)


def test_writes_and_replaces_with_ordinary_permissions(tmp_path):
    path = tmp_path / "new" / "folders" / "a.json"
    _write(path, "one")
    _write(path, "two")
    assert path.read_text() == "two"
    assert os.listdir(path.parent) == ["a.json"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "there" / "real.json")
    _write(tmp_path / "link.json", "x")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "there" / "real.json").read_text() == "x"


@pytest.mark.parametrize("interruption", [RuntimeError("bug"), KeyboardInterrupt()])
def test_an_error_inside_leaves_the_old_file(tmp_path, interruption):
    path = tmp_path / "a.json"
    _write(path, "old")

    def broken():
        with atomic_text_file(path) as file:
            file.write("new")
            raise interruption

    with pytest.raises(type(interruption)):
        broken()
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, function):
    path = tmp_path / "a.json"
    _write(path, "old")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(UserError, match="cannot write '.*a.json': No space left on device"):
        _write(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]


def test_the_file_appears_only_at_the_end(tmp_path):
    with atomic_text_file(tmp_path / "a.json") as file:
        file.write("x")
        file.flush()
        assert not (tmp_path / "a.json").exists()
        assert all(name.startswith(".") for name in os.listdir(tmp_path))
    assert (tmp_path / "a.json").exists()


def test_places_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write '.*': it is a folder"):
        _write(tmp_path, "x")
    with pytest.raises(UserError, match="cannot write '.*file/a.json'"):
        _write(tmp_path / "file" / "a.json", "x")


def test_leftovers_of_killed_processes_go_and_files_being_written_stay(tmp_path):
    target, other = tmp_path / "o.json", tmp_path / "o.json.more"
    left = [atomic.temporary_beside(path) for path in (target, other)]
    foreign = tmp_path / ".o.json.notes.tmp"
    for path in (*left, foreign):
        path.touch()
    with atomic.atomic_text_file(target) as file:
        file.write("new")
        (writing,) = set(tmp_path.glob(".*.tmp")) - {*left, foreign}
        atomic.remove_leftovers(target)
        assert not left[0].exists() and left[1].exists() and writing.exists()
        atomic.remove_leftovers_in(tmp_path)
        assert not left[1].exists() and writing.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [foreign.name, "o.json"]
