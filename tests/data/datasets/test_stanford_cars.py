"""Stanford Cars in MATLAB files, sound and damaged."""

import numpy as np
import pytest
from detectron2.structures import BoxMode
from PIL import Image
from scipy.io import savemat

from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.errors import UserError

NAMES = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012")


def annotations(rows, fields=("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")):
    """Return a MATLAB struct array, as the devkit holds it."""
    table = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for place, row in enumerate(rows):
        table[0, place] = tuple(row)
    return {"annotations": table}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Write ten training images and one test image, of 6 x 4 pixels."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    tree = tmp_path / "stanford_cars"
    for folder in ("devkit", "cars_train", "cars_test"):
        (tree / folder).mkdir(parents=True)
    savemat(tree / "devkit/cars_meta.mat", {"class_names": np.array([NAMES], object)})
    train = [(1, 2, 5, 4, 1, f"{k:05d}.jpg") for k in range(1, 11)]
    savemat(tree / "devkit/cars_train_annos.mat", annotations(train))
    test = [(2, 1, 6, 3, 2, "00001.jpg")]
    savemat(tree / "cars_test_annos_withlabels.mat", annotations(test))
    for k in range(1, 11):
        Image.new("RGB", (6, 4)).save(tree / f"cars_train/{k:05d}.jpg")
    Image.new("RGB", (6, 4)).save(tree / "cars_test/00001.jpg")
    return tree


def test_a_record(tree):
    dataset = load_spec("cars_test")
    assert dataset.category_names == list(NAMES) and dataset.category_ids == [1, 2]
    assert dataset.records == [
        {
            "file_name": str(tree / "cars_test/00001.jpg"),
            "relative_name": "cars_test/00001.jpg",
            "image_id": "00001",
            "height": 4,
            "width": 6,
            "image_label": 1,
            "annotations": [
                {
                    "bbox": [1.0, 0.0, 6.0, 3.0],
                    "bbox_mode": BoxMode.XYXY_ABS,
                    "category_id": 1,
                    "iscrowd": 0,
                }
            ],
        }
    ]


def test_splits(tree):
    ids = {
        split: [record["image_id"] for record in load_spec(f"cars_{split}").records]
        for split in ("train", "val", "trainval")
    }
    assert ids["val"] == ["00010"] and ids["train"] == [f"{k:05d}" for k in range(1, 10)]
    assert ids["trainval"] == ids["train"] + ids["val"]


def test_labels_without_classes_are_refused(tree):
    fields = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "fname")
    savemat(
        tree / "cars_test_annos_withlabels.mat", annotations([(1, 1, 2, 2, "00001.jpg")], fields)
    )
    with pytest.raises(UserError, match="has no class; the test labels with classes are the file"):
        load_spec("cars_test")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, 1, 2, 2, 3, "a.jpg"), "image 1, is .*; expected a box and a class from 1 to 2"),
        ((1, 1, 2, 2, 0, "a.jpg"), "expected a box and a class from 1 to 2"),
        ((1, 1, np.nan, 2, 1, "a.jpg"), "expected a box and a class"),
        ((1, 1, [], 2, 1, "a.jpg"), "expected a box and a class"),
        ((1, 1, 2, 2, 1, "../a.jpg"), "has the fname '../a.jpg'"),
    ],
)
def test_damaged_rows(tree, row, message):
    savemat(tree / "cars_test_annos_withlabels.mat", annotations([row]))
    with pytest.raises(UserError, match=message):
        load_spec("cars_test")


def test_damaged_and_missing_files(tree):
    path = tree / "devkit/cars_train_annos.mat"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match="cannot read MATLAB file .*cars_train_annos.mat") as error:
        load_spec("cars_train")
    assert "\n" not in str(error.value)
    savemat(path, {"other": 1})
    with pytest.raises(UserError, match="has no variable 'annotations'"):
        load_spec("cars_train")
    (tree / "devkit/cars_meta.mat").unlink()
    with pytest.raises(UserError, match="cars_meta.mat' does not exist"):
        load_spec("cars_train")
