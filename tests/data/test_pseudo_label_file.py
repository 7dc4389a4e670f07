"""The pseudo-label file: writing, reading and errors."""

import errno
import json
import os

import numpy as np
import pytest
import torch
from detectron2.structures import BoxMode
from pycocotools import mask as mask_codec
from pycocotools.coco import COCO

from boxrefine_d2.data.pseudo_label_file import (
    read_pseudo_labels,
    to_detectron2,
    write_pseudo_labels,
)
from boxrefine_d2.errors import UserError

IMAGES = [
    {"id": 2, "file_name": "b.jpg", "width": 40, "height": 30},
    {"id": 1, "file_name": "a.jpg", "width": 20, "height": 10},
]
ANNOTATIONS = [
    {"image_id": 2, "bbox": [1, 2, 3, 4], "score": 0.9},
    {"image_id": 1, "bbox": [0.0, 0.5, 10.25, 9.0], "score": 0.25},
    {"image_id": 2, "bbox": [5, 5, 2, 2], "score": 0.1},
]
INFO = {"method": "lost", "parameters": {"k_patches": 100}, "failed": []}


def _write(path, images=IMAGES, annotations=ANNOTATIONS, info=INFO):
    write_pseudo_labels(path, images=images, annotations=annotations, info=info)
    return path


def test_the_content_follows_the_format(tmp_path):
    document = json.loads(_write(tmp_path / "a.json").read_text())
    assert document["categories"] == [{"id": 1, "name": "object"}]
    assert document["info"] == INFO
    assert [image["id"] for image in document["images"]] == [1, 2]
    assert document["images"][0] == {"id": 1, "file_name": "a.jpg", "width": 20, "height": 10}
    assert document["annotations"][1] == {
        "id": 2,
        "image_id": 2,
        "category_id": 1,
        "bbox": [1.0, 2.0, 3.0, 4.0],
        "area": 12.0,
        "iscrowd": 0,
        "score": 0.9,
    }
    assert [(a["id"], a["image_id"], a["score"]) for a in document["annotations"]] == [
        (1, 1, 0.25),
        (2, 2, 0.9),
        (3, 2, 0.1),
    ]


def test_round_trip_gives_equal_bytes(tmp_path):
    path = _write(tmp_path / "a.json")
    labels = read_pseudo_labels(path)
    again = _write(tmp_path / "b.json", labels.images, labels.annotations, labels.info)
    assert again.read_bytes() == path.read_bytes()


def test_bytes_depend_on_neither_order_nor_number_type(tmp_path):
    path = _write(tmp_path / "a.json")
    annotations = [
        {
            "score": np.float64(0.25),
            "image_id": np.int64(1),
            "bbox": np.array([0.0, 0.5, 10.25, 9.0], np.float32),
        },
        {
            "score": torch.tensor(0.9, dtype=torch.float64),
            "image_id": 2,
            "bbox": torch.tensor([1, 2, 3, 4]),
        },
        {"score": 0.1, "image_id": 2, "bbox": (5, 5, 2, 2), "id": 77},
    ]
    info = dict(reversed(INFO.items()))
    other = _write(tmp_path / "b.json", reversed(IMAGES), annotations, info)
    assert other.read_bytes() == path.read_bytes()


def test_masks_survive_a_round_trip(tmp_path):
    mask = np.zeros((30, 40), np.uint8, order="F")
    mask[2:6, 1:3] = 1
    annotation = {
        "image_id": 2,
        "bbox": [1, 2, 2, 4],
        "score": 1.0,
        "segmentation": mask_codec.encode(mask),
    }
    (read,) = read_pseudo_labels(_write(tmp_path / "a.json", annotations=[annotation])).annotations
    assert isinstance(read["segmentation"]["counts"], str)
    np.testing.assert_array_equal(mask_codec.decode(read["segmentation"]), mask)
    assert read["area"] == 8.0


def test_pycocotools_reads_it(tmp_path, capsys):
    coco = COCO(str(_write(tmp_path / "a.json")))
    capsys.readouterr()
    assert sorted(coco.getAnnIds(imgIds=[2])) == [2, 3]


def test_string_ids_and_no_annotation(tmp_path):
    images = [{"id": "000005", "file_name": "5.jpg", "width": 2, "height": 2}]
    labels = read_pseudo_labels(_write(tmp_path / "a.json", images, []))
    assert labels.images[0]["id"] == "000005" and labels.annotations == []


def test_as_detectron2_annotation():
    assert to_detectron2({"bbox": [1, 2, 3, 4], "score": 0.5, "category_id": 1, "image_id": 1}) == {
        "bbox": [1.0, 2.0, 4.0, 6.0],
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": 0,
        "iscrowd": 0,
        "score": 0.5,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"image_id": 3},
        {"bbox": [0, 0, 0, 5]},
        {"bbox": [0, 0, 5, float("nan")]},
        {"bbox": [0, 0, 5]},
        {"score": float("inf")},
    ],
)
def test_invalid_labels_are_not_written(tmp_path, change):
    with pytest.raises(ValueError, match="pseudo label"):
        _write(tmp_path / "a.json", annotations=[{**ANNOTATIONS[0], **change}])
    assert os.listdir(tmp_path) == []


def test_equal_image_ids_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="same id"):
        _write(tmp_path / "a.json", images=[IMAGES[0], IMAGES[0]])


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = _write(tmp_path / "a.json")
    before = path.read_bytes()

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="cannot write '.*a.json': No space left on device"):
        _write(path, annotations=[])
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.json"]


def _first_annotation(**change):
    return lambda d: d["annotations"][0].update(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("images"), "no 'images'"),
        (lambda d: d.pop("annotations"), "no 'annotations'"),
        (lambda d: d.pop("categories"), "not a pseudo-label file: its categories"),
        (
            lambda d: d["categories"].append({"id": 2, "name": "dog"}),
            "ground truth .* coco:JSON:DIR",
        ),
        (lambda d: d["images"][0].pop("file_name"), "image 1 has no 'file_name'"),
        (lambda d: d["images"][0].update(id=None), "an image has the id None"),
        (lambda d: d["images"][0].update(id=2), "1 image ids occur more than once"),
        (_first_annotation(image_id=9), "annotation 1 has image_id 9, and no image has this id"),
        (_first_annotation(category_id=2), "annotation 1 has category_id 2"),
        (_first_annotation(bbox=[0, 0, 0, 4]), "w and h above 0"),
        (_first_annotation(bbox=None), "w and h above 0"),
        (_first_annotation(score="high"), "has the score 'high'"),
        (_first_annotation(segmentation=3), "neither RLE nor polygons"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, change, message):
    path = _write(tmp_path / "a.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=message) as caught:
        read_pseudo_labels(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_missing_file_and_results_list(tmp_path):
    with pytest.raises(UserError, match="pseudo-label file '.*a.json' does not exist"):
        read_pseudo_labels(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UserError, match="JSON list"):
        read_pseudo_labels(tmp_path / "a.json")
