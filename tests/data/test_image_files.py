"""Search for images whose names a label file spells differently."""

import json
import logging
import os
import unicodedata

import pytest
from PIL import Image

from boxrefine_d2.data.datasets.coco import load_coco
from boxrefine_d2.data.datasets.kitti import load_kitti
from boxrefine_d2.data.image_files import ImageFinder

NFC = unicodedata.normalize("NFC", "Caf\u00e9.jpg")
NFD = unicodedata.normalize("NFD", "Caf\u00e9.jpg")


def folder_with(path, *names):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    return path


@pytest.mark.parametrize(
    ("existing", "name", "expected"),
    [
        (["a.jpg", "a.JPG"], "a.jpg", "a.jpg"),
        (["a.JPG"], "a.jpg", "a.JPG"),
        (["a.jpg"], "a.JPG", "a.jpg"),
        (["a.JPG", "a.Jpg"], "a.jpg", "a.jpg"),  # two files match, and none is accepted
        (["A.jpg"], "a.jpg", "a.jpg"),  # a different name
        (["a.png"], "a.jpg", "a.jpg"),  # perhaps a different image
        (["sub/a.jpg"], "sub\\a.jpg", "sub/a.jpg"),
        (["sub\\a.jpg", "sub/a.jpg"], "sub\\a.jpg", "sub\\a.jpg"),
        (["sub/a.JPG"], ".\\sub\\a.jpg", "sub/a.JPG"),
        ([NFD], NFC, NFD),
        ([NFC], NFD, NFC),
        ([f"{NFD}/a.jpg"], f"{NFC}\\a.jpg", f"{NFD}/a.jpg"),
        ([NFD, NFC], NFC, NFC),
        (["a.jpg"], "C:\\data\\a.jpg", "C:\\data\\a.jpg"),
        (["a.jpg"], "..\\a.jpg", "..\\a.jpg"),
        (["a.jpg"], "nowhere/a.jpg", "nowhere/a.jpg"),
        (["caf\udce9.jpg"], "caf\udce9.jpg", "caf\udce9.jpg"),
        ([], "a\0b.jpg", "a\0b.jpg"),
        ([], "x" * 5000, "x" * 5000),
    ],
)
def test_the_only_file_that_differs_in_spelling_alone_is_found(tmp_path, existing, name, expected):
    assert ImageFinder(folder_with(tmp_path, *existing)).find(name) == expected


@pytest.mark.parametrize(
    ("existing", "names", "expected"),
    [
        (["b.JPG"], ["b.jpg"], "b.JPG"),
        (["c.png"], ["c.jpg"], "c.png"),
        (["c.png", "c.txt"], ["c.jpg"], "c.png"),
        (["c.png", "c.bmp"], ["c.jpg"], "c.jpg"),
        (["c.png", "c.bmp"], ["c.jpg", "c.bmp"], "c.bmp"),
        (["c.png"], ["000.jpg", "c"], "c.png"),
        (["c.v2.png", "c.png"], ["c.v2.jpg"], "c.v2.png"),
        (["c.png"], ["000.jpg", "c.v2"], "000.jpg"),
    ],
)
def test_names_without_a_suffix_match_by_stem(tmp_path, existing, names, expected):
    assert ImageFinder(folder_with(tmp_path, *existing), by_stem=True).find(*names) == expected


def test_a_folder_is_listed_once_and_only_when_an_image_is_missing(tmp_path, monkeypatch):
    folder_with(tmp_path, *(f"{n}.jpg" for n in range(20)))
    listed = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or real(path))
    finder = ImageFinder(tmp_path)
    for n in range(20):
        finder.find(f"{n}.jpg")
    assert listed == []
    for n in range(20):
        finder.find(f"{n}.JPG")
    assert len(listed) == 1


def test_one_warning_counts_the_respelled_names_and_one_the_similar_names(tmp_path, caplog):
    folder_with(tmp_path, "a.JPG", "b.JPG", "C.jpg", "d.jpg")
    finder = ImageFinder(tmp_path)
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"):
        finder.find(name)
    with caplog.at_level(logging.WARNING):
        finder.report("labels.json")
    respelled, similar = caplog.messages
    assert "labels.json: 2 images were found" in respelled and "'a.JPG' for 'a.jpg'" in respelled
    assert "1 images are not in" in similar and "'C.jpg' for 'c.jpg'" in similar


def test_images_under_their_exact_name_and_missing_images_are_not_logged(tmp_path, caplog):
    finder = ImageFinder(folder_with(tmp_path, "a.jpg"))
    finder.find("a.jpg")
    finder.find("b.jpg")
    finder.report("labels.json")
    assert caplog.messages == []


def test_records_have_the_name_of_the_file_on_disk(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "images" / NFD)
    image = {"id": 1, "file_name": f"images\\{NFC}"}
    (tmp_path / "x.json").write_text(json.dumps({"images": [image]}))
    (record,) = load_coco(tmp_path / "x.json", tmp_path).records
    assert record["relative_name"] == f"images/{NFD}"
    assert record["file_name"] == str(tmp_path / "images" / NFD)
    assert (record["height"], record["width"]) == (20, 30)


def test_kitti_with_another_image_format(tmp_path):
    folder_with(tmp_path, "label_2/000000.txt")
    (tmp_path / "image_2").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "image_2/000000.JPEG")
    (record,) = load_kitti(tmp_path).records
    assert record["relative_name"] == "image_2/000000.JPEG"
    assert (record["height"], record["width"]) == (20, 30)
