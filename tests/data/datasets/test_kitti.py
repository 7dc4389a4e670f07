"""KITTI trees, valid and damaged."""

import logging

import pytest
from detectron2.structures import BoxMode
from PIL import Image

from boxrefine_d2.data.datasets.kitti import KITTI_TYPES, load_kitti
from boxrefine_d2.errors import UserError

# Two labels in KITTI's format, and a region that was not labelled.
LINES = """\
Car 0.00 0 -1.59 5.50 2.00 20.25 9.00 1.36 1.69 3.38 0.28 2.08 17.74 -1.58
Person_sitting 0.30 2 0.15 0.00 1.00 4.00 9.00 1.97 0.64 0.65 -3.21 1.97 11.22 -0.13
DontCare -1 -1 -10 21.00 0.00 29.00 3.00 -1 -1 -1 -1000 -1000 -1000 -10
"""


def write_kitti(root):
    """Write a tree of three labels.

    000000 has the lines above, 000001 has no object, and 000007 has no image.
    """
    for folder in ("label_2", "image_2"):
        (root / folder).mkdir(parents=True)
    for name, content in (("000007", LINES), ("000000", LINES), ("000001", "\n")):
        (root / "label_2" / f"{name}.txt").write_text(content)
    for name in ("000000", "000001"):
        Image.new("RGB", (30, 10)).save(root / "image_2" / f"{name}.png")
    return root


def test_records(tmp_path):
    dataset = load_kitti(write_kitti(tmp_path))
    assert [r["image_id"] for r in dataset.records] == ["000000", "000001", "000007"]
    first, second, third = dataset.records
    assert (first["height"], first["width"]) == (10, 30)
    assert first["file_name"] == str(tmp_path / "image_2" / "000000.png")
    assert first["relative_name"] == "image_2/000000.png"
    car, person, region = first["annotations"]
    assert car == {
        "bbox": [5.5, 2.0, 20.25, 9.0],
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": 0,
        "iscrowd": 0,
    }
    assert dataset.category_names[person["category_id"]] == "Person_sitting"
    assert person["iscrowd"] == 0
    assert region["bbox"] == [21.0, 0.0, 29.0, 3.0] and region["iscrowd"] == 1
    assert dataset.category_names[region["category_id"]] == "DontCare" == KITTI_TYPES[-1]
    assert dataset.category_ids == list(range(1, 10))
    assert second["annotations"] == []
    assert (third["height"], third["width"]) == (None, None)


def test_images_without_a_label_file_are_counted(tmp_path, caplog):
    write_kitti(tmp_path)
    Image.new("RGB", (30, 10)).save(tmp_path / "image_2" / "000009.png")
    with caplog.at_level(logging.WARNING):
        assert len(load_kitti(tmp_path).records) == 3
    assert "1 images have no label file" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Car 0 0 0 1 2 3 4", "000000.txt', line 2 has 8 words; a label has 15"),
        (LINES.splitlines()[0].replace("Car", "Bus"), "type 'Bus'; known: Car, Van"),
        (LINES.splitlines()[0].replace("20.25", "inf"),
         "box '5.50 2.00 inf 9.00'; it must be four"),
        (LINES.splitlines()[0].replace("20.25", "x"), "must be four numbers"),
    ],
)  # fmt: skip
def test_lines_that_are_not_labels_are_refused(tmp_path, line, message):
    write_kitti(tmp_path)
    (tmp_path / "label_2" / "000000.txt").write_text(LINES.splitlines()[0] + "\n" + line + "\n")
    with pytest.raises(UserError, match=message):
        load_kitti(tmp_path)


def test_missing_folders(tmp_path):
    write_kitti(tmp_path / "training")
    with pytest.raises(UserError, match="KITTI folder .*label_2' does not exist"):
        load_kitti(tmp_path)
    for path in (tmp_path / "training" / "label_2").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="label_2' holds no label file"):
        load_kitti(tmp_path / "training")
