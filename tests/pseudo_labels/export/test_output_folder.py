import os

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.atomic import temporary_beside
from boxrefine_d2.pseudo_labels.export import export_labels
from boxrefine_d2.pseudo_labels.export.output_folder import whole_folder


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def fill(path, content="new", *, overwrite=False, replaceable=("a.txt",)):
    with whole_folder(path, replaceable=replaceable, overwrite=overwrite) as folder:
        (folder / "a.txt").write_text(content)


def test_the_folder_appears_at_once_with_its_parents(tmp_path):
    with whole_folder(tmp_path / "x/y", replaceable=(), overwrite=False) as folder:
        (folder / "a.txt").write_text("new")
        assert not (tmp_path / "x/y").exists()
    assert tree(tmp_path) == ["x", "x/y", "x/y/a.txt"]


def test_an_interruption_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        whole_folder(tmp_path / "out", replaceable=(), overwrite=False) as folder,
    ):
        (folder / "a.txt").write_text("half")
        raise KeyboardInterrupt
    assert tree(tmp_path) == []


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out")
    assert tree(tmp_path) == ["out", "out/a.txt"]


def test_a_full_folder_is_replaced_with_overwrite_only(tmp_path):
    fill(tmp_path / "out", "old")
    with pytest.raises(UserError, match="is not empty; name another one, or add --overwrite"):
        fill(tmp_path / "out")
    assert (tmp_path / "out/a.txt").read_text() == "old"
    fill(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/a.txt").read_text() == "new"
    assert tree(tmp_path) == ["out", "out/a.txt"]


def test_foreign_files_are_never_overwritten(tmp_path):
    fill(tmp_path / "out", "old")
    (tmp_path / "out/images").mkdir()
    with pytest.raises(UserError, match="holds 'images', which an export of this format"):
        fill(tmp_path / "out", overwrite=True)
    assert tree(tmp_path / "out") == ["a.txt", "images"]


def test_an_interrupted_overwrite_keeps_the_old_folder(tmp_path):
    fill(tmp_path / "out", "old")
    with (
        pytest.raises(ZeroDivisionError),
        whole_folder(tmp_path / "out", replaceable=("a.txt",), overwrite=True),
    ):
        raise ZeroDivisionError
    assert tree(tmp_path) == ["out", "out/a.txt"]
    assert (tmp_path / "out/a.txt").read_text() == "old"


def test_if_the_last_rename_fails_the_old_folder_comes_back(tmp_path, monkeypatch):
    fill(tmp_path / "out", "old")
    rename = type(tmp_path).rename

    def refuse(self, target):
        if self.suffix == ".tmp":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", refuse)
    with pytest.raises(UserError, match="No space left"):
        fill(tmp_path / "out", overwrite=True)
    assert tree(tmp_path) == ["out", "out/a.txt"]
    assert (tmp_path / "out/a.txt").read_text() == "old"


def test_places_that_are_no_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="it is a file; name a folder"):
        fill(tmp_path / "file")
    with pytest.raises(UserError, match="cannot write"):
        fill(tmp_path / "file/below")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="is the current folder"):
        fill(".")
    assert tree(tmp_path) == ["file", "here"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    fill(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and tree(tmp_path / "real") == ["a.txt"]


@pytest.mark.parametrize("name", ["yolo", "voc", "csv", "masks", "coco"])
def test_every_format_may_replace_itself(mask_file, tmp_path, name):
    first = export_labels(mask_file, name, tmp_path / "out")
    before = tree(tmp_path / "out")
    assert export_labels(mask_file, name, tmp_path / "out", overwrite=True) == first
    assert tree(tmp_path / "out") == before


def test_after_a_kill_the_old_folder_comes_back_and_the_half_one_goes(tmp_path):
    """After a kill between two renames, the old export exists under a hidden name only."""
    out = tmp_path / "out"
    old, half = temporary_beside(out, "old"), temporary_beside(out)
    for folder in (old, half):
        folder.mkdir()
    (old / "a.txt").write_text("old")
    with pytest.raises(UserError, match="not empty"):
        fill(out)
    assert tree(tmp_path) == ["out", "out/a.txt"]
    assert (out / "a.txt").read_text() == "old"
    fill(out, overwrite=True)
    assert (out / "a.txt").read_text() == "new"


def test_the_folder_of_another_export_at_work_is_not_touched(tmp_path):
    with whole_folder(tmp_path / "out", replaceable=(), overwrite=False) as folder:
        (folder / "a.txt").write_text("first")
        with (
            pytest.raises(KeyboardInterrupt),
            whole_folder(tmp_path / "out", replaceable=(), overwrite=False),
        ):
            raise KeyboardInterrupt
    assert tree(tmp_path) == ["out", "out/a.txt"]


def test_the_folder_is_checked_before_the_file_is_read(label_file, tmp_path, monkeypatch):
    def read(path):
        raise AssertionError("read")

    monkeypatch.setattr("boxrefine_d2.pseudo_labels.export.build.read_pseudo_labels", read)
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file/below", tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match="cannot write"):
            export_labels(label_file(), "csv", output)


def test_a_folder_that_holds_the_file_is_never_replaced(label_file, tmp_path):
    """annotations.json is a name that the format writes, and here the file that is read."""
    source = label_file(name="annotations.json").rename(tmp_path / "annotations.json")
    folder = tmp_path / "labels"
    folder.mkdir()
    source = source.rename(folder / "annotations.json")
    before = source.read_bytes()
    with pytest.raises(UserError, match="it holds .*annotations.json', which is read"):
        export_labels(source, "coco", folder, overwrite=True)
    assert source.read_bytes() == before


def test_a_long_name_of_many_bytes(label_file, tmp_path):
    fill(tmp_path / ("中" * 80))
    assert (tmp_path / ("中" * 80) / "a.txt").read_text() == "new"
