import yaml

from boxrefine_d2.pseudo_labels.export import export_labels


def read_back(folder, sizes):
    """Return {image: [(x1, y1, x2, y2)]} in pixels, from the label file of each listed image."""
    boxes = {}
    for line in (folder / "images.txt").read_text().splitlines():
        assert line.startswith("./images/")
        name = line.removeprefix("./images/")
        label = folder / "labels" / (name.rsplit(".", 1)[0] + ".txt")
        width, height = sizes[name]
        boxes[name] = []
        for row in label.read_text().splitlines():
            kind, cx, cy, w, h = row.split(" ")
            assert kind == "0"
            assert all(0 <= float(value) <= 1 for value in (cx, cy, w, h))
            x, y = float(cx) * width, float(cy) * height
            w, h = float(w) * width, float(h) * height
            boxes[name].append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    return boxes


def test_round_trip(label_file, tmp_path):
    summary = export_labels(label_file(), "yolo", tmp_path / "out")
    assert str(summary) == "3 images, 3 boxes, 6 files written, 1 images without boxes"
    sizes = {"a.jpg": (40, 30), "cats/a.jpg": (17, 23), "dogs/old ones/a.png": (20, 10)}
    read = read_back(tmp_path / "out", sizes)
    wanted = {
        "a.jpg": [(30, 10, 40, 30)],
        "cats/a.jpg": [(1.25, 2.5, 11.45, 10.6), (0, 0, 4, 5)],
        "dogs/old ones/a.png": [],
    }
    assert read.keys() == wanted.keys()
    for name, boxes in wanted.items():
        assert len(read[name]) == len(boxes)
        for one, other in zip(read[name], boxes, strict=True):
            assert max(abs(a - b) for a, b in zip(one, other, strict=True)) < 1e-6


def test_an_image_without_boxes_has_an_empty_file(label_file, tmp_path):
    export_labels(label_file(), "yolo", tmp_path / "out")
    assert (tmp_path / "out/labels/dogs/old ones/a.txt").read_bytes() == b""


def test_the_description_for_a_trainer(label_file, tmp_path):
    export_labels(label_file(), "yolo", tmp_path / "o: ut")
    description = yaml.safe_load((tmp_path / "o: ut/data.yaml").read_text(encoding="utf-8"))
    assert description == {
        "path": str(tmp_path / "o: ut"),
        "train": "images.txt",
        "val": "images.txt",
        "nc": 1,
        "names": ["object"],
    }
    assert (tmp_path / "o: ut/classes.txt").read_text() == "object\n"
