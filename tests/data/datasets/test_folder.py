"""Folders of images."""

import os

import pytest
from PIL import Image

from boxrefine_d2.data.datasets.folder import load_folder
from boxrefine_d2.errors import UserError


def _write_image(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def test_every_image_at_any_depth_in_order(tmp_path):
    for name in ("b.png", "a/z.JPG", "a/deep/er/x.jpeg", "a.png", "C.bmp"):
        _write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "labels.json").write_text("{}")
    records = load_folder(tmp_path).records
    names = [record["relative_name"] for record in records]
    assert names == ["C.bmp", "a.png", "a/deep/er/x.jpeg", "a/z.JPG", "b.png"]
    assert [record["image_id"] for record in records] == [1, 2, 3, 4, 5]
    assert records[2] == {
        "file_name": str(tmp_path / "a/deep/er/x.jpeg"),
        "relative_name": "a/deep/er/x.jpeg",
        "image_id": 3,
        "height": 4,
        "width": 6,
    }


def test_hidden_files_and_folders_are_left_out(tmp_path):
    root = tmp_path / ".hidden_root"
    for name in ("a.png", ".b.png", ".thumbs/c.png"):
        _write_image(root / name)
    assert [record["relative_name"] for record in load_folder(root).records] == ["a.png"]


def test_relative_folder_gives_absolute_names(tmp_path, monkeypatch):
    _write_image(tmp_path / "images/a.png")
    monkeypatch.chdir(tmp_path)
    assert load_folder("images").records[0]["file_name"] == str(tmp_path / "images/a.png")


def test_unreadable_images_stay_in_the_list(tmp_path):
    _write_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("not an image")
    (tmp_path / "c.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "d.png").symlink_to(tmp_path / "d.png")
    sizes = [
        (record["relative_name"], record["height"]) for record in load_folder(tmp_path).records
    ]
    assert sizes == [("a.png", 4), ("b.png", None), ("c.png", None), ("d.png", None)]


def test_limit_reads_no_further_header(tmp_path, monkeypatch):
    for name in ("a.png", "b.png", "c.png"):
        _write_image(tmp_path / name)
    seen = []
    monkeypatch.setattr(
        "boxrefine_d2.data.datasets.folder.header_size", lambda path: seen.append(path) or (1, 1)
    )
    assert [record["relative_name"] for record in load_folder(tmp_path, limit=2).records] == [
        "a.png",
        "b.png",
    ]
    assert [os.path.basename(path) for path in seen] == ["a.png", "b.png"]


def test_links_are_followed_once(tmp_path):
    _write_image(tmp_path / "root/z/a.png")
    _write_image(tmp_path / "elsewhere/b.png")
    (tmp_path / "root/z/up").symlink_to(tmp_path / "root")  # a loop
    (tmp_path / "root/b_link").symlink_to(tmp_path / "root/z")  # a second way to z
    (tmp_path / "root/other").symlink_to(tmp_path / "elsewhere")
    names = [record["relative_name"] for record in load_folder(tmp_path / "root").records]
    assert names == ["other/b.png", "z/a.png"]


def test_errors_name_the_folder(tmp_path):
    with pytest.raises(UserError, match="'.*nowhere' does not exist"):
        load_folder(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"):
        load_folder(tmp_path / "a.txt")
    with pytest.raises(
        UserError, match=r"no image in folder '.*' or below it; looked for .*jpg.*\(1 other files"
    ):
        load_folder(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list any folder")
def test_folder_that_cannot_be_listed(tmp_path):
    _write_image(tmp_path / "closed/a.png")
    (tmp_path / "closed").chmod(0)
    try:
        with pytest.raises(UserError, match="cannot list folder .*closed"):
            load_folder(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o755)
