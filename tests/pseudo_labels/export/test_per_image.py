from pathlib import PurePosixPath

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.export import LabelledImage, export_labels
from boxrefine_d2.pseudo_labels.export.per_image import write_per_image

BESIDE = {"id": 1, "file_name": "x/b.jpg", "width": 9, "height": 9}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../b.jpg", "lies outside"),
        ("/etc/b.jpg", "lies outside"),
        ("x/../../b.jpg", "lies outside"),
        ("", "lies outside"),
        ("x\ny.jpg", "a character that is no text"),
        ("C:\\b.jpg", "lies outside"),
        ("c:/b.jpg", "lies outside"),
        ("\\\\host\\share\\b.jpg", "lies outside"),
        ("x\\..\\..\\b.jpg", "lies outside"),
        (".", "lies outside"),
        ("\ud800.jpg", "which no file can have"),
        ("a\u202egpj.exe", "a character that is no text"),
        ("a\u2028b.jpg", "a character that is no text"),
        ("a\ufffe.jpg", "a character that is no text"),
        ("中" * 90 + ".jpg", "would have 274 bytes in this format"),
        ("./x//b.jpg", "'x/b.jpg' and './x//b.jpg' would have the same file"),
        ("x/b.png", "'x/b.jpg' and 'x/b.png' would have the same file"),
    ],
)
@pytest.mark.parametrize("kind", ["yolo", "voc", "masks"])
def test_names_that_cannot_have_their_own_file(label_file, tmp_path, kind, name, message):
    images = [BESIDE, {"id": 2, "file_name": name, "width": 9, "height": 9}]
    with pytest.raises(UserError, match=message):
        export_labels(label_file(images, []), kind, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["labels.json"]


def test_a_name_without_suffix_and_one_with_points(label_file, tmp_path):
    names = ["val/000001", "a.b.jpg", "a.c.jpg"]
    images = [{"id": n, "file_name": x, "width": 9, "height": 9} for n, x in enumerate(names)]
    export_labels(label_file(images, []), "yolo", tmp_path / "out")
    labels = tmp_path / "out/labels"
    written = sorted(path.relative_to(labels).as_posix() for path in labels.rglob("*.txt"))
    assert written == ["a.b.txt", "a.c.txt", "val/000001.txt"]


def test_names_that_other_disks_do_not_distinguish_are_written_and_reported(
    label_file, tmp_path, caplog
):
    names = ["A.jpg", "a.jpg", "caf\u00e9.jpg", "cafe\u0301.jpg", "b.jpg"]
    images = [{"id": n, "file_name": x, "width": 9, "height": 9} for n, x in enumerate(names)]
    export_labels(label_file(images, []), "masks", tmp_path / "out")
    assert len(list((tmp_path / "out/masks").iterdir())) == 5
    assert "4 images have names that differ only in upper and lower case" in caplog.text


def test_a_disk_that_does_not_distinguish_two_names_loses_nothing(tmp_path):
    """Such a disk answers that the file exists already."""
    (tmp_path / "a.txt").write_text("of A.jpg")
    image = LabelledImage(1, "a.jpg", 9, 9, [])
    with pytest.raises(UserError, match="'a.jpg' would overwrite the file of another one"):
        write_per_image(tmp_path, [image], [PurePosixPath("a.txt")], lambda image: b"")
    assert (tmp_path / "a.txt").read_text() == "of A.jpg"
