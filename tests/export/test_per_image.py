import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.export import export_labels

BESIDE = {"id": 1, "file_name": "x/b.jpg", "width": 9, "height": 9}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../b.jpg", "lies outside"),
        ("/etc/b.jpg", "lies outside"),
        ("x/../../b.jpg", "lies outside"),
        ("", "lies outside"),
        ("x\ny.jpg", "a character that is no text"),
        ("x/b.png", "'x/b.jpg' and 'x/b.png' would have the same file"),
    ],
)
@pytest.mark.parametrize("kind", ["yolo", "voc", "masks"])
def test_names_that_cannot_be_files_of_their_own(label_file, tmp_path, kind, name, message):
    images = [BESIDE, {"id": 2, "file_name": name, "width": 9, "height": 9}]
    with pytest.raises(UserError, match=message):
        export_labels(label_file(images, []), kind, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["labels.json"]


def test_a_name_without_suffix_and_one_with_points(label_file, tmp_path):
    names = ["val/000001", "a.b.jpg", "a.c.jpg"]
    images = [{"id": n, "file_name": x, "width": 9, "height": 9} for n, x in enumerate(names)]
    export_labels(label_file(images, []), "yolo", tmp_path / "out")
    labels = tmp_path / "out/labels"
    found = sorted(path.relative_to(labels).as_posix() for path in labels.rglob("*.txt"))
    assert found == ["a.b.txt", "a.c.txt", "val/000001.txt"]
