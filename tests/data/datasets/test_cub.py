"""CUB-200-2011 in its own files, sound and damaged."""

import numpy as np
import pytest
from detectron2.structures import BoxMode
from PIL import Image

from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.coding import decode_mask

BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
# 12 training images of the first class, one test image of each class
NAMES = [f"{BIRDS[0]}/a_{k:04d}.jpg" for k in range(13)] + [f"{BIRDS[1]}/b_0001.jpg"]


def write(tree, name, lines):
    (tree / name).write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Write a tree of 14 images of 6 x 4 pixels, with masks."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    tree = tmp_path / "CUB_200_2011"
    for bird in BIRDS:
        (tree / "images" / bird).mkdir(parents=True)
        (tree / "segmentations" / bird).mkdir(parents=True)
    ids = range(1, 15)
    write(tree, "classes.txt", [f"{k} {bird}" for k, bird in enumerate(BIRDS, 1)])
    write(tree, "images.txt", [f"{k} {name}" for k, name in zip(ids, NAMES)])
    write(tree, "image_class_labels.txt", [f"{k} {1 + (k == 14)}" for k in ids])
    write(tree, "train_test_split.txt", [f"{k} {int(k < 13)}" for k in ids])
    write(tree, "bounding_boxes.txt", [f"{k} 1.0 0.0 {k}.0 3.0" for k in ids])
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3, 1:4], mask[1, 3] = 255, 127  # 127: a minority of the annotators
    for name in NAMES:
        Image.new("RGB", (6, 4)).save(tree / "images" / name)
        Image.fromarray(mask).save(tree / "segmentations" / name.replace(".jpg", ".png"))
    return tree


def test_splits(tree):
    ids = {
        split: [record["image_id"] for record in load_spec(f"cub_{split}").records]
        for split in ("train", "val", "trainval", "test")
    }
    assert ids["trainval"] == list(range(1, 13)) and ids["test"] == [13, 14]
    assert ids["val"] == [10] and ids["train"] == [k for k in range(1, 13) if k != 10]


def test_a_record(tree):
    dataset = load_spec("cub_test")
    assert dataset.category_names == list(BIRDS) and dataset.category_ids == [1, 2]
    record = dataset.records[1]
    (bird,) = record.pop("annotations")
    assert record == {
        "file_name": str(tree / "images" / NAMES[13]),
        "relative_name": f"images/{NAMES[13]}",
        "image_id": 14,
        "height": 4,
        "width": 6,
        "image_label": 1,
    }
    mask = decode_mask(bird.pop("segmentation"), (4, 6))
    assert mask.sum() == 5 and mask[1:3, 1:3].all() and mask[2, 3]
    assert bird == {
        "bbox": [1.0, 0.0, 15.0, 3.0],
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": 1,
        "iscrowd": 0,
        "area": 5.0,
    }


def test_masks_are_optional(tree):
    (tree / "segmentations").rename(tree / "elsewhere")
    (bird,) = load_spec("cub_test").records[0]["annotations"]
    assert "segmentation" not in bird and "area" not in bird


def test_a_missing_mask_is_refused(tree):
    (tree / "segmentations" / NAMES[12].replace(".jpg", ".png")).unlink()
    with pytest.raises(UserError, match="cannot read the mask '.*a_0012.png': no such file"):
        load_spec("cub_test")
    assert len(load_spec("cub_train").records) == 11  # needs no such mask


def test_an_unreadable_image_is_kept(tree):
    (tree / "images" / NAMES[12]).write_text("damaged")
    record = load_spec("cub_test").records[0]
    assert record["height"] is None and record["annotations"][0]["area"] == 5


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("images.txt", [], "is empty"),
        ("images.txt", ["1 a.jpg", "1 b.jpg"], "line 2, is '1 b.jpg'; expected a number that no"),
        ("images.txt", ["x a.jpg"], "line 1, is 'x a.jpg'"),
        ("images.txt", ["13 ../a.jpg"], "image 13 of .*images.txt' is '../a.jpg'"),
        ("image_class_labels.txt", ["1 1"], "labels.txt' has 0 values for image 2 of images.txt"),
        ("image_class_labels.txt", ["1 9"], "the class '9' for image 1, which classes.txt does"),
        ("bounding_boxes.txt", ["13 1 2 3"], "3 values for image 13 of images.txt; expected 4"),
        ("bounding_boxes.txt", ["13 1 2 3 nan"], "the box '1 2 3 nan' for image 13"),
    ],
)
def test_damaged_files(tree, name, lines, message):
    write(tree, name, lines)
    with pytest.raises(UserError, match=message):
        load_spec("cub_test")


@pytest.mark.parametrize("name", ["classes.txt", "bounding_boxes.txt", "train_test_split.txt"])
def test_missing_files(tree, name):
    (tree / name).unlink()
    with pytest.raises(UserError, match=f"{name}' does not exist"):
        load_spec("cub_train")
