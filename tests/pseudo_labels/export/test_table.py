import csv

from boxrefine_d2.pseudo_labels.export import export_labels


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_one_line_per_box_and_one_line_per_image(label_file, tmp_path):
    summary = export_labels(label_file(), "csv", tmp_path / "out")
    assert summary.files == 2
    boxes = read(tmp_path / "out/boxes.csv")
    assert boxes[0] == {
        "file_name": "a.jpg",
        "image_id": "1",
        **{"x1": "30", "y1": "10", "x2": "40", "y2": "30"},
        "score": "0.5",
        "category": "object",
    }
    assert [(row["file_name"], row["x2"], row["score"]) for row in boxes[1:]] == [
        ("cats/a.jpg", "11.45", "0.75"),
        ("cats/a.jpg", "4", "0.25"),
    ]
    images = read(tmp_path / "out/images.csv")
    assert [(row["file_name"], row["width"], row["height"], row["boxes"]) for row in images] == [
        ("a.jpg", "40", "30", "1"),
        ("cats/a.jpg", "17", "23", "2"),
        ("dogs/old ones/a.png", "20", "10", "0"),
    ]


def test_names_that_a_table_must_quote(label_file, tmp_path):
    names = ['a, "b".jpg', "c\nd.jpg", "caf\udce9.jpg"]  # the last one is not UTF-8 on the disk
    images = [{"id": n, "file_name": name, "width": 9, "height": 9} for n, name in enumerate(names)]
    export_labels(label_file(images, []), "csv", tmp_path / "out")
    path = tmp_path / "out/images.csv"
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert [row["file_name"] for row in csv.DictReader(file)] == names
    assert b"caf\xe9.jpg" in path.read_bytes()
